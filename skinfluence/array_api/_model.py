"""ArrayModel: what a model fitted on the arrays of another library answers, and what it refuses."""

from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning

from skinfluence._backend import array_library, as_numpy
from skinfluence._validation import (
    METHODS,
    as_index,
    check_aggregate,
    check_choice,
    check_count,
    check_test_weight,
    listed,
    shown,
    warn,
)
from skinfluence.array_api._answers import ArrayAnswers
from skinfluence.array_api._problem import ArrayProblem
from skinfluence.array_api._results import ArrayLeaveOneOut, ArrayMostInfluential
from skinfluence.losses import ArrayLogLoss, ArraySoftmaxLoss, ArraySquaredLoss

# Settings that the answers on a device do not know, and their only value there.
DEFAULTS = {
    "curvature": "auto",
    "damping": 0.0,
    "progress": None,
    "as_frame": False,
    "return_info": False,
    "scoring": None,
    "groups": None,
    "tol": 1e-8,
}


@dataclass(frozen=True)
class ArrayModel:
    """A fitted estimator's problem on the device, its labels, and the sentences of what it refuses.

    Attributes
    ----------
    name : str
        Of the class of the estimator.
    problem : ArrayProblem
        At the optimum.
    classes : array of shape (n_classes,) or None
        As the caller has the labels, of NumPy or of the library of X.
    """

    name: str
    problem: ArrayProblem
    classes: object = None

    @classmethod
    def fitted(cls, estimator, X, y, sample_weight, penalty):
        """Polish a model that scikit-learn has fitted on arrays of another library.

        Parameters
        ----------
        estimator : estimator
            With `coef_` and `intercept_`, and `classes_` if it is a classifier.
        X, y, sample_weight
            The training data as they were passed.
        penalty : float
            Times half the squared coefficients, for losses in the normal form.
        """
        library, classes = array_library(X), getattr(estimator, "classes_", None)
        loss = ArraySquaredLoss()
        if classes is not None:
            n = classes.shape[0]
            loss = ArrayLogLoss() if n == 2 else ArraySoftmaxLoss(n)
        coef = library.xp.reshape(library.exact(estimator.coef_), (-1, X.shape[1]))
        intercept = None
        if estimator.fit_intercept:
            intercept = library.xp.reshape(library.exact(estimator.intercept_), (-1,))
        weight = library.zeros(X.shape[0]) + 1.0
        if sample_weight is not None:
            weight = weight * library.exact(sample_weight)
        encoded = _encoded(library, y, classes, "y")
        problem = ArrayProblem.of(
            library, X, encoded, weight, loss, penalty, coef, intercept
        ).polished()
        return cls(type(estimator).__name__, problem, classes)

    # -- checks ------------------------------------------------------------------------------------

    def refusal(self):
        """Return the error of every question that is not answered on a device."""
        return NotImplementedError(
            f"this {self.name} was fitted on arrays of {self.problem.library.name}: influence, "
            "most_influential, self_influence and loo_estimate answer there, by method='newton' or "
            "'first_order'. For everything else fit it on arrays of NumPy (of a tensor X.cpu())."
        )

    def _refuse(self, **settings):
        """Raise for a setting that has another value than its default."""
        for name, value in settings.items():
            default = DEFAULTS[name]
            if value is not default and value != default:
                raise NotImplementedError(
                    f"{name}={shown(value)} is not available for a {self.name} fitted on arrays of "
                    f"{self.problem.library.name}: leave it at {default!r}, or fit on arrays of "
                    "NumPy (of a tensor X.cpu())."
                )

    def _method(self, method):
        """The one-step method that is meant; raise for refits."""
        check_choice("method", method, METHODS)
        closed = isinstance(self.problem.loss, ArraySquaredLoss)
        if method in ("auto", "exact") and not closed:
            raise NotImplementedError(
                f"method={method!r} refits rows, which a {self.name} fitted on arrays of "
                f"{self.problem.library.name} does not: use method='newton' or 'first_order', or "
                "fit on arrays of NumPy (of a tensor X.cpu())."
            )
        return "newton" if method in ("auto", "exact") else method

    def _answers(self, method, train_indices):
        """ArrayAnswers about training rows, with a warning of undefined ones."""
        rows = None
        if train_indices is not None:
            rows = as_index(as_numpy(train_indices), self.problem.n_rows)
        answers = ArrayAnswers(self.problem, self._method(method), rows)
        if bool(self.problem.library.xp.any(answers.undefined)):
            undefined = np.flatnonzero(as_numpy(answers.undefined))
            undefined = undefined if rows is None else rows[undefined]
            warn(
                f"without row{'s' if len(undefined) > 1 else ''} {listed(undefined)} there is no "
                "model: the row is the last of its class, or determines a coefficient alone. Its "
                "values are NaN.",
                UndefinedMetricWarning,
            )
        return answers

    def _test_rows(self, X, y, target):
        """Test rows on the device, and their labels as the loss has them."""
        problem = self.problem
        check_choice("target", target, problem.loss.targets)
        library = array_library(X)
        if library is None or (library.xp, library.device) != (
            problem.library.xp,
            problem.library.device,
        ):
            raise TypeError(
                f"X_test should be an array of {problem.library.name}, as X was in fit, under "
                "sklearn.config_context(array_api_dispatch=True); got "
                f"{type(X).__module__}.{type(X).__name__}."
            )
        if X.ndim != 2 or X.shape[1] != problem.X.shape[1]:
            raise ValueError(
                f"X has shape {tuple(X.shape)}, but {self.name} is expecting "
                f"{problem.X.shape[1]} features as input."
            )
        xp = library.xp
        if not bool(xp.all(xp.isfinite(xp.sum(X, axis=0)))):
            raise ValueError("X_test contains NaN or infinity.")
        if y is None:
            if target == "loss":
                raise ValueError(
                    "y_test is None, but target='loss' needs the labels of the test rows."
                )
            return X, None
        y = _encoded(problem.library, y, self.classes, "y_test")
        if y.shape[0] != X.shape[0]:
            raise ValueError(
                "Found input variables with inconsistent numbers of samples: X_test has "
                f"{X.shape[0]} rows, y_test {y.shape[0]}."
            )
        return X, y

    # -- questions ---------------------------------------------------------------------------------

    def influence(self, X, y, *, target, method, rows, aggregate, weight, **settings):
        """As :meth:`InfluenceExplainer.influence`, in the library and type of the data."""
        self._refuse(**settings)
        check_aggregate(aggregate, weight)
        X, y = self._test_rows(X, y, target)
        answers = self._answers(method, rows)
        if aggregate is None:
            return answers.influence(X, y, target)
        library = self.problem.library
        weight = np.ones(X.shape[0]) if weight is None else as_numpy(weight)
        weight = check_test_weight(weight, X.shape[0])
        if aggregate == "mean":
            weight = weight / weight.sum()
        return answers.aggregate(X, y, target, library.exact(weight))

    def most_influential(self, X, y, *, k, target, method, train_indices, **settings):
        """As :meth:`InfluenceExplainer.most_influential`."""
        self._refuse(**settings)
        check_count("k", k)
        X, y = self._test_rows(X, y, target)
        if target != "loss" and self.problem.n_outputs > 1:
            raise NotImplementedError(
                f"target={target!r} has an axis of classes, which most_influential does not rank "
                "on arrays of other libraries: use target='loss', or rank influence() itself."
            )
        if train_indices is not None:
            as_index(as_numpy(train_indices), self.problem.n_rows, distinct=True)
        answers = self._answers(method, train_indices)
        if k > answers.n_deletions:
            raise ValueError(
                f"k should be an integer from 1 to the {answers.n_deletions} training rows asked "
                f"about; got {shown(k)} instead."
            )
        up, down = answers.extremes(X, y, target, int(k))
        # A loss that rises without a row was helped by it; so was what is to be large and falls.
        helpful, harmful = (up, down) if target == "loss" else (down, up)
        return ArrayMostInfluential(*helpful, *harmful)

    def self_influence(self, *, target, method, train_indices, **settings):
        """As :meth:`InfluenceExplainer.self_influence`."""
        self._refuse(**settings)
        check_choice("target", target, self.problem.loss.targets)
        return self._answers(method, train_indices).self_influence(target)

    def loo_estimate(self, *, method, **settings):
        """As :meth:`InfluenceExplainer.loo_estimate`, by one step."""
        self._refuse(**settings)
        problem, answers = self.problem, self._answers(method, None)
        library, xp, loss = problem.library, problem.library.xp, problem.loss
        eta = answers.eta + answers.own_change
        losses = loss.value(xp, problem.y, eta)
        defined = ~answers.undefined
        used = xp.where(defined, problem.weight, 0.0 * problem.weight)
        mean, error = _mean_and_error(xp, xp.where(defined, losses, 0.0 * losses), used)
        train = loss.value(xp, problem.y, answers.eta)
        route = np.full(problem.n_rows, answers.method, dtype="<U11")
        route[as_numpy(answers.undefined)] = "undefined"
        unknown = xp.full_like(losses, xp.nan)
        prediction = loss.mean(xp, eta)
        decision = eta[:, 0] if problem.n_outputs == 1 else eta
        return ArrayLeaveOneOut(
            decision_function=library.native(decision),
            probability_source=library.native(prediction) if loss.n_classes else None,
            prediction=None if loss.n_classes else library.native(prediction),
            loss=library.native(losses),
            leverage=library.native(answers.leverage),
            method=route,
            error_source=(
                library.native(unknown),
                library.native(xp.full_like(losses, xp.inf)),
                None,
            ),
            weight=library.native(problem.weight),
            mean_loss=mean,
            standard_error=error,
            train_loss=_mean_and_error(xp, train, problem.weight)[0],
            score=self._score(prediction, used),
            scoring="accuracy" if loss.n_classes else "r2",
        )

    def _score(self, prediction, weight):
        """Accuracy, or r2, of leave-one-out predictions."""
        xp, y = self.problem.library.xp, self.problem.y
        total = xp.sum(weight)
        if self.classes is not None:
            y = y if y.shape[1] > 1 else xp.concat([1.0 - y, y], axis=1)
            right = xp.argmax(prediction, axis=1) == xp.argmax(y, axis=1)
            return float(xp.sum(xp.where(right, weight, 0.0 * weight)) / total)
        known = weight > 0
        missed = xp.where(known, y[:, 0] - prediction, 0.0 * weight)
        spread = y[:, 0] - xp.sum(weight * y[:, 0]) / total
        return 1.0 - float(xp.sum(weight * missed**2) / xp.sum(weight * spread**2))


def _mean_and_error(xp, values, weight):
    """Weighted mean and its standard error."""
    share = weight / xp.sum(weight)
    mean = float(xp.sum(share * values))
    n = int(xp.sum(xp.astype(weight > 0, xp.int64)))
    spread = float(xp.sum(share**2 * (values - mean) ** 2))
    return mean, float(np.sqrt(spread * n / (n - 1))) if n > 1 else np.nan


def _encoded(library, y, classes, name):
    """Responses (n, 1), or labels as 0 and 1: (n, 1) of two classes, else (n, K)."""
    xp = library.xp
    if classes is None:
        y = library.exact(y)
        if y.ndim == 2 and y.shape[1] > 1:
            raise NotImplementedError(
                f"{name} has {y.shape[1]} columns: several responses are answered on arrays of "
                "NumPy only (of a tensor X.cpu())."
            )
        return xp.reshape(y, (-1, 1))
    if library.owns(classes) and library.owns(y):
        y = xp.reshape(xp.asarray(y, device=library.device), (-1, 1))
        hit = library.exact(y == classes[None, :])
    else:
        hit = library.exact(as_numpy(y).reshape(-1, 1) == as_numpy(classes)[None, :])
    known = xp.sum(hit, axis=1) > 0
    if not bool(xp.all(known)):
        raise ValueError(
            f"{name} contains labels that were not seen in training, in rows "
            f"{listed(np.flatnonzero(~as_numpy(known)))}."
        )
    return hit[:, 1:] if classes.shape[0] == 2 else hit
