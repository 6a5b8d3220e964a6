"""Penalties: the part of the objective that no row owns."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class L2:
    """R(theta) = 1/2 sum_kj strength_j theta_kj^2.

    Parameters
    ----------
    strength : ndarray of shape (q,)
        One non-negative number a column of the design, the same for every output; zero leaves a
        column (usually the intercept) unpenalised.
    """

    strength: np.ndarray

    def value(self, theta):
        """Return R(theta) for theta (K, q)."""
        return 0.5 * float(np.sum(self.strength * theta**2))

    def gradient(self, theta):
        """Gradient, (K, q)."""
        return self.strength * theta

    @property
    def unpenalised(self):
        """Boolean mask (q,) of the columns with no penalty."""
        return self.strength == 0.0
