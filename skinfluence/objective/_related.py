"""The objectives that follow from one: of other rows, weights and labels, of another penalty."""

import numpy as np

from skinfluence.losses import SquaredLoss
from skinfluence.penalties import L2

# Cached properties that depend on the rows and the predictors alone, not on the penalty: an
# objective of the same predictors takes them over.
OF_ROWS = {"eta", "row_losses", "row_gradients", "residuals", "weights"}
OF_ROWS |= {"weight_roots", "weight_diagonals"}
# Of these, the ones that do not depend on the weights either.
UNWEIGHTED = {"eta", "row_losses", "row_gradients"}
# Share of the largest coefficient that is the rounding of a sum of coefficients.
NOTHING = 1e-15
# Share below which it is looked at what a coefficient is in units of its column.
SMALL = 1e-8


def _of_block(start, design, y, weight, offset, whole, function, *shared):
    """Answer of a function about the objective of a block."""
    part = whole._with(design=design, y=y, sample_weight=weight, offset=offset)
    return function(start, part, *shared)


class _Same:
    """An objective of rows in memory, as it is."""

    def __init__(self, objective):
        self.objective = objective

    def __call__(self):
        """Return the objective."""
        return self.objective


class _Described:
    """An objective of rows in blocks: its parameters, and the description of its rows."""

    def __init__(self, whole, design, labels, offset, sums):
        self.whole, self.design, self.labels = whole, design, labels
        self.offset, self.sums = offset, sums

    def __call__(self):
        """Return the objective, with the labels and weights of its rows."""
        y, weight = self.labels()
        rows = {"design": self.design, "y": y, "sample_weight": weight, "offset": self.offset}
        return self.whole._with(**rows, sums=self.sums)


class RelatedObjectives:
    """Methods of an objective that return another one, most at the same parameter."""

    def _with(self, **changes):
        """Return a copy of the objective with some of the constructor's arguments changed."""
        now = {
            "loss": self.loss,
            "design": self.design,
            "y": self.y,
            "sample_weight": self.sample_weight,
            "penalty": self.fixed_penalty,
            "theta": self.theta,
            "trained_loss": self.trained_loss,
            "row_penalty": self.row_penalty,
            "penalty_weight_removed": self.penalty_weight_removed,
            "negligible": self.negligible,
            "offset": self.offset,
        }
        return type(self)(**{**now, **changes})

    def output(self, k):
        """Return the objective of output k alone, for a loss whose outputs are separate."""
        loss, y, share = self.loss.output(self.y, k)
        trained = loss if self.is_at_its_own_optimum else self.trained_loss.output(self.y, k)[0]
        weight = self.sample_weight if share is None else self.sample_weight * share
        row_penalty = None if self.row_penalty is None else self.row_penalty.output(k)
        offset = None if self.offset is None else self.offset[:, [k]]
        return self._with(
            loss=loss,
            y=y,
            sample_weight=weight,
            penalty=self.fixed_penalty.output(k),
            theta=self.theta[[k]],
            trained_loss=trained,
            row_penalty=row_penalty,
            offset=offset,
        )

    def trained(self):
        """Return the objective that was minimised."""
        return self if self.is_at_its_own_optimum else self._with(loss=self.trained_loss)

    def at(self, theta):
        """Return the same objective at another parameter."""
        return self._with(theta=theta)

    def without_null_component(self):
        """Return the objective where an L2 penalty is least without a change of any prediction.

        Softmax: the coefficients of a penalised column add up to 0 over the classes. No step gets
        there once the penalty is negligible beside the curvature, and at rows of 1e4 what is left
        of 1e-9 is felt in the predictors.
        """
        null = self.loss.null_direction
        if null is None or type(self.penalty) is not L2:
            return self
        along = np.where(self.penalty.hessian_diagonal > 0, null @ self.theta, 0.0)
        if np.abs(along).max(initial=0.0) <= NOTHING * np.abs(self.theta).max(initial=0.0):
            return self
        return self.at(self.theta - np.outer(null, along))

    def without_rounded_coefficients(self):
        """Return the objective with 0 where an L1 penalty has left only rounding of 0.

        Coordinate descent leaves 1e-17 of two columns that share a coefficient: one more active
        column, dependent on the others.
        """
        size = np.abs(self.theta)
        small = (size > 0) & (self.penalty.absolute > 0) & (size < SMALL * size.max(initial=0.0))
        if not small.any():
            return self
        weight = np.tile(self.sample_weight[:, None], self.n_outputs)
        size *= np.sqrt(self.design.squared_columns(weight))
        small &= size <= NOTHING * size.max()
        return self.at(np.where(small, 0.0, self.theta))

    def with_loss(self, loss):
        """Return the objective of another loss, at the same parameter."""
        return self._with(loss=loss, trained_loss=loss)

    def least_squares(self):
        """Return the least-squares objective of the same rows and columns, with one output."""
        penalty = self.penalty.output(0)
        theta = self.theta[:1]
        y = self.y if self.y.ndim == 1 else self.y[:, 0]
        offset = None if self.offset is None else self.offset[:, :1]
        weight = self.sample_weight
        return type(self)(SquaredLoss(), self.design, y, weight, penalty, theta, offset=offset)

    def of_part(self, rows, design):
        """Return the objective of some rows of which the design is at hand, with all penalties.

        A sum of such parts is this objective but for its penalties. Its common penalty is the whole
        one's, whatever the weight of the part.
        """
        offset = None if self.offset is None else self.offset[rows]
        y, weight = self.y[rows], self.sample_weight[rows]
        return self._with(design=design, y=y, sample_weight=weight, offset=offset)

    def without_rows(self):
        """Return the objective without its rows: what a worker is told of it."""
        known = {"fixed_at_zero": self.fixed_at_zero}
        return self._with(design=None, y=None, sample_weight=np.zeros(0), offset=None, known=known)

    @property
    def has_rows(self):
        """Whether the rows are at hand."""
        return self.design is not None

    def map_blocks(self, function, *shared, here=False):
        """Yield (rows, function(start, objective of these rows, *shared)) of blocks, in order.

        See `Design.map_blocks`.
        """
        values = self.y, self.sample_weight, self.offset
        about = self.without_rows(), function, *shared
        yield from self.design.map_blocks(_of_block, values, *about, here=here)

    def map_groups(self, function, groups, *shared, here=False):
        """Yield function(start, objective of a block, *shared, group) of groups, in order.

        See `Design.map_groups`.
        """
        values = self.y, self.sample_weight, self.offset
        about = self.without_rows(), function, *shared
        yield from self.design.map_groups(_of_block, values, groups, *about, here=here)

    def described(self):
        """Return a function that makes this objective anew, for a worker, by descriptions."""
        labels = self.design.described(self.y, self.sample_weight)
        if labels is None:
            return _Same(self)
        return _Described(self.without_rows(), self.design, labels, self.offset, self.sums)

    def with_sums(self, sums):
        """Return the objective with sums over the rows that are known."""
        return self._with(sums=sums)

    def knowing(self, eta):
        """Return the objective with the predictors (n, K) of its rows, which a pass has found."""
        return self._with(sums=self.sums, known={"eta": eta})

    def take(self, rows):
        """Return the objective of the given rows only, at the same parameter."""
        weight = self.sample_weight[rows]
        offset = None if self.offset is None else self.offset[rows]
        return self._with(
            design=self.design.take(rows), y=self.y[rows], sample_weight=weight, offset=offset
        )

    def penalised_at_least(self, strength):
        """Return the objective with every penalty raised to `strength`, at the same parameter."""
        return self._same_rows(penalty=self.penalty.at_least(strength), row_penalty=None)

    def without_mean_penalty_share(self):
        """Objective whose penalty has lost one average row's share.

        So its Hessian minus W_i z_i z_i' is the Hessian without row i: exactly with equal weights;
        with others up to the difference of the shares, one part in n of the penalty. One factor
        then serves the deletion of every row.
        """
        single = np.count_nonzero(self.sample_weight) == 1  # all of the penalty would go
        if single or not self.mean_penalty_share:
            return self
        left = self.sample_weight.sum() - self.mean_penalty_share
        return self._same_rows(
            penalty=self.fixed_penalty.plus(self.row_penalty.times(left)),
            row_penalty=None,
            penalty_weight_removed=self.mean_penalty_share,
        )

    def with_fixed_penalty(self):
        """Return the objective with its whole penalty fixed, independent of the rows."""
        if self.row_penalty is None:
            return self
        return self._same_rows(penalty=self.penalty, row_penalty=None)

    def on_active_set(self):
        """Return the smooth objective in the columns with an active coefficient, signs fixed.

        The coefficients of the other columns are 0, so the predictors are the same.
        """
        columns = np.flatnonzero(self.active.any(axis=0))
        row_penalty = self.row_penalty
        if row_penalty is not None:
            row_penalty = row_penalty.restricted(self.theta, columns)
        return self._same_rows(
            design=self.design.restricted(columns),
            penalty=self.fixed_penalty.restricted(self.theta, columns),
            row_penalty=row_penalty,
            theta=self.theta[:, columns],
        )

    def in_columns(self, columns, theta):
        """Return an unpenalised objective in some of its columns, with the same predictors.

        Parameters
        ----------
        columns : ndarray of int
            Ascending; the others are combinations of them.
        theta : ndarray of shape (K, len(columns))
        """
        none = L2(np.zeros(len(columns)))
        changes = {"design": self.design.restricted(columns), "penalty": none, "theta": theta}
        if self.row_penalty is not None:
            changes["row_penalty"] = none
        return self._with(**changes)

    def in_single_precision(self):
        """Return the objective with a Hessian of float32 products; None where it has none."""
        design = self.design.in_single_precision()
        return None if design is None else self._same_rows(design=design)

    def _same_rows(self, **changes):
        """Return an objective with the same rows and predictors, and their cached values."""
        kept = vars(self).keys() & OF_ROWS
        if "negligible" not in changes:
            kept |= vars(self).keys() & {"curved_rows"}
        if "design" not in changes and "theta" not in changes:
            changes = {"sums": self.sums, **changes}
        return self._with(known={name: vars(self)[name] for name in kept}, **changes)

    def dropping_flat_rows(self, tolerance):
        """Return a copy whose H omits rows of curvature below `tolerance` times the largest."""
        return self._same_rows(negligible=tolerance)

    def reweighted(self, delta):
        """Return the objective with `delta` added to the sample weights, at the same parameter."""
        known = {name: vars(self)[name] for name in vars(self).keys() & UNWEIGHTED}
        return self._with(sample_weight=self.sample_weight + delta, known=known)

    def with_rows(self, rows, y, offset=None):
        """Return the objective with further rows of weight 0, which may enter, below its own.

        Parameters
        ----------
        rows : Design of shape (m, q)
            In the columns of the design; of a kernel they may have further features after those.
        y : ndarray of shape (m,)
            Encoded labels.
        offset : ndarray of shape (m, K), optional
            Required if the rows of the objective have one; 0 for those of one without.
        """
        if offset is not None or self.offset is not None:
            if offset is None:
                raise ValueError(
                    "the rows of this objective have an offset: pass that of the rows."
                )
            own = np.zeros((self.n_rows, self.n_outputs)) if self.offset is None else self.offset
            offset = np.concatenate([own, offset.reshape(len(y), self.n_outputs)])
        design = self.design.extended(rows)
        n_added = design.n_features - self.design.n_features

        def widened(array):
            return self.design.widened(array, n_added)

        row_penalty = self.row_penalty
        return self._with(
            design=design,
            y=np.concatenate([self.y, y]),
            sample_weight=np.concatenate([self.sample_weight, np.zeros(len(y))]),
            penalty=self.fixed_penalty.widened(widened),
            row_penalty=None if row_penalty is None else row_penalty.widened(widened),
            theta=self.design.widened(self.theta, n_added, value=0.0),
            offset=offset,
        )

    def weights_as_fitted(self, y, given, fitted):
        """Weights that rows of labels `y` would have here, class weights multiplied in.

        Those of class_weight="balanced" are the numbers that fit computed from its own labels.

        Parameters
        ----------
        y : ndarray of shape (m,)
            Encoded labels.
        given : ndarray of shape (m,)
            Weights as a caller has them.
        fitted : ndarray of shape (n,)
            The same of the rows of this objective.
        """
        if not self.loss.n_classes:
            return given * (self.sample_weight.sum() / fitted.sum())
        used = np.flatnonzero(fitted > 0)
        per_class = np.zeros(self.loss.n_classes)
        per_class[self.y[used].astype(np.intp)] = self.sample_weight[used] / fitted[used]
        return given * per_class[y.astype(np.intp)]

    def changed(self, leaving, entering, y, weight):
        """Return the objective with other rows, at the same parameter.

        Parameters
        ----------
        leaving, entering : ndarray of int
            Positions of rows that lose their weight, then of those with new labels and weights.
        y, weight : ndarray
            Of the entering rows.
        """
        labels, weights = self.y.copy(), self.sample_weight.copy()
        weights[leaving] = 0.0
        labels[entering], weights[entering] = y, weight
        return self._with(y=labels, sample_weight=weights)

    def without(self, row):
        """Return the objective without one row, at the same parameter."""
        weight = self.sample_weight.copy()
        weight[row] = 0.0
        return self._with(sample_weight=weight)
