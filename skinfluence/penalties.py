"""Penalties, either fixed or proportional to the sum of the weights."""

from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class L2:
    """R(theta) = 1/2 sum_kj strength_kj theta_kj^2.

    Parameters
    ----------
    strength : ndarray of shape (q,) or (K, q)
        Non-negative; one number for each column of the design, the same for every output, or one
        for each parameter. Zero leaves a column (usually the intercept) unpenalised; inf fixes its
        coefficient at zero, so that it is not a parameter of the model.
    """

    strength: np.ndarray

    def value(self, theta):
        """Return R(theta) for theta (K, q)."""
        return float(self.values(theta))

    def values(self, theta):
        """R of a stack of parameters (..., K, q), as an array (...)."""
        return 0.5 * np.sum(self.hessian_diagonal * theta**2, axis=(-2, -1))

    def gradient(self, theta):
        """Gradient, of the shape of theta (..., K, q)."""
        return self.hessian_diagonal * theta

    @property
    def hessian_diagonal(self):
        """Second derivative of R: the strength, 0 for coefficients that are fixed at zero."""
        return np.where(self.fixed_at_zero, 0.0, self.strength)

    @property
    def fixed_at_zero(self):
        """Boolean mask of the shape of `strength`: coefficients that are fixed at zero."""
        return np.isinf(self.strength)

    @property
    def has_fixed(self):
        """Whether any coefficient is fixed at zero."""
        return bool(self.fixed_at_zero.any())

    @cached_property
    def is_none(self):
        """Whether no coefficient is penalised, apart from those that are fixed at zero."""
        parts = (getattr(self, field.name) for field in fields(self))
        return not any((np.isfinite(part) & (part != 0)).any() for part in parts)

    @property
    def is_kinked(self):
        """Whether R has a kink at 0, so that coefficients can be exactly 0 at an optimum."""
        return False

    def total_gradient(self, gradient, theta):
        """Gradient of the objective from that of its losses; 0 for coefficients fixed at zero."""
        return np.where(self.fixed_at_zero, 0.0, gradient + self.gradient(theta))

    def active(self, theta):
        """Boolean mask (K, q) of the coefficients that change when the data change a little."""
        return np.broadcast_to(~self.fixed_at_zero, theta.shape)

    @property
    def unpenalised(self):
        """Boolean mask of the columns without a penalty."""
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
        """Return the penalty with every strength raised to at least `strength`."""
        return replace(self, strength=np.maximum(self.strength, strength))

    def widened(self, change):
        """Return the penalty with `change` applied to the columns of each of its arrays."""
        return self._each(change)

    def _each(self, change):
        """Return the penalty with `change` applied to each of its arrays."""
        return replace(self, **{f.name: change(getattr(self, f.name)) for f in fields(self)})


@dataclass(frozen=True)
class LinearPlusL2(L2):
    """R(theta) = sum_kj slope_kj theta_kj + 1/2 strength_kj theta_kj^2.

    An elastic net on its active set, where the signs of the coefficients are fixed.

    Parameters
    ----------
    strength : ndarray of shape (q,) or (K, q)
        As in :class:`L2`.
    slope : ndarray of shape (K, q)
        Of any sign.
    """

    slope: np.ndarray

    def values(self, theta):
        return super().values(theta) + np.sum(self.slope * theta, axis=(-2, -1))

    def gradient(self, theta):
        return super().gradient(theta) + self.slope


@dataclass(frozen=True)
class ElasticNet(L2):
    """R(theta) = sum_kj absolute_kj |theta_kj| + 1/2 strength_kj theta_kj^2.

    Differentiable if no coefficient with a positive `absolute` is 0. Coefficients that are 0 at the
    optimum stay 0 under small changes of the data: the formulas of influence are those of the
    others, the active set.

    Parameters
    ----------
    strength : ndarray of shape (q,) or (K, q)
        As in :class:`L2`.
    absolute : ndarray of the same shape
        Non-negative.
    """

    absolute: np.ndarray

    @property
    def is_kinked(self):
        return bool((self.absolute > 0).any())

    def values(self, theta):
        return super().values(theta) + np.sum(self.absolute * np.abs(theta), axis=(-2, -1))

    def gradient(self, theta):
        """Gradient, of the shape of theta (..., K, q); that of |theta_kj| is taken as 0 at 0."""
        return super().gradient(theta) + self.absolute * np.sign(theta)

    def total_gradient(self, gradient, theta):
        """Subgradient of least norm of the objective, from the gradient of its losses."""
        # At theta = 0 the subgradients are the interval total +- absolute; the shortest is 0 if the
        # interval contains 0. It vanishes exactly if theta satisfies the optimality conditions.
        total = gradient + self.gradient(theta)
        at_kink = (theta == 0) & (self.absolute > 0)
        beyond = np.sign(total) * np.maximum(np.abs(total) - self.absolute, 0.0)
        return np.where(at_kink, beyond, total)

    def active(self, theta):
        return super().active(theta) & ((theta != 0) | (self.absolute == 0))

    def restricted(self, theta, columns):
        """Return the smooth penalty on some columns (an index array) with signs and zeros fixed."""
        active = self.active(theta)[:, columns]
        strength = np.broadcast_to(self.strength, theta.shape)[:, columns]
        strength = np.where(active, strength, np.inf)
        if (strength == strength[:1]).all():
            strength = strength[0]
        slope = np.broadcast_to(self.absolute, theta.shape)[:, columns] * np.sign(theta[:, columns])
        return LinearPlusL2(strength, slope)
