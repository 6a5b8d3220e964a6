"""An objective as the sum of those of its parts: what a Newton step needs, in one pass."""

from dataclasses import dataclass, replace

import numpy as np

# Float64 rows of a part, in bytes: they stay in a core's second cache for the four products with
# them, and are enough for these to be worth their calls.
PART_BYTES = 2**21
FEWEST_ROWS, MOST_ROWS = 256, 32_768


@dataclass(frozen=True)
class RowSums:
    """Sums over the rows of an objective at one parameter.

    Attributes
    ----------
    loss : float
        sum_i w_i l_i.
    gradient, terms : ndarray of shape (K, q)
        sum_i g_i z_i, and the sum of the sizes of its terms.
    hessian : ndarray of shape (K q, K q)
        sum_i W_i (x) z_i z_i'.
    n_curved : int
        Rows whose curvature is not negligible.
    is_convex : bool
        Whether no row's curvature is negative.
    curvature_range : (float, float)
        Least and largest size of a row's curvature, see `curvature_range`.
    """

    loss: float
    gradient: np.ndarray
    terms: np.ndarray
    hessian: np.ndarray
    n_curved: int
    is_convex: bool
    curvature_range: tuple[float, float] = (np.inf, 0.0)

    def hessian_of(self, outputs, n_outputs):
        """Rows and columns of `hessian` of some of the outputs; a copy of all if None."""
        if outputs is None:
            return self.hessian.copy()
        q = len(self.hessian) // n_outputs
        blocks = self.hessian.reshape(n_outputs, q, n_outputs, q)[outputs][:, :, outputs]
        return blocks.reshape(len(outputs) * q, -1)

    def plus(self, other):
        """Return the sums over the rows of both."""
        (least, most), (other_least, other_most) = self.curvature_range, other.curvature_range
        return RowSums(
            self.loss + other.loss,
            self.gradient + other.gradient,
            self.terms + other.terms,
            self.hessian + other.hessian,
            self.n_curved + other.n_curved,
            self.is_convex and other.is_convex,
            (min(least, other_least), max(most, other_most)),
        )


def curvature_range(objective):
    """Return the least and the largest size of a curvature of the rows that count.

    Parameters
    ----------
    objective : Objective
    """
    size, kept = np.abs(objective.weight_diagonals), objective.sample_weight[:, None] > 0
    return float(size.min(initial=np.inf, where=kept)), float(size.max(initial=0.0))


def part_rows(objective):
    """Rows of a part."""
    size = 8 * objective.n_outputs * objective.design.shape[1]
    return int(np.clip(PART_BYTES // size, FEWEST_ROWS, MOST_ROWS))


def parts_of(objective, n_rows=None):
    """Yield (slice of rows, the objective of these rows at the same parameter), in order."""
    n_rows = part_rows(objective) if n_rows is None else n_rows
    for rows, design in objective.design.parts(n_rows):
        yield rows, objective.of_part(rows, design)


def row_sums(objective, terms=None):
    """Return the RowSums of an objective, added in the order of its blocks of rows.

    So they are the same to the last bit whatever worker has found those of a block.

    Parameters
    ----------
    objective : Objective
    terms : ndarray of shape (K, q), optional
        Those of a parameter nearby, which say as well what size a gradient has.
    """
    total = None
    for _, found in objective.map_blocks(_sums_of_block, terms is None):
        total = found if total is None else total.plus(found)
    return total if terms is None else replace(total, terms=terms)


def _sums_of_block(start, objective, with_terms):
    """RowSums of a block of rows, in the order of its parts."""
    shape, P = (objective.n_outputs, objective.design.shape[1]), objective.n_parameters
    loss, gradient, hessian = 0.0, np.zeros(shape), np.zeros((P, P))
    terms, n_curved, is_convex, ranges = np.zeros(shape), 0, True, [(np.inf, 0.0)]
    for _, part in parts_of(objective):
        loss += part.loss_sum
        gradient += part.design.transpose_matmul(part.residuals).T
        if with_terms:
            terms += part.design.absolute_sum(part.residual_terms)
        hessian += part.loss_hessian()
        n_curved += len(part.curved_rows)
        is_convex = is_convex and bool((part.weight_diagonals >= 0).all())
        ranges.append(curvature_range(part))
    least, most = zip(*ranges, strict=True)
    found = loss, gradient, terms, hessian, n_curved, is_convex
    return RowSums(*found, (min(least), max(most)))
