"""The objective: a loss, a design, labels, weights and a penalty, bound at a parameter."""

from functools import cached_property

import numpy as np

from skinfluence._parallel import cache_blocks, row_blocks
from skinfluence.objective._related import RelatedObjectives

# Rows whose curvature is below this share of the largest are left out of the Hessian: 1e4 of them,
# for rows z of equal size, change no digit of a float64 sum that contains the largest.
NEGLIGIBLE = 1e-20
# An intercept is not identified if its curvature is below this share of that of all rows at a kink.
VANISHED = 1e-12
# Above this share it is, whatever rounding and one more row of some weight make of it.
CLEARLY_THERE = 1e-6

# Bytes of the weights W of all rows that are computed once and kept. Of more (many classes) they
# are computed where they are needed, in blocks of rows of so many bytes.
KEPT_BYTES = 2**25
BLOCK_BYTES = 2**24
# Rows whose classes are counted at once.
COUNTED_ROWS = 2**16


def _weighted(values, weight):
    """Values (n, ...) times the weights (n,) of their rows; 0 in rows of weight 0, even of inf."""
    weight = weight.reshape(-1, *[1] * (values.ndim - 1))
    if weight.all():
        return weight * values
    return np.multiply(weight, values, out=np.zeros(values.shape), where=weight != 0)


class Objective(RelatedObjectives):
    """F(theta) = sum_i w_i l(y_i, theta z_i + o_i) + R(theta) + (sum_i w_i) r(theta), at one theta.

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
    offset : ndarray of shape (n,) or (n, K), optional
        Fixed part of the predictors, added to Z theta; none by default. (n,) for one predictor.
    known : dict, optional
        Values of cached properties that are already computed, by name.
    sums : RowSums, optional
        Sums over the rows that are already computed, at this parameter.

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
        offset=None,
        known=None,
        sums=None,
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
        self.offset = None if offset is None else offset.reshape(len(offset), loss.n_outputs)
        self.sums = sums
        vars(self).update(known or {})

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
        return self.predictors(self.design, self.offset)

    def predictors(self, design, offset=None):
        """Predictors (m, K) of the rows of any design: Z theta, plus the offset of those rows.

        Parameters
        ----------
        design : Design of shape (m, q)
        offset : ndarray of shape (m, K), optional
            Of those rows; required if the training rows have one.
        """
        if offset is None and self.offset is not None:
            raise ValueError(
                "the rows of this objective have an offset: pass that of the other rows too."
            )
        eta = design @ self.theta.T
        return eta if offset is None else eta + offset

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
        diagonal = self.weight_diagonals
        # A sum along an axis of length 1 is a call for each row.
        size = np.abs(diagonal[:, 0] if diagonal.shape[1] == 1 else diagonal.sum(axis=1))
        return np.flatnonzero(size > self.negligible * size.max(initial=0.0))

    @property
    def n_curved(self):
        """Number of rows whose curvature is not negligible."""
        return len(self.curved_rows) if self.sums is None else self.sums.n_curved

    @property
    def has_real_roots(self):
        """Whether no row's curvature is negative."""
        return self.sums.is_convex if self.sums else bool((self.weight_diagonals >= 0).all())

    @property
    def has_finite_curvature(self):
        """Whether the curvature of every row is finite."""
        if self.sums is not None:
            return bool(np.isfinite(self.sums.hessian).all())
        return bool(np.isfinite(self.weight_diagonals).all())

    @property
    def weighted_squares(self):
        """sum_i W_ikk z_ij^2, (K, q): the diagonal of the loss's Hessian."""
        if self.sums is not None:
            return np.diag(self.sums.hessian).reshape(self.n_outputs, -1)
        return self.design.squared_columns(self.weight_diagonals)

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

    def required_class(self, rows=slice(None)):
        """Code of each row, -1 for those that may go; None where any row will do, if one stays."""
        kind = self.loss.required_classes(self.y[rows])
        if self.loss.n_classes or (kind is not None and self.free_intercepts[-1]):
            return kind
        return None

    @cached_property
    def class_counts(self):
        """Number of rows of positive weight of each required class, the last entry that of all."""
        counts = np.zeros(max(1, self.loss.n_classes) + 1, dtype=np.int64)
        for rows in row_blocks(self.n_rows, 64, at_most=COUNTED_ROWS):
            live, kind = self.sample_weight[rows] > 0, self.required_class(rows)
            if kind is not None:
                counts[:-1] += np.bincount(kind[live & (kind >= 0)], minlength=len(counts) - 1)
            counts[-1] += np.count_nonzero(live)
        return counts

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

        0 in rows of weight 0, even of inf. The values themselves where every weight is 1.
        """
        if self._has_unit_weights and out is None:
            return values
        shape = [1] * values.ndim
        shape[axis] = self.n_rows
        with np.errstate(invalid="ignore"):
            product = np.multiply(values, self.sample_weight.reshape(shape), out=out)
        if not self._has_all_rows:
            product[(slice(None),) * (axis % values.ndim) + (self.sample_weight == 0,)] = 0.0
        return product

    @cached_property
    def _has_all_rows(self):
        """Whether no row has weight 0."""
        return bool(self.sample_weight.all())

    @cached_property
    def _has_unit_weights(self):
        """Whether every row has weight 1."""
        return bool((self.sample_weight == 1.0).all())

    def weights_matmul(self, U):
        """W_i U_i for the rows' U (n, K, m)."""
        if self.n_outputs == 1:
            return self.weights * U
        if self._keeps_weights:
            return np.matmul(self.weights, U)
        product = np.empty_like(U)
        for rows in cache_blocks(self.n_rows, self.n_outputs * U.shape[2]):
            product[rows] = self._weigh_some(rows, U[rows])
        return product

    @cached_property
    def _curvature_state(self):
        """What the loss multiplies with its curvatures by, for every row."""
        return self.loss.curvature_state(self.y, self.eta)

    def _weigh_some(self, rows, U):
        """W_i U_i for the U (b, K, m) of some rows, without their weights where these are large."""
        if self.n_outputs == 1:
            return self.weights[rows] * U
        if self._keeps_weights and U.shape[2] > 1:
            return np.matmul(self.weights[rows], U)
        own = self.loss.curvature_matmul([part[rows] for part in self._curvature_state], U)
        return _weighted(own, self.sample_weight[rows])

    def weighted_traces(self, A, rows):
        """Traces of W_i A_i, (r,), for the blocks A (r, K, K) of rows."""
        traces = np.empty(len(A))
        for part, some in self.weight_blocks(rows):
            traces[part] = np.einsum("ikl,ilk->i", self.weights_of(some), A[part])
        return traces

    def loss_hessian(self, design=None, outputs=None):
        """sum_i W_i (x) z_i z_i', (K q, K q), of the rows that curve; of another design's if given.

        The design has the same rows. Of some outputs, an index array, its rows and columns.
        """
        if design is None and self.sums is not None:
            return self.sums.hessian_of(outputs, self.n_outputs)
        design = self.design if design is None else design
        few = 2 * len(self.curved_rows) < self.n_rows
        blocks = self.weight_blocks(self.curved_rows if few else None)
        parts = ((rows, self.weights_of(rows)) for _, rows in blocks)
        if outputs is not None:
            parts = ((rows, W[:, outputs[:, None], outputs]) for rows, W in parts)
        return design.sandwich_of(parts, self.n_outputs if outputs is None else len(outputs))

    @property
    def _counted(self):
        """Labels and predictors, those of the first row that counts in rows of weight 0."""
        where = self._counted_rows
        return self.y[where], self.eta[where]

    @property
    def _counted_rows(self):
        """All rows; for rows of weight 0 the first one that counts."""
        if self.sample_weight.all() or not self.sample_weight.any():
            return slice(None)
        where = np.arange(self.n_rows)
        where[self.sample_weight == 0] = np.flatnonzero(self.sample_weight)[0]
        return where

    @property
    def _unit(self):
        """`Loss.unit` of the rows that count; predictors are a pass, and only Huber's asks."""
        if self.loss.unit_is_of_predictors:
            return self.loss.unit(*self._counted)
        return self.loss.unit(self.y[self._counted_rows], None)

    @property
    def predictor_unit(self):
        """Natural unit of the predictors, see `Loss.unit`; 1 if they are dimensionless."""
        unit = self._unit
        return 1.0 if unit is None else unit

    @cached_property
    def coefficient_unit(self):
        """Natural unit of the coefficients, to which tolerances are relative.

        The unit of the predictors over the largest weighted mean of |z_ij|: a change of a
        coefficient by this unit changes the predictors by about their own, which for dimensionless
        ones is 1 or the largest coefficient. It is at least a millionth of the largest coefficient,
        so that a relative tolerance of 1e-10 is not below the rounding of that.
        """
        largest = float(np.abs(self.theta).max(initial=0.0))
        unit = self._unit
        unit = max(1.0, largest) if unit is None else unit
        weight = self.sample_weight[:, None]
        widest = float(self.design.absolute_sum(weight).max(initial=0.0) / weight.sum())
        return max(unit / max(1.0, widest), 1e-6 * largest)

    @cached_property
    def predictor_terms(self):
        """Mean over the rows of sum_j |theta_kj z_ij|, the largest of the outputs'.

        The rounding of a predictor is relative to this, not to the predictor itself. That of the
        features of a kernel is that of sums of its entries times dual coefficients.
        """
        weight = self.sample_weight[:, None]
        mean = self.design.absolute_sum(weight) / weight.sum()
        terms = float((np.abs(self.theta) * mean).sum(axis=1).max())
        if self.offset is not None:
            terms += float(np.abs(self.weigh(self.offset)).sum(axis=0).max() / weight.sum())
        largest = self.design.largest_kernel
        if largest:
            strength = self.penalty.hessian_diagonal[..., : self.design.n_features].min()
            size = largest * float(np.abs(self.residuals).sum(axis=0).max())
            terms += size / strength if strength > 0 else np.inf
        return terms

    @property
    def kernel_rounding(self):
        """Rounding of a kernel's largest entry over the penalty; 0 for designs without a kernel."""
        largest = self.design.largest_kernel
        if not largest:
            return 0.0
        strength = self.penalty.hessian_diagonal[..., : self.design.n_features].min(initial=np.inf)
        return float(np.finfo(float).eps * largest / strength) if strength > 0 else np.inf

    # -- sums --------------------------------------------------------------------------------------

    @cached_property
    def value(self):
        """F(theta); inf or NaN outside the domain of the loss."""
        return self.loss_sum + self.penalty.value(self.theta)

    @property
    def loss_sum(self):
        """sum_i w_i l_i."""
        if self.sums is not None:
            return self.sums.loss
        losses = self.row_losses
        if not self.sample_weight.all():
            losses = np.where(self.sample_weight > 0, losses, 0.0)
        return float(self.sample_weight @ losses)

    @cached_property
    def gradient(self):
        """Gradient of F, (K, q), or its subgradient of least norm; 0 where theta is fixed at 0."""
        if self.sums is not None:
            return self.penalty.total_gradient(self.sums.gradient.copy(), self.theta)
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
        known = self.sums is not None
        terms = self.sums.terms if known else self.design.absolute_sum(self.residual_terms)
        scale = terms.copy()
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
        K, q, m = self.n_outputs, self.design.shape[1], V.shape[1]
        if K == 1 and self.design.has_row_operator:
            product = self.design.transpose_matmul(self.weights[:, 0] * (self.design @ V))
            return product + self.hessian_diagonal[:, None] * V
        # The outputs' columns side by side: one product for all, in one pass over the rows.
        beside = V.reshape(K, q, m).transpose(1, 0, 2).reshape(q, K * m)

        def curved(rows, moved):
            """W_i times the predictors of some rows, (b, K m)."""
            return self._weigh_some(rows, moved.reshape(len(moved), K, m)).reshape(moved.shape)

        product = self.design.forward_back(beside, curved)[1]
        product = product.reshape(q, K, m).transpose(1, 0, 2).reshape(V.shape)
        product += self.hessian_diagonal[:, None] * V
        return product

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
        return free & (self.intercept_curvatures <= VANISHED)

    @property
    def intercept_curvatures(self):
        """Curvature of each output's intercept, (K,), as a share of that with every row at a kink.

        A quarter at most, for a loss with a temperature.
        """
        total = self.weight_diagonals.sum(axis=0) * self.loss.temperature
        return total / max(float(self.sample_weight.sum()), np.finfo(float).tiny)

    def may_lose_intercepts(self, rows, change):
        """Whether an unpenalised intercept may lose its curvature with each of some rows, (r,).

        Parameters
        ----------
        rows : ndarray of int, shape (r,)
            Rows that go.
        change : ndarray of shape (r,)
            Largest change of a predictor on the way to the optimum without them. With M the
            constant of self-concordance, exp(-M change) of a row's curvature is left at least.
        """
        loss, free = self.loss, np.broadcast_to(self.free_intercepts, self.n_outputs)
        if loss.temperature == 0 or not free.any():
            return np.zeros(len(rows), dtype=bool)
        left = self.weight_diagonals.sum(axis=0) - self.weight_diagonals[rows]
        least = left * np.exp(-loss.self_concordance * change)[:, None] * loss.temperature
        return (least[:, free] <= CLEARLY_THERE * self.sample_weight.sum()).any(axis=1)

    def check_optimum(self):
        """Raise where the loss has no derivatives at theta, in rows of positive weight."""
        if self.loss.has_doubtful_optimum:
            self.loss.check_optimum(*self._counted)

    def check_intercept(self):
        """Raise LinAlgError where the curvature of an unpenalised intercept vanishes."""
        if self.vanished_intercepts.any():
            raise np.linalg.LinAlgError(
                "the intercept is not identified: its curvature vanishes, and no influence is "
                "defined"
            )

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

    @property
    def is_at_its_own_optimum(self):
        """Whether theta is an optimum under `loss` itself, not under another `trained_loss`."""
        return self.trained_loss is self.loss

    @property
    def is_evaluated(self):
        """Whether the predictors of the rows are at hand."""
        return "eta" in vars(self)

    def evaluated_at(self, theta, read=None, scale=None):
        """Return the objective at another parameter, evaluated by one pass over the rows.

        Parameters
        ----------
        theta : ndarray of shape (K, q)
        read : callable, optional
            Called with each slice of rows, while these are in the cache.
        scale : ndarray of shape (K, q), optional
            The `gradient_scale` of a parameter nearby, to be taken as its own: that is a pass less.
        """
        return self._evaluated(theta, self.design.forward_back, read, scale)[0]

    def evaluated_beside(self, theta, columns):
        """Return (objective at another parameter, Z times columns (q, m)), by one pass."""

        def products(V, slopes):
            return self.design.forward_back_beside(V, slopes, columns)

        return self._evaluated(theta, products)

    def _evaluated(self, theta, products, read=None, scale=None):
        """Return the objective at another parameter, and what `products` returns beyond the two."""
        K, offset, loss, y = self.n_outputs, self.offset, self.loss, self.y
        own, residuals = np.empty((self.n_rows, K)), np.zeros((self.n_rows, K))
        # Blocks are small, and what is the same for all of them is a tenth of the pass.
        weight, scalar = self.sample_weight[:, None], loss.is_scalar
        counted = None if weight.all() else weight != 0

        def slopes(rows, eta):
            """Residuals of some rows, (b, K); 0 in rows of weight 0, even of inf."""
            eta = eta if offset is None else eta + offset[rows]
            found, residual = own[rows], residuals[rows]
            found[...] = loss.gradient(y[rows], eta[:, 0] if scalar else eta).reshape(found.shape)
            where = True if counted is None else counted[rows]
            np.multiply(weight[rows], found, out=residual, where=where)
            if read is not None:
                read(rows)
            return residual

        eta, total, *further = products(theta.T, slopes)
        eta = eta if offset is None else eta + offset
        gradient = self.penalty.total_gradient(total.T, theta)
        known = {"eta": eta, "row_gradients": own, "residuals": residuals, "gradient": gradient}
        if scale is not None:
            known["gradient_scale"] = scale
        return self._with(theta=theta, known=known), *further
