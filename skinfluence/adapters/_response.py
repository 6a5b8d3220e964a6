"""Transformed responses, the way there and back."""

import numpy as np

from skinfluence._validation import as_responses


class ResponseScale:
    """The fitted transformers of TransformedTargetRegressors, held when a row is deleted.

    Parameters
    ----------
    transformers : list of transformers
        Fitted on the responses as a matrix, outermost first.
    """

    def __init__(self, transformers):
        self.transformers = transformers

    def transform(self, y, name):
        """What the inner regressor was fitted on, (n,) or (n, K); raise naming `name`."""
        y = as_responses(y, name, getattr(self.transformers[0], "n_features_in_", None))
        found = y.reshape(len(y), -1)
        for transformer in self.transformers:
            found = np.asarray(transformer.transform(found), dtype=np.float64).reshape(len(y), -1)
        if found.size != y.size:
            raise NotImplementedError(
                f"influence on transformed responses needs as many columns as {name} has; got "
                f"{found.shape[1]} instead of {y.size // len(y)}."
            )
        return found.reshape(y.shape)

    def inverse(self, y):
        """Responses of transformed ones (m, K)."""
        for transformer in reversed(self.transformers):
            y = np.asarray(transformer.inverse_transform(y), dtype=np.float64).reshape(y.shape)
        return y
