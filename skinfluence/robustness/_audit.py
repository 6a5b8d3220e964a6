"""The steps of an audit: sets by search, bounds by proof, and their comparison."""

from dataclasses import replace
from functools import cached_property

import numpy as np

from skinfluence.robustness import _branch_and_bound, _dinkelbach, _relaxation, _sorted_sums
from skinfluence.robustness._sorting import one_parameter, saturated
from skinfluence.robustness._stored import Lower, once
from skinfluence.robustness._walk import Walk, refitted
from skinfluence.robustness.search import Search

# Parameters of a model that branch and bound is tried on: one less is free.
MAX_PARAMETERS = 4
# Cells of branch and bound, by default.
BUDGET = 5_000
# Share of the margin by which a set is better than another.
SAME = 1e-9

EXISTS = "sets of which the refit has no finite optimum are not counted"
SORTED = "least squares on the means of cells with equal weights"
ONE_PARAMETER = "a convex loss with one parameter"
SUMS = "least squares, with a ridge penalty or without"
CELLS = "refits anywhere: every cell of the plane and every cone beyond is closed"


class Audit:
    """The steps of an audit: sets by search, bounds by proof, and their comparison.

    Parameters
    ----------
    objective, curvature : Objective, Curvature
        At the optimum.
    quantity : object
        Bound.
    units : list of ndarray
        Rows that leave together.
    max_units : int
        Size up to which sets are looked for.
    progress : callable, optional
    store : Store, optional
        Of finished steps.
    """

    def __init__(self, objective, curvature, quantity, units, max_units, progress=None, store=None):
        self.store = store
        self.objective, self.curvature, self.quantity = objective, curvature, quantity
        self.units, self.max_units, self.progress = units, max_units, progress
        self.search = Search(objective, quantity, units, curvature, progress)
        self.effects, self.first_order_count = self.search.first_order()
        if not quantity.is_smooth:
            self.first_order_count = None
        self.linear = quantity.is_linear and objective.n_outputs == 1
        self.by_row = self.search.is_by_row and len(units) == objective.n_rows

    @cached_property
    def relaxation(self):
        """The Relaxation of the quantity, for what sorting leaves open; None without one."""
        covered = self.linear and _relaxation.is_covered(self.objective)
        if not covered or self.objective.n_parameters == 1:
            return None
        found = _relaxation.Relaxation(self.objective, self.quantity, self.units)
        return found if found.has_plane else None

    def sorted(self):
        """Return (Lower, Found or None) by sorting; (None, None) where that does not apply."""
        if not self.linear:
            return None, None
        answer, why = one_parameter(self.objective, self.quantity, self.units), ONE_PARAMETER
        if answer is None and self.by_row:
            answer, why = saturated(self.objective, self.quantity, len(self.units)), SORTED
        if answer is None:
            return None, None
        number, order = answer
        lower = Lower(number, "sorting", (why, EXISTS))
        if number > self.max_units:
            return lower, None
        order = order[np.argsort(self.effects[order], kind="stable")]
        return lower, self.search.follow(order)

    def smallest(self):
        """Return the smallest verified Found of the searches, or the longest where none flips."""
        search = self.search
        greedy = search.greedy(self.max_units, store=self.store)
        best = greedy if search.is_verified(greedy) else None
        for effects in (self.effects, self._leverage_corrected()):
            order = [int(unit) for unit in np.argsort(effects, kind="stable")]
            order = [unit for unit in order if np.isfinite(effects[unit])][: self.max_units]
            if order:
                best = self._better(best, search.shrunk(best, order))
        if best is not None:
            best = self._better(best, search.swapped(best))
        if best is not None:
            kept = greedy.empties_class
            best = replace(best, diverges=best.diverges or greedy.diverges, empties_class=kept)
        return greedy if best is None else best

    def rounded(self, best, candidates):
        """Return (Found, fractional): the smallest of `best` and of rounded programs' sets.

        Parameters
        ----------
        best : Found
        candidates : list of ndarray
            Solutions of programs.
        """
        starts = [None] if self.relaxation is not None else []
        if starts and best.flips:
            end = refitted(self.objective, self.search.rows(best.order))
            starts.append(end.theta[0])
        fractional = None
        for start in starts:
            found = self.relaxation.local_minimum(start)
            if found is not None and (fractional is None or found[0] < fractional):
                fractional, candidates = found[0], [*candidates, found[1]]
        smallest = best if best.flips else None
        for shares in candidates:
            order = [int(unit) for unit in np.argsort(-shares, kind="stable") if shares[unit] > 0]
            order = order[: self.max_units]
            if order:
                smallest = self._better(smallest, self.search.shrunk(smallest, order))
        if smallest is not None and smallest is not best:
            best = self._better(smallest, self.search.swapped(smallest))
        return best, fractional

    def _leverage_corrected(self):
        """Effects of the units at the fit, each row's with its own leverage."""
        return self.search.unit_effects(Walk(self.objective, self.curvature), corrected=True)

    def _better(self, best, found):
        """Return the smaller of two, if it is verified."""
        if found is best or found is None:
            return best
        if best is not None and len(found.order) >= len(best.order):
            return best
        return found if self.search.is_verified(found) else best

    def lower(self, enough, budget):
        """Return the Lower for a linear quantity: the larger of the bounds that apply.

        Parameters
        ----------
        enough : int
            Units that are known to flip it, or one more than were looked for.
        budget : int
            Cells of branch and bound.
        """
        best = Lower()
        if not self.linear:
            return best
        if _sorted_sums.is_covered(self.objective):
            number = _sorted_sums.sorted_sums(
                self.objective, self.curvature, self.quantity, self.units, self.search.margin
            )
            if number > 1:
                best = Lower(min(number, enough), "sorted sums", (SUMS, EXISTS))
        small = self.relaxation is not None and 1 < self.objective.n_parameters <= MAX_PARAMETERS
        if small and best.at_least < enough:
            proof = _branch_and_bound.BranchAndBound(self.relaxation).prove(
                enough, budget, self.progress
            )
            fractional = proof.fractional if np.isfinite(proof.fractional) else None
            best = replace(best, fractional=fractional, candidates=tuple(proof.shares))
            if proof.within is not None:
                note = (
                    f"at least {proof.at_least}, proven within the box of {proof.within:.3g} "
                    "standard errors about the optimum at the level, which is no proof for refits "
                    "beyond it"
                )
                return replace(best, assumptions=(*best.assumptions, note))
            if proof.at_least > best.at_least:
                best = replace(
                    best,
                    at_least=proof.at_least,
                    certificate="branch and bound",
                    assumptions=(CELLS, EXISTS),
                )
        return best if best.at_least >= enough else self._with_held_columns(best)

    def _with_held_columns(self, lower):
        """Add to a Lower what holds while the other columns are partialled out as in the fit."""
        parts = _dinkelbach.partialled_out(self.objective, self.quantity)
        if parts is None or self.objective.n_parameters == 1:
            return lower
        about = self.units, self.quantity.level, self.quantity.sign
        number = _dinkelbach.least_units(*parts, *about)
        note = (
            f"dinkelbach: at least {number} with the other columns partialled out once and not "
            "again, which is no proof for refits"
        )
        return replace(lower, assumptions=(*lower.assumptions, note))


def smallest_flip(
    objective,
    curvature,
    quantity,
    units,
    *,
    max_units,
    certify=True,
    budget=None,
    progress=None,
    store=None,
):
    """Return (Found, Lower, first-order count) of a bound quantity.

    Parameters
    ----------
    objective, curvature : Objective, Curvature
        At the optimum.
    quantity : object
        Bound.
    units : list of ndarray
    max_units : int
    certify : bool
        Whether lower bounds are looked for.
    budget : int, optional
        Cells of branch and bound.
    progress : callable, optional
    store : Store, optional
        Of finished steps: the searches, the bound, the rounded programs.
    """
    audit = Audit(objective, curvature, quantity, units, max_units, progress, store)
    lower, found = once(store, "sorted", audit.sorted)
    decided = found is not None and once(store, "verified", lambda: audit.search.is_verified(found))
    if not decided:
        found = once(store, "searched", audit.smallest)
        if certify and lower is None:
            enough = len(found.order) if found.flips else max_units + 1
            cells = BUDGET if budget is None else budget
            lower = once(store, "bounded", lambda: audit.lower(enough, cells))
            decided = found.flips and len(found.order) <= lower.at_least
    lower = Lower() if lower is None or not certify else lower
    if certify and not decided:
        parts = (found, lower.candidates)
        found, fractional = once(store, "rounded", lambda: audit.rounded(*parts))
        known = [value for value in (fractional, lower.fractional) if value is not None]
        lower = replace(lower, fractional=min(known) if known else None)
    return found, lower, audit.first_order_count


def most_influential_set(objective, curvature, quantity, size, *, progress=None):
    """Return (Found, first-order value or None, certificate) of the set of a size that moves most.

    Parameters
    ----------
    objective, curvature : Objective, Curvature
    quantity : object
        Bound.
    size : int
    progress : callable, optional
    """
    units = list(np.arange(objective.n_rows)[:, None])
    search = Search(objective, quantity, units, curvature, progress)
    effects, _ = search.first_order()
    order = np.argsort(effects, kind="stable")[:size]
    predicted = None
    if quantity.is_linear and quantity.link is None:
        predicted = quantity.value(objective) + quantity.sign * float(effects[order].sum())
    candidates = [search.longest(size), search.follow(order)]
    certificate, exact = "none", None
    parts = _dinkelbach.partialled_out(objective, quantity) if quantity.is_linear else None
    if parts is not None:
        chosen = _dinkelbach.largest_move(*parts, size, quantity.sign)
        if chosen is not None:
            exact = search.follow(chosen[np.argsort(effects[chosen], kind="stable")])
            candidates.append(exact)
    best, *others = [each for each in candidates if each is not None]
    for each in others:  # one set in two orders differs by the rounding of refits
        if each.margins[-1] < best.margins[-1] - SAME * abs(search.margin):
            best = each
    if exact is not None and objective.n_parameters == 1:
        best, certificate = exact, "dinkelbach"
    return best, predicted, certificate
