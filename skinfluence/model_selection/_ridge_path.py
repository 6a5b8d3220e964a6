"""Leave-one-out of a least-squares fit for any strength of an L2 penalty, by one decomposition."""

import numpy as np

from skinfluence.deletion import ROUNDING
from skinfluence.leave_one_out import LooPredictions

# Squared singular values below this share of the largest are left out: eigenvalues of the kernel
# are computed to n eps of the largest. It is 1e-7 of the singular values themselves.
RANK = 1e-14


class RidgePath:
    """Leave-one-out predictors of sum_i w_i |y_i - f(x_i)|^2 / 2 + alpha |f|^2 / 2 for any alpha.

    With S = diag(sqrt w) and the thin decomposition S X = U D V', the weighted residuals are
    r = R S y with R = I - U diag(d^2 / (d^2 + alpha)) U'. An intercept replaces R by
    R - R s s' R / (s' R s), s = sqrt w. The residuals without the own row are r_i / R_ii. The
    decomposition costs O(n r^2) flops for r = min(n, p), then each alpha O(n r).

    Parameters
    ----------
    objective : Objective
        A quadratic objective, at any alpha, with the same penalty on all columns but the intercept.
    """

    def __init__(self, objective):
        self.objective = objective
        design, weight = objective.design, objective.sample_weight
        self.live = np.flatnonzero(weight > 0)
        self.dead = np.flatnonzero(weight == 0)
        self.root = np.sqrt(weight[self.live])
        fixed = objective.offset
        self.fixed = np.zeros_like(objective.eta) if fixed is None else fixed
        # Responses, or labels -1 and 1, minus the fixed part of their predictors.
        y = -objective.loss.gradient(objective.y, objective.native(self.fixed))
        self.y = y.reshape(objective.n_rows, -1)
        self.response = self.root[:, None] * self.y[self.live]
        unit = np.zeros(design.shape[1])
        unit[: design.n_features] = 1.0
        if design.n_features < len(self.live):
            self._decompose_columns(design)
        else:
            self._decompose_rows(design, unit)
        self._prepare()

    def _prepare(self):
        """Compute what no alpha changes: each candidate then costs a few products with a vector."""
        U, s = self.U, self.root
        self.rotated, self.outside = U.T @ self.response, self._outside(self.response)
        self.rotated_root, self.outside_root = U.T @ s, self._outside(s)
        self.U_squared = U**2
        self.outside_leverage = 0.0
        if U.shape[1] < len(s):
            self.outside_leverage = 1.0 - self.U_squared.sum(axis=1)
        self.size = max(1.0, float(np.abs(self.objective.eta).max()))
        self.has_intercept = bool(self.objective.free_intercepts.any())

    def _decompose_columns(self, design):
        """Decompose S X by its singular values, for fewer columns than rows."""
        rows = design.dense(self.live)[:, : design.n_features]
        self.U, d, Vt = np.linalg.svd(self.root[:, None] * rows, full_matrices=False)
        kept = d**2 > RANK * max(d[0] ** 2, np.finfo(float).tiny) if len(d) else d > 0
        self.U, self.squares = self.U[:, kept], d[kept] ** 2
        others = design.dense(self.dead)[:, : design.n_features]
        self.others = others @ (Vt[kept].T / d[kept])

    def _decompose_rows(self, design, unit):
        """Decompose S K S with K = X X', whose eigenvalues are the squared singular values."""
        K = design.kernel(unit)
        live = self.root[:, None] * K[np.ix_(self.live, self.live)] * self.root
        values, vectors = np.linalg.eigh(live)
        kept = values > RANK * max(values[-1], np.finfo(float).tiny)
        self.U, self.squares = vectors[:, kept], values[kept]
        lifted = self.root[:, None] * self.U / self.squares
        self.others = K[np.ix_(self.dead, self.live)] @ lifted

    def left_out(self, alpha):
        """Return the LooPredictions of every row at this alpha."""
        (eta,), (one_minus,) = self.predictors(np.array([alpha]))
        squares = self.squares + alpha
        condition = np.sqrt(squares.max(initial=alpha) / squares.min(initial=np.inf))
        return self._assembled(eta, one_minus, max(1.0, condition))

    def predictors(self, alphas):
        """Predictors (c, n, K) of each row without it, 1 minus its leverage (c, n), at some alphas.

        NaN for rows of leverage 1, which alone determine their fit. Each alpha's are computed by
        products of its own: they do not depend on which others there are.
        """
        U, s = self.U, self.root
        kept = alphas[:, None] / (self.squares + alphas[:, None])
        residual = self.outside + np.matmul(U, kept[:, :, None] * self.rotated)
        one_minus = np.matmul(self.U_squared, kept[:, :, None])[:, :, 0] + self.outside_leverage
        intercept, border, total = self._intercepts(alphas)
        if border is not None:
            residual -= border[:, :, None] * intercept[:, None, :]
            one_minus -= border**2 / total[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            deleted = residual / (one_minus * s)[:, :, None]
        eta = self.y[self.live] - deleted
        if len(self.dead):
            shrink = (self.squares / (self.squares + alphas[:, None]))[:, :, None]
            shape = (len(alphas), *self.y.shape)
            among, eta, left = eta, np.empty(shape), one_minus
            one_minus = np.ones(shape[:2])
            eta[:, self.live], one_minus[:, self.live] = among, left
            centred = self.rotated - self.rotated_root[:, None] * intercept[:, None, :]
            eta[:, self.dead] = np.matmul(self.others, shrink * centred) + intercept[:, None, :]
        undefined = one_minus <= 1e-10
        if undefined.any():
            eta[undefined] = np.nan
        return (eta if self.objective.offset is None else eta + self.fixed), one_minus

    def theta(self, alpha):
        """Return the parameter (K, q) at this alpha, right to the rounding of the decomposition."""
        design, weighted = self.objective.design, np.zeros_like(self.y)
        intercept, rotated = self._intercepts(np.array([alpha]))[0][0], self.rotated
        rotated = rotated - self.rotated_root[:, None] * intercept
        dual = self.U @ (rotated / (self.squares + alpha)[:, None])
        weighted[self.live] = self.root[:, None] * dual
        coef = design.transpose_matmul(weighted)[: design.n_features].T
        return design.join(coef, intercept)

    def _intercepts(self, alphas):
        """Intercepts (c, K), the borders R s of the weights' roots (c, m), and s' R s (c,)."""
        if not self.has_intercept:
            return np.zeros((len(alphas), self.response.shape[1])), None, None
        kept = alphas[:, None] / (self.squares + alphas[:, None])
        inside = np.matmul(self.U, (kept * self.rotated_root)[:, :, None])[:, :, 0]
        border = self.outside_root + inside
        total = np.vecdot(self.root, border)
        found = np.matmul(border[:, None, :], self.response)[:, 0]
        return found / total[:, None], border, total

    def _outside(self, v):
        """Part (I - U U') v of v that no coefficients can fit; exactly 0 if U is square.

        R = (I - U U') + U diag(alpha / (d^2 + alpha)) U' as a sum of two terms, because the
        difference I - U diag(d^2 / (d^2 + alpha)) U' has no digits left where a leverage is near 1.
        """
        if self.U.shape[1] == len(self.root):
            return np.zeros_like(v)
        return v - self.U @ (self.U.T @ v)

    def _assembled(self, eta, one_minus, condition):
        """LooPredictions; rows of leverage 1 are undefined."""
        n, K = eta.shape
        bound = ROUNDING * self.size * condition / np.maximum(one_minus, np.finfo(float).tiny)
        error, route = bound, np.full(n, "exact", dtype="<U11")
        undefined = one_minus <= 1e-10
        if undefined.any():
            route[undefined] = "undefined"
            bound = np.where(undefined, np.inf, error)
        return LooPredictions(eta, K * (1.0 - one_minus), route, error, bound)
