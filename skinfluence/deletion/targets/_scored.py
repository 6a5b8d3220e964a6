"""Targets of classes whose scores are a function of the predictors, not the predictors."""

import numpy as np

from skinfluence.deletion.targets._base import Target


class ScoredTarget(Target):
    """A target of K class scores, read from the predictors of another loss.

    Parameters
    ----------
    target : Target
        Of the scores.
    loss : Loss
        With `scores`, `score_slopes` and `predicted`.
    """

    def __init__(self, target, loss):
        self.target, self.loss = target, loss
        for name in ("name", "greater_is_better", "needs_labels", "uses_encoded_labels"):
            setattr(self, name, getattr(target, name))
        self.is_differentiable, self.n_outputs = target.is_differentiable, target.n_outputs

    def value(self, y, eta):
        """Value at the scores; a label is right where it is predicted."""
        if self.name == "zero_one":
            return (self.loss.predicted(eta) != y).astype(float)
        return self.target.value(y, self.loss.scores(eta))

    def gradient(self, y, eta):
        """By the chain rule; of the votes there is none."""
        outer = np.asarray(self.target.gradient(y, self.loss.scores(eta)))
        slopes = self.loss.score_slopes(eta)
        if self.n_outputs == 1:
            return np.matmul(outer[..., None, :], slopes)[..., 0, :]
        return np.matmul(outer, slopes)


class PairDecision(Target):
    """The predictors themselves, one a pair."""

    name = "decision_function"
    greater_is_better = True
    needs_labels = False

    def __init__(self, n_pairs):
        self.n_outputs = n_pairs

    def value(self, y, eta):
        return eta

    def gradient(self, y, eta):
        return np.broadcast_to(np.eye(eta.shape[-1]), (*eta.shape, eta.shape[-1]))
