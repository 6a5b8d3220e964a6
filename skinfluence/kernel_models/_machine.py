"""What classifiers and regressors with a kernel share."""

import numpy as np
from sklearn.utils.validation import check_is_fitted, validate_data

from skinfluence.base import InfluenceMixin


class KernelMachineMixin(InfluenceMixin):
    """A model with a `kernel`, a `_space` (None where it is linear in X) and an `_explanation`."""

    def _accepted(self):
        """What the validation of X lets through."""
        sparse = False if self.kernel == "precomputed" else "csr"
        dtype = [np.float64, np.float32] if self.kernel == "linear" else np.float64
        return {"accept_sparse": sparse, "dtype": dtype}

    # -- what InfluenceMixin asks ------------------------------------------------------------------

    def _explain(self, cached):
        """Return the fit as an objective at its optimum."""
        check_is_fitted(self)
        return self._explanation.explained(self, cached)

    def _test_array(self, X):
        """Return X_test in the coordinates of the training rows."""
        X = validate_data(self, X, reset=False, **self._accepted())
        return X if self._space is None else self._space.map(X)

    def __sklearn_tags__(self):
        """Sparse unless precomputed, which is pairwise."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self.kernel != "precomputed"
        tags.input_tags.pairwise = self.kernel == "precomputed"
        return tags
