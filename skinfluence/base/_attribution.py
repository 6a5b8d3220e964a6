"""The influence of training rows on test rows, on themselves, on parameters and on scores."""

from skinfluence import attribution
from skinfluence._frames import row_names
from skinfluence._validation import check_aggregate, check_test_weight
from skinfluence.base._query import Answer, QueryMixin
from skinfluence.problem import check_stored, refuse_stored
from skinfluence.results import CurvatureReport, MostInfluential, ParameterInfluence


class AttributionMixin(QueryMixin):
    """Methods that say what a fitted model would be without some of its training rows.

    Everything here is after removal minus before.
    """

    def influence(
        self,
        X_test,
        y_test=None,
        *,
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
        out=None,
        checkpoint=None,
    ):
        """Change of a target at each test row if a training row were removed.

        The entry of test row t and training row i is
        ``f(y_t, eta_t(theta_-i)) - f(y_t, eta_t(theta))``, with ``theta_-i`` the optimum without
        row i, by one of

        - "auto": the closed form where there is one; else Newton's step, and the refit where that
          step is long, its estimated error large or the row's leverage above 1/2, within a counted
          budget, the longest steps first. `return_info` says which row got what;
        - "first_order": the influence function, f linearised (Koh & Liang 2017);
        - "newton": f at the Newton step, ``theta_-i ~ theta + (H - W_i z_i z_i')^-1 g_i z_i``;
        - "exact": f at the refit itself, solved to the accuracy of the fit.

        Parameters
        ----------
        X_test : {array-like, sparse matrix, data frame} of shape (n_test, n_features)
            Test rows.
        y_test : array-like of shape (n_test,), optional
            Their labels; not needed for the targets "decision_function", "predict_proba" and
            "prediction".
        target : str or callable, default="loss"
            What is measured at the test rows: "loss", "margin", "decision_function",
            "predict_proba", "hinge", "squared_hinge", "brier" or "zero_one"; of a regressor "loss",
            "prediction", "residual", "squared_error", "absolute_error", "pinball" or
            "poisson_deviance"; or a callable `f(y_true, decision) -> (n_test,)`, see
            :func:`skinfluence.make_target`.
        method : {"auto", "first_order", "newton", "exact"}, default="auto"
            How the model without the row is found. With `damping`, "auto" is "newton".
        aggregate : {None, "mean", "sum"}, default=None
            Over the test rows; the matrix is then never held.
        test_sample_weight : array-like of shape (n_test,), optional
            Non-negative weights of the test rows in their sum or mean, for an `aggregate`.
        train_indices : array-like of int or bool mask, optional
            Training rows to remove, one at a time; all by default.
        curvature : {"auto", "dense", "dual", "cg"}, default="auto"
            Representation of the Hessian; see :meth:`curvature`.
        damping : float, default=0.0
            Added to the diagonal of the Hessian. Not for method="exact", which has none. Of least
            squares with dependent columns it is added in the columns that determine the others, the
            first ones, and effects then depend on which these are.
        progress : callable, optional
            Wraps the iteration over blocks, such as `tqdm.auto.tqdm`.
        as_frame : bool, default=False
            Return a pandas DataFrame with the names of test rows and training rows.
        return_info : bool, default=False
            Return a pair with the :class:`StepInfo` of the deletions: method, estimated error and
            bound of each.
        out : str or Path, optional
            A .npy file for the matrix, which is found block by block and never held; the file
            appears when it is complete. Not with method="auto", whose budget is one for all rows;
            and not a file that the training rows or the test rows are read from.
        checkpoint : str or Path, optional
            A folder for finished blocks of training rows. The same call goes on after an end in
            between, with blocks that are the same to the last bit. Not with method="auto".

        Returns
        -------
        ndarray of shape (n_test, n_train)
            For a loss, positive: the row helps (the loss rises without it). For margins,
            probabilities and scores, positive: it hurts. With several outputs a class axis is last;
            with `aggregate` the first axis is gone; with `train_indices` there is one column each.
            With `out` a read-only map of the file.
            Rows without a model after their removal are NaN, with one warning.

        Raises
        ------
        ValueError
            For an unknown target, method or aggregate, labels never seen in training, missing
            labels, a matrix of the wrong width, non-finite values, or target="zero_one" with
            method="first_order".
        numpy.linalg.LinAlgError
            If the Hessian is singular, or the data are separable and nothing is penalised.
        RuntimeError
            If the training data have changed since the fit.

        References
        ----------
        Koh & Liang, Understanding black-box predictions via influence functions, ICML 2017.
        Pregibon, Logistic regression diagnostics, Annals of Statistics 9, 1981.
        Rad & Maleki, A scalable estimate of the out-of-sample prediction error via approximate
        leave-one-out cross-validation, JRSS B 82, 2020.

        Examples
        --------
        >>> from sklearn.datasets import load_breast_cancer
        >>> from sklearn.preprocessing import scale
        >>> from skinfluence import InfluenceLogisticRegression
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> X = scale(X)
        >>> clf = InfluenceLogisticRegression().fit(X[:400], y[:400])
        >>> clf.influence(X[400:], y[400:]).shape
        (169, 400)
        """
        options = {"target": target, "method": method, "rows": train_indices}
        options |= {"curvature": curvature, "damping": damping, "progress": progress}
        forms = {"aggregate": aggregate, "as_frame": as_frame, "return_info": return_info}
        array_model = self.__array_model__()
        if array_model is not None:
            refuse_stored(out=out, checkpoint=checkpoint)
            options["weight"] = test_sample_weight
            return array_model.influence(X_test, y_test, **forms, **options)
        check_aggregate(aggregate, test_sample_weight)
        problem = self.__fitted_problem__()
        if out is not None or checkpoint is not None:
            check_stored(method, out, checkpoint, **forms)
            options |= {"out": out, "checkpoint": checkpoint}
            return problem.stored_influence(X_test, y_test, **options)
        problem.check_method(method, damping)
        query = problem.query(X_test, y_test, target, method, test_sample_weight)
        how = {"curvature": curvature, "damping": damping, "progress": progress}
        values = deletion = None
        if train_indices is None and not return_info:
            values = problem.influence_by_parts(query, aggregate, method, **how)
        if values is None:
            deletion = problem.deletion(method, train_indices, n_test=len(query), **how)
            first = method == "first_order"
            values = attribution.influence(
                deletion, query, aggregate, linearised=first, progress=progress
            )
        names = problem.row_names if deletion is None else problem.row_names[deletion.rows]
        forms = {"aggregate": aggregate, "n_outputs": query.target.n_outputs, "names": names}
        form = Answer(problem, as_frame, return_info)
        return form.of(values, deletion, method, test=X_test, name="influence", **forms)

    def most_influential(
        self,
        X_test,
        y_test=None,
        *,
        k=10,
        target="loss",
        method="auto",
        train_indices=None,
        curvature="auto",
        damping=0.0,
        progress=None,
    ):
        """Return the k most helpful and the k most harmful training rows of each test row.

        A row is helpful if its removal makes the target worse: raises a loss, lowers a margin.
        Targets that need no labels count up as better. The influence matrix is never held. "auto"
        and "exact" refit only the rows that may be among these: those of the largest influence by
        Newton steps, and those whose step is unreliable. "exact" goes on until every row that it
        returns is a refit; `info` says which rows were refitted. These are not the rows that
        :meth:`influence` refits, which knows of no test row that matters more: there "auto" spends
        its budget on the longest steps. Where both refit a row, or neither does, the values are
        equal.

        Parameters
        ----------
        X_test, y_test, target, method, train_indices, curvature, damping, progress
            As in :meth:`influence`.
        k : int, default=10
            Rows of each kind, at most the number of training rows asked about.

        Returns
        -------
        MostInfluential
            `helpful_indices`, `helpful_values`, `harmful_indices`, `harmful_values`, each
            (n_test, k), a class axis last where the target has one; `to_frame()`.

        Raises
        ------
        ValueError, numpy.linalg.LinAlgError, RuntimeError
            As :meth:`influence`; ValueError also for a `k` out of range.

        Examples
        --------
        >>> from sklearn.datasets import load_breast_cancer
        >>> from sklearn.preprocessing import scale
        >>> from skinfluence import InfluenceLogisticRegression
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> X = scale(X)
        >>> clf = InfluenceLogisticRegression().fit(X[:400], y[:400])
        >>> clf.most_influential(X[400:402], y[400:402], k=3).helpful_indices.shape
        (2, 3)
        """
        array_model = self.__array_model__()
        if array_model is not None:
            return array_model.most_influential(
                X_test,
                y_test,
                k=k,
                target=target,
                method=method,
                train_indices=train_indices,
                curvature=curvature,
                damping=damping,
                progress=progress,
            )
        problem = self.__fitted_problem__()
        query = problem.query(X_test, y_test, target, method)
        options = {"curvature": curvature, "damping": damping, "progress": progress}
        found = None
        if train_indices is None:
            found = problem.largest_by_parts(query, k, method, **options)
        if found is None:
            extremes, deletion = problem.largest(query, k, method, train_indices, **options)
            found = extremes, problem.step_info(deletion, method, quick=True)
        return MostInfluential.of_extremes(
            found[0],
            query.target.greater_is_better,
            info=found[1],
            row_names=problem.row_names,
            test_names=row_names(X_test),
        )

    def self_influence(
        self,
        *,
        target="loss",
        method="auto",
        train_indices=None,
        curvature="auto",
        damping=0.0,
        progress=None,
        as_frame=False,
        return_info=False,
    ):
        """Change of each training row's own target on its removal.

        Large values of the loss are the rows that the others do not expect: mislabelled ones come
        first. The diagonal of `influence(X_train, y_train)` in O(n p^2).

        Parameters
        ----------
        target, method, train_indices, curvature, damping, progress, as_frame, return_info
            As in :meth:`influence`.

        Returns
        -------
        ndarray of shape (n_train,)
            Or one entry for each of `train_indices`; a class axis last where the target has one.

        Raises
        ------
        ValueError, numpy.linalg.LinAlgError, RuntimeError
            As :meth:`influence`.

        Examples
        --------
        >>> from sklearn.datasets import load_breast_cancer
        >>> from sklearn.preprocessing import scale
        >>> from skinfluence import InfluenceLogisticRegression
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> clf = InfluenceLogisticRegression().fit(scale(X), y)
        >>> int(clf.self_influence().argmax())
        213
        """
        array_model = self.__array_model__()
        if array_model is not None:
            return array_model.self_influence(
                target=target,
                method=method,
                train_indices=train_indices,
                curvature=curvature,
                damping=damping,
                progress=progress,
                as_frame=as_frame,
                return_info=return_info,
            )
        problem = self.__fitted_problem__()
        if train_indices is None and not return_info:
            values = problem.self_influence(target, method, curvature=curvature, damping=damping)
            if values is not None:
                return Answer(problem, as_frame, False).of_rows(values, "self_influence")
        query = problem.own_query(target, method, train_indices)
        deletion = problem.deletion(
            method,
            train_indices,
            own=True,
            curvature=curvature,
            damping=damping,
            progress=progress,
        )
        values = attribution.self_influence(deletion, query, linearised=method == "first_order")
        return Answer(problem, as_frame, return_info).of(
            values,
            deletion,
            method,
            n_outputs=query.target.n_outputs,
            name="self_influence",
            names=problem.row_names[deletion.rows],
        )

    def parameter_influence(
        self,
        *,
        method="auto",
        train_indices=None,
        curvature="auto",
        damping=0.0,
        progress=None,
    ):
        """Change of the coefficients and intercepts when each training row is removed.

        Parameters
        ----------
        method, train_indices, curvature, damping, progress
            As in :meth:`influence`.

        Returns
        -------
        ParameterInfluence
            `coef` ``(n_train, *coef_.shape)`` and `intercept` ``(n_train, *intercept_.shape)``,
            after removal minus before; `to_frame()`.

        Raises
        ------
        ValueError, numpy.linalg.LinAlgError, RuntimeError
            As :meth:`influence`.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skinfluence import InfluenceLogisticRegression
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = InfluenceLogisticRegression().fit(X, y)
        >>> clf.parameter_influence().coef.shape
        (150, 3, 4)
        """
        problem = self.__fitted_problem__()
        deletion = problem.deletion(
            method,
            train_indices,
            own=True,
            curvature=curvature,
            damping=damping,
            progress=progress,
        )
        return ParameterInfluence(
            *problem.parameter_changes(deletion),
            info=problem.step_info(deletion, method, quick=True),
            row_names=problem.row_names[deletion.rows],
            feature_names=problem.feature_names,
        )

    def score_influence(
        self,
        X_test,
        y_test,
        *,
        scoring=None,
        test_sample_weight=None,
        method="auto",
        train_indices=None,
        curvature="auto",
        damping=0.0,
        progress=None,
        as_frame=False,
        return_info=False,
    ):
        """Change of a scikit-learn score on the test set when each training row is removed.

        The metric is evaluated at the predictions of every deleted model (for "first_order", at the
        first-order predictor); accuracy, neg_log_loss, neg_brier_score and roc_auc in array
        operations, any other by calling the scorer once a row.

        Parameters
        ----------
        X_test, y_test
            The test set.
        scoring : str or callable, optional
            Name of a scorer, or a callable `scorer(estimator, X, y)`. Its X is `X_test` as it was
            passed; the estimator predicts X and rows of X, in any order, and raises for others. It
            has no coefficients. By default the estimator's own score: accuracy, r2 for regressors,
            D2 (the share of the deviance) for generalised linear models.
        test_sample_weight : array-like of shape (n_test,), optional
            Non-negative weights of the test rows in the score. A callable is handed them as
            `sample_weight`.
        method, train_indices, curvature, damping, progress, as_frame, return_info
            As in :meth:`influence`.

        Returns
        -------
        ndarray of shape (n_train,)
            Positive: the score is better without the row.

        Raises
        ------
        ValueError, numpy.linalg.LinAlgError, RuntimeError
            As :meth:`influence`, and whatever the scorer raises; ValueError also for weights and a
            scorer that takes none.

        Examples
        --------
        >>> from sklearn.datasets import load_breast_cancer
        >>> from sklearn.preprocessing import scale
        >>> from skinfluence import InfluenceLogisticRegression
        >>> X, y = load_breast_cancer(return_X_y=True)
        >>> X = scale(X)
        >>> clf = InfluenceLogisticRegression().fit(X[:400], y[:400])
        >>> clf.score_influence(X[400:], y[400:], scoring="roc_auc").shape
        (400,)
        """
        problem = self.__fitted_problem__()
        design, labels, encoded = problem.test_rows(X_test, y_test, required="scoring")
        deletion = problem.deletion(
            method,
            train_indices,
            n_test=design.shape[0],
            curvature=curvature,
            damping=damping,
            progress=progress,
        )
        link = problem.link
        scoring = scoring or link.scoring
        values = attribution.score_influence(
            deletion,
            design,
            labels,
            encoded,
            link,
            scoring,
            X=X_test,
            weight=check_test_weight(test_sample_weight, design.shape[0]),
            progress=progress,
        )
        return Answer(problem, as_frame, return_info).of(
            values,
            deletion,
            method,
            name="score_influence",
            names=problem.row_names[deletion.rows],
        )

    def curvature(self):
        """Say which representation of the Hessian serves this model, and why.

        Returns
        -------
        CurvatureReport
            The choice for the leverages of all training rows, its flops and memory beside those of
            the alternatives, the condition of the factor, and how stationary the fit is.

        Raises
        ------
        numpy.linalg.LinAlgError, RuntimeError
            As :meth:`influence`.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skinfluence import InfluenceLogisticRegression
        >>> X, y = load_iris(return_X_y=True)
        >>> InfluenceLogisticRegression().fit(X, y).curvature().kind
        'dense'
        """
        problem = self.__fitted_problem__()
        choice, objective = problem.curvature_choice(), problem.objective
        made = problem.curvature(choice.kind)
        return CurvatureReport(
            made.kind,
            choice.reason,
            objective.n_rows,
            objective.n_parameters,
            choice.flops,
            choice.memory,
            made.rcond,
            made.residual,
            objective.stationarity,
        )
