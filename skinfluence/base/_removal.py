"""Rows that leave a fitted model for good, or join it."""

import copy

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from skinfluence._frames import row_names
from skinfluence._validation import as_index, check_group_labels
from skinfluence.base._query import QueryMixin
from skinfluence.problem.row_labels import rows_with_labels


class RemovalMixin(QueryMixin):
    """Methods that return the model refitted without some rows, or with more."""

    def without(self, rows=None, *, row_labels=None, groups=None):
        """Return the model refitted without some training rows, with a proof of its distance.

        A new fitted estimator of the same class; this one is not changed. Its coefficients are
        those of the refit on the other rows, found by steps with the curvature at hand, at a
        hundredth of the time of a fit; `removal_certificate_` says how far off they can be at most.
        What it keeps of its training data are the other rows, and it can be asked for everything
        that a fitted model can, also for the next removal.

        The refit is that of the conventions: settings that followed from the data are held fixed
        at their values (class_weight="balanced", gamma="scale", temperature="scale", earlier
        steps of a Pipeline), and are parameters of the new estimator; the certificate lists them.

        Parameters
        ----------
        rows : array-like of int or bool mask, optional
            Training rows, by position.
        row_labels : array-like, set or label, optional
            The same by their index in the data frame that fit was given; with `groups` the labels
            of the groups that leave. A label is found by its value and its type: the text "1" is
            not 1, True is not 1, a text is no date, and a float is an integer below 2**53 only.
        groups : array-like of shape (n_train,), optional
            Label of the group of each training row: every row of a group of which one leaves.

        Returns
        -------
        estimator
            With `removal_certificate_`, a :class:`skinfluence.robustness.RemovalCertificate`.

        Raises
        ------
        ValueError
            If no row is named or an unknown one, no row would be left, fewer than the coefficients
            of a model without penalty, or none of a class.
        numpy.linalg.LinAlgError
            If the rest has no finite optimum, or none was found.
        RuntimeError
            If the training data or the parameters have changed since fit.

        Notes
        -----
        Between two changes the model works with the arrays of the first fit, in which rows that
        have left have weight 0. The copy of the remaining rows is made when anything else is asked,
        or the model is pickled or copied: what is written to disk has none of the rows that left.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skinfluence import InfluenceLogisticRegression
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = InfluenceLogisticRegression().fit(X, y)
        >>> rest = clf.without([0, 50])
        >>> rest.removal_certificate_.n_rows
        148
        """
        fit = self._live_fit()
        rows = _rows_asked(fit, rows, row_labels, groups)
        fit.check_removal(rows)
        gone = fit.remaining[rows]
        nobody = gone[:0]
        if fit.obstacle:
            fit.check_data()
            rest = fit.at_rows(np.delete(fit.live, rows))
            return self._fitted_again(rest, fit.obstacle, gone, nobody)
        fit, removal = fit.without(rows)
        return self._moved_to(fit, removal, gone, nobody)

    def with_rows(self, X_new, y_new, *, sample_weight=None):
        """Return the model refitted with further training rows, with a proof of its distance.

        As :meth:`without`, for rows that join: they come last.

        Parameters
        ----------
        X_new : {array-like, sparse matrix, data frame} of shape (n_new, n_features)
            Rows; they go through the earlier steps of a Pipeline.
        y_new : array-like of shape (n_new,)
            Their labels or responses.
        sample_weight : array-like of shape (n_new,), optional
            Their weights; 1 by default.

        Returns
        -------
        estimator
            With `removal_certificate_`.

        Raises
        ------
        ValueError
            For labels that were not in the training data, and rows of another width.
        NotImplementedError
            With a precomputed kernel.
        numpy.linalg.LinAlgError, RuntimeError
            As :meth:`without`.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skinfluence import InfluenceLogisticRegression
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = InfluenceLogisticRegression().fit(X[10:], y[10:])
        >>> clf.with_rows(X[:10], y[:10]).removal_certificate_.n_rows
        150
        """
        fit = self._live_fit()
        fit.check_data()
        before = len(fit.names)
        fit, weight = fit.extended(X_new, y_new, sample_weight, row_names(X_new, y_new))
        joined = fit.names[before:]
        nobody = joined[:0]
        if fit.obstacle:
            live = np.concatenate([fit.live, np.arange(before, len(fit.names))])
            return self._fitted_again(fit.at_rows(live), fit.obstacle, nobody, joined)
        fit, removal = fit.with_rows(weight)
        return self._moved_to(fit, removal, nobody, joined)

    # -- what a class may define -------------------------------------------------------------------

    def __moved__(self, data, record, objective, n_steps):
        """Return a copy of the estimator at another optimum; None where it has to be fitted again.

        Parameters
        ----------
        data : TrainingData
            Of the rows that remain, with the optimum.
        record : OptimumRecord
        objective : Objective
            Of all rows, at the optimum.
        n_steps : int
        """
        return

    def __fitted_on__(self, X, y, sample_weight, settings):
        """Return the estimator fitted on rows in the features of the model, with some settings."""
        new = clone(self).set_params(**settings)
        new.fit(X, y) if sample_weight is None else new.fit(X, y, sample_weight=sample_weight)
        return new

    # -- how it is done ----------------------------------------------------------------------------

    def _live_fit(self):
        """Return the LiveFit of the model: of its last change, else of its fit."""
        check_is_fitted(self)
        fit = self.__dict__.get("_changed_fit")
        if fit is not None and fit.is_of(self.__adapted_model__()):
            return fit.asked_by(self.__design_rows__, self.__design_names__)
        certificate = self.__dict__.get("removal_certificate_")
        names = None if certificate is None else certificate.remaining
        problem = self.__fitted_problem__()
        if names is not None and len(names) != problem.objective.n_rows:
            names = None  # fitted again since
        # The package of certificates is imported when the first row leaves, not with the library.
        from skinfluence.problem.removal import LiveFit

        return LiveFit.of(problem, names)

    def _moved_to(self, fit, removal, removed, added):
        """Return the estimator at the optimum of a LiveFit."""
        settings = fit.frozen_settings()
        data = fit.data()
        record = fit.record(data, removal)
        new = self.__moved__(data, record, fit.objective, removal.n_passes)
        if new is None:
            why = "the parameters of the estimator are not those of its objective"
            return self._fitted_again(fit, why, removed, added)
        new.__adapted_model__().set_params(**settings)
        if data.space is not None:
            # In a kernel's space the rows that remain have coordinates of their own.
            fit = fit.of(new.__fitted_problem__(), fit.remaining)
            removal, data = fit.proven_again(removal), fit.problem.record.data
        new.__dict__["_changed_fit"] = fit.owned_by(new.__adapted_model__())
        recipe = fit.recipe(fit.objective, data)
        return self._certified(new, fit, removal, settings, removed, added, recipe)

    def _fitted_again(self, fit, reason, removed, added):
        """Return the estimator fitted anew to the rows of a LiveFit, where no step leads there."""
        settings = fit.frozen_settings()
        new = self.__fitted_on__(*fit.training_rows(), settings)
        if hasattr(self, "feature_names_in_") and not hasattr(new, "feature_names_in_"):
            new.feature_names_in_ = self.feature_names_in_
        if fit.index is not None:
            new._optimum = new.__optimum_record__().named(fit.index)
        return self._certified_refit(new, fit, reason, removed, added)

    def _certified_refit(self, new, fit, reason, removed, added):
        """Give an estimator that was fitted anew to the rows of a LiveFit its certificate."""
        at = fit.of(new.__fitted_problem__(), fit.remaining)
        recipe = at.recipe(at.objective, at.problem.record.data)
        removal, settings = at.refitted(reason), fit.frozen_settings()
        return self._certified(new, fit, removal, settings, removed, added, recipe)

    def _certified(self, new, fit, removal, settings, removed, added, recipe):
        """Give an estimator its certificate."""
        from skinfluence.robustness import certificate_of

        name = type(fit.problem.model).__name__
        new.removal_certificate_ = certificate_of(
            removal, name, fit.remaining, removed, added, settings, recipe
        )
        changed = new.__dict__.get("_changed_fit")
        if changed is not None:  # the certificate is an attribute like others
            new.__dict__["_changed_fit"] = changed.owned_by(new.__adapted_model__())
        return new


def _rows_asked(fit, rows, row_labels, groups):
    """Positions of the rows that leave, ascending, among those in the model."""
    n = len(fit.live)
    if (rows is None) == (row_labels is None):
        raise ValueError(
            "name the rows that leave by `rows` (positions or a mask) or by `row_labels`; got "
            + ("neither." if rows is None else "both.")
        )
    if groups is not None:
        groups = check_group_labels(groups, sorts=False)  # they are looked up one by one
        if groups.shape != (n,):
            raise ValueError(
                f"groups should hold one label for each of the {n} training rows; got shape "
                f"{groups.shape}."
            )
    if row_labels is not None:
        index = _labelled(fit, row_labels, groups)
    else:
        index = as_index(rows, n, "rows")
        if groups is not None:
            index = rows_with_labels(list(groups[index]), groups, "groups")
    if not len(index):
        raise ValueError("no row is named: pass the positions or labels of the rows that leave.")
    index = np.unique(index)
    if len(index) == n:
        raise ValueError(f"all {n} training rows would leave. Keep some.")
    return index


def _labelled(fit, row_labels, groups):
    """Positions of the rows with some labels: of the index, or of groups."""
    names, what = groups, "groups"
    if groups is None:
        names, what = fit.index, "the index of the training rows"
        if names is None:
            raise ValueError(
                "row_labels are looked up in the index of the data frame that fit was given, and "
                "fit was given none. Pass positions as `rows`."
            )
    return rows_with_labels(row_labels, names, what)


def copied_without_cache(estimator):
    """Return a shallow copy of a fitted estimator without its problem and its last change."""
    new = copy.copy(estimator)
    for name in ("_problem_cache", "_changed_fit"):
        new.__dict__.pop(name, None)
    return new


def rows_asked(model, rows, row_labels=None, groups=None):
    """Return (positions of the rows that leave, number of training rows) of a fitted model."""
    fit = model._live_fit()
    rows = _rows_asked(fit, rows, row_labels, groups)
    fit.check_removal(rows)
    return rows, len(fit.live)


def frozen_settings(model):
    """Return the settings of a fitted model that followed from its data, as values, by name."""
    return model._live_fit().frozen_settings()


def certify_refit(new, model, rows, reason):
    """Give `new`, fitted to the rows of a model without some, the certificate of that removal."""
    fit = model._live_fit()
    gone = fit.remaining[rows]
    rest = fit.at_rows(np.delete(fit.live, rows))
    model._certified_refit(new, rest, reason, gone, gone[:0])
