r"""The norm in which a refit without a row is measured, from the curvature with all rows.

Let F_-i be the objective without row i and G its Hessian at the full fit's theta. The certificate
(:mod:`skinfluence.deletion.certificate`) is stated in two norms: ||d||_G of a step d, and
||r||_{G^-1} of a gradient r. G is never formed. What is at hand is the Hessian H of all rows, with
its inverse, and the rows' blocks A_i = Z_i H^-1 Z_i' and W_i = L_i L_i', where the K rows of Z_i
are e_k (x) z_i.

**Without the row.** Let G0 = H - Z_i' W_i Z_i. For every v,

    v' G0 v = ||v||_H^2 - |L_i' Z_i v|^2 >= (1 - h_i) ||v||_H^2,

where h_i is the largest eigenvalue of L_i' A_i L_i, for one output the leverage of the row. The
bound is attained, in the direction H^-1 Z_i' L_i u with u that eigenvector. Inverses turn it round:

    ||r||_{G0^-1} <= ||r||_{H^-1} / sqrt(1 - h_i).

**With its share of the penalty.** Where the objective is a mean, row i takes a part of the penalty
with it and H lacks the mean row's part: G = G0 - m P, where P <= G0 is the Hessian of H's penalty
that the rows own, and m = `Objective.penalty_mismatch`, positive for a row of more than the mean
weight. So G >= (1 - m) G0 where m > 0 and G <= (1 + |m|) G0 where m < 0:

    ||r||_{G^-1} <= ||r||_{G0^-1} / sqrt(1 - max(m, 0)),
    ||d||_G      <= ||d||_{G0} sqrt(1 + max(-m, 0)).

**Rows.** The largest change that a step of length 1 in G makes at row j is ||z_j||_{G^-1}, at most
sqrt(a_j) / sqrt(1 - h_i) times the above. The certificate's R is the largest over the remaining
rows. With several outputs sqrt(a_j) is `Loss.max_predictor_change` of A_j: the largest change of an
output, or of a difference of outputs where only these matter.
"""

from functools import cached_property

import numpy as np

from skinfluence._backend import symmetric_eigenvalues
from skinfluence.deletion._rounding import ROUNDING
from skinfluence.deletion.certificate import distance


class RefitMetric:
    """Norms in the curvature G of the objective without each of some rows, bounded from that with.

    Parameters
    ----------
    objective : Objective
        At its optimum.
    curvature : Curvature
        H, its penalty without the mean row's share.
    rows : ndarray of int, shape (r,)
        The rows deleted, one at a time.
    leverage : Leverage
        Of `rows`.
    share : ndarray of shape (r,)
        Units of weight whose share of the common penalty goes with each row.
    own_quadratic : ndarray of shape (r, K, K), optional
        Blocks A of other rows that enter in the place of these; those of `leverage` by default.

    Attributes
    ----------
    penalty_mismatch : ndarray of shape (r,)
        m: exactly 0 where H without the row is G itself.
    inv_sqrt_one_minus_h : ndarray of shape (r,)
        1 / sqrt(1 - h_i).
    gradient_norm_ratio : ndarray of shape (r,)
        Largest ||r||_{G^-1} / ||r||_{G0^-1}.
    step_norm_ratio : ndarray of shape (r,)
        Largest ||d||_G / ||d||_{G0}.
    inverse_norm_ratio : ndarray of shape (r,)
        Largest ||r||_{G^-1} / ||r||_{H^-1}.
    own_row_norm : ndarray of shape (r,)
        ||z_i||_{G^-1} of the deleted row itself, or of the one that enters in its place.
    """

    def __init__(self, objective, curvature, rows, leverage, share=None, own_quadratic=None):
        self.objective, self.curvature = objective, curvature
        self.rows, self.leverage = rows, leverage
        self.loss = objective.loss
        share = objective.shares[rows] if share is None else share
        m = objective.penalty_mismatch(share, curvature.objective.penalty_weight_removed)
        self.penalty_mismatch = m
        # Where the leverage is 1 to rounding the row alone held a direction: norms are next to inf.
        smallest = symmetric_eigenvalues(leverage.one_minus)[:, 0]
        one_minus = np.maximum(smallest, np.finfo(float).tiny)
        self.inv_sqrt_one_minus_h = 1.0 / np.sqrt(one_minus)
        self.gradient_norm_ratio = 1.0 / np.sqrt(np.maximum(1.0 - np.maximum(m, 0.0), 1e-300))
        self.step_norm_ratio = np.sqrt(1.0 + np.maximum(-m, 0.0))
        # A row of negative curvature has h_i < 0: G0 is above H in its direction, not in others.
        self.inverse_norm_ratio = self.gradient_norm_ratio / np.sqrt(np.minimum(one_minus, 1.0))
        self.own_row_norm = (
            self.loss.max_predictor_change(
                leverage.quadratic if own_quadratic is None else own_quadratic
            )
            * self.inv_sqrt_one_minus_h
            * self.gradient_norm_ratio
        )

    def at_own_rows(self, bound, deletions=slice(None)):
        """Bounds of each row's own predictor, from bounds of its step in the norm of G, (r,)."""
        return at_rows(bound, self.own_row_norm[deletions])

    @cached_property
    def max_row_norm_full(self):
        """Largest ||z_j||_{H^-1} of the rows j that remain, (r,); inf where that is too dear."""
        if len(self.rows) == self.objective.n_rows and np.array_equal(
            self.rows, np.arange(self.objective.n_rows)
        ):
            quadratic = self.leverage.quadratic
        elif self.curvature.kind == "cg":  # the leverage of every row would cost a solve each
            return np.full(len(self.rows), np.inf)
        else:
            quadratic = self.curvature.leverage().quadratic
        live = self.objective.sample_weight > 0
        return largest_of_others(self.loss.max_predictor_change(quadratic) * live, self.rows)

    @cached_property
    def max_row_norm(self):
        """R, (r,): bound on the largest ||z_j||_{G^-1} of the rows j that remain."""
        return self.max_row_norm_full * self.inverse_norm_ratio

    @cached_property
    def gradient_rounding(self):
        """What rounding may add to ||r||_{G^-1} of a gradient, (r,), by its terms g_j z_j.

        Their errors have any sign: the root of the sum of squares. Of the rows that are not asked
        about, the terms are taken to be like those of the others. Added up, each coordinate loses
        its last digit: where rows that are nearly saturated alone hold a direction, that is more.
        """
        terms = np.linalg.norm(self.objective.residuals[self.rows], axis=1)
        terms = terms * self.loss.max_predictor_change(self.leverage.quadratic)
        terms = terms[np.isfinite(terms) & (self.objective.sample_weight[self.rows] > 0)]
        n_live = np.count_nonzero(self.objective.sample_weight)
        total = np.sqrt(n_live * np.mean(terms**2)) if len(terms) else 0.0
        return (ROUNDING * total + self._rounding_of_sums) * self.inverse_norm_ratio

    @property
    def _rounding_of_sums(self):
        """||r||_{H^-1} at most of a last digit in each coordinate of a gradient; 0 unless dense."""
        if self.curvature.kind != "dense":
            return 0.0
        deviations = np.sqrt(self.curvature.inverse_diagonal_bound())
        return float(np.finfo(float).eps * (self.objective.gradient_scale.ravel() @ deviations))

    @cached_property
    def max_coef_sd(self):
        """Largest ||e_j||_{H^-1}: the standard deviation of the least certain coefficient."""
        return float(np.sqrt(self.curvature.inverse_diagonal_bound().max(initial=0.0)))

    def coefficient_change(self, length, deletions):
        """Bound on the change of any coefficient by steps of these lengths ||d||_G."""
        return length * self.inverse_norm_ratio[deletions] * self.max_coef_sd

    def distance(self, gradient_norm, kappa, deletions):
        """E, the bound on ||theta_-i - theta - d||_G of steps d that leave some gradients.

        Parameters
        ----------
        gradient_norm : ndarray
            ||r||_{G0^-1} of the gradients left.
        kappa : ndarray
            M times the largest change of a remaining row's predictor.
        deletions : slice or ndarray of int
            Positions in `rows`.
        """
        nu = gradient_norm * self.gradient_norm_ratio[deletions]
        return distance(nu, kappa, self.max_row_norm[deletions], self.loss.self_concordance)


def at_rows(bound, row_norm):
    """Bounds of rows' predictors, from bounds of steps and the rows' norms.

    A row of zeros has a predictor that nothing moves, whatever is known of its refit.
    """
    with np.errstate(invalid="ignore"):  # inf 0
        return np.where(row_norm == 0, 0.0, bound * row_norm)


def largest_of_others(values, rows, least=0.0):
    """Largest of `values` (n,) at any position but `rows[i]`, (r,); `least` without any."""
    first = int(np.argmax(values))
    others = np.concatenate([values[:first], values[first + 1 :]])
    second = float(np.max(others, initial=least))
    return np.where(rows == first, second, values[first])
