"""InfluenceReport: one offline page that shows what is behind a model's predictions."""

import html
import tempfile
import warnings
import webbrowser
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.metadata_routing import MetadataRouter

from skinfluence._typing import MatrixLike
from skinfluence.explainer import estimator_router, score_weight
from skinfluence.labels import LabelAudit
from skinfluence.report._diagnostics import diagnostics
from skinfluence.report._encode import clipped
from skinfluence.report._inputs import make_subject
from skinfluence.report._labels import labels
from skinfluence.report._overview import overview
from skinfluence.report._page import render
from skinfluence.report._payload import payload
from skinfluence.report._predictions import details, predictions
from skinfluence.report._rows import show_rows
from skinfluence.report._what_if import what_if

FRAME = (
    '<iframe sandbox="allow-scripts allow-downloads" title="{title}" srcdoc="{page}" '
    'width="100%" height="720" style="border: 1px solid #8886; border-radius: 6px"></iframe>'
)


class InfluenceReport:
    """One offline HTML page: predictions, the training rows behind them, suspect labels, what-if.

    The page is a single file. It needs no network and asks for none: a Content-Security-Policy
    forbids everything but the page's own script and style. Its five tabs are

    - Overview: the model, leave-one-out scores beside those of the test rows, five rows to look at;
    - Predictions: all test rows, errors first, and for those with details the most helpful and the
      most harmful training rows, and the prediction without each or with its label changed;
    - Labels, with an `audit`: suspect labels with the evidence; decisions about them are kept by
      the browser and exported for :meth:`skinfluence.labels.LabelAudit.apply`;
    - What if: the model without a group, or without rows that the reader picks;
    - Diagnostics: one step against refits, leverage against residual, Cook's distances.

    Everything is computed at construction.

    Parameters
    ----------
    estimator : estimator
        As in :func:`skinfluence.explain`, or a fitted :class:`skinfluence.InfluenceExplainer`.
    X_test : {array-like, sparse matrix, data frame} of shape (n_test, n_features)
        Test rows, at most 20,000.
    y_test : array-like of shape (n_test,) or None
        Their labels or responses. Without them there are no losses, errors and scores.
    audit : LabelAudit, optional
        Fitted on the same training rows and labels as the estimator.
    groups : mapping or array-like of shape (n_train,), optional
        From names to positions of training rows, or the name of each training row's group. The 50
        largest are shown.
    row_labels : pair of array-like, optional
        Names of the training rows, and of the test rows; the indices of data frames by default.
        Either of a pair may be None, here and below.
    images : pair of array-like, optional
        Of shape (n_train, height, width) and (n_test, height, width), with a last axis of 3 in
        colours.
    texts : pair of lists of str, optional
        Of the training rows and the test rows.
    title : str, optional
        Of the page.
    test_sample_weight : array-like of shape (n_test,), optional
        Weights of the test rows in scores and mean losses; with metadata routing only if the score
        of the last step requests `sample_weight`.
    **params
        Metadata for that score, with ``sklearn.set_config(enable_metadata_routing=True)``.

    Attributes
    ----------
    estimator : estimator
        The fitted model; of an explainer, the one inside.
    data : dict
        What the tabs show, as arrays.

    Raises
    ------
    ValueError, TypeError
        For names, images or texts of another number than rows, texts that are no strings, an audit
        of other rows, weights without labels, and too many test rows.
    NotImplementedError
        For models with several responses.
    numpy.linalg.LinAlgError, RuntimeError
        As the influence methods.

    Notes
    -----
    A page carries names, labels, values of a few features, and images or texts of the rows that it
    shows: treat it as the data themselves.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skinfluence import InfluenceLogisticRegression, InfluenceReport
    >>> X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    >>> pipe = make_pipeline(StandardScaler(), InfluenceLogisticRegression())
    >>> report = InfluenceReport(pipe.fit(X[:400], y[:400]), X[400:420], y[400:420])
    >>> report
    InfluenceReport of 20 test rows and 400 training rows: write_html(path), open()
    """

    def __init__(
        self,
        estimator: BaseEstimator,
        X_test: MatrixLike,
        y_test: ArrayLike | None,
        *,
        audit: LabelAudit | None = None,
        groups: Mapping | ArrayLike | None = None,
        row_labels: tuple | None = None,
        images: tuple | None = None,
        texts: tuple | None = None,
        title: str | None = None,
        test_sample_weight: ArrayLike | None = None,
        **params: Any,
    ):
        self.estimator = getattr(estimator, "estimator_", estimator)
        self._subject = subject = make_subject(
            estimator,
            X_test,
            y_test,
            audit=audit,
            groups=groups,
            row_labels=row_labels,
            images=images,
            texts=texts,
            weight=score_weight(self, test_sample_weight, params),
        )
        if title is not None and not isinstance(title, str):
            raise TypeError(f"title should be a string; got {type(title).__name__}.")
        self.title = title
        if title is None:
            self.title = f"What is behind {type(subject.problem.model).__name__}"
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            self.data = _computed(subject)
        said = dict.fromkeys((str(each.message), each.category) for each in caught)
        self.data["warnings"] = [clipped(message) for message, _ in said]
        for message, category in said:  # once each, at the caller's line
            warnings.warn(message, category, stacklevel=2)

    def get_metadata_routing(self) -> MetadataRouter:
        """Say which metadata the score of the model requests.

        Returns
        -------
        MetadataRouter
            As in scikit-learn's User Guide on metadata routing.
        """
        return estimator_router(self, score="score")

    def to_html(self) -> str:
        """Return the page.

        Returns
        -------
        str
            A whole HTML document.
        """
        return render(payload(self._subject, self.data, self.title))

    def write_html(self, path: str | PathLike) -> Path:
        """Write the page to a file.

        Parameters
        ----------
        path : str or path
            Of the file, which is replaced if it exists.

        Returns
        -------
        pathlib.Path
            The same, absolute.
        """
        path = Path(path).absolute()
        path.write_text(self.to_html(), encoding="utf-8")
        return path

    def open(self) -> Path:
        """Write the page to a temporary file, and open it in the web browser.

        Returns
        -------
        pathlib.Path
            Of the file.
        """
        folder = Path(tempfile.mkdtemp(prefix="skinfluence-"))
        path = self.write_html(folder / "report.html")
        webbrowser.open(path.as_uri())
        return path

    def _repr_html_(self):
        """Return the page in a sandboxed frame, for notebooks."""
        page, title = html.escape(self.to_html()), html.escape(clipped(self.title, 200))
        return FRAME.format(page=page, title=title)

    def __repr__(self):
        """Return how many rows the report is about."""
        if "_subject" not in vars(self):  # scikit-learn's errors name what is not made yet
            return "InfluenceReport"
        subject = self._subject
        return (
            f"InfluenceReport of {len(subject.test_names):,} test rows and "
            f"{subject.problem.objective.n_rows:,} training rows: write_html(path), open()"
        )


def _computed(subject):
    """Return what the tabs show."""
    table = predictions(subject)
    shown = show_rows(subject, table)
    loo = subject.problem.leave_one_out("auto")
    estimate = subject.problem.estimate(loo)
    mean = None
    if subject.y_test is not None:
        mean = subject.mean_influence()
    return {
        "predictions": table,
        "shown": shown,
        "overview": overview(subject, table, shown, loo, estimate, mean),
        "details": details(subject, shown, estimate),
        "labels": None if subject.audit is None else labels(subject.audit),
        "what_if": what_if(subject, table, shown),
        "diagnostics": diagnostics(subject, estimate),
    }
