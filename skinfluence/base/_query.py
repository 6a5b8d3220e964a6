"""How a question is put to a fitted model: checks, caches, test rows, deletions."""

import warnings

from skinfluence._validation import METHODS, as_index, check_choice, check_damping
from skinfluence._version import __version__
from skinfluence.attribution import Query
from skinfluence.base._explained import FittedProblem
from skinfluence.curvature import KINDS
from skinfluence.deletion import (
    delete,
    dominant_rows,
    needs_curvature,
    warn_dominant,
    warn_undefined,
)
from skinfluence.deletion.targets import resolve_target


class QueryMixin:
    """What the influence methods share.

    A class that uses it says where its Explanation comes from (`_explain`) and how a test matrix is
    checked (`_test_array`).
    """

    # -- what a class has to say -------------------------------------------------------------------

    def _explain(self, cached) -> FittedProblem:
        """Return the model as an objective at its optimum; `cached` is what this returned last."""
        raise NotImplementedError

    def _test_array(self, X):
        """Return a validated test matrix in the columns of the training design."""
        raise NotImplementedError

    # -- how a question is put ---------------------------------------------------------------------

    def _prepare_query(
        self, X_test, y_test, target, method, train_indices, curvature, damping, progress
    ):
        """Check everything a caller passed, and return (test side, deletion, linearised)."""
        explained, target, linearised = self._validate_query(target, method, damping)
        required = f"target={target.name!r}" if target.needs_labels else None
        design, labels, encoded = self._test_rows(explained, X_test, y_test, required)
        y = encoded if target.uses_encoded_labels else labels
        eta = design @ explained.objective.theta.T
        n_test = design.shape[0]
        deletion = self._delete(
            explained, method, train_indices, curvature, damping, progress, n_test=n_test
        )
        return Query(design, y, eta, target), deletion, linearised

    def _validate_query(self, target, method, damping):
        """Check what needs no data; return the model, the target, whether it is linearised."""
        check_choice("method", method, METHODS)
        if check_damping(damping) > 0 and method == "exact":
            raise ValueError(
                "damping has no meaning with method='exact', which refits the model itself; "
                f"got damping={damping!r}. Leave it at 0, or use method='newton'."
            )
        explained = self._explained()
        target = resolve_target(target, explained.adapted.link)
        linearised = method == "first_order"
        if linearised and not target.is_differentiable:
            raise ValueError(
                f"target={target.name!r} has no derivative that method='first_order' could use: "
                "use method='newton'."
            )
        return explained, target, linearised

    def _explained(self):
        """Return the model at its optimum, from the cache if nothing has changed."""
        self.__dict__["_explained_cache"] = self._explain(self.__dict__.get("_explained_cache"))
        return self.__dict__["_explained_cache"]

    def _with_curvature(self, explained, kind, damping, n_solves, method=None):
        """Return the same with a curvature, kept for the next question."""
        explained = explained.with_curvature(kind, damping, n_solves, method=method)
        self.__dict__["_explained_cache"] = explained
        return explained

    def _delete(
        self,
        explained,
        method,
        train_indices,
        curvature,
        damping,
        progress,
        *,
        n_test=0,
        own=False,
    ):
        """Return the deletions asked for; their curvature is kept for the next question."""
        check_choice("curvature", curvature, ("auto", *KINDS))
        objective = explained.objective
        rows = as_index(train_indices, objective.n_rows)
        n_solves = n_test * objective.n_outputs
        if own or method != "first_order":
            n_solves += len(rows) * objective.n_outputs
        if needs_curvature(objective, method):
            explained = self._with_curvature(explained, curvature, float(damping), n_solves, method)
        deletion = delete(objective, explained.curvature, method, rows, progress=progress)
        warn_undefined(rows[deletion.undefined])
        if method == "newton" and objective.loss.has_dominant_rows:
            warn_dominant(dominant_rows(objective, rows, deletion.row_leverages))
        return deletion

    def _test_rows(self, explained, X_test, y_test, required):
        """Return the test design, and labels as passed and as the loss encodes them."""
        design = explained.objective.design.like(self._test_array(X_test))
        if y_test is None:
            if required is not None:
                raise ValueError(
                    f"y_test is None, but {required} needs the labels of the test rows."
                )
            return design, None, None
        encoded = explained.adapted.encode(y_test, "y_test")
        if len(encoded) != design.shape[0]:
            raise ValueError(
                "Found input variables with inconsistent numbers of samples: X_test has "
                f"{design.shape[0]} rows, y_test {len(encoded)}."
            )
        return design, explained.adapted.labels(encoded), encoded

    def _column_names(self, model, design):
        """Names of the design's columns, the intercept's last."""
        names = getattr(model, "feature_names_in_", None)
        names = [f"x{j}" for j in range(design.n_features)] if names is None else list(names)
        return [*names, "const"] if design.fit_intercept else names

    # -- pickling ----------------------------------------------------------------------------------

    def __getstate__(self):
        """Leave caches behind, and say which version wrote the pickle."""
        state = dict(super().__getstate__())
        state.pop("_explained_cache", None)
        state["_skinfluence_version"] = __version__
        return state

    def __setstate__(self, state):
        """Warn where another version wrote the pickle."""
        state = dict(state)
        version = state.pop("_skinfluence_version", __version__)
        if version != __version__:
            warnings.warn(
                f"this {type(self).__name__} was pickled by skinfluence {version} and is read by "
                f"{__version__}: its numbers may differ. Fit it again to be sure.",
                UserWarning,
                stacklevel=2,
            )
        super().__setstate__(state)
