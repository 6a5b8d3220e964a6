"""Uncertainty of parameters and predictions, and local influence."""

import numbers
from dataclasses import replace

import numpy as np
from sklearn.base import is_regressor
from sklearn.utils.metaestimators import available_if

from skinfluence._validation import as_partition, check_choice, check_sample_weight, listed, shown
from skinfluence.base._query import QueryMixin
from skinfluence.deletion import delete
from skinfluence.leave_one_out import resolve_auto
from skinfluence.perturbation import PERTURBATIONS, local_influence
from skinfluence.uncertainty import (
    INTERVALS,
    KINDS,
    ParameterCovariance,
    covariance,
    degrees_of_freedom,
    dispersion_of,
    jackknife_interval,
)

# Flops that intervals spend on refits of every row before they take Newton steps: some ten seconds.
REFIT_FLOPS = 3e11


def _predicts_numbers(self):
    """For available_if: whether this is a regressor."""
    if not is_regressor(self):
        raise AttributeError("prediction_interval() is for regressors.")
    return True


class UncertaintyMixin(QueryMixin):
    """What statisticians ask of a regression beside its coefficients."""

    def parameter_covariance(self, kind="HC3", *, groups=None, small_sample=False):
        r"""Covariance of the coefficients, from what each row does to them.

        With :math:`\psi_i = g_i z_i` the weighted gradient of a row, H the Hessian of the
        objective and :math:`\theta_{(i)}` the refit without the row:

        - "model": :math:`\phi H^{-1}`, right if the model is. The dispersion phi is 1 for
          logistic and Poisson regression, and estimated from the Pearson residuals over n - p for
          the others; under a penalty it is the covariance of the Bayesian reading.
        - "HC0" (or "sandwich"): :math:`H^{-1} \sum_i \psi_i \psi_i' H^{-1}`; "HC1" times
          n / (n - p); "HC2" with :math:`\psi_i / \sqrt{1 - h_i}`; "HC3" with
          :math:`\psi_i / (1 - h_i)`, which is :math:`\sum_i (\theta_{(i)} - \theta)
          (\theta_{(i)} - \theta)'`, exactly for least squares and by one Newton step for others.
        - "infinitesimal_jackknife": the sum of the outer products of the influence functions,
          which is "HC0".
        - "jackknife": (n - 1) / n times the sum about the mean of the exact refits.
        - "CR0", "CR3": "HC0" with the sums of the clusters in `groups`, and the sum of the outer
          products of the exact refits without one cluster.

        Parameters
        ----------
        kind : str, default="HC3"
            One of the above.
        groups : array-like of shape (n_train,), optional
            Cluster of each row, for "CR0" and "CR3".
        small_sample : bool, default=False
            Whether "CR0" is multiplied by G / (G - 1) (n - 1) / (n - p), and "CR3" by (G - 1) / G,
            for G clusters.

        Returns
        -------
        ParameterCovariance
            Matrix, names, standard errors; `summary()` has tests and intervals.

        Raises
        ------
        ValueError
            For an unknown kind, for groups that are missing or not asked for, and where rows or
            clusters leave no model behind that the kind asks for.
        NotImplementedError
            For "model" without a likelihood, for kernels, which have no coefficients, and for a
            hinge that is trained itself.
        numpy.linalg.LinAlgError
            If the Hessian is singular, or a leverage is 1 where the kind divides by the rest.

        Notes
        -----
        Rows of weight 0 do not count. Under an L1 penalty the coefficients that are 0 have no
        variance but in "jackknife" and "CR3"; none of these accounts for the choice of the others.
        A softmax without penalty is known up to a constant for all classes: "model" has none of it.

        References
        ----------
        MacKinnon & White, Some heteroskedasticity-consistent covariance matrix estimators with
        improved finite sample properties, Journal of Econometrics 29, 1985.

        Examples
        --------
        >>> from sklearn.datasets import load_diabetes
        >>> from skinfluence import InfluenceLinearRegression
        >>> X, y = load_diabetes(return_X_y=True)
        >>> model = InfluenceLinearRegression().fit(X, y)
        >>> by_model = model.parameter_covariance("model").standard_error
        >>> robust = model.parameter_covariance("HC3").standard_error
        >>> by_model[:2].round(2), robust[:2].round(2)
        (array([ 2.58, 59.75]), array([ 2.61, 58.23]))
        """
        kind = "HC0" if kind == "sandwich" else kind
        check_choice("kind", kind, KINDS)
        if (groups is not None) != kind.startswith("CR"):
            raise ValueError(
                f"groups are the clusters of 'CR0' and 'CR3', and needed there; got kind={kind!r} "
                f"and groups={'None' if groups is None else 'labels'}."
            )
        problem = self.__fitted_problem__()
        objective = problem.objective
        problem.check_coefficients("parameter_covariance()")
        problem.check_data()
        if groups is not None:
            groups = as_partition(groups, objective.n_rows)
        options = {"groups": groups, "small_sample": small_sample, "names": problem.row_names}
        matrix = covariance(objective, problem.deletion_curvature, kind, **options)
        names, order = problem.parameter_names()
        estimate = objective.design.about_zero(objective.theta).ravel()[order]
        clusters = None if groups is None else _live_clusters(objective, groups)
        df = degrees_of_freedom(objective, problem.curvature, kind, clusters)
        return ParameterCovariance(matrix[np.ix_(order, order)], names, kind, estimate, df)

    @available_if(_predicts_numbers)
    def prediction_interval(
        self, X_test, alpha=0.1, *, method="jackknife+", test_sample_weight=None
    ):
        r"""Compute the intervals that new responses fall into with a given probability.

        From one fit. With :math:`\mu_{(i)}` the model without row i,
        :math:`R_i = |y_i - \mu_{(i)}(x_i)|` its error there, and quantiles that count n + 1:

        - "jackknife+": from the :math:`\lfloor \alpha (n + 1) \rfloor`-th smallest of
          :math:`\mu_{(i)}(x) - R_i` to the :math:`\lceil (1 - \alpha) (n + 1) \rceil`-th smallest
          of :math:`\mu_{(i)}(x) + R_i`. Covers with at least :math:`1 - 2 \alpha` whatever the
          distribution of exchangeable rows, and usually with :math:`1 - \alpha`.
        - "jackknife-minmax": the least and the largest of :math:`\mu_{(i)}(x)`, widened by that
          quantile of R. Covers with :math:`1 - \alpha`.
        - "jackknife": :math:`\mu(x)` plus and minus that quantile. No guarantee.

        All n leave-one-out predictions of all test rows are one matrix product: exact in closed
        form for least squares; for other losses from exact refits where these take seconds, else
        from Newton steps.

        Parameters
        ----------
        X_test : {array-like, sparse matrix} of shape (n_test, n_features)
            Test rows.
        alpha : float, default=0.1
            Probability outside of the interval, in (0, 1).
        method : {"jackknife+", "jackknife", "jackknife-minmax"}, default="jackknife+"
            Which interval.
        test_sample_weight : array-like of shape (n_test,), optional
            Exposures of the test rows of a generalised linear model, in the units of the sample
            weights of its fit; 1 by default.

        Returns
        -------
        ndarray of shape (n_test, 2) or (n_test, 2, n_outputs)
            Lower and upper ends, within the range of the responses (counts are not negative);
            infinite where alpha < 1 / (n + 1).

        Raises
        ------
        ValueError
            For alpha outside of (0, 1), an unknown method, and weights of test rows for models
            whose weights are no exposures.
        AttributeError
            For classifiers.

        Notes
        -----
        Rows of weight 0 do not count; the weights of the others are those of the fit, not of the
        quantiles. In a generalised linear model a response of weight w (its exposure) has a
        variance of 1 / w times that of the family: residuals are multiplied by the roots of their
        weights, and their quantiles divided by that of the test row's, so that intervals are wide
        for small exposures. A row without a model after its deletion counts as the widest interval,
        with a warning.

        References
        ----------
        Barber, Candes, Ramdas & Tibshirani, Predictive inference with the jackknife+, Annals of
        Statistics 49, 2021.

        Examples
        --------
        >>> from sklearn.datasets import load_diabetes
        >>> from skinfluence import InfluenceRidge
        >>> X, y = load_diabetes(return_X_y=True)
        >>> model = InfluenceRidge(alpha=0.1).fit(X[:300], y[:300])
        >>> interval = model.prediction_interval(X[300:], alpha=0.1)
        >>> inside = (interval[:, 0] <= y[300:]) & (y[300:] <= interval[:, 1])
        >>> interval.shape, round(float(inside.mean()), 2)
        ((142, 2), 0.9)
        """
        check_choice("method", method, INTERVALS)
        if isinstance(alpha, bool) or not isinstance(alpha, numbers.Real) or not 0 < alpha < 1:
            raise ValueError(f"alpha should be a number between 0 and 1; got {shown(alpha)}.")
        problem = self.__fitted_problem__()
        objective = problem.objective
        design, _, _ = problem.test_rows(X_test)
        rows = np.flatnonzero(objective.sample_weight > 0)
        how = resolve_auto(objective, "auto", REFIT_FLOPS)
        how = "newton" if how == "auto" else how
        problem.check_data()
        n_solves = (len(rows) + design.shape[0]) * objective.n_outputs
        curvature = problem.deletion_curvature(how, n_solves=n_solves)
        deletion = delete(objective, curvature, how, rows)
        problem.warn_undefined(rows[deletion.undefined])
        scale = _response_scale(objective, rows, design.shape[0], test_sample_weight)
        # The range of responses that were transformed is not known.
        known = problem.adapted.response is None and np.isfinite(objective.loss.response_range)
        limits = objective.loss.response_range if np.any(known) else None
        options = {"scale": scale, "limits": limits}
        ends = jackknife_interval(deletion, design, problem.link, float(alpha), method, **options)
        return ends if ends.shape[2] > 1 else ends[:, :, 0]

    def local_influence(self, perturbation="weights", *, feature=None, scale=1.0):
        r"""Find the direction of small perturbations that moves the fit most.

        Cook's local influence: where deletion takes one row away at a time, this moves all rows a
        little at once, and so finds rows that act together. By :math:`\omega_i` each are perturbed

        - "weights": the row's weight, :math:`w_i (1 + \omega_i)`;
        - "response": its label, :math:`y_i + s \omega_i`;
        - "feature": one feature, :math:`x_{ij} + s \omega_i`.

        Parameters
        ----------
        perturbation : {"weights", "response", "feature"}, default="weights"
            What is perturbed.
        feature : int or str, optional
            Position or name of the feature.
        scale : float, default=1.0
            Size s of a unit of perturbation, in units of the response or of the feature.

        Returns
        -------
        LocalInfluence
            Leading direction, curvatures.

        Raises
        ------
        ValueError
            For an unknown perturbation or feature.
        NotImplementedError
            For responses that are classes, for kernels, L1 penalties and hinges.
        numpy.linalg.LinAlgError
            If the Hessian is singular.

        References
        ----------
        Cook, Assessment of local influence, JRSS B 48, 1986.

        Thomas & Cook, Assessing influence on predictions from generalized linear models,
        Technometrics 32, 1990.

        Examples
        --------
        >>> from sklearn.datasets import load_diabetes
        >>> from skinfluence import InfluenceLinearRegression
        >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
        >>> local = InfluenceLinearRegression().fit(X, y).local_influence("feature", feature="bmi")
        >>> local.direction.shape
        (442,)
        """
        check_choice("perturbation", perturbation, PERTURBATIONS)
        if not isinstance(scale, numbers.Real) or isinstance(scale, bool) or not 0 < scale < np.inf:
            raise ValueError(f"scale should be a finite positive number; got {shown(scale)}.")
        problem = self.__fitted_problem__()
        problem.check_coefficients("local_influence()")
        objective = problem.objective
        if objective.penalty.is_kinked:
            raise NotImplementedError("local_influence() is not defined under an L1 penalty.")
        if perturbation == "response" and problem.classes is not None:
            raise NotImplementedError(
                "perturbation='response' needs labels that are numbers; these are classes."
            )
        column = _feature_position(problem, feature, perturbation)
        problem.check_data()
        curvature = problem.curvature(n_solves=objective.n_parameters)
        dispersion = 1.0
        if objective.loss.family is not None and objective.n_outputs == 1:
            dispersion = dispersion_of(objective, curvature)[0, 0]
        found = local_influence(
            objective, curvature, perturbation, column=column, scale=scale, dispersion=dispersion
        )
        return replace(found, row_names=problem.row_names)


def _live_clusters(objective, groups):
    """Number of clusters with a row of positive weight."""
    return sum(bool((objective.sample_weight[group] > 0).any()) for group in groups)


def _response_scale(objective, rows, n_test, test_weight):
    """Scales (r,), (n_test,) of responses that have exposures; None where all are equal."""
    if not objective.loss.weights_are_exposures:
        if test_weight is not None:
            raise ValueError(
                "test_sample_weight are exposures, which Poisson, gamma and Tweedie regression "
                f"have; the weights of the loss {objective.loss.name!r} have no part in the "
                "variance of a response. Leave it out."
            )
        return None
    weight, test = objective.sample_weight[rows], check_sample_weight(test_weight, n_test)
    if not (test > 0).all():
        raise ValueError(
            "test_sample_weight should be positive: without exposure there is no response; got 0 "
            f"at row {listed(np.flatnonzero(test == 0))}."
        )
    if (weight == 1).all() and (test == 1).all():
        return None
    return 1.0 / np.sqrt(weight), 1.0 / np.sqrt(test)


def _feature_position(problem, feature, perturbation):
    """Column of a feature by its name or position; None where no feature is perturbed."""
    if (feature is not None) != (perturbation == "feature"):
        raise ValueError(
            f"feature goes with perturbation='feature'; got feature={shown(feature)} and "
            f"perturbation={perturbation!r}."
        )
    if feature is None:
        return None
    names = problem.feature_names
    if isinstance(feature, str) and feature in names:
        return names.index(feature)
    position = isinstance(feature, numbers.Integral) and not isinstance(feature, bool)
    if not position or not -len(names) <= feature < len(names):
        raise ValueError(
            f"feature should be one of {names[:10]} or a position below {len(names)}; "
            f"got {shown(feature)}."
        )
    return int(feature) % len(names)
