"""What the model would do if the training data were different: other labels, weights, rows."""

from dataclasses import replace

import numpy as np

from skinfluence import attribution
from skinfluence._frames import Pairs, row_names
from skinfluence._validation import (
    AGGREGATES,
    as_index,
    as_numbers,
    check_aggregate,
    check_choice,
    listed,
    shown,
)
from skinfluence.base._query import Answer, QueryMixin
from skinfluence.deletion import Entering
from skinfluence.problem import changes as what_if
from skinfluence.results import BestChanges, StepInfo

KINDS = ("relabel", "removal", "addition")


class ChangesMixin(QueryMixin):
    """Methods that say what a fitted model would be if its training data were different.

    Everything here is after the change minus before.
    """

    def relabel_influence(
        self,
        X_test,
        y_test=None,
        *,
        labels=None,
        target="loss",
        method="auto",
        aggregate=None,
        test_sample_weight=None,
        train_indices=None,
        curvature="auto",
        damping=0.0,
        progress=None,
        as_frame=False,
        return_info=False,
    ):
        """Change of a target at each test row if a training row had another label.

        A relabelling is a large change: on the breast cancer data one Newton step misses a quarter
        of it. So "auto" is the refit as long as its budget of some seconds lasts; beyond it the
        longest steps are refits, the others implicit steps, and one warning says how many.

        - "first_order": both labels' influence functions;
        - "newton": the *implicit* step, with ``H_-`` the curvature without the row, z its features,
          ``d = H_-^-1 (g - r) z`` and ``r = w l'(y', (theta + d) z)``: the new label's loss is kept
          whole, the others' are taken to second order;
        - "exact": the refit itself.

        Parameters
        ----------
        X_test, y_test, target, method, aggregate, test_sample_weight, curvature, damping, progress
            As in :meth:`influence`.
        labels : array-like of shape (n_train,) or (len(train_indices),), optional
            The other label, or response, of each training row asked about; by default every class
            in turn. A regressor needs them.
        train_indices : array-like of int or bool mask, optional
            Training rows to relabel, one at a time; all by default.
        as_frame : bool, default=False
            As in :meth:`influence`; with all classes the columns have the levels "train" and
            "label", and so has the index with `aggregate`.
        return_info : bool, default=False
            As in :meth:`influence`, for each change: with all classes row by row, (row, label).

        Returns
        -------
        ndarray of shape (n_test, n_train, n_classes) or (n_test, n_train)
            With all classes axis 2 is the new label in the order of `classes_`, 0 at the given one;
            with `labels` it is absent. A class axis of the target is last, and the first axis gone
            with `aggregate`. NaN, with one warning, where the relabelling empties a class or leaves
            no finite optimum.

        Raises
        ------
        ValueError
            As :meth:`influence`; also for labels never seen in training, of the wrong number, or
            missing for a regressor.
        numpy.linalg.LinAlgError, RuntimeError
            As :meth:`influence`.

        References
        ----------
        Koh & Liang, Understanding black-box predictions via influence functions, ICML 2017.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skinfluence import InfluenceLogisticRegression
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = InfluenceLogisticRegression().fit(X, y)
        >>> clf.relabel_influence(X[::10], y[::10], aggregate="mean").shape
        (150, 3)
        """
        check_aggregate(aggregate, test_sample_weight)
        problem = self.__fitted_problem__()
        query = problem.query(X_test, y_test, target, method, test_sample_weight)
        rows = as_index(train_indices, problem.objective.n_rows)
        problem.check_data(rows)
        options = {"n_test": len(query), "curvature": curvature, "damping": damping}
        options |= {"progress": progress, "what": "relabelling of row"}
        values, infos = [], []
        for given in _labels_asked(problem, labels, rows):
            entering = what_if.relabelling(problem, given, rows)
            deletion = what_if.row_changes(problem, rows, entering, method, **options)
            values.append(_read(deletion, query, aggregate, method, progress))
            if return_info:
                infos.append(problem.step_info(deletion, method, problem.row_names[rows]))
        axis = 0 if aggregate is not None else 1
        found = values[0] if labels is not None else np.stack(values, axis=axis + 1)
        if as_frame:
            names = problem.row_names[rows]
            if labels is None:
                names = Pairs(names, problem.classes, ("train", "label"))
            found = Answer(problem, as_frame, return_info).frame(
                found if labels is not None else _one_axis(found, axis),
                test=X_test,
                aggregate=aggregate,
                n_outputs=query.target.n_outputs,
                name="relabel_influence",
                names=names,
            )
        if not return_info:
            return found
        return found, infos[0] if labels is not None else _row_by_row(infos, problem.classes)

    def reweight_influence(
        self,
        sample_weight,
        X_test,
        y_test=None,
        *,
        target="loss",
        method="auto",
        aggregate=None,
        test_sample_weight=None,
        curvature="auto",
        damping=0.0,
        progress=None,
        as_frame=False,
        return_info=False,
    ):
        """Change of a target at each test row if the training rows had other weights, jointly.

        Weight 0 is a removal, weight 2 one more copy of the row. "first_order" adds the influences
        of the rows; "newton" is the joint step, with ``delta`` the changes of the weights
        ``-(H + sum_i delta_i l''_i z_i z_i')^-1 sum_i delta_i l'_i z_i``; "exact" refits; "auto"
        refits while its budget of some seconds lasts, the longest joint steps first.

        Parameters
        ----------
        sample_weight : array-like of shape (n_train,) or (m, n_train)
            Non-negative weights in the place of those of fit; class weights multiply them as there.
        X_test, y_test, target, method, aggregate, test_sample_weight, curvature, damping, progress
            As in :meth:`influence`.
        as_frame, return_info
            As in :meth:`influence`, for each of the m sets of weights.

        Returns
        -------
        ndarray of shape (n_test,) or (n_test, m)
            After the change minus before; a class axis last where the target has one; without the
            first axis for an `aggregate`. Weights that leave a class empty or no finite optimum:
            NaN, with one warning.

        Raises
        ------
        ValueError
            As :meth:`influence`; also for weights of another shape, negative or not finite ones.
        numpy.linalg.LinAlgError, RuntimeError
            As :meth:`influence`.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.datasets import load_iris
        >>> from skinfluence import InfluenceLogisticRegression
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = InfluenceLogisticRegression().fit(X, y)
        >>> doubled = np.where(y == 0, 2.0, 1.0)
        >>> clf.reweight_influence(doubled, X[:5], y[:5]).shape
        (5,)
        """
        check_aggregate(aggregate, test_sample_weight)
        problem = self.__fitted_problem__()
        weights, is_single = _checked_weights(sample_weight, problem.objective.n_rows)
        query = problem.query(X_test, y_test, target, method, test_sample_weight)
        deletion = what_if.joint_changes(
            problem,
            *what_if.reweighting(problem, weights),
            method,
            curvature=curvature,
            damping=damping,
            progress=progress,
        )
        values = _read(deletion, query, aggregate, method, None)
        if is_single and not as_frame:
            values = values[0] if aggregate is not None else values[:, 0]
        return Answer(problem, as_frame, return_info).of(
            values,
            deletion,
            method,
            test=X_test,
            aggregate=aggregate,
            n_outputs=query.target.n_outputs,
            name="reweight_influence",
            level="change",
            names=deletion.rows,
        )

    def addition_influence(
        self,
        X_new,
        y_new,
        X_test,
        y_test=None,
        *,
        sample_weight_new=None,
        target="loss",
        method="auto",
        aggregate=None,
        test_sample_weight=None,
        curvature="auto",
        damping=0.0,
        progress=None,
        as_frame=False,
        return_info=False,
    ):
        """Change of a target at each test row if one more training row were added.

        Which of these rows is worth buying: the ones that lower the mean test loss most. With
        ``y_new=None`` the label is not known yet, and the effect is its expectation under the
        model's own probabilities: which row is worth labelling.

        Parameters
        ----------
        X_new : {array-like, sparse matrix, data frame} of shape (n_new, n_features)
            Rows that may be added, one at a time.
        y_new : array-like of shape (n_new,), or None
            Their labels or responses; None for a classifier with probabilities.
        X_test, y_test, target, method, aggregate, test_sample_weight, curvature, damping, progress
            As in :meth:`influence`. "newton" is the implicit step of :meth:`relabel_influence` and
            one chord step after it, which sees how the curvature of the other rows changes; the few
            rows for which that is no small step are refitted. "auto" refits the longest steps,
            within the budget that it has for removals.
        as_frame : bool, default=False
            As in :meth:`influence`.
        sample_weight_new : array-like of shape (n_new,), optional
            Non-negative weights; 1 by default.
        return_info : bool, default=False
            As in :meth:`influence`, for each new row; not with ``y_new=None``.

        Returns
        -------
        ndarray of shape (n_test, n_new)
            After the addition minus before: for a loss, negative: the row helps. A class axis last
            where the target has one; without the first axis for an `aggregate`.

        Raises
        ------
        ValueError
            As :meth:`influence`; also for labels never seen in training, rows of another width, and
            ``y_new=None`` without probabilities.
        NotImplementedError
            With a precomputed kernel.
        numpy.linalg.LinAlgError, RuntimeError
            As :meth:`influence`.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skinfluence import InfluenceLogisticRegression
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = InfluenceLogisticRegression().fit(X[::3], y[::3])
        >>> clf.addition_influence(X[1::3], y[1::3], X[2::3], y[2::3], aggregate="mean").shape
        (50,)
        """
        check_aggregate(aggregate, test_sample_weight)
        problem = self.__fitted_problem__()
        problem.check_data()
        if y_new is None and return_info:
            raise ValueError(
                "return_info has no meaning with y_new=None, which averages over several changes "
                "of each row. Pass the labels."
            )
        options = {"curvature": curvature, "damping": damping, "progress": progress}
        options |= {"is_rough": False, "what": "addition of new row"}
        options["first_row"], options["names"] = problem.objective.n_rows, row_names(X_new)
        total = 0.0
        for label, share in _labels_of_new_rows(problem, X_new, y_new):
            wide, rows, entering = _added(problem, X_new, label, sample_weight_new)
            query = wide.query(X_test, y_test, target, method, test_sample_weight)
            options["n_test"] = len(query)
            deletion = what_if.row_changes(wide, rows, entering, method, **options)
            values = _read(deletion, query, aggregate, method, progress)
            # The new rows are the second axis, the first without one of test rows.
            wide_share = share[:, None] if query.target.n_outputs > 1 else share
            total = total + values * wide_share
        names = row_names(X_new)
        return Answer(problem, as_frame, return_info).of(
            total,
            deletion,
            method,
            test=X_test,
            aggregate=aggregate,
            n_outputs=query.target.n_outputs,
            name="addition_influence",
            level="new",
            names=np.arange(len(deletion)) if names is None else names,
        )

    def best_changes(
        self,
        X_test,
        y_test=None,
        *,
        kind="relabel",
        k=10,
        X_new=None,
        y_new=None,
        target="loss",
        method="auto",
        aggregate="mean",
        test_sample_weight=None,
        train_indices=None,
        curvature="auto",
        damping=0.0,
        progress=None,
    ):
        """Return the k changes of the training data, one row each, that improve the target most.

        Parameters
        ----------
        X_test, y_test, target, method, train_indices, curvature, damping, progress
            As in :meth:`influence`.
        kind : {"relabel", "removal", "addition"}, default="relabel"
            What is changed: the label of a training row, to any other class; whether it is there;
            or whether one of `X_new` is.
        k : int, default=10
            How many changes, at most as many as there are.
        X_new, y_new : array-like, optional
            The rows that may be added, for kind="addition".
        aggregate : {"mean", "sum"}, default="mean"
            Over the test rows.
        test_sample_weight : array-like of shape (n_test,), optional
            As in :meth:`influence`.

        Returns
        -------
        BestChanges
            `indices` (k,) of rows, best first, their `labels` (k,) after the change (None for
            removals), the effects as `values` (k,), and `info`.

        Raises
        ------
        ValueError
            As :meth:`influence`; also for an unknown kind, a `k` out of range, a target with a
            class axis, or missing rows to add.
        numpy.linalg.LinAlgError, RuntimeError
            As :meth:`influence`.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skinfluence import InfluenceLogisticRegression
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = InfluenceLogisticRegression().fit(X[::2], y[::2])
        >>> clf.best_changes(X[1::2], y[1::2], k=3).indices.shape
        (3,)
        """
        check_choice("kind", kind, KINDS)
        check_choice("aggregate", aggregate, AGGREGATES[1:])
        problem = self.__fitted_problem__()
        _check_kind(problem, kind, X_new, y_new, train_indices)
        found = problem.target(target, method)
        if found.n_outputs > 1:
            raise ValueError(
                f"target={found.name!r} has a value for each class, of which none is the best "
                "change. Use a target with one value, such as 'loss'."
            )
        options = {"target": target, "method": method, "aggregate": aggregate, "damping": damping}
        options |= {"curvature": curvature, "progress": progress}
        options["test_sample_weight"] = test_sample_weight
        if kind == "addition":
            rows, labels, values, info = _additions(self, X_new, y_new, X_test, y_test, options)
        else:
            rows, labels = as_index(train_indices, problem.objective.n_rows, distinct=True), None
            ask = self.influence if kind == "removal" else self.relabel_influence
            values, info = ask(X_test, y_test, train_indices=rows, return_info=True, **options)
            if kind == "relabel":
                labels = np.tile(problem.classes, len(rows))
                rows, values = np.repeat(rows, len(problem.classes)), values.ravel()
                values = np.where(labels == problem.labels[rows], np.nan, values)
        best = _best(values, k, found.greater_is_better)
        return BestChanges(
            kind=kind,
            indices=rows[best],
            labels=None if labels is None else labels[best],
            values=values[best],
            info=_some(info, best),
            row_names=None if kind == "addition" else problem.row_names,
        )


def _check_kind(problem, kind, X_new, y_new, train_indices):
    """Raise for arguments that a kind of change has no use for."""
    if kind == "relabel" and problem.classes is None:
        raise ValueError(
            "kind='relabel' needs a classifier: a regressor has no other classes. Pass "
            "kind='removal' or 'addition', or ask relabel_influence(labels=...) for responses of "
            "your own."
        )
    if kind != "addition" and (X_new is not None or y_new is not None):
        given = "X_new" if X_new is not None else "y_new"
        raise ValueError(
            f"{given} is for kind='addition'; kind={kind!r} is about the training rows. Leave it "
            "out, or pass kind='addition'."
        )
    if kind == "addition" and train_indices is not None:
        raise ValueError(
            "train_indices has no meaning with kind='addition', whose rows are those of X_new."
        )


def _checked_weights(sample_weight, n):
    """Weights (m, n), and whether one set of them was given; raise for what are none."""
    weights = as_numbers("sample_weight", sample_weight)
    if weights.shape[-1:] != (n,) or weights.ndim > 2:
        raise ValueError(
            f"sample_weight should hold one number for each of the {n} training rows, in one row "
            f"or several; got shape {weights.shape}."
        )
    if not np.isfinite(weights).all():
        raise ValueError("sample_weight should be finite; it contains NaN or infinity.")
    if (weights < 0).any():
        at = tuple(np.argwhere(weights < 0)[0])
        raise ValueError(
            f"sample_weight should be at least 0; got {weights[at]:g} at row {at[-1]}."
        )
    return np.atleast_2d(weights), weights.ndim == 1


def _labels_asked(problem, labels, rows):
    """The labels of some rows to ask about, one array at a time: every class, or those given."""
    if labels is not None:
        return [labels]
    if problem.classes is None:
        raise ValueError(
            "labels is None: a regressor has no other classes. Pass the new response of each "
            "training row asked about."
        )
    return [np.full(len(rows), label) for label in problem.classes]


def _additions(model, X_new, y_new, X_test, y_test, options):
    """(rows, labels, effects, StepInfo) of the rows that may be added."""
    if X_new is None or y_new is None:
        raise ValueError("kind='addition' needs X_new and y_new, the rows to choose from.")
    values, info = model.addition_influence(
        X_new, y_new, X_test, y_test, return_info=True, **options
    )
    return np.arange(len(values)), np.asarray(y_new), values, info


def _best(values, k, greater_is_better):
    """Positions of the k best effects that are defined; raise for a k out of range."""
    order = np.argsort(-values if greater_is_better else values, kind="stable")
    order = order[: np.count_nonzero(~np.isnan(values))]
    is_integer = isinstance(k, int | np.integer) and not isinstance(k, bool)
    if not is_integer or not 1 <= k <= len(order):
        raise ValueError(
            f"k should be an integer from 1 to the {len(order)} changes there are; got {shown(k)}."
        )
    return order[:k]


def _read(deletion, query, aggregate, method, progress):
    """The influence of changes at a query."""
    return attribution.influence(
        deletion, query, aggregate, linearised=method == "first_order", progress=progress
    )


def _one_axis(values, axis):
    """Join the axes of the rows and of the labels into one."""
    shape = values.shape
    return values.reshape(*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :])


def _row_by_row(infos, classes):
    """One StepInfo of the relabellings of all rows, from one for each label."""

    def joined(field):
        return np.stack([getattr(info, field) for info in infos], axis=1).ravel()

    names = np.empty(len(infos) * len(infos[0].names), dtype=object)
    names[:] = [(name, label) for name in infos[0].names.tolist() for label in classes.tolist()]
    return StepInfo(joined("method"), joined("error_estimate"), joined("error_bound"), names)


def _some(info, positions):
    """StepInfo of some of the changes."""
    fields = ("method", "error_estimate", "error_bound", "names")
    return replace(info, **{field: getattr(info, field)[positions] for field in fields})


def _labels_of_new_rows(problem, X_new, y_new):
    """Labels of new rows to ask about, and the probability of each, (labels, (n_new,)) in turn."""
    if y_new is not None:
        return [(y_new, np.ones(1))]
    if problem.classes is None or not problem.link.has_probabilities:
        raise ValueError(
            "y_new is None, but the model has no probabilities to take the label's expectation "
            "over: pass y_new."
        )
    design, _, _ = problem.test_rows(X_new, names=("X_new", "y_new"))
    eta = problem.objective.native(problem.objective.predictors(design))
    probability = problem.link.probabilities(eta)
    labels = [np.full(design.shape[0], label) for label in problem.classes]
    return list(zip(labels, probability.T, strict=True))


def _added(problem, X_new, y_new, sample_weight_new):
    """(the problem with spare rows, their positions, the Entering that fills them)."""
    n = problem.objective.n_rows
    y = problem.adapted.encode(y_new, "y_new")
    wide = what_if.extended(problem, X_new, y)
    m = wide.objective.n_rows - n
    if len(y) != m:
        raise ValueError(
            "Found input variables with inconsistent numbers of samples: X_new has "
            f"{m} rows, y_new {len(y)}."
        )
    weight = np.ones(m)
    if sample_weight_new is not None:
        weight = np.asarray(sample_weight_new, dtype=np.float64)
        if weight.shape != (m,) or not (np.isfinite(weight) & (weight >= 0)).all():
            bad = np.flatnonzero(~(np.isfinite(weight) & (weight >= 0)).ravel())
            raise ValueError(
                f"sample_weight_new should be {m} finite numbers of at least 0, one for each row "
                f"of X_new; got shape {weight.shape}"
                + (f", and others at {listed(bad)}." if len(bad) else ".")
            )
    rows = np.arange(n, n + m)
    return wide, rows, Entering(rows, y, what_if.encoded_weight(problem, y, weight))
