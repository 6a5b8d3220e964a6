"""Leave-one-out estimates and the influence of groups."""

import numpy as np

from skinfluence import attribution
from skinfluence._validation import (
    AGGREGATES,
    METHODS,
    as_groups,
    as_partition,
    check_choice,
    check_tolerance,
)
from skinfluence.attribution import Query, score_of
from skinfluence.base._query import QueryMixin
from skinfluence.deletion import (
    GroupDeletion,
    dominant_rows,
    needs_curvature,
    warn_dominant,
    warn_undefined,
)
from skinfluence.leave_one_out import leave_group_out, leave_one_out, resolve_auto
from skinfluence.results import LeaveOneOutEstimate


class LeaveOneOutMixin(QueryMixin):
    """What the model would say of each training row, had it never seen it."""

    def loo_estimate(self, *, method="auto", scoring=None, groups=None, tol=1e-8, progress=None):
        """Predict each training row by the model fitted without it, from this one fit.

        Parameters
        ----------
        method : {"auto", "exact", "newton", "first_order"}, default="auto"
            "exact" refits without every row, to `tol`; "newton" (approximate leave-one-out, ALO)
            and "first_order" take one step each, O(n p^2) in all. "auto" is exact within a budget
            of some ten seconds, else Newton with the rows of largest estimated error refitted.
        scoring : str or callable, optional
            Scorer of the pooled leave-one-out predictions; by default accuracy, of regressors r2.
        groups : array-like of shape (n_train,), optional
            Leave out the whole group of each row instead. "auto" then refits.
        tol : float, default=1e-8
            Of the coefficients of "exact", relative to max(1, their largest); of a regressor in
            units of the spread of y.
        progress : callable, optional
            Wraps the iteration over blocks, such as `tqdm.auto.tqdm`.

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
        check_choice("method", method, ("auto", *METHODS))
        check_tolerance(tol)
        explained = self._explained()
        objective = explained.objective
        n_solves = objective.n_rows * objective.n_outputs
        if groups is not None:
            method = "exact" if method == "auto" else method
        else:
            method = resolve_auto(objective, method)
        if needs_curvature(objective, method):
            single = method if groups is None else None
            explained = self._with_curvature(explained, "auto", 0.0, n_solves, single)
        if groups is None:
            loo = leave_one_out(
                objective, explained.curvature, method, tolerance=tol, progress=progress
            )
        else:
            groups = as_partition(groups, objective.n_rows)
            loo = leave_group_out(objective, explained.curvature, method, groups, progress=progress)
        warn_undefined(np.flatnonzero(loo.route == "undefined"))
        if method == "newton" and groups is None:
            warn_dominant(dominant_rows(objective, np.arange(objective.n_rows), loo.leverage))
        return self._estimate(explained, loo, scoring)

    def _estimate(self, explained, loo, scoring):
        """Losses and scores of leave-one-out predictors."""
        objective, output = explained.objective, explained.adapted.output
        weight = self._training_data.sample_weight
        weight = np.ones(objective.n_rows) if weight is None else np.asarray(weight, dtype=float)
        defined = ~np.isnan(loo.eta).any(axis=1)
        loss = np.full(objective.n_rows, np.nan)
        eta = objective.native(loo.eta)
        loss[defined] = objective.trained_loss.value(objective.y[defined], eta[defined])
        labels = explained.adapted.labels(objective.y)
        scoring = scoring or output.scoring
        return LeaveOneOutEstimate.of_rows(
            loo=loo,
            decision_function=objective.loss.decision(eta),
            predict_proba=output.probabilities(eta),
            prediction=output.prediction(eta),
            loss=loss,
            weight=weight,
            train_loss=float(np.average(objective.trained().row_losses, weights=weight)),
            score=score_of(output, eta[defined], labels[defined], scoring),
            scoring=scoring,
        )

    def group_influence(
        self,
        groups,
        X_test,
        y_test=None,
        *,
        target="loss",
        method="newton",
        aggregate=None,
        curvature="auto",
        damping=0.0,
        progress=None,
    ):
        """Change of a target at each test row if a whole group of training rows were removed.

        "first_order" adds the influences of the rows, and falls short of the effect of a group that
        pulls one way; "newton" takes the joint step; "exact" refits.

        Parameters
        ----------
        groups : array-like
            Labels of shape (n_train,), one group a value in sorted order; or a list of index
            arrays; or a boolean matrix (n_groups, n_train).
        X_test, y_test, target, method, aggregate, curvature, damping, progress
            As in :meth:`influence`.

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
        check_choice("aggregate", aggregate, AGGREGATES)
        explained, target, linearised = self._validate_query(target, method, damping)
        required = f"target={target.name!r}" if target.needs_labels else None
        design, labels, encoded = self._test_rows(explained, X_test, y_test, required)
        objective = explained.objective
        groups = as_groups(groups, objective.n_rows)
        n_solves = sum(map(len, groups)) * objective.n_outputs
        if needs_curvature(objective, method):
            explained = self._with_curvature(explained, curvature, float(damping), n_solves)
        deletion = GroupDeletion(objective, explained.curvature, method, groups, progress=progress)
        warn_undefined(np.flatnonzero(deletion.undefined), what="group")
        y = encoded if target.uses_encoded_labels else labels
        test = Query(design, y, design @ objective.theta.T, target)
        if aggregate is None:
            return attribution.influence_matrix(deletion, test, linearised=linearised)
        return attribution.influence_aggregate(deletion, test, aggregate, linearised=linearised)
