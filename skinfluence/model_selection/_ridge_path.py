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
        U, s = self.U, self.root
        shrink, kept = self.squares / (self.squares + alpha), alpha / (self.squares + alpha)
        residual = self._outside(self.response) + U @ (kept[:, None] * (U.T @ self.response))
        one_minus = np.einsum("ij,j,ij->i", U, kept, U)
        if U.shape[1] < len(s):
            one_minus += 1.0 - np.einsum("ij,ij->i", U, U)
        intercept = np.zeros(self.response.shape[1])
        if self.objective.free_intercepts.any():
            border = self._outside(s) + U @ (kept * (U.T @ s))
            total = s @ border
            intercept = border @ self.response / total
            residual -= border[:, None] * intercept
            one_minus -= border**2 / total
        eta = np.empty(self.y.shape)
        with np.errstate(divide="ignore", invalid="ignore"):
            eta[self.live] = self.y[self.live] - residual / (one_minus * s)[:, None]
        centred = self.response - s[:, None] * intercept
        eta[self.dead] = self.others @ (shrink[:, None] * (U.T @ centred)) + intercept
        squares = self.squares + alpha
        condition = np.sqrt(squares.max(initial=alpha) / squares.min(initial=np.inf))
        return self._assembled(eta, one_minus, max(1.0, condition))

    def _outside(self, v):
        """Part (I - U U') v of v that no coefficients can fit; exactly 0 if U is square.

        R = (I - U U') + U diag(alpha / (d^2 + alpha)) U' as a sum of two terms, because the
        difference I - U diag(d^2 / (d^2 + alpha)) U' has no digits left where a leverage is near 1.
        """
        if self.U.shape[1] == len(self.root):
            return np.zeros_like(v)
        return v - self.U @ (self.U.T @ v)

    def _assembled(self, eta, one_minus_live, condition):
        """LooPredictions; rows of leverage 1, which alone determine their fit, are undefined."""
        n, K = eta.shape
        one_minus = np.ones(n)
        one_minus[self.live] = one_minus_live
        undefined = one_minus <= 1e-10
        eta[undefined] = np.nan
        size = max(1.0, float(np.abs(self.objective.eta).max()))
        error = ROUNDING * size * condition / np.maximum(one_minus, np.finfo(float).tiny)
        route = np.where(undefined, "undefined", "exact").astype("<U11")
        bound = np.where(undefined, np.inf, error)
        return LooPredictions(eta + self.fixed, K * (1.0 - one_minus), route, error, bound)
