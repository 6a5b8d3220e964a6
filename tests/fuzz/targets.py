"""Targets again, in long double: functions of a label and a predictor (..., K)."""

import numpy as np

from tests.fuzz.losses import LD, Softmax, sigmoid, softplus

OF_CLASSIFIERS = (
    "loss",
    "margin",
    "decision_function",
    "hinge",
    "squared_hinge",
    "zero_one",
    "predict_proba",
    "brier",
)
OF_REGRESSORS = (
    "loss",
    "prediction",
    "residual",
    "squared_error",
    "absolute_error",
    "pinball",
    "poisson_deviance",
)
UP = {"margin", "decision_function", "predict_proba", "prediction"}
UNLABELLED = {"decision_function", "predict_proba", "prediction"}


def names(spec):
    """What a model may be asked for."""
    if not spec.loss.n_classes:
        # A deviance is one of responses and means that are not negative.
        positive = np.min(spec.labels) >= 0
        return OF_REGRESSORS if positive else OF_REGRESSORS[:-1]
    return OF_CLASSIFIERS if spec.has_probabilities else OF_CLASSIFIERS[:-2]


def value(name, spec, labels, eta):
    """Values (..., outputs) of a target at predictors (m, ..., K); labels (m,) or (m, outputs).

    The last axis is of length 1 unless the target has one value a class or an output.
    """
    labels = np.asarray(labels)
    if name == "loss":
        y = spec.loss.encode(labels)
        y = y.reshape(len(y), *[1] * (eta.ndim - 2), -1)
        return spec.loss.value(y, eta)[..., None]
    if spec.loss.n_classes:
        return _of_classes(name, spec, labels, eta)
    return _of_means(name, spec, labels, eta)


def scores(spec, eta):
    """Scores of the classes: the predictors, or votes with ties broken by confidence."""
    loss = spec.loss
    if not getattr(loss, "pairs", False):
        return eta
    result = np.zeros((*eta.shape[:-1], loss.n_classes), dtype=LD)
    confidence = np.zeros_like(result)
    for pair, (i, j) in enumerate(zip(loss.first, loss.second, strict=True)):
        f = eta[..., pair]
        result[..., i] += f >= 0
        result[..., j] += f < 0
        confidence[..., i] += f
        confidence[..., j] -= f
    return result + confidence / (3 * (np.abs(confidence) + 1))


def predicted(spec, eta):
    """Position of the predicted class."""
    if spec.loss.n_classes == 2:
        return (eta[..., 0] > 0).astype(int)
    found = scores(spec, eta)
    if getattr(spec.loss, "pairs", False) and not spec.break_ties:
        found = np.round(found)  # the votes alone
    return found.argmax(axis=-1)


def probabilities(spec, eta):
    """(..., n_classes)."""
    if spec.loss.n_classes == 2:
        return np.concatenate([sigmoid(-eta), sigmoid(eta)], axis=-1)
    return Softmax(spec.loss.n_classes).probabilities(eta)


def _of_classes(name, spec, labels, eta):
    code = labels.reshape(len(labels), *[1] * (eta.ndim - 2))
    code = np.broadcast_to(code, eta.shape[:-1])
    if name == "zero_one":
        return (predicted(spec, eta) != code).astype(LD)[..., None]
    if name == "decision_function":
        return eta if spec.decision_shape == "ovo" else scores(spec, eta)
    if name == "predict_proba":
        p = probabilities(spec, eta)
        return p[..., 1:] if spec.loss.n_classes == 2 else p
    if name == "brier":
        if spec.loss.n_classes == 2:
            sign = np.where(code == 1, LD(1), LD(-1))[..., None]
            return sigmoid(-sign * eta) ** 2
        p = probabilities(spec, eta)
        hit = code[..., None] == np.arange(spec.loss.n_classes)
        own = np.where(hit, 0, p).sum(axis=-1)
        return (own**2 + np.where(hit, 0, p**2).sum(axis=-1))[..., None]
    if spec.loss.n_classes == 2:
        margin = np.where(code == 1, LD(1), LD(-1))[..., None] * eta
    else:
        found = scores(spec, eta)
        hit = code[..., None] == np.arange(spec.loss.n_classes)
        own = np.where(hit, found, 0).sum(axis=-1)
        others = np.where(hit, -np.inf, found)
        top = others.max(axis=-1)
        if name == "margin":
            rest = np.log(np.exp(others - top[..., None]).sum(axis=-1))
            margin = (own - top - rest)[..., None]
        else:
            margin = (own - top)[..., None]
    hinge = np.maximum(0, 1 - margin)
    return {"margin": margin, "hinge": hinge, "squared_hinge": hinge**2}[name]


def _of_means(name, spec, labels, eta):
    mean = spec.loss.mean(eta)
    y = np.asarray(labels, dtype=LD).reshape(len(labels), -1)
    y = y.reshape(len(y), *[1] * (eta.ndim - 2), -1)
    residual = y - mean
    if name == "prediction":
        return mean
    if name == "residual":
        return residual
    tau = getattr(spec.loss, "tau", LD(0.5))
    with np.errstate(divide="ignore", invalid="ignore"):
        error = {
            "squared_error": lambda: residual**2,
            "absolute_error": lambda: np.abs(residual),
            "pinball": lambda: np.maximum(tau * residual, (tau - 1) * residual),
            # A mean that is 0 in float64 has an infinite one; of those near it few digits are left.
            "poisson_deviance": lambda: np.where(
                mean >= np.finfo(float).tiny, deviance(y, mean), np.inf
            ),
        }[name]()
    return error.mean(axis=-1, keepdims=True)


def deviance(y, mean):
    positive = np.where(y > 0, y, 1)
    safe = np.where(mean > 0, mean, 1)
    return 2 * (np.where(y > 0, y * (np.log(positive) - np.log(safe)), 0) - y + mean)


def slope(name, spec, labels, eta):
    """(derivative (m, outputs, K) at predictors (m, K), whether it is the same on both sides (m,)).

    By differences, which in long double are good to twelve digits.
    """
    step = LD(1e-6) * spec.unit
    if name in ("brier", "predict_proba"):
        found = _slope_of_probabilities(name, spec, labels, eta, step)
        return found, np.ones(len(eta), dtype=bool)
    if name == "poisson_deviance":  # steep near a mean of 0, and none beyond
        return _slope_of_deviance(spec, labels, eta, step)
    columns, smooth = [], np.ones(len(eta), dtype=bool)
    middle = value(name, spec, labels, eta)
    for k in range(eta.shape[1]):
        e = np.zeros_like(eta)
        e[:, k] = step
        up, down = value(name, spec, labels, eta + e), value(name, spec, labels, eta - e)
        near, far = value(name, spec, labels, eta + e / 2), value(name, spec, labels, eta - e / 2)
        # Two steps, whose error of step^2 cancels: the slope of a cube may be less than that.
        columns.append((8 * (near - far) - (up - down)) / (6 * step))
        right, left = (up - middle) / step, (middle - down) / step
        rough = np.abs(right - left) > 1e-4 * (np.abs(right) + np.abs(left)) + 1e-12
        curved = np.abs(up - 2 * middle + down) > 1e-9 * np.abs(middle)
        smooth &= ~(rough & curved).any(axis=1)
    return np.stack(columns, axis=2), smooth


def _slope_of_probabilities(name, spec, labels, eta, step):
    """Of predict_proba, and of Brier scores as sums of (e - e') (e + e') over the classes.

    A number near 1 changes by minus what the rest changes by: its own difference has no digits.
    """
    two, numbers = spec.loss.n_classes == 2, np.arange(spec.loss.n_classes)
    hit = (np.asarray(labels)[:, None] == numbers) & (name == "brier")

    def errors(eta):
        p = probabilities(spec, eta)
        rest = np.stack([np.delete(p, k, axis=-1).sum(axis=-1) for k in numbers], -1)
        return np.where(hit, rest, p), np.where(hit, p, rest)

    columns = []
    for k in range(eta.shape[1]):
        e = np.zeros_like(eta)
        e[:, k] = step
        (up, right_up), (down, right_down) = errors(eta + e), errors(eta - e)
        change = np.where(right_up < up, right_down - right_up, up - down) / (2 * step)
        if name == "brier":
            change = (change * (up + down)).sum(axis=1, keepdims=True) / (2 if two else 1)
        columns.append(change[:, 1:] if two and name != "brier" else change)
    return np.stack(columns, axis=2)


def _slope_of_deviance(spec, labels, eta, step):
    """2 (1 - y / mu) times the slope of the mean."""
    mean = spec.loss.mean(eta)
    outer = 2 * (1 - np.asarray(labels, dtype=LD).reshape(len(labels), -1) / mean)
    columns = []
    for k in range(eta.shape[1]):
        e = np.zeros_like(eta)
        e[:, k] = step
        inner = (spec.loss.mean(eta + e) - spec.loss.mean(eta - e)) / (2 * step)
        columns.append((outer * inner).mean(axis=1))
    return np.stack(columns, axis=1)[:, None], (mean > 0).all(axis=1)


def custom(spec):
    """(function of labels and decisions for the library, the same in long double)."""
    two = spec.loss.n_classes == 2

    def flat(y, decision):
        decision = np.asarray(decision)
        return np.tanh(decision if two else decision[:, 0] - decision[:, 1])

    def long(eta):
        found = eta if spec.decision_shape == "ovo" else scores(spec, eta)
        return np.tanh(found[..., :1] if two else found[..., :1] - found[..., 1:2])

    return flat, long


__all__ = ["custom", "names", "predicted", "probabilities", "scores", "slope", "softplus", "value"]
