"""Training rows whose features are moved until a model errs where it did not."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import column_or_1d

from skinfluence._frames import DataFrame, Result, data_frame, take_rows
from skinfluence._typing import MatrixLike
from skinfluence._validation import (
    as_index,
    as_numbers,
    check_choice,
    check_positive,
    check_same_length,
    naming,
    shown,
)
from skinfluence.explainer import InfluenceExplainer, unwrap
from skinfluence.functions import explain
from skinfluence.perturbation import MovableRows

CONSTRAINTS = ("box", "uint8")
LEVELS = 255.0
# A step shorter than this share of epsilon is the last.
SHORTEST = 1 / 64


@dataclass(frozen=True)
class Poisoning(Result):
    """Poisoned training rows, and what a refit on them predicts.

    Attributes
    ----------
    rows : ndarray of int, shape (n_rows,)
        Positions of the poisoned training rows.
    X_poisoned : ndarray of shape (n_rows, p)
        Their features after the attack; labels are never touched.
    displacement : ndarray of shape (n_rows, p)
        What was added.
    targets : ndarray of int, shape (t,)
        Test rows that were attacked: those of the ones asked for that were right before.
    before, after : ndarray of shape (t,)
        Labels of the targets, predicted before and after.
    losses : ndarray of shape (n_iter + 1,)
        Mean loss of the targets before the attack and after each accepted step, by refits.
    n_iter : int
        Refits that the search took.
    estimator : estimator
        Clone of the estimator, fitted anew on the poisoned data: what `after` is predicted by.
    """

    rows: np.ndarray
    X_poisoned: np.ndarray
    displacement: np.ndarray
    targets: np.ndarray
    before: np.ndarray
    after: np.ndarray
    losses: np.ndarray
    n_iter: int
    estimator: BaseEstimator

    @property
    def flipped(self) -> np.ndarray:
        """Whether the prediction of each target is another one.

        Returns
        -------
        ndarray of bool, shape (t,)
            One entry for each target.
        """
        return self.before != self.after

    @property
    def success(self) -> bool:
        """Whether all targets are flipped.

        Returns
        -------
        bool
            As the refit predicts.
        """
        return bool(self.flipped.all())

    def to_frame(self) -> DataFrame:
        """Return one line for each target, as a pandas DataFrame.

        Returns
        -------
        pandas.DataFrame
            Columns target, before, after and flipped.
        """
        columns = {"target": self.targets, "before": self.before, "after": self.after}
        return data_frame({**columns, "flipped": self.flipped})

    def __repr__(self):
        """What was moved how far, and how many targets are flipped."""
        size = np.abs(self.displacement).max(initial=0.0)
        one = len(self.rows) == 1
        return (
            f"Poisoning: {self.flipped.sum()} of {len(self.targets)} targets flipped by "
            f"{len(self.rows)} row{'' if one else 's'} moved by up to {size:.3g} a feature, after "
            f"{self.n_iter} refits; mean loss {self.losses[0]:.3g} to {self.losses[-1]:.3g}"
        )


class PoisoningAttack(BaseEstimator):
    """Move the features of a few training rows until a model errs at given test rows.

    An audit of one's own model, after Koh & Liang (2017): the gradient of the targets' loss in the
    features of the training rows says which rows to move and whither, their labels stay. The model
    is refitted at each step, and a step that does not raise the loss is taken back and halved. It
    stops when the targets are flipped. That it fails proves no robustness.

    Parameters
    ----------
    estimator : estimator
        Supported classifier or a Pipeline that ends in one, of this library or of scikit-learn;
        cloned. The steps before the last are linear, or offer `input_vjp`.
    n_rows : int, default=1
        Training rows that are moved: those whose full move along the gradient raises the loss most.
    epsilon : float
        Largest change of a feature, in the units of X.
    constraint : {"box", "uint8"} or callable, default="box"
        What a poisoned row may be. "box": each feature within epsilon of its own value. "uint8":
        the same, and whole numbers from 0 to 255. A callable takes the moved rows and the original
        ones, (n_rows, p) each, and returns rows that are allowed, such as those in the range of
        each column.
    bounds : pair (low, high) or "data", optional
        Smallest and largest value that a feature may have, numbers or one for each column: moved
        rows are clipped to them, after the constraint. "data": those of each column of X. Without
        them a box of pixels reaches out of the range of pixels.
    n_iter : int, default=30
        Refits, at most.
    target_rows : array-like of int or bool mask, optional
        Positions of the test rows that are attacked together; all by default.

    See Also
    --------
    skinfluence.InfluenceExplainer.feature_influence : The gradients.

    References
    ----------
    Koh & Liang, Understanding black-box predictions via influence functions, ICML 2017, section
    5.2.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.preprocessing import scale
    >>> from skinfluence.attacks import PoisoningAttack
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> X = scale(X)
    >>> attack = PoisoningAttack(LogisticRegression(tol=1e-8), epsilon=2.0, target_rows=[20])
    >>> attack.run(X[:400], y[:400], X[400:], y[400:]).losses.round(2)
    array([...])
    """

    def __init__(
        self,
        estimator: BaseEstimator,
        *,
        n_rows: int = 1,
        epsilon: float = 0.1,
        constraint: str | Callable = "box",
        bounds: tuple | str | None = None,
        n_iter: int = 30,
        target_rows: ArrayLike | None = None,
    ):
        self.estimator = estimator
        self.n_rows = n_rows
        self.epsilon = epsilon
        self.constraint = constraint
        self.bounds = bounds
        self.n_iter = n_iter
        self.target_rows = target_rows

    def run(self, X: MatrixLike, y: ArrayLike, X_test: MatrixLike, y_test: ArrayLike) -> Poisoning:
        """Search for poisoned rows.

        Parameters
        ----------
        X, y : array-like
            Training rows, dense, and their labels. Columns of a data frame that hold no numbers
            are not moved.
        X_test, y_test : array-like
            Test rows and their labels.

        Returns
        -------
        Poisoning
            The rows, and the refit that confirms what they do.

        Raises
        ------
        ValueError
            For parameters out of their range, or where every target is misclassified already.
        TypeError, NotImplementedError, numpy.linalg.LinAlgError
            As the influence methods.
        """
        check_same_length(X=X, y=y)
        check_same_length(X_test=X_test, y_test=y_test)
        if hasattr(X, "tocsr"):
            raise TypeError(f"X should be dense: every feature of a row moves; got {shown(X)}.")
        table = MovableRows(X)
        X, y, y_test = table.values, column_or_1d(y), column_or_1d(y_test)
        self._check(X[:, table.is_number])
        bounds = self._checked_bounds(X, table.is_number)
        asked = as_index(self.target_rows, len(y_test), "target_rows")
        if not len(asked):
            raise ValueError("target_rows is empty: name at least one test row to attack.")
        model = self._fit(table, X, y)
        with naming("X_test"):
            predicted = np.asarray(model.predict(take_rows(X_test, asked)))
        targets = asked[predicted == y_test[asked]]
        if not len(targets):
            raise ValueError(
                "target_rows are all misclassified without any attack: there is nothing to flip."
            )
        question = take_rows(X_test, targets), y_test[targets]
        rows, X_moved, losses, n_iter = self._search(model, table, X, y, question, bounds)
        poisoned = X.copy()
        poisoned[rows] = X_moved
        refit = clone(self.estimator).fit(table.like_table(poisoned), y)
        return Poisoning(
            rows,
            X_moved,
            X_moved - X[rows],
            targets,
            y_test[targets],
            np.asarray(refit.predict(question[0])),
            np.array(losses),
            n_iter,
            refit,
        )

    # -- the search --------------------------------------------------------------------------------

    def _check(self, X):
        """Raise for parameters that are not in their range."""
        if not is_classifier(self.estimator):
            raise ValueError(
                f"{type(self.estimator).__name__} is no classifier: its predictions do not flip."
            )
        if _is_frozen(self.estimator):
            raise ValueError(
                "a FrozenEstimator is not fitted again, so that no poisoned row could change it: "
                "pass the estimator inside."
            )
        for name, most in (("n_rows", len(X)), ("n_iter", None)):
            value = getattr(self, name)
            good = isinstance(value, int | np.integer) and not isinstance(value, bool)
            if not good or value < 1 or (most is not None and value > most):
                limit = "" if most is None else f" and at most the {most} training rows"
                raise ValueError(f"{name} should be a positive integer{limit}; got {shown(value)}.")
        check_positive("epsilon", self.epsilon)
        if callable(self.constraint):
            return
        check_choice("constraint", self.constraint, CONSTRAINTS)
        outside = (X < 0) | (X > LEVELS) | (np.round(X) != X)
        if self.constraint == "uint8" and outside.any():
            raise ValueError(
                "constraint='uint8' is for features that are whole numbers from 0 to 255; X has "
                f"{X[outside][0]:g}. Pass such features, or a callable."
            )
        if self.constraint == "uint8" and self.epsilon < 1:
            raise ValueError(
                "constraint='uint8' moves features by whole numbers: epsilon should be at least 1; "
                f"got {shown(self.epsilon)}."
            )

    def _checked_bounds(self, X, is_number):
        """(low, high) of each column, (p,) each; infinite without bounds."""
        p, bounds = X.shape[1], self.bounds
        if bounds is None:
            return np.full(p, -np.inf), np.full(p, np.inf)
        if isinstance(bounds, str):
            check_choice("bounds", bounds, ("data",))
            return X.min(axis=0), X.max(axis=0)
        try:
            low, high = (np.broadcast_to(np.asarray(end, dtype=np.float64), (p,)) for end in bounds)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"bounds should be 'data' or a pair (low, high) of numbers or of arrays of {p} "
                f"numbers; got {shown(bounds)}."
            ) from error
        if not (low <= high).all():  # NaN is not either
            raise ValueError(f"bounds should have low <= high; got {shown(bounds)}.")
        outside = ((low > X) | (high < X)) & is_number
        if outside.any():
            raise ValueError(
                f"bounds leave out training rows: X has {X[outside][0]:g}. Pass wider ones, or "
                "bounds='data'."
            )
        return low, high

    def _fit(self, table, X, y):
        """Explainer of a clone fitted on some rows."""
        X = table.like_table(X)
        model = clone(self.estimator).fit(X, y)
        if hasattr(unwrap(model)[-1], "__fitted_problem__"):
            return explain(model)
        return InfluenceExplainer(FrozenEstimator(model)).fit(X, y)

    def _allowed(self, moved, original):
        """The nearest rows that the constraint allows."""
        if callable(self.constraint):
            allowed = as_numbers("what constraint returns", self.constraint(moved, original))
            if allowed.shape != moved.shape:
                raise ValueError(
                    f"constraint(moved, original) should return shape {moved.shape}; got "
                    f"{allowed.shape}."
                )
            if not np.isfinite(allowed).all():
                raise ValueError("constraint(moved, original) should return finite numbers.")
            return allowed
        if self.constraint == "box":
            return np.clip(moved, original - self.epsilon, original + self.epsilon)
        reach = np.floor(self.epsilon)
        moved = np.clip(np.round(moved), original - reach, original + reach)
        return np.clip(moved, 0.0, LEVELS)

    def _search(self, model, table, X, y, question, bounds):
        """(rows, their features, mean losses of the targets, number of refits)."""
        gradient = self._gradient(model, table.like_table(X), question)

        def allowed(moved, original):
            moved = np.clip(self._allowed(moved, original), *bounds)
            return np.where(table.is_number, moved, original)

        corner = allowed(X + self.epsilon * np.sign(gradient), X)
        rows = self._most_harmful(model, table.like_table(X), corner - X, question)
        original, moved = X[rows], X[rows].copy()
        losses, step, n_refits = [_mean_loss(model, question)], self.epsilon, 0
        gradient = gradient[rows]
        while n_refits < self.n_iter and step >= SHORTEST * self.epsilon:
            trial = allowed(moved + step * np.sign(gradient), original)
            if np.array_equal(trial, moved):  # in the corner that the gradient points to
                break
            n_refits += 1
            poisoned = X.copy()
            poisoned[rows] = trial
            refit = self._fit(table, poisoned, y)
            loss = _mean_loss(refit, question)
            if loss > losses[-1]:
                losses.append(loss)
                moved = trial
                if (refit.predict(question[0]) != question[1]).all():
                    break
                gradient = self._gradient(refit, table.like_table(poisoned), question, rows)
            else:
                step *= 0.5
        return rows, moved, losses, n_refits

    def _gradient(self, model, X, question, rows=None):
        """Gradient of the targets' mean loss in the features of rows, (r, p)."""
        asked = {"aggregate": "mean", "features": "input", "train_indices": rows}
        return model.feature_influence(*question, X_train=X, **asked)

    def _most_harmful(self, model, X, displacement, question):
        """Rows whose full move raises the targets' mean loss most, the most harmful first."""
        effect = model.feature_influence(
            *question,
            displacement=displacement,
            features="input",
            X_train=X,
            method="newton",
            aggregate="mean",
        )
        return np.argsort(-np.nan_to_num(effect, nan=-np.inf), kind="stable")[: self.n_rows]


def _is_frozen(estimator):
    """Whether an estimator, or the last step of a Pipeline, is never fitted again."""
    while isinstance(estimator, Pipeline):
        estimator = estimator.steps[-1][1]
    return isinstance(estimator, FrozenEstimator)


def _mean_loss(model, question):
    """Mean loss of the targets."""
    problem = model.__fitted_problem__()
    query = problem.query(*question, "loss", "newton")
    return float(query.target.value(query.y, problem.objective.native(query.eta)).mean())
