"""Fitted transformers of scikit-learn as linear maps of their input."""

from functools import cache

import numpy as np
import scipy.sparse as sp
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    RobustScaler,
    StandardScaler,
)

PASSED = (None, "passthrough")


def linear_map(step, n_features):
    """Return the matrix (n_out, n_features) of a fitted step that is linear; None if it is not.

    What the step adds to the product, such as a mean, is not in it.

    Parameters
    ----------
    step : transformer, None or "passthrough"
    n_features : int
        Features that it is given.

    Returns
    -------
    csr_array or None
    """
    if isinstance(step, FrozenEstimator):
        return linear_map(step.estimator, n_features)
    if step in PASSED:
        return sp.eye_array(n_features, format="csr")
    maps, selector = _known_steps()
    if isinstance(step, selector) and type(step).transform is selector.transform:
        kept = step.get_support(indices=True)
        return sp.eye_array(n_features, format="csr")[kept]
    find = maps.get(type(step))
    return None if find is None else find(step, n_features)


def _standard(step, n_features):
    return _diagonal(None if step.scale_ is None else 1.0 / step.scale_, n_features)


def _robust(step, n_features):
    return _standard(step, n_features)


def _max_abs(step, n_features):
    return None if getattr(step, "clip", False) else _diagonal(1.0 / step.scale_, n_features)


def _min_max(step, n_features):
    return None if step.clip else _diagonal(step.scale_, n_features)


def _diagonal(values, n_features):
    """Diagonal matrix; of ones for None."""
    values = np.ones(n_features) if values is None else np.asarray(values, dtype=np.float64)
    return sp.diags_array(values, format="csr")


def _components(step, n_features):
    """Map of a PCA or a truncated SVD."""
    components = np.asarray(step.components_, dtype=np.float64)
    if getattr(step, "whiten", False):
        scale = np.sqrt(step.explained_variance_)
        least = np.finfo(scale.dtype).eps  # as scikit-learn divides by
        components = components / np.maximum(scale, least)[:, None]
    return sp.csr_array(components)


def _function(step, n_features):
    """Map of a FunctionTransformer, which is known to be linear without a function only."""
    return sp.eye_array(n_features, format="csr") if step.func is None else None


def _passes(step):
    """Whether a step returns what it is given, of any width."""
    return step in PASSED or (type(step) is FunctionTransformer and step.func is None)


def _pipeline(step, n_features):
    """Product of the maps of the steps."""
    found = sp.eye_array(n_features, format="csr")
    for _, inner in step.steps:
        mapped = linear_map(inner, found.shape[0])
        if mapped is None:
            return None
        found = mapped @ found
    return sp.csr_array(found)


def _union(step, n_features):
    """Maps of all transformers, one below the other."""
    weights = step.transformer_weights or {}
    parts = []
    for name, inner in step.transformer_list:
        if inner == "drop":
            continue
        mapped = linear_map(inner, n_features)
        if mapped is None:
            return None
        parts.append(weights.get(name, 1.0) * mapped)
    return sp.csr_array(sp.vstack(parts)) if parts else sp.csr_array((0, n_features))


def _columns(step, n_features):
    """Maps of parts of the columns, where their outputs stand among all."""
    weights = step.transformer_weights or {}
    placed, n_out = [], 0
    for name, inner, columns in step.transformers_:
        where = step.output_indices_[name]
        n_out = max(n_out, where.stop)
        if inner == "drop" or where.stop == where.start:
            continue
        positions = _positions(columns, step, n_features)
        mapped = linear_map(inner, len(positions))
        if mapped is None:
            return None
        picked = sp.eye_array(n_features, format="csr")[positions]
        placed.append((where.start, weights.get(name, 1.0) * (mapped @ picked)))
    placed = [part for _, part in sorted(placed, key=lambda pair: pair[0])]
    found = sp.vstack(placed) if placed else sp.csr_array((0, n_features))
    return sp.csr_array(found) if found.shape[0] == n_out else None


def _positions(columns, step, n_features):
    """Positions of the columns that a part of a ColumnTransformer takes."""
    every = np.arange(n_features)
    if isinstance(columns, slice) and not isinstance(columns.start or columns.stop, str):
        return every[columns]
    names = list(getattr(step, "feature_names_in_", ()))
    if isinstance(columns, slice):
        start = 0 if columns.start is None else names.index(columns.start)
        stop = n_features if columns.stop is None else names.index(columns.stop) + 1
        return every[start : stop : columns.step]
    columns = np.atleast_1d(np.asarray(columns))
    if columns.dtype.kind in "OUS":
        return np.array([names.index(name) for name in columns], dtype=np.intp)
    return every[columns]


@cache
def _known_steps():
    """Map of each class of linear steps, and the class that selectors of features inherit from.

    The packages of decompositions and selectors import 40 others: they are imported when a Pipeline
    is looked into, and not with the library.
    """
    from sklearn.decomposition import PCA, TruncatedSVD
    from sklearn.feature_selection import SelectorMixin

    maps = {
        StandardScaler: _standard,
        RobustScaler: _robust,
        MaxAbsScaler: _max_abs,
        MinMaxScaler: _min_max,
        PCA: _components,
        TruncatedSVD: _components,
        FunctionTransformer: _function,
        Pipeline: _pipeline,
        FeatureUnion: _union,
        ColumnTransformer: _columns,
    }
    return maps, SelectorMixin


def _flat(steps):
    """Steps one after the other, those of Pipelines among them in their place."""
    found = []
    for step in steps:
        step = step.estimator if isinstance(step, FrozenEstimator) else step
        inner = [each for _, each in step.steps] if isinstance(step, Pipeline) else None
        found += [step] if inner is None else _flat(inner)
    return found


class InputGradients:
    """The way from gradients in the features of a model back to the features of its first step.

    Parameters
    ----------
    steps : list of transformers
        Fitted, in the order that X goes through them.
    n_features : int
        Features of the first.
    X : {array-like, sparse matrix, data frame} or None
        Rows as the first step is given them; for steps that are not linear.

    Raises
    ------
    NotImplementedError
        For a step that is neither linear nor offers `input_vjp(X, cotangent)`, by name.
    ValueError
        If such a step needs the rows, and there are none.
    """

    def __init__(self, steps, n_features, X=None):
        self.pullbacks, width = [], n_features
        for step in _flat(steps):
            width = getattr(step, "n_features_in_", None) if width is None else width
            if width is None and X is None and _passes(step):
                continue
            if hasattr(step, "input_vjp"):
                if X is None:
                    raise ValueError(
                        f"{type(step).__name__}.input_vjp needs the rows that it transforms: pass "
                        "X_train, the rows of fit."
                    )
                self.pullbacks.append(_Curved(step, X))
            else:
                mapped = None if width is None else linear_map(step, width)
                if mapped is None:
                    raise NotImplementedError(
                        f"the step {type(step).__name__} stops the gradient: it is neither a "
                        "linear map that is known here (scalers, PCA, feature selection, "
                        "ColumnTransformer of these) nor offers input_vjp(X, cotangent). Ask for "
                        "features='model', those of the last step."
                    )
                self.pullbacks.append(_Linear(mapped))
            if X is not None and step not in PASSED:
                X = step.transform(X)
            width = X.shape[1] if X is not None else mapped.shape[0]

    @property
    def is_linear(self):
        """Whether every step is linear.

        Returns
        -------
        bool
            Whether the way back is the same at all rows.
        """
        return all(isinstance(pullback, _Linear) for pullback in self.pullbacks)

    def __call__(self, gradients):
        """Gradients (..., r, p) in the features of the model, in those of the first step."""
        for pullback in reversed(self.pullbacks):
            gradients = pullback(gradients)
        return gradients


class _Linear:
    """A linear step of a Pipeline, by its matrix."""

    def __init__(self, matrix):
        self.matrix = matrix

    def __call__(self, gradients):
        flat = gradients.reshape(-1, gradients.shape[-1]) @ self.matrix
        return np.asarray(flat).reshape(*gradients.shape[:-1], -1)


class _Curved:
    """A step with a gradient of its own, at the rows that it is given."""

    def __init__(self, step, X):
        self.step, self.X = step, X

    def __call__(self, gradients):
        flat = gradients.reshape(-1, *gradients.shape[-2:])
        found = np.stack([np.asarray(self.step.input_vjp(self.X, one)) for one in flat])
        return found.reshape(*gradients.shape[:-1], -1)
