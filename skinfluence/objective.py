"""The objective: a loss, a design, labels, weights and a penalty, bound at a parameter."""

from functools import cached_property

import numpy as np

from skinfluence.losses import SquaredLoss

# Share of the largest curvature under which a row adds nothing to a sum of float64.
NEGLIGIBLE = 1e-20
# Curvature of an intercept, in units of that of all rows at a kink, that is none.
VANISHED = 1e-12

# What is computed once and knows no penalty.
OF_ROWS = {"eta", "row_losses", "row_gradients", "residuals", "weights", "curved_rows"}
OF_ROWS |= {"weight_roots", "weight_factors"}


class Objective:
    """F(theta) = sum_i w_i l(y_i, theta z_i) + R(theta) + (sum_i w_i) r(theta), at one theta.

    Everything the formulas of influence ask of a model. A sum, not a mean; weights outside the loss
    and nowhere else in the library. Models that minimise the mean loss plus a penalty r have it as
    their rows' common one: a row that goes takes its share w_i r with it. Immutable: a new
    parameter or new weights make a new objective.

    Shapes are uniform: with K predictors a row (K = 1 for a scalar loss), eta and residuals are
    (n, K), weights (n, K, K), theta and gradient (K, q).

    Parameters
    ----------
    loss : Loss
    design : Design of shape (n, q)
    y : ndarray of shape (n,)
        Labels, encoded as the loss wants them.
    sample_weight : ndarray of shape (n,)
        Non-negative weights w, class weights multiplied in.
    penalty : L2
        R, which stays when a row goes.
    theta : ndarray of shape (K, q)
    trained_loss : Loss, optional
        The loss whose optimum theta is, where `loss` only lends it its derivatives: the hinge of a
        support vector machine, of which the smooth hinge has the curvature. `loss` by default.
    row_penalty : L2, optional
        r, per unit of weight; of the kind of `penalty`.

    Attributes
    ----------
    penalty : L2
        R + (sum_i w_i) r.
    taken : float
        Weight whose share in the common penalty is not in it any more, see `lightened`.
    """

    def __init__(
        self,
        loss,
        design,
        y,
        sample_weight,
        penalty,
        theta,
        trained_loss=None,
        row_penalty=None,
    ):
        self.loss = loss
        self.design = design
        self.y = y
        self.sample_weight = sample_weight
        self.fixed_penalty, self.row_penalty = penalty, row_penalty
        self.penalty = penalty
        if row_penalty is not None:
            self.penalty = penalty.plus(row_penalty.times(float(sample_weight.sum())))
        self.theta = theta
        self.trained_loss = loss if trained_loss is None else trained_loss
        self.negligible = NEGLIGIBLE
        self.penalty_weight_removed = 0.0

    def _with(self, **changes):
        """Return the same objective but for some of its parts."""
        now = {
            "loss": self.loss,
            "design": self.design,
            "y": self.y,
            "sample_weight": self.sample_weight,
            "penalty": self.fixed_penalty,
            "theta": self.theta,
            "trained_loss": self.trained_loss,
            "row_penalty": self.row_penalty,
        }
        other = Objective(**{**now, **changes})
        other.penalty_weight_removed = self.penalty_weight_removed
        return other

    # -- sizes -------------------------------------------------------------------------------------

    @property
    def n_rows(self):
        """Number n of training rows."""
        return self.design.shape[0]

    @property
    def n_outputs(self):
        """Number K of predictors a row."""
        return self.loss.n_outputs

    @property
    def n_parameters(self):
        """Number K q of parameters."""
        return self.n_outputs * self.design.shape[1]

    @cached_property
    def hessian_diagonal(self):
        """Second derivative of the penalty in every parameter, (K q,)."""
        shape = (self.n_outputs, self.design.shape[1])
        return np.broadcast_to(self.penalty.hessian_diagonal, shape).ravel()

    @cached_property
    def fixed_at_zero(self):
        """Positions among the K q parameters of those that the penalty holds at 0."""
        shape = (self.n_outputs, self.design.shape[1])
        return np.flatnonzero(np.broadcast_to(self.penalty.fixed_at_zero, shape).ravel())

    @cached_property
    def active(self):
        """Boolean mask (K, q) of the coefficients that move with the data."""
        return self.penalty.active(self.theta)

    # -- rows --------------------------------------------------------------------------------------

    def native(self, eta):
        """Drop the axis of predictors where the loss has only one."""
        return eta[..., 0] if self.loss.is_scalar else eta

    @cached_property
    def eta(self):
        """Predictors (n, K)."""
        return self.design @ self.theta.T

    @cached_property
    def row_losses(self):
        """Unweighted loss of every row, (n,)."""
        return self.loss.value(self.y, self.native(self.eta))

    @cached_property
    def row_gradients(self):
        """Unweighted derivative of every row's loss in its predictor, (n, K)."""
        gradient = self.loss.gradient(self.y, self.native(self.eta))
        return gradient.reshape(self.n_rows, self.n_outputs)

    @cached_property
    def residuals(self):
        """g = w l', (n, K)."""
        return self.sample_weight[:, None] * self.row_gradients

    @cached_property
    def weights(self):
        """W = w l'', (n, K, K)."""
        K = self.n_outputs
        curvature = self.loss.curvature(self.y, self.native(self.eta)).reshape(-1, K, K)
        return self.sample_weight[:, None, None] * curvature

    @cached_property
    def curved_rows(self):
        """Positions of the rows whose curvature is more than rounding to the sum of all; (m,).

        Of a hinge at a low temperature those near the kink, of other losses nearly all.
        """
        size = np.abs(np.einsum("ikk->i", self.weights))
        return np.flatnonzero(size > self.negligible * size.max(initial=0.0))

    @cached_property
    def weight_roots(self):
        """L with W = L L', (n, K, K); raises where a row's curvature is negative."""
        K = self.n_outputs
        with np.errstate(invalid="ignore"):
            root = self.loss.curvature_root(self.y, self.native(self.eta)).reshape(-1, K, K)
        if np.isnan(root).any():
            raise np.linalg.LinAlgError("a row of negative curvature has no real root")
        return np.sqrt(self.sample_weight)[:, None, None] * root

    @cached_property
    def weight_factors(self):
        """(L, S) with W = L S, S = L' where the curvature is positive; (n, K, K) each.

        A single predictor's may be negative, as of losses that are not convex: S = -L' there.
        """
        if self.n_outputs > 1:
            return self.weight_roots, self.weight_roots.transpose(0, 2, 1)
        root = np.sqrt(np.abs(self.weights))
        return root, np.copysign(root, self.weights)

    @property
    def predictor_unit(self):
        """Size of what is one in its predictors; 1 where they have no units."""
        unit = self.loss.unit(self.y, self.eta)
        return 1.0 if unit is None else unit

    @property
    def coefficient_unit(self):
        """Size of what is one in its coefficients, for tolerances; not below their rounding."""
        largest = float(np.abs(self.theta).max(initial=0.0))
        if self.loss.unit(self.y, self.eta) is None:
            return max(1.0, largest)
        weight = self.sample_weight[:, None]
        widest = float(self.design.absolute_sum(weight).max() / weight.sum())
        return max(self.predictor_unit / max(1.0, widest), 1e-6 * largest)

    # -- sums --------------------------------------------------------------------------------------

    @cached_property
    def value(self):
        """F(theta); inf or NaN out of the domain of the loss."""
        with np.errstate(invalid="ignore"):  # rows of weight 0
            losses = float(self.sample_weight @ self.row_losses)
        return losses + self.penalty.value(self.theta)

    @cached_property
    def gradient(self):
        """Gradient of F, (K, q), or its shortest subgradient; 0 in what is held."""
        gradient = self.design.transpose_matmul(self.residuals).T
        return self.penalty.total_gradient(gradient, self.theta)

    def freed(self, gradient):
        """Return gradients (..., K, q) with 0 in the parameters that are held."""
        if len(self.fixed_at_zero):
            gradient.reshape(*gradient.shape[:-2], -1)[..., self.fixed_at_zero] = 0.0
        return gradient

    @cached_property
    def gradient_scale(self):
        """sum_i |g_i z_ij| + |R'_j|, (K, q): the size of what cancels in each coordinate.

        Where next to nothing does, as in a column of zeros, a coefficient a millionth of the
        largest counts as zero: rounding leaves 1e-20 there, which its own scale would call far off.
        """
        size = self.loss.gradient_size(self.y, self.native(self.eta))
        size = self.sample_weight[:, None] * size.reshape(self.n_rows, self.n_outputs)
        scale = self.design.absolute_sum(size) + np.abs(self.penalty.gradient(self.theta))
        return scale + 1e-6 * self.penalty.hessian_diagonal * np.abs(self.theta).max(initial=0.0)

    @cached_property
    def stationarity(self):
        """max_j |gradient_j| / gradient_scale_j: 0 at an optimum, coordinate by coordinate.

        Relative to each coordinate's own scale, because the largest gradient over the largest scale
        hides an unconverged small-scale column.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.abs(self.gradient) / self.gradient_scale
        ratio = np.where(self.gradient == 0.0, 0.0, ratio)
        return float(ratio.max(initial=0.0))

    def hessian_matmul(self, V):
        """(sum_i W_i (x) z_i z_i' + R'') V, for V (K q, m), without forming the Hessian."""
        K, q = self.n_outputs, self.design.shape[1]
        product = np.empty_like(V)
        moved = np.stack([self.design @ block for block in V.reshape(K, q, -1)], axis=1)
        moved = np.einsum("ikl,ilm->ikm", self.weights, moved) if K > 1 else self.weights * moved
        for k in range(K):
            product[k * q : (k + 1) * q] = self.design.transpose_matmul(moved[:, k])
        return product + self.hessian_diagonal[:, None] * V

    @property
    def free_intercepts(self):
        """Whether each output, or all together, has an intercept without penalty."""
        return self.design.free_intercepts(self.penalty.hessian_diagonal)

    @cached_property
    def vanished_intercepts(self):
        """Whether the curvature of each output's unpenalised intercept vanishes, (K,).

        At a low temperature no row may be near a kink: all curvatures underflow together, and the
        ratios of what is left of them would be answered as influence.
        """
        loss, K = self.loss, self.n_outputs
        has_kinks = loss.temperature > 0 or loss.is_piecewise_linear
        free = np.broadcast_to(self.free_intercepts, K)
        if not has_kinks or not free.any():
            return np.zeros(K, dtype=bool)
        total = np.einsum("ikk->k", self.weights) * loss.temperature
        return free & (total <= VANISHED * self.sample_weight.sum())

    def check_intercept(self):
        """Raise LinAlgError where the curvature of an unpenalised intercept vanishes."""
        if self.vanished_intercepts.any():
            raise np.linalg.LinAlgError(
                "the intercept is not identified: its curvature vanishes, and no influence is "
                "defined"
            )

    # -- other objectives --------------------------------------------------------------------------

    def output(self, k):
        """Return the objective of one output alone, for a loss whose outputs share nothing."""
        loss, y, share = self.loss.output(self.y, k)
        trained = loss if self.is_at_its_own_optimum else self.trained_loss.output(self.y, k)[0]
        weight = self.sample_weight if share is None else self.sample_weight * share
        row_penalty = None if self.row_penalty is None else self.row_penalty.output(k)
        return self._with(
            loss=loss,
            y=y,
            sample_weight=weight,
            penalty=self.fixed_penalty.output(k),
            theta=self.theta[[k]],
            trained_loss=trained,
            row_penalty=row_penalty,
        )

    @property
    def is_at_its_own_optimum(self):
        """Whether theta is meant to be where the gradient of this very loss vanishes."""
        return self.trained_loss is self.loss

    def trained(self):
        """Return the objective that was minimised."""
        return self if self.is_at_its_own_optimum else self._with(loss=self.trained_loss)

    def at(self, theta):
        """Return the same objective at another parameter."""
        return self._with(theta=theta)

    def with_loss(self, loss):
        """Return the objective of another loss, at the same parameter."""
        return self._with(loss=loss, trained_loss=loss)

    def least_squares(self):
        """Return the objective of the same rows and columns that is quadratic; of one output."""
        penalty = self.penalty.output(0)
        theta = self.theta[:1]
        return Objective(SquaredLoss(), self.design, self.y, self.sample_weight, penalty, theta)

    def take(self, rows):
        """Return the objective of some rows only, at the same parameter."""
        weight = self.sample_weight[rows]
        return self._with(design=self.design.take(rows), y=self.y[rows], sample_weight=weight)

    def penalised_at_least(self, strength):
        """Return the objective with a small penalty on what has none, at the same parameter."""
        return self._with(penalty=self.penalty.at_least(strength), row_penalty=None)

    # -- the penalty that goes with a row ----------------------------------------------------------

    @cached_property
    def shares(self):
        """Weight of each row in the common penalty, (n,): what it takes with it."""
        common = self.row_penalty is not None and not self.row_penalty.is_none
        return self.sample_weight if common else np.zeros(self.n_rows)

    @cached_property
    def mean_penalty_share(self):
        """Mean of the shares over the rows of positive weight."""
        return float(self.shares.sum() / np.count_nonzero(self.sample_weight))

    def without_mean_penalty_share(self):
        """Return the objective of which the curvature is that without a row, but for the row.

        Its penalty lacks the mean row's share. With equal weights that is exact for every row, with
        others wrong by the difference of the shares, one part in n of the penalty.
        """
        if not self.mean_penalty_share:
            return self
        left = self.sample_weight.sum() - self.mean_penalty_share
        lighter = self._penalised_by(self.fixed_penalty.plus(self.row_penalty.times(left)))
        lighter.penalty_weight_removed = self.mean_penalty_share
        return lighter

    def with_fixed_penalty(self):
        """Return the objective with all of its penalty fixed, whatever its rows."""
        return self if self.row_penalty is None else self._penalised_by(self.penalty)

    def on_active_set(self):
        """Return the objective in the columns with an active coefficient, its signs held.

        All others are 0 and stay there: the predictors are the same.
        """
        columns = np.flatnonzero(self.active.any(axis=0))
        row_penalty = self.row_penalty
        if row_penalty is not None:
            row_penalty = row_penalty.restricted(self.theta, columns)
        return self._same_rows(
            design=self.design.restricted(columns),
            penalty=self.fixed_penalty.restricted(self.theta, columns),
            row_penalty=row_penalty,
            theta=self.theta[:, columns],
        )

    def _penalised_by(self, penalty):
        """Return the same rows at the same parameter under another penalty, a fixed one."""
        return self._same_rows(penalty=penalty, row_penalty=None)

    def _same_rows(self, **changes):
        """Return an objective of the same predictors."""
        other = self._with(**changes)
        kept = vars(self).keys() & OF_ROWS
        vars(other).update({name: vars(self)[name] for name in kept})
        return other

    def penalty_mismatch(self, rows, penalty_weight_removed):
        """(share - taken) / (what is left), (r,): how far a curvature lightened by `taken` is off.

        Relative to its penalty, for the models without these rows; 0 where they weigh the same.
        """
        off = self.shares[rows] - penalty_weight_removed
        off[(np.abs(off) <= 1e-12 * penalty_weight_removed) | (self.shares[rows] == 0)] = 0.0
        left = self.shares.sum() - penalty_weight_removed
        return np.divide(off, left, out=np.zeros(len(off)), where=off != 0)

    def dropping_flat_rows(self, tolerance):
        """Objective whose curvature leaves out rows below `tolerance` times the largest one's."""
        same = self._with()
        same.negligible = tolerance
        return same

    def reweighted(self, delta):
        """Return the objective with `delta` added to the sample weights, at the same parameter."""
        return self._with(sample_weight=self.sample_weight + delta)

    def without(self, row):
        """Return the objective without one row, at the same parameter."""
        weight = self.sample_weight.copy()
        weight[row] = 0.0
        return self._with(sample_weight=weight)
