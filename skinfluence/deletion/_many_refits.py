"""What all methods share that refit after many changes of the weights at once."""

from abc import ABC, abstractmethod

import numpy as np

from skinfluence._parallel import map_ordered, row_blocks, tracked

# Changes a block: several blocks keep several threads busy.
BLOCK_CHANGES = 64


class ManyRefits(ABC):
    """Refits of many changes of the weights at once, around one factor.

    Parameters
    ----------
    objective : Objective
        At its optimum.
    kind : str
        Representation of the curvature.
    groups, deltas : lists of ndarray
        The rows of each change, and what is added to their weights.
    curvature : Curvature, optional
        Of the objective, where it is at hand.

    Attributes
    ----------
    is_available : bool
        Whether the mean of the changed weights has a factor.
    """

    def __init__(self, objective, kind, groups, deltas, curvature=None):
        self.objective, self.groups, self.deltas = objective, groups, deltas
        self.at_hand = curvature
        mean = np.zeros(objective.n_rows)
        for group, delta in zip(groups, deltas, strict=True):
            mean[group] += delta / len(groups)
        try:
            self.curvature = self._of_the_mean(objective.reweighted(mean), kind)
        except np.linalg.LinAlgError:
            self.curvature = None
        self.is_available = self.curvature is not None and self.curvature.kind != "cg"
        self._inverse = self.curvature.known_inverse() if self.is_available else None

    def run(self, progress=None):
        """Return the steps (r, K, q) of all changes, and which have converged, (r,)."""
        blocks = row_blocks(len(self.groups), 8 * self._n_values(), at_most=BLOCK_CHANGES)
        found = tracked(map_ordered(self._refit, blocks), progress, len(blocks))
        steps, converged = zip(*found, strict=True)
        return np.concatenate(steps), np.concatenate(converged)

    @abstractmethod
    def _of_the_mean(self, mean, kind):
        """Curvature of the objective of the mean weights; None where there is none."""

    @abstractmethod
    def _n_values(self):
        """Numbers that a change keeps in memory."""

    @abstractmethod
    def _refit(self, part):
        """Steps (b, K, q) of some changes, and which have converged, (b,)."""

    def _solve(self, V):
        """Inverse of the common curvature times V (a, P)."""
        return self.curvature.solve(V.T).T if self._inverse is None else V @ self._inverse


def curvature_left(objective, groups, deltas):
    """Least share (r,) of its curvature that any coordinate keeps after each change, at the fit.

    A step of many refits is by the curvature before the change: where next to nothing is left of
    that it is short, however far the optimum is.
    """
    whole = objective.weighted_squares + objective.penalty.hessian_diagonal
    weight = np.where(objective.sample_weight > 0, objective.sample_weight, 1.0)
    found = np.empty(len(groups))
    for j, (group, delta) in enumerate(zip(groups, deltas, strict=True)):
        some = objective.take(group)
        change = (delta / weight[group])[:, None] * some.weight_diagonals
        left = whole + some.design.squared_columns(change)
        if objective.row_penalty is not None:
            left += delta.sum() * objective.row_penalty.hessian_diagonal
        found[j] = np.min(left / whole, initial=1.0, where=whole > 0)
    return found


def changed_weights(objective, groups, deltas):
    """Weights (n, b) of all rows after each change, and the penalty shares gone with them (b,)."""
    weight = np.repeat(objective.sample_weight[:, None], len(groups), axis=1)
    share = np.zeros(len(groups))
    for j, (group, delta) in enumerate(zip(groups, deltas, strict=True)):
        weight[group, j] += delta
        share[j] = -delta.sum()
    if objective.row_penalty is None:
        share[:] = 0.0
    return weight, share
