"""Influence summed over groups of training rows, by a column."""

import numbers
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from skinfluence._frames import DataFrame, Result, data_frame
from skinfluence._validation import missing_rows


@dataclass(frozen=True)
class GroupShares(Result):
    """Share of the harmful and the helpful influence that each group of training rows has.

    Attributes
    ----------
    name : str
        Of the column that the rows are grouped by.
    groups : list of str
        What the rows of each group have in common, such as "age < 10".
    n_rows : ndarray of int, shape (g,)
        Rows of each group.
    harmful, helpful : ndarray of shape (g,)
        Its shares of the sums of all harmful and of all helpful influence.
    codes : ndarray of int, shape (n_train,)
        Group of each training row.
    """

    name: str
    groups: list
    n_rows: np.ndarray
    harmful: np.ndarray
    helpful: np.ndarray
    codes: np.ndarray

    def to_frame(self) -> DataFrame:
        """Return one line for each group, as a pandas DataFrame.

        Returns
        -------
        pandas.DataFrame
            Columns rows, share_of_rows, harmful and helpful, indexed by the groups.
        """
        columns = {"rows": self.n_rows, "share_of_rows": self.n_rows / self.n_rows.sum()}
        frame = data_frame({**columns, "harmful": self.harmful, "helpful": self.helpful})
        frame.index = self.groups
        return frame

    def __repr__(self):
        """The groups, the most harmful first, each as a sentence."""
        order = np.argsort(-self.harmful, kind="stable")
        return "\n".join(self._sentence(group) for group in order)

    def _sentence(self, group):
        """What one group has."""
        return (
            f"rows with {self.groups[group]}: {self.harmful[group]:.0%} of the harmful influence, "
            f"{self.helpful[group]:.0%} of the helpful, {self.n_rows[group]} of "
            f"{self.n_rows.sum()} rows"
        )


def group_shares(name, values, influence, bins):
    """Return the GroupShares of an influence (n,), positive where a row helps.

    Parameters
    ----------
    name : str
    values : array-like of shape (n,)
        Numbers with more values than `bins` are cut at quantiles.
    influence : ndarray of shape (n,)
        NaN counts as 0.
    bins : int
    """
    groups, codes = cut(name, values, bins)
    influence = np.nan_to_num(influence)

    def share(part):
        total = np.bincount(codes, weights=part, minlength=len(groups))
        return total / total.sum() if total.any() else total

    harmful, helpful = share(np.maximum(-influence, 0.0)), share(np.maximum(influence, 0.0))
    n_rows = np.bincount(codes, minlength=len(groups))
    return GroupShares(name, groups, n_rows, harmful, helpful, codes)


def cut(name, values, bins):
    """Return (sentences that tell the groups of a column's values apart, group of each row)."""
    values = np.asarray(values)
    absent = missing_rows(values)
    present = np.delete(np.arange(len(values)), absent)
    known, codes = _of_one_type(values[present]), np.zeros(len(values), dtype=np.intp)
    distinct, own = np.unique(known, return_inverse=True)
    if known.dtype.kind not in "iuf" or len(distinct) <= bins:
        groups = [f"{name} = {value}" for value in distinct]
    else:
        edges = _edges(known, distinct, bins)
        own = np.searchsorted(edges, known, side="right")
        ends = _told_apart(edges, known)
        groups = [f"{name} < {ends[0]}"]
        groups += [f"{a} <= {name} < {b}" for a, b in pairwise(ends)]
        groups += [f"{name} >= {ends[-1]}"]
    codes[present] = own
    if len(absent):
        codes[absent] = len(groups)
        groups = [*groups, f"{name} missing"]
    return groups, codes


def _of_one_type(known):
    """Values that sort: objects that are all numbers as numbers, others as strings."""
    if known.dtype.kind != "O":
        return known
    if all(isinstance(value, numbers.Real) and not isinstance(value, bool) for value in known):
        whole = all(isinstance(value, numbers.Integral) for value in known)
        return known.astype(np.int64 if whole else np.float64)
    return np.array([str(value) for value in known])


def _edges(known, distinct, bins):
    """Where numbers are cut: at quantiles of the finite ones, each a value above the smallest."""
    edges = np.unique(np.quantile(known[np.isfinite(known)], np.linspace(0, 1, bins + 1)[1:-1]))
    return edges[edges > known.min()] if known.min() < edges[-1] else distinct[1:2]


def _told_apart(edges, known):
    """Edges as text, in as many digits as put every value on the side where it is, six at least."""
    own = np.searchsorted(edges, known, side="right")
    for digits in range(6, 18):
        text = [f"{edge:.{digits}g}" for edge in edges]
        shown = np.array([float(each) for each in text])
        if (np.searchsorted(shown, known, side="right") == own).all():
            break
    return text
