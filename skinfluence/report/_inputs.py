"""What a report is about: a fitted model, test rows, and what rows are called and look like."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skinfluence._frames import checked_labels, row_names, take_rows
from skinfluence._validation import as_groups, check_group_labels, check_test_weight
from skinfluence.functions import explain
from skinfluence.labels import LabelAudit
from skinfluence.problem import FittedProblem, fitted_problem

# More test rows than this are refused: the page would be slow and large.
MOST_TEST_ROWS = 20_000


@dataclass(frozen=True)
class Subject:
    """A model and what the page shows of it.

    Attributes
    ----------
    view : estimator
        With the influence methods.
    problem : FittedProblem
    X_test, y_test : array-like, ndarray or None
        As the caller has them.
    audit : LabelAudit or None
    groups : list of (str, ndarray of int)
    train_names, test_names : ndarray
    train_images, test_images : ndarray of uint8, or None
    train_texts, test_texts : list of str, or None
    """

    view: object
    problem: FittedProblem
    X_test: object
    y_test: np.ndarray | None
    audit: LabelAudit | None
    groups: list
    train_names: np.ndarray
    test_names: np.ndarray
    train_images: np.ndarray | None
    test_images: np.ndarray | None
    train_texts: list | None
    test_texts: list | None
    test_weight: np.ndarray | None = None

    @property
    def is_classifier(self):
        """Whether responses are classes."""
        return self.problem.classes is not None

    def mean_influence(self, **asked):
        """Influence (n_train,) of rows on the mean loss of all test rows."""
        return self.view.influence(
            self.X_test,
            self.y_test,
            aggregate="mean",
            test_sample_weight=self.test_weight,
            **asked,
        )

    @property
    def output(self):
        """Target that is shown as the prediction: probabilities where there are any."""
        if not self.is_classifier:
            return "prediction"
        return "predict_proba" if self.problem.link.has_probabilities else "decision_function"

    @property
    def decision(self):
        """Target that decides what is predicted, and moves almost linearly."""
        return "decision_function" if self.is_classifier else "prediction"

    def some(self, rows):
        """X_test of some rows."""
        return take_rows(self.X_test, np.asarray(rows))

    def values(self, target, rows=None):
        """Values (m, ...) of a target at test rows, all by default."""
        X = self.X_test if rows is None else self.some(rows)
        y = self.y_test if self.y_test is None or rows is None else self.y_test[rows]
        query = self.problem.query(X, y, target)
        return np.asarray(query.target.value(query.y, self.problem.objective.native(query.eta)))

    def predicted(self):
        """Predictions (m,) of the test rows as the caller has them."""
        design, _, _ = self.problem.test_rows(self.X_test)
        eta = self.problem.objective.native(design @ self.problem.objective.theta.T)
        link = self.problem.link
        return link.classes[link.predicted(eta)] if self.is_classifier else link.mean(eta)


def make_subject(estimator, X_test, y_test, *, audit, groups, row_labels, images, texts, weight):
    """Return the Subject of a report; raise on what cannot be shown."""
    view = estimator if hasattr(estimator, "__fitted_problem__") else explain(estimator)
    problem = fitted_problem(view)
    n, m = problem.objective.n_rows, _count(X_test)
    _check_kind(problem)
    if y_test is not None:
        _, y_test, _ = problem.test_rows(X_test, y_test)
    train_labels, test_labels = _pair("row_labels", row_labels, n, m)
    index = row_names(X_test)
    train_images, test_images = _images(images, n, m)
    train_texts, test_texts = (_strings("texts", part) for part in _pair("texts", texts, n, m))
    return Subject(
        view=view,
        problem=problem,
        X_test=X_test,
        y_test=y_test,
        audit=_checked_audit(audit, problem),
        groups=named_groups(groups, n),
        train_names=problem.row_names
        if train_labels is None
        else checked_labels(train_labels, n, "row_labels[0]"),
        test_names=checked_labels(
            index if test_labels is None else test_labels, m, "row_labels[1]"
        ),
        train_images=train_images,
        test_images=test_images,
        train_texts=train_texts,
        test_texts=test_texts,
        test_weight=_checked_weight(weight, y_test, m),
    )


def _count(X_test):
    """Number of test rows; raise if there are none, or more than a page shows."""
    m = X_test.shape[0] if hasattr(X_test, "shape") else len(X_test)
    if not 1 <= m <= MOST_TEST_ROWS:
        raise ValueError(
            f"X_test has {m:,} rows; a report shows from 1 to {MOST_TEST_ROWS:,} test rows. Pass a "
            f"part of them as X_test (and y_test), such as X_test[:{MOST_TEST_ROWS}]."
        )
    return m


def _checked_weight(weight, y_test, m):
    """Return the weights of the test rows (m,); None for none."""
    if weight is not None and y_test is None:
        raise ValueError(
            "test_sample_weight are weights of the test rows in scores and mean losses, and "
            "without y_test there are none: pass y_test, or leave them out."
        )
    return check_test_weight(weight, m)


def _check_kind(problem):
    """Raise for models whose predictions the page has no place for."""
    if problem.classes is None and problem.link.n_responses > 1:
        raise NotImplementedError(
            f"InfluenceReport shows models with one response; this one has "
            f"{problem.link.n_responses}. Fit one model for each, and write a report of each."
        )
    if getattr(problem.link, "shape", None) == "ovo" and len(problem.classes) > 2:
        raise ValueError(
            "decision_function_shape='ovo' gives a decision for each pair of classes, and none for "
            "a class: pass an SVC with decision_function_shape='ovr', whose fit is the same."
        )


def _pair(name, given, n, m):
    """(Of training rows, of test rows) with checked lengths; None where there are none."""
    if given is None:
        return None, None
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise ValueError(
            f"{name} should be a pair (of the training rows, of the test rows), in which either "
            f"may be None; got {type(given).__name__}."
        )
    for part, size, what in zip(given, (n, m), ("training", "test"), strict=True):
        if part is not None and len(part) != size:
            raise ValueError(
                f"{name} should have one entry for each of the {size} {what} rows; got {len(part)} "
                f"in {name}[{'0' if what == 'training' else '1'}]."
            )
    return tuple(given)


def _strings(name, texts):
    """Return texts as a list; raise on what is no string."""
    if texts is None:
        return None
    found = list(texts)
    for row, text in enumerate(found):
        if not isinstance(text, str):
            raise TypeError(
                f"{name} should be strings; got {type(text).__name__} at row {row}. Convert them "
                "by str()."
            )
    return found


def _images(images, n, m):
    """(Training images, test images) as uint8 (rows, height, width[, 3]) on one scale of grey."""
    parts = [None if p is None else np.asarray(p) for p in _pair("images", images, n, m)]
    given = [part for part in parts if part is not None]
    for part in given:
        coloured = part.ndim == 4 and part.shape[3] == 3
        if part.dtype.kind not in "biuf" or not (part.ndim == 3 or coloured):
            raise ValueError(
                "images should be numbers of shape (n_rows, height, width), or (n_rows, height, "
                f"width, 3) in colours; got {part.dtype} of shape {part.shape}."
            )
    if not given or all(part.dtype == np.uint8 for part in given):
        return tuple(parts)
    low = min(float(np.nanmin(part)) for part in given)
    high = max(float(np.nanmax(part)) for part in given)
    if not np.isfinite([low, high]).all():
        raise ValueError("images should be finite; got infinite or missing pixels.")
    width = (high - low) or 1.0
    return tuple(
        None
        if part is None
        else np.rint(np.nan_to_num((part - low) / width * 255)).astype(np.uint8)
        for part in parts
    )


def _checked_audit(audit, problem):
    """Return the audit; raise unless it is fitted on the training rows of the model."""
    if audit is None:
        return None
    if not isinstance(audit, LabelAudit):
        raise TypeError(
            f"audit should be a fitted skinfluence.labels.LabelAudit; got {type(audit).__name__}."
        )
    check_is_fitted(audit)
    own = fitted_problem(audit.estimator_)
    if own.objective.n_rows != problem.objective.n_rows or not np.array_equal(
        own.labels, problem.labels
    ):
        raise ValueError(
            f"audit has seen {own.objective.n_rows} training rows, the estimator "
            f"{problem.objective.n_rows}, or other labels. Fit both on the same rows and labels."
        )
    return audit


def named_groups(groups, n):
    """List of (name, rows) of groups as a mapping, or as one label for each training row."""
    if groups is None:
        return []
    if isinstance(groups, Mapping):
        found = as_groups([np.asarray(rows) for rows in groups.values()], n) if groups else []
        return [(str(name), rows) for name, rows in zip(groups, found, strict=True)]
    labels = check_group_labels(groups)
    if labels.shape != (n,):
        raise ValueError(
            f"groups should be a mapping from names to training rows, or one label for each of the "
            f"{n} training rows; got an array of shape {labels.shape}."
        )
    return [(str(name), np.flatnonzero(labels == name)) for name in np.unique(labels)]
