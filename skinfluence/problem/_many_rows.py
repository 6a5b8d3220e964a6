"""Questions about very many rows, which are answered part by part."""

from skinfluence._validation import as_index
from skinfluence.problem._by_parts import goes_by_parts, has_many_rows, self_influence_by_parts
from skinfluence.problem.stored import stored_influence


class ManyRows:
    """What a FittedProblem is asked about more rows than a vector of them is kept of."""

    def stored_influence(
        self,
        X_test,
        y_test,
        *,
        target,
        method,
        rows,
        curvature,
        damping,
        out,
        checkpoint,
        progress,
    ):
        """Return the influence matrix found in blocks, into a file or through a folder."""
        damping = self.check_method(method, damping)
        query = self.query(X_test, y_test, target, method)
        rows = as_index(rows, self.objective.n_rows)
        if checkpoint is not None and not isinstance(target, str):
            raise ValueError("with checkpoint= a target should be named; got a function.")
        self.check_data(rows)
        n_solves = (len(query) + len(rows)) * self.objective.n_outputs
        made = self.deletion_curvature(method, curvature, damping, n_solves, len(rows))
        asked = {"question": "influence", "target": target, "damping": damping}
        asked["curvature"] = curvature
        options = {"out": out, "checkpoint": checkpoint, "asked": asked, "progress": progress}
        return stored_influence(self, query, method, rows, made, **options)

    def self_influence(self, target, method, *, curvature="auto", damping=0.0):
        """Influence of every row on itself by one step, part by part; None where not so."""
        damping = self.check_method(method, damping)
        if method not in ("first_order", "newton") or not has_many_rows(self):
            return None
        self.check_data()
        n_solves = self.objective.n_rows * self.objective.n_outputs
        made = self.deletion_curvature(method, curvature, damping, n_solves)
        if made is None or not goes_by_parts(self, method, made):
            return None
        return self_influence_by_parts(self, target, method, made)
