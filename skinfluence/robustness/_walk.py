"""Removing rows one after another, with a refit after each: chord steps with a down-dated factor.

A pick costs O(n p): its one-step change, and a few chord passes, each a product with the design and
one with its transpose. H^-1 is that of the last factorisation, corrected by one term of rank K for
each row that has left since; where the steps of a chord no longer shrink a new factor is made.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from skinfluence.curvature import make_curvature
from skinfluence.deletion import SecantPairs
from skinfluence.existence import has_optimum, is_unpenalised, lost_a_class
from skinfluence.optimum import is_acceptable_refit, refit

# Of the last chord step, in units of the coefficients: what is left is some hundredth of it. A
# longer step is the last where its length times twice the ratio of two steps is at most LEFT; the
# first pass after the next removal corrects what it leaves. Sets are verified to rounding.
TOLERANCE, LEFT = 1e-8, 1e-7
MAX_PASSES = 25
# Multiple of the tolerance below which steps that no longer shrink are rounding.
NEAR = 1e3
# Steps whose changes of the gradient correct the factor.
SECANTS = 6
# Removals after which the gradient of a quadratic loss is summed anew over all rows: one step by
# that of the rows that leave is exact but for rounding, which this corrects.
CORRECTED = 16
# A chord whose steps shrink by less than this gets a new factor.
SLOW = 0.3
# Passes after which an otherwise converging chord has a new factor the next time.
MANY_PASSES = 6
# Terms of rank K that are kept before a new factor is cheaper than applying them.
MAX_TERMS = 64
# Flops of a Gram matrix that a removal may cost: where that is little the factor is often new, for
# effects at the present curvature find better rows.
CHEAP = 5e5


class Terms:
    """U S U', what H^-1 gains by the rows that have left, K columns for each.

    Parameters
    ----------
    n_parameters, n_outputs : int
    most : int
        Rows, at most.
    """

    def __init__(self, n_parameters, n_outputs, most=MAX_TERMS):
        self.K, self.n, self.most = n_outputs, 0, most
        self._U = np.empty((n_parameters, MAX_TERMS * n_outputs), order="F")
        self._S = np.zeros((MAX_TERMS * n_outputs,) * 2)

    @property
    def is_full(self):
        """Whether there is no room for another row."""
        return self.n >= self.most

    @property
    def U(self):
        """Columns H^-1 (I (x) z) L of the rows, (P, n K), by the inverse before each left."""
        return self._U[:, : self.n * self.K]

    def add(self, U, S):
        """Add the columns (P, K) of a row and (I - L' A L)^-1 of its curvature L L'."""
        part = slice(self.n * self.K, (self.n + 1) * self.K)
        self._U[:, part], self._S[part, part] = U, S
        self.n += 1

    def of_row(self, position):
        """Return the columns (P, K) and the matrix (K, K) of one row."""
        part = slice(position * self.K, (position + 1) * self.K)
        return self._U[:, part], self._S[part, part]

    def matmul(self, B):
        """U S U' B for B (P, m)."""
        m = self.n * self.K
        return self.U @ (self._S[:m, :m] @ (self.U.T @ B))


@dataclass
class _Seen:
    """What the pass of a removal has found for the effects after it.

    Attributes
    ----------
    quantity : object
        Whose effects they are.
    objective : Objective
        Where the pass was, one step before the optimum: by less than the tolerance of refits.
    step : ndarray of shape (K, q)
        H^-1 times the quantity's slope.
    terms : list
        Those that the A_i have not.
    products : ndarray of shape (n, m)
        Predictors of the terms and of the step.
    along : ndarray of shape (n, K) or None
        Those of the step, once the terms are added.
    """

    quantity: object
    objective: object
    step: np.ndarray
    terms: list
    products: np.ndarray
    along: np.ndarray | None = None


class Walk:
    """The model while rows leave: its optimum, and the effect of each further row on a quantity.

    Parameters
    ----------
    objective : Objective
        At its optimum.
    curvature : Curvature, optional
        Of that objective.

    Attributes
    ----------
    objective : Objective
        Without the removed rows, at its own optimum.
    removed : list of int
        In order.
    diverges : bool
        Whether the last removal left no finite optimum.
    empties_class : bool
        Whether a removal was refused because a class would have lost its last row.
    """

    def __init__(self, objective, curvature=None):
        self.start = self.objective = objective
        self.removed, self.diverges, self.empties_class = [], False, False
        self.unit = objective.coefficient_unit
        self._seen = None  # what the last pass has found for the next effects
        self._set_factor(curvature)
        kind = objective.loss.required_classes(objective.y)
        needed = objective.loss.n_classes or objective.free_intercepts[-1]
        self._class = np.zeros(objective.n_rows, dtype=int) if kind is None or not needed else kind
        self._class_sizes = Counter(self._class[objective.sample_weight > 0].tolist())
        self._smallest_class = min(self._class_sizes.values(), default=0)

    @classmethod
    def without(cls, objective, rows, theta):
        """Return the Walk that has removed rows, at the optimum without them, with no factor.

        Parameters
        ----------
        objective : Objective
            With the rows, at its optimum.
        rows : ndarray of int
        theta : ndarray of shape (K, q)
        """
        new, delta = cls(objective), np.zeros(objective.n_rows)
        delta[rows] = -objective.sample_weight[rows]
        new.objective = objective.reweighted(delta).at(theta)
        new.removed = [int(row) for row in rows]
        return new

    # -- the inverse -------------------------------------------------------------------------------

    def _refactor(self):
        """Make a new factor at the present optimum."""
        self._set_factor(make_curvature(self.objective, n_solves=self.objective.n_rows))

    def _set_factor(self, curvature):
        """Take a factor, which no row has left."""
        self._curvature, self._quadratic, self._stale = curvature, None, False
        self._n_counted = 0  # terms that the A_i have
        self._pairs = SecantPairs(SECANTS)  # of earlier removals too: the curvature drifts slowly
        n, P = self.start.n_rows, self.start.n_parameters
        most = MAX_TERMS
        if not self.start.loss.is_quadratic:
            most = int(np.clip(n * P**2 / CHEAP, 1, MAX_TERMS))
        self._terms = Terms(P, self.start.n_outputs, most)

    def solve(self, B):
        """H^-1 B, (P, m), by the last factor and the rows that have left since."""
        if self._curvature is None or self._stale:
            self._refactor()
        found = self._curvature.solve(B)
        return found + self._terms.matmul(B) if self._terms.n else found

    def quadratic(self):
        """A_i = (I (x) z_i)' H^-1 (I (x) z_i) of every row, (n, K, K), kept up to date."""
        self._update_quadratic()
        return self._quadratic

    def _update_quadratic(self, step=None):
        """Add the terms of the rows that have left since to the A_i.

        Return the predictors (n, K) of a step (K, q), by the same product with the design.
        """
        if self._curvature is None or self._stale:
            self._refactor()
        new, columns = self._columns(step)
        if not columns.shape[1]:
            return self._added(new, None, None)
        return self._added(new, step, self.objective.design.matmul_columns(columns))

    def _columns(self, step):
        """Terms that the A_i have not, and the columns (q, m) of which they and a step need Z u."""
        q = self.objective.theta.shape[1]
        new = [self._terms.of_row(part) for part in range(self._n_counted, self._terms.n)]
        blocks = [U.T.reshape(-1, q) for U, _ in new] + ([] if step is None else [step])
        return new, np.concatenate([np.zeros((0, q)), *blocks]).T

    def _added(self, new, step, products):
        """Add terms to the A_i by the products (n, m) of their columns; return the step's."""
        if self._quadratic is None:
            self._quadratic = self._curvature.leverage().quadratic.copy()
        self._n_counted = self._terms.n
        if products is None:
            return None
        K = self.objective.n_outputs
        moved = products.reshape(len(products), -1, K)
        for position, (_, S) in enumerate(new):
            part = moved[:, position * K : (position + 1) * K]
            if K == 1:
                self._quadratic += S * part**2
            else:
                part = part.transpose(0, 2, 1)
                self._quadratic += np.matmul(np.matmul(part, S), part.transpose(0, 2, 1))
        return None if step is None else moved[:, -1]

    def _down_date(self, row):
        """Take one row out of the factor; leave it to a new factor where that loses digits."""
        base, K = self._curvature.objective, self.objective.n_outputs
        if base.sample_weight[row] == 0:
            return
        L = base.weight_factors_of(np.array([row]))[0][0]
        rows = np.full(K, row)
        right = base.design.outer(np.eye(K), rows).T @ L
        U = self.solve(right)
        inner = np.eye(K) - right.T @ U
        smallest = inner[0, 0] if K == 1 else np.linalg.eigvalsh(0.5 * (inner + inner.T))[0]
        if not smallest > 1e-4:
            self._stale = True
            return
        self._terms.add(U, 1.0 / inner if K == 1 else np.linalg.inv(inner))

    # -- effects -----------------------------------------------------------------------------------

    def effects(self, quantity, *, corrected):
        """Change of a quantity's margin by the removal of each row, (n,); inf for removed rows.

        First order, or with each row's own leverage: one Newton step for each row.
        """
        objective, direct = self.objective, None
        if corrected and self._seen is not None and self._seen.quantity is quantity:
            v, along, objective = self._seen.step, self._along(), self._seen.objective
        else:
            slope, direct = quantity.slopes(objective, self.solve)
            v = self.solve(slope.reshape(-1, 1)).reshape(objective.theta.shape)
            along = self._update_quadratic(v) if corrected else objective.design @ v.T
        residuals = objective.residuals
        if corrected:
            inner = np.eye(objective.n_outputs) - objective.weights_matmul(self._quadratic)
            with np.errstate(divide="ignore", invalid="ignore"):
                residuals = _solve_blocks(inner, residuals)
        effect = np.einsum("ik,ik->i", along, residuals)
        if objective.row_penalty is not None:
            common = objective.row_penalty.gradient(objective.theta)
            effect += objective.shares * float(np.sum(v * common))
        if direct is not None:
            effect = effect - direct
        effect[objective.sample_weight == 0] = np.inf
        return np.where(np.isnan(effect), np.inf, effect)

    def _along(self):
        """Predictors (n, K) of the step of what was seen; the A_i are brought up to date."""
        found = self._seen
        if found.along is None:
            found.along = self._added(found.terms, found.step, found.products)
        return found.along

    # -- steps -------------------------------------------------------------------------------------

    def remove(self, rows, ahead=None):
        """Remove rows and refit; return whether there is a model without them.

        Parameters
        ----------
        rows : ndarray of int
        ahead : object, optional
            Quantity whose effects will be asked next: where its slopes do not depend on the
            parameters, the pass of the refit finds what they need.
        """
        ahead = ahead if ahead is not None and ahead.is_linear else None
        return self._move(np.atleast_1d(rows), leaving=True, ahead=ahead)

    def restore(self, rows):
        """Put removed rows back and refit; return whether that converged."""
        return self._move(np.atleast_1d(rows), leaving=False)

    def _move(self, rows, leaving, ahead=None):
        """Change the weights of rows to 0 or back, and find the optimum."""
        self._seen = None
        delta = np.zeros(self.objective.n_rows)
        weight = self.start.sample_weight[rows]
        delta[rows] = -weight if leaving else weight
        before = self.objective
        after = before.reweighted(delta)
        if leaving and self._is_last_of_a_class(rows):
            self.empties_class = True
            return False
        factored = self._curvature is not None and not self._stale
        for row in rows if leaving and factored else ():
            if self._stale or self._terms.is_full:
                self._stale = True
                break
            self._down_date(int(row))
        self._stale |= not (leaving and factored)
        with np.errstate(over="ignore", invalid="ignore"):  # rows that come back may overflow
            kinked = after.penalty.is_kinked
            found = None if kinked else self._chord(after, rows, delta[rows], ahead)
        if found is None:
            self._seen, found = None, self._newton(after)
        if found is None:
            self._stale = True
            return False
        self.objective = found
        if leaving:
            self.removed.extend(int(row) for row in rows)
        else:
            kept = set(int(row) for row in rows)
            self.removed = [row for row in self.removed if row not in kept]
        return True

    def settle(self):
        """Refine the optimum to rounding, for a quantity next to its level."""
        found = self._newton(self.objective)
        if found is not None:
            self.objective = found

    def _is_last_of_a_class(self, rows):
        """Whether a required class of some rows has no other rows of positive weight."""
        if len(self.removed) + len(rows) < self._smallest_class:
            return False
        gone = np.union1d(np.array(self.removed, dtype=np.intp), rows)
        n_gone = Counter(self._class[gone[self.start.sample_weight[gone] > 0]].tolist())
        return any(
            n_gone[kind] == self._class_sizes[kind] for kind in set(self._class[rows]) - {-1}
        )

    def _chord(self, objective, rows, delta, ahead=None):
        """Optimum by chord steps after a change of the weights; None where they do not converge."""
        if self._stale:
            try:
                self._set_factor(make_curvature(objective, n_solves=objective.n_rows))
            except np.linalg.LinAlgError:
                return None
        before, quadratic = np.inf, objective.loss.is_quadratic and objective.row_penalty is None
        # One step of a quadratic loss is exact but for rounding, which a gradient of all rows now
        # and then corrects, or another step after the pass that the effects need.
        exact = quadratic and ahead is None
        anew = exact and (delta.max() > 0 or len(self.removed) % CORRECTED == CORRECTED - 1)
        gradient = self._whole_gradient(objective) if anew else self._first_gradient(rows, delta)
        for passes in range(MAX_PASSES):
            step = self._pairs.step(gradient, self).reshape(objective.theta.shape)
            size = np.abs(step).max()
            near = size <= NEAR * TOLERANCE * self.unit
            if not np.isfinite(size) or (passes > 1 and size > SLOW * before and not near):
                self._stale = True
                return None
            # Twice: the first ratio is that of a curvature midway, not at the end.
            left = size * min(1.0, 2.0 * size / before) if passes else size
            done = exact or size <= TOLERANCE * self.unit or (near and size >= before)
            done = done or left <= LEFT * self.unit
            if done and (passes or ahead is None):
                self._stale = passes > MANY_PASSES
                return objective.at(objective.theta + step)
            objective = self._evaluated(objective, objective.theta + step, ahead)
            if not quadratic:  # else the factor is exact, and pairs of other rows are not
                change = objective.gradient - gradient
                self._pairs.add(step.ravel(), change.ravel(), gradient.ravel())
            gradient, before = objective.gradient, size
        self._stale = True
        return None

    def _evaluated(self, objective, theta, ahead):
        """Objective at another parameter; the first pass finds what the next effects need."""
        if ahead is None:
            return objective.evaluated_at(theta)
        if self._seen is not None:
            found = objective.evaluated_at(theta)
            self._seen.objective = found
            return found
        slope, _ = ahead.slopes(objective, self.solve)
        v = self.solve(slope.reshape(-1, 1)).reshape(theta.shape)
        terms, columns = self._columns(v)
        found, products = objective.evaluated_beside(theta, columns)
        self._seen = _Seen(ahead, found, v, terms, products)
        return found

    def _whole_gradient(self, objective):
        """Gradient of all rows at the parameter, by one pass where there is none yet."""
        known = objective.is_evaluated
        return objective.gradient if known else objective.evaluated_at(objective.theta).gradient

    def _first_gradient(self, rows, delta):
        """Gradient after a change of weights at the optimum before it: that of the change alone.

        What is left of the gradient before it, by rounding or a last step, the next pass corrects.
        """
        objective = self.objective
        some = objective.take(rows)
        gradient = some.design.transpose_matmul(delta[:, None] * some.row_gradients).T
        if objective.shares.any():
            gradient = gradient + delta.sum() * objective.row_penalty.gradient(objective.theta)
        return self.start.freed(gradient)  # what is fixed is the same for all weights

    def _newton(self, objective):
        """Optimum by Newton's method; None where there is none."""
        self._stale = True
        with np.errstate(over="ignore", invalid="ignore"):
            if not np.isfinite(objective.value):
                objective = objective.at(self.start.theta)
            optimum = refit(objective, np.zeros(objective.theta.shape))
        exists = not is_unpenalised(objective) or has_optimum(objective)
        self.diverges = not exists
        return optimum.objective if exists and is_acceptable_refit(optimum) else None


def _solve_blocks(inner, residuals):
    """Solve inner_i x = residual_i, (n, K); NaN where a block is singular."""
    if inner.shape[1] == 1:
        return np.where(inner[:, :, 0] > 0, residuals / inner[:, :, 0], np.nan)
    good = np.abs(np.linalg.det(inner)) > 1e-12
    found = np.full(residuals.shape, np.nan)
    found[good] = np.linalg.solve(inner[good], residuals[good][:, :, None])[:, :, 0]
    return found


def refitted(objective, rows, start=None):
    """Objective without rows at its optimum, by Newton's method to rounding; None without one.

    Parameters
    ----------
    objective : Objective
        With all rows.
    rows : array-like of int
    start : ndarray of shape (K, q), optional
        Near the optimum.
    """
    delta = np.zeros(objective.n_rows)
    delta[rows] = -objective.sample_weight[rows]
    rest = objective.reweighted(delta)
    if lost_a_class(rest) or (is_unpenalised(rest) and not has_optimum(rest)):
        return None
    step = np.full(objective.theta.shape, 0.0) if start is None else start - objective.theta
    optimum = refit(rest, step)
    return optimum.objective if is_acceptable_refit(optimum) else None
