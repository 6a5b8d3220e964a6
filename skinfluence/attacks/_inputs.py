"""Changes of an input that turn its prediction, and the curvature of the loss in the input."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from skinfluence._frames import DataFrame, Result, data_frame, row_names
from skinfluence._typing import MatrixLike
from skinfluence._validation import check_positive, check_same_length, shown
from skinfluence.adapters import InputGradients
from skinfluence.functions import explain
from skinfluence.perturbation import InputDerivatives, MovableRows
from skinfluence.problem import fitted_problem
from skinfluence.problem.changes import features_of

# Steps of the search for the smallest change, or the worst one, of a kernel machine's input.
MAX_STEPS = 100
# Share of a change by which it goes beyond the boundary, so that rounding does not undo it.
BEYOND = 1e-6
# Factors by which a change is lengthened in turn where the given fit does not turn yet: one that
# has stopped at a loose tolerance has its boundary elsewhere than the optimum. Up to 2 % in all.
LONGER = (1.0 + 1e-4, 1.0 + 1e-3, 1.0 + 5e-3, 1.0 + 1e-2)
# Halvings of the last step across the boundary.
HALVINGS = 40
# Steps along the boundary, and the share of a full one at which these end.
REFINEMENTS, SMALLEST_SHARE = 60, 1e-3


@dataclass(frozen=True)
class AdversarialPerturbation(Result):
    """Changes of inputs that turn the model's predictions.

    Attributes
    ----------
    perturbation : ndarray of shape (m, p)
        What is added to each row.
    size : ndarray of shape (m,)
        Its norm.
    before, after : ndarray of shape (m,)
        Predicted labels of the row, and of the changed row.
    is_exact : bool
        Whether no smaller change turns the prediction (or, with an epsilon, none of that size
        lowers the margin more): for models that are linear in X. Else the changes are the smallest
        that a search found.
    norm : 2 or "inf"
    row_names : ndarray of shape (m,) or None
        Names of the rows; None if X has none.
    """

    perturbation: np.ndarray
    size: np.ndarray
    before: np.ndarray
    after: np.ndarray
    is_exact: bool
    norm: object
    row_names: np.ndarray | None = None

    @property
    def flipped(self) -> np.ndarray:
        """Whether the prediction is another one after the change.

        Returns
        -------
        ndarray of bool, shape (m,)
            One entry for each row.
        """
        return self.before != self.after

    def to_frame(self) -> DataFrame:
        """Return one line for each row, as a pandas DataFrame.

        Returns
        -------
        pandas.DataFrame
            Columns size, before and after, indexed by the names of the rows.
        """
        columns = {"size": self.size, "before": self.before, "after": self.after}
        return data_frame(columns, self.row_names)

    def __repr__(self):
        """Counts, and the median size of the changes that turn a prediction."""
        turned = self.size[self.flipped]
        size = f", median size {np.median(turned):.3g}" if len(turned) else ""
        kind = "exact" if self.is_exact else "found by search"
        return (
            f"AdversarialPerturbation: {len(turned)} of {len(self.size)} predictions turned{size} "
            f"(norm {self.norm}, {kind})"
        )


def adversarial_perturbation(
    estimator: BaseEstimator,
    X: MatrixLike,
    y: ArrayLike | None = None,
    *,
    norm: float | str = 2,
    epsilon: float | None = None,
) -> AdversarialPerturbation:
    r"""Smallest change of each input that turns a classifier's prediction.

    An audit of one's own model. With predictors f and label y the margin of a row is
    :math:`f_y - \max_{k \neq y} f_k`; for a model that is linear in X the smallest change that
    closes it is :math:`\min_k (f_y - f_k) / \lVert w_y - w_k \rVert_*` in the dual norm, in closed
    form. For a kernel machine the same step is taken repeatedly, with the gradients at the row
    reached, and the last step is halved until it just crosses the boundary.

    Parameters
    ----------
    estimator : estimator
        Fitted classifier with the influence methods, or a Pipeline as in
        :func:`skinfluence.explain`, whose steps before the last are linear or offer `input_vjp`.
    X : array-like or data frame of shape (m, n_features)
        Rows, dense; changes know no bounds. Columns that hold no numbers do not change.
    y : array-like of shape (m,), optional
        Labels; the predicted ones by default. A row that is misclassified already needs no change.
    norm : {2, "inf"}, default=2
        In which changes are measured.
    epsilon : float, optional
        Size of the changes: those that lower the margin most, whether the prediction turns or not.
        The smallest that turn it by default.

    Returns
    -------
    AdversarialPerturbation
        Changes, sizes, and predictions before and after.

    Raises
    ------
    ValueError
        For a regressor, an unknown norm, an epsilon that is not positive, or labels of
        another number than the rows.
    TypeError, NotImplementedError, numpy.linalg.LinAlgError, RuntimeError
        As the influence methods; NotImplementedError also for a kernel without a known gradient.

    References
    ----------
    Moosavi-Dezfooli, Fawzi & Frossard, DeepFool: a simple and accurate method to fool deep neural
    networks, CVPR 2016.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skinfluence import InfluenceLogisticRegression
    >>> from skinfluence.attacks import adversarial_perturbation
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = InfluenceLogisticRegression().fit(X, y)
    >>> adversarial_perturbation(clf, X[::10], norm="inf")
    AdversarialPerturbation: 15 of 15 predictions turned, median size 0.601 (norm inf, exact)
    """
    if not isinstance(norm, str | int | float) or norm not in (2, "inf", np.inf):
        raise ValueError(f"norm should be 2 or 'inf'; got {shown(norm)}.")
    norm = 2 if norm == 2 else "inf"
    if epsilon is not None:
        check_positive("epsilon", epsilon)
    check_same_length(X=X, y=y)
    model, names = _Input(estimator, X), row_names(X)
    X = model.rows.values
    before = np.asarray(model.predict(X))
    codes = model.codes(before if y is None else y)
    if epsilon is None:
        change = _smallest(model, X, codes, norm)
    else:
        change = _largest(model, X, codes, norm, float(epsilon))
    after = np.asarray(model.predict(X + change))
    if epsilon is None:
        # The boundary is that of the optimum, which a fit to a loose tolerance has not reached.
        for longer in LONGER:
            held = (after == before) & np.isfinite(change).all(axis=1)
            change = np.where(held[:, None], change * longer, change)
            after = np.asarray(model.predict(X + change))
    size = _norm(change, norm)
    return AdversarialPerturbation(change, size, before, after, model.is_linear, norm, names)


class _Input:
    """A classifier's decision values as functions of arrays X.

    Parameters
    ----------
    estimator : estimator
    given : array-like of shape (m, p)
        Rows as the caller has them: where they have names, the model is asked by these.
    """

    def __init__(self, estimator, given):
        self.rows = MovableRows(given)
        self.model = estimator if hasattr(estimator, "__fitted_problem__") else explain(estimator)
        problem = self.problem = fitted_problem(self.model)
        if problem.classes is None:
            raise ValueError(
                f"{type(problem.model).__name__} is a regressor, whose predictions do not turn. "
                "Pass a classifier."
            )
        n, K = len(problem.classes), problem.objective.n_outputs
        if n != (2 if K == 1 else K):
            raise NotImplementedError(
                "one machine for each pair of classes has no margin of classes. Fit a model with "
                "one decision value for each class."
            )
        self.derivatives = InputDerivatives(problem.objective, problem.record.data.space)
        self.steps = self.model.__input_steps__()
        self.is_linear = self.derivatives.is_linear and (
            not self.steps or InputGradients(self.steps, self.n_features, given).is_linear
        )

    @property
    def n_features(self):
        """Number of features of X, None where the model does not say."""
        return getattr(self.model, "n_features_in_", None)

    def training_rows(self):
        """Training rows of a model without steps before it, dense; else None: they are not kept."""
        if self.steps:
            return None
        rows = features_of(self.problem, slice(None))
        return np.asarray(rows.toarray() if hasattr(rows, "toarray") else rows, dtype=np.float64)

    def codes(self, y):
        """Positions of labels among the classes."""
        return self.problem.adapted.encode(y, "y").astype(np.intp)

    def predict(self, X):
        """Labels that the given model predicts for rows."""
        return self.model.predict(self._named(X))

    def _named(self, X):
        """Rows in the form of the caller's, with the names of its columns."""
        return self.rows.like_table(X)

    def decisions(self, X):
        """Decision values (m, n_classes), for two classes (0, f)."""
        design = self.problem.test_rows(self._named(X))[0]
        eta = self.problem.objective.predictors(design)
        return np.c_[np.zeros(len(eta)), eta] if eta.shape[1] == 1 else eta

    def gradients(self, X):
        """Gradients (n_classes, m, p) of the decision values."""
        inner = self.problem.transform(self._named(X))
        found = self.derivatives.gradients(inner)
        if self.steps:
            found = InputGradients(self.steps, self.n_features, self._named(X))(
                np.ascontiguousarray(found)
            )
        return np.concatenate([np.zeros_like(found), found]) if len(found) == 1 else found


def _toward(model, X, codes, norm):
    """(gaps (m, n_classes), unit steps (m, n_classes, p), their gain (m, n_classes)).

    gap f_y - f_k, closed at a rate of `gain` by a unit step in the norm; NaN for k = y.
    """
    at = np.arange(len(X)), codes
    decisions, gradients = model.decisions(X), model.gradients(X).transpose(1, 0, 2)
    gap = decisions[at][:, None] - decisions
    along = gradients - gradients[at][:, None]
    if norm == 2:
        gain = np.linalg.norm(along, axis=2)
        with np.errstate(invalid="ignore", divide="ignore"):
            step = np.nan_to_num(along / gain[:, :, None])
    else:
        gain, step = np.abs(along).sum(axis=2), np.sign(along)
    gap[at] = np.nan
    return gap, step, gain


def _margins(model, X, codes):
    """Decision value of each row's own class less the largest other one, (m,)."""
    decisions, at = model.decisions(X), (np.arange(len(X)), codes)
    own = decisions[at].copy()
    decisions[at] = -np.inf
    return own - decisions.max(axis=1)


def _smallest(model, X, codes, norm):
    """Smallest changes that turn the predictions, (m, p); 0 for rows that are turned already."""
    margin = _margins(model, X, codes)
    rows = np.flatnonzero(margin >= 0)
    change = np.zeros_like(X)
    if not len(rows):
        return change
    if model.is_linear:
        change[rows] = _linear_step(model, X[rows], codes[rows], norm)
        return change
    found = _crossing(model, X[rows], codes[rows], norm)
    change[rows] = (1.0 + BEYOND) * _refined(model, X[rows], codes[rows], norm, found)
    return change


def _linear_step(model, X, codes, norm):
    """Steps to just beyond the nearest boundary, by the gradients at X."""
    gap, step, gain = _toward(model, X, codes, norm)
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.where((gain > 0) & ~np.isnan(gap), gap / gain, np.inf)
    at = np.arange(len(X)), np.argmin(distance, axis=1)
    length = np.where(np.isfinite(distance[at]), distance[at], 0.0)
    return (length * (1.0 + BEYOND) + 1e-12 * (length == 0))[:, None] * step[at]


def _crossing(model, X, codes, norm):
    """Changes that lead across the boundary, by steps that lower the margin, (m, p)."""
    change, reach = np.zeros_like(X), np.full(len(X), np.inf)
    margin = _margins(model, X, codes)
    for _ in range(MAX_STEPS):
        rows = np.flatnonzero(margin >= 0)
        if not len(rows):
            break
        step = _linear_step(model, X[rows] + change[rows], codes[rows], norm)
        # Where a function is nearly flat the linear step leads anywhere.
        size = np.maximum(_norm(step, norm), 1e-300)
        step *= np.minimum(1.0, reach[rows] / size)[:, None]
        there = _margins(model, X[rows] + change[rows] + step, codes[rows])
        better = there < margin[rows]
        change[rows[better]] += step[better]
        margin[rows[better]] = there[better]
        reach[rows] = np.where(better, 2.0, 0.5) * np.minimum(size, reach[rows])
    stuck = np.flatnonzero(margin >= 0)
    change[stuck] = _to_other_rows(model, X[stuck], codes[stuck], norm, change[stuck])
    return _shortened(model, X, codes, change)


def _to_other_rows(model, X, codes, norm, change):
    """Changes that lead to the nearest training row that is predicted otherwise."""
    rows = model.training_rows()
    if rows is None or not len(X):
        return change
    predicted = np.argmax(model.decisions(rows), axis=1)
    for i in range(len(X)):
        others = rows[predicted != codes[i]] - X[i]
        if len(others):
            change[i] = others[np.argmin(_norm(others, norm))]
    return change


def _refined(model, X, codes, norm, change):
    """Changes made smaller, along the boundary, where they turn the prediction.

    The nearest point of the tangent at the point reached, to which the next step leads part of the
    way; what it finds is scaled back to the boundary.
    """
    turned = _margins(model, X + change, codes) < 0
    share = np.ones(len(X))
    for _ in range(REFINEMENTS):
        rows = np.flatnonzero(turned & (share > SMALLEST_SHARE))
        if not len(rows):
            break
        here = change[rows]
        gap, step, gain = _toward(model, X[rows] + here, codes[rows], norm)
        at = np.arange(len(rows)), np.nanargmin(gap, axis=1)
        along = np.einsum("ij,ij->i", step[at], here)
        if norm == 2:
            nearest = (along + gap[at] / np.maximum(gain[at], 1e-300))[:, None] * step[at]
        else:
            nearest = _norm(here, norm)[:, None] * step[at]
        trial = here + share[rows, None] * (nearest - here)
        # Up to a tenth further, if it is needed to cross.
        trial = _shortened(model, X[rows], codes[rows], 1.1 * trial)
        good = _margins(model, X[rows] + trial, codes[rows]) < 0
        good &= _norm(trial, norm) < (1.0 - 1e-6) * _norm(here, norm)
        change[rows[good]] = trial[good]
        share[rows] = np.where(good, np.minimum(1.0, 2 * share[rows]), 0.5 * share[rows])
    return change


def _norm(change, norm):
    """Sizes (m,) of changes."""
    return np.linalg.norm(change, axis=1, ord=2 if norm == 2 else np.inf)


def _shortened(model, X, codes, change):
    """Changes scaled down, along the straight line, to where they just cross the boundary."""
    good = _margins(model, X + change, codes) < 0
    low, high = np.zeros(len(X)), np.ones(len(X))
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        crossed = _margins(model, X + middle[:, None] * change, codes) < 0
        high, low = np.where(crossed, middle, high), np.where(crossed, low, middle)
    return np.where(good, high, 1.0)[:, None] * change


def _largest(model, X, codes, norm, epsilon):
    """Changes of size epsilon that lower the margin most, (m, p)."""
    gap, step, gain = _toward(model, X, codes, norm)
    k = np.nanargmin(gap - epsilon * gain, axis=1)
    corner = epsilon * step[np.arange(len(X)), k]
    if model.is_linear:
        return corner
    # Margins of kernel machines have several minima: from the corner, and from the row itself.
    found = [
        _descended(model, X, codes, norm, epsilon, start, length)
        for start, length in ((corner, epsilon), (np.zeros_like(X), 0.25 * epsilon))
    ]
    margins = [_margins(model, X + change, codes) for change in found]
    return np.where((margins[0] <= margins[1])[:, None], *found)


def _descended(model, X, codes, norm, epsilon, start, length):
    """Changes of size at most epsilon, by projected gradient steps that lower the margin."""
    best, lowest = start.copy(), _margins(model, X + start, codes)
    length = np.full(len(X), length)
    for _ in range(MAX_STEPS):
        gap, step, _ = _toward(model, X + best, codes, norm)
        change = best + length[:, None] * step[np.arange(len(X)), np.nanargmin(gap, axis=1)]
        if norm == 2:
            size = np.maximum(_norm(change, norm), 1e-300)
            change = change * np.minimum(1.0, epsilon / size)[:, None]
        else:
            change = np.clip(change, -epsilon, epsilon)
        found = _margins(model, X + change, codes)
        better = found < lowest
        best[better], lowest[better] = change[better], found[better]
        length = np.where(better, length, 0.5 * length)
        if (length < 1e-4 * epsilon).all():
            break
    return best


@dataclass(frozen=True)
class InputCurvature(Result):
    """Spectrum of the loss in the input of each row.

    Attributes
    ----------
    eigenvalues : ndarray of shape (m, r)
        Eigenvalues of the second derivative of the row's loss in its features, the largest first;
        of a linear model the at most K that are not 0.
    direction : ndarray of shape (m, p)
        Unit vector of the largest, its entry of largest size positive.
    row_names : ndarray of shape (m,) or None
        Names of the rows; None if X has none.
    """

    eigenvalues: np.ndarray
    direction: np.ndarray
    row_names: np.ndarray | None = None

    @property
    def largest(self) -> np.ndarray:
        """Largest eigenvalue of each row.

        Returns
        -------
        ndarray of shape (m,)
            The first column of `eigenvalues`.
        """
        return self.eigenvalues[:, 0]

    @property
    def trace(self) -> np.ndarray:
        """Sum of the eigenvalues of each row.

        Returns
        -------
        ndarray of shape (m,)
            Trace of the second derivative.
        """
        return self.eigenvalues.sum(axis=1)

    def to_frame(self) -> DataFrame:
        """Return one line for each row, as a pandas DataFrame.

        Returns
        -------
        pandas.DataFrame
            Columns largest, smallest and trace, indexed by the names of the rows.
        """
        columns = {"largest": self.largest, "smallest": self.eigenvalues[:, -1]}
        return data_frame({**columns, "trace": self.trace}, self.row_names)

    def __repr__(self):
        """Number of rows, and the range of their largest eigenvalues."""
        return (
            f"InputCurvature of {len(self.eigenvalues)} rows: largest eigenvalues from "
            f"{self.largest.min():.3g} to {self.largest.max():.3g}"
        )


def input_curvature(
    estimator: BaseEstimator, X: MatrixLike, y: ArrayLike | None = None
) -> InputCurvature:
    r"""Spectrum of the second derivative of each row's loss in its own features.

    How fast the gradient in the input turns: where the curvature is large, a small change of the
    row changes what its loss is sensitive to. For a model that is linear in its features it is
    :math:`\theta' W \theta` with the second derivative W of the loss in the predictors, of rank at
    most K, in closed form; a kernel machine adds the second derivatives of its functions.

    Parameters
    ----------
    estimator : estimator
        Fitted, with the influence methods, or a Pipeline as in :func:`skinfluence.explain`; then of
        the features of the last step.
    X : array-like of shape (m, n_features)
        Rows, as the estimator takes them.
    y : array-like of shape (m,), optional
        Labels or responses; those that are predicted by default.

    Returns
    -------
    InputCurvature
        Eigenvalues, and the direction of the largest.

    Raises
    ------
    TypeError, ValueError, NotImplementedError, numpy.linalg.LinAlgError, RuntimeError
        As the influence methods; NotImplementedError also for a kernel without a known gradient.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skinfluence import InfluenceLogisticRegression
    >>> from skinfluence.attacks import input_curvature
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = InfluenceLogisticRegression().fit(X, y)
    >>> input_curvature(clf, X[::10]).eigenvalues.shape
    (15, 3)
    """
    model = estimator if hasattr(estimator, "__fitted_problem__") else explain(estimator)
    problem = fitted_problem(model)
    check_same_length(X=X, y=y)
    objective, space = problem.objective, problem.record.data.space
    design, _, codes = problem.test_rows(X, model.predict(X) if y is None else y)
    eta = objective.predictors(design)
    m, K = eta.shape
    native, loss = objective.native(eta), objective.loss
    W = loss.curvature(codes, native).reshape(m, K, K)
    derivatives = InputDerivatives(objective, space)
    inner = problem.transform(X)
    gradients = derivatives.gradients(inner).transpose(1, 0, 2)  # (m, K, p)
    if space is None:
        values, direction = _of_low_rank(W, gradients)
        return InputCurvature(values, direction, row_names(X))
    slopes = loss.gradient(codes, native).reshape(m, K)
    H = derivatives.hessians(inner, slopes)
    H += np.einsum("ikj,ikl,ilm->ijm", gradients, W, gradients, optimize=True)
    values, vectors = np.linalg.eigh(0.5 * (H + H.transpose(0, 2, 1)))
    return InputCurvature(values[:, ::-1], _signed(vectors[:, :, -1]), row_names(X))


def _of_low_rank(W, gradients):
    """(eigenvalues, direction) of G'W G for gradients G (m, K, p), from matrices of order K.

    With the QR factorisation G' = Q R the eigenvalues are those of R W R'.
    """
    Q, R = np.linalg.qr(gradients.transpose(0, 2, 1))
    small = R @ W @ R.transpose(0, 2, 1)
    values, vectors = np.linalg.eigh(0.5 * (small + small.transpose(0, 2, 1)))
    direction = (Q @ vectors[:, :, -1:])[:, :, 0]
    return values[:, ::-1], _signed(direction)


def _signed(direction):
    """Vectors (m, p) with their entries of largest size positive."""
    top = np.take_along_axis(direction, np.abs(direction).argmax(axis=1)[:, None], axis=1)
    return direction * np.where(top < 0, -1.0, 1.0)
