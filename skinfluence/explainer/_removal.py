"""Pipelines and searches without some rows, or with further ones: the last step moves."""

import copy

import numpy as np
from sklearn.base import clone

from skinfluence._frames import take_rows
from skinfluence._validation import check_sample_weight, naming
from skinfluence.adapters import ResponseScale
from skinfluence.base import (
    InfluenceMixin,
    certify_refit,
    frozen_settings,
    rows_asked,
)
from skinfluence.explainer._explainer import explainer_of
from skinfluence.explainer._models import unwrap, weight_params, with_final
from skinfluence.problem import changes, fitted_problem

# Distance of all rows from those of fit, as a share of their spread, at which they are others.
FAR = 0.5


def model_without(model, rows, asked, data=None):
    """Return a fitted model without some rows: its last step moved, or all steps fitted again.

    Parameters
    ----------
    model : estimator
    rows, asked
        Arguments of `without`.
    data : (X, y, sample_weight), optional
        All rows as they were given to fit: the steps are fitted again on the rest.
    """
    if isinstance(model, InfluenceMixin) and data is None:
        return model.without(rows, **asked)
    explainer_of(model)  # raises where there is nothing to move
    transformers, responses, final = unwrap(model)
    if data is None or not transformers:
        return with_final(model, final.without(rows, **asked))
    X, y, weight = data
    if X is None or y is None:
        raise ValueError(
            "refit_steps=True fits the earlier steps again, whose rows a Pipeline does not keep: "
            "pass all rows and labels as X and y."
        )
    gone, n_before = rows_asked(final, rows, **asked)
    if np.shape(X)[0] != n_before or len(np.asarray(y)) != n_before:
        raise ValueError(
            f"X and y should be the {n_before} rows that the model was fitted on; got "
            f"{np.shape(X)[0]} and {len(np.asarray(y))}."
        )
    _check_rows_of_fit(final, X, y, weight, transformers, responses)
    kept = np.delete(np.arange(n_before), gone)
    fresh = clone(getattr(model, "best_estimator_", model))
    weight = None if weight is None else np.asarray(weight)[kept]
    unwrap(fresh)[-1].set_params(**frozen_settings(final))
    fresh.fit(take_rows(X, kept), take_rows(y, kept), **weight_params(fresh, weight))
    certify_refit(unwrap(fresh)[-1], final, gone, "all steps were fitted again")
    if not hasattr(model, "best_estimator_"):
        return fresh
    new = copy.copy(model)
    new.best_estimator_ = fresh
    return new


def _is_near(here, there):
    """Whether rows are the same but for what a step's `fit_transform` does unlike its `transform`.

    Target encoders and randomised decompositions do; rows in another order differ by more than the
    spread of the data.
    """
    size, apart = (X.data if hasattr(X, "tocsr") else X for X in (there, here - there))
    spread = size - (0.0 if hasattr(there, "tocsr") else there.mean(axis=0))
    return np.linalg.norm(apart) <= FAR * np.linalg.norm(spread)


def _check_rows_of_fit(final, X, y, weight, transformers, responses):
    """Raise unless the earlier steps send rows and labels to those of the last step's fit."""
    problem = fitted_problem(final)
    for step in transformers:
        X = step.transform(X)
    space = problem.record.data.space
    if space is None or space.rows is not None:
        here, there = problem.transform(X), changes.features_of(problem, slice(None))
        if here.shape != there.shape or not _is_near(here, there):
            raise ValueError(
                "X are not the rows that the model was fitted on: its steps do not send them to "
                "those of its last step. Pass all rows of fit, in their order."
            )
    y = ResponseScale(responses).transform(y, "y") if responses else y
    codes, own = problem.adapted.encode(y, "y"), problem.objective.y
    if codes.shape != own.shape or not np.allclose(codes, own, rtol=1e-8):
        raise ValueError(
            "y are not the labels that the model was fitted on. Pass all labels of fit, in their "
            "order."
        )
    n = problem.objective.n_rows
    weights = [check_sample_weight(each, n) for each in (weight, problem.sample_weight)]
    if not np.allclose(*weights, rtol=1e-8):
        raise ValueError(
            "sample_weight are not those that the model was fitted with. Pass all weights of fit, "
            "in their order, or none if it had none."
        )


def model_with(model, X_new, y_new, sample_weight):
    """Return a fitted model with further rows, which go through its earlier steps."""
    if isinstance(model, InfluenceMixin):
        return model.with_rows(X_new, y_new, sample_weight=sample_weight)
    explainer_of(model)
    transformers, responses, final = unwrap(model)
    with naming("X_new"):
        for step in transformers:
            X_new = step.transform(X_new)
    if responses:
        y_new = ResponseScale(responses).transform(y_new, "y_new")
    return with_final(model, final.with_rows(X_new, y_new, sample_weight=sample_weight))
