"""Poisoned rows, adversarial inputs and the curvature in the input, against brute force."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import minimize
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from skinfluence import (
    InfluenceExplainer,
    InfluenceLogisticRegression,
    InfluencePoissonRegressor,
    InfluenceRidge,
    explain,
)
from skinfluence.attacks import (
    PoisoningAttack,
    adversarial_perturbation,
    input_curvature,
)
from skinfluence.kernel_models import InfluenceKernelRidge, KernelLogisticRegression
from skinfluence.svm import SmoothHingeSVC
from tests.cases import problem, responses

X, y = problem(0, n=100)
X_train, y_train, X_test, y_test = X[:60], y[:60], X[60:], y[60:]


# -- inputs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("norm", [2, "inf"])
def test_the_smallest_change_of_a_linear_model(n_classes, norm):
    X, y = problem(1, n=90, n_classes=n_classes)
    clf = InfluenceLogisticRegression().fit(X, y)
    found = adversarial_perturbation(clf, X[:20], norm=norm)
    assert found.is_exact
    assert found.flipped.all()
    order = 2 if norm == 2 else np.inf
    np.testing.assert_allclose(found.size, np.linalg.norm(found.perturbation, order, axis=1))
    # A thousandth less does not turn it, and neither does any of many changes of that size.
    short = X[:20] + 0.999 * found.perturbation
    np.testing.assert_array_equal(clf.predict(short), found.before)
    rng = np.random.default_rng(0)
    for _ in range(300):
        step = rng.normal(size=found.perturbation.shape)
        step = np.sign(step) if norm == "inf" else step
        step /= np.linalg.norm(step, order, axis=1, keepdims=True)
        moved = X[:20] + 0.999 * found.size[:, None] * step
        np.testing.assert_array_equal(clf.predict(moved), found.before)


def test_the_largest_loss_within_epsilon_of_a_linear_model():
    clf = InfluenceLogisticRegression().fit(X_train, y_train)
    for norm in (2, "inf"):
        found = adversarial_perturbation(clf, X_test, y_test, norm=norm, epsilon=0.3)
        np.testing.assert_allclose(found.size, 0.3)
        sign = np.where(y_test == 1, 1, -1)
        margin = sign * clf.decision_function(X_test + found.perturbation)
        dual = np.linalg.norm(clf.coef_[0], 2 if norm == 2 else 1)
        np.testing.assert_allclose(margin, sign * clf.decision_function(X_test) - 0.3 * dual)


def test_rows_that_are_wrong_need_no_change():
    clf = InfluenceLogisticRegression().fit(X_train, y_train)
    wrong = clf.predict(X_test) != y_test
    assert wrong.any()
    found = adversarial_perturbation(clf, X_test, y_test)
    assert not found.perturbation[wrong].any()
    assert (found.size[~wrong] > 0).all()
    assert (found.after[~wrong] != y_test[~wrong]).all()


@pytest.mark.parametrize("model", ["logistic", "svm"])
def test_changes_of_kernel_machines_are_local_minima(model):
    clf = {
        "logistic": KernelLogisticRegression(kernel="rbf", gamma=0.2, C=3.0),
        "svm": SmoothHingeSVC(kernel="poly", degree=2, coef0=1.0, temperature=0.2),
    }[model].fit(X_train, y_train)
    found = adversarial_perturbation(clf, X_test[:8])
    assert not found.is_exact
    assert found.flipped.all()
    for row in range(8):
        start, change = X_test[row], found.perturbation[row]
        sign = np.sign(clf.decision_function(start[None])[0])
        best = minimize(
            lambda d: d @ d,
            change,
            constraints={
                "type": "ineq",
                "fun": lambda d, s=start, g=sign: -g * clf.decision_function((s + d)[None])[0],
            },
            method="SLSQP",
        )
        assert found.size[row] <= 1.1 * np.sqrt(best.fun)
    worst = adversarial_perturbation(clf, X_test, y_test, epsilon=0.2, norm="inf")
    assert worst.size.max() <= 0.2 + 1e-12
    sign = np.where(y_test == 1, 1, -1)
    moved = sign * clf.decision_function(X_test + worst.perturbation)
    rng = np.random.default_rng(0)
    corners = 0.2 * np.sign(rng.normal(size=(200, *X_test.shape)))
    values = [sign * clf.decision_function(X_test + corner) for corner in corners]
    lowest = np.min(values, axis=0)  # of nearly all 16 corners
    assert np.mean(moved <= lowest + 1e-6) >= 0.95
    assert (moved <= lowest + 0.2).all()


def test_inputs_through_a_pipeline():
    scaled = X_train * [1.0, 10.0, 0.1, 3.0]
    pipe = make_pipeline(StandardScaler(), InfluenceLogisticRegression()).fit(scaled, y_train)
    test = X_test * [1.0, 10.0, 0.1, 3.0]
    found = adversarial_perturbation(pipe, test)
    assert found.is_exact
    coef = pipe[-1].coef_[0] / pipe[0].scale_
    distance = np.abs(pipe.decision_function(test)) / np.linalg.norm(coef)
    np.testing.assert_allclose(found.size, distance, rtol=1e-5)
    assert found.flipped.all()
    machine = make_pipeline(StandardScaler(), SmoothHingeSVC(kernel="rbf", gamma=0.2))
    explainer = explain(machine.fit(X_train, y_train))
    assert adversarial_perturbation(explainer, X_test[:5]).flipped.all()


class Bent(TransformerMixin, BaseEstimator):
    """A step that is not linear, with a derivative."""

    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        return X + 0.1 * X**3

    def input_vjp(self, X, cotangent):
        return (1 + 0.3 * X**2) * cotangent


def test_inputs_through_a_step_with_a_derivative():
    pipe = make_pipeline(Bent(), InfluenceLogisticRegression()).fit(X_train, y_train)
    found = adversarial_perturbation(pipe, X_test)
    assert found.flipped.all()
    assert not found.is_exact
    # The nearest point of the boundary: the change is along the gradient there.
    moved = X_test + found.perturbation
    normal = Bent().input_vjp(moved, np.tile(pipe[-1].coef_, (len(moved), 1)))
    cosine = np.abs((normal * found.perturbation).sum(axis=1))
    cosine /= np.linalg.norm(normal, axis=1) * found.size
    assert (cosine > 0.999).mean() > 0.9


def test_frames_and_errors_of_inputs():
    clf = InfluenceLogisticRegression().fit(X_train, y_train)
    found = adversarial_perturbation(clf, X_test)
    assert list(found.to_frame().columns) == ["size", "before", "after"]
    assert "40 of 40 predictions turned" in repr(found)
    with pytest.raises(ValueError, match="norm should be 2 or 'inf'; got 1"):
        adversarial_perturbation(clf, X_test, norm=1)
    with pytest.raises(ValueError, match="epsilon should be a finite positive number; got -1"):
        adversarial_perturbation(clf, X_test, epsilon=-1)
    with pytest.raises(ValueError, match="InfluenceRidge is a regressor"):
        adversarial_perturbation(InfluenceRidge().fit(X_train, X_train[:, 0]), X_test)
    pairs = InfluenceExplainer(SVC()).fit(*problem(n_classes=4))
    with pytest.raises(NotImplementedError, match="one machine for each pair of classes"):
        adversarial_perturbation(pairs, X_test)


MODELS = {
    "logistic": (InfluenceLogisticRegression(), 2),
    "softmax": (InfluenceLogisticRegression(), 3),
    "poisson": (InfluencePoissonRegressor(alpha=0.1), "count"),
    "rbf": (KernelLogisticRegression(kernel="rbf", gamma=0.3), 3),
    "poly": (SmoothHingeSVC(kernel="poly", degree=3, coef0=1.0, temperature=0.3), 2),
    "kernel ridge": (InfluenceKernelRidge(kernel="rbf", gamma=0.3), "real"),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_curvature_in_the_input(name):
    model, kind = MODELS[name]
    if kind in (2, 3):
        X, y = problem(0, n_classes=kind)
    else:
        X, y = responses(0, counts=kind == "count")
    model = clone(model).fit(X, y)
    fitted = model.__fitted_problem__()

    def loss(Z, labels):
        query = fitted.query(Z, labels, "loss", "newton")
        return query.target.value(query.y, fitted.objective.native(query.eta))

    found = input_curvature(model, X[:5], y[:5])
    for row in range(5):
        H, step = np.empty((4, 4)), 1e-3
        for a in range(4):
            for b in range(4):
                total = 0.0
                for s in (1, -1):
                    for t in (1, -1):
                        z = X[row].copy()
                        z[a] += s * step
                        z[b] += t * step
                        total += s * t * loss(z[None], y[[row]])[0]
                H[a, b] = total / (4 * step**2)
        expected = np.sort(np.linalg.eigvalsh(H))[::-1]
        r = found.eigenvalues.shape[1]
        own = np.sort(np.r_[found.eigenvalues[row], np.zeros(4 - r)])[::-1]
        np.testing.assert_allclose(own, expected, atol=1e-4 * max(1, np.abs(expected).max()))
        d = found.direction[row]
        assert d @ d == pytest.approx(1.0)
        assert d @ H @ d == pytest.approx(expected[0], abs=1e-4 * np.abs(H).max())
    assert found.trace.shape == found.largest.shape == (5,)
    assert list(found.to_frame().columns) == ["largest", "smallest", "trace"]
    assert "InputCurvature of 5 rows" in repr(found)
    own = input_curvature(model, X[:5])
    np.testing.assert_allclose(
        own.eigenvalues, input_curvature(model, X[:5], model.predict(X[:5])).eigenvalues
    )


# -- poisoning -------------------------------------------------------------------------------------


def digits():
    X, y = load_digits(return_X_y=True)
    keep = np.isin(y, (3, 8))
    X, y = X[keep] / 16.0, y[keep]
    return X[:180], y[:180], X[180:], y[180:]


def near_the_boundary(clf, X_test, y_test):
    """Position of the right test row with the smallest margin."""
    margin = np.abs(clf.decision_function(X_test))
    margin[clf.predict(X_test) != y_test] = np.inf
    return int(np.argmin(margin))


def test_a_row_is_poisoned_and_a_refit_says_so():
    X, y, X_test, y_test = digits()
    clf = InfluenceLogisticRegression().fit(X, y)
    target = near_the_boundary(clf, X_test, y_test)
    attack = PoisoningAttack(LogisticRegression(tol=1e-8), epsilon=1.0, target_rows=[target])
    found = attack.run(X, y, X_test, y_test)
    assert found.success
    assert found.targets.tolist() == [target]
    assert len(found.rows) == 1
    assert np.abs(found.displacement).max() <= 1.0
    np.testing.assert_array_equal(X[found.rows] + found.displacement, found.X_poisoned)
    poisoned = X.copy()
    poisoned[found.rows] = found.X_poisoned
    refit = LogisticRegression(tol=1e-8).fit(poisoned, y)
    np.testing.assert_array_equal(refit.predict(X_test[[target]]), found.after)
    np.testing.assert_array_equal(refit.coef_, found.estimator.coef_)
    assert found.after[0] != y_test[target]
    assert (np.diff(found.losses) > 0).all()
    loss = -refit.predict_log_proba(X_test[[target]])[0, list(refit.classes_).index(y_test[target])]
    assert found.losses[-1] == pytest.approx(loss, abs=1e-5)
    assert "1 of 1 targets flipped by 1 row moved" in repr(found)
    assert found.to_frame()["flipped"].tolist() == [True]


def test_the_attack_beats_random_moves_of_the_same_size():
    X, y, X_test, y_test = digits()
    clf = InfluenceLogisticRegression().fit(X, y)
    target = near_the_boundary(clf, X_test, y_test)
    question = X_test[[target]], y_test[[target]]
    attack = PoisoningAttack(clf, epsilon=0.3, n_iter=10)
    gain = np.diff(attack.run(X, y, *question).losses[[0, -1]])[0]
    rng = np.random.default_rng(0)
    moves = 0.3 * np.sign(rng.normal(size=X.shape))
    random = clf.feature_influence(*question, displacement=moves, method="newton")
    assert gain > 2 * random.max()


def test_more_rows_reach_further():
    X, y, X_test, y_test = digits()
    clf = InfluenceLogisticRegression().fit(X, y)
    target = near_the_boundary(clf, X_test, y_test)
    question = X_test[[target]], y_test[[target]]
    losses = [
        PoisoningAttack(clf, epsilon=0.15, n_rows=n, n_iter=8).run(X, y, *question).losses[-1]
        for n in (1, 3, 10)
    ]
    assert losses[0] < losses[1] < losses[2]


def test_constraints():
    X, y, X_test, y_test = digits()
    X, X_test = np.round(16 * X), np.round(16 * X_test)
    clf = InfluenceLogisticRegression(C=0.01)
    question = X_test[:1], y_test[:1]
    found = PoisoningAttack(clf, epsilon=4.5, constraint="uint8", n_iter=5).run(X, y, *question)
    assert (found.X_poisoned == np.round(found.X_poisoned)).all()
    assert found.X_poisoned.min() >= 0
    assert np.abs(found.displacement).max() <= 4

    def pixels(moved, original):
        return np.clip(moved, np.maximum(original - 2, 0), np.minimum(original + 2, 16))

    found = PoisoningAttack(clf, epsilon=4.0, constraint=pixels, n_iter=5).run(X, y, *question)
    assert found.X_poisoned.min() >= 0
    assert found.X_poisoned.max() <= 16
    assert np.abs(found.displacement).max() == pytest.approx(2)
    with pytest.raises(ValueError, match="'uint8' is for features that are whole numbers"):
        PoisoningAttack(clf, epsilon=1.0, constraint="uint8").run(X / 16, y, *question)
    with pytest.raises(ValueError, match=r"constraint\(moved, original\) should return shape"):
        PoisoningAttack(clf, epsilon=1.0, constraint=lambda a, b: a[:0]).run(X, y, *question)


def test_bounds_keep_rows_in_the_range_of_the_data():
    X, y, X_test, y_test = digits()
    clf = InfluenceLogisticRegression()
    question = X_test[:1], y_test[:1]
    free = PoisoningAttack(clf, epsilon=1.0, n_iter=4).run(X, y, *question)
    assert free.X_poisoned.min() < 0
    kept = PoisoningAttack(clf, epsilon=1.0, bounds=(0, 1), n_iter=4).run(X, y, *question)
    assert kept.X_poisoned.min() >= 0
    assert kept.X_poisoned.max() <= 1
    assert kept.losses[-1] > kept.losses[0]
    seen = PoisoningAttack(clf, epsilon=1.0, bounds="data", n_iter=4).run(X, y, *question)
    assert (seen.X_poisoned >= X.min(axis=0)).all()
    assert (seen.X_poisoned <= X.max(axis=0)).all()
    ends = np.zeros(64), np.where(np.arange(64) < 32, 1.0, np.inf)
    half = PoisoningAttack(clf, epsilon=1.0, bounds=ends, n_iter=4).run(X, y, *question)
    assert half.X_poisoned[:, :32].max() <= 1
    assert half.X_poisoned[:, 32:].max() > 1
    for bounds, message in (
        ("range", "bounds should be one of 'data'"),
        ((0, 1, 2), r"bounds should be 'data' or a pair \(low, high\)"),
        ((0, np.ones(5)), "arrays of 64 numbers"),
        ((1, 0), "low <= high"),
        ((0, np.nan), "low <= high"),
        ((0, 0.5), r"bounds leave out training rows: X has 0\.[0-9]+"),
    ):
        with pytest.raises(ValueError, match=message):
            PoisoningAttack(clf, bounds=bounds).run(X, y, *question)


def test_pipelines_and_kernels():
    pipe = make_pipeline(StandardScaler(), InfluenceLogisticRegression())
    found = PoisoningAttack(pipe, epsilon=1.5, n_iter=6).run(
        X_train, y_train, X_test[:2], y_test[:2]
    )
    assert found.losses[-1] > found.losses[0]
    machine = SmoothHingeSVC(kernel="rbf", temperature=0.2)
    found = PoisoningAttack(machine, epsilon=1.5, n_iter=6).run(
        X_train, y_train, X_test[:2], y_test[:2]
    )
    assert found.losses[-1] > found.losses[0]


def test_bad_attacks():
    clf = InfluenceLogisticRegression()
    question = X_train, y_train, X_test, y_test
    for parameters, message in (
        ({"n_rows": 0}, "n_rows should be a positive integer and at most the 60"),
        ({"n_rows": 61}, "n_rows should be a positive integer"),
        ({"n_iter": 0}, "n_iter should be a positive integer"),
        ({"epsilon": 0}, "epsilon should be a finite positive number"),
        ({"constraint": "ball"}, "constraint should be one of 'box', 'uint8'"),
        ({"target_rows": [99]}, "target_rows should lie in"),
        ({"target_rows": 3}, r"target_rows should be a 1-D array.*shape \(\)"),
        ({"target_rows": [0.5]}, "target_rows should be a 1-D array"),
        ({"target_rows": []}, "target_rows is empty"),
        ({"n_rows": True}, "n_rows should be a positive integer.*got True"),
        ({"n_rows": 1.5}, "n_rows should be a positive integer.*got 1.5"),
        ({"n_iter": "a"}, "n_iter should be a positive integer; got 'a'"),
        ({"epsilon": np.nan}, "epsilon should be a finite positive number; got nan"),
        ({"epsilon": np.inf}, "epsilon should be a finite positive number; got inf"),
        ({"constraint": None}, "constraint should be one of 'box', 'uint8'; got None"),
        ({"constraint": lambda a, b: a * np.nan}, "constraint.* should return finite numbers"),
        ({"constraint": lambda a, b: ["a"]}, "what constraint returns should hold numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            PoisoningAttack(clf, **{"epsilon": 0.1, **parameters}).run(*question)
    for epsilon in (True, "a", None, [0.1], np.array([0.1])):
        with pytest.raises(TypeError, match="epsilon should be a positive number; got"):
            PoisoningAttack(clf, epsilon=epsilon).run(*question)
        if epsilon is not None:
            with pytest.raises(TypeError, match="epsilon should be a positive number; got"):
                adversarial_perturbation(clf.fit(X_train, y_train), X_test, epsilon=epsilon)
    with pytest.raises(TypeError, match="X should be dense"):
        PoisoningAttack(clf).run(sp.csr_array(X_train), y_train, X_test, y_test)
    with pytest.raises(ValueError, match="InfluenceRidge is no classifier"):
        PoisoningAttack(InfluenceRidge(), epsilon=1.0).run(*question)
    wrong = 1 - clf.fit(X_train, y_train).predict(X_test[:3])
    with pytest.raises(ValueError, match="all misclassified without any attack"):
        PoisoningAttack(clf, epsilon=1.0).run(X_train, y_train, X_test[:3], wrong)


def test_frames_keep_their_names(recwarn):
    pd = pytest.importorskip("pandas")
    frame, test = pd.DataFrame(X_train, columns=list("abcd")), pd.DataFrame(X_test)
    test.columns = list("abcd")
    pipe = make_pipeline(StandardScaler(), InfluenceLogisticRegression()).fit(frame, y_train)
    found = adversarial_perturbation(pipe, test)
    assert found.flipped.all()
    assert input_curvature(pipe, test).largest.shape == (40,)
    assert not [w for w in recwarn if "feature names" in str(w.message)]


@pytest.mark.parametrize("kernel", [None, "rbf"])
def test_inputs_that_are_all_misclassified_need_no_change(kernel):
    X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 0, 1, 1])
    clf = InfluenceLogisticRegression() if kernel is None else KernelLogisticRegression()
    found = adversarial_perturbation(clf.fit(X, y), X[:1], np.array([1]))
    np.testing.assert_array_equal(found.perturbation, [[0.0]])
    np.testing.assert_array_equal(found.before, found.after)
