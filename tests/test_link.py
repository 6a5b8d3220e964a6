"""From predictors to predictions: every estimator's own, derivatives, and a link of one's own."""

import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.special import log_expit, log_softmax, xlogy
from sklearn import metrics
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.frozen import FrozenEstimator
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
from sklearn.metrics import get_scorer
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler
from sklearn.svm import SVC, LinearSVC, LinearSVR

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
    supported_estimators,
)
from skinfluence.attribution import Query, influence_matrix, score_influence, score_of
from skinfluence.curvature import make_curvature
from skinfluence.deletion import delete
from skinfluence.deletion.targets import Target, resolve_target
from skinfluence.design import make_design
from skinfluence.kernel_models import InfluenceKernelRidge, KernelLogisticRegression
from skinfluence.link import (
    BinaryLink,
    DecisionLink,
    IdentityLink,
    LocationScaleLink,
    LogitLink,
    LogLink,
    OneVsOneLink,
    OneVsRestLink,
    PrecomputedClassifier,
    SoftmaxLink,
    TransformedLink,
    sigmoid,
    softmax,
)
from skinfluence.losses import BinaryLogLoss, HingeLoss, Loss, OneVsRestLoss, SquaredLoss
from skinfluence.objective import Objective
from skinfluence.penalties import L2
from skinfluence.problem import fitted_problem
from skinfluence.svm import SmoothEpsilonSVR, SmoothHingeSVC
from tests.cases import problem, responses, weights
from tests.oracles import dense, differences
from tests.test_losses_and_targets import LOSSES

# -- a link and a loss of one's own ----------------------------------------------------------------


class CLogLogLink(BinaryLink):
    """P(1) = 1 - exp(-exp(eta)); written as a newcomer would, with its two methods only."""

    name = "cloglog"

    def inverse(self, eta):
        return -np.expm1(-np.exp(eta))

    def inverse_slope(self, eta):
        return np.exp(eta - np.exp(eta))


class CLogLogLoss(Loss):
    """Minus the log likelihood of a label of 0 or 1 under the complementary log-log link."""

    name = "cloglog"
    n_classes = 2
    link = CLogLogLink()

    @staticmethod
    def _rate(eta):
        """(z / (e^z - 1), e^z, z) with z = exp(eta)."""
        z = np.exp(eta)
        return z / np.expm1(z), np.exp(z), z

    def value(self, y, eta):
        return np.where(np.asarray(y) > 0.5, -np.log(-np.expm1(-np.exp(eta))), np.exp(eta))

    def gradient(self, y, eta):
        r, _, z = self._rate(eta)
        return np.where(np.asarray(y) > 0.5, -r, z)

    def curvature(self, y, eta):
        r, e, z = self._rate(eta)
        return np.where(np.asarray(y) > 0.5, r * (r * e - 1.0), z)

    def third(self, y, eta):
        r, e, z = self._rate(eta)
        slope = r - r**2 * e
        return np.where(np.asarray(y) > 0.5, -slope * (1.0 - 2.0 * r * e) + r**2 * z * e, z)

    def recession_cone_normals(self, y):
        return (2.0 * np.asarray(y) - 1.0)[:, None, None]

    def recession_multipliers(self, y, residual):
        return -(2.0 * np.asarray(y) - 1.0)[:, None] * residual


class Entropy(Target):
    """Entropy of the predicted class probabilities."""

    name = "entropy"
    needs_labels = False
    needs_probabilities = True

    def value(self, y, eta):
        log_p = self.link.log_probabilities(eta)
        return -(np.exp(log_p) * log_p).sum(axis=-1)

    def gradient(self, y, eta):
        return self.link.probabilities_vjp(-self.link.log_probabilities(eta), eta)


# -- every estimator's own predictions -------------------------------------------------------------

LOG = {"func": np.log, "inverse_func": np.exp}
# scikit-learn 1.8 and 1.9 warn of every default of this one that is going to change.
CHOSEN = {"Cs": 3, "cv": 3, "scoring": "accuracy"}
if "use_legacy_attributes" in LogisticRegressionCV().get_params():
    CHOSEN |= {"use_legacy_attributes": False, "l1_ratios": (0.0,)}
# (model, numbers of classes that it takes)
CLASSIFIERS = [
    (InfluenceLogisticRegression(), (2, 3)),
    (LogisticRegression(C=0.3), (2, 3)),
    (LogisticRegression(solver="liblinear"), (2,)),
    (LogisticRegressionCV(**CHOSEN), (2, 3)),
    (RidgeClassifier(), (2, 3)),
    (InfluenceRidgeClassifier(), (2, 3)),
    (RidgeClassifierCV(), (2, 3)),
    (LinearSVC(random_state=0), (2, 3)),
    (LinearSVC(loss="hinge", max_iter=10**6, random_state=0), (2, 3)),
    (SVC(kernel="linear"), (2, 3, 4)),
    (SVC(gamma=0.5), (2, 3, 4)),
    (SVC(gamma=0.5, break_ties=True), (3, 4)),
    (SVC(gamma=0.5, decision_function_shape="ovo"), (2, 3, 4)),
    (SmoothHingeSVC(kernel="rbf"), (2, 3)),
    (KernelLogisticRegression(), (2, 3)),
]
# (model, numbers of responses that it takes, whether they are positive)
REGRESSORS = [
    (LinearRegression(), (1, 2), False),
    (Ridge(), (1, 2), False),
    (RidgeCV(), (1, 2), False),
    (InfluenceLinearRegression(), (1, 2), False),
    (InfluenceRidge(), (1, 2), False),
    (Lasso(0.01), (1, 2), False),
    (LassoCV(cv=3), (1,), False),
    (ElasticNet(0.01), (1, 2), False),
    (ElasticNetCV(cv=3), (1,), False),
    (InfluenceLasso(alpha=0.01), (1, 2), False),
    (InfluenceElasticNet(alpha=0.01), (1, 2), False),
    (HuberRegressor(max_iter=5000), (1,), False),
    (InfluenceHuberRegressor(max_iter=5000), (1,), False),
    (SmoothQuantileRegressor(quantile=0.3, temperature=0.3), (1,), False),
    (SmoothEpsilonSVR(temperature=0.3), (1,), False),
    (SmoothEpsilonSVR(temperature=0.3, kernel="rbf"), (1,), False),
    (LinearSVR(loss="squared_epsilon_insensitive", epsilon=0.2), (1,), False),
    (KernelRidge(kernel="rbf"), (1, 2), False),
    (InfluenceKernelRidge(kernel="rbf"), (1, 2), False),
    (PoissonRegressor(), (1,), True),
    (GammaRegressor(), (1,), True),
    (TweedieRegressor(power=1.5), (1,), True),
    (TweedieRegressor(power=0), (1,), True),
    (TweedieRegressor(power=0, link="log"), (1,), True),
    (InfluencePoissonRegressor(), (1,), True),
    (InfluenceGammaRegressor(), (1,), True),
    (InfluenceTweedieRegressor(power=1.5), (1,), True),
    (TransformedTargetRegressor(Ridge(), **LOG), (1, 2), True),
    (TransformedTargetRegressor(PoissonRegressor(), **LOG), (1,), True),
    (make_pipeline(MaxAbsScaler(), TransformedTargetRegressor(Ridge(), **LOG)), (1, 2), True),
]
STORAGE = {"dense": np.asarray, "csr": lambda X: sp.csr_array(np.where(np.abs(X) > 0.4, X, 0.0))}


def rows_of(table):
    """(model, number of classes or responses, ...) of every row, with an id for pytest."""
    for model, numbers, *rest in table:
        for number in numbers:
            name = " ".join(str(model).split())
            yield pytest.param(model, number, *rest, id=f"{name}-{number}")


def test_the_tables_have_every_estimator():
    names = {type(model).__name__ for model, *_ in CLASSIFIERS + REGRESSORS}
    assert set(supported_estimators()) <= names


def target_at(name, adapted, y, eta):
    """Value of a target at predictors, through the adapted estimator's link."""
    target = resolve_target(name, adapted.link, adapted.objective.trained_loss)
    encoded = adapted.encode(y, "y")
    return np.asarray(target.value(encoded if target.uses_encoded_labels else y, eta))


@pytest.mark.parametrize("storage", STORAGE)
@pytest.mark.parametrize(("model", "n_classes"), rows_of(CLASSIFIERS))
def test_classifiers_are_read_as_they_read_themselves(model, n_classes, storage):
    X, codes = problem(n=40 * n_classes, n_classes=n_classes, seed=n_classes)
    X, y = STORAGE[storage](X), np.array(["d", "a", "c", "b"])[codes]
    fitted = clone(model).fit(X, y)
    explainer = InfluenceExplainer(FrozenEstimator(fitted)).fit(X, y)
    adapted = fitted_problem(explainer).adapted  # at the parameters of the estimator itself
    objective = adapted.objective
    eta, link = objective.native(objective.eta), adapted.link
    read = link.predictions(eta)
    assert isinstance(read, PrecomputedClassifier)
    np.testing.assert_array_equal(read.classes_, fitted.classes_)
    np.testing.assert_array_equal(read.predict(None), fitted.predict(X))
    np.testing.assert_array_equal(explainer.predict(X), fitted.predict(X))
    for name in ("decision_function", "predict_proba", "predict_log_proba"):
        has_one = hasattr(fitted, name)
        assert hasattr(read, name) == hasattr(explainer, name) == has_one
        if has_one:
            expected = getattr(fitted, name)(X)
            np.testing.assert_allclose(getattr(read, name)(None), expected, rtol=1e-9, atol=1e-10)
            np.testing.assert_array_equal(getattr(explainer, name)(X), expected)
    value = {name: target_at(name, adapted, y, eta) for name in ("decision_function", "zero_one")}
    decision = fitted.decision_function(X)
    np.testing.assert_allclose(value["decision_function"], decision, rtol=1e-9, atol=1e-10)
    np.testing.assert_array_equal(value["zero_one"], fitted.predict(X) != y)
    if decision.ndim == 1 or (decision.shape[1] == n_classes and link.name != "one-vs-one votes"):
        hinge = metrics.hinge_loss(y, decision, labels=fitted.classes_)
        assert target_at("hinge", adapted, y, eta).mean() == pytest.approx(hinge, rel=1e-8)
    if not hasattr(fitted, "predict_proba"):
        for name in ("predict_proba", "brier", Entropy()):
            with pytest.raises(ValueError, match="needs class probabilities, which a model of"):
                target_at(name, adapted, y, eta)
        return
    check_probabilities(fitted, adapted, X, y, eta)


def check_probabilities(fitted, adapted, X, y, eta):
    """Targets of class probabilities against scikit-learn's metrics of predict_proba."""
    p = fitted.predict_proba(X)
    own = p[np.arange(len(y)), np.searchsorted(fitted.classes_, y)]
    expected = p[:, 1] if p.shape[1] == 2 else p
    one_hot = y[:, None] == fitted.classes_
    brier = ((p - one_hot) ** 2).sum(axis=1) / (2.0 if p.shape[1] == 2 else 1.0)
    for name, values in {
        "predict_proba": expected,
        "loss": -np.log(own),
        "margin": np.log(own / (p * ~one_hot).sum(axis=1)),
        "brier": brier,
        Entropy(): -xlogy(p, p).sum(axis=1),
    }.items():
        found = target_at(name, adapted, y, eta)
        np.testing.assert_allclose(found, values, rtol=1e-7, atol=1e-9, err_msg=str(name))


@pytest.mark.parametrize("storage", STORAGE)
@pytest.mark.parametrize(("model", "n_responses", "positive"), rows_of(REGRESSORS))
def test_regressors_are_read_as_they_read_themselves(model, n_responses, positive, storage):
    drawn = [responses(seed=k, n=80, counts=positive) for k in range(n_responses)]
    X, y = drawn[0][0], np.stack([y for _, y in drawn], axis=1) + (1.5 if positive else 0.0)
    X, y = STORAGE[storage](X), y[:, 0] if n_responses == 1 else y
    fitted = clone(model).fit(X, y)
    explainer = InfluenceExplainer(FrozenEstimator(fitted)).fit(X, y)
    adapted = fitted_problem(explainer).adapted  # at the parameters of the estimator itself
    objective = adapted.objective
    eta, predicted = objective.native(objective.eta), fitted.predict(X)
    score, failure = score_of(adapted.link, eta, y, adapted.link.scoring)
    assert (score, failure) == (pytest.approx(fitted.score(X, y), rel=1e-8), "")
    assert adapted.link.classes is None
    found = adapted.link.predictions(eta).predict(None)
    np.testing.assert_allclose(found, predicted, rtol=1e-9, atol=1e-10)
    np.testing.assert_array_equal(explainer.predict(X), predicted)
    np.testing.assert_allclose(adapted.labels(objective.y), y, rtol=1e-12)
    error, tau = y - predicted, getattr(fitted, "quantile", 0.5)

    def mean(values):
        return values if values.ndim == 1 else values.mean(axis=1)

    for name, values in {
        "prediction": predicted,
        "residual": error,
        "squared_error": mean(error**2),
        "absolute_error": mean(np.abs(error)),
        "pinball": mean(np.maximum(tau * error, (tau - 1.0) * error)),
    }.items():
        found = target_at(name, adapted, y, eta)
        np.testing.assert_allclose(found, values, rtol=1e-8, atol=1e-8, err_msg=name)
    if positive and n_responses == 1 and (predicted > 0).all():
        deviance = metrics.mean_poisson_deviance(y, predicted)
        found = target_at("poisson_deviance", adapted, y, eta)
        assert found.mean() == pytest.approx(deviance, rel=1e-7)
    with pytest.raises(ValueError, match=r"needs class probabilities.*use 'prediction'"):
        target_at(Entropy(), adapted, y, eta)


def test_platt_scaling_is_not_the_models_own():
    X, y = problem(n=60)
    model = SVC(probability=True, random_state=0)
    with warnings.catch_warnings():  # scikit-learn 1.9 says that it will go
        warnings.simplefilter("ignore", FutureWarning)
        explainer = InfluenceExplainer(model).fit(X, y)
    assert hasattr(explainer, "predict_proba")  # of five other fits, in cross-validation
    with pytest.raises(ValueError, match="needs class probabilities"):
        explainer.influence(X, target="predict_proba")


# -- derivatives and digits ------------------------------------------------------------------------

LINKS = {
    "logit": LogitLink(),
    "cloglog": CLogLogLink(),
    "decision": DecisionLink(),
    "softmax": SoftmaxLink(3),
    "one-vs-rest, decisions": OneVsRestLink(DecisionLink(), 3),
    "one-vs-rest, logit": OneVsRestLink(LogitLink(), 3),
    "one-vs-rest, cloglog": OneVsRestLink(CLogLogLink(), 4),
    "one-vs-one": OneVsOneLink(4),
    "one-vs-one, pairs": OneVsOneLink(4, "ovo"),
    "identity": IdentityLink(),
    "identity, three responses": IdentityLink(3),
    "log": LogLink(),
    "location and scale": LocationScaleLink(),
    "transformed": TransformedLink(IdentityLink(), np.exp, 1.0),
    "transformed, three responses": TransformedLink(IdentityLink(3), np.sinh, 1.0),
    "transformed log": TransformedLink(LogLink(), np.sqrt, 1.0),
}
CLASSES = [name for name, link in LINKS.items() if link.n_classes]
PROBABILITIES = [name for name in CLASSES if LINKS[name].has_probabilities]


def predictors(link, n=30, scale=1.5, seed=0):
    """Random (n,) or (n, K)."""
    eta = scale * np.random.default_rng(seed).normal(size=(n, link.n_outputs))
    return eta[:, 0] if link.is_scalar else eta


def gradients(link, function, eta):
    """Central differences (n, n_values, K) of values (n,) or (n, n_values)."""
    columns = eta.reshape(len(eta), link.n_outputs)

    def native(e):
        return e[..., 0] if link.is_scalar else e

    n_values = function(eta).reshape(len(eta), -1).shape[1]
    parts = [
        differences(lambda e, o=o: function(native(e)).reshape(len(e), -1)[:, o], columns)
        for o in range(n_values)
    ]
    return np.stack(parts, axis=1)


def check_derivatives(link, function, vjp, jacobian, eta):
    """Both forms of a derivative against central differences."""
    expected = gradients(link, function, eta)
    found = jacobian(eta).reshape(expected.shape)
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)
    slope = np.random.default_rng(1).normal(size=np.shape(function(eta)))
    flat = slope.reshape(len(eta), -1)
    product = np.einsum("no,nok->nk", flat, expected).reshape(eta.shape)
    np.testing.assert_allclose(vjp(slope, eta), product, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("name", CLASSES)
def test_derivatives_of_decisions_and_margins(name):
    link = LINKS[name]
    eta = predictors(link)
    check_derivatives(link, link.decision, link.decision_vjp, link.decision_jacobian, eta)
    assert link.decision(eta).reshape(len(eta), -1).shape[1] == link.n_decisions
    slope = np.random.default_rng(1).normal(size=link.scores(eta).shape)
    expected = gradients(link, lambda e: np.atleast_2d((slope * link.scores(e)).T).sum(0), eta)
    np.testing.assert_allclose(
        link.scores_vjp(slope, eta), expected.reshape(eta.shape), rtol=1e-7, atol=1e-8
    )
    y = np.random.default_rng(2).integers(0, link.n_classes, len(eta))
    expected = gradients(link, lambda e: link.margin(y, e), eta).reshape(eta.shape)
    np.testing.assert_allclose(link.margin_gradient(y, eta), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", PROBABILITIES)
def test_probabilities_and_their_derivatives(name):
    link = LINKS[name]
    eta = predictors(link)
    y = np.random.default_rng(2).integers(0, link.n_classes, len(eta))
    check_derivatives(
        link, link.probabilities, link.probabilities_vjp, link.probabilities_jacobian, eta
    )
    p = link.probabilities(eta)
    own = p[np.arange(len(y)), y]
    assert p.shape == (len(eta), link.n_classes)
    np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-14)
    np.testing.assert_allclose(link.log_probabilities(eta), np.log(p), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(link.log_probability(y, eta), np.log(own), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(link.margin(y, eta), np.log(own / (1.0 - own)), rtol=1e-9)
    np.testing.assert_array_equal(link.predicted(eta), p.argmax(axis=1))
    if link.is_scalar:
        np.testing.assert_allclose(link.probability(y, eta), own, rtol=1e-15)
        for function, slope in (
            (link.probability, link.probability_slope),
            (link.log_probability, link.log_probability_slope),
        ):
            expected = gradients(link, lambda e: function(y, e), eta)[:, 0, 0]  # noqa: B023
            np.testing.assert_allclose(slope(y, eta), expected, rtol=1e-7, atol=1e-9)
    else:
        slope = np.random.default_rng(1).normal(size=p.shape)
        expected = gradients(link, lambda e: (slope * link.logits(e)).sum(axis=1), eta)
        found = link.logits_vjp(slope, eta)
        np.testing.assert_allclose(found, expected[:, 0], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", [name for name in LINKS if name not in CLASSES])
def test_derivatives_of_means(name):
    link = LINKS[name]
    eta = predictors(link, scale=0.5)
    check_derivatives(link, link.mean, link.mean_vjp, link.mean_jacobian, eta)
    assert link.mean(eta).reshape(len(eta), -1).shape[1] == link.n_responses


@pytest.mark.parametrize("name", LINKS)
def test_blocks_of_deletions_are_read_column_by_column(name):
    link = LINKS[name]
    eta = predictors(link)
    block = np.stack([eta + 0.1 * j for j in range(4)])  # (4, n[, K]): the columns outermost
    block = np.moveaxis(np.asfortranarray(block), 0, 1)
    y = np.random.default_rng(2).integers(0, max(link.n_classes, 2), len(eta))
    read = [link.decision, link.predicted, lambda e: link.margin(y[:, None] if wide(e) else y, e)]
    if not link.n_classes:
        read = [link.mean]
    if link.has_probabilities:
        read += [link.probabilities, link.log_probabilities]
        read += [lambda e: link.log_probability(y[:, None] if wide(e) else y, e)]

    def wide(e):
        return np.ndim(e) == np.ndim(eta) + 1

    for function in read:
        together = function(block)
        for j in range(4):
            np.testing.assert_allclose(
                together[:, j], function(block[:, j]), rtol=1e-13, atol=1e-15
            )


@pytest.mark.parametrize("name", LINKS)
def test_what_a_link_does_not_have_it_refuses(name):
    link = LINKS[name]
    eta, y = predictors(link), np.zeros(30, dtype=int)
    if link.n_classes:
        assert link.scoring == "accuracy"
        for call in (link.mean, link.response):
            with pytest.raises(TypeError, match="predicts classes"):
                call(eta)
        with pytest.raises(TypeError, match="predicts classes"):
            link.mean_vjp(eta, eta)
    else:
        for call in (link.margin, link.margin_gradient):
            with pytest.raises(TypeError, match="has no classes"):
                call(y, eta)
        with pytest.raises(TypeError, match="has no classes"):
            link.predicted(eta)
    if not link.has_probabilities:
        for call in (link.probabilities, link.log_probabilities):
            with pytest.raises(TypeError, match="has no class probabilities"):
                call(eta)
        with pytest.raises(TypeError, match="has no class probabilities"):
            link.log_probability(y, eta)
        with pytest.raises(TypeError, match="has no class probabilities"):
            link.probabilities_vjp(np.ones((30, max(link.n_classes, 1))), eta)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_and_their_links_agree_on_shapes(name):
    loss = LOSSES[name]
    assert loss.link.n_outputs == loss.n_outputs
    assert loss.link.is_scalar == loss.is_scalar
    assert loss.link.n_classes == loss.n_classes


def test_a_loss_without_a_link_is_refused():
    class Unread(SquaredLoss):
        link = Loss.link

    with pytest.raises(TypeError, match="link"):
        Unread()


def test_digits_of_tiny_probabilities():
    far = np.array([-700.0, -300.0, -40.0, 40.0, 300.0, 700.0])
    logit = LogitLink()
    np.testing.assert_allclose(logit.inverse(far[:3]), np.exp(far[:3]), rtol=1e-13)
    np.testing.assert_allclose(logit.complement(far[3:]), np.exp(-far[3:]), rtol=1e-13)
    for y in (0.0, 1.0):
        sign = 2.0 * y - 1.0
        wrong = np.exp(-np.abs(far))
        tail = sign * far < 0
        np.testing.assert_allclose(logit.probability(y, far)[tail], wrong[tail], rtol=1e-13)
        expected = log_expit(sign * far)
        np.testing.assert_allclose(logit.log_probability(y, far), expected, rtol=1e-14)
        np.testing.assert_allclose(
            np.abs(logit.probability_slope(y, far)), wrong, rtol=1e-13, atol=1e-320
        )
    extreme = np.array([-1e4, -800.0, 800.0, 1e4])
    np.testing.assert_array_equal(sigmoid(extreme), [0.0, 0.0, 1.0, 1.0])
    assert np.isnan(sigmoid(np.array([np.nan]))).all()
    # p_0 (1 - p_0) of an almost sure class, of which 1 - p_0 has no digit.
    sure = np.array([[40.0, 0.0, 0.0]])
    found = SoftmaxLink(3).probabilities_jacobian(sure)[0]
    q = np.exp(-40.0)
    assert found[0, 0] == pytest.approx(2 * q / (1 + 2 * q) ** 2, rel=1e-14)
    assert found[0, 1] == pytest.approx(-q / (1 + 2 * q) ** 2, rel=1e-14)
    assert SoftmaxLink(3).log_probability(0, sure)[0] == pytest.approx(-2 * q, rel=1e-14)
    apart = np.array([[1e4, -1e4, 0.0]])
    for link in (SoftmaxLink(3), OneVsRestLink(LogitLink(), 3)):
        assert np.isfinite(link.log_probabilities(apart)).all()
        assert np.isfinite(link.margin(np.array([1]), apart)).all()
        assert np.isfinite(link.probabilities_jacobian(apart)).all()
    eta = 20.0 * np.random.default_rng(0).normal(size=(50, 4))
    np.testing.assert_allclose(softmax(eta), np.exp(log_softmax(eta, axis=1)), rtol=1e-13)


def test_one_vs_rest_probabilities_are_scikit_learns():
    X, y = problem(n=90, n_classes=3)
    model = OneVsRestClassifier(LogisticRegression()).fit(X, y)
    eta = np.column_stack([one.decision_function(X) for one in model.estimators_])
    link = OneVsRestLink(LogitLink(), 3)
    np.testing.assert_allclose(link.probabilities(eta), model.predict_proba(X), rtol=1e-12)
    np.testing.assert_array_equal(link.predicted(eta), model.predict(X))


@pytest.mark.parametrize("name", CLASSES)
def test_undefined_predictors(name):
    link = LINKS[name].labelled(np.array(list("abcd"))[: LINKS[name].n_classes])
    eta = predictors(link)
    eta[3] = np.nan
    read = link.predictions(eta)
    labels = read.predict(None)
    assert labels[3] == "a"
    np.testing.assert_array_equal(labels[:3], link.labels(link.predicted(eta))[:3])
    assert np.isnan(read.decision_function(None)[3]).all()
    assert not np.isnan(np.delete(read.decision_function(None), 3, axis=0)).any()
    if link.has_probabilities:
        assert np.isnan(read.predict_proba(None)[3]).all()
    assert link.classes.tolist() == read.classes_.tolist()


# -- a model of one's own against refits -----------------------------------------------------------

COUNTS = {2: CLogLogLoss(), 3: OneVsRestLoss(CLogLogLoss(), 3)}
LABELS = np.array(["no", "perhaps", "yes"])


def cloglog_probabilities(eta):
    """Class probabilities (n, n_classes) of predictors (n, K), by hand."""
    p = 1.0 - np.exp(-np.exp(eta))
    return np.hstack([1.0 - p, p]) if p.shape[1] == 1 else p / p.sum(axis=1, keepdims=True)


def cloglog_minimum(Z, y, w, n_outputs, alpha):
    """Parameters (K, q) by Newton's method on the log likelihood of one class after the other."""
    theta = np.zeros((n_outputs, Z.shape[1]))
    penalty = np.r_[np.full(Z.shape[1] - 1, alpha), 0.0]
    for k in range(n_outputs):
        own = (y == (1 if n_outputs == 1 else k)).astype(float)
        theta[k, -1] = -0.5
        for _ in range(100):
            z = np.exp(Z @ theta[k])
            r = z / np.expm1(z)
            slope = np.where(own > 0, -r, z)
            bend = np.where(own > 0, r * (r * np.exp(z) - 1.0), z)
            H = (Z.T * (w * bend)) @ Z + np.diag(penalty)
            step = np.linalg.solve(H, Z.T @ (w * slope) + penalty * theta[k])
            theta[k] -= step * min(1.0, 1.0 / np.abs(step).max())
            if np.abs(step).max() < 1e-13:
                break
    return theta


def cloglog_model(n_classes, storage):
    """(objective at its optimum, Z, y codes, weights, alpha)."""
    X, y = problem(n=70, p=3, n_classes=n_classes, seed=1)
    w, alpha = weights(0, len(y)), 0.7
    stored = STORAGE[storage](X)
    Z, loss = np.c_[dense(stored), np.ones(len(y))], COUNTS[n_classes]
    theta = cloglog_minimum(Z, y, w, loss.n_outputs, alpha)
    penalty = L2(np.r_[np.full(3, alpha), 0.0])
    encoded = y.astype(float) if n_classes == 2 else y
    objective = Objective(loss, make_design(stored, True), encoded, w, penalty, theta)
    assert objective.stationarity < 1e-12
    return objective, Z, y, w, alpha


@pytest.mark.parametrize("storage", STORAGE)
@pytest.mark.parametrize("n_classes", [2, 3])
def test_targets_of_a_cloglog_model_are_those_of_refits(n_classes, storage):
    objective, Z, y, w, alpha = cloglog_model(n_classes, storage)
    rows, link, loss = np.arange(0, len(y), 9), objective.loss.link, objective.loss
    deletion = delete(objective, make_curvature(objective), "exact", rows)

    def quantities(theta):
        eta = Z @ theta.T
        p = cloglog_probabilities(eta)
        own, one_hot = p[np.arange(len(y)), y], np.eye(n_classes)[y]
        each = 1.0 - np.exp(-np.exp(eta))
        hit = one_hot if n_classes > 2 else one_hot[:, 1:]
        return {
            "loss": -(np.log(np.where(hit > 0, each, 1.0 - each))).sum(axis=1),
            "predict_proba": p if n_classes > 2 else p[:, 1],
            "brier": ((p - one_hot) ** 2).sum(axis=1) / (1 if n_classes > 2 else 2),
            "zero_one": (p.argmax(axis=1) != y).astype(float),
            "margin": np.log(own / (p * (1.0 - one_hot)).sum(axis=1)),
            "decision_function": eta if n_classes > 2 else eta[:, 0],
            Entropy(): -(p * np.log(p)).sum(axis=1),
        }

    before = quantities(objective.theta)
    kept = [np.where(np.arange(len(y)) == row, 0.0, w) for row in rows]
    refits = [quantities(cloglog_minimum(Z, y, one, loss.n_outputs, alpha)) for one in kept]
    for position, (name, value) in enumerate(before.items()):
        target = resolve_target(name, link, loss)
        query = Query(objective.design, objective.y, objective.eta, target)
        found = influence_matrix(deletion, query, linearised=False)
        after = [list(refit.values())[position] for refit in refits]
        expected = np.stack(after, axis=1) - np.expand_dims(value, 1)
        np.testing.assert_allclose(found, expected, atol=1e-7, rtol=0, err_msg=str(name))
        assert np.abs(expected).max() > 1e-3 or name == "zero_one"


@pytest.mark.parametrize("n_classes", [2, 3])
def test_first_order_of_a_cloglog_model_is_the_derivative(n_classes):
    objective, Z, y, w, alpha = cloglog_model(n_classes, "dense")
    rows, link, loss = np.array([0, 20, 41]), objective.loss.link, objective.loss
    deletion = delete(objective, make_curvature(objective), "first_order", rows)
    step = 1e-5
    for name in ("loss", "predict_proba", "brier", "margin", "hinge", Entropy()):
        target = resolve_target(name, link, loss)
        query = Query(objective.design, objective.y, objective.eta, target)
        found = influence_matrix(deletion, query, linearised=True)
        for j, row in enumerate(rows):
            moved = []
            for sign in (1.0, -1.0):
                weight = w.copy()
                weight[row] += sign * step
                theta = cloglog_minimum(Z, y, weight, loss.n_outputs, alpha)
                moved.append(target.value(objective.y, objective.native(Z @ theta.T)))
            slope = -w[row] * (moved[0] - moved[1]) / (2 * step)
            np.testing.assert_allclose(found[:, j], slope, atol=1e-7, err_msg=str(name))


@pytest.mark.parametrize(
    ("n_classes", "scoring"),
    [
        (2, "neg_log_loss"),
        (2, "neg_brier_score"),
        (2, "accuracy"),
        (2, "roc_auc"),
        (2, "f1_macro"),
        (3, "neg_log_loss"),
        (3, "accuracy"),
        (3, "roc_auc_ovr"),
    ],
)
def test_scores_of_a_cloglog_model_are_those_of_refits(n_classes, scoring):
    objective, Z, y, w, alpha = cloglog_model(n_classes, "dense")
    # scikit-learn's Brier score asks for a pos_label where labels are words.
    rows, classes = np.arange(0, len(y), 7), LABELS[:n_classes]
    classes = np.arange(n_classes) if scoring == "neg_brier_score" else classes
    link = objective.loss.link.labelled(classes)
    deletion = delete(objective, make_curvature(objective), "exact", rows)
    labels, design = classes[y], objective.design
    found = score_influence(deletion, design, labels, objective.y, link, scoring)

    class Given(PrecomputedClassifier):
        """The refit's predictions, by hand."""

        def predict_proba(self, X):
            return cloglog_probabilities(self.eta.reshape(len(y), -1))

        def predict(self, X):
            return classes[self.predict_proba(X).argmax(axis=1)]

        def decision_function(self, X):
            return self.eta

    def score(theta):
        eta = Z @ theta.T
        model = Given(link, eta if n_classes > 2 else eta[:, 0])
        return get_scorer(scoring)(model, Z, labels)

    before = score(objective.theta)
    for j, row in enumerate(rows):
        kept = np.where(np.arange(len(y)) == row, 0.0, w)
        after = score(cloglog_minimum(Z, y, kept, objective.n_outputs, alpha))
        assert found[j] == pytest.approx(after - before, abs=1e-7)
    assert np.abs(found).max() > 0


# -- a target of one's own -------------------------------------------------------------------------


@pytest.mark.parametrize("n_classes", [2, 3])
def test_entropy_is_that_of_refits(n_classes):
    X, y = problem(n=60, n_classes=n_classes)
    clf = InfluenceLogisticRegression().fit(X, y)
    found = clf.influence(X, target=Entropy(), method="exact")

    def entropy(model):
        return -xlogy(model.predict_proba(X), model.predict_proba(X)).sum(axis=1)

    options = {"solver": "newton-cg", "tol": 1e-12, "max_iter": 1000}
    for row in range(0, 60, 12):
        refit = LogisticRegression(**options).fit(np.delete(X, row, 0), np.delete(y, row))
        np.testing.assert_allclose(found[:, row], entropy(refit) - entropy(clf), atol=1e-7)
    linear = clf.influence(X, target=Entropy(), method="first_order")
    assert np.corrcoef(linear.ravel(), found.ravel())[0, 1] > 0.98


def test_a_target_that_needs_probabilities_is_refused_without_any():
    X, y = problem(n=40)
    for machine in (LinearSVC(random_state=0), SVC(), RidgeClassifier()):
        explainer = InfluenceExplainer(machine).fit(X, y)
        with pytest.raises(ValueError, match=r"'entropy' needs class probabilities.*or 'zero_one'"):
            explainer.influence(X, target=Entropy())
    ridge = InfluenceRidge().fit(X, X[:, 0])
    with pytest.raises(ValueError, match="'entropy' needs class probabilities"):
        ridge.influence(X, target=Entropy())
    with pytest.raises(TypeError, match="should be an object; got the class Entropy: call it"):
        ridge.influence(X, target=Entropy)


def test_a_target_is_bound_to_no_model_but_the_one_that_is_asked():
    entropy, two, three = Entropy(), BinaryLogLoss(), HingeLoss()
    bound = resolve_target(entropy, two.link, two)
    assert bound.link is two.link
    assert entropy.link is None
    with pytest.raises(ValueError, match="needs class probabilities"):
        resolve_target(entropy, three.link, three)


class RampLink(BinaryLink):
    """P(1) = 1/2 + eta between -1/2 and 1/2: exactly 1/2 at 0."""

    name = "ramp"

    def inverse(self, eta):
        return np.clip(0.5 + np.asarray(eta, dtype=float), 0.0, 1.0)

    def inverse_slope(self, eta):
        return (np.abs(eta) < 0.5).astype(float)


def test_equal_probabilities_are_the_first_class_by_any_link_of_two():
    """As argmax has it, and scikit-learn where a decision is 0."""
    eta, link = np.array([-0.75, -0.125, 0.0, 2.0**-52, 0.125, 0.75]), RampLink()
    np.testing.assert_array_equal(link.predicted(eta), [0, 0, 0, 1, 1, 1])
    np.testing.assert_array_equal(link.predicted(eta), link.probabilities(eta).argmax(axis=-1))


def test_slopes_of_an_inverse_transform_where_it_is_flat_or_ends():
    eta = np.array([-2.0, -1e-3, 1e-5, 0.5])
    link = TransformedLink(IdentityLink(), lambda x: x**3, 1.0)
    np.testing.assert_allclose(link.inverse_slope(eta), 3 * eta**2, rtol=1e-9)
    near_the_end = np.array([1e-5, 1.0])  # two steps of 6e-6 beside 0
    link = TransformedLink(IdentityLink(), lambda x: np.where(x < 0, np.nan, x**2), 1.0)
    np.testing.assert_allclose(link.inverse_slope(near_the_end), 2 * near_the_end, rtol=1e-8)
