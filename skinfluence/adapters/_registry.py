"""Which estimators are understood: exact types, never a guess."""

from dataclasses import dataclass, replace

import numpy as np

from skinfluence.attribution import Link
from skinfluence.design import KernelSpace, make_design
from skinfluence.losses import TransformedLink, spread
from skinfluence.objective import Objective


@dataclass(frozen=True)
class TrainingData:
    """What an estimator was fitted on, by reference.

    Attributes
    ----------
    X : ndarray or sparse matrix of shape (n, p)
        As scikit-learn's validation returned it: it shares memory with the caller's where it can.
    y : ndarray of shape (n,)
        The caller's labels.
    sample_weight : ndarray of shape (n,) or None
    space : KernelSpace or None
        Of a kernel machine: X are its coordinates then.
    response : ResponseScale or None
        Where y are transformed responses, the way there and back.
    row_names : ndarray of shape (n,) or None
        Index of the data frame that fit was given.
    theta : ndarray of shape (K, q) or None
        Optimum found on these data; None before it is found.
    """

    X: object
    y: np.ndarray
    sample_weight: np.ndarray | None
    space: KernelSpace | None = None
    response: object = None
    row_names: np.ndarray | None = None
    theta: np.ndarray | None = None

    def design(self, fit_intercept):
        """Return the design of the rows.

        Parameters
        ----------
        fit_intercept : bool
            Whether it has a column of ones.

        Returns
        -------
        Design
            Of X, in the coordinates of the kernel where there is one.
        """
        if self.space is not None:
            return self.space.design(fit_intercept)
        return make_design(self.X, fit_intercept)


@dataclass(frozen=True)
class Adapted:
    """An estimator in normal form.

    Attributes
    ----------
    objective : Objective
        At the estimator's own parameters.
    classes : ndarray or None
        The estimator's labels, in the order of the loss's encoding; None for a regressor.
    encode : callable
        `encode(y, name)` turns the caller's labels into the loss's, or raises naming `name`.
    parameters : callable or None
        `parameters(objective, rows, steps) -> (coef, intercept)` for steps (b, K, q) of deleted
        rows, where the estimator's parameters are not those of the objective.
    response : ResponseScale or None
        Of the training data; `encode` takes what it gives.
    restart : callable or None
        `restart(objective)` is the objective at a start from which Newton's method is safe, where
        a solver may have stopped too far off.
    """

    objective: Objective
    classes: np.ndarray | None
    encode: object
    parameters: object = None
    response: object = None
    restart: object = None

    @property
    def link(self):
        """What reads the predictors.

        Returns
        -------
        Loss
            The one that was minimised; of transformed responses in the units of the responses.
        """
        loss = self.objective.trained_loss
        if self.response is None:
            return loss
        return TransformedLink(loss, self.response.inverse, spread(self.objective.y))

    @property
    def output(self):
        """How the estimator reads its predictors.

        Returns
        -------
        Output
            Labels, and whether there are probabilities; or what a regressor predicts.
        """
        loss = self.objective.loss
        link = loss if self.response is None else self.link
        return Link(self.classes, loss.has_probabilities, link)

    def labels(self, encoded):
        """Return the caller's labels of encoded ones.

        Parameters
        ----------
        encoded : ndarray
            As `encode` returns them.

        Returns
        -------
        ndarray
            Members of `classes`; of a regressor the same numbers, in their own units.
        """
        if self.classes is None:
            return self.link.response(encoded)
        return self.classes[encoded.astype(int)]


_ADAPTERS: dict[type, object] = {}
_OURS: set[type] = set()
_SPACES: dict[type, object] = {}
_REFUSED: dict[type, str] = {}


def register(cls, *, inherited=False, space=None):
    """Register `adapter(estimator, data) -> Adapted` for a class, exactly.

    With `inherited` its subclasses are taken too: for estimators of this library, whose subclasses
    keep the objective. A subclass of scikit-learn's may minimise anything (LogisticRegressionCV is
    a LogisticRegression). `space(estimator, X)` gives the KernelSpace of a kernel machine, or None.
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
    """Return the KernelSpace of a fitted kernel machine.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    X : ndarray or sparse matrix of shape (n, p)
        Its training rows.

    Returns
    -------
    KernelSpace or None
        None where the model is linear in X itself.
    """
    space = _SPACES.get(type(estimator))
    return None if space is None else space(estimator, X)


def is_supported(estimator):
    """Whether an estimator has an adapter."""
    return _find(estimator) is not None


def supported_estimators():
    """List the estimators whose training rows can be deleted.

    Returns
    -------
    list of str
        Class names, sorted. Pipelines ending in one, and search objects around these, work as well.

    Examples
    --------
    >>> import skinfluence
    >>> "LogisticRegression" in skinfluence.supported_estimators()
    True
    """
    return sorted(cls.__name__ for cls in _ADAPTERS)


def refuse(cls, reason):
    """Say why a class is not supported.

    Parameters
    ----------
    cls : type
        The class, exactly.
    reason : str
        Why, and what to do.
    """
    _REFUSED[cls] = reason


def unsupported(estimator):
    """Return the error for an estimator without an adapter."""
    reason = f": {_REFUSED[type(estimator)]}" if type(estimator) in _REFUSED else ""
    return TypeError(
        f"{type(estimator).__name__} is not supported{reason}. Supported are "
        f"{', '.join(supported_estimators())} (exactly these classes, and subclasses of "
        "this library's own), alone or as the last step of a Pipeline."
    )


def adapt(estimator, data):
    """Return a fitted estimator and its training data in normal form.

    Raises
    ------
    TypeError
        If the estimator's class is not registered.
    NotImplementedError
        If it is, but its settings lead to an objective that is not supported yet.
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
