"""One number for each test row, of any fitted scikit-learn model: the output that is explained."""

import numpy as np
from sklearn.base import is_classifier

from skinfluence._validation import as_numbers, check_choice, encode_labels
from skinfluence.deletion.targets import Target
from skinfluence.link import DecisionLink, MulticlassLink

CLASSIFIER_TARGETS = ("margin", "loss", "probability", "decision_function")
REGRESSOR_TARGETS = ("prediction", "loss")


def check_target(target, estimator):
    """Return a target as it is; raise for names that say nothing of the estimator's outputs."""
    if isinstance(target, Target):
        raise TypeError(
            f"target should be a name or a function of (model, X_test, y_test); got {target!r}."
        )
    if callable(target):
        return target
    names = CLASSIFIER_TARGETS if is_classifier(estimator) else REGRESSOR_TARGETS
    return check_choice("target", target, names)


def target_name(target):
    """Name of a target, by which saved outputs are told apart."""
    if isinstance(target, str):
        return target
    module = getattr(target, "__module__", type(target).__module__)
    return f"{module}.{getattr(target, '__qualname__', type(target).__qualname__)}"


def is_higher_better(target):
    """Whether greater values of a target are better; None for a caller's own."""
    if not isinstance(target, str):
        return None
    return target != "loss"


def read_output(model, X_test, y_test, target):
    """Output (n_test,) of a fitted model at test rows.

    Parameters
    ----------
    model : estimator
        Fitted classifier or regressor.
    X_test, y_test : array-like
    target : str or callable
    """
    if callable(target):
        found = as_numbers("what target returns", target(model, X_test, y_test))
    elif is_classifier(model):
        found = _CLASSIFIERS[target](model, X_test, y_test)
    else:
        prediction = np.asarray(model.predict(X_test), dtype=np.float64)
        found = prediction
        if target == "loss":
            found = (as_numbers("y_test", y_test).reshape(prediction.shape) - prediction) ** 2
    n_test = X_test.shape[0] if hasattr(X_test, "shape") else len(X_test)
    if found.shape != (n_test,):
        raise ValueError(
            f"target={target_name(target)!r} should be one number for each of the {n_test} test "
            f"rows; got shape {found.shape}. Of a model of several outputs, pass a function of "
            "(model, X_test, y_test) that returns one."
        )
    return found


def _margin(model, X_test, y_test):
    """Log odds of the label by the scores; the margin of the votes where there are no scores.

    Scores are in units without end: of a probability that is nearly 1 they keep the digits. A
    forest votes, and its probabilities may be 0: there the margin is that of Breiman (2001).
    """
    codes = encode_labels(y_test, model.classes_, "y_test")
    if hasattr(model, "decision_function"):
        scores = np.asarray(model.decision_function(X_test), dtype=np.float64)
        if scores.ndim == 1:
            return DecisionLink().margin(codes, scores)
        if scores.shape[1] != len(model.classes_):
            raise ValueError(
                f"decision_function of {type(model).__name__} has {scores.shape[1]} columns for "
                f"{len(model.classes_)} classes: no class has a score of its own. Use "
                "target='probability', or a function of (model, X_test, y_test)."
            )
        return MulticlassLink(scores.shape[1]).margin(codes, scores)
    probability = _probabilities(model, X_test, "margin")
    rows = np.arange(len(codes))
    own = probability[rows, codes].copy()
    probability[rows, codes] = -np.inf
    return own - probability.max(axis=1)


def _loss(model, X_test, y_test):
    """Log loss, with probabilities clipped at the float64 epsilon as scikit-learn's metric does."""
    eps = np.finfo(np.float64).eps
    return -np.log(np.clip(_probability(model, X_test, y_test, "loss"), eps, 1.0 - eps))


def _probability(model, X_test, y_test, target="probability"):
    """Probability of the label."""
    codes = encode_labels(y_test, model.classes_, "y_test")
    return _probabilities(model, X_test, target)[np.arange(len(codes)), codes]


def _decision_function(model, X_test, y_test):
    """Decision value of two classes."""
    if not hasattr(model, "decision_function"):
        raise ValueError(
            f"{type(model).__name__} has no decision_function: use target='margin' or "
            "'probability'."
        )
    return np.asarray(model.decision_function(X_test), dtype=np.float64)


def _probabilities(model, X_test, target):
    """Class probabilities; raise for a model without any."""
    if not hasattr(model, "predict_proba"):
        raise ValueError(
            f"target={target!r} needs predict_proba, which {type(model).__name__} does not have: "
            "use target='margin', or a function of (model, X_test, y_test)."
        )
    return np.array(model.predict_proba(X_test), dtype=np.float64)


_CLASSIFIERS = {
    "margin": _margin,
    "loss": _loss,
    "probability": _probability,
    "decision_function": _decision_function,
}
