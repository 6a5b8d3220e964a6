"""Fitted scikit-learn estimators whose predictions are given."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.metaestimators import available_if


def _gives_probabilities(predictions):
    """For available_if."""
    return predictions.link.has_probabilities


class _Precomputed:
    """What classifiers and regressors have in common whose predictors are given.

    Parameters
    ----------
    link : Link
    eta : ndarray of shape (n,) or (n, K)
        Predictors.
    rows : KnownRows, optional
        Whose predictors they are; without them nothing but X = None is answered.

    Notes
    -----
    X may be the rows, some of them, or all in another order; None stands for the rows as they are.
    """

    def __init__(self, link=None, eta=None, rows=None):
        self.link = link
        self.eta = eta
        self.rows = rows

    def _predictors(self, X):
        """Predictors of some of the rows; raise for others."""
        if X is None:
            return self.eta
        if self.rows is None:
            raise ValueError("predictions are known, and the rows are not: X should be None.")
        return self.rows.of(X, self.eta)

    def __getattr__(self, name):
        """Say of what is missing why it is; private names are left to Python."""
        if name.startswith("_") or name in ("link", "eta", "rows"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        raise AttributeError(
            f"the estimator that a scorer is handed has no {name!r}: it holds predictions of "
            "models without a row, not one fitted model with coefficients (those are in "
            f"parameter_influence()). Of what a fitted model has, it has {self._known_names()}."
        )

    def fit(self, X=None, y=None):
        """Return the estimator as it is."""
        return self

    def __sklearn_is_fitted__(self):
        """Whether it is fitted: always."""
        return True


class PrecomputedClassifier(_Precomputed, ClassifierMixin, BaseEstimator):
    """A fitted classifier whose predictors are given: what a scorer sees of a deleted model.

    Where predictors are NaN the first class is predicted, and all else is NaN.
    """

    def _known_names(self):
        """Names of the attributes that a scorer may read."""
        names = ["predict", "decision_function"]
        if _gives_probabilities(self):
            names += ["predict_proba", "predict_log_proba"]
        return ", ".join([*names, "classes_ and score"])

    @property
    def classes_(self):
        """Labels."""
        return self.link.classes

    def decision_function(self, X):
        """Decision values of the rows X."""
        return self.link.decision(self._predictors(X))

    @available_if(_gives_probabilities)
    def predict_proba(self, X):
        """Class probabilities of the rows X."""
        return self.link.probabilities(self._predictors(X))

    @available_if(_gives_probabilities)
    def predict_log_proba(self, X):
        """Logarithm of the class probabilities."""
        return self.link.log_probabilities(self._predictors(X))

    def predict(self, X):
        """Labels of the rows X."""
        eta = self._predictors(X)
        undefined = np.isnan(eta).reshape(len(eta), -1).any(axis=1)
        codes = self.link.predicted(eta)
        return self.classes_[np.where(undefined, 0, codes)]


class PrecomputedRegressor(_Precomputed, RegressorMixin, BaseEstimator):
    """A fitted regressor whose predictors are given: what a scorer sees of a deleted model."""

    def _known_names(self):
        """Names of the attributes that a scorer may read."""
        return "predict and score"

    def predict(self, X):
        """Predictions of the rows X."""
        return self.link.mean(self._predictors(X))
