"""What a fitted model is made of: its steps, its last step, and the weights that go there."""

import copy

from sklearn import get_config
from sklearn.compose import TransformedTargetRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing


def unwrap(model):
    """Return (transformers of X, of y, final estimator) of a fitted or unfitted model."""
    transformers, responses = [], []
    while True:
        if isinstance(model, FrozenEstimator):
            model = model.estimator
        elif isinstance(model, Pipeline):
            steps = [step for _, step in model.steps[:-1] if step not in (None, "passthrough")]
            transformers += steps
            model = model.steps[-1][1]
        elif isinstance(model, TransformedTargetRegressor):
            if hasattr(model, "regressor_"):
                responses.append(model.transformer_)
            model = getattr(model, "regressor_", _inner_regressor(model))
        elif hasattr(model, "param_distributions") or hasattr(model, "param_grid"):
            if hasattr(model, "best_estimator_"):
                model = model.best_estimator_
            elif hasattr(model, "cv_results_"):
                raise ValueError(
                    f"{type(model).__name__}(refit=False) keeps no fitted model: use refit=True."
                )
            else:
                model = model.estimator
        else:
            return transformers, responses, model


def _inner_regressor(model):
    """Regressor that a TransformedTargetRegressor is to fit."""
    return LinearRegression() if model.regressor is None else model.regressor


def with_final(model, final):
    """Return a copy of a fitted model around another final estimator; its other parts are shared.

    Parameters
    ----------
    model : estimator
        As for `unwrap`.
    final : estimator
        Fitted, in the place of the final one.
    """
    if isinstance(model, FrozenEstimator):
        return FrozenEstimator(with_final(model.estimator, final))
    if isinstance(model, Pipeline):
        new, (name, last) = copy.copy(model), model.steps[-1]
        new.steps = [*model.steps[:-1], (name, with_final(last, final))]
        return new
    name = None
    if isinstance(model, TransformedTargetRegressor):
        name = "regressor_"
    elif hasattr(model, "param_distributions") or hasattr(model, "param_grid"):
        name = "best_estimator_"
    if name is None:
        return final
    new = copy.copy(model)
    setattr(new, name, with_final(getattr(model, name), final))
    return new


def weight_name(model):
    """Name under which `fit` of a model takes the weights of its last step."""
    if isinstance(model, Pipeline):
        return f"{model.steps[-1][0]}__{weight_name(model.steps[-1][1])}"
    if isinstance(model, TransformedTargetRegressor):
        return weight_name(_inner_regressor(model))
    return "sample_weight"


def weight_params(model, sample_weight):
    """Keyword arguments by which `fit` of a model takes the weights of its last step."""
    if sample_weight is None:
        return {}
    routed = get_config()["enable_metadata_routing"]
    return {"sample_weight" if routed else weight_name(model): sample_weight}


def fit_params(owner, sample_weight, params):
    """Keyword arguments of ``owner.estimator.fit`` for those of ``owner.fit``.

    With metadata routing as its requests say; else the weights, for the last step.
    """
    if get_config()["enable_metadata_routing"]:
        given = {} if sample_weight is None else {"sample_weight": sample_weight}
        return dict(process_routing(owner, "fit", **given, **params).estimator.fit)
    _refuse_params(params, "sample_weight a fit takes metadata")
    return weight_params(owner.estimator, sample_weight)


def score_weight(owner, sample_weight, params):
    """Weights of test rows that reach the score of the last step of the estimator of a router.

    With metadata routing as its requests say; else the weights as they are.

    Parameters
    ----------
    owner : object with get_metadata_routing
        Its router has "estimator", a fitted model.
    sample_weight : array-like or None
    params : dict
        Other metadata.
    """
    if get_config()["enable_metadata_routing"]:
        given = {} if sample_weight is None else {"sample_weight": sample_weight}
        routed = process_routing(owner, "score", **given, **params).estimator.score
        return final_weight(owner.estimator, routed, "score")
    _refuse_params(params, "test_sample_weight a report takes metadata")
    return sample_weight


def _refuse_params(params, what):
    """Raise for metadata without metadata routing."""
    if params:
        raise ValueError(
            f"[{', '.join(map(repr, params))}] are passed but are not understood: beside {what} "
            "with sklearn.set_config(enable_metadata_routing=True), as the estimator requests them."
        )


def estimator_router(owner, **mappings):
    """Router that hands metadata on to the estimator inside, each method's to its own.

    Parameters
    ----------
    owner : object
        Its `estimator` may be frozen, which has no requests of its own.
    **mappings
        Method of the estimator that each method of the owner calls.
    """
    mapping = MethodMapping()
    for caller, callee in mappings.items():
        mapping.add(caller=caller, callee=callee)
    inner = owner.estimator
    inner = inner.estimator if isinstance(inner, FrozenEstimator) else inner
    return MetadataRouter(owner=owner).add(estimator=inner, method_mapping=mapping)


def final_weight(model, params, method="fit"):
    """Weights that reach the last step of a model, for keyword arguments of its `fit` or `score`.

    Parameters
    ----------
    model : estimator
    params : dict
        Keyword arguments of the method.
    method : {"fit", "score"}
    """
    if not get_config()["enable_metadata_routing"]:
        return params.get(weight_name(model))
    if isinstance(model, FrozenEstimator):
        return final_weight(model.estimator, params, method)
    if isinstance(model, Pipeline):
        name, last = model.steps[-1]
        return final_weight(last, process_routing(model, method, **params)[name][method], method)
    searches = hasattr(model, "param_distributions") or hasattr(model, "param_grid")
    if method == "score":
        if searches and model.scoring is None:  # its scorer is the estimator's own score
            routed = process_routing(model, "score", **params).scorer.score
            return final_weight(model.estimator, routed, "score")
        return params.get("sample_weight")
    if isinstance(model, TransformedTargetRegressor):
        inner = process_routing(model, "fit", **params).regressor.fit
        return final_weight(_inner_regressor(model), inner)
    if searches:
        return final_weight(model.estimator, process_routing(model, "fit", **params).estimator.fit)
    return params.get("sample_weight")
