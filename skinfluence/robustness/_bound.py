"""Quantities as functions of an objective: value, distance from flipping, derivatives."""

from dataclasses import dataclass

import numpy as np

from skinfluence.attribution import rows_to_score, score_of


@dataclass(frozen=True)
class Contrast:
    """c'theta, which flips when it reaches a level.

    Attributes
    ----------
    c : ndarray of shape (K, q)
    level : float
    sign : float
        1 if the level is below the value at the fit, else -1.
    link : Link or None
        By which values are reported, that of a prediction.
    what : str
        What flips, in words.
    """

    c: np.ndarray
    level: float
    sign: float
    what: str
    link: object = None

    is_linear = True
    is_smooth = True

    def level_at(self, objective):
        """Return the level in a caller's units, the same for every objective."""
        return self.level if self.link is None else float(self.link.mean(np.array([self.level]))[0])

    def value(self, objective):
        """Return the quantity in a caller's units."""
        found = float(np.sum(self.c * objective.theta))
        return found if self.link is None else float(self.link.mean(np.array([found]))[0])

    def margin(self, objective):
        """Return the distance from the level, positive on the side of the fit."""
        return self.sign * (float(np.sum(self.c * objective.theta)) - self.level)

    def slopes(self, objective, solve):
        """Return the derivatives of the margin: in theta (K, q), and in log w_i at a fixed theta.

        The second is an array (n,), or None where it is 0.
        """
        return self.sign * self.c, None


@dataclass(frozen=True)
class ClassMargin:
    """Lead of the predicted class of one row over the best other.

    Attributes
    ----------
    design : Design of shape (1, q)
    link : Link
    code : int
        Of the class predicted at the fit.
    what : str
    """

    design: object
    link: object
    code: int
    what: str

    is_linear = False
    is_smooth = True

    def level_at(self, objective):
        """Return 0, where the lead changes."""
        return 0.0

    def _scores(self, objective):
        """Scores of the classes, (n_classes,), and the predictors (1, K)."""
        eta = self.design @ objective.theta.T
        native = eta[:, 0] if self.link.is_scalar else eta
        scores = np.atleast_1d(self.link.scores(native)[0])
        if len(scores) == 1:  # of the second of two classes
            scores = np.array([-0.5, 0.5]) * scores
        return scores, native

    def _rival(self, scores):
        """Code of the best other class."""
        others = scores.copy()
        others[self.code] = -np.inf
        return int(np.argmax(others))

    def value(self, objective):
        """Return the lead in the units of the decision function."""
        scores, _ = self._scores(objective)
        return float(scores[self.code] - scores[self._rival(scores)])

    margin = value

    def slopes(self, objective, solve):
        """Return the derivative of the lead in theta, (K, q), and None for that in weights."""
        scores, eta = self._scores(objective)
        slope = np.zeros(len(scores))
        slope[self.code], slope[self._rival(scores)] = 1.0, -1.0
        if self.link.is_scalar:
            slope = np.array([slope[1]])
        back = np.reshape(self.link.scores_vjp(slope[None, :], eta), (1, -1))
        return back.T @ self.design.dense(slice(None)), None


@dataclass(frozen=True)
class ScoreLevel:
    """A metric on labelled rows, which flips when it falls to a level (or rises to it).

    Attributes
    ----------
    design : Design
    labels, encoded : ndarray
    X : array-like or None
        For a callable `scoring`.
    link : Link
    scoring : str or callable
    level, sign : float
    what : str
    """

    design: object
    labels: np.ndarray
    encoded: np.ndarray
    X: object
    link: object
    scoring: object
    level: float
    sign: float
    what: str

    is_linear = False
    is_smooth = False

    def level_at(self, objective):
        """Return the level of the score, the same for every objective."""
        return self.level

    def _native(self, objective):
        """Predictors of the labelled rows, in the link's shape."""
        eta = self.design @ objective.theta.T
        return eta[:, 0] if self.link.is_scalar else eta

    def value(self, objective):
        """Return the score."""
        rows = np.arange(len(self.labels))
        X = rows_to_score(self.scoring, self.X, rows)
        return score_of(self.link, self._native(objective), self.labels, self.scoring, X=X)[0]

    def margin(self, objective):
        """Return the distance of the score from its level, positive on the side of the fit."""
        return self.sign * (self.value(objective) - self.level)

    def slopes(self, objective, solve):
        """Return the derivative in theta of minus the labelled rows' mean loss, times the sign.

        Scores have steps: the loss orders the candidates, the score itself judges them.
        """
        eta = self.design @ objective.theta.T
        slope = objective.loss.gradient(self.encoded, objective.native(eta))
        slope = slope.reshape(len(eta), -1) / len(eta)
        return -self.sign * self.design.transpose_matmul(slope).T, None
