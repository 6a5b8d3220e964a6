"""The objective: a loss, a design, labels, weights and a penalty, bound at a parameter."""

from functools import cached_property

import numpy as np

from skinfluence._parallel import cache_blocks, row_blocks
from skinfluence.losses import SquaredLoss
from skinfluence.penalties import L2

# Rows whose curvature is below this share of the largest are left out of the Hessian: 1e4 of them,
# for rows z of equal size, change no digit of a float64 sum that contains the largest.
NEGLIGIBLE = 1e-20
# An intercept is not identified if its curvature is below this share of that of all rows at a kink.
VANISHED = 1e-12

# Cached properties that depend on the rows and the predictors alone, not on the penalty: an
# objective of the same predictors takes them over.
OF_ROWS = {"eta", "row_losses", "row_gradients", "residuals", "weights"}
OF_ROWS |= {"weight_roots", "weight_diagonals"}
# Those of them that do not depend on the weights either.
UNWEIGHTED = {"eta", "row_losses", "row_gradients"}
# Bytes of the weights W of all rows that are computed once and kept. Of more (many classes) they
# are computed where they are needed, in blocks of rows of so many bytes.
KEPT_BYTES = 2**26
BLOCK_BYTES = 2**24


def _weighted(values, weight):
    """Values (n, ...) times the weights (n,) of their rows; 0 in rows of weight 0, even of inf."""
    weight = weight.reshape(-1, *[1] * (values.ndim - 1))
    if weight.all():
        return weight * values
    return np.multiply(weight, values, out=np.zeros(values.shape), where=weight != 0)


class Objective:
    """F(theta) = sum_i w_i l(y_i, theta z_i) + R(theta) + (sum_i w_i) r(theta), at one theta.

    It has all quantities of a model that the formulas of influence need. F is a sum, not a mean;
    the weights stand outside the loss and nowhere else in the library. For models that minimise the
    mean loss plus a penalty r, r is the common penalty of the rows: the deletion of row i removes
    its share w_i r. Immutable: another parameter or other weights are another objective.

    Shapes are uniform: with K predictors for each row (K = 1 for a scalar loss), eta and residuals
    are (n, K), weights (n, K, K), theta and gradient (K, q).

    Parameters
    ----------
    loss : Loss
    design : Design of shape (n, q)
    y : ndarray of shape (n,)
        Labels, encoded as the loss wants them.
    sample_weight : ndarray of shape (n,)
        Non-negative weights w, class weights multiplied in.
    penalty : L2
        R, which does not change when a row is deleted.
    theta : ndarray of shape (K, q)
    trained_loss : Loss, optional
        The loss that was minimised, if it is not `loss`: for a support vector machine it is the
        hinge, and `loss` a smooth hinge that supplies the derivatives. `loss` by default.
    row_penalty : L2, optional
        r, for each unit of weight; of the same class as `penalty`.
    penalty_weight_removed : float
        Weight whose share of r is missing from `penalty`, see `without_mean_penalty_share`.
    negligible : float
        Rows whose curvature is below this share of the largest are left out of the Hessian.
    known : dict, optional
        Values of cached properties that are already computed, by name.

    Attributes
    ----------
    fixed_penalty : L2
        R, as given.
    penalty : L2
        R + (sum_i w_i) r.
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
        *,
        penalty_weight_removed=0.0,
        negligible=NEGLIGIBLE,
        known=None,
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
        self.penalty_weight_removed, self.negligible = penalty_weight_removed, negligible
        vars(self).update(known or {})

    def _with(self, **changes):
        """Return a copy of the objective with some of the constructor's arguments changed."""
        now = {
            "loss": self.loss,
            "design": self.design,
            "y": self.y,
            "sample_weight": self.sample_weight,
            "penalty": self.fixed_penalty,
            "theta": self.theta,
            "trained_loss": self.trained_loss,
            "row_penalty": self.row_penalty,
            "penalty_weight_removed": self.penalty_weight_removed,
            "negligible": self.negligible,
        }
        return Objective(**{**now, **changes})

    # -- sizes -------------------------------------------------------------------------------------

    @property
    def n_rows(self):
        """Number n of training rows."""
        return self.design.shape[0]

    @property
    def n_outputs(self):
        """Number K of predictors for each row."""
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
        """Positions, among the K q parameters, of those that the penalty fixes at zero."""
        shape = (self.n_outputs, self.design.shape[1])
        return np.flatnonzero(np.broadcast_to(self.penalty.fixed_at_zero, shape).ravel())

    @cached_property
    def active(self):
        """Boolean mask (K, q) of the coefficients that change when the data change a little."""
        return self.penalty.active(self.theta)

    # -- rows --------------------------------------------------------------------------------------

    def native(self, eta):
        """Return eta in the shape that the loss takes: without its last axis for a scalar loss."""
        return eta[..., 0] if self.loss.is_scalar else eta

    @cached_property
    def eta(self):
        """Predictors of the rows, (n, K)."""
        return self.design @ self.theta.T

    @cached_property
    def row_losses(self):
        """Unweighted loss of every row, (n,)."""
        return self.loss.value(self.y, self.native(self.eta))

    @cached_property
    def row_gradients(self):
        """Unweighted derivative of every row's loss in its predictors, (n, K)."""
        gradient = self.loss.gradient(self.y, self.native(self.eta))
        return gradient.reshape(self.n_rows, self.n_outputs)

    @cached_property
    def residuals(self):
        """g = w l', (n, K)."""
        return _weighted(self.row_gradients, self.sample_weight)

    @cached_property
    def weights(self):
        """W = w l'', (n, K, K)."""
        return self._weights_at(slice(None))

    @cached_property
    def weight_diagonals(self):
        """The diagonals of W, (n, K), without the rest."""
        if self.n_outputs == 1:
            return self.weights[:, 0]
        diagonal = self.loss.curvature_diagonal(self.y, self.native(self.eta))
        return _weighted(diagonal.reshape(self.n_rows, self.n_outputs), self.sample_weight)

    @cached_property
    def curved_rows(self):
        """Positions of the rows whose curvature is not negligible beside the largest, (m,).

        For a hinge at a low temperature the rows near its kink, for other losses nearly all rows.
        """
        size = np.abs(self.weight_diagonals.sum(axis=1))
        return np.flatnonzero(size > self.negligible * size.max(initial=0.0))

    @cached_property
    def weight_roots(self):
        """L with W = L L', (n, K, K); raises where a row's curvature is negative."""
        return self._roots_at(slice(None))

    def _weights_at(self, rows):
        """W of some rows, (b, K, K)."""
        K = self.n_outputs
        curvature = self.loss.curvature(self.y[rows], self.native(self.eta[rows]))
        return _weighted(curvature.reshape(-1, K, K), self.sample_weight[rows])

    def _roots_at(self, rows):
        """L of some rows, (b, K, K)."""
        K = self.n_outputs
        with np.errstate(invalid="ignore"):
            root = self.loss.curvature_root(self.y[rows], self.native(self.eta[rows]))
        root = _weighted(root.reshape(-1, K, K), np.sqrt(self.sample_weight[rows]))
        if np.isnan(root).any():
            raise np.linalg.LinAlgError("a row of negative curvature has no real root")
        return root

    @property
    def _keeps_weights(self):
        """Whether the weights of all rows are few enough to be kept."""
        return 8 * self.n_rows * self.n_outputs**2 <= KEPT_BYTES

    def weights_of(self, rows):
        """W of some rows, (b, K, K)."""
        return self.weights[rows] if self._keeps_weights else self._weights_at(rows)

    def weight_roots_of(self, rows):
        """L of some rows, (b, K, K)."""
        return self.weight_roots[rows] if self._keeps_weights else self._roots_at(rows)

    def weight_factors_of(self, rows):
        """(L, S) of some rows with W = L S, S = L' where the curvature is positive; (b, K, K) each.

        Negative curvatures occur for losses that are not convex; all of those are scalar.
        """
        if self.n_outputs > 1:
            roots = self.weight_roots_of(rows)
            return roots, roots.transpose(0, 2, 1)
        weights = self.weights_of(rows)
        root = np.sqrt(np.abs(weights))
        return root, np.copysign(root, weights)

    def weight_blocks(self, rows=None):
        """Yield (part, those rows) of rows, by default all, few enough for the weights of each.

        `part` is a slice of `rows`: one of everything where the weights of all rows are kept.
        """
        if self._keeps_weights:
            yield slice(None), slice(None) if rows is None else rows
            return
        size = 8 * self.n_outputs**2
        where = np.arange(self.n_rows)[slice(None) if rows is None else rows]
        for part in row_blocks(len(where), size, at_most=max(1, BLOCK_BYTES // size)):
            yield part, part if rows is None else where[part]

    def weigh(self, values, axis=0, out=None):
        """Values times the weights of their rows, which run along an axis of the values.

        0 in rows of weight 0, even of inf.
        """
        shape = [1] * values.ndim
        shape[axis] = self.n_rows
        with np.errstate(invalid="ignore"):
            product = np.multiply(values, self.sample_weight.reshape(shape), out=out)
        if not self.sample_weight.all():
            product[(slice(None),) * (axis % values.ndim) + (self.sample_weight == 0,)] = 0.0
        return product

    def weights_matmul(self, U):
        """W_i U_i for the rows' U (n, K, m)."""
        if self.n_outputs == 1:
            return self.weights * U
        if self._keeps_weights:
            return np.einsum("ikl,ilm->ikm", self.weights, U)
        product = np.empty_like(U)
        for rows in cache_blocks(self.n_rows, self.n_outputs * U.shape[2]):
            own = self.loss.curvature_matmul(self.y[rows], self.eta[rows], U[rows])
            np.multiply(self.sample_weight[rows, None, None], own, out=product[rows])
        return product

    def weighted_traces(self, A, rows):
        """Traces of W_i A_i, (r,), for the blocks A (r, K, K) of rows."""
        traces = np.empty(len(A))
        for part, some in self.weight_blocks(rows):
            traces[part] = np.einsum("ikl,ilk->i", self.weights_of(some), A[part])
        return traces

    def loss_hessian(self, design=None):
        """sum_i W_i (x) z_i z_i', (K q, K q), of the rows that curve; of another design's if given.

        The design has the same rows.
        """
        design = self.design if design is None else design
        few = 2 * len(self.curved_rows) < self.n_rows
        blocks = self.weight_blocks(self.curved_rows if few else None)
        parts = ((rows, self.weights_of(rows)) for _, rows in blocks)
        return design.sandwich_of(parts, self.n_outputs)

    @property
    def _counted(self):
        """Labels and predictors, those of the first row that counts in rows of weight 0."""
        if self.sample_weight.all() or not self.sample_weight.any():
            return self.y, self.eta
        where = np.arange(self.n_rows)
        where[self.sample_weight == 0] = np.flatnonzero(self.sample_weight)[0]
        return self.y[where], self.eta[where]

    @property
    def predictor_unit(self):
        """Natural unit of the predictors, see `Loss.unit`; 1 if they are dimensionless."""
        unit = self.loss.unit(*self._counted)
        return 1.0 if unit is None else unit

    @property
    def coefficient_unit(self):
        """Natural unit of the coefficients, to which tolerances are relative.

        The unit of the predictors over the largest weighted mean of |z_ij|: a change of a
        coefficient by this unit changes the predictors by about their own, which for dimensionless
        ones is 1 or the largest coefficient. It is at least a millionth of the largest coefficient,
        so that a relative tolerance of 1e-10 is not below the rounding of that.
        """
        largest = float(np.abs(self.theta).max(initial=0.0))
        unit = self.loss.unit(*self._counted)
        unit = max(1.0, largest) if unit is None else unit
        weight = self.sample_weight[:, None]
        widest = float(self.design.absolute_sum(weight).max() / weight.sum())
        return max(unit / max(1.0, widest), 1e-6 * largest)

    @property
    def predictor_terms(self):
        """Mean over the rows of sum_j |theta_kj z_ij|, the largest of the outputs'.

        The rounding of a predictor is relative to this, not to the predictor itself. That of the
        features of a kernel is that of sums of its entries times dual coefficients.
        """
        weight = self.sample_weight[:, None]
        mean = self.design.absolute_sum(weight) / weight.sum()
        terms = float((np.abs(self.theta) * mean).sum(axis=1).max())
        largest = self.design.largest_kernel
        if largest:
            strength = np.min(self.penalty.hessian_diagonal[: self.design.n_features])
            terms += largest * float(np.abs(self.residuals).sum(axis=0).max()) / strength
        return terms

    # -- sums --------------------------------------------------------------------------------------

    @cached_property
    def value(self):
        """F(theta); inf or NaN outside the domain of the loss."""
        losses = self.row_losses
        if not self.sample_weight.all():
            losses = np.where(self.sample_weight > 0, losses, 0.0)
        return float(self.sample_weight @ losses) + self.penalty.value(self.theta)

    @cached_property
    def gradient(self):
        """Gradient of F, (K, q), or its subgradient of least norm; 0 where theta is fixed at 0."""
        gradient = self.design.transpose_matmul(self.residuals).T
        return self.penalty.total_gradient(gradient, self.theta)

    def freed(self, gradient):
        """Return gradients (..., K, q), set to 0 in place for parameters that are fixed at zero."""
        if len(self.fixed_at_zero):
            gradient.reshape(*gradient.shape[:-2], -1)[..., self.fixed_at_zero] = 0.0
        return gradient

    @property
    def residual_terms(self):
        """Size of the terms that cancel in each residual, (n, K)."""
        size = self.loss.gradient_size(self.y, self.native(self.eta))
        return _weighted(size.reshape(self.n_rows, self.n_outputs), self.sample_weight)

    @cached_property
    def gradient_scale(self):
        """sum_i |g_i z_ij| + |R'_j|, (K, q): scale of the terms that cancel in each coordinate.

        In a column of zeros no terms cancel, and a rounding error of 1e-20 in its coefficient would
        be large beside them. So the penalty's gradient at a coefficient of a millionth of the
        largest is added to the scale.
        """
        scale = self.design.absolute_sum(self.residual_terms)
        scale += np.abs(self.penalty.gradient(self.theta))
        return scale + 1e-6 * self.penalty.hessian_diagonal * np.abs(self.theta).max(initial=0.0)

    @cached_property
    def stationarity(self):
        """max_j |gradient_j| / gradient_scale_j: 0 at an optimum.

        Each coordinate is compared with its own scale. The largest gradient over the largest scale
        would be small even if a column of small values had not converged.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.abs(self.gradient) / self.gradient_scale
        ratio = np.where(self.gradient == 0.0, 0.0, ratio)
        return float(ratio.max(initial=0.0))

    def hessian_matmul(self, V):
        """(sum_i W_i (x) z_i z_i' + R'') V, for V (K q, m), without forming the Hessian."""
        K, q = self.n_outputs, self.design.shape[1]
        product = np.empty_like(V)
        moved = np.stack([self.design @ block for block in V.reshape(K, q, V.shape[1])], axis=1)
        moved = self.weights_matmul(moved)
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
        total = self.weight_diagonals.sum(axis=0) * loss.temperature
        return free & (total <= VANISHED * self.sample_weight.sum())

    def check_optimum(self):
        """Raise where the loss has no derivatives at theta, in rows of positive weight."""
        self.loss.check_optimum(*self._counted)

    def check_intercept(self):
        """Raise LinAlgError where the curvature of an unpenalised intercept vanishes."""
        if self.vanished_intercepts.any():
            raise np.linalg.LinAlgError(
                "the intercept is not identified: its curvature vanishes, and no influence is "
                "defined"
            )

    # -- other objectives --------------------------------------------------------------------------

    def output(self, k):
        """Return the objective of output k alone, for a loss whose outputs are separate."""
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
        """Whether theta is an optimum under `loss` itself, not under another `trained_loss`."""
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
        """Return the least-squares objective of the same rows and columns, with one output."""
        penalty = self.penalty.output(0)
        theta = self.theta[:1]
        y = self.y if self.y.ndim == 1 else self.y[:, 0]
        return Objective(SquaredLoss(), self.design, y, self.sample_weight, penalty, theta)

    def take(self, rows):
        """Return the objective of the given rows only, at the same parameter."""
        weight = self.sample_weight[rows]
        return self._with(design=self.design.take(rows), y=self.y[rows], sample_weight=weight)

    def penalised_at_least(self, strength):
        """Return the objective with every penalty raised to `strength`, at the same parameter."""
        return self._same_rows(penalty=self.penalty.at_least(strength), row_penalty=None)

    # -- the share of the penalty that is deleted with a row ---------------------------------------

    @cached_property
    def shares(self):
        """Weight of the common penalty that is deleted with each row, (n,); 0 if there is none."""
        common = self.row_penalty is not None and not self.row_penalty.is_none
        return self.sample_weight if common else np.zeros(self.n_rows)

    @cached_property
    def mean_penalty_share(self):
        """Mean of the shares over the rows of positive weight."""
        return float(self.shares.sum() / np.count_nonzero(self.sample_weight))

    def without_mean_penalty_share(self):
        """Objective whose penalty has lost one average row's share.

        So its Hessian minus W_i z_i z_i' is the Hessian without row i: exactly with equal weights;
        with others up to the difference of the shares, one part in n of the penalty. One factor
        then serves the deletion of every row.
        """
        single = np.count_nonzero(self.sample_weight) == 1  # all of the penalty would go
        if single or not self.mean_penalty_share:
            return self
        left = self.sample_weight.sum() - self.mean_penalty_share
        return self._same_rows(
            penalty=self.fixed_penalty.plus(self.row_penalty.times(left)),
            row_penalty=None,
            penalty_weight_removed=self.mean_penalty_share,
        )

    def with_fixed_penalty(self):
        """Return the objective with its whole penalty fixed, independent of the rows."""
        if self.row_penalty is None:
            return self
        return self._same_rows(penalty=self.penalty, row_penalty=None)

    def on_active_set(self):
        """Return the smooth objective in the columns with an active coefficient, signs fixed.

        The coefficients of the other columns are 0, so the predictors are the same.
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

    def in_columns(self, columns, theta):
        """Return an unpenalised objective in some of its columns, with the same predictors.

        Parameters
        ----------
        columns : ndarray of int
            Ascending; the others are combinations of them.
        theta : ndarray of shape (K, len(columns))
        """
        penalty = L2(np.zeros(len(columns)))
        return self._with(design=self.design.restricted(columns), penalty=penalty, theta=theta)

    def _same_rows(self, **changes):
        """Return an objective with the same rows and predictors, and their cached values."""
        kept = vars(self).keys() & OF_ROWS
        if "negligible" not in changes:
            kept |= vars(self).keys() & {"curved_rows"}
        return self._with(known={name: vars(self)[name] for name in kept}, **changes)

    def penalty_mismatch(self, share, penalty_weight_removed):
        """Relative error of a curvature's penalty for models without some shares w_i (r,), (r,).

        The curvature lacks the share of `penalty_weight_removed` units of weight in r, the model
        without row i lacks w_i of them, so that its penalty is (1 - mismatch) times as strong:
        mismatch = (w_i - removed) / (sum_j w_j - removed). Exactly 0 where the weights are equal.
        """
        # Equal weights: their mean, the weight removed, differs from them by rounding only.
        off = share - penalty_weight_removed
        off[(np.abs(off) <= 1e-12 * np.abs(penalty_weight_removed)) | (share == 0)] = 0.0
        left = self.shares.sum() - penalty_weight_removed
        return np.divide(off, left, out=np.zeros(len(off)), where=off != 0)

    def dropping_flat_rows(self, tolerance):
        """Return a copy whose H omits rows of curvature below `tolerance` times the largest."""
        return self._same_rows(negligible=tolerance)

    def reweighted(self, delta):
        """Return the objective with `delta` added to the sample weights, at the same parameter."""
        known = {name: vars(self)[name] for name in UNWEIGHTED & vars(self).keys()}
        return self._with(sample_weight=self.sample_weight + delta, known=known)

    def with_rows(self, rows, y):
        """Return the objective with further rows of weight 0, which may enter, below its own.

        Parameters
        ----------
        rows : Design of shape (m, q)
            In the columns of the design; of a kernel they may have further features after those.
        y : ndarray of shape (m,)
            Encoded labels.
        """
        design = self.design.extended(rows)
        n_added = design.n_features - self.design.n_features

        def widened(array):
            return self.design.widened(array, n_added)

        row_penalty = self.row_penalty
        return self._with(
            design=design,
            y=np.concatenate([self.y, y]),
            sample_weight=np.concatenate([self.sample_weight, np.zeros(len(y))]),
            penalty=self.fixed_penalty.widened(widened),
            row_penalty=None if row_penalty is None else row_penalty.widened(widened),
            theta=self.design.widened(self.theta, n_added, value=0.0),
        )

    def weights_as_fitted(self, y, given, fitted):
        """Weights that rows of labels `y` would have here, class weights multiplied in.

        Those of class_weight="balanced" are the numbers that fit computed from its own labels.

        Parameters
        ----------
        y : ndarray of shape (m,)
            Encoded labels.
        given : ndarray of shape (m,)
            Weights as a caller has them.
        fitted : ndarray of shape (n,)
            The same of the rows of this objective.
        """
        if not self.loss.n_classes:
            return given * (self.sample_weight.sum() / fitted.sum())
        used = np.flatnonzero(fitted > 0)
        per_class = np.zeros(self.loss.n_classes)
        per_class[self.y[used].astype(np.intp)] = self.sample_weight[used] / fitted[used]
        return given * per_class[y.astype(np.intp)]

    def changed(self, leaving, entering, y, weight):
        """Return the objective with other rows, at the same parameter.

        Parameters
        ----------
        leaving, entering : ndarray of int
            Positions of rows that lose their weight, then of those with new labels and weights.
        y, weight : ndarray
            Of the entering rows.
        """
        labels, weights = self.y.copy(), self.sample_weight.copy()
        weights[leaving] = 0.0
        labels[entering], weights[entering] = y, weight
        return self._with(y=labels, sample_weight=weights)

    def without(self, row):
        """Return the objective without one row, at the same parameter."""
        weight = self.sample_weight.copy()
        weight[row] = 0.0
        return self._with(sample_weight=weight)
