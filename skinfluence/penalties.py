"""Penalties: the part of the objective that no row owns, or that every row owns a share of."""

from dataclasses import dataclass, fields, replace

import numpy as np


@dataclass(frozen=True)
class L2:
    """R(theta) = 1/2 sum_kj strength_kj theta_kj^2.

    Parameters
    ----------
    strength : ndarray of shape (q,) or (K, q)
        One non-negative number a column of the design, the same for every output, or one a
        parameter. Zero leaves a column (usually the intercept) unpenalised; inf holds its
        coefficient at 0, where it is no parameter of the model any more.
    """

    strength: np.ndarray

    def value(self, theta):
        """Return R(theta) for theta (K, q)."""
        return float(self.values(theta))

    def values(self, theta):
        """R of several parameters (..., K, q), (...)."""
        return 0.5 * np.sum(self.bend * theta**2, axis=(-2, -1))

    def gradient(self, theta):
        """Gradient, of the shape of theta (..., K, q)."""
        return self.bend * theta

    @property
    def bend(self):
        """Second derivative: the strength, 0 where a coefficient is held."""
        return np.where(self.held, 0.0, self.strength)

    @property
    def held(self):
        """Boolean mask of the shape of `strength`: the coefficients that are held at 0."""
        return np.isinf(self.strength)

    @property
    def holds(self):
        """Whether any coefficient is held."""
        return bool(self.held.any())

    @property
    def is_none(self):
        """Whether nothing is penalised."""
        return not any((getattr(self, field.name) > 0).any() for field in fields(self))

    @property
    def unpenalised(self):
        """Boolean mask of the columns with no penalty."""
        return self.strength == 0.0

    def output(self, k):
        """Return the penalty of one output's parameters."""
        return self._each(lambda part: part if part.ndim == 1 else part[[k]])

    def times(self, factor):
        """Return a multiple of the penalty."""
        return self._each(lambda part: factor * part)

    def plus(self, other):
        """Return the sum with a penalty of the same kind."""
        names = [field.name for field in fields(self)]
        return replace(self, **{name: getattr(self, name) + getattr(other, name) for name in names})

    def same(self, other):
        """Whether another penalty is of the same kind and strength."""
        return type(self) is type(other) and all(
            np.array_equal(getattr(self, field.name), getattr(other, field.name))
            for field in fields(self)
        )

    def at_least(self, strength):
        """Return the penalty with a small strength on what has none."""
        return replace(self, strength=np.maximum(self.strength, strength))

    def _each(self, change):
        """Do something to every array."""
        return replace(self, **{f.name: change(getattr(self, f.name)) for f in fields(self)})


@dataclass(frozen=True)
class ElasticNet(L2):
    """R(theta) = sum_kj absolute_kj |theta_kj| + 1/2 strength_kj theta_kj^2.

    Differentiable where no penalised theta_kj is 0: on the active set of a fit, as long as it
    stays.

    Parameters
    ----------
    strength : ndarray of shape (q,) or (K, q)
        As in :class:`L2`.
    absolute : ndarray of the same shape
        Non-negative.
    """

    absolute: np.ndarray

    def values(self, theta):
        """R of several parameters (..., K, q), (...)."""
        return super().values(theta) + np.sum(self.absolute * np.abs(theta), axis=(-2, -1))

    def gradient(self, theta):
        """Gradient, of the shape of theta (..., K, q); 0 of the first part where theta is 0."""
        return super().gradient(theta) + self.absolute * np.sign(theta)
