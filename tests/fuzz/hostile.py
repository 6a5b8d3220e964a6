"""Hostile inputs, by combination: each ends in a clear error that names the argument, at once.

`python -m tests.fuzz.hostile` runs all of them and prints those that do not.
"""

import sys
import time
from dataclasses import dataclass
from functools import cache

import numpy as np
import scipy.sparse as sp
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.svm import SVC, LinearSVC

import skinfluence
from skinfluence import (
    InfluenceElasticNet,
    InfluenceExplainer,
    InfluenceGammaRegressor,
    InfluenceHuberRegressor,
    InfluenceLasso,
    InfluenceLinearRegression,
    InfluenceLogisticRegression,
    InfluencePoissonRegressor,
    InfluenceRidge,
    InfluenceRidgeClassifier,
    InfluenceTweedieRegressor,
    SmoothQuantileRegressor,
    explain,
    make_target,
)
from skinfluence.kernel_models import InfluenceKernelRidge, KernelLogisticRegression
from skinfluence.svm import SmoothEpsilonSVR, SmoothHingeSVC
from tests.fuzz.asking import ask

# Seconds of CPU that an error may take.
AT_ONCE = 1.0
N, P, M = 12, 2, 3

ESTIMATORS = {
    "logistic": (lambda: InfluenceLogisticRegression(), "classes"),
    "softmax": (lambda: InfluenceLogisticRegression(), "three classes"),
    "ridge classifier": (lambda: InfluenceRidgeClassifier(), "classes"),
    "kernel logistic": (lambda: KernelLogisticRegression(), "classes"),
    "smooth hinge": (lambda: SmoothHingeSVC(temperature=0.5), "classes"),
    "svc": (lambda: InfluenceExplainer(SVC(kernel="linear")), "three classes"),
    "linear svc": (lambda: InfluenceExplainer(LinearSVC()), "classes"),
    "wrapped logistic": (lambda: InfluenceExplainer(LogisticRegression()), "classes"),
    "least squares": (lambda: InfluenceLinearRegression(), "real"),
    "ridge": (lambda: InfluenceRidge(), "real"),
    "wrapped ridge": (lambda: InfluenceExplainer(Ridge()), "real"),
    "kernel ridge": (lambda: InfluenceKernelRidge(kernel="rbf"), "real"),
    "lasso": (lambda: InfluenceLasso(alpha=0.1), "real"),
    "elastic net": (lambda: InfluenceElasticNet(alpha=0.1), "real"),
    "huber": (lambda: InfluenceHuberRegressor(), "real"),
    "quantile": (lambda: SmoothQuantileRegressor(alpha=0.0, temperature=0.5), "real"),
    "svr": (lambda: SmoothEpsilonSVR(temperature=0.5), "real"),
    "poisson": (lambda: InfluencePoissonRegressor(), "positive"),
    "gamma": (lambda: InfluenceGammaRegressor(), "positive"),
    "tweedie": (lambda: InfluenceTweedieRegressor(power=1.5), "positive"),
}
CHECKED = ("X", "y", "sample_weight", "X_test", "y_test")
# What else an argument may be called in scikit-learn's own sentences.
ALSO = {
    "X_test": ("X",),
    "y_test": ("y",),
    "sample_weight": ("weights",),
    "estimator": ("model", "is not supported"),
    "model": ("is not supported", "is not fitted yet"),
}


@dataclass(frozen=True)
class Hostile:
    """One input: `call(model, data, value)` is to raise, naming `argument`."""

    estimator: str
    method: str
    argument: str
    label: str
    call: object

    def __str__(self):
        return f"{self.estimator}.{self.method}({self.argument}={self.label})"


@cache
def data_of(response):
    """Rows and responses that nothing is wrong with."""
    rng = np.random.default_rng(0)
    X, X_test = rng.normal(size=(N, P)), rng.normal(size=(M, P))
    if response == "real":
        return X, rng.normal(size=N), X_test, rng.normal(size=M)
    if response == "positive":
        return X, rng.gamma(2.0, size=N), X_test, rng.gamma(2.0, size=M)
    K = 3 if response == "three classes" else 2
    return X, np.arange(N) % K, X_test, np.arange(M) % K


@cache
def fitted(name):
    make, response = ESTIMATORS[name]
    X, y, _, _ = data_of(response)
    return make().fit(X, y)


def _with(array, value, dtype=None):
    """A copy with one entry changed."""
    array = np.array(array, dtype=dtype or array.dtype)
    array.flat[0] = value
    return array


def rows(X):
    """Hostile matrices in place of X, by label."""
    return {
        "1-D": X[:, 0],
        "3-D": X[None],
        "a scalar": 3.0,
        "None": None,
        "a string": "rows",
        "NaN": _with(X, np.nan),
        "infinity": _with(X, np.inf),
        "strings": X.astype(str).astype(object) + "a",
        "objects": np.array([[object()] * P] * len(X)),
        "complex": X.astype(complex),
        "no rows": X[:0],
        "no columns": X[:, :0],
        "ragged": [[1.0], [1.0, 2.0]],
        "a dictionary": {"a": 1},
        "sparse with NaN": sp.csr_array(_with(X, np.nan)),
    }


def test_rows(X):
    """The same, and the wrong width."""
    return {
        **rows(X),
        "too wide": np.hstack([X, X]),
        "too narrow": X[:, :1],
        "sparse, too wide": sp.csr_array(np.hstack([X, X])),
    }


def responses(y, classes):
    """Hostile labels in place of y."""
    found = {
        "too short": y[:-1],
        "too long": np.append(y, y[0]),
        "NaN": _with(y, np.nan, float),
        "infinity": _with(y, np.inf, float),
        "a scalar": 1,
        "3-D": np.zeros((len(y), 1, 2)),
        "empty": y[:0],
        "complex": y.astype(complex),
        "objects": np.array([object()] * len(y)),
        "None in it": np.array([None, *y[1:]], dtype=object),
        "a dictionary": {"a": 1},
    }
    if not classes:
        found["strings"] = np.array(["a"] * len(y))
    return found


def weights(n):
    """Hostile sample weights."""
    w = np.ones(n)
    return {
        "too short": w[:-1],
        "too long": np.ones(n + 1),
        "negative": _with(w, -1.0),
        "NaN": _with(w, np.nan),
        "infinity": _with(w, np.inf),
        "all zero": 0 * w,
        "2-D": np.ones((n, 2)),
        "strings": np.array(["a"] * n),
        "a string": "balanced",
        "complex": w.astype(complex),
        "objects": np.array([object()] * n),
        "None in it": np.array([None] * n, dtype=object),
    }


CHOICES = {"unknown": "foo", "a number": 3, "True": True, "a list": ["newton"], "bytes": b"newton"}
NUMBERS = {
    "a string": "a",
    "NaN": np.nan,
    "infinity": np.inf,
    "None": None,
    "True": True,
    "complex": 1j,
    "an array": np.array([0.1, 0.2]),
}
INDICES = {
    "floats": np.array([0.0, 1.0]),
    "out of range": [N],
    "too negative": [-N - 1],
    "2-D": [[0, 1]],
    "a scalar": 3,
    "strings": ["a", "b"],
    "a short mask": np.ones(N - 1, dtype=bool),
    "objects": [object()],
    "None in it": [0, None],
    "NaN": [0, np.nan],
    "a string": "all",
    "a dictionary": {"a": 1},
}
GROUPS = {
    "too short": np.zeros(N - 1, dtype=int),
    "None": None,
    "None in it": np.array([None] + [0] * (N - 1), dtype=object),
    "NaN": _with(np.zeros(N), np.nan),
    "3-D": np.zeros((1, 1, N)),
    "an integer matrix": np.zeros((2, N), dtype=int),
    "a narrow mask": np.ones((2, N - 1), dtype=bool),
    "out of range": [[0, N]],
    "a row twice": [[0, 0]],
    "floats": [[0.0, 1.0]],
    "strings": [["a", "b"]],
    "mixed labels": np.array(["a", 1] * (N // 2), dtype=object),
    "a scalar": 3,
    "a string": "abc",
    "objects": np.array([object()] * N),
}
LABELS_OF_GROUPS = {
    label: GROUPS[label]
    for label in ("too short", "None in it", "NaN", "3-D", "mixed labels", "a scalar", "a string")
}
# Missing group labels make one more group: to become an error.
PROGRESS = {"a number": 3, "a string": "bar"}
TARGETS = {
    "unknown": "foo",
    "None": None,
    "a number": 3,
    "a list": ["loss"],
    "an object": object(),
    "the wrong shape": lambda y, f: 1.0,
    "one value too many": lambda y, f: np.zeros(M + 1),
    "strings": lambda y, f: np.array(["a"] * M),
    "None from it": lambda y, f: None,
}
SCORINGS = {
    "unknown": "foo",
    "a number": 3,
    "a list": ["accuracy"],
    "a string from it": lambda model, X, y: "good",
    "an array from it": lambda model, X, y: np.zeros(3),
    "None from it": lambda model, X, y: None,
}
TOLERANCES = {**NUMBERS, "zero": 0.0, "negative": -1.0}
DAMPINGS = {**NUMBERS, "negative": -1.0}
COUNTS = {
    "zero": 0,
    "negative": -1,
    "too many": N + 1,
    "a float": 1.5,
    "True": True,
    "a string": "3",
    "None": None,
    "NaN": np.nan,
    "an array": np.array([1, 2]),
}
PROBABILITIES = {**NUMBERS, "zero": 0.0, "one": 1.0, "negative": -0.1, "two": 2.0}
# Parameters of the estimators that are the library's own: scikit-learn checks those of its own.
PARAMETERS = {
    "kernel logistic": (lambda **p: KernelLogisticRegression(**p), ("C", "tol")),
    "smooth hinge": (lambda **p: SmoothHingeSVC(**p), ("C", "tol", "temperature")),
    "svr": (lambda **p: SmoothEpsilonSVR(**p), ("C", "tol", "temperature")),
    "quantile": (lambda **p: SmoothQuantileRegressor(**p), ("temperature", "tol")),
    "kernel ridge": (lambda **p: InfluenceKernelRidge(**{"kernel": "rbf", **p}), ()),
}
OTHER_PARAMETERS = {
    "kernel logistic": {
        "kernel": {"unknown": "foo", "a number": 3, "None": None},
        "gamma": {"unknown": "foo", "negative": -1.0, "NaN": np.nan, "None": None, "True": True},
        "max_iter": {"zero": 0, "negative": -1, "a float": 1.5, "True": True, "a string": "a"},
        "class_weight": {
            "unknown": "foo",
            "a list": [1, 2],
            "negative": {0: -1.0, 1: 1.0},
            "NaN": {0: np.nan, 1: 1.0},
            "strings": {0: "a", 1: 1.0},
        },
        "fit_intercept": {"a string": "yes", "None": None},
    },
    "smooth hinge": {
        "loss": {"unknown": "foo", "None": None, "a number": 3},
        "kernel": {"unknown": "foo", "a number": 3, "None": None},
        "max_iter": {"zero": 0, "negative": -1, "a float": 1.5, "True": True},
        "fit_intercept": {"a string": "yes", "None": None},
    },
    "svr": {
        "epsilon": {"negative": -1.0, "NaN": np.nan, "a string": "a", "True": True, "None": None},
        "kernel": {"unknown": "foo", "a number": 3},
        "max_iter": {"zero": 0, "negative": -1, "a float": 1.5, "True": True},
    },
    "quantile": {
        "quantile": {"zero": 0.0, "one": 1.0, "NaN": np.nan, "a string": "a", "True": True},
        "alpha": {"negative": -1.0, "NaN": np.nan, "infinity": np.inf, "a string": "a"},
        "max_iter": {"zero": 0, "negative": -1, "a float": 1.5, "True": True, "a string": "a"},
        "fit_intercept": {"a string": "yes", "None": None},
    },
    "kernel ridge": {
        "alpha": {**NUMBERS, "negative": -1.0},
        "kernel": {"unknown": "foo", "a number": 3, "None": None},
        "gamma": {"a string": "foo", "negative": -1.0, "NaN": np.nan},
        "fit_intercept": {"a string": "yes", "None": None},
    },
}


def _of_queries(name):
    """Hostile arguments of the methods that take test rows."""
    X_test, y_test = data_of(ESTIMATORS[name][1])[2:]
    classes = ESTIMATORS[name][1] in ("classes", "three classes")
    wrong = {
        "X_test": test_rows(X_test),
        "y_test": {**responses(y_test, classes), "None": None},
        "target": TARGETS,
        "method": {**CHOICES, "None": None},
        "aggregate": CHOICES,
        "train_indices": INDICES,
        "curvature": {**CHOICES, "None": None},
        "damping": DAMPINGS,
        "progress": PROGRESS,
    }
    if classes:
        wrong["y_test"]["unseen"] = np.array(["never seen"] * M)
    common = {key: wrong[key] for key in ("X_test", "y_test", "target", "method", "damping")}
    return {
        "influence": wrong,
        "most_influential": {
            **{key: value for key, value in wrong.items() if key not in ("aggregate", "progress")},
            "k": COUNTS,
        },
        "group_influence": {**common, "groups": GROUPS},
        "score_influence": {
            "X_test": wrong["X_test"],
            "y_test": wrong["y_test"],
            "scoring": SCORINGS,
            "method": wrong["method"],
            "train_indices": INDICES,
        },
    }


def _of_others(name):
    """Hostile arguments of the methods that take none."""
    classes = ESTIMATORS[name][1] in ("classes", "three classes")
    method = {**CHOICES, "None": None}
    found = {
        "self_influence": {
            "target": {k: TARGETS[k] for k in ("unknown", "None", "a number", "an object")},
            "method": method,
            "train_indices": INDICES,
            "damping": DAMPINGS,
            "curvature": method,
        },
        "parameter_influence": {
            "method": method,
            "train_indices": INDICES,
            "damping": DAMPINGS,
            "curvature": method,
        },
        "loo_estimate": {
            "method": method,
            "scoring": SCORINGS,
            "groups": LABELS_OF_GROUPS,
            "tol": TOLERANCES,
            "progress": PROGRESS,
        },
        "parameter_covariance": {"kind": method, "groups": LABELS_OF_GROUPS},
        "local_influence": {
            "perturbation": method,
            "feature": {"too far": P, "a float": 0.5, "True": True, "unknown": "age"},
            "scale": {**NUMBERS, "zero": 0.0, "negative": -1.0},
        },
    }
    if not classes:
        found["prediction_interval"] = {
            "X_test": test_rows(data_of(ESTIMATORS[name][1])[2]),
            "alpha": PROBABILITIES,
            "method": {"unknown": "foo", "None": None, "a number": 3},
        }
    return found


def _query(method, argument, value):
    """Call of a method of test rows with one hostile argument."""

    def call(model, data):
        X_test, y_test = data[2:]
        arguments = {"X_test": X_test, "y_test": y_test}
        if method == "group_influence":
            arguments["groups"] = [[0, 1]]
        arguments[argument] = value
        return getattr(model, method)(**arguments)

    return call


def _other(method, argument, value):
    """Call of another method with one hostile argument, and those that it needs beside it."""
    beside = {
        ("parameter_covariance", "groups"): {"kind": "CR0"},
        ("local_influence", "feature"): {"perturbation": "feature"},
        ("loo_estimate", "progress"): {"method": "exact"},
    }.get((method, argument), {})

    def call(model, data):
        arguments = {**beside, argument: value}
        if method == "prediction_interval":
            arguments = {"X_test": data[2], **arguments}
        return getattr(model, method)(**arguments)

    return call


def _of_fit(name, make, response):
    """Hostile rows, labels and weights."""
    found = []
    classes = response in ("classes", "three classes")
    X, y = data_of(response)[:2]
    fits = {"X": rows(X), "y": responses(y, classes), "sample_weight": weights(N)}
    if classes and name != "ridge classifier":  # which scikit-learn fits to one class too
        fits["y"]["one class"] = np.zeros(N, dtype=int)
    if response == "positive":
        fits["y"]["negative"] = _with(y, -1.0)
    for argument, values in fits.items():
        for label, value in values.items():

            def fit(model, data, make=make, argument=argument, value=value):
                arguments = {"X": data[0], "y": data[1], argument: value}
                return make().fit(**arguments)

            found.append(Hostile(name, "fit", argument, label, fit))
    return found


def cases():
    """Every hostile input."""
    found = []
    for name, (make, response) in ESTIMATORS.items():
        found += _of_fit(name, make, response)
        for maker, table in ((_query, _of_queries(name)), (_other, _of_others(name))):
            for method, wrong in table.items():
                for argument, values in wrong.items():
                    for label, value in values.items():
                        call = maker(method, argument, value)
                        found.append(Hostile(name, method, argument, label, call))
    return found + _of_parameters() + _of_functions()


def _of_parameters():
    found = []
    for name, (make, positive) in PARAMETERS.items():
        table = {key: {**NUMBERS, "zero": 0.0, "negative": -1.0} for key in positive}
        for argument, values in {**table, **OTHER_PARAMETERS[name]}.items():
            for label, value in values.items():

                def fit(model, data, make=make, argument=argument, value=value):
                    return make(**{argument: value}).fit(data[0], data[1])

                found.append(Hostile(name, "fit after __init__", argument, label, fit))
    return found


def _of_functions():
    """Hostile models."""
    unfitted = InfluenceRidge()
    models = {
        "None": None,
        "a number": 3,
        "a string": "a",
        "a class": InfluenceRidge,
        "not fitted": unfitted,
        "not supported": RandomForestClassifier(),
    }
    X, y, X_test, y_test = data_of("real")
    found = []
    for label, value in models.items():
        calls = {
            "explain": lambda model, data, value=value: explain(value),
            "influence": lambda model, data, value=value: skinfluence.influence(
                value, X_test, y_test
            ),
            "loo_estimate": lambda model, data, value=value: skinfluence.loo_estimate(value),
        }
        for method, call in calls.items():
            found.append(Hostile("ridge", f"skinfluence.{method}", "model", label, call))
        if label != "not fitted":

            def fit(model, data, value=value):
                return InfluenceExplainer(value).fit(X, y)

            found.append(Hostile("ridge", "InfluenceExplainer", "estimator", label, fit))
    for label, value in {"None": None, "a number": 3, "a string": "loss"}.items():
        found.append(
            Hostile(
                "ridge",
                "make_target",
                "function",
                label,
                lambda model, data, value=value: make_target(value),
            )
        )
    return found


def complaint(case):
    """What is wrong with how a hostile input ends; None if it ends well, or is not mended yet."""
    model, data = fitted(case.estimator), data_of(ESTIMATORS[case.estimator][1])
    start = time.process_time()
    answer = ask(lambda: case.call(model, data), seconds=20.0)
    seconds = time.process_time() - start
    if answer.error is None:
        return "no error"
    text = f"{type(answer.error).__name__}: {answer.error}"
    if not answer.is_sentence:
        return f"{text[:140]} at {answer.place}"
    names = (case.argument, *ALSO.get(case.argument, ()))
    # What scikit-learn says of rows and labels its users know.
    if isinstance(answer.error, NotImplementedError):  # of models that have no such quantity
        return None
    theirs = case.argument in CHECKED and not answer.place.startswith("skinfluence")
    if not theirs and not any(name in text for name in names):
        return f"does not name it: {text[:160]}"
    if seconds > AT_ONCE:
        return f"took {seconds:.1f} s"
    return None


def main():
    """Print the complaints."""
    everything = cases()
    bad = 0
    for case in everything:
        found = complaint(case)
        if found is not None:
            bad += 1
            print(f"{case}: {found}", flush=True)
    print(f"{len(everything)} hostile inputs, {bad} not answered by a clear error")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
