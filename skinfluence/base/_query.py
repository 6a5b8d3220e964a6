"""How an estimator is asked: its fitted problem, and the form of the answers."""

import copy

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skinfluence._frames import named_frame, row_names, without_columns
from skinfluence._sources import check_in_memory
from skinfluence._validation import warn
from skinfluence._version import __version__
from skinfluence.adapters import WITHOUT_ROWS
from skinfluence.problem import FittedProblem, OptimumRecord


class QueryMixin:
    """An estimator with a fitted problem.

    A class that uses it defines `__optimum_record__` and `__design_rows__`; where another object
    than itself was adapted, also `__adapted_model__`. Other rooms ask `__fitted_problem__` alone,
    through :func:`skinfluence.problem.fitted_problem`.
    """

    # -- what a class has to define ----------------------------------------------------------------

    def __optimum_record__(self) -> OptimumRecord:
        """Return what the fit recorded; raise where there is no objective for it."""
        raise NotImplementedError

    def __design_rows__(self, X):
        """Return the rows of a caller's X, validated, in the features of the model."""
        raise NotImplementedError

    def __adapted_model__(self):
        """Return the estimator whose parameters define the objective."""
        return self

    def __input_steps__(self):
        """Return the fitted steps that a caller's X goes through before it reaches the model."""
        return []

    def __scored_rows__(self):
        """Return the training rows of the model for a scorer, with their names where fit saw any.

        Rows of no columns where they are not kept: of kernel machines, and before the steps of a
        Pipeline.
        """
        problem = self.__fitted_problem__()
        data = problem.record.data
        if data.X is None:
            return without_columns(data.row_names)
        if data.row_names is None or not isinstance(data.X, np.ndarray):
            return data.X
        return named_frame(data.X, data.row_names, problem.all_feature_names)

    def __design_names__(self):
        """Return the names of the features of the model where it does not know them; else None."""
        return None

    def __array_model__(self):
        """Return what answers for a fit on arrays of another library than NumPy, or None."""
        return None

    # -- what it gains -----------------------------------------------------------------------------

    def __fitted_problem__(self) -> FittedProblem:
        """Return the model as an objective at its optimum, kept until its parameters change."""
        record, model = self.__optimum_record__(), self.__adapted_model__()
        if record.data.is_empty:
            raise NotImplementedError(
                f"this {type(model).__name__} is a copy made by without_training_data(): it "
                "predicts, and knows no training rows to speak of. Ask the model that was fitted, "
                "or pass the rows to InfluenceExplainer(FrozenEstimator(model)).fit(X, y)."
            )
        problem = self.__dict__.get("_problem_cache")
        if problem is None or not problem.is_of(model, record):
            problem = FittedProblem.of(model, record)
            self.__dict__["_problem_cache"] = problem
        return problem.asked_by(self.__design_rows__, self.__design_names__)

    def __read_problem__(self, method, curvature="auto"):
        """Return the fitted problem; of rows in blocks with their predictors and leverages."""
        problem = self.__fitted_problem__()
        known = problem.with_row_values(method, curvature)
        if known is not problem:
            self.__keep_problem__(known)
        return known

    def __keep_problem__(self, problem):
        """Keep a fitted problem of this model in place of its own: more is known of its rows."""
        self.__dict__["_problem_cache"] = problem

    def without_training_data(self):
        """Copy the model without its training rows: it predicts, and has no influence methods.

        A fitted model keeps the rows, labels and weights of its fit, and so do its pickles. The
        copy has the parameters alone, and can be handed on. Its influence methods raise, until the
        rows are passed again, to ``InfluenceExplainer(FrozenEstimator(model)).fit(X, y)``. Steps of
        a Pipeline before the last are copied as they are: some transformers keep rows of their own
        (imputers by neighbours, Nystroem).

        Returns
        -------
        estimator
            A deep copy but for the training data.

        Raises
        ------
        NotImplementedError
            For kernel machines, which predict from their training rows.

        Examples
        --------
        >>> import pickle
        >>> from sklearn.datasets import load_breast_cancer
        >>> from skinfluence import InfluenceRidge
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> model = InfluenceRidge().fit(X, y)
        >>> small = model.without_training_data()
        >>> len(pickle.dumps(model)) > X.nbytes, len(pickle.dumps(small)) < 3000
        (True, True)
        """
        check_is_fitted(self)
        model = self.__adapted_model__()
        keeps = ("X_fit_", "support_vectors_", "_original")
        if any(getattr(model, name, None) is not None for name in keeps):
            raise NotImplementedError(
                f"this {type(model).__name__} predicts from its training rows: there is no copy "
                "without them."
            )
        return copy.deepcopy(self, {WITHOUT_ROWS: True})

    def _begin_fit(self, X, y, sample_weight):
        """Raise for data that are not in memory; drop the problem of an earlier fit."""
        check_in_memory(X=X, y=y, sample_weight=sample_weight)
        for name in ("_problem_cache", "_changed_fit", "removal_certificate_"):
            self.__dict__.pop(name, None)

    # -- pickling ----------------------------------------------------------------------------------

    def __getstate__(self):
        """Leave the cache behind, and say which version wrote the pickle."""
        state = dict(super().__getstate__())
        for name in ("_problem_cache", "_changed_fit"):
            state.pop(name, None)
        state["_skinfluence_version"] = __version__
        return state

    def __setstate__(self, state):
        """Warn where another version wrote the pickle."""
        state = dict(state)
        version = state.pop("_skinfluence_version", __version__)
        if version != __version__:
            warn(
                f"this {type(self).__name__} was pickled by skinfluence {version} and is read by "
                f"{__version__}: its numbers may differ. Fit it again to be sure.",
                UserWarning,
            )
        super().__setstate__(state)


class Answer:
    """The form that a caller wants an array in.

    Parameters
    ----------
    problem : FittedProblem
    as_frame : bool
        A pandas DataFrame with the names of rows and columns instead of an ndarray.
    return_info : bool
        A pair with the StepInfo of the deletions.
    """

    def __init__(self, problem, as_frame, return_info):
        self.problem, self.as_frame, self.return_info = problem, as_frame, return_info

    def of(self, values, deletion, method, *, names, **form):
        """Return an array (m, r) or (r,), or with a class axis last, in the wanted form.

        Parameters
        ----------
        values : ndarray
        deletion : Deletion
        method : str
        names : ndarray of shape (r,)
            Of the deletions.
        **form
            As in :meth:`frame`.
        """
        if self.as_frame:
            values = self.frame(values, names=names, **form)
        if not self.return_info:
            return values
        return values, self.problem.step_info(deletion, method, names)

    def of_rows(self, values, name):
        """Return an array (n,) or (n, O) about every training row in the wanted form."""
        if not self.as_frame:
            return values
        n_outputs = values.shape[1] if values.ndim > 1 else 1
        return self.frame(values, n_outputs=n_outputs, name=name, names=self.problem.row_names)

    def frame(self, values, *, test=None, aggregate=None, n_outputs=1, name, names, level="train"):
        """DataFrame of the values.

        Parameters
        ----------
        values : ndarray
        test : array-like, optional
            The caller's X_test, where the first axis are its rows.
        aggregate : str or None
            Whether that axis is gone.
        n_outputs : int
            Of the target: more than 1 where there is a class axis.
        name : str
            Of the column of an array (r,).
        names : ndarray of shape (r,) or Pairs
            Of the deletions or changes.
        level : str
            What these are.
        """
        classes = None
        if n_outputs > 1:
            classes = self.problem.classes
            if classes is None or len(classes) != n_outputs:
                classes = range(n_outputs)
        if test is None or aggregate is not None:
            return named_frame(values, names, classes=classes, name=name)
        rows = row_names(test)
        rows = range(len(values)) if rows is None else rows
        return named_frame(values, rows, names, classes, level=level)
