"""Scores of training rows: the larger, the more suspect is the given label."""

import numpy as np

from skinfluence import attribution


def _own_loss(objective, eta):
    """Loss (n,) of the training rows at predictors (n, K); NaN where these are."""
    loss = np.full(objective.n_rows, np.nan)
    known = ~np.isnan(eta).any(axis=1)
    native = objective.native(eta[known])
    loss[known] = objective.trained_loss.value(objective.y[known], native)
    return loss


def loo_loss(problem, loo, validation, method):
    """Loss of each row under the model without it."""
    return _own_loss(problem.objective, loo.eta)


def train_loss(problem, loo, validation, method):
    """Loss of each row under the model of all rows."""
    return _own_loss(problem.objective, problem.objective.eta)


def self_influence(problem, loo, validation, method):
    """Change of each row's loss on its removal, to first order (Koh & Liang)."""
    deletion = problem.deletion("first_order", own=True)
    return attribution.self_influence(
        deletion, problem.own_query("loss", "first_order"), linearised=True
    )


def probability_weighted(problem, loo, validation, method):
    """Self-influence times the leave-one-out probability that the given label is wrong."""
    log_given = problem.link.log_probability(problem.objective.y, problem.objective.native(loo.eta))
    return -np.expm1(log_given) * self_influence(problem, loo, validation, method)


def influence_on_validation(problem, loo, validation, method):
    """Minus the change of the mean validation loss without each row: harmful rows first."""
    query, deletion = problem.ask(*validation, "loss", method, None, "auto", 0.0, None)
    return -attribution.influence(deletion, query, "mean", linearised=False)


def margin(problem, loo, validation, method):
    """Minus the leave-one-out margin of the given label."""
    target = problem.target("margin")
    eta = problem.objective.native(loo.eta)
    y = problem.objective.y if target.uses_encoded_labels else problem.labels
    return -np.asarray(target.value(y, eta))


#: Scores of one fit, by name.
SCORES = {
    "loo_loss": loo_loss,
    "train_loss": train_loss,
    "self_influence": self_influence,
    "probability_weighted": probability_weighted,
    "influence_on_validation": influence_on_validation,
    "margin": margin,
}
NOISE_MODEL = "noise_model"
#: Scores that make sense without class probabilities.
WITHOUT_PROBABILITIES = ("loo_loss", "margin")
