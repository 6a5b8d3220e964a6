"""What moves of training rows in their features would do."""

import numpy as np

from skinfluence import attribution
from skinfluence._frames import Pairs, named_frame, row_names
from skinfluence._validation import as_index, check_aggregate, check_choice
from skinfluence.adapters import InputGradients
from skinfluence.base._query import Answer, QueryMixin
from skinfluence.deletion import Entering
from skinfluence.design import moved_rows
from skinfluence.perturbation import (
    KernelMachineGradients,
    LinearGradients,
    MovableRows,
    named_moves,
)
from skinfluence.problem import changes as what_if


class FeaturesMixin(QueryMixin):
    """Methods that say what the features of the training rows do to a fitted model."""

    def feature_influence(
        self,
        X_test,
        y_test=None,
        *,
        target="loss",
        displacement=None,
        features="model",
        X_train=None,
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
        r"""Gradient of a target at each test row in the features of each training row.

        Koh & Liang's :math:`I_{pert,loss}`, of a sum in place of their mean: a small move of
        training row i by dx changes the target at test row t by the inner product of dx with entry
        (t, i). With a `displacement` it is the finite effect of that move.

        With :math:`s_t = H^{-1} \nabla_\theta f_t` and a model that is linear in its features, the
        gradient is :math:`-(W_i \langle s_t, z_i \rangle \theta + g_i s_t)`; of a kernel machine
        with the functions :math:`f` and :math:`s_t` of the kernel's space,
        :math:`-(W_i s_t(x_i) \nabla f(x_i) + g_i \nabla s_t(x_i))`. The settings that fit computes
        from the rows, such as gamma="scale", are held fixed.

        Parameters
        ----------
        X_test, y_test, target, aggregate, test_sample_weight, curvature, damping, progress
            As in :meth:`influence`. Without a displacement the target needs a derivative.
        displacement : array-like or sparse matrix of shape (r, p) or (p,), or dict, optional
            Moves of the r training rows asked about, each alone; or the same for each. A dict or a
            data frame has them by the names of columns, (r,) or a number each: other columns stay.
            Columns of a data frame that hold no numbers do not move; its index should be that of
            the rows of fit. One of 0, 1, ... is none, unless fit has seen these in another order.
        features : {"model", "input"}, default="model"
            Of which features the gradients and displacements are: of the model itself, for a
            Pipeline its last step; or of X as the first step is given it. "input" needs steps that
            are linear (scalers, PCA, feature selection, ColumnTransformer of these) or offer
            `input_vjp(X, cotangent)`, which returns the product of the cotangent (n, p_out) with
            the step's derivative at X, (n, p_in).
        X_train : {array-like, sparse matrix, data frame} of shape (n_train, n_features), optional
            The rows of fit before the first step: needed for features="input" with a displacement,
            or with a step that is not linear, since no more than its output is kept.
        method : {"auto", "first_order", "newton", "exact"}, default="auto"
            Of a displacement, as in :meth:`relabel_influence`: a move is a large change as well. A
            gradient is "first_order", or "auto".
        train_indices : array-like of int or bool mask, optional
            Training rows to move, one at a time; all by default.
        as_frame : bool, default=False
            Return a pandas DataFrame: of gradients one line for each test row and training row, the
            levels "test" and "train" of its index, with the features as columns.
        return_info : bool, default=False
            As in :meth:`influence`, for a displacement.

        Returns
        -------
        ndarray of shape (n_test, r, p)
            Gradients, without the first axis for an `aggregate`. With a displacement (n_test, r),
            after the move minus before: for a loss, positive: it hurts. A class axis of the target
            is last.

        Raises
        ------
        ValueError
            As :meth:`influence`; also for a displacement of the wrong shape, and X_train that are
            not the rows of fit.
        NotImplementedError
            With a precomputed kernel; for gradients also with a callable one, or a kernel whose
            gradient is not known; for features="input" with a step that stops the gradient.
        numpy.linalg.LinAlgError, RuntimeError
            As :meth:`influence`.
        MemoryError
            If there is no room for the gradients.

        References
        ----------
        Koh & Liang, Understanding black-box predictions via influence functions, ICML 2017.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skinfluence import InfluenceLogisticRegression
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = InfluenceLogisticRegression().fit(X, y)
        >>> clf.feature_influence(X[:3], y[:3]).shape
        (3, 150, 4)
        >>> clf.feature_influence(X[:3], y[:3], displacement=[0.1, 0, 0, 0]).shape
        (3, 150)
        """
        check_aggregate(aggregate, test_sample_weight)
        check_choice("features", features, ("model", "input"))
        problem = self.__fitted_problem__()
        options = {"curvature": curvature, "damping": problem.check_method(method, damping)}
        rows = as_index(train_indices, problem.objective.n_rows)
        form = Answer(problem, as_frame, return_info)
        asked = (X_test, y_test, target, aggregate, test_sample_weight)
        if displacement is None:
            _check_gradient(method, return_info)
            back = _pullback(self, problem, rows, X_train) if features == "input" else None
            values, n_outputs = _gradients(problem, asked, rows, progress, **options)
            values = _in_order(values if back is None else back(values), aggregate)
            of_input = features == "input"
            names = _names(self, values.shape[-2]) if of_input else problem.feature_names
            if as_frame:
                return _frame(form, values, X_test, rows, names, n_outputs)
            return values[..., 0] if n_outputs == 1 else values
        moved = _moved(self, problem, rows, displacement, features, X_train)
        values, deletion, n_outputs = _moves(
            problem, asked, rows, moved, method, progress=progress, **options
        )
        return form.of(
            values,
            deletion,
            method,
            test=X_test,
            aggregate=aggregate,
            n_outputs=n_outputs,
            name="feature_influence",
            names=problem.row_names[rows],
        )


def _check_gradient(method, return_info):
    """Raise for arguments that a gradient does not have."""
    if method not in ("auto", "first_order"):
        raise ValueError(
            f"method={method!r} has no meaning for gradients, which are of first order. Pass a "
            "displacement, or leave method at 'auto'."
        )
    if return_info:
        raise ValueError(
            "return_info has no meaning for gradients, which no refit has. Pass a displacement."
        )


def _gradients(problem, asked, rows, progress, *, curvature, damping):
    """Gradients of a target in the features of the model, (O, n_test, r, p), and O."""
    X_test, y_test, target, aggregate, weight = asked
    problem.check_data()
    query = problem.query(X_test, y_test, target, "first_order", weight)
    outputs, n_test = query.target.n_outputs, 1 if aggregate is not None else len(query)
    objective, space = problem.objective, problem.record.data.space
    made = problem.curvature(curvature, damping, n_test * outputs * objective.n_outputs)
    if space is None:
        reader = LinearGradients(objective, made, objective.design.n_features)
    else:
        what_if.features_of(problem, rows[:0])  # a precomputed kernel has none
        reader = KernelMachineGradients(objective, made, space, problem.transform(X_test))
    values = reader.of(query, rows, aggregate, progress)
    return values.reshape(outputs, n_test, *values.shape[1:]), outputs


def _moves(problem, asked, rows, moved, method, *, progress, **options):
    """Effects (n_test, r) of rows that move to other features, their Deletion, and O."""
    X_test, y_test, target, aggregate, test_weight = asked
    problem.check_data()
    n, y = problem.objective.n_rows, problem.objective.y[rows]
    wide = what_if.with_features(problem, moved, y)
    weight = problem.objective.sample_weight[rows]
    entering = Entering(np.arange(n, n + len(rows)), y, weight)
    query = wide.query(X_test, y_test, target, method, test_weight)
    options |= {"what": "move of row", "n_test": len(query), "progress": progress}
    deletion = what_if.row_changes(wide, rows, entering, method, **options)
    values = attribution.influence(
        deletion, query, aggregate, linearised=method == "first_order", progress=progress
    )
    return values, deletion, query.target.n_outputs


def _in_order(values, aggregate):
    """Gradients (n_test, r, p, O) of (O, n_test, r, p), without the first axis for an aggregate."""
    values = np.ascontiguousarray(values.transpose(1, 2, 3, 0))
    return values if aggregate is None else values[0]


def _frame(form, values, X_test, rows, names, n_outputs):
    """Frame of gradients, one line for each test row and training row."""
    lines = form.problem.row_names[rows]
    if values.ndim == 4:
        test = row_names(X_test)
        test = range(len(values)) if test is None else test
        lines = Pairs(test, lines, ("test", "train"))
    classes = _classes(form.problem, n_outputs)
    return named_frame(values, lines, names, classes, level="feature")


def _names(model, n_features):
    """Names of the features that a model has seen, else x0, x1, ..."""
    names = getattr(model, "feature_names_in_", None)
    return [f"x{j}" for j in range(n_features)] if names is None else list(names)


def _classes(problem, n_outputs):
    """Names of a target's class axis; None where it has none."""
    if n_outputs == 1:
        return None
    classes = problem.classes
    return range(n_outputs) if classes is None or len(classes) != n_outputs else list(classes)


def _pullback(model, problem, rows, X_train):
    """The way of gradients back to the features of the first step."""
    X = None if X_train is None else _input_rows(problem, rows, X_train)
    return InputGradients(model.__input_steps__(), getattr(model, "n_features_in_", None), X)


def _check_moves(problem, rows, displacement):
    """Raise where moves by name are of other training rows than those asked about."""
    if getattr(displacement, "columns", None) is not None:
        problem.check_row_names(displacement, "displacement", rows)
    elif isinstance(displacement, dict):
        for name, moves in displacement.items():
            problem.check_row_names(moves, f"displacement[{name!r}]", rows)


def _moved(model, problem, rows, displacement, features, X_train):
    """Features of the model of rows that are displaced in the features that are asked for."""
    _check_moves(problem, rows, displacement)
    if features == "model" or problem.transform is None:
        own = what_if.features_of(problem, rows)
        moves = named_moves(displacement, problem.all_feature_names, len(rows))
        return moved_rows(own, moves)
    if X_train is None:
        raise ValueError(
            "X_train is None, but a displacement with features='input' needs the rows of fit "
            "before the first step, of which no more than the transformed ones are kept."
        )
    X = _input_rows(problem, rows, X_train)
    is_frame = hasattr(X, "iloc")
    names = list(X.columns) if is_frame else _names(model, X.shape[1])
    displacement = named_moves(displacement, names, len(rows))
    if not is_frame:
        return problem.transform(moved_rows(X, displacement))
    movable = MovableRows(X, "X_train")
    moved = moved_rows(movable.values, displacement)
    stuck = ~movable.is_number & (moved != movable.values).any(axis=0)
    if stuck.any():
        raise ValueError(
            f"displacement moves the columns {[names[j] for j in np.flatnonzero(stuck)]}, which "
            "hold no numbers. Leave them at 0, or name the columns that move in a dict."
        )
    return problem.transform(movable.like_table(moved))


def _input_rows(problem, rows, X_train):
    """Rows of X_train, as a caller has them; raise where they do not lead to those of fit."""
    n = problem.objective.n_rows
    size = X_train.shape[0] if hasattr(X_train, "shape") else len(X_train)
    if size != n:
        raise ValueError(f"X_train should have the {n} rows of fit; got {size}.")
    X = X_train.iloc[rows] if hasattr(X_train, "iloc") else X_train
    X = np.asarray(X) if isinstance(X, list) else X
    X = X if hasattr(X_train, "iloc") else X[rows]
    here, there = problem.transform(X), what_if.features_of(problem, rows)
    if here.shape != there.shape or abs(here - there).max() > 1e-8 * (1 + abs(there).max()):
        raise ValueError(
            "X_train are not the rows of fit: the steps before the model do not send them to the "
            "rows that it keeps."
        )
    return X
