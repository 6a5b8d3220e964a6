"""Fitted scikit-learn estimators whose predictions are given."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.metaestimators import available_if


def _check_rows(X, eta):
    """Raise unless X may be the rows whose predictors are given; None passes."""
    n_rows = len(eta) if X is None else X.shape[0] if hasattr(X, "shape") else len(X)
    if n_rows != len(eta):
        raise ValueError(
            f"predictions are known for the {len(eta)} rows that are scored, in their order; got "
            f"{n_rows} rows. A scorer should predict all rows at once, and select from the result."
        )


def _gives_probabilities(predictions):
    """For available_if."""
    return predictions.link.has_probabilities


class PrecomputedClassifier(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose predictors are given: what a scorer sees of a deleted model.

    Parameters
    ----------
    link : Link
    eta : ndarray of shape (n,) or (n, K)
        Predictors. Where they are NaN the first class is predicted, and all else is NaN.
    """

    def __init__(self, link=None, eta=None):
        self.link = link
        self.eta = eta

    def fit(self, X=None, y=None):
        """Return the classifier as it is."""
        return self

    def __sklearn_is_fitted__(self):
        """Whether it is fitted: always."""
        return True

    @property
    def classes_(self):
        """Labels."""
        return self.link.classes

    def decision_function(self, X):
        """Decision values of the given predictors; X is not looked at."""
        _check_rows(X, self.eta)
        return self.link.decision(self.eta)

    @available_if(_gives_probabilities)
    def predict_proba(self, X):
        """Class probabilities of the given predictors; X is not looked at."""
        _check_rows(X, self.eta)
        return self.link.probabilities(self.eta)

    @available_if(_gives_probabilities)
    def predict_log_proba(self, X):
        """Logarithm of the class probabilities."""
        _check_rows(X, self.eta)
        return self.link.log_probabilities(self.eta)

    def predict(self, X):
        """Labels of the given predictors; X is not looked at."""
        _check_rows(X, self.eta)
        undefined = np.isnan(self.eta).reshape(len(self.eta), -1).any(axis=1)
        codes = self.link.predicted(self.eta)
        return self.classes_[np.where(undefined, 0, codes)]


class PrecomputedRegressor(RegressorMixin, BaseEstimator):
    """A fitted regressor whose predictors are given.

    Parameters
    ----------
    link : Link
    eta : ndarray of shape (n,) or (n, K)
    """

    def __init__(self, link=None, eta=None):
        self.link = link
        self.eta = eta

    def fit(self, X=None, y=None):
        """Return the regressor as it is."""
        return self

    def __sklearn_is_fitted__(self):
        """Whether it is fitted: always."""
        return True

    def predict(self, X):
        """Predictions of the given predictors; X is not looked at."""
        _check_rows(X, self.eta)
        return self.link.mean(self.eta)
