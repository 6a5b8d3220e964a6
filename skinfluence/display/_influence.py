"""The training rows behind the predictions of some test rows."""

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from skinfluence._frames import DataFrame, checked_labels, data_frame
from skinfluence._typing import MatrixLike
from skinfluence.deletion.targets import Target
from skinfluence.display._axes import axes, short, signed_bars, told_apart
from skinfluence.functions import explain
from skinfluence.problem import changes, fitted_problem
from skinfluence.results import MostInfluential

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Panels of one figure; characters of a text beside a bar; height of a thumbnail in points.
MOST_PANELS, LONGEST_TEXT, THUMBNAIL = 12, 48, 26


class InfluenceDisplay:
    """Signed bars of the most helpful and the most harmful training rows of each test row.

    One panel for each test row; helpful rows (blue) on top, harmful ones (red) below. With images
    each bar has the training row's thumbnail, with texts the beginning of its text.

    Make one by :meth:`from_estimator` or :meth:`from_most_influential`. All parameters are kept as
    attributes.

    Parameters
    ----------
    influence : array-like of shape (n_test, r)
        Influences, those of the helpful rows first.
    indices : array-like of int, shape (n_test, r)
        Positions of the training rows; -1 for none.
    n_helpful : int
        How many of the r are helpful rows.
    train_labels : array-like of shape (n_train,), optional
        Names of the training rows; positions by default.
    test_labels : array-like of shape (n_test,), optional
        Names of the test rows; positions by default.
    images : pair of array-like, optional
        Of shape (n_train, height, width) and (n_test, height, width), with a last axis of 3 in
        colours. Either of a pair may be None, here and below.
    texts : pair of lists of str, optional
        Of the training rows and of the test rows.
    response : str, default="change of the loss"
        Name of the influence, for the axis.
    name : str, optional
        Name of the model, for the title.

    Attributes
    ----------
    ax_ : matplotlib Axes, or ndarray of them with several test rows
    figure_ : matplotlib Figure
    bars_ : list of matplotlib BarContainer
        One for each test row.

    Raises
    ------
    ValueError
        If the arrays have different shapes, images or texts another length, or there are more than
        12 test rows.

    See Also
    --------
    InfluenceDistanceDisplay : All training rows and one test row.
    skinfluence.InfluenceReport : The same for all test rows, in one page.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import scale
    >>> from skinfluence import InfluenceLogisticRegression
    >>> from skinfluence.display import InfluenceDisplay
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X = scale(X)
    >>> clf = InfluenceLogisticRegression().fit(X[:400], y[:400])
    >>> display = InfluenceDisplay.from_estimator(clf, X[400:401], y[400:401], k=3)
    >>> display.influence.shape, display.n_helpful
    ((1, 6), 3)
    """

    def __init__(
        self,
        *,
        influence: ArrayLike,
        indices: ArrayLike,
        n_helpful: int,
        train_labels: ArrayLike | None = None,
        test_labels: ArrayLike | None = None,
        images: tuple | None = None,
        texts: tuple | None = None,
        response: str = "change of the loss",
        name: str | None = None,
    ):
        self.influence, self.indices = np.asarray(influence, float), np.asarray(indices)
        if self.influence.ndim != 2 or self.influence.shape != self.indices.shape:
            raise ValueError(
                "influence and indices should have one shape (n_test, r); got "
                f"{self.influence.shape} and {self.indices.shape}."
            )
        m = len(self.influence)
        if not 1 <= m <= MOST_PANELS:
            raise ValueError(
                f"InfluenceDisplay draws 1 to {MOST_PANELS} test rows, a panel each; got {m}. Pass "
                "fewer rows of X_test, or write an InfluenceReport."
            )
        self.n_helpful = int(n_helpful)
        least = int(self.indices.max(initial=-1)) + 1
        self.train_labels = np.arange(least) if train_labels is None else np.asarray(train_labels)
        if self.train_labels.ndim != 1 or len(self.train_labels) < least:
            raise ValueError(
                f"train_labels should hold one name for each training row, at least {least}; got "
                f"shape {self.train_labels.shape}."
            )
        self.test_labels = checked_labels(test_labels, m, "test_labels")
        self.images = _pair("images", images, least, m)
        self.texts = _pair("texts", texts, least, m)
        self.response = response
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: BaseEstimator,
        X_test: MatrixLike,
        y_test: ArrayLike | None = None,
        *,
        k: int = 5,
        target: str | Target = "loss",
        method: str = "auto",
        image_shape: tuple | None = None,
        images: tuple | None = None,
        texts: tuple | None = None,
        train_labels: ArrayLike | None = None,
        test_labels: ArrayLike | None = None,
        ax: "Axes | None" = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Compute the most influential training rows of some test rows, and draw them.

        Parameters
        ----------
        estimator : estimator
            As in :func:`skinfluence.explain`, or a fitted :class:`skinfluence.InfluenceExplainer`.
        X_test, y_test, target, method
            As in :meth:`InfluenceExplainer.most_influential`; at most 12 test rows.
        k : int, default=5
            Rows of each kind.
        image_shape : tuple of int, optional
            Shape (height, width) that the features of the model, which are then pixels, have as an
            image; with a last 3 in colours.
        images, texts : pair, optional
            As in the class.
        train_labels, test_labels : array-like, optional
            Names of the rows; the indices of data frames by default, else positions.
        ax : matplotlib Axes, optional
            Axes to draw on, a sequence of them for several test rows; new axes by default.
        name : str, optional
            Name of the model; that of its class by default.
        **kwargs
            As in :meth:`plot`.

        Returns
        -------
        InfluenceDisplay
            The display, drawn.

        Raises
        ------
        TypeError, ValueError, numpy.linalg.LinAlgError
            As :func:`skinfluence.explain` and :meth:`InfluenceExplainer.most_influential`.
        """
        view = explain(estimator)
        found = view.most_influential(X_test, y_test, k=k, target=target, method=method)
        if image_shape is not None:
            if images is not None:
                raise ValueError("images and image_shape say the same: pass one of them.")
            images = _pixels(fitted_problem(view), X_test, image_shape)
        what = target if isinstance(target, str) else getattr(target, "__name__", "target")
        return cls.from_most_influential(
            found,
            train_labels=train_labels,
            test_labels=test_labels,
            images=images,
            texts=texts,
            response=f"change of the {what.replace('_', ' ')} without the row",
            ax=ax,
            name=type(view.estimator_).__name__ if name is None else name,
            **kwargs,
        )

    @classmethod
    def from_most_influential(
        cls,
        found: MostInfluential,
        *,
        train_labels: ArrayLike | None = None,
        test_labels: ArrayLike | None = None,
        images: tuple | None = None,
        texts: tuple | None = None,
        response: str = "change of the loss without the row",
        ax: "Axes | None" = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Draw rows that are already found.

        Parameters
        ----------
        found : MostInfluential
            Result of `most_influential`, for a target with one number for each test row.
        train_labels, test_labels, images, texts, response, name
            As in the class.
        ax : matplotlib Axes, optional
            As in :meth:`from_estimator`.
        **kwargs
            As in :meth:`plot`.

        Returns
        -------
        InfluenceDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If the target has one number for each class.
        """
        if found.helpful_values.ndim != 2:
            raise ValueError(
                "InfluenceDisplay draws a target with one number for each test row, such as "
                f'"loss" or "margin"; this one has {found.helpful_values.shape[2]}.'
            )
        display = cls(
            influence=np.concatenate([found.helpful_values, found.harmful_values[:, ::-1]], 1),
            indices=np.concatenate([found.helpful_indices, found.harmful_indices[:, ::-1]], 1),
            n_helpful=found.helpful_values.shape[1],
            train_labels=found.row_names if train_labels is None else train_labels,
            test_labels=found.test_names if test_labels is None else test_labels,
            images=images,
            texts=texts,
            response=response,
            name=name,
        )
        return display.plot(ax, **kwargs)

    def plot(
        self,
        ax: "Axes | None" = None,
        *,
        name: str | None = None,
        bar_kwargs: dict | None = None,
    ) -> Self:
        """Draw the figure.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw on, a sequence of them for several test rows; new axes by default.
        name : str, optional
            Name for the title; that of the display by default.
        bar_kwargs : dict, optional
            Keyword arguments of matplotlib's barh.

        Returns
        -------
        InfluenceDisplay
            The display, with its artists as attributes.
        """
        panels = self._panels(ax)
        name = self.name if name is None else name
        self.figure_, self.bars_ = panels[0].figure, []
        tests = told_apart(self.test_labels)
        for t, panel in enumerate(panels):
            known = np.flatnonzero(self.indices[t] >= 0)
            rows = self.indices[t][known]
            labels = self._labels(rows)
            hurts = known >= self.n_helpful
            bars = signed_bars(panel, self.influence[t][known], labels, hurts, bar_kwargs)
            self.bars_.append(bars)
            self._decorate(panel, t, rows)
            title = f"test row {tests[t]}"
            if t == 0 and name is not None:
                title = f"{short(name, 40)}: {title}"
            if self.texts[1] is not None:
                title = f"{title}\n{short(self.texts[1][t], 2 * LONGEST_TEXT)}"
            panel.set_title(title, loc="left", fontsize="medium")
        panels[-1].set_xlabel(self.response)
        self.ax_ = panels[0] if len(panels) == 1 else np.array(panels)
        return self

    def _panels(self, ax):
        """Axes, one for each test row."""
        m = len(self.influence)
        if ax is None:
            first = axes(None)
            figure, height = first.figure, 0.22 if self.images[0] is None else 0.42
            if self.texts[0] is not None:
                height = max(height, 0.34)
            first.remove()
            figure.set_size_inches(7.0, m * (0.9 + height * self.influence.shape[1]))
            return [axes(panel) for panel in np.ravel(figure.subplots(m, 1, squeeze=False))]
        panels = list(np.ravel(np.asarray(ax, dtype=object)))
        if len(panels) != m:
            raise ValueError(f"ax should be {m} axes, one for each test row; got {len(panels)}.")
        return [axes(panel) for panel in panels]

    def _labels(self, rows):
        """Names of training rows, with the beginnings of their texts if there are any."""
        labels = told_apart([self.train_labels[row] for row in rows])
        if self.texts[0] is None:
            return labels
        texts = [short(self.texts[0][row], LONGEST_TEXT) for row in rows]
        return [f"{label}\n{text}" for label, text in zip(labels, texts, strict=True)]

    def _decorate(self, panel, t, rows):
        """Draw thumbnails beside the bars, and the test row's image in the free corner."""
        if self.images[0] is not None:
            panel.tick_params(axis="y", pad=THUMBNAIL + 8, length=0)
            for place, row in enumerate(rows):
                _thumbnail(panel, self.images[0][row], (0.0, place), ("axes fraction", "data"))
        if self.images[1] is not None:
            corner = (0.985, 0.03)
            _thumbnail(panel, self.images[1][t], corner, "axes fraction", scale=1.6, corner=True)

    def to_frame(self) -> DataFrame:
        """Return the drawn values as a pandas DataFrame.

        Returns
        -------
        pandas.DataFrame
            Columns test, kind, train and influence, one line for each bar.
        """
        tests, places = np.nonzero(self.indices >= 0)
        kind = np.where(places < self.n_helpful, "helpful", "harmful")
        return data_frame(
            {
                "test": self.test_labels[tests],
                "kind": kind,
                "train": self.train_labels[self.indices[tests, places]],
                "influence": self.influence[tests, places],
            }
        )


def _thumbnail(panel, image, at, coordinates, *, scale=1.0, corner=False):
    """Draw an image of a fixed height in points, left of a place or in a corner."""
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    image = np.asarray(image)
    drawn = OffsetImage(image, zoom=scale * THUMBNAIL / image.shape[0], cmap="gray")
    offset = (0, 0) if corner else (-5, 0)
    box = AnnotationBbox(
        drawn,
        at,
        xybox=offset,
        xycoords=coordinates,
        boxcoords="offset points",
        box_alignment=(1.0, 0.0) if corner else (1.0, 0.5),
        pad=0.0,
        frameon=False,
        annotation_clip=False,
    )
    panel.add_artist(box)


def _pair(name, given, n, m):
    """(Of training rows, of test rows), either None; raise on other lengths."""
    if given is None:
        return (None, None)
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise ValueError(
            f"{name} should be a pair (of the training rows, of the test rows), in which either "
            f"may be None; got {type(given).__name__}."
        )
    train, test = given
    if train is not None and len(train) < n:
        raise ValueError(f"{name}[0] has {len(train)} entries, and row {n - 1} is to be drawn.")
    if test is not None and len(test) != m:
        raise ValueError(f"{name}[1] should have {m} entries, one a test row; got {len(test)}.")
    if name == "texts":
        for text in [*(train or ()), *(test or ())]:
            if not isinstance(text, str):
                raise TypeError(f"texts should be strings; got {type(text).__name__}.")
    return (train, test)


def _pixels(problem, X_test, shape):
    """Features of the training rows and of test rows as images."""
    found = []
    for rows in (changes.features_of(problem, slice(None)), problem.transform(X_test)):
        rows = np.asarray(rows.toarray() if hasattr(rows, "toarray") else rows, dtype=float)
        if int(np.prod(shape)) != rows.shape[1]:
            raise ValueError(
                f"image_shape={shape!r} has {int(np.prod(shape))} pixels, and the model has "
                f"{rows.shape[1]} features."
            )
        found.append(rows.reshape(len(rows), *shape))
    return tuple(found)
