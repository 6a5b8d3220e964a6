"""Outputs of a model retrained on some of its rows: by changes of its weights, or by refits."""

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.exceptions import ConvergenceWarning

from skinfluence import attribution
from skinfluence._frames import take_rows
from skinfluence._parallel import map_jobs
from skinfluence._store import fingerprint_of
from skinfluence._validation import check_choice, check_sample_weight, listed, warn
from skinfluence.evaluation._outputs import check_target, read_output
from skinfluence.explainer import fitted_view, weight_params
from skinfluence.link import KnownRows
from skinfluence.problem import changes, fitted_problem

METHODS = ("auto", "changes", "refits")
# Subsets a block: what is lost at most where the work is interrupted.
REFITS, CHANGES = 16, 128


@dataclass(frozen=True)
class Task:
    """What is retrained, on which rows, and read where.

    Attributes
    ----------
    estimator : estimator
        Not fitted here; a clone of it is.
    X, y, sample_weight
        Training rows.
    X_test, y_test
        Test rows.
    target : str or callable
    """

    estimator: BaseEstimator
    X: object
    y: object
    sample_weight: np.ndarray | None
    X_test: object
    y_test: object
    target: object

    @classmethod
    def of(cls, estimator, X, y, X_test, y_test, target, sample_weight=None):
        """Check that the parts of a task fit together."""
        n, n_test = _n_rows(X), _n_rows(X_test)
        for what, labels, size in (("y", y, n), ("y_test", y_test, n_test)):
            if labels is None or _n_rows(labels) != size:
                found = "None" if labels is None else f"{_n_rows(labels)} labels"
                raise ValueError(
                    f"{what} should hold one label for each of the {size} rows of "
                    f"{'X' if what == 'y' else 'X_test'}; got {found}."
                )
        if sample_weight is not None:
            sample_weight = check_sample_weight(sample_weight, n)
        return cls(estimator, X, y, sample_weight, X_test, y_test, check_target(target, estimator))

    @property
    def n_train(self):
        """Number of training rows."""
        return _n_rows(self.X)

    @property
    def n_test(self):
        """Number of test rows."""
        return _n_rows(self.X_test)

    @property
    def fingerprint(self):
        """Hash of all rows, labels and weights."""
        return fingerprint_of(self.X, self.y, self.sample_weight, self.X_test, self.y_test)

    def lacks_a_class(self, kept):
        """Whether a subset has no row of some class of the training rows."""
        if not is_classifier(self.estimator):
            return False
        y = np.asarray(self.y)
        if y.ndim != 1:
            return False
        live = slice(None) if self.sample_weight is None else self.sample_weight > 0
        kept = kept if self.sample_weight is None else kept[self.sample_weight[kept] > 0]
        return len(np.unique(y[kept])) < len(np.unique(y[live]))


def _n_rows(table):
    """Number of rows of an array, a sparse matrix, a frame or a list."""
    return table.shape[0] if hasattr(table, "shape") else len(table)


def is_random(estimator):
    """Whether an estimator, or a part of it, has a random state."""
    return bool(_random_states(estimator))


def _random_states(estimator):
    """Names of the parameters that are random states, sorted."""
    names = estimator.get_params(deep=True)
    return sorted(
        name for name in names if name == "random_state" or name.endswith("__random_state")
    )


def retraining(task, method):
    """Return the way to retrain: an object with `outputs(blocks, n_jobs, progress)` and `full`.

    Parameters
    ----------
    task : Task
    method : {"auto", "changes", "refits"}
        "auto": by changes where there are influence methods for the estimator.
    """
    check_choice("method", method, METHODS)
    if method != "refits":
        try:
            return Changes(task)
        except (TypeError, NotImplementedError, np.linalg.LinAlgError):
            if method == "changes":
                raise
    return Refits(task)


class Refits:
    """Clones of the estimator fitted to each subset."""

    route, block = "refits", REFITS

    def __init__(self, task):
        self.task = task
        self.is_random = is_random(task.estimator)

    def outputs(self, blocks, n_jobs=None, progress=None):
        """Yield the outputs (b, n_test) of each block of (kept, random generator) pairs."""
        for found in map_jobs(self._output, blocks, n_jobs, progress):
            yield np.array(found).reshape(len(found), self.task.n_test)

    def full(self, random):
        """Outputs (n_test,) of the model of all rows."""
        return self._output((np.arange(self.task.n_train), random))

    def _output(self, pair):
        """Outputs (n_test,) of one retrained model; NaN where the subset lacks a class."""
        (kept, random), task = pair, self.task
        if task.lacks_a_class(kept):
            return np.full(task.n_test, np.nan)
        model = clone(task.estimator)
        states = _random_states(model)
        drawn = random.integers(2**31 - 1, size=len(states)).tolist()
        model.set_params(**dict(zip(states, drawn, strict=True)))
        weight = None if task.sample_weight is None else task.sample_weight[kept]
        params = weight_params(model, weight)
        model = model.fit(take_rows(task.X, kept), take_rows(task.y, kept), **params)
        return read_output(model, task.X_test, task.y_test, task.target)


class Changes:
    """The model of all rows, and its exact change when the other rows lose their weights."""

    route, block, is_random = "changes", CHANGES, False

    def __init__(self, task):
        self.task = task
        with warnings.catch_warnings():
            # The influence methods polish what a solver has left early.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = clone(task.estimator)
            params = weight_params(model, task.sample_weight)
            view = fitted_view(model, task.X, task.y, params)
        self.problem = fitted_problem(view)
        self.by_query = isinstance(task.target, str) and task.target != "probability"
        name = task.target if self.by_query else "loss"
        self.query = self.problem.query(task.X_test, task.y_test, name)
        if self.query.target.n_outputs > 1:
            raise ValueError(
                f"target={name!r} has a value for each class. Use one with one value, such as "
                "'margin'."
            )
        if task.n_train > 1:
            self.problem.curvature()  # raises here, not in the middle of the work

    def outputs(self, blocks, n_jobs=None, progress=None):
        """Yield the outputs (b, n_test) of each block of (kept, random generator) pairs."""
        for (found,) in map_jobs(self._outputs, [[block] for block in blocks], None, progress):
            yield found

    def full(self, random=None):
        """Outputs (n_test,) of the model of all rows."""
        if not self.by_query:
            return self._predicted(self.query.eta)
        eta = self.problem.objective.native(self.query.eta)
        return np.asarray(self.query.target.value(self.query.y, eta), dtype=np.float64)

    def _outputs(self, pairs):
        """Outputs (b, n_test) of some subsets, NaN where there is no model."""
        weights = np.zeros((len(pairs), self.task.n_train))
        for weight, (kept, _) in zip(weights, pairs, strict=True):
            weight[kept] = self.problem.sample_weight[kept]
        parts = changes.reweighting(self.problem, weights)
        with warnings.catch_warnings():  # one warning for all blocks says the same
            warnings.filterwarnings("ignore", ".*left undefined", RuntimeWarning)
            deletion = changes.joint_changes(self.problem, *parts, "exact")
        if self.by_query:
            change = attribution.influence(deletion, self.query, None, linearised=False)
            return self.full() + change.T
        on = deletion.on(self.query.design)
        found = np.full((len(pairs), self.task.n_test), np.nan)
        for j in np.flatnonzero(~deletion.undefined):
            found[j] = self._predicted(self.query.eta + on(slice(j, j + 1))[:, :, 0].T)
        return found

    def _predicted(self, eta):
        """Outputs of the model with these predictors (n_test, K)."""
        native, rows = self.problem.objective.native(eta), KnownRows(self.task.X_test)
        model = self.problem.link.predictions(native, rows)
        return read_output(model, self.task.X_test, self.task.y_test, self.task.target)


def outputs_of(ways, subsets, seed, n_jobs=None, progress=None):
    """Outputs (m, n_test) of a model retrained on given subsets, booleans (m, n_train)."""
    pairs = [
        (np.flatnonzero(subset), np.random.default_rng([seed, j]))
        for j, subset in enumerate(subsets)
    ]
    blocks = [pairs[start : start + ways.block] for start in range(0, len(pairs), ways.block)]
    if not blocks:
        return np.zeros((0, ways.task.n_test))
    return np.concatenate(list(ways.outputs(blocks, n_jobs, progress)))


def warn_undefined_subsets(undefined, task, subsets):
    """Warn once of subsets without a model; raise where there is hardly one left."""
    rows = np.flatnonzero(undefined)
    if not len(rows):
        return
    without = [j for j in rows if task.lacks_a_class(np.flatnonzero(subsets[j]))]
    why = "has no row of some class" if len(without) == len(rows) else "has no finite optimum"
    what = f"{len(rows)} of {len(undefined)} subsets left undefined (NaN): subset {listed(rows)}"
    advice = "Raise fraction, or leave rare classes out."
    if len(undefined) - len(rows) < 2:
        raise ValueError(f"{what} {why}: nothing is left to compare with. {advice}")
    warn(f"{what} {why}. {advice}", RuntimeWarning)
