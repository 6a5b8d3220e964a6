"""How few rows overturn a conclusion: the smallest verified set, and what is proven."""

from dataclasses import dataclass

import numpy as np

from skinfluence._frames import DataFrame, data_frame


@dataclass(frozen=True)
class RobustnessAudit:
    """How few rows overturn a conclusion, verified by refits, and how many are proven to be needed.

    Attributes
    ----------
    what : str
        What flips.
    n_rows : int or None
        Number of rows of the smallest set found whose removal, followed by a refit, flips the
        conclusion; None where no set was found.
    rows : ndarray of int, shape (n_rows,)
        Positions of these rows in order of removal; without a flip those of the search.
    at_least : int
        No fewer rows (groups, where those were asked about) flip it, proven; 1 if nothing is
        proven.
    is_exact : bool
        Whether the set is proven to be a smallest one.
    path : ndarray of shape (n_removals + 1,)
        The quantity at the fit and after each removal, from refits.
    level : float
        Value of the quantity at which it flips; of a significance the critical ratio, for the rows
        that are left at the end.
    first_order_count : int or None
        Number of rows by the sum of first-order effects (AMIP); None where it calls a flip
        impossible, or the quantity has no derivative.
    fractional : float or None
        Least number of rows, in fractions, at which the linear relaxation was found to have a
        refit on the level. Evidence, not a proof.
    certificate : str
        What proves `at_least`: "sorting", "sorted sums", "branch and bound" or "none".
    assumptions : tuple of str
        What the proof rests on; then counts that are no proof, and say so: within a box only, or by
        Dinkelbach's method with the other columns partialled out once and not again.
    n_train : int
        Number of training rows.
    max_rows : int
        Size up to which sets were looked for.
    n_groups : int or None
        Number of groups in the set, where whole groups leave.
    groups : tuple
        Their names in order of removal.
    diverges : bool
        Whether a removal on the way leaves data without a finite optimum (separable, say): the
        coefficients then go to infinity.
    empties_class : bool
        Whether the search kept rows because a class would have lost its last one: a model of fewer
        classes has no such coefficient.
    row_names : ndarray of shape (n_train,)
        Names of the training rows.
    measure : str
        What the numbers in `path` measure.
    """

    what: str
    n_rows: int | None
    rows: np.ndarray
    at_least: int
    is_exact: bool
    path: np.ndarray
    level: float
    first_order_count: int | None
    fractional: float | None
    certificate: str
    assumptions: tuple
    n_train: int
    max_rows: int
    n_groups: int | None = None
    groups: tuple = ()
    diverges: bool = False
    empties_class: bool = False
    row_names: np.ndarray | None = None
    measure: str = "the quantity"

    def to_frame(self) -> DataFrame:
        """Return one line for each removal, as a pandas DataFrame.

        Returns
        -------
        pandas.DataFrame
            Columns removed (the row's name, or the group's) and value, the quantity after it.
        """
        removed = self.groups
        if not removed and self.row_names is not None:
            removed = list(self.row_names[self.rows])
        elif not removed:
            removed = list(self.rows)
        frame = data_frame({"removed": list(removed), "value": self.path[1:]})
        frame.index = range(1, len(removed) + 1)
        return frame

    def __repr__(self):
        """One or two sentences: what flips it, and what does not."""
        grouped = bool(self.groups) or self.n_groups is not None
        unit = "groups" if grouped else "rows"
        if self.n_rows is None:
            most = _counted(self.max_rows, unit)
            known = f"No set of up to {most} was found that flips {self.what}."
            if self.diverges:
                known += " On the way the refits have no finite optimum."
            if self.empties_class:
                known += " On the way a class was down to its last row, which stays."
            needed = f"{_counted(self.at_least, unit)} {_verb(self.at_least, 'is', 'are')} needed"
            return f"{known} At least {needed} (proven)."
        number = self.n_groups if grouped else self.n_rows
        those = f"{number} of {self.n_train} rows"
        if grouped:
            those = f"{_counted(number, unit)} ({_counted(self.n_rows, 'rows')})"
        known = f"{those} {_verb(number, 'flips', 'flip')} {self.what}."
        if self.is_exact and number == 1:
            return f"{known} No removal is smaller."
        if self.is_exact and number == 2:
            return f"{known} No single {unit[:-1]} can (proven)."
        if self.is_exact:
            return f"{known} No {number - 1} {unit} can (proven)."
        if self.at_least > 1:
            return f"{known} At least {self.at_least} are needed (proven)."
        known += " That fewer cannot is not proven."
        if self.fractional is not None:
            known += f" (Its linear relaxation needs {self.fractional:.1f}: evidence, not a proof.)"
        return known


def _counted(number, unit):
    """A number with its unit, "1 row" or "2 rows"."""
    return f"{number} {unit[:-1] if number == 1 else unit}"


def _verb(number, one, several):
    """The form of a verb after a number of things."""
    return one if number == 1 else several


@dataclass(frozen=True)
class InfluentialSet:
    """Rows of a given number whose removal was found to move a quantity most.

    Attributes
    ----------
    what : str
        What the quantity decides.
    rows : ndarray of int, shape (k,)
        In order of removal.
    path : ndarray of shape (k + 1,)
        The quantity at the fit and after each removal, from refits.
    first_order_value : float or None
        The quantity without the k rows of the largest first-order effects, as those predict it;
        None where that is not defined.
    certificate : str
        "dinkelbach" where no set of that size is proven to move it further, else "none".
    row_names : ndarray of shape (n_train,)
        Names of the training rows.
    measure : str
        What the numbers in `path` measure.
    """

    what: str
    rows: np.ndarray
    path: np.ndarray
    first_order_value: float | None
    certificate: str
    row_names: np.ndarray | None = None
    measure: str = "the quantity"

    def to_frame(self) -> DataFrame:
        """Return one line for each removal, as a pandas DataFrame.

        Returns
        -------
        pandas.DataFrame
            Columns removed (the row's name) and value, the quantity after it.
        """
        names = self.rows if self.row_names is None else self.row_names[self.rows]
        return data_frame({"removed": names, "value": self.path[1:]})

    def __repr__(self):
        """The number of rows, and the quantity with and without them."""
        return (
            f"Without {_counted(len(self.rows), 'rows')} {self.measure} goes from "
            f"{self.path[0]:.4g} to {self.path[-1]:.4g}."
        )
