"""A fit whose rows leave for good or join: the rows still in it, and the refits."""

from dataclasses import dataclass, replace

import numpy as np

from skinfluence._validation import check_sample_weight, naming
from skinfluence.curvature import make_curvature
from skinfluence.deletion import JointFactor, first_factor
from skinfluence.design import make_design
from skinfluence.objective import Objective
from skinfluence.problem._fingerprint import Fingerprint, RowReader, fingerprint_of_rows
from skinfluence.problem._problem import FittedProblem
from skinfluence.problem._record import OptimumRecord
from skinfluence.problem._settings import model_settings, same_settings
from skinfluence.robustness import (
    FitRecipe,
    check_remaining,
    class_weights,
    refit_removal,
    row_factors,
    row_removal,
)

# Share of the weights that has to remain for a gradient's scale to be in proportion to them.
STALE = 0.5


class DataCheck:
    """The check that the training data are those of the fit, of rows while they are read.

    A pass of the refit has the rows in the cache: a check of its own would fetch them once more.

    Parameters
    ----------
    fit : LiveFit
        Before the change.
    """

    def __init__(self, fit):
        self.problem, self.live = fit.problem, fit.live
        record = self.problem.record
        if record.data.is_in_blocks:  # told by its files, which no pass is needed for
            self.problem.check_data()
            self._is_done = True
            return
        n_rows = len(record.fingerprint.rows)
        if not record.data.n_rows == len(record.data.y) == n_rows:
            self.problem.refuse_changed(None)
        self._reader, self._is_done = RowReader(record.data), False

    def read(self, rows):
        """Check a slice of rows; raise once all are read, where some have changed."""
        if self._is_done:
            return
        self._reader.read(rows)
        if not self._reader.n_left:
            self._is_done = True
            found = self._reader.fingerprint()
            changed = self.problem.record.fingerprint.differing_rows(found)
            self.problem.refuse_changed(changed, self.live)

    def finish(self):
        """Check all rows, unless a pass has done so."""
        if not self._is_done:
            self._is_done = True
            self.problem.check_data(live=self.live)


@dataclass(frozen=True)
class LiveFit:
    """A fitted problem and which of its rows are still in the model.

    Rows that leave keep their place, with weight 0: the next change needs no copy of the others.

    Attributes
    ----------
    problem : FittedProblem
        Of all rows.
    objective : Objective
        Of all rows at the optimum of those in the model.
    factor : JointFactor or None
        See :func:`skinfluence.deletion.joint_refit`.
    live : ndarray of int
        Positions of the rows in the model.
    names : ndarray
        Of all rows.
    scale : ndarray of shape (K, q)
        `Objective.gradient_scale`, or close to it.
    class_weight : ndarray
        Factor of the weight of a row: one number, or one a class.
    gradient : ndarray of shape (K, q) or None
        Of the objective, where the last change has left it without a pass over the rows.
    settings : dict or None
        Of the model that the fit belongs to, by which a change of its parameters is noticed.
    """

    problem: FittedProblem
    objective: Objective
    factor: JointFactor | None
    live: np.ndarray
    names: np.ndarray
    scale: np.ndarray
    class_weight: np.ndarray
    gradient: np.ndarray | None = None
    settings: dict | None = None

    @classmethod
    def of(cls, problem, names=None):
        """Return the fit of a problem whose rows are all in the model, of given names."""
        objective = problem.objective
        names = problem.row_names if names is None else names
        factor = problem.joint_factor()
        live = np.arange(objective.n_rows)
        each = class_weights(objective, problem.sample_weight)
        scale = problem.record.gradient_scale
        return cls(problem, objective, factor, live, names, scale, each)

    def is_of(self, model):
        """Whether the parameters of a model are still those of this fit."""
        return same_settings(self.settings, model_settings(model))

    def owned_by(self, model):
        """Return the fit of a model with the settings that it has now."""
        return replace(self, settings=model_settings(model))

    def asked_by(self, transform, names):
        """Return the same fit for the questions of a caller, see `FittedProblem.asked_by`."""
        return replace(self, problem=self.problem.asked_by(transform, names))

    def at_rows(self, live):
        """Return the fit with other rows in the model, at the old optimum."""
        return replace(self, live=live)

    @property
    def obstacle(self):
        """Why no step leads from this fit to the next; empty where one does."""
        if self.problem.dependence is not None:
            return "the columns are linearly dependent, and the fit is that of smallest norm"
        if not self.objective.is_at_its_own_optimum:
            return "the loss has kinks, and its minimum is found by a path of its dual"
        return ""

    @property
    def index(self):
        """Index of the rows in the model, of the data frame that fit was given; None without."""
        names = self.problem.record.data.row_names
        return None if names is None else names[self.live]

    def training_rows(self):
        """(X, y, sample_weight) of the rows in the model, as its estimator's fit takes them."""
        data, live = self.problem.record.data, self.live
        weight = None if data.sample_weight is None else data.sample_weight[live]
        if data.space is None:
            X = data.X[live]
        elif data.space.rows is None:
            X = data.space.matrix[np.ix_(live, live)]
        else:
            X = data.space.rows[live]
        return X, np.asarray(data.y)[live], weight

    def refitted(self, reason):
        """Return the Removal of a model that was fitted again, for its certificate."""
        return refit_removal(self.objective, self.factor, reason, self.problem.record.n_steps)

    def proven_again(self, removal):
        """Return a Removal with the bound of this fit's own parameters."""
        found = self.refitted(removal.reason)
        steps = {"n_passes": removal.n_passes, "n_factors": removal.n_factors}
        return replace(found, method=removal.method, **steps)

    @property
    def remaining(self):
        """Names of the rows in the model, in order."""
        return self.names[self.live]

    def check_data(self):
        """Raise where rows in the model are not those of the fit."""
        self.problem.check_data(live=self.live)

    def check_removal(self, rows):
        """Raise where there is no model without rows, positions among those in the model."""
        rows = self.live[rows]
        delta = -self.objective.sample_weight[rows]
        check_remaining(self.objective, rows, delta, self.problem.classes)

    def without(self, rows):
        """Return (LiveFit, Removal) without rows, positions among those in the model.

        Raises
        ------
        RuntimeError
            Where rows in the model are not those of the fit.
        """
        gone = self.live[rows]
        delta = -self.objective.sample_weight[gone]
        live = np.delete(self.live, rows)
        check = DataCheck(self)
        try:
            return self._moved(gone, delta, live, check.read)
        finally:
            check.finish()

    def extended(self, X, y, sample_weight, names=None):
        """Return the fit with further rows of weight 0, and the weights that they should have.

        Parameters
        ----------
        X, y : array-like
            As a caller has them.
        sample_weight : array-like or None
        names : ndarray or None
            Of the rows; by default they are counted on.
        """
        problem = self.problem
        data, encoded = problem.record.data, problem.adapted.encode(y, "y_new")
        rows, space = _design_of(problem, X)
        m = rows.shape[0]
        if len(encoded) != m:
            raise ValueError(
                "Found input variables with inconsistent numbers of samples: X_new has "
                f"{m} rows, y_new {len(encoded)}."
            )
        weight = check_sample_weight(sample_weight, m)
        objective = self.objective.with_rows(rows, encoded)
        stored = _stacked(data, objective, problem, X)
        given = None if sample_weight is None else weight
        data = _joined_data(problem, stored, space, encoded, given, names)
        record = replace(problem.record, data=data, fingerprint=fingerprint_of_rows(data))
        factor = self.factor
        if factor is not None:
            factor = factor.extended(objective, rows, encoded)
        names = _counted_on(self.names, m) if names is None else names
        fit = replace(
            self,
            problem=replace(problem, record=record),
            objective=objective,
            factor=factor,
            names=_joined(self.names, names),
        )
        return fit, weight * row_factors(self.class_weight, encoded)

    def with_rows(self, weight):
        """Return (LiveFit, Removal) after the last rows, of weight 0, get their weights."""
        n = self.objective.n_rows
        rows = np.arange(n - len(weight), n)
        return self._moved(rows, weight, np.concatenate([self.live, rows]))

    def _moved(self, rows, delta, live, read=None):
        """Return (LiveFit, Removal) after a change of weights that leaves `live` in the model."""
        removal = row_removal(self.objective, self._factor(), rows, delta, read, self._gradient())
        fit = replace(
            self,
            objective=removal.objective,
            factor=removal.factor,
            live=live,
            scale=self._scale(removal),
            gradient=removal.gradient,
        )
        return fit, removal

    def _gradient(self):
        """Return the gradient where it is known; rows that join may have brought columns."""
        known = self.gradient is not None and self.gradient.shape == self.objective.theta.shape
        return self.gradient if known else None

    def _factor(self):
        """Return the factor, computed anew where an active set has changed."""
        if self.factor is not None:
            return self.factor
        try:
            return first_factor(self.objective, make_curvature(self.objective))
        except np.linalg.LinAlgError:
            return None

    def _scale(self, removal):
        """Scale of the gradient after a change of the weights: that before, times their sum."""
        before = self.objective.sample_weight.sum()
        ratio = float(removal.objective.sample_weight.sum() / before)
        if removal.objective.theta.shape != self.scale.shape or ratio < STALE:
            return removal.objective.gradient_scale
        return ratio * self.scale

    def data(self):
        """Training data of the rows in the model, with the optimum."""
        objective, data = self.objective, self.problem.record.data
        theta = objective.theta
        found = data.remaining(self.live, theta, objective.design)
        if found.space is None:
            return found
        # The features of the rows that remain have coordinates of their own; in these w is the
        # same sum of the rows, -sum_i g_i phi_i over the penalty.
        strength = np.broadcast_to(objective.penalty.hessian_diagonal, theta.shape)[:, :1]
        dual = -objective.residuals[self.live].T / strength
        coef = dual @ found.space.features.features
        intercept = objective.design.split(theta)[1]
        return replace(found, theta=objective.design.join(coef, intercept))

    def record(self, data, removal):
        """Return the OptimumRecord of the rows in the model."""
        if data.is_in_blocks:
            fingerprint = fingerprint_of_rows(data)
        else:
            fingerprint = Fingerprint(self.problem.record.fingerprint.rows[self.live])
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.where(removal.residual == 0, 0.0, np.abs(removal.residual) / self.scale)
        return OptimumRecord(
            data,
            float(ratio.max(initial=0.0)),
            removal.gradient,
            self.scale,
            True,
            False,
            removal.n_passes,
            fingerprint,
        )

    def frozen_settings(self):
        """Return the settings of the model that followed from its data, as values, by name.

        class_weight for "balanced", gamma and temperature for "scale".
        """
        model, found = self.problem.model, {}
        params = vars(model)  # as scikit-learn's own: get_params reads the signature, a millisecond
        if isinstance(params.get("class_weight"), str):
            labels = self.problem.classes.tolist()
            found["class_weight"] = dict(zip(labels, self.class_weight.tolist(), strict=True))
        for name, fitted in (("gamma", "gamma_"), ("temperature", "temperature_")):
            if params.get(name) == "scale" and hasattr(model, fitted):
                found[name] = float(getattr(model, fitted))
        return found

    def recipe(self, objective, data):
        """Return the FitRecipe of an objective of the rows in the model, with their data."""
        encode = self.problem.adapted.encode
        return FitRecipe.of(objective, encode, self.class_weight, data.space)


def _design_of(problem, X):
    """(Design of rows as a caller has them, KernelSpace of all rows or None)."""
    with naming("X_new"):
        X = problem.transform(X)
    space = problem.record.data.space
    if not X.shape[0]:
        raise ValueError("X_new has no rows. Pass the rows to add.")
    if space is None:
        return problem.design_of(X, "X_new"), None
    n = space.n_rows
    space = space.extended(X)
    return problem.objective.design.like(space.features.features[n:]), space


def _stacked(data, objective, problem, X):
    """Rows of a fit with others below; those of the objective's design, where it has them."""
    if data.stored is None:
        return None
    if data.is_in_blocks:
        with naming("X_new"):
            return data.stored.followed_by(problem.transform(X))
    if not objective.design.is_centred:
        return objective.design.X
    own = make_design(data.X, False)
    with naming("X_new"):
        X = problem.transform(X)
    return own.extended(own.like(X)).X


def _joined_data(problem, stored, space, encoded, sample_weight, names):
    """Training data with further rows below: labels as the caller has them, weights, names."""
    data = problem.record.data
    y = encoded if data.response is not None else problem.adapted.labels(encoded)
    weights, n, m = data.sample_weight, data.n_rows, len(encoded)
    if weights is not None or sample_weight is not None:
        more = np.ones(m) if sample_weight is None else sample_weight
        weights = np.concatenate([np.ones(n) if weights is None else weights, more])
    labels = np.concatenate([np.asarray(data.y), np.asarray(y)])
    if data.is_in_blocks:
        stored = stored.labelled(labels, weights)
    return replace(
        data,
        stored=stored,
        y=labels,
        sample_weight=weights,
        space=space,
        row_names=_named(data, n, m, names),
    )


def _named(data, n, m, names):
    """Index of the rows of a fit with m more; None where the fit has seen none."""
    if data.row_names is None:
        return None
    more = np.arange(n, n + m) if names is None else names
    return _joined(data.row_names, more)


def _joined(one, other):
    """Names of rows, one after the other, of any types."""
    one, other = np.asarray(one), np.asarray(other)
    if one.dtype.kind != other.dtype.kind:
        one, other = one.astype(object), other.astype(object)
    return np.concatenate([one, other])


def _counted_on(names, m):
    """Names of m rows without any: numbers from where the others end."""
    first = len(names)
    if names.dtype.kind in "iu" and len(names):
        first = max(first, int(names.max()) + 1)
    return np.arange(first, first + m)
