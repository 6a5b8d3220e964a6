"""Leave-one-out estimates and the influence of groups."""

from skinfluence import attribution
from skinfluence._parallel import check_progress
from skinfluence._validation import (
    METHODS,
    check_aggregate,
    check_choice,
    check_tolerance,
    group_names,
)
from skinfluence.base._query import Answer, QueryMixin
from skinfluence.problem import refuse_stored


class LeaveOneOutMixin(QueryMixin):
    """What the model would say of each training row, had it never seen it."""

    def loo_estimate(
        self,
        *,
        method="auto",
        scoring=None,
        groups=None,
        tol=1e-8,
        curvature="auto",
        progress=None,
        checkpoint=None,
    ):
        """Predict each training row by the model fitted without it, from this one fit.

        Parameters
        ----------
        method : {"auto", "exact", "newton", "first_order"}, default="auto"
            "exact" refits without every row, to `tol`; "newton" (approximate leave-one-out, ALO)
            and "first_order" take one step each, O(n p^2) in all. "auto" takes Newton steps and
            refits the rows of largest estimated error, as many as a tenth of a second and a
            multiple of the Newton steps' own cost allow: for few rows all of them.
        scoring : str or callable, optional
            Scorer of the pooled leave-one-out predictions; by default the estimator's own score:
            accuracy, r2 of regressors, D2 (the share of the deviance) of generalised linear models.
            A callable `scorer(estimator, X, y)` is handed the training rows, with the names that
            fit has seen; rows of no columns where they are not kept as they were passed to fit, in
            Pipelines and for kernels, under their index: ``table.loc[X.index]``. Its estimator
            predicts X and rows of X, in any order, raises for others, and has no coefficients. A
            scorer that takes `sample_weight` is handed the weights of the fit; any other counts all
            rows of positive weight alike.
        groups : array-like of shape (n_train,), optional
            Leave out the whole group of each row instead. "auto" then refits.
        tol : float, default=1e-8
            Of the coefficients of "exact", relative to max(1, their largest); of a regressor in
            units of the spread of y.
        curvature : {"auto", "dense", "dual", "cg", "stochastic"}, default="auto"
            As in :meth:`influence`; without `groups`. "stochastic", of one step and sparse X of
            more columns than rows, estimates the leverages from 512 random probes in place of a
            solve for each row: their standard error is part of `error_estimate`, and no error is
            certified. "auto" never takes it.
        progress : callable, optional
            Wraps the iteration over blocks, such as `tqdm.auto.tqdm`.
        checkpoint : str or Path, optional
            A folder for finished blocks of refits, for method="exact" without groups. The same
            call goes on after an end in between, to the same numbers to the last bit.

        Returns
        -------
        LeaveOneOutEstimate
            Predictions, losses, leverages and errors of each row; mean loss, standard error, score.

        Raises
        ------
        ValueError
            For an unknown method, a bad `tol`, or groups of the wrong length.
        numpy.linalg.LinAlgError
            If the Hessian is singular, or the data are separable and nothing is penalised.
        RuntimeError
            If the training data have changed since the fit.

        References
        ----------
        Rad & Maleki, A scalable estimate of the out-of-sample prediction error via approximate
        leave-one-out cross-validation, JRSS B 82, 2020.

        Examples
        --------
        >>> from sklearn.datasets import load_breast_cancer
        >>> from sklearn.preprocessing import scale
        >>> from skinfluence import InfluenceLogisticRegression
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> loo = InfluenceLogisticRegression().fit(scale(X), y).loo_estimate()
        >>> print(f"{loo.mean_loss:.4f} {loo.train_loss:.4f} {loo.score:.4f}")
        0.0757 0.0534 0.9789
        """
        array_model = self.__array_model__()
        if array_model is not None:
            refuse_stored(checkpoint=checkpoint)
            settings = {"groups": groups, "tol": tol, "curvature": curvature, "progress": progress}
            return array_model.loo_estimate(method=method, scoring=scoring, **settings)
        check_choice("method", method, METHODS)
        check_tolerance(tol)
        check_progress(progress)
        if checkpoint is not None and (method != "exact" or groups is not None):
            raise ValueError(
                "checkpoint= is for method='exact' without groups: other methods take about as "
                "long as reading what they found."
            )
        problem = self.__fitted_problem__()
        if groups is None:
            loo = problem.predictions_by_parts(method, curvature, progress)
            if loo is None:
                options = {"tolerance": tol, "progress": progress, "checkpoint": checkpoint}
                loo = problem.leave_one_out(method, curvature=curvature, **options)
        else:
            check_choice("curvature", curvature, ("auto",))
            method = "exact" if method == "auto" else method
            loo = problem.leave_group_out(groups, method, progress=progress)
        rows = self.__scored_rows__() if callable(scoring) else None  # a name looks at no rows
        return problem.estimate(loo, scoring, rows)

    def group_influence(
        self,
        groups,
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
        """Change of a target at each test row if a whole group of training rows were removed.

        "first_order" adds the influences of the rows, and falls short of the effect of a group that
        pulls one way; "newton" takes the joint step; "exact" refits; "auto" refits the groups with
        the longest joint steps while its budget of some seconds lasts.

        Parameters
        ----------
        groups : array-like
            Labels of shape (n_train,), one group a value in sorted order; or a list of index
            arrays; or a dict of them, such as ``frame.groupby("city").indices``, in its own order;
            or a boolean matrix (n_groups, n_train). Labels and keys are the names of frames.
        X_test, y_test, target, method, aggregate, test_sample_weight, curvature, damping, progress
            As in :meth:`influence`.
        as_frame : bool, default=False
            As in :meth:`influence`.
        return_info : bool, default=False
            As in :meth:`influence`, for each group.

        Returns
        -------
        ndarray of shape (n_test, n_groups)
            After removal minus before; a class axis last where the target has one; without the
            first axis for an `aggregate`. Groups without a model after their removal are NaN.

        Raises
        ------
        ValueError, numpy.linalg.LinAlgError, RuntimeError
            As :meth:`influence`; ValueError also for groups of the wrong shape.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skinfluence import InfluenceLogisticRegression
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = InfluenceLogisticRegression().fit(X, y)
        >>> clf.group_influence([[0, 1, 2], [50, 51]], X[:4], y[:4]).shape
        (4, 2)
        """
        check_aggregate(aggregate, test_sample_weight)
        problem = self.__fitted_problem__()
        query = problem.query(X_test, y_test, target, method, test_sample_weight)
        deletion = problem.group_deletion(
            groups, method, curvature=curvature, damping=damping, progress=progress
        )
        values = attribution.influence(
            deletion, query, aggregate, linearised=method == "first_order"
        )
        return Answer(problem, as_frame, return_info).of(
            values,
            deletion,
            method,
            test=X_test,
            aggregate=aggregate,
            n_outputs=query.target.n_outputs,
            name="group_influence",
            names=group_names(groups),
            level="group",
        )
