"""Columns of a design that are combinations of others."""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular
from scipy.linalg.lapack import dpstrf

# A column is a combination of others where no more than this share of its squared spread is left.
DEPENDENT = 1e-10
# A row keeps the dependence of the columns to this share of their spread.
KEPT_TO = 1e-6


@dataclass(frozen=True)
class Dependence:
    """Z_dropped = Z_kept @ combination, in all rows of positive weight.

    Attributes
    ----------
    kept, dropped : ndarray of int
        Ascending positions of the columns of Z.
    combination : ndarray of shape (len(kept), len(dropped))
    spread : ndarray of shape (len(dropped),)
        Sizes of the dropped columns.
    """

    kept: np.ndarray
    dropped: np.ndarray
    combination: np.ndarray
    spread: np.ndarray

    @property
    def involved(self):
        """Ascending positions of the dropped columns and those that they are combinations of."""
        size = np.abs(self.combination).max(axis=1, initial=0.0)
        return np.sort(np.concatenate([self.dropped, self.kept[size > KEPT_TO]]))

    def parameters(self, theta):
        """Parameters (..., len(kept)) of the kept columns with the predictors of theta (..., q)."""
        return theta[..., self.kept] + theta[..., self.dropped] @ self.combination.T

    def broken_rows(self, design):
        """Positions of the rows of a design whose dropped columns are not that combination.

        Predictors of such rows are not determined by the training rows.
        """
        V = np.zeros((design.shape[1], len(self.dropped)))
        V[self.kept] = self.combination
        V[self.dropped, np.arange(len(self.dropped))] = -1.0
        return np.flatnonzero((np.abs(design @ V) > KEPT_TO * self.spread).any(axis=1))


def column_dependence(design, weight):
    """Return the Dependence of the columns of a design; None where there is none.

    By a pivoted Cholesky factor of the Gram matrix of the columns about their means, in units of
    their spread. An intercept is always kept.

    Parameters
    ----------
    design : Design of shape (n, q)
    weight : ndarray of shape (n,)
        Non-negative.
    """
    G, p = design.sandwich(weight[:, None, None]), design.n_features
    q = design.shape[1]
    raw = np.diag(G)[:p].copy()
    mean = G[:p, p:] / G[p:, p:] if q > p else np.zeros((p, 0))
    C = G[:p, :p] - mean @ G[p:, :p]
    spread = np.sqrt(np.maximum(np.diag(C), 0.0))
    varies = spread**2 > DEPENDENT * raw
    scale = np.where(varies, 1.0 / np.where(spread > 0, spread, 1.0), 0.0)
    factor, pivots, rank, _ = dpstrf(scale[:, None] * C * scale, tol=DEPENDENT, lower=0)
    if rank == p:
        return None
    kept, dropped = pivots[:rank] - 1, pivots[rank:] - 1
    T = factor[:rank, rank:]  # in units of the spreads
    if rank:  # LAPACK behind SciPy 1.13 refuses a triangle without rows
        T = solve_triangular(factor[:rank, :rank], T)
    T = scale[kept, None] * T * np.where(varies, spread, 0.0)[dropped]
    rows, columns = np.argsort(kept), np.argsort(dropped)
    kept, dropped, T = kept[rows], dropped[columns], T[np.ix_(rows, columns)]
    if q > p:
        T = np.vstack([T, (mean[dropped] - T.T @ mean[kept]).T])
        kept = np.append(kept, p)
    size = np.sqrt(raw[dropped] / weight.sum())
    return Dependence(kept, dropped, T, np.where(size > 0, size, 1.0))
