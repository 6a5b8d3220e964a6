"""Questions about very many rows, which are answered part by part."""

import numpy as np

from skinfluence._validation import as_index
from skinfluence.curvature import KINDS
from skinfluence.deletion import has_closed_form
from skinfluence.problem._by_parts import goes_by_parts, has_many_rows, self_influence_by_parts
from skinfluence.problem.one_pass import (
    LargestInfluences,
    OwnPrediction,
    RowValues,
    TestInfluence,
    read_in_one_pass,
)
from skinfluence.problem.stored import check_out, stored_influence

STEPS = ("first_order", "newton")


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
        check_out(out, self, X_test, y_test)
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

    def influence_by_parts(self, query, aggregate, method, **how):
        """Influence of every row of blocks on test rows, by one pass; None where not so.

        Parameters
        ----------
        query : Query
        aggregate : {None, "sum", "mean"}
        method, **how
            As in `deletion`: curvature, damping and progress.
        """
        reader = self._read_by_parts(
            lambda: TestInfluence(self, method, query, aggregate), method, **how
        )
        return None if reader is None else reader.result

    def largest_by_parts(self, query, k, method, **how):
        """(What `influence_topk` returns, StepInfo) of every row of blocks; None where not so."""
        reader = self._read_by_parts(
            lambda: LargestInfluences(self, method, query, k), method, **how
        )
        return None if reader is None else (reader.result, reader.info)

    def predictions_by_parts(self, method, curvature="auto", progress=None):
        """LooPredictions of every row of very many by one pass; None where not so.

        Not so where a pass over blocks has found before what they are made of.
        """
        if self.record.data.is_in_blocks and self.objective.is_evaluated:
            return None
        how = {"curvature": curvature, "progress": progress, "in_memory": True}
        reader = self._read_by_parts(lambda: OwnPrediction(self, method, curvature), method, **how)
        return None if reader is None else reader.result

    def _read_by_parts(
        self, make, method, *, curvature="auto", damping=0.0, progress=None, in_memory=False
    ):
        """A reader that has read one step of every row of blocks; None where not so.

        Also of very many rows `in_memory`, if asked.
        """
        damping = self.check_method(method, damping)
        made = self._curvature_of_parts(method, curvature, damping, in_memory)
        if made is None:
            return None
        reader = make()
        read_in_one_pass(self, method, made, [reader], progress)
        return reader

    def refits_in_batches(self, method, curvature):
        """Whether leave-one-out is by refits of batches of the rows of blocks."""
        if method != "exact" or not self.record.data.is_in_blocks:
            return False
        return not has_closed_form(self.objective, curvature, np.arange(self.objective.n_rows))

    def with_row_values(self, method, curvature="auto"):
        """Return the problem with predictors and leverages of all rows, read by one pass.

        The problem itself where the rows are not in blocks, or have been read before.
        """
        if self.objective.is_evaluated:
            return self
        made = self._curvature_of_parts(method, curvature)
        if made is None:
            return self
        self.check_data()
        values = RowValues(self, made)
        read_in_one_pass(self, method, made, [values], warns=False)
        return values.result

    def _curvature_of_parts(self, method, kind, damping=0.0, in_memory=False):
        """Curvature for one step of every row in blocks, part by part; None where not so."""
        known = method in STEPS and kind in ("auto", *KINDS)
        many = has_many_rows(self) if in_memory else self.record.data.is_in_blocks
        if not (known and many):
            return None
        n_solves = self.objective.n_rows * self.objective.n_outputs
        made = self.deletion_curvature(method, kind, damping, n_solves)
        return made if made is not None and goes_by_parts(self, method, made) else None
