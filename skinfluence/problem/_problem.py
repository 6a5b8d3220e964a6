"""FittedProblem: what estimators, tools and displays ask about a fitted model."""

from dataclasses import dataclass, field

import numpy as np

from skinfluence._memory import check_memory
from skinfluence._parallel import row_blocks
from skinfluence._sources import RowBlocks, check_in_memory
from skinfluence._validation import (
    METHODS,
    as_groups,
    as_index,
    as_partition,
    check_choice,
    check_damping,
    check_k,
    check_test_weight,
    group_names,
    listed,
    naming,
    shown,
    warn,
)
from skinfluence.adapters import Adapted, adapt
from skinfluence.attribution import Query, influence_topk, refined_topk
from skinfluence.curvature import KINDS, choose
from skinfluence.deletion import (
    COARSE_KERNEL,
    GroupDeletion,
    dominant_rows,
    first_factor,
    needs_curvature,
    refits_on_demand,
    step_errors,
    warn_dominant,
)
from skinfluence.deletion.targets import resolve_target
from skinfluence.design import Dependence
from skinfluence.leave_one_out import leave_group_out, leave_one_out, resolve_auto
from skinfluence.objective import Objective
from skinfluence.problem._coordinates import in_coordinates_of_a_copy, in_independent_columns
from skinfluence.problem._curvatures import CurvatureCache
from skinfluence.problem._estimate import leave_one_out_estimate
from skinfluence.problem._many_rows import ManyRows
from skinfluence.problem._names import NamedFit
from skinfluence.problem._record import OptimumRecord
from skinfluence.problem._settings import model_settings, same_settings
from skinfluence.problem._undefined import UndefinedRows
from skinfluence.problem.stored import stored_leave_one_out
from skinfluence.results import StepInfo

# Kind of curvature whose leverages are estimated, for leave-one-out by one step only.
STOCHASTIC = "stochastic"

# A gradient that has moved by more than this share of its terms is of another training set.
CHANGED = 1e-8


SEPARABLE = (
    "the training data are linearly separable: without a penalty the coefficients have no finite "
    "optimum, and no influence is defined. Fit with a finite C."
)


def fitted_problem(model):
    """Return the FittedProblem of a fitted estimator or explainer of this library.

    Parameters
    ----------
    model : estimator
        With the influence methods: an estimator of this library, or an InfluenceExplainer.

    Returns
    -------
    FittedProblem
        The model as an objective at its optimum.

    Raises
    ------
    TypeError
        If the model has no such view; :func:`skinfluence.explain` makes one of a Pipeline.
    NotImplementedError, numpy.linalg.LinAlgError, RuntimeError
        As the influence methods of the model.
    """
    if not hasattr(model, "__fitted_problem__"):
        raise TypeError(
            f"{type(model).__name__} has no influence methods: pass an estimator of this library, "
            "or skinfluence.explain(model)."
        )
    return model.__fitted_problem__()


@dataclass(frozen=True)
class FittedProblem(NamedFit, UndefinedRows, ManyRows):
    """A fitted model as an objective at its optimum, with its labels, names and checks.

    Frozen but for its cache of curvatures. A question is a method of this class: it checks the
    arguments, checks that the training data are those of the fit, and returns what the deletion and
    attribution rooms work with.

    Attributes
    ----------
    objective : Objective
        At the optimum.
    adapted : Adapted
        Encoding of the labels, changes of the estimator's own parameters.
    record : OptimumRecord
        Training data, fingerprint.
    model : estimator
        The one that was adapted: of a Pipeline its last step.
    settings : dict
        Its parameters, by which a change of them is noticed.
    curvatures : CurvatureCache
    transform, design_names : callable or None
        From a caller's X to the columns of the design, and the names that earlier steps give to
        these; set by the estimator that is asked.
    dependence : Dependence or None
        Of the columns of least squares without a penalty whose columns are dependent: the objective
        then has as many of them as determine the predictors, which are unique.
    """

    objective: Objective
    adapted: Adapted
    record: OptimumRecord
    model: object
    settings: dict
    curvatures: CurvatureCache = field(default_factory=CurvatureCache)
    transform: object = None
    design_names: object = None
    dependence: Dependence | None = None

    @classmethod
    def of(cls, model, record):
        """Adapt a fitted model, and check that its parameters are those of the record.

        Raises
        ------
        RuntimeError
            If the gradient no longer vanishes: the parameters have changed.
        numpy.linalg.LinAlgError
            If the data are separable and nothing is penalised.
        """
        if record.separable:
            raise np.linalg.LinAlgError(SEPARABLE)
        adapted = adapt(model, record.data)
        if adapted.objective.theta.shape != record.theta.shape:
            raise RuntimeError(
                f"the parameters of {type(model).__name__} have changed since it was fitted: "
                "they ask for other coefficients than it has. Fit again."
            )
        if record.sums is not None:
            objective = adapted.objective.at(record.theta).with_sums(record.sums)
        else:  # predictors and the gradient, which is checked below, by one pass over the rows
            scale = record.gradient_scale
            objective = adapted.objective.evaluated_at(record.theta, scale=scale)
        problem = cls(objective, adapted, record, model, model_settings(model))
        problem._check_gradient()
        return in_independent_columns(in_coordinates_of_a_copy(problem))

    def is_of(self, model, record):
        """Whether a model is the one that was adapted, with the same parameters."""
        return (
            record is self.record
            and model is self.model
            and same_settings(self.settings, model_settings(model))
        )

    def asked_by(self, transform, names):
        """Return the same problem for questions whose rows `transform` brings to the design.

        Parameters
        ----------
        transform : callable
        names : callable
            Returns the names of the features of the model where these are not its own, or None.
        """
        own = self.objective, self.adapted, self.record, self.model, self.settings, self.curvatures
        return type(self)(*own, transform, names, self.dependence)

    # -- checks ------------------------------------------------------------------------------------

    def _check_gradient(self):
        """Raise where the gradient at the recorded optimum is not the recorded one."""
        record, scale = self.record, self.record.gradient_scale
        if record.data.space is not None:
            # Of coordinates of a kernel that are next to 0 a copy's own have half of the digits.
            scale = scale.max(axis=1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            moved = np.abs(self.objective.gradient - record.gradient)
            ratio = float(np.where(moved == 0, 0.0, moved / scale).max(initial=0.0))
        # A chord's last step is not evaluated: what is left is less than before it.
        is_before_a_step = not record.gradient.any()
        if not ratio <= max(CHANGED, record.stationarity if is_before_a_step else 0.0):
            self.check_data()
            raise RuntimeError(
                f"the parameters of {type(self.model).__name__} have changed since it was fitted "
                f"(the gradient has moved by {ratio:.1e} of its terms). Fit again."
            )

    def check_data(self, rows=None, live=None):
        """Raise where the training data are not those of the fit.

        Parameters
        ----------
        rows : ndarray of int, optional
            Rows that the question reads, checked with a random sample of the others; all by
            default.
        live : ndarray of int, optional
            Rows that are still in the model; all by default. Others may have changed.

        Raises
        ------
        RuntimeError
            Naming the rows that have changed.
        """
        changed = self.record.fingerprint.changed_rows(self.record.data, rows)
        self.refuse_changed(changed, live)

    def refuse_changed(self, changed, live=None):
        """Raise for rows that have changed, unless they are no longer in the model."""
        if live is not None and changed is not None and len(changed):
            changed = np.intersect1d(changed, live)
        if changed is None or len(changed):
            which = "another number of rows"
            if changed is not None:
                which = f"row{'s' if len(changed) > 1 else ''} {listed(changed)}"
            raise RuntimeError(
                f"the training data have changed since the fit ({which}). Fit again, or pass a "
                "copy of the data to fit."
            )

    def check_method(self, method, damping=0.0, methods=METHODS):
        """Return damping as a float; raise for an unknown method, or one that has no damping."""
        check_choice("method", method, methods)
        damping = check_damping(damping)
        if damping > 0 and method == "exact":
            raise ValueError(
                "damping has no meaning with method='exact', which refits the model itself; "
                f"got damping={shown(damping)}. Leave it at 0, or use method='newton'."
            )
        return damping

    def check_coefficients(self, asked):
        """Raise where the model has no coefficients of its own optimum, naming what was asked."""
        if not self.has_coefficients:
            raise NotImplementedError(f"{asked} needs coefficients: a kernel machine has none.")
        if not self.objective.is_at_its_own_optimum:
            raise NotImplementedError(f"{asked} needs a smooth loss: the hinge has kinks.")
        self.check_unique(asked)

    def check_unique(self, asked):
        """Raise where the coefficients are not unique, naming what was asked and the columns."""
        if self.dependence is not None:
            raise np.linalg.LinAlgError(
                f"{asked} needs coefficients, which are not unique: {self._dependent()}. Remove "
                "dependent columns (OneHotEncoder(drop='first')), or fit with a penalty "
                "(InfluenceRidge). What does not depend on the coefficients is available: "
                "influence(), loo_estimate(), leverages."
            )

    def _dependent(self):
        """Say which columns are dependent."""
        names = [*self.all_feature_names, "the intercept"]
        involved = [names[j] for j in self.dependence.involved]
        return f"the columns {listed(involved)} are linearly dependent"

    def target(self, target, method="newton"):
        """Return the Target of a name or callable; raise if `method` cannot read it."""
        found = resolve_target(target, self.link, self.objective.trained_loss)
        if method == "first_order" and not found.is_differentiable:
            raise ValueError(
                f"target={found.name!r} has no derivative that method='first_order' could use: "
                "use method='newton'."
            )
        return found

    # -- questions ---------------------------------------------------------------------------------

    def test_rows(self, X_test, y_test=None, required=None, names=("X_test", "y_test")):
        """Return the design of test rows, their labels as passed and as the loss encodes them.

        Parameters
        ----------
        X_test, y_test : array-like
            As the caller has them.
        required : str, optional
            What needs labels, for the error where there are none.
        names : (str, str)
            What an error calls the two.

        Returns
        -------
        (Design, ndarray or None, ndarray or None)
        """
        if isinstance(X_test, RowBlocks):
            y_test = X_test.labels()[0] if y_test is None else y_test
            check_in_memory(y_test=y_test)
        else:
            check_in_memory(X_test=X_test, y_test=y_test)
        with naming(names[0]):
            design = self.design_of(self.transform(X_test), names[0])
        if y_test is None:
            if required is not None:
                raise ValueError(
                    f"{names[1]} is None, but {required} needs the labels of the test rows."
                )
            return design, None, None
        encoded = self.adapted.encode(y_test, names[1])
        if len(encoded) != design.shape[0]:
            raise ValueError(
                f"Found input variables with inconsistent numbers of samples: {names[0]} has "
                f"{design.shape[0]} rows, {names[1]} {len(encoded)}."
            )
        return design, self.adapted.labels(encoded), encoded

    def design_of(self, X, name="X_test"):
        """Return the design of rows in the features of the model, which an error calls `name`."""
        space = self.record.data.space
        design = self.adapted.objective.design.like(X if space is None else space.map(X))
        if self.dependence is None:
            return design
        broken = self.dependence.broken_rows(design)
        if len(broken):
            raise np.linalg.LinAlgError(
                f"{self._dependent()} in the training data, and not in row {listed(broken)} of "
                f"{name}: their predictions are not determined by the training data. Remove "
                "dependent columns, or fit with a penalty."
            )
        return design.restricted(self.dependence.kept)

    def query(self, X_test, y_test=None, target="loss", method="newton", test_sample_weight=None):
        """Return the Query of a target at test rows, with their weights in sums over them."""
        target = self.target(target, method)
        required = f"target={target.name!r}" if target.needs_labels else None
        design, labels, encoded = self.test_rows(X_test, y_test, required)
        y = encoded if target.uses_encoded_labels else labels
        weight = check_test_weight(test_sample_weight, design.shape[0])
        return Query(design, y, self.objective.predictors(design), target, weight)

    def own_query(self, target="loss", method="newton", rows=None):
        """Return the Query of a target at training rows, all by default."""
        target, objective = self.target(target, method), self.objective
        y = objective.y if target.uses_encoded_labels else self.labels
        query = Query(objective.design, y, objective.eta, target)
        return query if rows is None else query.take(as_index(rows, objective.n_rows))

    def ask(self, X_test, y_test, target, method, rows, curvature, damping, progress, weight=None):
        """Return the Query at test rows and the Deletion of training rows to read at it."""
        self.check_method(method, damping)
        query = self.query(X_test, y_test, target, method, weight)
        deletion = self.deletion(
            method,
            rows,
            n_test=len(query),
            curvature=curvature,
            damping=damping,
            progress=progress,
        )
        return query, deletion

    def curvature(self, kind="auto", damping=0.0, n_solves=None, *, without_share=False):
        """Return the curvature for a number of solves, by default for all rows' leverages.

        Parameters
        ----------
        kind : {"auto", "dense", "dual", "cg"}
        damping : float
        n_solves : int, optional
        without_share : bool
            Without the mean row's share of the penalty: what the rows that stay minimise.

        Raises
        ------
        numpy.linalg.LinAlgError
            If H is singular or indefinite.
        """
        check_choice("curvature", kind, ("auto", *KINDS, STOCHASTIC))
        objective = self.objective
        if n_solves is None:
            n_solves = objective.n_rows * objective.n_outputs
        try:
            objective.check_intercept()
            made = self.curvatures.get(
                objective, kind, float(damping), n_solves, without_share=without_share
            )
            made.warn_of_lost_digits()
            self._warn_of_coarse_kernel()
            return made
        except np.linalg.LinAlgError as error:
            advice = objective.loss.advice_if_flat
            if advice is None:
                raise
            raise np.linalg.LinAlgError(f"{error}. {advice}") from error

    def _warn_of_coarse_kernel(self):
        """Warn where the rounding of a kernel's entries is felt beside the penalty."""
        rounding = self.objective.kernel_rounding
        if rounding > COARSE_KERNEL:
            warn(
                "the kernel matrix is ill-conditioned: the rounding of its largest entries is "
                f"{rounding:.0e} of the penalty, and changes of the fit are known no better. "
                "Centre and scale the columns of X, or raise the penalty.",
                RuntimeWarning,
            )

    def joint_factor(self):
        """Return the JointFactor of joint changes of the rows; None where there is none."""
        try:
            made = self.curvature()
        except np.linalg.LinAlgError:
            return None
        return self.curvatures.joint(lambda: first_factor(self.objective, made))

    def curvature_choice(self):
        """Return the Choice of a curvature for all rows' leverages."""
        return choose(self.objective, self.objective.n_rows * self.objective.n_outputs)

    def deletion(
        self,
        method,
        rows=None,
        *,
        n_test=0,
        own=False,
        curvature="auto",
        damping=0.0,
        progress=None,
    ):
        """Return the Deletion of training rows, one at a time; warn of undefined ones.

        Parameters
        ----------
        method : {"first_order", "newton", "exact"}
        rows : array-like, optional
            Positions or a mask; all by default.
        n_test : int
            Test rows that the deletion will be read at.
        own : bool
            Whether it will be read at the rows themselves.
        curvature, damping, progress
            As in the influence methods.
        """
        damping, objective = self.check_method(method, damping), self.objective
        rows = as_index(rows, objective.n_rows)
        self.check_data(rows)
        n_solves = n_test * objective.n_outputs
        if own or method != "first_order":
            n_solves += len(rows) * objective.n_outputs
        if method == "auto" and damping > 0:
            method = "newton"  # a refit has no damping
        made = self.deletion_curvature(method, curvature, damping, n_solves, len(rows))
        options = {"n_test": n_test, "progress": progress}
        deletion = self.curvatures.deletion(objective, made, method, rows, **options)
        self.warn_undefined(rows[deletion.undefined])
        if method == "newton" and objective.loss.has_dominant_rows:
            dominant = dominant_rows(objective, rows, deletion.row_leverages)
            warn_dominant(self.row_names[dominant])
        return deletion

    def largest(self, query, k, method, rows=None, *, curvature="auto", damping=0.0, progress=None):
        """Return the k largest and smallest influences on a query, and the Deletion that was read.

        By "auto" and "exact" only the rows that may be among them are refitted.

        Parameters
        ----------
        query : Query
        k : int
            At most the number of rows asked about.
        method, rows, curvature, damping, progress
            As in `deletion`.
        """
        damping = self.check_method(method, damping)
        index = as_index(rows, self.objective.n_rows, distinct=True)
        check_k(k, len(index))
        refits = None
        if method in ("auto", "exact") and damping == 0:
            n_solves = (len(query) + len(index)) * self.objective.n_outputs
            made = self.deletion_curvature(method, curvature, 0.0, n_solves, len(index))
            refits = refits_on_demand(self.objective, made, method, index, n_test=len(query))
        if refits is None:
            options = {"curvature": curvature, "damping": damping, "progress": progress}
            deletion = self.deletion(method, rows, n_test=len(query), **options)
            linearised = method == "first_order"
            return influence_topk(deletion, query, int(k), linearised=linearised), deletion
        self.check_data(index)
        found = refined_topk(refits, query, int(k), progress=progress)
        self.warn_undefined(index[refits.deletion.undefined])
        return found, refits.deletion

    def deletion_curvature(self, method, kind="auto", damping=0.0, n_solves=None, n_deletions=None):
        """Return the curvature that a method of single deletions asks for; None if for none."""
        check_choice("curvature", kind, ("auto", *KINDS))
        if not needs_curvature(self.objective, method, n_deletions):
            return None
        share = method != "first_order"
        return self.curvature(kind, damping, n_solves, without_share=share)

    def parameter_changes(self, deletion):
        """Changes (r, ...) of the estimator's coefficients and intercepts, NaN where undefined."""
        self.check_unique("parameter_influence()")
        objective, size = self.objective, 8 * self.objective.n_parameters
        check_memory(
            2 * size * len(deletion),
            f"the changes of {objective.n_parameters} parameters by {len(deletion)} deletions",
            "ask about fewer rows (train_indices)",
        )
        steps = np.empty((len(deletion), *objective.theta.shape))
        for part in row_blocks(len(deletion), 4 * size):
            steps[part] = deletion.steps(part)
        steps[deletion.undefined] = np.nan
        if self.adapted.parameters is None:
            return objective.design.unpack(steps)
        return self.adapted.parameters(objective, deletion.rows, steps)

    def group_deletion(self, groups, method, *, curvature="auto", damping=0.0, progress=None):
        """Return the GroupDeletion of sets of training rows; warn of undefined ones."""
        damping, objective = self.check_method(method, damping), self.objective
        if method == "auto" and damping > 0:
            method = "newton"  # a refit has no damping
        given, groups = groups, as_groups(groups, objective.n_rows)
        self.check_data()
        made = None
        if needs_curvature(objective, method):
            n_solves = sum(map(len, groups)) * objective.n_outputs
            made = self.curvature(curvature, damping, n_solves)
        deletion = GroupDeletion(objective, made, method, groups, progress=progress)
        self.warn_undefined_groups(deletion, group_names(given))
        return deletion

    # -- leave-one-out -----------------------------------------------------------------------------

    def leave_one_out(
        self, method, *, tolerance=1e-8, progress=None, curvature="auto", checkpoint=None
    ):
        """Return the LooPredictions of every row; warn of undefined ones."""
        objective = self.objective
        check_choice("curvature", curvature, ("auto", *KINDS, STOCHASTIC))
        if curvature == STOCHASTIC and method not in ("newton", "first_order"):
            raise ValueError(
                "curvature='stochastic' estimates the leverages, of which refits are not made; got "
                f"method={method!r}. Use method='newton'."
            )
        self.check_data()
        method = resolve_auto(objective, method)
        if curvature == STOCHASTIC:
            curvature = self.curvature(STOCHASTIC, without_share=True)
        else:
            curvature = self.deletion_curvature(method, curvature)
        options = {"tolerance": tolerance, "progress": progress}
        if checkpoint is None and not self.refits_in_batches(method, curvature):
            loo = leave_one_out(objective, curvature, method, **options)
        else:
            loo = stored_leave_one_out(self, method, curvature, checkpoint=checkpoint, **options)
        self.warn_undefined(np.flatnonzero(loo.route == "undefined"))
        if method == "newton":
            dominant = dominant_rows(objective, np.arange(objective.n_rows), loo.leverage)
            warn_dominant(self.row_names[dominant])
        return loo

    def leave_group_out(self, groups, method, *, progress=None):
        """Return the LooPredictions of every row without its whole group."""
        groups = as_partition(groups, self.objective.n_rows)
        self.check_data()
        curvature = None
        if needs_curvature(self.objective, method):
            curvature = self.curvature()
        loo = leave_group_out(self.objective, curvature, method, groups, progress=progress)
        self.warn_undefined_members(np.flatnonzero(loo.route == "undefined"), groups)
        return loo

    def estimate(self, loo, scoring=None, X=None):
        """Return the LeaveOneOutEstimate of LooPredictions: losses, their mean, a score.

        Parameters
        ----------
        loo : LooPredictions
        scoring : str or callable, optional
        X : array-like, optional
            The training rows that a callable `scoring` is handed.
        """
        return leave_one_out_estimate(self, loo, scoring, X)

    def step_info(self, deletion, method, names=None, *, quick=False):
        """Return how each step of a deletion was found and how far it is from the refit.

        Parameters
        ----------
        deletion : Deletion
        method : str
        names : ndarray of shape (r,), optional
            Of the deletions.
        quick : bool
            Whether errors that cost more than the step itself are left out: NaN, bounds inf.
        """
        names = self.row_names[deletion.rows] if names is None else names
        return StepInfo(*step_errors(deletion, method, quick=quick), names)
