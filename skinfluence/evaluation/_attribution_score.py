"""What comparing an attribution with retrained models gives."""

from dataclasses import dataclass

import numpy as np

from skinfluence._frames import DataFrame, Result, data_frame
from skinfluence.evaluation._agreement import Agreement


@dataclass(frozen=True, repr=False)
class AttributionScore(Result):
    """How well an attribution predicts the outputs of retrained models.

    Attributes
    ----------
    score : float
        Mean over the test rows of the Spearman correlations.
    interval : tuple of float
        95 % bootstrap interval of what more subsets and test rows would score. Of m subsets a rank
        correlation is 3 (rho - tau) / (m + 1) too small in the mean, and the interval lies higher
        by that; of one test row it says nothing of others.
    ceiling : float
        Mean of the correlations that a perfect prediction would have: 1 of a model without a random
        state; NaN where nothing says how random the outputs are.
    correlations : ndarray of shape (n_test,)
        Spearman correlation of the predicted with the actual outputs of each test row, over the
        subsets; NaN where one of them is constant.
    ceilings : ndarray of shape (n_test,)
    magnitude : Agreement
        Of predicted with actual changes of the outputs, all test rows together: a rank says nothing
        of their size.
    n_subsets : int
        Retrained models that the outputs were compared with.
    test_names : ndarray of shape (n_test,) or None
        Names of the test rows; None if X_test has none.
    """

    score: float
    interval: tuple
    ceiling: float
    correlations: np.ndarray
    ceilings: np.ndarray
    magnitude: Agreement
    n_subsets: int
    test_names: np.ndarray | None = None

    @property
    def share_of_ceiling(self) -> float:
        """The score as a share of the ceiling.

        Returns
        -------
        float
            1 for an attribution that predicts all that can be predicted.
        """
        return self.score / self.ceiling

    def to_frame(self) -> DataFrame:
        """Return one line for each test row, as a pandas DataFrame.

        Returns
        -------
        pandas.DataFrame
            Columns correlation and ceiling, indexed by the names of the test rows.
        """
        columns = {"correlation": self.correlations, "ceiling": self.ceilings}
        return data_frame(columns, self.test_names)

    def __repr__(self):
        """The score, its interval, the ceiling, and how large the predictions are."""
        low, high = self.interval
        return (
            f"AttributionScore({self.score:.3f}, 95 % from {low:.3f} to {high:.3f}, ceiling "
            f"{self.ceiling:.3f}; magnitudes: slope {self.magnitude.slope:.3f}, relative RMSE "
            f"{self.magnitude.relative_rmse:.3f}; {self.n_subsets} retrained models)"
        )
