"""Fits on the arrays of PyTorch, CuPy and array-api-strict against the same fits on NumPy's."""

import os
import pickle
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.exceptions import ConvergenceWarning, UndefinedMetricWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import scale
from sklearn.utils.estimator_checks import check_estimator

from skinfluence import (
    InfluenceLogisticRegression,
    InfluencePoissonRegressor,
    InfluenceRidge,
)
from skinfluence._backend import as_numpy

pytest.importorskip("array_api_compat")
DISPATCHES = os.environ.get("SCIPY_ARRAY_API") == "1"
TAKES_ARRAYS = LogisticRegression().__sklearn_tags__().array_api_support
pytestmark = pytest.mark.filterwarnings("ignore:Using Array API dispatch to namespace:UserWarning")
# scikit-learn dispatches only where an environment variable was set before its import: these tests
# are run in a process of their own, by the first one.
dispatched = pytest.mark.skipif(
    not DISPATCHES or not TAKES_ARRAYS,
    reason="needs SCIPY_ARRAY_API=1, and a scikit-learn whose LogisticRegression takes arrays",
)


def test_in_a_process_that_dispatches():
    if DISPATCHES or not TAKES_ARRAYS:
        pytest.skip("this process dispatches, or scikit-learn does not")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "not gpu"]
    done = subprocess.run(
        [*command, __file__],
        env={**os.environ, "SCIPY_ARRAY_API": "1"},
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def has_a_card():
    """Whether PyTorch sees a card."""
    try:
        return import_module("torch").cuda.is_available()
    except ImportError:
        return False


needs_a_card = pytest.mark.skipif(not has_a_card(), reason="no GPU")
LIBRARIES = [
    "torch",
    "array_api_strict",
    pytest.param("torch:cuda", marks=needs_a_card, id="torch on a gpu"),
    pytest.param("cupy", marks=needs_a_card, id="cupy on a gpu"),
]
MODULES = {
    "torch": lambda: pytest.importorskip("torch"),
    "array_api_strict": lambda: pytest.importorskip("array_api_strict"),
    "cupy": lambda: pytest.importorskip("cupy"),
}
# Errors relative to the largest value.
TOLERANCE = {"float32": 5e-6, "float64": 1e-9}


class Library:
    """Arrays of one library, in one type."""

    def __init__(self, name, dtype):
        name, _, self.device = name.partition(":")
        self.xp, self.dtype = MODULES[name](), dtype

    def __call__(self, values, dtype=None):
        """Values as an array of the library."""
        values = np.asarray(values)
        dtype = dtype or (self.dtype if values.dtype.kind == "f" else None)
        options = {"device": self.device} if self.device else {}
        if dtype is not None:
            options["dtype"] = getattr(self.xp, dtype)
        return self.xp.asarray(values, **options)

    def is_ours(self, array):
        """Whether an array is of the library, in the type and on the device."""
        ours = self(np.zeros(1))
        return (
            type(array) is type(ours) and array.dtype == ours.dtype and array.device == ours.device
        )


@pytest.fixture(params=LIBRARIES)
def name(request):
    return request.param


@pytest.fixture(params=["float32", "float64"])
def library(request, name):
    return Library(name, request.param)


@pytest.fixture
def dispatch():
    with sklearn.config_context(array_api_dispatch=True):
        yield


def cancer(seed=0):
    X, y = load_breast_cancer(return_X_y=True)
    return InfluenceLogisticRegression(C=0.5), scale(X) + 3.0, y


def digits():
    X, y = load_digits(n_class=4, return_X_y=True)
    return InfluenceLogisticRegression(C=0.01), X[:300], y[:300]


def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return InfluenceRidge(alpha=0.1, solver="svd"), X, y


def without_intercept():
    model, X, y = digits()
    return model.set_params(fit_intercept=False), X, y


def wide():
    """More columns than rows, and a column that is constant."""
    rng = np.random.default_rng(5)
    X = rng.normal(size=(60, 90))
    X[:, 7] = 2.0
    return InfluenceLogisticRegression(C=2.0), X, (X[:, 0] + rng.normal(size=60) > 0).astype(int)


CASES = [cancer, digits, diabetes, without_intercept, wide]


def weights(n):
    """Weights with a zero."""
    weight = np.random.default_rng(1).uniform(0.5, 2.0, n)
    weight[3] = 0.0
    return weight


def fitted(case, library):
    """A model on arrays of NumPy, the same on those of a library, and the rows of either."""
    model, X, y = case()
    X = X.astype(library.dtype)  # both see the same numbers
    if y.dtype.kind == "f":
        y = y.astype(library.dtype)
    weight = weights(len(y)).astype(library.dtype)
    known = clone(model).fit(X.astype(np.float64), y, weight)
    found = clone(model).fit(library(X), library(y), library(weight))
    rows = slice(0, 25)
    return known, found, (X[rows].astype(np.float64), y[rows]), (library(X[rows]), library(y[rows]))


def assert_near(found, known, library, factor=1.0):
    """The values of a library are those of NumPy, in its type and place."""
    assert library.is_ours(found)
    found = as_numpy(found)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(known))
    tolerance = factor * TOLERANCE[library.dtype]
    limit = tolerance * np.nanmax(np.abs(known))
    np.testing.assert_allclose(found, known, rtol=0, atol=limit)


@dispatched
def test_steps_go_on_until_light_rows_are_at_rest(name, dispatch):
    """Light rows settle the direction (1, -1); beside heavy rows their gradients are small."""
    library, rng = Library(name, "float64"), np.random.default_rng(0)
    first, second = rng.normal(size=(2, 20))
    X = np.concatenate([first[:, None] * [1.0, 1.0], second[:, None] * [1.0, -1.0]])
    y, weight = rng.integers(0, 2, size=40), np.repeat([1.0, 1e-10], 20)
    model = InfluenceLogisticRegression(C=1e16, fit_intercept=False)
    known = clone(model).fit(X, y)  # the directions do not meet: weights change nothing
    start = library(known.coef_ + np.array([0.3, -0.3])).T
    found = model.fit(library(X), library(y), library(weight)).__array_model__().problem
    found = replace(found, theta=start).polished()
    np.testing.assert_allclose(as_numpy(found.theta)[:, 0], known.coef_[0], atol=1e-6)


@dispatched
@pytest.mark.parametrize("method", ["first_order", "newton"])
def test_a_penalty_lost_in_the_curvature_of_a_column(name, dispatch, method):
    """A column of 1e6 curves 1e11 times as much: what all classes share there is the penalty's."""
    library, rng = Library(name, "float64"), np.random.default_rng(21)
    X = rng.normal(size=(30, 4)) * [1e6, 1.0, 1.0, 1.0]
    y = rng.integers(0, 3, size=30)
    known = InfluenceLogisticRegression(C=0.15).fit(X, y)
    found = clone(known).fit(library(X), library(y))
    there = library(X[:8]), library(y[:8])
    found = as_numpy(found.influence(*there, method=method))
    known = known.influence(X[:8], y[:8], method=method)
    np.testing.assert_allclose(found, known, rtol=0, atol=1e-8 * np.abs(known).max())


@dispatched
@pytest.mark.usefixtures("dispatch")
@pytest.mark.parametrize("case", CASES)
class TestAgainstNumPy:
    def test_fit_and_predictions(self, case, library):
        known, found, (X, _), (there, _) = fitted(case, library)
        assert_near(found.coef_, known.coef_, library)
        assert found.coef_.shape == known.coef_.shape
        asked = "predict" if isinstance(known, InfluenceRidge) else "predict_proba"
        assert_near(getattr(found, asked)(there), getattr(known, asked)(X), library)

    @pytest.mark.parametrize("method", ["first_order", "newton"])
    def test_influence(self, case, library, method):
        known, found, rows, there = fitted(case, library)
        linear = "prediction" if isinstance(known, InfluenceRidge) else "decision_function"
        for target in ("loss", linear):
            options = {"target": target, "method": method}
            assert_near(
                found.influence(*there, **options), known.influence(*rows, **options), library
            )
            for aggregate in ("mean", "sum"):
                options["aggregate"] = aggregate
                weight = {"test_sample_weight": weights(25)}
                assert_near(
                    found.influence(*there, **options, **weight),
                    known.influence(*rows, **options, **weight),
                    library,
                    factor=10.0,
                )
        some = [5, 3, 11, -1]
        assert_near(
            found.influence(*there, method=method, train_indices=some),
            known.influence(*rows, method=method, train_indices=some),
            library,
        )

    @pytest.mark.parametrize("method", ["first_order", "newton"])
    def test_most_influential(self, case, library, method):
        known, found, rows, there = fitted(case, library)
        few = np.arange(40, 2, -2)
        for asked in (None, few):
            options = {"method": method, "k": 5, "train_indices": asked}
            mine, theirs = (
                known.most_influential(*rows, **options),
                found.most_influential(*there, **options),
            )
            for kind in ("helpful", "harmful"):
                assert_near(
                    getattr(theirs, f"{kind}_values"), getattr(mine, f"{kind}_values"), library
                )
                chosen = as_numpy(getattr(theirs, f"{kind}_indices"))
                effects = known.influence(*rows, method=method)
                taken = np.take_along_axis(effects, chosen, axis=1)
                size = TOLERANCE[library.dtype] * np.abs(effects).max()
                np.testing.assert_allclose(taken, getattr(mine, f"{kind}_values"), atol=size)
            assert repr(theirs).startswith("MostInfluential of 25 test rows")
            pytest.importorskip("pandas")
            assert len(theirs.to_frame()) == 250

    @pytest.mark.parametrize("method", ["first_order", "newton"])
    def test_own_effects(self, case, library, method):
        known, found, *_ = fitted(case, library)
        assert_near(
            found.self_influence(method=method), known.self_influence(method=method), library
        )
        mine, theirs = known.loo_estimate(method=method), found.loo_estimate(method=method)
        for name in ("decision_function", "loss", "leverage", "predict_proba", "prediction"):
            if getattr(mine, name) is not None:
                # Predictors of a softmax are known up to a number for all classes: float32 has
                # its rounding in the intercepts.
                assert_near(getattr(theirs, name), getattr(mine, name), library, factor=10.0)
        for name in ("mean_loss", "standard_error", "train_loss", "score"):
            assert getattr(theirs, name) == pytest.approx(getattr(mine, name), rel=1e-6)
        assert "mean loss" in repr(theirs)


@dispatched
@pytest.mark.usefixtures("dispatch")
class TestBehaviour:
    def test_ridge_answers_by_default(self, library):
        known, found, rows, there = fitted(diabetes, library)
        assert_near(found.influence(*there), known.influence(*rows), library)
        assert_near(found.self_influence(method="exact"), known.self_influence(), library)

    @pytest.mark.parametrize("case", [digits, cancer])
    def test_blocks_do_not_matter(self, case, library):
        """Many blocks of test rows and of training rows, the last ones of another width."""

        def answers():
            _, found, _, there = fitted(case, library)
            for method in ("first_order", "newton"):
                yield found.influence(*there, method=method)
                yield found.influence(*there, method=method, aggregate="sum")
                yield found.most_influential(*there, method=method, k=7).helpful_values
                yield found.most_influential(*there, method=method, k=7).harmful_values
                yield found.self_influence(method=method)

        whole = [as_numpy(each) for each in answers()]
        with sklearn.config_context(working_memory=0.3):
            parts = [as_numpy(each) for each in answers()]
        for one, other in zip(whole, parts, strict=True):
            limit = TOLERANCE[library.dtype] * np.abs(one).max()
            np.testing.assert_allclose(one, other, rtol=0, atol=limit)

    def test_labels_of_numpy_beside_rows_of_a_library(self, library):
        model, X, y = digits()
        names = np.array(["zero", "one", "two", "three"])[y]
        found = clone(model).fit(library(X), names)
        known = clone(model).fit(X.astype(library.dtype), names)
        assert_near(
            found.influence(library(X[:5]), names[:5], method="newton"),
            known.influence(X[:5].astype(library.dtype), names[:5], method="newton"),
            library,
        )

    def test_the_last_row_of_a_class(self, library):
        model, X, y = cancer()
        X, y = X[:40], np.zeros(40, dtype=int)
        y[17] = 1
        found = model.fit(library(X), library(y))
        with pytest.warns(UndefinedMetricWarning, match="row 17"):
            values = as_numpy(found.influence(library(X[:3]), library(y[:3]), method="newton"))
        assert np.isnan(values[:, 17]).all()
        assert np.isfinite(np.delete(values, 17, axis=1)).all()
        with pytest.warns(UndefinedMetricWarning, match="row 17"):
            top = found.most_influential(library(X[:3]), library(y[:3]), method="newton", k=40)
        assert (as_numpy(top.helpful_indices)[:, -1] == -1).all()

    def test_what_a_device_does_not_answer(self, library):
        _, found, _, there = fitted(cancer, library)
        refused = [
            (lambda: found.influence(*there), "method='auto' refits rows"),
            (lambda: found.influence(*there, method="exact"), "method='exact' refits rows"),
            (lambda: found.loo_estimate(), "use method='newton' or 'first_order'"),
            (lambda: found.parameter_influence(method="newton"), "X.cpu()"),
            (lambda: found.relabel_influence(*there), "X.cpu()"),
            (lambda: found.curvature(), "X.cpu()"),
            (lambda: found.influence(*there, method="newton", damping=1.0), "damping=1.0"),
            (lambda: found.influence(*there, method="newton", as_frame=True), "as_frame=True"),
            (lambda: found.loo_estimate(method="newton", scoring="roc_auc"), "scoring='roc_auc'"),
        ]
        for call, message in refused:
            with pytest.raises(
                NotImplementedError, match=message.replace("(", r"\(").replace(")", r"\)")
            ):
                call()
        X, y = there
        wrong = [
            (lambda: found.influence(X, method="newton"), ValueError, "needs the labels"),
            (
                lambda: found.influence(X[:, :4], y, method="newton"),
                ValueError,
                "expecting 30 features",
            ),
            (
                lambda: found.influence(X, y[:4], method="newton"),
                ValueError,
                "inconsistent numbers",
            ),
            (
                lambda: found.influence(as_numpy(X), y, method="newton"),
                TypeError,
                "X_test should be",
            ),
            (
                lambda: found.influence(X, y + 5, method="newton"),
                ValueError,
                "not seen in training",
            ),
            (
                lambda: found.influence(X * np.inf, y, method="newton"),
                ValueError,
                "NaN or infinity",
            ),
            (
                lambda: found.influence(*there, target="brier", method="newton"),
                ValueError,
                "target",
            ),
            (lambda: found.influence(*there, method="best"), ValueError, "method"),
            (
                lambda: found.most_influential(*there, method="newton", k=999),
                ValueError,
                "from 1 to",
            ),
        ]
        for call, kind, message in wrong:
            with pytest.raises(kind, match=message):
                call()

    def test_what_is_fitted_on_numpy_only(self, library):
        _, X, y = cancer()
        X, y = library(X), library(y)
        refused = [
            (InfluenceLogisticRegression(solver="newton-cholesky"), "solver='newton-cholesky'"),
            (InfluenceLogisticRegression(C=np.inf), "no penalty"),
            (InfluenceLogisticRegression(class_weight="balanced"), "class_weight='balanced'"),
            (InfluenceRidge(positive=True), "positive=True"),
            (InfluencePoissonRegressor(), "InfluencePoissonRegressor computes on arrays of NumPy"),
        ]
        for model, message in refused:
            with pytest.raises(NotImplementedError, match=message):
                model.fit(X, y)
        with pytest.raises(ValueError, match="Negative values in sample_weight"):
            InfluenceRidge(solver="svd").fit(
                X, library(np.ones(X.shape[0])), -library(np.ones(X.shape[0]))
            )

    def test_fit_again_on_numpy(self, library):
        model, X, y = cancer()
        model.fit(library(X), library(y)).fit(X, y)
        assert isinstance(model.coef_, np.ndarray)
        assert isinstance(model.influence(X[:2], y[:2]), np.ndarray)

    def test_copies(self, library):
        _, found, _, there = fitted(digits, library)
        if "strict" in library.xp.__name__:
            pytest.skip("its arrays have no pickles")
        copy = pickle.loads(pickle.dumps(found))
        assert_near(
            copy.influence(*there, method="newton"),
            as_numpy(found.influence(*there, method="newton")),
            library,
        )

    def test_a_fit_that_reaches_no_optimum_says_so(self, library, monkeypatch):
        monkeypatch.setattr("skinfluence.array_api._problem.MAX_STEPS", 0)
        _, X, y = cancer()
        with pytest.warns(ConvergenceWarning):
            found = InfluenceLogisticRegression(max_iter=1).fit(library(X), library(y))
        with pytest.raises(np.linalg.LinAlgError, match="has not reached an optimum"):
            found.self_influence(method="newton")


@dispatched
@pytest.mark.parametrize("model", [InfluenceLogisticRegression(), InfluenceRidge(solver="svd")])
@pytest.mark.filterwarnings("ignore")
def test_the_checks_of_scikit_learn(model):
    assert model.__sklearn_tags__().array_api_support
    assert not InfluenceLogisticRegression(solver="liblinear").__sklearn_tags__().array_api_support
    # It asks for the type that the attributes have on NumPy: float64 whatever X is. PyTorch has no
    # product of different types, so that coef_ has that of X there.
    check_estimator(model, expected_failed_checks={"check_array_api_input": "type of coef_"})


def test_without_dispatch_tensors_become_arrays_of_numpy():
    torch = pytest.importorskip("torch")
    model, X, y = cancer()
    found = clone(model).fit(torch.from_numpy(X), torch.from_numpy(y))
    assert isinstance(found.coef_, np.ndarray)
    np.testing.assert_array_equal(found.coef_, model.fit(X, y).coef_)
