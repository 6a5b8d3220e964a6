"""Newton steps for most rows and refits for some: what method="auto" takes."""

import numpy as np

from skinfluence._parallel import row_blocks
from skinfluence.deletion._base import Deletion

# Bytes of the refits that are written out at a time.
BLOCK_BYTES = 2**25


class MixedDeletion(Deletion):
    """A Newton step for each row, replaced by the refit itself for some of them.

    Parameters
    ----------
    newton : OneStep or MixedDeletion
        Of all rows asked about.
    exact : Deletion
        Refits without `newton.rows[positions]`.
    positions : ndarray of int
        Ascending positions among the deletions.
    error, bound : ndarray of shape (r,), optional
        Of the Newton steps.
    route : str
        What the other steps are called: "exact" where they are refits in closed form.

    Attributes
    ----------
    routes : ndarray of str, shape (r,)
        "newton", "refined" or "undefined".
    own_error, own_bound : ndarray of shape (r,)
        Of the predictor of each row; NaN and inf for the Newton steps until `with_errors`.
    """

    def __init__(self, newton, exact, positions, error=None, bound=None, *, route="newton"):
        again = isinstance(newton, MixedDeletion)
        undefined = newton.undefined if again else newton.undefined | newton.collapsed
        undefined = undefined.copy()
        if len(positions):
            undefined[positions] = exact.undefined
        super().__init__(newton.objective, newton.rows, undefined, newton.idle)
        self.newton, self.exact, self.positions = newton, exact, positions
        self.curvature = newton.curvature
        self.routes = np.full(len(newton), route, dtype="<U11")
        if again:
            self.routes, error, bound = newton.routes.copy(), newton.own_error, newton.own_bound
        self.routes[positions] = "refined"
        self.routes[self.idle], self.routes[undefined] = "exact", "undefined"
        self.own_error = np.full(len(newton), np.nan) if error is None else error.copy()
        self.own_bound = np.full(len(newton), np.inf) if bound is None else bound.copy()
        if len(positions):
            self.own_error[positions] = exact.own_error
            self.own_bound[positions] = exact.own_bound

    @property
    def n_bytes(self):
        """Memory of the refits."""
        return 8 * len(self.positions) * self.objective.n_parameters

    @property
    def leverage(self):
        """Leverage blocks of the deleted rows."""
        return self.newton.leverage

    def _refits_in(self, part):
        """Positions within some deletions that are refits, and which refits they are."""
        if not isinstance(part, slice):
            which = np.searchsorted(self.positions, part)
            found = np.flatnonzero(np.isin(part, self.positions))
            return found, which[found]
        start, stop, _ = part.indices(len(self))
        first, last = np.searchsorted(self.positions, [start, stop])
        return self.positions[first:last] - start, np.arange(first, last)

    def steps(self, part):
        steps = self.newton.steps(part)
        place, which = self._refits_in(part)
        if len(place):
            steps[place] = self.exact.steps(which)
        return steps

    def on(self, design):
        newton = self.newton.on(design)

        def change(part):
            result = newton(part)
            place, which = self._refits_in(part)
            # A refit may be known in fewer coordinates than it has: few at a time are written out.
            size = 8 * self.objective.n_parameters
            for some in row_blocks(len(place), size, at_most=max(1, BLOCK_BYTES // size)):
                result[:, :, place[some]] = design.predictors_of(self.exact.steps(which[some]))
            return result

        return change

    def own_change(self):
        change = self.newton.own_change()
        if len(self.positions):
            change[self.positions] = self.exact.own_change()
        return change
