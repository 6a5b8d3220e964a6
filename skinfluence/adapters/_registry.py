"""The supported estimators, registered by their exact types."""

import copy
import threading
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from skinfluence._sources import RowBlocks
from skinfluence._validation import shown
from skinfluence.adapters._nearest import NEAREST_WAYS
from skinfluence.design import KernelSpace, far_origin, make_design
from skinfluence.link import Link, TransformedLink
from skinfluence.losses import spread
from skinfluence.objective import Objective

# Key in the memo of a deep copy that is to have no training rows.
WITHOUT_ROWS = "skinfluence: without training rows"


class SelectedRows:
    """Some rows of a matrix, copied when they are first asked for; of pickles only these.

    Parameters
    ----------
    X : ndarray or sparse matrix of shape (n, p)
    rows : ndarray of int, shape (m,)
    """

    def __init__(self, X, rows):
        self.X, self.rows, self.shape = X, rows, (len(rows), X.shape[1])
        self._copy, self._lock = None, threading.Lock()

    def copy(self):
        """Return the rows, (m, p), in a matrix of their own; the other is let go."""
        with self._lock:
            if self._copy is None:
                self._copy, self.X = self.X[self.rows], None
            return self._copy

    def __reduce__(self):
        """A pickle or a copy is the matrix of these rows alone."""
        return _same, (self.copy(),)


def _same(X):
    """Return what is given: how a pickle of selected rows is read."""
    return X


@dataclass(frozen=True)
class TrainingData:
    """The training data of an estimator, by reference.

    Attributes
    ----------
    stored : ndarray or sparse matrix of shape (n, p), SelectedRows or None
        As scikit-learn's validation returned it, without a copy if none was necessary. None for a
        kernel model, whose `space` has the rows.
    y : ndarray of shape (n,)
        The caller's labels.
    sample_weight : ndarray of shape (n,) or None
    space : KernelSpace or None
        The space of a kernel model, with the coordinates of its rows.
    response : ResponseScale or None
        The transformers of the responses, if y are transformed responses.
    row_names : ndarray of shape (n,) or None
        Index of the data frame that fit was given.
    theta : ndarray of shape (K, q) or None
        Optimum found on these data; None before it is found.
    origin : ndarray of shape (p,) or None
        Of the design that theta belongs to.
    """

    stored: Any
    y: np.ndarray
    sample_weight: np.ndarray | None
    space: KernelSpace | None = None
    response: object = None
    row_names: np.ndarray | None = None
    theta: np.ndarray | None = None
    origin: np.ndarray | None = None

    def __deepcopy__(self, memo):
        """A copy, or the optimum alone where the memo has WITHOUT_ROWS."""
        if WITHOUT_ROWS not in memo:
            parts = (copy.deepcopy(getattr(self, field.name), memo) for field in fields(self))
            return TrainingData(*parts)
        if self.space is not None:
            raise NotImplementedError(
                "a kernel machine predicts from its training rows: there is no copy without them. "
                "Put sklearn.kernel_approximation.Nystroem before a linear model in a Pipeline; "
                "its components are training rows too, but few."
            )
        return TrainingData(None, None, None, theta=self.theta, origin=self.origin)

    @property
    def X(self):
        """The rows.

        Returns
        -------
        ndarray or sparse matrix of shape (n, p), or None
            Of selected rows a copy, made at the first question.
        """
        return self.stored.copy() if isinstance(self.stored, SelectedRows) else self.stored

    @property
    def is_in_blocks(self):
        """Whether the rows are read block by block.

        Returns
        -------
        bool
            True where `stored` is a RowBlocks.
        """
        return isinstance(self.stored, RowBlocks)

    def __getstate__(self):
        """Labels of rows in blocks are described by their source, as the rows are."""
        state = dict(vars(self))
        if self.is_in_blocks:
            state = {k: v for k, v in state.items() if k not in ("y", "sample_weight")}
        return state

    def __setstate__(self, state):
        """Take a state; what it leaves out is read when it is asked for."""
        vars(self).update(state)

    def __getattr__(self, name):
        """Labels and weights of rows in blocks, after unpickling."""
        if name not in ("y", "sample_weight") or "stored" not in vars(self):
            raise AttributeError(name)
        y, weight = self.stored.labels()
        vars(self).update(y=y, sample_weight=weight)
        return vars(self)[name]

    @property
    def is_empty(self):
        """Whether these are the data of a copy without training rows.

        Returns
        -------
        bool
            True where there are no labels, and no rows with them.
        """
        return self.y is None

    @property
    def n_rows(self):
        """Number of rows.

        Returns
        -------
        int
            Of X, or of those that span the space of the kernel.
        """
        return self.stored.shape[0] if self.space is None else self.space.n_rows

    def at(self, objective):
        """Return the same data with an objective's parameter as the optimum found on them.

        Parameters
        ----------
        objective : Objective
            Of these data.

        Returns
        -------
        TrainingData
            With its `theta`, and the `origin` of its design.
        """
        return replace(self, theta=objective.theta, origin=objective.design.origin)

    def remaining(self, rows, theta, design):
        """Return the data of some rows, with the optimum that was found on them.

        Parameters
        ----------
        rows : ndarray of int, shape (m,)
            Positions, ascending.
        theta : ndarray of shape (K, q)
            The optimum.
        design : Design
            Of all rows; the optimum is about its origin.

        Returns
        -------
        TrainingData
            Whose rows are copied at the first question.
        """
        stored = self.stored
        if self.is_in_blocks:
            gone = np.ones(self.n_rows, dtype=bool)
            gone[rows] = False
            stored = stored.without(np.flatnonzero(gone))
        elif stored is not None:
            stored = SelectedRows(self.X, rows)
        return replace(
            self,
            stored=stored,
            y=self.y[rows],
            sample_weight=None if self.sample_weight is None else self.sample_weight[rows],
            space=None if self.space is None else self.space.taken(rows),
            row_names=None if self.row_names is None else self.row_names[rows],
            theta=theta,
            origin=design.origin,
        )

    def with_optimum_of(self, other):
        """Return the same data with the optimum of others, which stay where they are.

        Parameters
        ----------
        other : TrainingData
            With an optimum.

        Returns
        -------
        TrainingData
            With its `theta` and `origin`.
        """
        return replace(self, theta=other.theta, origin=other.origin)

    @property
    def has_far_columns(self):
        """Whether columns of X are far from zero, see `design.far_origin`.

        Returns
        -------
        bool
            False for the coordinates of a kernel.
        """
        return self.space is None and far_origin(self.X, self.sample_weight) is not None

    def design(self, fit_intercept, *, centred=None):
        """Return the design of the rows.

        Parameters
        ----------
        fit_intercept : bool
            Whether the design has a column of ones.
        centred : bool, optional
            Whether the model does not depend on the origin of X, so that columns far from zero are
            centred; by default where it has an intercept, which is then not penalised.

        Returns
        -------
        Design
            The design of X, in the coordinates of the kernel if there is one.
        """
        if self.space is not None:
            return self.space.design(fit_intercept)
        centred = fit_intercept if centred is None else centred
        if not centred:
            return make_design(self.X, fit_intercept)
        origin = self.origin
        if self.theta is None:
            origin = far_origin(self.X, self.sample_weight)
        return make_design(self.X, fit_intercept, origin)


@dataclass(frozen=True)
class Adapted:
    """An estimator in normal form.

    Attributes
    ----------
    objective : Objective
        The objective at the estimator's own parameters.
    classes : ndarray or None
        The estimator's labels, in the order of the loss's encoding; None for a regressor.
    encode : callable
        `encode(y, name)` returns the caller's labels as the loss encodes them; errors say `name`.
    parameters : callable or None
        `parameters(objective, rows, steps) -> (coef, intercept)` for steps (b, K, q) of deleted
        rows, if the estimator's parameters are not those of the objective.
    response : ResponseScale or None
        Transformers of the responses of the training data.
    own_link : Link or None
        Link from predictors to predictions, if it is not that of the loss.
    restart : callable or None
        `restart(objective)` returns the objective at a start from which Newton's method converges,
        for solvers that may stop too far from the optimum.
    """

    objective: Objective
    classes: np.ndarray | None
    encode: object
    parameters: object = None
    response: object = None
    own_link: Link | None = None
    restart: object = None

    @cached_property
    def link(self):
        """The link from predictors to the estimator's predictions.

        Returns
        -------
        Link
            The link of the loss that was minimised, unless the adapter gives another; with the
            estimator's labels, or in the units of the responses if they were transformed.
        """
        link = self.objective.trained_loss.link if self.own_link is None else self.own_link
        if self.response is None:
            return link.labelled(self.classes)
        return TransformedLink(link, self.response.inverse, spread(self.objective.y))

    def labels(self, encoded):
        """Return the caller's labels from encoded labels.

        Parameters
        ----------
        encoded : ndarray
            Labels as `encode` returns them.

        Returns
        -------
        ndarray
            Members of `classes`; for a regressor the responses in their own units.
        """
        return self.link.labels(encoded)


_ADAPTERS: dict[type, object] = {}
_OURS: set[type] = set()
_SPACES: dict[type, object] = {}
_REFUSED: dict[type, str] = {}


def register(cls, *, inherited=False, space=None):
    """Register `adapter(estimator, data) -> Adapted` for exactly this class.

    With `inherited` also for its subclasses: estimators of this library, whose subclasses have the
    same objective. A subclass of a scikit-learn estimator may have another objective, for instance
    LogisticRegressionCV, a subclass of LogisticRegression. `space(estimator, X)` returns the
    KernelSpace of a kernel model, or None.
    """

    def decorate(adapter):
        _ADAPTERS[cls] = adapter
        if inherited:
            _OURS.add(cls)
        if space is not None:
            _SPACES[cls] = space
        return adapter

    return decorate


def _find(estimator):
    """Return the adapter of an estimator, or None."""
    if type(estimator) in _ADAPTERS:
        return _ADAPTERS[type(estimator)]
    for cls in type(estimator).__mro__:
        if cls in _OURS:
            return _ADAPTERS[cls]
    return None


def kernel_space(estimator, X):
    """Return the KernelSpace of a fitted kernel model.

    Parameters
    ----------
    estimator : estimator
        Fitted estimator.
    X : ndarray or sparse matrix of shape (n, p)
        Its training rows.

    Returns
    -------
    KernelSpace or None
        The space of its kernel; None if the model is linear in X itself.
    """
    for cls in type(estimator).__mro__:
        if cls in _SPACES and (cls is type(estimator) or cls in _OURS):
            return _SPACES[cls](estimator, X)
    return None


def is_supported(estimator):
    """Whether an estimator has an adapter."""
    return _find(estimator) is not None


def supported_estimators() -> list[str]:
    """List the supported estimators.

    Returns
    -------
    list of str
        Class names, sorted. Pipelines that end in one of them, and search objects around these, are
        supported too.

    Examples
    --------
    >>> import skinfluence
    >>> "LogisticRegression" in skinfluence.supported_estimators()
    True
    """
    return sorted(cls.__name__ for cls in _ADAPTERS)


def refuse(cls, reason):
    """Register the reason why a class is not supported.

    Parameters
    ----------
    cls : type
        The class; its subclasses are not included.
    reason : str
        The reason, and what to use instead.
    """
    _REFUSED[cls] = reason


def unsupported(estimator):
    """Return the error for an estimator without an adapter, with the nearest way."""
    if isinstance(estimator, type):
        name = estimator.__name__
        return TypeError(f"{name} is a class, and no estimator: pass an instance, {name}().")
    if not hasattr(estimator, "fit"):
        return TypeError(
            f"{shown(estimator)} is no estimator: the model should be a fitted or unfitted one, or "
            "a Pipeline."
        )
    reason = _REFUSED.get(type(estimator)) or nearest_way(estimator)
    reason = f": {reason}" if reason else ""
    return TypeError(
        f"{type(estimator).__name__} is not supported{reason}. Supported are "
        f"{', '.join(supported_estimators())} (exactly these classes, and subclasses of "
        "this library's own), alone or as the last step of a Pipeline."
    )


def nearest_way(estimator):
    """What to ask instead of an estimator of scikit-learn without an adapter; "" where unknown."""
    if not type(estimator).__module__.startswith("sklearn."):
        return ""
    names = {cls.__name__ for cls in type(estimator).__mro__}
    return next((way for way, of in NEAREST_WAYS.items() if names & of), "")


def dense_coefficients(estimator):
    """Return `coef_` as an array, also after `sparsify()`."""
    coef = estimator.coef_
    return coef.toarray() if hasattr(coef, "toarray") else coef


def adapt(estimator, data):
    """Return a fitted estimator and its training data in normal form.

    Raises
    ------
    TypeError
        If the estimator's class is not registered.
    NotImplementedError
        If the class is registered, but the objective of its settings is not supported.
    """
    adapter = _find(estimator)
    if adapter is None:
        raise unsupported(estimator)
    adapted = adapter(estimator, data)
    if data.response is None:
        return adapted
    encode = adapted.encode
    return replace(
        adapted,
        response=data.response,
        encode=lambda y, name: encode(data.response.transform(y, name), name),
    )
