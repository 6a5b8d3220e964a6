"""Ends of confidence intervals: significance as a function of an objective."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from skinfluence.curvature import make_curvature
from skinfluence.deletion import needs_curvature
from skinfluence.losses import SquaredLoss
from skinfluence.uncertainty import covariance, degrees_of_freedom, dispersion_of

# Degrees of freedom below which there is no test.
FEWEST_FREE = 1e-6


@dataclass(frozen=True)
class Interval:
    """End of a confidence interval of c'theta, as in the summary of a ParameterCovariance.

    By Student's t or the normal distribution, with the degrees of freedom of the rows at hand.

    Attributes
    ----------
    c : ndarray of shape (1, q)
        Of theta.
    caller_c : ndarray of shape (q,)
        The same of a caller's parameters, about zero.
    side : float
        Sign of c'theta at the fit.
    alpha : float
        One minus the confidence.
    end : float
        1 for the end that is nearer to 0, -1 for the farther.
    sign : float
        1 if the conclusion stands while the end is beyond 0, -1 while it is not.
    kind : str
        Of the covariance.
    groups : list of ndarray or None
        Clusters.
    what : str
        What flips, in words.
    """

    c: np.ndarray
    caller_c: np.ndarray
    side: float
    alpha: float
    end: float
    sign: float
    kind: str
    groups: list | None
    what: str

    is_linear = False
    is_smooth = True

    def level_at(self, objective):
        """Return the ratio of the estimate to its standard error at which the conclusion flips."""
        return self.side * self.critical(objective)

    def estimate(self, objective):
        """Return c'theta."""
        return float(np.sum(self.c * objective.theta))

    def _live(self, objective):
        """Objective and clusters of the rows of positive weight."""
        live = np.flatnonzero(objective.sample_weight > 0)
        kept = objective if len(live) == objective.n_rows else objective.take(live)
        groups = self.groups
        if groups is not None:
            position = np.zeros(objective.n_rows, dtype=int)
            position[live] = np.arange(len(live))
            groups = [position[g[objective.sample_weight[g] > 0]] for g in groups]
            groups = [group for group in groups if len(group)]
        return kept, groups

    def critical(self, objective):
        """Return the standard errors from the estimate to the end; negative for the farther one.

        NaN where the rows of positive weight leave no degree of freedom.
        """
        kept, groups = self._live(objective)
        n_clusters = None if groups is None else len(groups)
        try:
            df = degrees_of_freedom(kept, lambda: make_curvature(kept), self.kind, n_clusters)
        except np.linalg.LinAlgError:
            return np.nan
        if np.isinf(df):
            return self.end * float(ndtri(1.0 - self.alpha / 2.0))
        return self.end * float(stdtrit(df, 1.0 - self.alpha / 2.0)) if df > FEWEST_FREE else np.nan

    def standard_error(self, objective):
        """Return the standard error of c'theta, from the rows of positive weight."""
        kept, groups = self._live(objective)

        def curvatures(method):
            if not needs_curvature(kept, method):
                return None
            first = method == "first_order"
            return make_curvature(kept if first else kept.without_mean_penalty_share())

        try:
            matrix = covariance(kept, curvatures, self.kind, groups=groups)
        except (ValueError, np.linalg.LinAlgError):  # too few rows or clusters left
            return np.nan
        return float(np.sqrt(max(self.caller_c @ matrix @ self.caller_c, 0.0)))

    def value(self, objective):
        """Return the estimate over its standard error."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(np.divide(self.estimate(objective), self.standard_error(objective)))

    def margin(self, objective):
        """Return how far the end is from 0, positive on the side where it is at the fit."""
        found = self.side * self.estimate(objective)
        if self.sign < 0:  # not significant: either end may leave 0
            found = abs(found)
        return self.sign * (found - self.critical(objective) * self.standard_error(objective))

    def slopes(self, objective, solve):
        """Return the derivatives of the margin in theta, (1, q), and in log w_i, (n,).

        Of all kinds but "model" they are those of "HC0" or "CR0", scaled to the kind's own
        standard error: they order the candidates, the kind itself judges them.
        """
        side = self.side if self.sign > 0 else np.copysign(1.0, self.estimate(objective))
        v = solve(self.c.reshape(-1, 1))[:, 0]
        along = objective.design @ v
        if self.kind == "model":
            variance, by_theta, by_weight = self._model(objective, v, along)
        else:
            variance, by_theta, by_weight = self._sandwich(objective, solve, v, along)
        error = self.standard_error(objective)
        ratio = self.critical(objective) * error / (2.0 * variance)
        by_theta = self.sign * (side * self.c - ratio * by_theta.reshape(1, -1))
        return by_theta, -self.sign * ratio * by_weight

    def _third(self, objective):
        """w l''' of every row, (n,)."""
        third = objective.loss.third(objective.y, objective.native(objective.eta))
        return objective.weigh(np.reshape(third, -1))

    def _shared(self, objective, left, right):
        """w_i left' r'' right, the row's share of the penalty's part of a quadratic form, (n,)."""
        if objective.row_penalty is None:
            return 0.0
        diagonal = np.broadcast_to(objective.row_penalty.hessian_diagonal, self.c.shape)[0]
        return objective.shares * float(left @ (diagonal * right))

    def _model(self, objective, v, along):
        """phi c'H^-1 c, and its derivatives in theta (q,) and in log w_i (n,)."""
        inner = float(self.c.ravel() @ v)
        curvature = make_curvature(objective)
        phi = float(dispersion_of(objective, curvature)[0, 0])
        W = objective.weights[:, 0, 0]
        by_theta = -phi * objective.design.transpose_matmul(self._third(objective) * along**2)
        by_weight = -phi * (W * along**2 + self._shared(objective, v, v))
        if not objective.loss.has_known_dispersion:
            pearson = objective.loss.pearson_residual(objective.y, objective.eta[:, 0])
            squares = objective.weigh(np.reshape(pearson, -1) ** 2)
            freedom = squares.sum() / phi
            counted = np.where(objective.sample_weight > 0, phi, 0.0)
            by_weight += inner * (squares - counted) / freedom
            if isinstance(objective.loss, SquaredLoss):
                slope = objective.design.transpose_matmul(objective.residuals[:, 0])
                by_theta += inner * 2.0 * slope / freedom
        return phi * inner, by_theta, by_weight

    def _sandwich(self, objective, solve, v, along):
        """sum of squared scores of c'theta, and its derivatives in theta (q,) and log w_i (n,).

        With u_i = g_i z_i'v and sums U over clusters, the derivative of sum U^2 is 2 sum U du;
        v = H^-1 c moves by -H^-1 dH v, where dH has l'' of the row and l''' of all others.
        """
        design, g = objective.design, objective.residuals[:, 0]
        W, weight = objective.weights[:, 0, 0], objective.shares
        common, diagonal = np.zeros(len(v)), np.zeros(len(v))
        if objective.row_penalty is not None:  # each row's share of the penalty is in its score
            common = objective.row_penalty.gradient(objective.theta)[0]
            diagonal = diagonal + objective.row_penalty.hessian_diagonal.ravel()
        u = g * along + weight * (common @ v)
        total = u
        if self.groups is not None:
            total = np.zeros(objective.n_rows)
            for group in self.groups:
                total[group] = u[group].sum()
        variance = float(total @ u)
        twice = 2.0 * total
        shared = twice @ weight
        t = solve((design.transpose_matmul(twice * g) + shared * common)[:, None])[:, 0]
        across = design @ t
        by_theta = design.transpose_matmul(twice * W * along) + shared * diagonal * v
        by_theta -= design.transpose_matmul(self._third(objective) * across * along)
        by_weight = twice * u - W * across * along - self._shared(objective, t, v)
        if self.kind == "HC1":
            n, P = np.count_nonzero(objective.sample_weight), objective.n_parameters
            of_count = variance * P / (n * (n - P))
            by_weight = by_weight - np.where(objective.sample_weight > 0, of_count, 0.0)
        return variance, by_theta, by_weight
