"""Sets of rows that flip a quantity, each verified by a refit: the smallest that is found."""

import numpy as np

from skinfluence._parallel import tracked
from skinfluence.robustness._stored import Found, Picks
from skinfluence.robustness._walk import Walk, refitted

# Swaps of one row for another, in all.
MAX_SWAPS = 200
# Units that a swap tries on either side.
TRIED = 3
# Removals of an order that are all tried in turn.
FEW = 50
# Units without which there is no model, that a greedy search passes over.
MAX_BLOCKED = 10
# A margin below this share of its value at the fit is 0 but for the rounding of refits.
ROUNDING = 1e-12
# Below this share of its value at the fit a margin is computed at an optimum to rounding: a tie is
# a flip.
CLOSE = 1e-4


class Search:
    """Sets of units whose removal flips a quantity.

    Parameters
    ----------
    objective : Objective
        At its optimum.
    quantity : object
        Bound: of `margin`, `value` and `slopes`.
    units : list of ndarray of int
        Rows that leave together.
    curvature : Curvature, optional
    progress : callable, optional
        Wraps the iteration over removals.
    """

    def __init__(self, objective, quantity, units, curvature=None, progress=None):
        self.objective, self.quantity, self.units = objective, quantity, units
        self.curvature, self.progress = curvature, progress
        self.unit_of = np.full(objective.n_rows, -1)
        sizes, rows = list(map(len, units)), np.concatenate(units)
        self.unit_of[rows] = np.repeat(np.arange(len(units)), sizes)
        # The row of each unit, where every unit is one: effects of units are then those of rows.
        self._row_of = rows if set(sizes) == {1} else None
        self.margin = quantity.margin(objective)
        self.zero = ROUNDING * abs(self.margin)

    @property
    def is_by_row(self):
        """Whether every unit is a single row."""
        return self._row_of is not None

    def unit_effects(self, state, *, corrected):
        """Change of the margin by the removal of each unit, the sum of its rows', (r,)."""
        effects = state.effects(self.quantity, corrected=corrected)
        if self._row_of is not None:
            return effects[self._row_of]
        gone = ~np.isfinite(effects)
        taken = self.unit_of >= 0
        weights = np.where(gone, 0.0, effects)[taken]
        total = np.bincount(self.unit_of[taken], weights=weights, minlength=len(self.units))
        left = np.bincount(self.unit_of[taken & ~gone], minlength=len(self.units))
        return np.where(left > 0, total, np.inf)

    def first_order(self):
        """Return the effects at the fit, (r,), and the least number whose sum is a flip, or None.

        Approximate maximum influence: only as good as the sum of first-order effects.
        """
        state = Walk(self.objective, self.curvature)
        effects = self.unit_effects(state, corrected=False)
        order = np.argsort(effects, kind="stable")
        total = np.cumsum(np.where(effects[order] < 0, effects[order], 0.0))
        reached = np.flatnonzero(self.margin + total <= self.zero)
        return effects, int(reached[0]) + 1 if len(reached) else None

    def flips(self, margin):
        """Whether a margin is not positive, but for the rounding of a refit."""
        return bool(margin <= self.zero)

    def _margin(self, state):
        """Return the margin of a walk, to rounding where it decides."""
        margin = self.quantity.margin(state.objective)
        if abs(margin) > CLOSE * abs(self.margin):
            return margin
        state.settle()
        return self.quantity.margin(state.objective)

    def greedy(self, max_units, among=None, store=None):
        """Remove the unit of the largest leverage-corrected effect, refit, and again.

        Until the quantity flips or no removal lowers its margin; of the units of a given set, all.

        With a store where the search is, is kept after each block of removals. The walk then begins
        anew from there, as it does where the search goes on in another process.
        """
        return self._walk(max_units, among, stops=among is None, store=store)

    def _walk(self, max_units, among, stops, store=None):
        """Remove up to `max_units` units greedily."""
        picks = None if store is None else Picks.last(store)
        if picks is None:
            picks, state = Picks(self._not_among(among)), Walk(self.objective, self.curvature)
        else:
            state = self._resumed(picks)
        tries = range(max_units + MAX_BLOCKED)
        for number in tracked(tries, self.progress if stops else None):
            if number < picks.tried:
                continue
            if len(picks.order) >= max_units:
                break
            effects = self.unit_effects(state, corrected=True)
            effects[picks.blocked] = np.inf
            best = int(np.argmin(effects))
            if not np.isfinite(effects[best]) or (stops and effects[best] >= 0):
                break
            picks.begin(best, number)
            if not state.remove(self.units[best], ahead=self.quantity):
                picks.refused(state)
                continue
            margin = self._margin(state)
            at = state.objective
            picks.removed(best, self.quantity.value(at), margin)
            if stops and self.flips(picks.margins[-1]):
                break
            if store is not None and picks.is_whole:
                picks.write(store, at.theta)
                state = self._resumed(picks)
        done = bool(picks.margins) and self.flips(picks.margins[-1])
        parts = (picks.order, picks.values, picks.margins, done)
        return Found(*parts, picks.diverges, picks.empties_class)

    def _not_among(self, among):
        """Mask of the units outside a set; of none where that is None."""
        blocked = np.full(len(self.units), among is not None)
        if among is not None:
            blocked[list(among)] = False
        return blocked

    def _resumed(self, picks):
        """Return the Walk of a search that was kept."""
        return Walk.without(self.objective, self.rows(picks.order), picks.theta)

    def longest(self, size):
        """Remove `size` units, each the best at the time, whether or not that flips."""
        return self._walk(size, None, stops=False)

    def follow(self, order, stops=False):
        """Remove units in a given order, up to a flip if that stops it.

        Return the Found, or None where a refit fails before.
        """
        state, values, margins = Walk(self.objective, self.curvature), [], []
        for unit in order:
            if not state.remove(self.units[unit]):
                return None
            margins.append(self._margin(state))
            values.append(self.quantity.value(state.objective))
            if stops and self.flips(margins[-1]):
                break
        done = bool(margins) and self.flips(margins[-1])
        return Found([int(unit) for unit in order[: len(values)]], values, margins, done)

    def is_verified(self, found):
        """Whether a refit to rounding, from the fit itself, flips as the walk has found."""
        return found is not None and found.flips and self.flips_without(found.order)

    def rows(self, units):
        """Rows of some units, in their order."""
        return (
            np.concatenate([self.units[unit] for unit in units]) if len(units) else np.zeros(0, int)
        )

    def flips_without(self, units):
        """Whether the refit without some units has flipped."""
        found = refitted(self.objective, self.rows(units))
        return found is not None and self.flips(self.quantity.margin(found))

    def ordered(self, units):
        """Return the Found of a set, the units ordered by a greedy walk among them."""
        found = self.greedy(len(units), among=units)
        return found if len(found.order) == len(units) else None

    def shrunk(self, best, order):
        """Return a Found smaller than `best` from the head of an order of the units, or `best`.

        Removal by removal where they are few; else by bisection of the size, which finds a least
        one where the margin falls along the order.
        """
        most = len(order) if best is None else min(len(order), len(best.order) - 1)
        if best is None or most <= FEW:
            found = self.follow(order[:most], stops=True)
            return found if found is not None and found.flips else best
        if not self.flips_without(order[:most]):
            return best
        low, high = 0, most
        while high - low > 1:
            middle = (low + high) // 2
            if self.flips_without(order[:middle]):
                high = middle
            else:
                low = middle
        found = self.ordered([int(unit) for unit in order[:high]])
        return best if found is None or not found.flips else found

    def swapped(self, best):
        """Return a Found smaller than `best` by swaps of one unit for another, or `best`."""
        swaps = 0
        while len(best.order) > 1 and swaps < MAX_SWAPS:
            state, margin = self._state_of(best.order[:-1])
            if state is None:
                return best
            inside, improved = list(best.order[:-1]), False
            for _ in range(MAX_SWAPS - swaps):
                swaps += 1
                moved = self._swap(state, inside, margin)
                if moved is None:
                    break
                inside, margin = moved
                if self.flips(margin):
                    improved = True
                    break
            found = self.ordered(inside) if improved else None
            if found is None or not found.flips:
                return best
            best = found
        return best

    def _state_of(self, units):
        """Return the Walk of some units and its margin; None where that has no optimum."""
        state = Walk(self.objective, self.curvature)
        for unit in units:
            if not state.remove(self.units[unit]):
                return None, np.inf
        return state, self._margin(state)

    def _swap(self, state, inside, margin):
        """Swap one unit outside for one inside; return (inside, margin), None if none is better.

        The best few to remove are tried, each with the cheapest few to restore.
        """
        effects = self.unit_effects(state, corrected=True)
        effects[inside] = np.inf
        for entering in np.argsort(effects, kind="stable")[:TRIED]:
            if not np.isfinite(effects[entering]) or not state.remove(self.units[entering]):
                continue
            costs = self._restoring(state, inside)
            for place in np.argsort(costs, kind="stable")[:TRIED]:
                leaving = inside[int(place)]
                if not state.restore(self.units[leaving]):
                    continue
                reached = self._margin(state)
                if reached < margin - 1e-9 * abs(self.margin):
                    rest = [unit for unit in inside if unit != leaving]
                    return [*rest, int(entering)], reached
                if not state.remove(self.units[leaving]):
                    return None
            if not state.restore(self.units[entering]):
                return None
        return None

    def _restoring(self, state, inside):
        """Change of the margin when each removed unit comes back: one step for each row."""
        objective = state.objective
        back = objective.reweighted(state.start.sample_weight - objective.sample_weight)
        slope, _ = self.quantity.slopes(objective, state.solve)
        v = state.solve(slope.reshape(-1, 1)).reshape(objective.theta.shape)
        rows = self.rows(inside)
        along = (objective.design.take(rows) @ v.T).reshape(len(rows), -1)
        residual = back.residuals[rows]
        if objective.n_outputs == 1:
            lever = back.weights[rows, 0, 0] * state.quadratic()[rows, 0, 0]
            residual = residual / (1.0 + np.maximum(lever, 0.0))[:, None]
        effect = -np.einsum("ik,ik->i", along, residual)
        sizes = [len(self.units[unit]) for unit in inside]
        return np.add.reduceat(effect, np.r_[0, np.cumsum(sizes)[:-1]])
