"""What a fitted problem is called: its labels, weights, rows, columns and parameters."""

import numpy as np

from skinfluence._frames import free_name, row_names
from skinfluence.problem.row_labels import label_keys, label_text


class NamedFit:
    """Labels, weights and names of a FittedProblem, from its adapted model and its record."""

    @property
    def link(self):
        """Link from predictors to predictions."""
        return self.adapted.link

    @property
    def classes(self):
        """Labels of a classifier in the order of its outputs; None for a regressor."""
        return self.adapted.classes

    @property
    def labels(self):
        """Labels or responses of the training rows as the caller has them."""
        return self.adapted.labels(self.objective.y)

    @property
    def sample_weight(self):
        """Weights (n,) that fit was given, without class weights; ones where it was given none.

        These take no memory, and are read-only.
        """
        weight = self.record.data.sample_weight
        if weight is None:
            return np.broadcast_to(1.0, self.objective.n_rows)
        return np.asarray(weight, dtype=float)

    @property
    def row_names(self):
        """Names of the training rows (n,): the index that fit has seen, else positions."""
        names = self.record.data.row_names
        return np.arange(self.objective.n_rows) if names is None else names

    def check_row_names(self, table, argument, rows=None):
        """Raise where a table of the training rows has the index of other rows, or another order.

        Arrays are taken in their order; so is an index 0, 1, ... on one side alone, which says no
        more than an array.

        Parameters
        ----------
        table : array-like, data frame or series
        argument : str
            Its name.
        rows : ndarray of int, optional
            Training rows that it is of; all by default.
        """
        known, given = self.record.data.row_names, row_names(table)
        if known is None or given is None:
            return
        known = known if rows is None else known[rows]
        # Lengths are the matter of those who read the values.
        if len(given) != len(known) or _say_no_more_than_an_array(given, known):
            return
        keys = zip(label_keys(given), label_keys(known), strict=True)
        other = [row for row, (own, there) in enumerate(keys) if own != there]
        if other:
            own, there = label_text(given[other[0]]), label_text(known[other[0]])
            raise ValueError(
                f"the rows of {argument} are not the rows of fit, in their order: row {other[0]} "
                f"is {own}, in fit it was {there}. Put them in that order, or pass an array."
            )

    @property
    def column_names(self):
        """Names of the design's columns, the last the intercept's ("const", where that is free)."""
        return self.objective.design.column_names(self.feature_names)

    @property
    def feature_names(self):
        """Names of the features of the design: those that fit or its steps gave, else x0, ..."""
        if self.dependence is None:
            return self.all_feature_names
        kept, names = self.dependence.kept, self.all_feature_names
        return [names[j] for j in kept[: self.objective.design.n_features]]

    @property
    def all_feature_names(self):
        """Names of all features, also of those that are combinations of others."""
        names = getattr(self.model, "feature_names_in_", None)
        if names is None and self.design_names is not None:
            names = self.design_names()
        if names is None:
            return [f"x{j}" for j in range(self.adapted.objective.design.n_features)]
        return list(names)

    def parameter_names(self):
        """Names of the parameters, the intercepts first, and their positions in theta."""
        design, K = self.objective.design, self.objective.n_outputs
        columns, q = self.column_names, design.shape[1]
        order = design.intercept_first
        if K == 1:
            return tuple(columns[j] for j in order), order
        if self.link.n_responses == 1:  # of the second predictor only the intercept moves
            scale = free_name("scale", columns)
            return (*(columns[j] for j in order), scale), np.r_[order, 2 * q - 1]
        outputs = range(K) if self.classes is None or len(self.classes) != K else self.classes
        names = [f"{output}: {columns[j]}" for output in outputs for j in order]
        return tuple(names), np.concatenate([k * q + order for k in range(K)])

    @property
    def has_coefficients(self):
        """Whether the model is linear in its features: a kernel machine is not."""
        return hasattr(self.model, "coef_")


def _say_no_more_than_an_array(*indices):
    """Whether one of two indices (n,) is 0, 1, ... and the other has other names than these."""
    in_order = [_are_positions(names) for names in indices]
    shuffled = [_are_positions(np.sort(n)) if n.dtype.kind in "iu" else False for n in indices]
    return any(in_order) and not all(shuffled)


def _are_positions(names):
    """Whether names are 0, 1, ..., as a data frame has where it is given none."""
    return names.dtype.kind in "iu" and np.array_equal(names, np.arange(len(names)))
