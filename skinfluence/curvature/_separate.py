"""H of a loss with separate outputs: one curvature for each output."""

import numpy as np

from skinfluence.curvature._base import Curvature, Leverage


class SeparateCurvature(Curvature):
    """A block-diagonal H as K curvatures of one output, for 1 / K^2 of the flops of one of K.

    Parameters
    ----------
    objective : Objective
        Of a loss whose curvatures are diagonal.
    parts : list of Curvature
        Curvatures of `objective.output(k)`, one for each output.
    """

    def __init__(self, objective, parts, damping=0.0):
        super().__init__(objective, damping)
        self.parts, self.kind = parts, parts[0].kind
        known = [part.rcond for part in parts if part.rcond is not None]
        self.rcond = min(known) if len(known) == len(parts) else None

    def warn_of_lost_digits(self):
        for part in self.parts:
            part.warn_of_lost_digits()

    def amplification(self, one_minus):
        return np.max([part.amplification(one_minus) for part in self.parts], axis=0)

    def _blocks(self, V):
        """Pairs of each output's curvature and its rows of V."""
        return zip(
            self.parts,
            V.reshape(len(self.parts), len(V) // len(self.parts), V.shape[1]),
            strict=True,
        )

    def solve(self, V):
        return np.concatenate([part.solve(block) for part, block in self._blocks(V)])

    def solver(self, n_columns):
        solvers = [part.solver(n_columns) for part in self.parts]

        def solve(V):
            blocks = V.reshape(len(solvers), len(V) // len(solvers), V.shape[1])
            return np.concatenate([one(block) for one, block in zip(solvers, blocks, strict=True)])

        return solve

    @property
    def residual(self):
        return max(part.residual for part in self.parts)

    def inverse_diagonal_bound(self):
        return np.concatenate([part.inverse_diagonal_bound() for part in self.parts])

    def row_quadratic(self, design):
        diagonal = [part.row_quadratic(design)[:, 0, 0] for part in self.parts]
        return np.stack(diagonal, axis=1)[:, :, None] * np.eye(len(self.parts))

    def _leverage_of(self, rows):
        self._check_room(rows)
        found = [part.leverage(rows) for part in self.parts]
        eye = np.eye(len(found))
        quadratic = np.stack([one.quadratic[:, 0, 0] for one in found], axis=1)
        one_minus = np.stack([one.one_minus[:, 0, 0] for one in found], axis=1)
        return Leverage(quadratic[:, :, None] * eye, one_minus[:, :, None] * eye)
