"""Every estimator: what is drawn for it, how it is built, and what the oracle is told."""

from dataclasses import dataclass

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import (
    ElasticNet,
    ElasticNetCV,
    GammaRegressor,
    HuberRegressor,
    Lasso,
    LassoCV,
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    PoissonRegressor,
    Ridge,
    RidgeClassifier,
    RidgeClassifierCV,
    RidgeCV,
    TweedieRegressor,
)
from sklearn.svm import SVC, LinearSVC

from skinfluence import (
    InfluenceElasticNet,
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
)
from skinfluence.kernel_models import InfluenceKernelRidge, KernelLogisticRegression
from skinfluence.svm import SmoothEpsilonSVR, SmoothHingeSVC
from tests.fuzz import losses
from tests.fuzz.losses import LD
from tests.fuzz.oracle import Spec

# What lends the hinge of SVC and LinearSVC its derivatives.
LENT_TEMPERATURE = 1e-3


@dataclass(frozen=True)
class Model:
    """An estimator of the library.

    `draw(rng, problem)` settles the parameters, `own(problem)` and `original(problem)` build the
    library's estimator and scikit-learn's (None where there is none), `spec(problem, fitted)` gives
    the oracle's arguments beyond rows and labels.
    """

    response: str
    draw: object
    own: object
    original: object
    spec: object

    @property
    def is_classifier(self):
        return self.response == "classes"


def log_uniform(rng, low, high):
    return float(f"{10.0 ** rng.uniform(low, high):.3g}")


def _plain(low=-3, high=3):
    def draw(rng, problem):
        return problem.but(strength=log_uniform(rng, low, high))

    return draw


def _pick(options):
    """options of a problem as keyword arguments, and fit_intercept."""
    return {"fit_intercept": options.intercept, **options.settings}


# -- least squares ---------------------------------------------------------------------------------


def _draw_least_squares(rng, problem):
    return problem.but(outputs=int(rng.choice([1, 1, 2])))


def _draw_ridge(rng, problem):
    # A model of no row less than one: its penalty is what holds it.
    return problem.but(outputs=int(rng.choice([1, 1, 2])), strength=log_uniform(rng, -4, 3))


def _squared(problem, fitted):
    return {"loss": losses.Squared(max(1, problem.outputs))}


def _ridge(problem, fitted):
    alpha = getattr(fitted, "alpha_", problem.strength)
    return {**_squared(problem, fitted), "l2": alpha}


def _draw_chosen(kinds):
    def draw(rng, problem):
        return problem.but(
            options=(("kind", str(rng.choice(kinds))),), through="explainer", n=max(problem.n, 9)
        )

    return draw


GRID = (0.03, 0.3, 3.0)


def _chosen_regressor(problem):
    kind = problem.settings["kind"]
    intercept = problem.intercept
    if kind == "ridge":
        return RidgeCV(GRID, fit_intercept=intercept)
    cls = {"lasso": LassoCV, "elastic net": ElasticNetCV}[kind]
    grid = {"alphas": [0.01, 0.1, 0.5]}
    return cls(**grid, cv=3, fit_intercept=intercept, tol=1e-6, max_iter=20_000)


def _chosen_regressor_spec(problem, fitted):
    if problem.settings["kind"] == "ridge":
        return {"loss": losses.Squared(), "l2": fitted.alpha_}
    ratio = getattr(fitted, "l1_ratio_", 1.0)
    return {
        "loss": losses.Squared(),
        "shared_l1": LD(fitted.alpha_) * LD(ratio),
        "shared_l2": LD(fitted.alpha_) * (1 - LD(ratio)),
    }


def _chosen_classifier(problem):
    intercept = problem.intercept
    if problem.settings["kind"] == "ridge":
        return RidgeClassifierCV(GRID, fit_intercept=intercept)
    return LogisticRegressionCV(
        Cs=list(GRID), cv=2, fit_intercept=intercept, solver="newton-cholesky", **CV_OPTIONS
    )


# scikit-learn 1.8 asks how the chosen values are to be reported.
CV_OPTIONS = (
    {"use_legacy_attributes": False, "l1_ratios": (0.0,)}
    if "use_legacy_attributes" in LogisticRegressionCV().get_params()
    else {}
)


def _chosen_classifier_spec(problem, fitted):
    if problem.settings["kind"] == "ridge":
        return {"loss": losses.SquaredLabel(problem.outputs), "l2": fitted.alpha_}
    C = LD(float(np.ravel(fitted.C_)[0]))
    return {"loss": _log_loss(problem.outputs), "l2": 1 / C, "has_probabilities": True}


def _draw_elastic(rng, problem):
    ratio = round(float(rng.uniform(0.1, 0.9)), 2)
    return problem.but(strength=log_uniform(rng, -3, 0), options=(("l1_ratio", ratio),), outputs=1)


def _elastic(problem, fitted):
    alpha, ratio = LD(problem.strength), LD(problem.settings.get("l1_ratio", 1.0))
    return {"loss": losses.Squared(), "shared_l1": alpha * ratio, "shared_l2": alpha * (1 - ratio)}


def _coordinate(cls):
    def build(problem):
        options = {"tol": 1e-8, "max_iter": 100_000} if cls in (Lasso, ElasticNet) else {}
        return cls(alpha=problem.strength, **_pick(problem), **options)

    return build


def _transformed_model(problem):
    kind = problem.settings["kind"]
    inner = Ridge(alpha=problem.strength, fit_intercept=problem.intercept)
    if kind == "log":
        return TransformedTargetRegressor(inner, func=np.log, inverse_func=np.exp)
    return TransformedTargetRegressor(inner, func=np.cbrt, inverse_func=_cube, check_inverse=False)


def _cube(x):
    return x**3


class TransformedSquared(losses.Squared):
    """Least squares of transformed responses; predictions in their own units."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def encode(self, y):
        y = super().encode(y)
        return np.log(y) if self.kind == "log" else np.cbrt(y)

    def mean(self, eta):
        return np.exp(eta) if self.kind == "log" else eta**3


def _draw_transformed(rng, problem):
    kind = str(rng.choice(["log", "cube"]))
    return problem.but(
        strength=log_uniform(rng, -2, 2), options=(("kind", kind),), through="explainer"
    )


def _transformed(problem, fitted):
    loss = TransformedSquared(problem.settings["kind"])
    return {"loss": loss, "l2": problem.strength}


# -- kernels ---------------------------------------------------------------------------------------


def _draw_kernel(rng, kernels=("rbf", "poly", "linear")):
    kernel = str(rng.choice(kernels))
    options = [("kernel", kernel)]
    if kernel != "linear":
        options.append(("gamma", log_uniform(rng, -1, 0.5)))
    if kernel == "poly":
        options += [("degree", 2), ("coef0", 1.0)]
    return tuple(options)


def _draw_kernel_ridge(rng, problem):
    return problem.but(
        strength=log_uniform(rng, -2, 2),
        options=_draw_kernel(rng),
        outputs=int(rng.choice([1, 1, 2])),
    )


def _kernel_ridge(problem):
    return InfluenceKernelRidge(problem.strength, **_pick(problem))


def _kernel_ridge_original(problem):
    return KernelRidge(alpha=problem.strength, **problem.settings)


def kernel_of(problem, A, B, gamma=None):
    """Kernel of rows in long double."""
    options = problem.settings
    A, B = np.asarray(A, dtype=LD), np.asarray(B, dtype=LD)
    kernel, gamma = options["kernel"], LD(options.get("gamma", 1.0) if gamma is None else gamma)
    if kernel == "linear":
        return A @ B.T
    if kernel == "rbf":
        return np.exp(-gamma * ((A[:, None] - B[None]) ** 2).sum(axis=2))
    return (gamma * (A @ B.T) + LD(options["coef0"])) ** int(options["degree"])


def kernel_features(K, K_test):
    """Features with which K and K_test are inner products: Cholesky with pivots."""
    n = len(K)
    rest = np.array(np.diag(K), dtype=LD)
    L, pivots, largest = np.zeros((n, n), dtype=LD), [], rest.max(initial=0)
    for r in range(n):
        k = int(rest.argmax())
        if rest[k] <= 1e-15 * largest:
            break
        L[:, r] = (K[:, k] - L[:, :r] @ L[k, :r]) / np.sqrt(rest[k])
        rest = np.maximum(rest - L[:, r] ** 2, 0)
        rest[[*pivots, k]] = 0
        pivots.append(k)
    r = len(pivots)
    corner, features = L[pivots][:, :r], np.zeros((len(K_test), r), dtype=LD)
    for j in range(r):
        features[:, j] = (K_test[:, pivots[j]] - features[:, :j] @ corner[j, :j]) / corner[j, j]
    return L[:, :r], features


# -- generalised linear models ---------------------------------------------------------------------


def _draw_glm(rng, problem):
    strength = 0.0 if rng.uniform() < 0.3 else log_uniform(rng, -4, 0)
    return problem.but(strength=strength)


def _draw_tweedie(rng, problem):
    power = float(rng.choice([0.0, 1.0, 1.1, 1.5, 1.9, 2.0]))
    link = "identity" if power in (0.0, 1.0) and rng.uniform() < 0.4 else "log"
    if power == 0.0:
        link = "identity"
    problem = _draw_glm(rng, problem)
    intercept = problem.intercept or (link == "identity" and power > 0)
    return problem.but(options=(("power", power), ("link", link)), intercept=intercept)


def _glm(cls):
    def build(problem):
        return cls(alpha=problem.strength, **_pick(problem), max_iter=1000)

    return build


def _glm_spec(power, link="log"):
    def spec(problem, fitted):
        options = problem.settings
        p, form = options.get("power", power), options.get("link", link)
        loss = losses.Squared() if p == 0 and form == "identity" else losses.Tweedie(p, form)
        return {"loss": loss, "shared_l2": problem.strength}

    return spec


# -- robust ----------------------------------------------------------------------------------------


def _draw_huber(rng, problem):
    epsilon = round(float(rng.uniform(1.05, 2.5)), 2)
    return problem.but(
        strength=log_uniform(rng, -4, 1), options=(("epsilon", epsilon),), n=max(problem.n, 4)
    )


def _huber(cls):
    def build(problem):
        return cls(alpha=problem.strength, **_pick(problem), max_iter=10_000)

    return build


def _huber_spec(problem, fitted):
    return {"loss": losses.Huber(problem.settings["epsilon"]), "l2": 2 * LD(problem.strength)}


def _draw_quantile(rng, problem):
    alpha = 0.0 if rng.uniform() < 0.5 else problem.y_scale * log_uniform(rng, -3, -0.5)
    T = problem.y_scale * log_uniform(rng, -2, 0)
    tau = round(float(rng.uniform(0.1, 0.9)), 2)
    return problem.but(strength=float(alpha), options=(("quantile", tau), ("temperature", T)))


def _quantile(problem):
    return SmoothQuantileRegressor(alpha=problem.strength, **_pick(problem))


def _quantile_spec(problem, fitted):
    options = problem.settings
    loss = losses.Pinball(options["quantile"], options["temperature"])
    return {"loss": loss, "shared_l1": problem.strength}


def _draw_svr(rng, problem):
    options = [item for item in _draw_kernel(rng, ("linear", "rbf", "poly")) if item[0] != "gamma2"]
    epsilon = float(rng.choice([0.0, 0.1, 0.5])) * problem.y_scale
    T = problem.y_scale * log_uniform(rng, -1.7, 0)
    C = log_uniform(rng, -2, 2)
    return problem.but(strength=C, options=(*options, ("epsilon", epsilon), ("temperature", T)))


def _svr(problem):
    return SmoothEpsilonSVR(C=problem.strength, **_pick(problem))


def _svr_spec(problem, fitted):
    options = problem.settings
    loss = losses.EpsilonInsensitive(options["epsilon"], options["temperature"])
    return {"loss": loss, "l2": 1 / LD(problem.strength)}


# -- classifiers -----------------------------------------------------------------------------------


def _log_loss(K):
    return losses.LogBinary(2) if K == 2 else losses.Softmax(K)


def _class_weight(rng, problem):
    """None, numbers, or "balanced", which depends on scikit-learn's version under weights."""
    draw = rng.uniform()
    if draw < 0.7:
        return ()
    if draw < 0.85 and problem.weights == "none":
        return (("class_weight", "balanced"),)
    return (("class_weight", tuple(round(float(x), 2) for x in rng.uniform(0.3, 3.0, size=4))),)


def _draw_logistic(rng, problem):
    C = float("inf") if rng.uniform() < 0.3 else log_uniform(rng, -3, 4)
    return problem.but(
        strength=C, outputs=int(rng.choice([2, 2, 3])), options=_class_weight(rng, problem)
    )


def class_weight_of(problem):
    """What the estimator is given: a dictionary by label, "balanced" or None."""
    weight = problem.settings.get("class_weight")
    if weight is None or weight == "balanced":
        return weight
    K = problem.outputs
    names = np.arange(K)
    if problem.labels == "str":
        names = [f"c{k}" for k in range(K)]
    elif problem.labels == "odd":
        names = 2 * names - 1
    names = [name if isinstance(name, str) else int(name) for name in names]
    return dict(zip(names, weight[:K], strict=True))


def class_weights(problem, codes, present):
    """The numbers by class, (n,); `present` are the classes in training."""
    weight = problem.settings.get("class_weight")
    if weight is None:
        return np.ones(len(codes), dtype=LD)
    if weight == "balanced":
        count = np.bincount(codes, minlength=problem.outputs)
        return LD(len(codes)) / (len(present) * LD(1) * count[codes])
    return np.asarray(weight, dtype=LD)[codes]


def _classifier_options(problem):
    options = {k: v for k, v in _pick(problem).items() if k not in ("class_weight", "kind")}
    return {**options, "class_weight": class_weight_of(problem)}


def _logistic(cls):
    def build(problem):
        solver = "lbfgs" if problem.seed % 2 else "newton-cholesky"
        return cls(C=problem.strength, solver=solver, max_iter=1000, **_classifier_options(problem))

    return build


def _logistic_spec(problem, fitted):
    C = LD(problem.strength)
    return {
        "loss": _log_loss(problem.outputs),
        "l2": LD(0) if np.isinf(C) else 1 / C,
        "has_probabilities": True,
    }


def _draw_liblinear(rng, problem):
    scaling = float(rng.choice([1.0, 3.0]))
    options = (("intercept_scaling", scaling), *_class_weight(rng, problem))
    return problem.but(strength=log_uniform(rng, -3, 3), outputs=2, options=options)


def _liblinear(cls):
    def build(problem):
        return cls(
            C=problem.strength, solver="liblinear", max_iter=10_000, **_classifier_options(problem)
        )

    return build


def _liblinear_spec(problem, fitted):
    scaling = LD(problem.settings["intercept_scaling"])
    return {
        "loss": losses.LogBinary(2),
        "l2": 1 / LD(problem.strength),
        "intercept_l2": 1 / LD(problem.strength) / scaling**2,
        "has_probabilities": True,
    }


def _draw_sparse_logistic(rng, problem):
    ratio = float(rng.choice([1.0, 0.5]))
    return problem.but(
        strength=log_uniform(rng, -1, 2),
        outputs=int(rng.choice([2, 2, 3])),
        options=(("l1_ratio", ratio),),
    )


def _sparse_logistic(cls):
    def build(problem):
        options = {"penalty": "elasticnet"} if "penalty" in OLD else {}
        return cls(
            C=problem.strength,
            solver="saga",
            max_iter=20_000,
            tol=1e-7,
            random_state=problem.seed,  # the same fit for every view of it
            **_classifier_options(problem),
            **options,
        )

    return build


# Up to scikit-learn 1.7 an l1_ratio without a penalty is not read.
OLD = [
    name
    for name in ("penalty",)
    if LogisticRegression().get_params().get(name, "deprecated") != "deprecated"
]


def _sparse_logistic_spec(problem, fitted):
    ratio, C = LD(problem.settings["l1_ratio"]), LD(problem.strength)
    return {
        "loss": _log_loss(problem.outputs),
        "l2": (1 - ratio) / C,
        "l1": ratio / C,
        "has_probabilities": True,
    }


def _draw_ridge_classifier(rng, problem):
    return problem.but(
        strength=log_uniform(rng, -3, 3),
        outputs=int(rng.choice([2, 2, 3])),
        options=_class_weight(rng, problem),
    )


def _ridge_classifier(cls):
    def build(problem):
        return cls(alpha=problem.strength, **_classifier_options(problem))

    return build


def _ridge_classifier_spec(problem, fitted):
    return {"loss": losses.SquaredLabel(problem.outputs), "l2": problem.strength}


def _draw_kernel_classifier(rng, problem):
    return problem.but(
        strength=log_uniform(rng, -2, 2),
        outputs=int(rng.choice([2, 2, 3])),
        options=(*_draw_kernel(rng), *_class_weight(rng, problem)),
    )


def _kernel_logistic(problem):
    return KernelLogisticRegression(C=problem.strength, **_classifier_options(problem))


def _kernel_logistic_spec(problem, fitted):
    return {
        "loss": _log_loss(problem.outputs),
        "l2": 1 / LD(problem.strength),
        "has_probabilities": True,
    }


def _draw_smooth_hinge(rng, problem):
    T = log_uniform(rng, -2, 0)
    problem = _draw_kernel_classifier(rng, problem)
    return problem.but(options=(*problem.options, ("temperature", T)))


def _smooth_hinge(problem):
    return SmoothHingeSVC(C=problem.strength, **_classifier_options(problem))


def _trained_hinge(problem):
    return SmoothHingeSVC(C=problem.strength, loss="hinge", **_classifier_options(problem))


def _smooth_hinge_spec(problem, fitted):
    loss = losses.SmoothHinge(problem.outputs, problem.settings["temperature"])
    return {"loss": loss, "l2": 1 / LD(problem.strength)}


def _trained_hinge_spec(problem, fitted):
    lent = losses.SmoothHinge(problem.outputs, problem.settings["temperature"])
    return {"loss": losses.Hinge(problem.outputs), "lent": lent, "l2": 1 / LD(problem.strength)}


def _draw_svc(rng, problem):
    problem = _draw_kernel_classifier(rng, problem)
    options = problem.options
    if problem.outputs > 2:
        shape = str(rng.choice(["ovr", "ovo"]))
        options = (*options, ("decision_function_shape", shape))
        if shape == "ovr":
            options = (*options, ("break_ties", bool(rng.uniform() < 0.5)))
    return problem.but(intercept=True, options=options, through="explainer")


def _svc(problem):
    options = _classifier_options(problem)
    del options["fit_intercept"]
    return SVC(C=problem.strength, tol=1e-8, max_iter=1_000_000, **options)


def _svc_spec(problem, fitted):
    K, options = problem.outputs, problem.settings
    return {
        "loss": losses.Hinge(K, pairs=True),
        "lent": losses.SmoothHinge(K, LENT_TEMPERATURE, pairs=True),
        "l2": 1 / LD(problem.strength),
        "decision_shape": options.get("decision_function_shape", "ovr"),
        "break_ties": options.get("break_ties", False),
    }


def _draw_linear_svc(rng, problem):
    loss = str(rng.choice(["squared_hinge", "hinge"]))
    scaling = float(rng.choice([1.0, 3.0]))
    return problem.but(
        strength=log_uniform(rng, -2, 2),
        outputs=int(rng.choice([2, 2, 3])),
        options=(("loss", loss), ("intercept_scaling", scaling)),
        through="explainer",
    )


def _linear_svc(problem):
    return LinearSVC(
        C=problem.strength, tol=1e-8, max_iter=200_000, dual=True, **_classifier_options(problem)
    )


def _linear_svc_spec(problem, fitted):
    K, options = problem.outputs, problem.settings
    strength = 1 / LD(problem.strength)
    common = {"l2": strength, "intercept_l2": strength / LD(options["intercept_scaling"]) ** 2}
    if options["loss"] == "squared_hinge":
        return {"loss": losses.SquaredHinge(K), **common}
    return {"loss": losses.Hinge(K), "lent": losses.SmoothHinge(K, LENT_TEMPERATURE), **common}


MODELS = {
    "least squares": Model(
        "real",
        _draw_least_squares,
        lambda P: InfluenceLinearRegression(**_pick(P)),
        lambda P: LinearRegression(**_pick(P)),
        _squared,
    ),
    "ridge": Model(
        "real",
        _draw_ridge,
        lambda P: InfluenceRidge(alpha=P.strength, **_pick(P)),
        lambda P: Ridge(alpha=P.strength, **_pick(P)),
        _ridge,
    ),
    "kernel ridge": Model("real", _draw_kernel_ridge, _kernel_ridge, None, _ridge),
    "chosen regressor": Model(
        "real",
        _draw_chosen(["ridge", "lasso", "elastic net"]),
        None,
        _chosen_regressor,
        _chosen_regressor_spec,
    ),
    "transformed target": Model(
        "positive", _draw_transformed, None, _transformed_model, _transformed
    ),
    "lasso": Model(
        "real", _plain(-3, 0), _coordinate(InfluenceLasso), _coordinate(Lasso), _elastic
    ),
    "elastic net": Model(
        "real", _draw_elastic, _coordinate(InfluenceElasticNet), _coordinate(ElasticNet), _elastic
    ),
    "poisson": Model(
        "counts",
        _draw_glm,
        _glm(InfluencePoissonRegressor),
        _glm(PoissonRegressor),
        _glm_spec(1.0),
    ),
    "gamma": Model(
        "positive", _draw_glm, _glm(InfluenceGammaRegressor), _glm(GammaRegressor), _glm_spec(2.0)
    ),
    "tweedie": Model(
        "nonnegative",
        _draw_tweedie,
        _glm(InfluenceTweedieRegressor),
        _glm(TweedieRegressor),
        _glm_spec(None),
    ),
    "huber": Model(
        "real", _draw_huber, _huber(InfluenceHuberRegressor), _huber(HuberRegressor), _huber_spec
    ),
    "quantile": Model("real", _draw_quantile, _quantile, None, _quantile_spec),
    "svr": Model("real", _draw_svr, _svr, None, _svr_spec),
    "logistic": Model(
        "classes",
        _draw_logistic,
        _logistic(InfluenceLogisticRegression),
        _logistic(LogisticRegression),
        _logistic_spec,
    ),
    "liblinear": Model(
        "classes",
        _draw_liblinear,
        _liblinear(InfluenceLogisticRegression),
        _liblinear(LogisticRegression),
        _liblinear_spec,
    ),
    "sparse logistic": Model(
        "classes",
        _draw_sparse_logistic,
        _sparse_logistic(InfluenceLogisticRegression),
        _sparse_logistic(LogisticRegression),
        _sparse_logistic_spec,
    ),
    "ridge classifier": Model(
        "classes",
        _draw_ridge_classifier,
        _ridge_classifier(InfluenceRidgeClassifier),
        _ridge_classifier(RidgeClassifier),
        _ridge_classifier_spec,
    ),
    "chosen classifier": Model(
        "classes",
        lambda rng, P: _draw_chosen(["ridge", "logistic"])(rng, P).but(
            outputs=int(rng.choice([2, 2, 3]))
        ),
        None,
        _chosen_classifier,
        _chosen_classifier_spec,
    ),
    "kernel logistic": Model(
        "classes", _draw_kernel_classifier, _kernel_logistic, None, _kernel_logistic_spec
    ),
    "smooth hinge": Model("classes", _draw_smooth_hinge, _smooth_hinge, None, _smooth_hinge_spec),
    "trained hinge": Model(
        "classes", _draw_smooth_hinge, _trained_hinge, None, _trained_hinge_spec
    ),
    "svc": Model("classes", _draw_svc, None, _svc, _svc_spec),
    "linear svc": Model("classes", _draw_linear_svc, None, _linear_svc, _linear_svc_spec),
}


def make_spec(problem, model, final, rows, rows_test, data):
    """Spec of a fitted model whose last step was given `rows`; `final` is that step."""
    parts = model.spec(problem, final)
    weights = data.row_weights.astype(LD)
    if model.is_classifier and "class_weight" in problem.settings:
        weights = weights * class_weights(problem, data.codes, np.unique(data.codes))
    dual = None
    kernel = problem.settings.get("kernel", "linear")
    X, X_test = np.asarray(rows, dtype=LD), np.asarray(rows_test, dtype=LD)
    if kernel != "linear" or problem.model == "kernel ridge":
        gamma = getattr(final, "gamma_", None)
        K, K_test = kernel_of(problem, X, X, gamma), kernel_of(problem, X_test, X, gamma)
        dual = (parts["l2"], K, K_test)
        if kernel != "linear":  # the columns themselves, whose products lose what they differ in
            X, X_test = kernel_features(K, K_test)
    spec = Spec(
        X=X,
        X_test=X_test,
        labels=data.codes,
        w=weights,
        intercept=problem.intercept,
        dual=dual,
        damping=problem.damping,
        **parts,
    )
    spec.unit = _unit(spec, data)
    return spec


def _unit(spec, data):
    """Over what distance of a predictor its targets bend."""
    loss = spec.loss
    if hasattr(loss, "T"):
        return loss.T
    if loss.n_classes or (type(loss).__name__ == "Tweedie" and loss.link == "log"):
        return LD(1)
    if isinstance(loss, TransformedSquared):
        return LD(1)
    y = np.asarray(data.codes, dtype=float)
    spread = float(y.std())
    return LD(spread if spread > 0 else max(1e-3, abs(float(y.mean()))))
