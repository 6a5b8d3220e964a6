"""Pipelines over rows in blocks: each step before the last by passes over what it is given."""

from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils import get_tags

from skinfluence._frames import named_frame
from skinfluence._sources import refuse_blocks


class Steps:
    """Fitted transformers, one after the other, as a function of rows.

    Parameters
    ----------
    transformers : list of estimators
        Fitted.
    names : list of str or None
        Columns of the rows, where they have names.
    """

    def __init__(self, transformers, names):
        self.transformers, self.names = list(transformers), names

    def named(self, X):
        """Return rows with the names of their columns, where the source has names.

        Parameters
        ----------
        X : ndarray or CSR of shape (b, p)
            Rows.

        Returns
        -------
        data frame, ndarray or CSR
            The same rows.
        """
        if self.names is None or hasattr(X, "tocsr") or hasattr(X, "columns"):
            return X
        return named_frame(X, range(len(X)), self.names)

    def __call__(self, X):
        """Transformed rows."""
        X = self.named(X)
        for transformer in self.transformers:
            X = transformer.transform(X)
        return X.to_numpy() if hasattr(X, "to_numpy") else X

    def __repr__(self):
        return ", ".join(map(repr, self.transformers))


def through(transformers, blocks):
    """Return the blocks as the last step sees them.

    Parameters
    ----------
    transformers : list of estimators
        Fitted.
    blocks : RowBlocks
        As the first step sees them.

    Returns
    -------
    RowBlocks
        Transformed when they are read.
    """
    return blocks.transformed(Steps(transformers, blocks.names)) if transformers else blocks


def fit_in_blocks(model, blocks):
    """Return a fitted clone of a Pipeline, or of an estimator alone.

    Steps that are frozen stay as they are; others are fitted by `partial_fit`, a pass each.

    Parameters
    ----------
    model : estimator
        Its last step is an estimator of this library.
    blocks : RowBlocks
        With labels.

    Returns
    -------
    estimator
        Of the same kind.

    Raises
    ------
    NotImplementedError
        For steps that need all rows at once.
    """
    if isinstance(model, FrozenEstimator):
        raise refuse_blocks(
            "InfluenceExplainer(FrozenEstimator(model))",
            "its optimum is looked for on all rows. Freeze the steps before the last, and let the "
            "last one be fitted.",
        )
    if not isinstance(model, Pipeline):
        return clone(model).fit(blocks)
    fitted, transformers = [], []
    for name, step in model.steps[:-1]:
        made = step if step in (None, "passthrough") else _fitted(step, transformers, blocks)
        fitted.append((name, made))
        transformers += [] if made is step and isinstance(step, str | None) else [made]
    name, last = model.steps[-1]
    fitted.append((name, clone(last).fit(through(transformers, blocks))))
    return Pipeline(fitted)


def _fitted(step, transformers, blocks):
    """A step, fitted on the blocks as those before it transform them."""
    if isinstance(step, FrozenEstimator):
        return step
    before = Steps(transformers, blocks.names)
    new = clone(step)
    if hasattr(step, "partial_fit"):
        for i in range(blocks.n_blocks):
            if blocks.sizes[i]:
                X, y, _ = blocks.read(i)
                new.partial_fit(before(X) if transformers else before.named(X), y)
        return new
    if not get_tags(step).requires_fit:
        X = blocks[:1]
        return new.fit(before(X) if transformers else before.named(X))
    raise refuse_blocks(
        f"{type(step).__name__}, a step of the Pipeline,",
        "it has no partial_fit. Fit it on some rows, such as blocks[:100_000], and put it into "
        "sklearn.frozen.FrozenEstimator.",
    )
