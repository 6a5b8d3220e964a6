"""How few rows overturn a conclusion: the package that finds it is imported when it is asked."""

import numpy as np

from skinfluence._validation import as_groups, check_choice, group_names
from skinfluence.base._query import QueryMixin
from skinfluence.problem.stored import flip_store


class RobustnessMixin(QueryMixin):
    """Sets of rows that a conclusion rests on."""

    def smallest_flip(
        self,
        quantity,
        *,
        groups=None,
        max_rows=None,
        certify="auto",
        budget=None,
        progress=None,
        checkpoint=None,
    ):
        r"""Find how few training rows overturn a conclusion, and prove how many are needed.

        The set is the smallest that first-order effects, leverage-corrected effects, an adaptive
        greedy search with a refit after each removal, the rounded linear relaxation and swaps of
        rows find; it is verified by a refit without it. The lower bound is proven, where one of
        these applies to a coefficient, an order or a prediction:

        - by sorting, which is exact: models with one parameter, and least squares whose fitted
          values are means of groups;
        - by sorted sums: least squares and ridge regression of any size;
        - by branch and bound on the duals of linear programs: least squares, two-class logistic
          and Poisson regression with up to four parameters, the intercept among them.

        Parameters
        ----------
        quantity : Quantity
            Made by a function of :mod:`skinfluence.robustness`, such as ``coefficient("age")``.
        groups : array-like, optional
            Groups of rows that leave as a whole (persons, sources), as in :meth:`group_influence`:
            labels of shape (n_train,), a list of index arrays, or a boolean matrix.
        max_rows : int, optional
            Size up to which sets are looked for, in groups where those are given; half of them by
            default.
        certify : {"auto", "never"}, default="auto"
            Whether to look for a proof, and for the evidence of the linear relaxation.
        budget : int, optional
            Cells that branch and bound may divide its domain into; 5,000 by default.
        progress : callable, optional
            Wraps the iteration over removals, such as `tqdm.auto.tqdm`; those read from a
            `checkpoint` count.
        checkpoint : str or Path, optional
            Folder of finished steps. A search that was ended on the way is gone on with by the same
            call, with the same answer to the last bit; steps of other data, another quantity or
            another version of the library are refused. After every 16 removals the greedy search
            takes a new factor, as if it went on from the folder.

        Returns
        -------
        RobustnessAudit
            The rows, the quantity after each removal, what is proven.

        Raises
        ------
        TypeError
            If `quantity` is not one.
        ValueError
            For unknown coefficients, for a quantity that is at its level already, and for more rows
            than there are or than the fit can lose.
        NotImplementedError
            For a hinge that is trained itself, and as each quantity says.
        numpy.linalg.LinAlgError
            If the Hessian is singular, or coefficients are asked about that are not unique.

        References
        ----------
        Broderick, Giordano & Meager, An automatic finite-sample robustness metric: when can
        dropping a little data make a big difference?, 2020.

        Moitra & Rohatgi, Provably auditing ordinary least squares in low dimensions, ICLR 2023.

        Examples
        --------
        >>> from sklearn.datasets import load_diabetes
        >>> from skinfluence import InfluenceLinearRegression
        >>> from skinfluence.robustness import coefficient
        >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
        >>> model = InfluenceLinearRegression().fit(X[["s3"]], y)
        >>> model.smallest_flip(coefficient("s3")).n_rows
        102
        """
        from skinfluence.robustness import RobustnessAudit, bind, smallest_flip

        check_choice("certify", certify, ("auto", "never"))
        problem = self.__fitted_problem__()
        _check_smooth(problem)
        bound = bind(quantity, problem)
        units, names = _units(problem, groups)
        max_units = _check_size(problem, max_rows, units, "max_rows")
        _check_count("budget", 1 if budget is None else budget, None)
        problem.check_data()
        asked = {"max_rows": max_units, "certify": certify, "budget": budget}
        store = flip_store(problem, checkpoint, quantity, units, asked)
        options = {"certify": certify == "auto", "budget": budget, "progress": progress}
        parts = (problem.objective, problem.curvature(), bound, units)
        found, lower, count = smallest_flip(*parts, max_units=max_units, store=store, **options)
        rows = np.concatenate([np.zeros(0, dtype=int), *(units[unit] for unit in found.order)])
        return RobustnessAudit(
            what=bound.what,
            n_rows=len(rows) if found.flips else None,
            rows=rows,
            at_least=lower.at_least,
            is_exact=found.flips and len(found.order) == max(1, lower.at_least),
            path=np.array([bound.value(problem.objective), *found.values]),
            level=_level(bound, problem.objective, rows),
            first_order_count=count,
            fractional=lower.fractional,
            certificate=lower.certificate,
            assumptions=lower.assumptions,
            n_train=problem.objective.n_rows,
            max_rows=max_units,
            n_groups=None if groups is None else len(found.order),
            groups=() if groups is None else tuple(names[unit] for unit in found.order),
            diverges=found.diverges,
            empties_class=found.empties_class,
            row_names=problem.row_names,
            measure=quantity.measure,
        )

    def most_influential_set(self, k, quantity, *, progress=None):
        """Find k training rows whose joint removal moves a quantity towards its level most.

        The best of a greedy search with a refit after each removal, of the k largest first-order
        effects, and for one slope of least squares of Dinkelbach's method, which is exact with a
        single column; other columns are then partialled out once and held.

        Parameters
        ----------
        k : int
            Number of rows.
        quantity : Quantity
            As in :meth:`smallest_flip`.
        progress : callable, optional
            Wraps the iteration over removals, such as `tqdm.auto.tqdm`.

        Returns
        -------
        InfluentialSet
            The rows, and the quantity after each removal.

        Raises
        ------
        ValueError
            As :meth:`smallest_flip`.
        numpy.linalg.LinAlgError
            As :meth:`smallest_flip`.

        Examples
        --------
        >>> from sklearn.datasets import load_diabetes
        >>> from skinfluence import InfluenceLinearRegression
        >>> from skinfluence.robustness import coefficient
        >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
        >>> model = InfluenceLinearRegression().fit(X[["s3"]], y)
        >>> model.most_influential_set(3, coefficient("s3"))
        Without 3 rows the coefficient of 's3' goes from -639.1 to -608.7.
        """
        from skinfluence.robustness import InfluentialSet, bind, most_influential_set

        problem = self.__fitted_problem__()
        _check_smooth(problem)
        bound = bind(quantity, problem)
        units = list(np.arange(problem.objective.n_rows)[:, None])
        size = _check_size(problem, k, units, "k")
        problem.check_data()
        found, predicted, certificate = most_influential_set(
            problem.objective, problem.curvature(), bound, size, progress=progress
        )
        return InfluentialSet(
            what=bound.what,
            rows=np.array(found.order, dtype=int),
            path=np.array([bound.value(problem.objective), *found.values]),
            first_order_value=predicted,
            certificate=certificate,
            row_names=problem.row_names,
            measure=quantity.measure,
        )


def _level(bound, objective, rows):
    """Level of a bound quantity without rows; that of the fit where they leave none."""
    removed = np.zeros(objective.n_rows)
    removed[rows] = objective.sample_weight[rows]
    level = bound.level_at(objective.reweighted(-removed)) if len(rows) else np.nan
    return bound.level_at(objective) if np.isnan(level) else level


def _check_smooth(problem):
    """Raise for a model whose optimum is not that of a smooth loss."""
    objective = problem.objective
    if not objective.is_at_its_own_optimum or objective.loss.is_piecewise_linear:
        raise NotImplementedError(
            "smallest_flip() needs a smooth loss: the hinge has kinks. Fit with a temperature."
        )


def _check_count(name, value, most):
    """Raise where a number is no integer from 1 to `most`."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < 1 or (most is not None and value > most):
        limit = "a positive integer" if most is None else f"an integer from 1 to {most}"
        raise ValueError(f"{name} should be {limit}; got {value!r}.")


def _units(problem, groups):
    """Return the index arrays of what leaves together, and the names of groups."""
    n = problem.objective.n_rows
    if groups is None:
        return list(np.arange(n)[:, None]), None
    units = as_groups(groups, n)
    if sum(map(len, units)) != len(np.unique(np.concatenate(units))):
        raise ValueError("groups overlap: a row can leave only once. Give disjoint groups.")
    names = group_names(groups)
    return units, names.tolist() if names.dtype.kind in "iu" else list(names)


def _check_size(problem, size, units, name):
    """Return how many units may leave; raise where that leaves too few rows."""
    objective = problem.objective
    live = int(np.count_nonzero(objective.sample_weight))
    if size is None:
        return max(1, len(units) // 2)
    _check_count(name, size, len(units) - 1)
    needed = objective.n_parameters if objective.penalty.is_none else 1
    by_row = all(len(unit) == 1 for unit in units)
    if by_row and live - size < needed:
        raise ValueError(
            f"{name}={size} leaves {live - size} of {live} rows of positive weight, fewer than the "
            f"{needed} parameters: {name} should be at most {live - needed}."
        )
    return int(size)
