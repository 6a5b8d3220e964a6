"""Influence with the roles turned round: solves for test rows, then one pass over training rows."""

import numpy as np

from skinfluence._class_axis import classes_last


class MirroredQuery:
    """What a query has to do with any training row: H^-1 times the gradients of its target.

    Parameters
    ----------
    objective, curvature : Objective, Curvature
        At its optimum, with its whole penalty.
    query : Query
    """

    def __init__(self, objective, curvature, query):
        self.objective, self.outputs = objective, query.target.n_outputs
        directions = query.directions(objective.loss.is_scalar)
        flat = directions.reshape(len(directions), -1)
        self.solved = curvature.solver(len(flat))(flat.T).T.reshape(directions.shape)
        self.common = np.zeros(len(flat))
        if objective.shares.any():
            common = objective.freed(objective.row_penalty.gradient(objective.theta))
            self.common = np.einsum("mkj,kj->m", self.solved, common)

    def at(self, design, y, sample_weight):
        """First-order influence (m, b) of rows on the query, (m, b, O) for several outputs.

        Parameters
        ----------
        design : Design of shape (b, q)
        y : ndarray
            Encoded labels.
        sample_weight : ndarray of shape (b,)
            Weights in the objective.
        """
        loss, n_rows = self.objective.loss, design.shape[0]
        eta = self.objective.native(design @ self.objective.theta.T)
        residual = loss.gradient(y, eta).reshape(n_rows, self.objective.n_outputs)
        residual = sample_weight[:, None] * residual
        found = design.contract(self.solved, residual, slice(None))
        found = found + self.common[:, None] * sample_weight
        shape = (self.outputs, len(found) // self.outputs, n_rows)
        return classes_last(found.reshape(shape), is_scalar=self.outputs == 1)
