"""Leave-one-out scores inside scikit-learn's own searches."""

import numpy as np
from sklearn.metrics import get_scorer

from skinfluence._validation import METHODS, check_choice
from skinfluence.functions import explain
from skinfluence.problem import fitted_problem


class FullSample:
    """A splitter whose one "fold" trains and tests on all rows.

    It makes sense together with :func:`loo_scorer` only, which turns the one fit into the score of
    its leave-one-out predictions; any other scorer gives the training score.

    See Also
    --------
    LeaveOneOutSearchCV : The same in one object, with warm starts and standard errors.

    Examples
    --------
    >>> import numpy as np
    >>> from skinfluence.model_selection import FullSample
    >>> [(train, test)] = FullSample().split(np.zeros((3, 1)))
    >>> train, test
    (array([0, 1, 2]), array([0, 1, 2]))
    """

    def split(self, X, y=None, groups=None):
        """Yield the positions of all rows, twice, once.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows; only their number counts.
        y, groups : object
            Ignored.

        Yields
        ------
        train, test : ndarray of shape (n_samples,)
            0, ..., n_samples - 1.
        """
        n = _n_rows(X)
        yield np.arange(n), np.arange(n)

    def get_n_splits(self, X=None, y=None, groups=None):
        """Return 1.

        Parameters
        ----------
        X, y, groups : object
            Ignored.

        Returns
        -------
        int
            1.
        """
        return 1

    def __repr__(self):
        """Class name."""
        return "FullSample()"


class _LeaveOneOutScorer:
    """Callable `scorer(estimator, X, y)`; picklable."""

    def __init__(self, scoring, method):
        self.scoring = scoring
        self.method = method

    def __call__(self, estimator, X, y):
        """Leave-one-out score of a fitted estimator on the rows it was fitted on."""
        view = explain(estimator)
        data = fitted_problem(view).record.data
        fitted_on, response = data.y, data.response
        y = np.asarray(y) if response is None else response.transform(y, "y")
        same = _n_rows(X) == len(fitted_on) and y.shape == fitted_on.shape
        if not (same and np.array_equal(y, fitted_on)):
            raise ValueError(
                f"loo_scorer was asked to score {_n_rows(X)} rows, which are not the "
                f"{len(fitted_on)} training rows of the {type(estimator).__name__}: its leave-one-"
                "out score is that of its own training rows, and says nothing of other folds. Use "
                "it with cv=FullSample()."
            )
        return view.loo_estimate(method=self.method, scoring=self.scoring).score

    def __repr__(self):
        """Return the call that made it."""
        return f"loo_scorer({self.scoring!r}, method={self.method!r})"


def loo_scorer(scoring=None, *, method="auto"):
    """Make a scorer of a fitted model's leave-one-out predictions of its own training rows.

    The score is ``scoring`` of the pooled predictions, each by the model without the row. For a
    score that is a mean over rows this is what ``cv=LeaveOneOut()`` averages; others (roc_auc)
    exist for pooled predictions only. One fit a candidate instead of n.

    Parameters
    ----------
    scoring : str or callable, optional
        What to compute of the pooled predictions; accuracy by default.
    method : {"auto", "exact", "newton", "first_order"}, default="auto"
        As in :meth:`InfluenceExplainer.loo_estimate`.

    Returns
    -------
    callable
        ``scorer(estimator, X, y) -> float``, greater is better. The estimator has to keep its
        training data: one of this library, or a Pipeline that ends in one, whose earlier steps are
        held fixed. It raises ValueError where X and y are not the training rows, by their number
        and labels: on a real fold. A search turns that into a warning and NaN, unless its
        ``error_score="raise"``.

    Raises
    ------
    ValueError
        For an unknown method.

    See Also
    --------
    FullSample : The splitter for it.
    LeaveOneOutSearchCV : The same in one object, with warm starts and standard errors.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skinfluence import InfluenceLogisticRegression
    >>> from skinfluence.model_selection import FullSample, loo_scorer
    >>> X, y = load_iris(return_X_y=True)
    >>> search = GridSearchCV(
    ...     InfluenceLogisticRegression(), {"C": [0.1, 1.0, 10.0]},
    ...     cv=FullSample(), scoring=loo_scorer("neg_log_loss"),
    ... )
    >>> search.fit(X, y).best_params_
    {'C': 10.0}
    """
    check_choice("method", method, ("auto", *METHODS))
    if isinstance(scoring, str):
        get_scorer(scoring)  # raises for an unknown name, now and not as a NaN of a search
    return _LeaveOneOutScorer(scoring, method)


def _n_rows(X):
    """Rows of anything array-like."""
    return X.shape[0] if hasattr(X, "shape") else len(X)
