"""Leave-one-out scores in scikit-learn's own searches."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import get_scorer

from skinfluence._typing import MatrixLike
from skinfluence._validation import METHODS, check_choice
from skinfluence.functions import explain
from skinfluence.problem import fitted_problem


class FullSample:
    """A splitter with one split, whose train and test set are all rows.

    Use it together with :func:`loo_scorer`, which computes the score of the leave-one-out
    predictions from the one fit; any other scorer gives the training score.

    See Also
    --------
    LeaveOneOutSearchCV : Such a search in one object, with warm starts and standard errors.

    Examples
    --------
    >>> import numpy as np
    >>> from skinfluence.model_selection import FullSample
    >>> [(train, test)] = FullSample().split(np.zeros((3, 1)))
    >>> train, test
    (array([0, 1, 2]), array([0, 1, 2]))
    """

    def split(
        self, X: MatrixLike, y: ArrayLike | None = None, groups: ArrayLike | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield one (train, test) pair, both all rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows; only their number is used.
        y, groups : object
            Ignored.

        Yields
        ------
        train, test : ndarray of shape (n_samples,)
            Positions 0, ..., n_samples - 1.
        """
        n = _n_rows(X)
        yield np.arange(n), np.arange(n)

    def get_n_splits(
        self,
        X: MatrixLike | None = None,
        y: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> int:
        """Return the number of splits, 1.

        Parameters
        ----------
        X, y, groups : object
            Ignored.

        Returns
        -------
        int
            Always 1.
        """
        return 1

    def __repr__(self):
        return "FullSample()"


class _LeaveOneOutScorer:
    """Callable `scorer(estimator, X, y)` that can be pickled."""

    def __init__(self, scoring, method):
        self.scoring = scoring
        self.method = method

    def __call__(self, estimator, X, y, sample_weight=None):
        """Leave-one-out score of a fitted estimator on the rows it was fitted on.

        The weights are those of its fit; a search passes the same ones.
        """
        view = explain(estimator)
        data = fitted_problem(view).record.data
        fitted_on, response = data.y, data.response
        y = np.asarray(y) if response is None else response.transform(y, "y")
        same = _n_rows(X) == len(fitted_on) and y.shape == fitted_on.shape
        if not (same and np.array_equal(y, fitted_on)):
            raise ValueError(
                f"loo_scorer got {_n_rows(X)} rows that are not the {len(fitted_on)} training rows "
                f"of the {type(estimator).__name__}. A leave-one-out score is defined for the "
                "training rows only: use cv=FullSample()."
            )
        return view.loo_estimate(method=self.method, scoring=self.scoring).score

    def __repr__(self):
        """Return the call of `loo_scorer` that makes this scorer."""
        return f"loo_scorer({self.scoring!r}, method={self.method!r})"


def loo_scorer(scoring: str | Callable | None = None, *, method: str = "auto") -> Callable:
    """Make a scorer of the leave-one-out predictions of a fitted model for its own training rows.

    The score is ``scoring`` of the pooled predictions, each by the model without the row. For a
    score that is a mean over rows it equals the mean over ``cv=LeaveOneOut()``; other scores
    (roc_auc) are defined for pooled predictions only. Each candidate needs one fit instead of n.

    Parameters
    ----------
    scoring : str or callable, optional
        Scorer of the pooled predictions; by default the estimator's own, as in
        :meth:`InfluenceExplainer.loo_estimate`.
    method : {"auto", "exact", "newton", "first_order"}, default="auto"
        As in :meth:`InfluenceExplainer.loo_estimate`.

    Returns
    -------
    callable
        ``scorer(estimator, X, y) -> float``, greater is better. The estimator has to keep its
        training data: an estimator of this library, or a Pipeline that ends in one, whose earlier
        steps are held fixed. It raises ValueError if X and y are not the training rows (their
        number and labels differ), for instance the rows of a fold. A search turns the error into a
        warning and NaN, unless ``error_score="raise"``.

    Raises
    ------
    ValueError
        If the method is unknown.

    See Also
    --------
    FullSample : The splitter to use with it.
    LeaveOneOutSearchCV : Such a search in one object, with warm starts and standard errors.

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
    check_choice("method", method, METHODS)
    if isinstance(scoring, str):
        get_scorer(scoring)  # an unknown name raises here; in a search it would give NaN
    return _LeaveOneOutScorer(scoring, method)


def _n_rows(X):
    """Number of rows of anything array-like."""
    return X.shape[0] if hasattr(X, "shape") else len(X)
