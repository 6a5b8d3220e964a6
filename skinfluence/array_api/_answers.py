"""ArrayAnswers: the influence of training rows, by one step, on the device of the data."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from skinfluence._parallel import row_blocks
from skinfluence.array_api._problem import ArrayProblem

METHODS = ("first_order", "newton")
# A row whose leverage is 1 but for rounding determines a coefficient alone.
DETERMINING = 1e-12
# Columns of the product of test and training rows: aligned for the widest loads of a card.
ALIGNED = 8
# What one pass over the training rows leaves, each (n, K) but for the leverages (n,).
NAMES = ("eta", "leverage", "first_order", "newton", "own_first_order", "own_newton")


@dataclass(frozen=True)
class ArrayAnswers:
    """One-step deletions of an ArrayProblem, read at test rows.

    The step of row i is H^-1 z_i x m_i, with m_i its residual for "first_order" and the residual
    corrected by the row's own leverage for "newton". So a question is one product of the test rows'
    share of H^-1, in the type of the data, with the training rows times their m_i.

    Attributes
    ----------
    problem : ArrayProblem
    method : {"first_order", "newton"}
    rows : ndarray of int or None
        Training rows that are asked about; None for all.
    """

    problem: ArrayProblem
    method: str
    rows: np.ndarray | None = None

    @property
    def n_deletions(self):
        """Number of training rows that are asked about."""
        return self.problem.n_rows if self.rows is None else len(self.rows)

    def _taken(self, values, part=slice(None)):
        """Rows of a training array that are asked about, of a slice of them."""
        if self.rows is None:
            return values[part, ...]
        return self.problem.library.xp.take(
            values, self.problem.library.positions(self.rows[part]), axis=0
        )

    # -- the steps ---------------------------------------------------------------------------------

    @cached_property
    def _passed(self):
        """Arrays of `_one_pass` over the rows that are asked about; kept if all are."""
        kept = self.problem.kept
        if "leverage" in kept:
            return {name: self._taken(kept[name]) for name in NAMES}
        if self.rows is None:
            kept.update(self._one_pass())
            return kept
        return self._one_pass()

    def _one_pass(self):
        """One pass over the rows: predictors, leverages, multipliers and own changes."""
        problem, K = self.problem, self.problem.n_outputs
        library, xp, root, loss = problem.library, problem.library.xp, problem.root, problem.loss
        d, found = problem.theta.shape[0], []
        one = xp.eye(K, dtype=xp.float64, device=library.device)[None, :, :]
        for part in row_blocks(self.n_deletions, 8 * d * K * (K + 3)):
            Z = problem.design(self._taken(problem.X, part))
            eta, weight = Z @ problem.theta, self._taken(problem.weight, part)
            pull = weight[:, None] * loss.gradient(xp, self._taken(problem.y, part), eta)
            A = _gram_blocks(xp, [Z @ root[:, k * d : (k + 1) * d].T for k in range(K)])
            WA = weight[:, None, None] * loss.curvature(xp, eta) @ A
            corrected = library.solve_blocks(one - WA, pull)
            own = [xp.sum(A * m[:, None, :], axis=2) for m in (pull, corrected)]
            leverage = xp.sum(WA * one, axis=(1, 2))
            found.append((eta, leverage, pull, corrected, *own))
        return {
            name: xp.concat(parts, axis=0)
            for name, parts in zip(NAMES, zip(*found, strict=True), strict=True)
        }

    @cached_property
    def multipliers(self):
        """m (r, K), NaN where there is no model without the row."""
        kept, xp = self.problem.kept, self.problem.library.xp
        if self.method == "newton":
            found = self._passed["newton"]
        elif "first_order" in kept:
            found = self._taken(kept["first_order"])
        else:  # no leverage is needed
            problem = self.problem
            gradient = problem.loss.gradient(xp, problem.y, problem.predictors(problem.X))
            kept["first_order"] = problem.weight[:, None] * gradient
            found = self._taken(kept["first_order"])
        return xp.where(self.undefined[:, None], xp.full_like(found, xp.nan), found)

    @cached_property
    def undefined(self):
        """Whether a row is the last of its class, or determines a coefficient alone, (r,)."""
        problem, xp = self.problem, self.problem.library.xp
        live = self._taken(problem.weight) > 0
        alone = live & ~live
        if problem.loss.n_classes:
            y = problem.y
            y = y if y.shape[1] > 1 else xp.concat([1.0 - y, y], axis=1)
            counts = problem.library.exact(problem.weight > 0) @ y
            alone = live & (self._taken(y) @ counts <= 1.0)
        elif problem.penalty == 0 and self.method == "newton":
            alone = live & (self._passed["leverage"] >= 1.0 - DETERMINING)
        return alone

    @property
    def eta(self):
        """Predictors (r, K) of the rows under the model itself."""
        return self._passed["eta"]

    @property
    def leverage(self):
        """Trace of the leverage blocks, (r,)."""
        return self._passed["leverage"]

    @property
    def own_change(self):
        """Change (r, K) of each row's own predictors without it."""
        xp, change = self.problem.library.xp, self._passed[f"own_{self.method}"]
        return xp.where(self.undefined[:, None], xp.full_like(change, xp.nan), change)

    # -- read at test rows -------------------------------------------------------------------------

    def _scaled(self, part):
        """Training rows times their multipliers, side by side for the outputs, see `_beside`."""
        problem = self.problem
        library = problem.library
        m = library.native(self.multipliers[part, :])
        X = problem.centred(self._taken(problem.X, part))
        return self._beside([X * m[:, k][:, None] for k in range(m.shape[1])], m)

    def _share(self, cotangents, Z):
        """H^-1 applied to cotangents (t, K) times rows Z (t, d), see `_beside`."""
        problem, K = self.problem, self.problem.n_outputs
        library, xp, root = problem.library, problem.library.xp, problem.root
        d, p = problem.theta.shape[0], problem.X.shape[1]
        C = xp.concat([Z * cotangents[:, k][:, None] for k in range(K)], axis=1)
        Q = xp.reshape((C @ root.T) @ root, (Z.shape[0], K, d))
        Q = library.native(Q)
        intercept = Q[:, :, p] if d > p else None
        return self._beside([xp.reshape(Q[:, :, :p], (Z.shape[0], K * p))], intercept)

    def _beside(self, parts, intercepts):
        """Coefficients' columns (b, Kp), and with an intercept its K more, and columns of zeros.

        So the intercepts are part of the product: a product of their own, and its sum with the
        other, would be two more passes over the tile.
        """
        library, (rows, K) = self.problem.library, (parts[0].shape[0], self.problem.n_outputs)
        if self.problem.theta.shape[0] > self.problem.X.shape[1]:
            fill = -(K * self.problem.theta.shape[0]) % ALIGNED
            parts = [*parts, intercepts, library.zeros(rows, fill, exact=False)]
        return library.xp.concat(parts, axis=1)

    def _shares(self, X, y, target):
        """Yield (slice, predictors, shares) of blocks of test rows: one share, or one an output."""
        problem, K = self.problem, self.problem.n_outputs
        library, xp = problem.library, problem.library.xp
        units = xp.eye(K, dtype=xp.float64, device=library.device)
        for rows in row_blocks(X.shape[0], 8 * problem.theta.shape[0] * K * (K + 2)):
            Z = problem.design(X[rows, :])
            eta = Z @ problem.theta
            if target == "loss" and self.method == "first_order":
                cotangents = [problem.loss.gradient(xp, y[rows, :], eta)]
            elif target == "loss":
                directions = problem.loss.directions(xp, y[rows, :])
                cotangents = [directions[:, k, :] for k in range(directions.shape[1])]
            else:
                cotangents = [units[k, :][None, :] + 0.0 * eta for k in range(K)]
            yield rows, library.native(eta), [self._share(each, Z) for each in cotangents]

    def tiles(self, X, y, target, out=None):
        """Yield (test slice, training slice, tile) of the influence, training rows rising.

        Parameters
        ----------
        X : array of shape (m, p)
        y : array of shape (m, K) or None
        target : str
        out : array of shape (m, r), optional
            What the tiles are written into, and are parts of.
        """
        problem, K = self.problem, self.problem.n_outputs
        library, xp = problem.library, problem.library.xp
        whole = target == "loss" and self.method == "newton"
        for rows, eta, shares in self._shares(X, y, target):
            labels = library.native(y[rows, :]) if whole else None
            parts = row_blocks(self.n_deletions, 16 * problem.theta.shape[0] * K)
            widest = max((part.stop - part.start for part in parts), default=0)
            blocks = row_blocks(eta.shape[0], 4 * widest * (2 * K + 2))
            for part in parts:
                columns = self._scaled(part).T
                for block in blocks:
                    at = slice(rows.start + block.start, rows.start + block.stop)
                    write = library.writer(None if out is None else out[at, part])
                    if whole or len(shares) > 1:
                        steps = [each[block, :] @ columns for each in shares]
                        tile = steps[0] if len(steps) == 1 else xp.stack(steps, axis=-1)
                    else:
                        tile = write(xp.matmul, shares[0][block, :], columns)
                    if whole:
                        here = labels[block, :], eta[block, :]
                        tile = problem.loss.change_along(xp, *here, tile, write)
                    yield at, part, tile

    def influence(self, X, y, target):
        """Influence (m, r), or (m, r, K) of the predictors of K classes."""
        problem = self.problem
        K = problem.n_outputs if target != "loss" else 1
        out = problem.library.empty(X.shape[0], self.n_deletions, *([K] if K > 1 else []))
        for rows, part, tile in self.tiles(X, y, target, out if K == 1 else None):
            if K > 1:
                out[rows, part, ...] = tile
        return out

    def aggregate(self, X, y, target, weight):
        """Sum over test rows, times their weights (m,), of the influence: (r,) or (r, K)."""
        problem = self.problem
        library, xp = problem.library, problem.library.xp
        K = problem.n_outputs if target != "loss" else 1
        out = library.zeros(self.n_deletions, *([K] if K > 1 else []))
        for rows, part, tile in self.tiles(X, y, target):
            share = xp.reshape(library.native(weight[rows]), (-1, *[1] * (tile.ndim - 1)))
            out[part, ...] = out[part, ...] + library.exact(xp.sum(share * tile, axis=0))
        return library.native(out)

    def extremes(self, X, y, target, k):
        """The k largest and the k smallest of each test row: (positions, values) twice.

        Positions are -1 and values NaN where fewer rows have a value.
        """
        xp, library = self.problem.library.xp, self.problem.library
        found = [{}, {}]
        for rows, part, tile in self.tiles(X, y, target):
            for best, sign in zip(found, (1.0, -1.0), strict=True):
                values = sign * tile
                values = xp.where(xp.isnan(values), xp.full_like(values, -xp.inf), values)
                values, positions = library.largest(values, min(k, tile.shape[1]))
                positions = positions + part.start
                if rows.start in best:
                    earlier = best[rows.start]
                    values = xp.concat([earlier[0], values], axis=1)
                    positions = xp.concat([earlier[1], positions], axis=1)
                    values, order = library.largest(values, min(k, values.shape[1]))
                    positions = xp.take_along_axis(positions, order, axis=1)
                best[rows.start] = values, positions
        return [self._gathered(best, sign) for best, sign in zip(found, (1.0, -1.0), strict=True)]

    def _gathered(self, best, sign):
        """Positions and values of all blocks of test rows."""
        library, xp = self.problem.library, self.problem.library.xp
        values = xp.concat([values for values, _ in best.values()], axis=0)
        positions = xp.concat([positions for _, positions in best.values()], axis=0)
        if self.rows is not None:
            positions = xp.take(library.positions(self.rows), xp.reshape(positions, (-1,)), axis=0)
            positions = xp.reshape(positions, values.shape)
        missing = xp.isinf(values)
        positions = xp.where(missing, xp.full_like(positions, -1), positions)
        return positions, xp.where(missing, xp.full_like(values, xp.nan), sign * values)

    def self_influence(self, target):
        """Change of each row's own target without it: (r,) or (r, K)."""
        problem, change = self.problem, self.own_change
        xp, loss = problem.library.xp, problem.loss
        if target != "loss":
            return problem.library.native(change[:, 0] if problem.n_outputs == 1 else change)
        eta, y = self.eta, self._taken(problem.y)
        if self.method == "first_order":
            values = xp.sum(loss.gradient(xp, y, eta) * change, axis=1)
        else:
            values = loss.change(xp, y, eta, change)
        return problem.library.native(values)


def _gram_blocks(xp, V):
    """Blocks (n, K, K) of the inner products of rows of K arrays."""
    return xp.stack(
        [xp.stack([xp.sum(row * other, axis=1) for other in V], axis=1) for row in V], axis=1
    )
