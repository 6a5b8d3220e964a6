"""How many rows, in fractions, move an optimum to a parameter: a linear program and its dual.

theta is the optimum without the shares d of the units if sum_u d_u G_u = sum_i g_i z_i + R', with
the units' gradients G_u at theta. The least sum of d is k(theta); by weak duality any y gives
k(theta) >= sum_u min(y'G_u, 1) + y'(R' + gradients of the rows that may not leave).
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import linprog, minimize

from skinfluence.losses import BinaryLogLoss, SquaredLoss, TweedieLoss
from skinfluence.penalties import L2

# Cost of a unit of the equations' residual, in rows: keeps the program feasible, its dual bounded.
ELASTIC = 100.0
# Entries of a program that is asked some fifty times.
LARGEST_PROGRAM = 400_000
MAX_ITERATIONS = 40
MAX_NEWTON = 100


def mean_function(loss):
    """Name of m in l' = m(eta) - y: "identity", "exp" or "sigmoid"; None for other losses."""
    if type(loss) is SquaredLoss and loss.n_outputs == 1:
        return "identity"
    if type(loss) is BinaryLogLoss:
        return "sigmoid"
    if type(loss) is TweedieLoss and loss.power == 1 and loss.link.name == "log":
        return "exp"
    return None


def is_covered(objective):
    """Whether the relaxation is available: a known loss of one output, a ridge penalty or none."""
    penalties = (objective.fixed_penalty, objective.row_penalty)
    plain = all(penalty is None or type(penalty) is L2 for penalty in penalties)
    fixed = any(penalty is not None and penalty.has_fixed for penalty in penalties)
    return mean_function(objective.loss) is not None and plain and not fixed


@dataclass(frozen=True)
class Relaxation:
    """k(theta) on the plane of the parameters at which a contrast has its level.

    Attributes
    ----------
    objective : Objective
        At its optimum, with one output.
    contrast : Contrast
    units : list of ndarray
    """

    objective: object
    contrast: object
    units: list

    @cached_property
    def Z(self):
        """Rows of the design, (n, P)."""
        return self.objective.design.dense(slice(None))

    @cached_property
    def unit_of(self):
        """Position of each row's unit, (n,); that after the last for rows that may not leave."""
        found = np.full(self.objective.n_rows, len(self.units))
        for position, unit in enumerate(self.units):
            found[unit] = position
        return found

    @cached_property
    def is_by_row(self):
        """Whether every row is a unit of its own, in the order of the rows."""
        n = self.objective.n_rows
        return len(self.units) == n and bool((self.unit_of == np.arange(n)).all())

    def summed(self, values):
        """Sums (r + 1, ...) of rows' values (n, ...) over units, last of those that stay."""
        if self.is_by_row:
            return np.concatenate([values, np.zeros((1, *values.shape[1:]))])
        found = np.zeros((len(self.units) + 1, *values.shape[1:]))
        np.add.at(found, self.unit_of, values)
        return found

    def penalty_gradients(self, theta):
        """Gradients of the fixed penalty and of the rows' penalty for a unit of weight, (P,)."""
        fixed = self.objective.fixed_penalty.gradient(theta[None, :])[0]
        common = self.objective.row_penalty
        return fixed, None if common is None else common.gradient(theta[None, :])[0]

    def gradients(self, theta):
        """Gradient of each unit (r, P), and of what stays (P,)."""
        at = self.objective.at(theta[None, :])
        rows = at.residuals * self.Z
        fixed, common = self.penalty_gradients(theta)
        if common is not None:
            rows = rows + self.objective.shares[:, None] * common
        summed = self.summed(rows)
        return summed[:-1], summed[-1] + fixed

    def solve(self, theta):
        """Return (k(theta), y, d): the program's value, its dual (P,) and the shares (r,).

        Residuals of the equations are allowed at a cost, so that there always is an answer: y
        proves what it proves by weak duality, whatever the solver's tolerances.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            units, rest = self.gradients(theta)
        if not (np.isfinite(units).all() and np.isfinite(rest).all()):
            return np.inf, np.zeros(units.shape[1]), np.zeros(len(units))
        scale = np.abs(units).max(axis=0)
        scale[scale == 0] = 1.0
        A = (units / scale).T
        P, r = A.shape
        right = A.sum(axis=1) + rest / scale
        result = linprog(
            np.r_[np.ones(r), np.full(2 * P, ELASTIC)],
            A_eq=np.hstack([A, np.eye(P), -np.eye(P)]),
            b_eq=right,
            bounds=np.r_[np.tile([0.0, 1.0], (r, 1)), np.tile([0.0, np.inf], (2 * P, 1))],
            method="highs-ds",
        )
        if result.status != 0 or not np.isfinite(result.x).all():
            return np.inf, np.zeros(P), np.zeros(r)
        return float(result.fun), result.eqlin.marginals / scale, result.x[:r]

    @cached_property
    def plane(self):
        """Return (theta_r, N): the optimum on the plane, and directions (P, P - 1) in it.

        N'HN = s^2 I at theta_r, s^2 the dispersion: a step of 1 is about one standard error.

        Raises
        ------
        numpy.linalg.LinAlgError
            If there is no finite start on the plane, or no curvature there.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            return self._find_plane()

    @property
    def has_plane(self):
        """Whether the plane has a finite start, and the objective a curvature there."""
        try:
            return len(self.plane) == 2
        except np.linalg.LinAlgError:
            return False

    def _find_plane(self):
        """As `plane`, by Newton's method in the plane from the nearest point in the metric of H."""
        c, objective = self.contrast.c[0], self.objective
        basis = np.linalg.svd(c[None, :])[2][1:].T
        along = np.linalg.solve(self._hessian(objective), c)
        start = objective.theta[0]
        start = start + along * (self.contrast.level - c @ start) / (c @ along)
        at = objective.at(start[None, :])
        if not np.isfinite(at.value):
            raise np.linalg.LinAlgError("the loss overflows where the contrast has its level")
        for _ in range(MAX_NEWTON):
            reduced = basis.T @ self._hessian(at) @ basis
            slope = basis.T @ at.gradient[0]
            step = -basis @ np.linalg.solve(reduced, slope)
            size, moved = 1.0, at
            for _ in range(40):
                moved = objective.at(at.theta + size * step)
                if moved.value <= at.value + 1e-4 * size * float(at.gradient[0] @ step):
                    break
                size /= 2
            else:
                break
            at = moved
            if np.abs(size * step).max() <= 1e-12 * (1.0 + np.abs(at.theta).max()):
                break
        factor = np.linalg.cholesky(basis.T @ self._hessian(at) @ basis)
        # Twice the mean loss, by which losses with units have none.
        loss = at.value - at.penalty.value(at.theta)
        mean = 2.0 * float(loss) / np.count_nonzero(at.sample_weight)
        scale = np.sqrt(mean) if mean > 0 else 1.0
        return at.theta[0], scale * basis @ np.linalg.inv(factor).T

    def _hessian(self, objective):
        """Hessian (P, P) of an objective."""
        return objective.loss_hessian() + np.diag(objective.hessian_diagonal)

    def local_minimum(self, near=None):
        """Return (k, d) at a local minimum of k(theta) over the plane: evidence, not a proof.

        By a quasi-Newton method with the gradient H_-d y, from the plane's point nearest to `near`
        in the metric of H, by default to the optimum. None where the program is large.
        """
        center, N = self.plane
        if self.Z.size > LARGEST_PROGRAM:
            return None
        best = [np.inf, None]

        def value_and_slope(tau):
            theta = center + N @ tau
            k, y, d = self.solve(theta)
            if k < best[0]:
                best[:] = [k, d]
            if not np.isfinite(k):
                return 1e6, np.zeros(len(tau))
            left = 1.0 - np.append(d, 0.0)[self.unit_of]
            at = self.objective.at(theta[None, :])
            at = at.reweighted(at.weigh(left - 1.0))
            return k, N.T @ (self._hessian(at) @ y)

        start = np.zeros(N.shape[1])
        if near is not None:
            HN = self._hessian(self.objective.at(center[None, :])) @ N
            start = np.linalg.solve(N.T @ HN, HN.T @ (near - center))
        with np.errstate(over="ignore", invalid="ignore"):
            options = {"maxiter": MAX_ITERATIONS, "gtol": 1e-4}
            minimize(value_and_slope, start, jac=True, method="BFGS", options=options)
        return tuple(best) if best[1] is not None else None
