"""Transformers of responses and their inverses."""

import numpy as np

from skinfluence._validation import as_responses, listed


class ResponseScale:
    """The fitted transformers of TransformedTargetRegressors, held fixed when a row is deleted.

    Parameters
    ----------
    transformers : list of transformers
        Transformers fitted on the responses as a matrix, outermost first.
    """

    def __init__(self, transformers):
        self.transformers = transformers

    def transform(self, y, name):
        """Responses of the inner regressor, (n,) or (n, K); `name` is their name in errors."""
        y = as_responses(y, name, getattr(self.transformers[0], "n_features_in_", None))
        found = y.reshape(len(y), -1)
        for transformer in self.transformers:
            with np.errstate(all="ignore"):
                moved = np.asarray(transformer.transform(found), dtype=np.float64)
            found = moved.reshape(len(y), -1)
            bad = np.flatnonzero(~np.isfinite(found).all(axis=1))
            if len(bad):
                raise ValueError(
                    f"{name} has responses that the transformer of the responses sends to NaN or "
                    f"infinity: {y[bad[0]]} at row {listed(bad)}. Pass responses in its range "
                    "(those of a logarithm are positive)."
                )
        if found.size != y.size:
            raise NotImplementedError(
                "influence needs a transformer that keeps the number of columns of the responses; "
                f"{name} has {y.size // len(y)} columns, {found.shape[1]} after the transformation."
            )
        return found.reshape(y.shape)

    def inverse(self, y):
        """Responses (m, K) from transformed responses (m, K)."""
        for transformer in reversed(self.transformers):
            y = np.asarray(transformer.inverse_transform(y), dtype=np.float64).reshape(y.shape)
        return y
