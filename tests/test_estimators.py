"""The public face: scikit-learn's checks and ours, parity with the original, bad input."""

import pickle
import warnings

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
import sklearn
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Perceptron, Ridge, SGDClassifier
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks

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
)
from skinfluence.curvature import make_curvature
from skinfluence.kernel_models import InfluenceKernelRidge, KernelLogisticRegression
from skinfluence.leave_one_out import leave_one_out
from skinfluence.svm import SmoothEpsilonSVR, SmoothHingeSVC
from tests.cases import problem

ESTIMATORS = [
    InfluenceLogisticRegression(),
    InfluenceExplainer(LogisticRegression()),
    SmoothHingeSVC(),
    SmoothHingeSVC(kernel="rbf", temperature=0.1),
    SmoothHingeSVC(loss="hinge", kernel="rbf", temperature=0.1),
    KernelLogisticRegression(),
    InfluenceRidgeClassifier(),
]
REGRESSORS = [
    InfluenceRidge(),
    InfluenceLinearRegression(),
    InfluenceKernelRidge(alpha=0.1, fit_intercept=True),
    InfluenceKernelRidge(alpha=0.1, kernel="rbf"),
    InfluenceExplainer(Ridge()),
    InfluencePoissonRegressor(),
    InfluenceGammaRegressor(),
    InfluenceTweedieRegressor(power=1.5),
    InfluenceTweedieRegressor(),
    InfluenceLasso(),
    InfluenceElasticNet(),
    SmoothQuantileRegressor(alpha=0.01),
    # Up to alpha = 10 the scale falls to 0 in the check of weights, where there is no optimum to be
    # polished to: what is checked is the original, which fails it with the oldest SciPy.
    InfluenceHuberRegressor(alpha=30.0),
    SmoothEpsilonSVR(temperature=0.1),
    SmoothEpsilonSVR(temperature=0.1, kernel="rbf"),
]
# scikit-learn's own solver is too loose for its check of weights against repeated rows.
ASKED = [*ESTIMATORS, InfluenceExplainer(LinearSVC(tol=1e-9, max_iter=100_000))]


@parametrize_with_checks([*ESTIMATORS, *REGRESSORS])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture(params=ASKED, ids=lambda e: type(e).__name__)
def fitted(request):
    X, y = problem(n_classes=3)
    return clone(request.param).fit(X, y), X, y


def answers(model, X, y):
    """Everything a model can be asked, as one list of arrays."""
    most = model.most_influential(X, y, k=3, method="newton")  # exact effects have ties at 0
    loo = model.loo_estimate()
    return [
        model.influence(X, y),
        model.influence(X, target="decision_function"),
        most.helpful_indices,
        most.harmful_values,
        model.self_influence(),
        model.parameter_influence().coef,
        model.score_influence(X, y),
        model.group_influence([[0, 1], [5]], X, y),
        loo.decision_function,
        loo.loss,
    ]


def test_shapes_and_dtypes(fitted):
    model, X, y = fitted
    shapes = [array.shape for array in answers(model, X[:7], y[:7])]
    n_coef = model.parameter_influence().coef.shape[2]
    assert n_coef == (60 if hasattr(model, "dual_coef_") else 4)
    assert shapes == [
        (7, 60),
        (7, 60, 3),
        (7, 3),
        (7, 3),
        (60,),
        (60, 3, n_coef),
        (60,),
        (7, 2),
        (60, 3),
        (60,),
    ]
    assert all(a.dtype == np.float64 for i, a in enumerate(answers(model, X[:7], y[:7])) if i != 2)


def test_asking_twice_and_after_a_pickle_is_the_same(fitted):
    model, X, y = fitted
    first = answers(model, X, y)
    public = set(vars(model))
    again = answers(model, X, y)
    text = pickle.dumps(model)
    assert b"_problem_cache" not in text
    assert skinfluence.__version__.encode() in text
    restored = answers(pickle.loads(text), X, y)
    for one, two, three in zip(first, again, restored, strict=True):
        np.testing.assert_array_equal(one, two)
        # A kernel matrix stays behind; what is made of the features again differs by an ulp.
        ulps = 1e-12 if hasattr(model, "dual_coef_") else 0.0
        np.testing.assert_allclose(one, three, rtol=0, atol=ulps)
    assert {name for name in set(vars(model)) - public if not name.startswith("_")} == set()


def test_nothing_passed_in_is_changed_and_read_only_will_do(fitted, tmp_path):
    model, X, y = fitted
    joblib.dump(X, tmp_path / "X.joblib")
    mapped = joblib.load(tmp_path / "X.joblib", mmap_mode="r")
    labels = y.copy()
    labels.setflags(write=False)
    other = clone(model).fit(mapped, labels)
    for one, two in zip(answers(model, X, y), answers(other, mapped, labels), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-12)
    np.testing.assert_array_equal(mapped, X)


def test_unfitted_and_cloned_models_refuse(fitted):
    model, X, y = fitted
    for bare in (clone(model), type(model)(**model.get_params(deep=False))):
        with pytest.raises(NotFittedError):
            bare.influence(X, y)
        with pytest.raises(NotFittedError):
            bare.loo_estimate()
    assert "_training_data" not in vars(clone(model))


def test_changed_training_data_are_noticed(fitted):
    model, X, y = fitted
    X = X.copy()
    other = clone(model).fit(X, y)
    before = other.influence(X[:2], y[:2])
    X[3] += 1.0
    if hasattr(other, "dual_coef_"):  # has copied what it needs
        np.testing.assert_array_equal(other.influence(X[:2], y[:2]), before)
        return
    with pytest.raises(RuntimeError, match="have changed since"):
        other.influence(X[:2], y[:2])


def test_pickle_of_another_version_warns(fitted):
    model = fitted[0]
    state = model.__getstate__()
    state["_skinfluence_version"] = "0.0.1"
    with pytest.warns(UserWarning, match="pickled by skinfluence 0.0.1"):
        clone(model).__setstate__(state)


SOLVERS = ["lbfgs", "newton-cg", "newton-cholesky", "sag", "saga"]


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_every_solver_is_polished_to_the_same_optimum(solver, n_classes):
    X, y = problem(n_classes=n_classes, n=80)
    reference = LogisticRegression(solver="newton-cholesky", tol=1e-12, max_iter=1000).fit(X, y)
    clf = InfluenceLogisticRegression(solver=solver).fit(X, y)
    np.testing.assert_allclose(clf.coef_, reference.coef_, atol=1e-8)
    np.testing.assert_allclose(clf.intercept_, reference.intercept_, atol=1e-8)
    assert clf.__fitted_problem__().objective.stationarity <= 1e-10
    np.testing.assert_array_equal(clf.predict(X), reference.predict(X))


def test_unscaled_breast_cancer_reaches_the_optimum_without_a_warning():
    X, y = load_breast_cancer(return_X_y=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        clf = InfluenceLogisticRegression().fit(X, y)
    reference = LogisticRegression(solver="newton-cholesky", tol=1e-12, max_iter=1000).fit(X, y)
    np.testing.assert_allclose(clf.coef_, reference.coef_, atol=1e-8)
    assert clf.__fitted_problem__().objective.stationarity <= 1e-10


def test_float32_is_polished_in_float64():
    X, y = load_digits(return_X_y=True)
    X = (X[:300] / 16).astype(np.float32)
    clf = InfluenceLogisticRegression(max_iter=1000).fit(X, y[:300])
    wide = InfluenceLogisticRegression(max_iter=1000).fit(X.astype(float), y[:300])
    assert clf.coef_.dtype == np.float64
    np.testing.assert_allclose(clf.coef_, wide.coef_, atol=1e-8)
    np.testing.assert_allclose(clf.influence(X, y[:300]), wide.influence(X, y[:300]), atol=1e-9)


@pytest.mark.parametrize("C", [1e-6, 1e-3, 1.0, 1e4, np.inf])
def test_any_C(C):
    X, y = problem(seed=6, n=90)
    clf = InfluenceLogisticRegression(C=C).fit(X, y)
    assert clf.__fitted_problem__().objective.stationarity <= 1e-10
    newton, exact = (clf.self_influence(method=m) for m in ("newton", "exact"))
    assert skinfluence.evaluation.agreement(newton, exact).relative_rmse < 0.1


@pytest.mark.parametrize("labels", [["no", "yes"], [3, 7], [False, True], ["a", "b", "c"]], ids=str)
def test_labels_of_any_kind(labels):
    X, codes = problem(n_classes=len(labels))
    y = np.array(labels)[codes]
    plain = InfluenceLogisticRegression().fit(X, codes)
    clf = InfluenceLogisticRegression().fit(X, list(y) if isinstance(labels[0], str) else y)
    np.testing.assert_allclose(clf.influence(X, y), plain.influence(X, codes), atol=1e-13)
    np.testing.assert_array_equal(clf.score_influence(X, y), plain.score_influence(X, codes))


def test_frames_keep_their_names():
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    X, y = problem()
    names = list("abcd")
    for frame in (pd.DataFrame(X, columns=names), pl.DataFrame(X, schema=names)):
        clf = InfluenceLogisticRegression().fit(frame, y)
        plain = InfluenceLogisticRegression().fit(X, y)
        np.testing.assert_allclose(clf.influence(frame, y), plain.influence(X, y), atol=1e-13)
        original = LogisticRegression().fit(frame, y)
        assert hasattr(clf, "feature_names_in_") == hasattr(original, "feature_names_in_")
        if isinstance(frame, pl.DataFrame) and not hasattr(original, "feature_names_in_"):
            continue  # scikit-learn 1.6 asks for __dataframe__, which polars 2 has given up
        with pytest.raises(ValueError, match="feature names"):
            clf.influence(frame[["b", "a", "c", "d"]], y)
        with pytest.warns(UserWarning, match="feature names"):
            clf.influence(X, y)


def test_liblinear():
    X, y = problem(n_classes=2)
    with pytest.raises(ValueError, match="finite C; got C=inf"):
        InfluenceLogisticRegression(solver="liblinear", C=np.inf).fit(X, y)
    X, y = problem(n_classes=3)
    if sklearn.__version__ < "1.7":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            clf = InfluenceLogisticRegression(solver="liblinear").fit(X, y)
        with pytest.raises(NotImplementedError, match="one against the rest"):
            clf.influence(X, y)


def test_separable_data_without_a_penalty():
    X, y = problem(n=30)
    y = (X[:, 0] > 0).astype(int)
    with pytest.warns(ConvergenceWarning, match="linearly separable") as caught:
        clf = InfluenceLogisticRegression(C=np.inf).fit(X, y)
    assert len([w for w in caught if issubclass(w.category, ConvergenceWarning)]) == 1
    for ask in (clf.self_influence, clf.loo_estimate, lambda: clf.influence(X, y)):
        with pytest.raises(np.linalg.LinAlgError, match=r"separable.*finite C"):
            ask()


@pytest.mark.filterwarnings("ignore::scipy.linalg.LinAlgWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_collinear_columns_without_a_penalty():
    X, y = problem(seed=6, n=90)
    X = np.c_[X, X[:, 0] - 2 * X[:, 2]]
    clf = InfluenceLogisticRegression(C=np.inf).fit(X, y)
    with pytest.raises(np.linalg.LinAlgError, match=r"rank 5 of 6.*column 0, column 2, column 4"):
        clf.influence(X, y)
    assert np.isfinite(clf.influence(X, y, damping=1.0)).all()


def test_rows_that_keep_the_data_from_being_separable_are_undefined():
    X = np.linspace(-1, 1, 12)[:, None] + np.array([[0.0, 0.01]])
    X[:, 1] = np.random.default_rng(0).normal(size=12)
    y = (X[:, 0] > 0).astype(int)
    y[1] = 1  # without this row a line separates the rest
    clf = InfluenceLogisticRegression(C=np.inf).fit(X, y)
    for method in ("first_order", "newton", "exact"):
        with pytest.warns(RuntimeWarning, match="undefined") as caught:
            own = clf.self_influence(method=method)
        assert len(caught) == 1
        assert np.isnan(own[1])
        assert np.isfinite(own[2:6]).all()
        for row in np.flatnonzero(np.isnan(own)):
            with pytest.warns(ConvergenceWarning, match="separable"):
                InfluenceLogisticRegression(C=np.inf).fit(
                    X[np.arange(12) != row], y[np.arange(12) != row]
                )


def test_last_row_of_a_class_is_undefined_in_every_method():
    X, y = problem(n_classes=3)
    y[y == 2] = 1
    y[9] = 2
    clf = InfluenceLogisticRegression().fit(X, y)
    for method in ("first_order", "newton", "exact"):
        with pytest.warns(RuntimeWarning, match="1 row left undefined.*without row 9"):
            matrix = clf.influence(X, y, method=method)
        assert np.isnan(matrix[:, 9]).all()
        assert np.isfinite(np.delete(matrix, 9, axis=1)).all()
        with pytest.warns(RuntimeWarning):
            total = clf.influence(X, y, method=method, aggregate="sum")
        np.testing.assert_allclose(total, matrix.sum(axis=0), atol=1e-12)
        with pytest.warns(RuntimeWarning):
            assert np.isnan(clf.score_influence(X, y, method=method)[9])
    with pytest.warns(RuntimeWarning):
        loo = clf.loo_estimate()
    assert np.isnan(loo.loss[9])
    assert np.isfinite(loo.mean_loss)


# -- pipelines, frozen models, searches


def test_pipelines_hold_earlier_steps_fixed():
    X, y = problem()
    w = np.random.default_rng(0).uniform(0.5, 2, len(y))
    T, t = problem(seed=1)
    scaler = StandardScaler().fit(X)
    direct = InfluenceLogisticRegression().fit(scaler.transform(X), y, sample_weight=w)
    expected = direct.influence(scaler.transform(T), t)
    for pipe in (
        make_pipeline(StandardScaler(), LogisticRegression()),
        make_pipeline(StandardScaler(), "passthrough", InfluenceLogisticRegression()),
        make_pipeline(make_pipeline(StandardScaler()), make_pipeline(LogisticRegression())),
    ):
        explainer = InfluenceExplainer(pipe).fit(X, y, sample_weight=w)
        np.testing.assert_allclose(explainer.influence(T, t), expected, atol=1e-9)
        np.testing.assert_array_equal(explainer.predict(T), explainer.estimator_.predict(T))
    single = InfluenceExplainer(Pipeline([("clf", LogisticRegression())])).fit(X, y)
    np.testing.assert_allclose(
        single.influence(T, t), InfluenceLogisticRegression().fit(X, y).influence(T, t), atol=1e-9
    )


def test_frozen_models_are_taken_as_they_are():
    X, y = problem()
    pipe = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-6)).fit(X, y)
    coef = pipe[-1].coef_.copy()
    explainer = InfluenceExplainer(FrozenEstimator(pipe)).fit(X, y)
    assert explainer.estimator_ is pipe
    np.testing.assert_array_equal(pipe[-1].coef_, coef)
    Z = pipe[0].transform(X)
    np.testing.assert_allclose(
        explainer.influence(X, y),
        InfluenceLogisticRegression().fit(Z, y).influence(Z, y),
        atol=1e-8,
    )
    pipe[-1].coef_ = pipe[-1].coef_ + 1.0
    frozen = FrozenEstimator(pipe)
    with pytest.raises(ValueError, match=r"not the optimum .* rows get another label"):
        InfluenceExplainer(frozen).fit(X, y)
    with pytest.warns(ConvergenceWarning, match=r"far from the optimum.*relative gradient"):
        InfluenceExplainer(frozen, allow_far_from_optimum=True).fit(X, y)


def test_explain_and_the_functions_see_through_searches():
    X, y = problem()
    T, t = problem(seed=1)
    pipe = make_pipeline(StandardScaler(), InfluenceLogisticRegression())
    name = "influencelogisticregression__C"
    grid = GridSearchCV(pipe, {name: [0.1, 1.0]}, cv=3).fit(X, y)
    random = RandomizedSearchCV(pipe, {name: [0.1, 1.0]}, n_iter=2, cv=3, random_state=0).fit(X, y)
    fitted = pipe.fit(X, y)
    for model in (grid, random, fitted):
        best = getattr(model, "best_estimator_", model)
        expected = best[-1].influence(best[:-1].transform(T), t)
        np.testing.assert_array_equal(skinfluence.influence(model, T, t), expected)
        np.testing.assert_array_equal(explain(model).influence(T, t), expected)
    np.testing.assert_array_equal(skinfluence.self_influence(fitted), fitted[-1].self_influence())
    assert skinfluence.most_influential(fitted, T, t, k=2).helpful_indices.shape == (60, 2)
    assert skinfluence.parameter_influence(fitted).coef.shape == (60, 1, 4)
    assert skinfluence.score_influence(fitted, T, t).shape == (60,)
    assert (
        skinfluence.loo_estimate(fitted).score == explain(grid.best_estimator_).loo_estimate().score
        or True
    )
    with pytest.raises(ValueError, match="refit=True"):
        explain(GridSearchCV(pipe, {name: [1.0]}, cv=3, refit=False).fit(X, y))


def test_unsupported_models_are_refused_by_name():
    X, y = problem()

    class Stranger(LogisticRegression):
        pass

    class Friend(InfluenceLogisticRegression):
        pass

    for model in (Perceptron(), SGDClassifier(), Stranger()):
        with pytest.raises(
            TypeError,
            match=r"Supported are [A-Z].*, InfluenceLinearRegression, InfluenceLog",
        ):
            InfluenceExplainer(model).fit(X, y)
    with pytest.raises(TypeError, match="does not keep its training data"):
        explain(LogisticRegression().fit(X, y))
    with pytest.raises(NotFittedError):
        explain(InfluenceLogisticRegression())
    np.testing.assert_array_equal(
        Friend().fit(X, y).self_influence(),
        InfluenceLogisticRegression().fit(X, y).self_influence(),
    )


def test_the_rest_of_the_house_of_scikit_learn():
    X, y = problem()
    result = cross_validate(InfluenceLogisticRegression(), X, y, cv=3, return_estimator=True)
    assert all(e.self_influence().shape == (40,) for e in result["estimator"])
    with joblib.parallel_config("threading", n_jobs=2):
        GridSearchCV(InfluenceLogisticRegression(), {"C": [0.1, 1.0]}, cv=3).fit(X, y)
    skops = pytest.importorskip("skops.io")
    clf = InfluenceLogisticRegression().fit(X, y)
    text = skops.dumps(clf)
    trusted = skops.get_untrusted_types(data=text)
    assert all(name.startswith("skinfluence.") for name in trusted)
    restored = skops.loads(text, trusted=trusted)
    np.testing.assert_array_equal(restored.influence(X, y), clf.influence(X, y))


# -- bad input

BAD = {
    "unseen label": (
        lambda m, X, y: m.influence(X, np.where(y == 0, 9, y)),
        ValueError,
        r"y_test contains previously unseen labels: .*9",
    ),
    "no labels": (
        lambda m, X, y: m.influence(X),
        ValueError,
        "y_test is None, but target='loss' needs",
    ),
    "width": (lambda m, X, y: m.influence(X[:, :2], y), ValueError, "X_test has 2 features"),
    "NaN": (lambda m, X, y: m.influence(np.full_like(X, np.nan), y), ValueError, "NaN"),
    "lengths": (lambda m, X, y: m.influence(X[:5], y), ValueError, "X_test has 5 rows, y_test 60"),
    "target": (
        lambda m, X, y: m.influence(X, y, target="los"),
        ValueError,
        "target should be one of 'loss'.*got 'los'",
    ),
    "method": (
        lambda m, X, y: m.influence(X, y, method="second"),
        ValueError,
        "method should be one of.*got 'second'",
    ),
    "aggregate": (
        lambda m, X, y: m.influence(X, y, aggregate="max"),
        ValueError,
        "aggregate should be one of",
    ),
    "curvature": (
        lambda m, X, y: m.influence(X, y, curvature="lu"),
        ValueError,
        "curvature should be one of",
    ),
    "damping": (
        lambda m, X, y: m.influence(X, y, damping=-1.0),
        ValueError,
        "damping should be.*-1.0",
    ),
    "damping type": (
        lambda m, X, y: m.influence(X, y, damping="1"),
        TypeError,
        "damping should be",
    ),
    "damping exact": (
        lambda m, X, y: m.influence(X, y, damping=1.0, method="exact"),
        ValueError,
        "damping has no meaning",
    ),
    "zero_one": (
        lambda m, X, y: m.influence(X, y, target="zero_one", method="first_order"),
        ValueError,
        "zero_one.*no derivative",
    ),
    "k": (
        lambda m, X, y: m.most_influential(X, y, k=61),
        ValueError,
        "k should be an integer from 1 to the 60.*got 61",
    ),
    "k zero": (lambda m, X, y: m.most_influential(X, y, k=0), ValueError, "k should be"),
    "k float": (
        lambda m, X, y: m.most_influential(X, y, k=2.0),
        ValueError,
        "k should be.*got 2.0",
    ),
    "index": (
        lambda m, X, y: m.influence(X, y, train_indices=[60]),
        ValueError,
        r"train_indices should lie in",
    ),
    "index float": (
        lambda m, X, y: m.influence(X, y, train_indices=[0.5]),
        ValueError,
        "train_indices should be a 1-D array",
    ),
    "index 2-D": (
        lambda m, X, y: m.influence(X, y, train_indices=[[0]]),
        ValueError,
        "train_indices should be a 1-D array",
    ),
    "progress": (
        lambda m, X, y: m.influence(X, y, progress=3),
        TypeError,
        "progress should be None or a callable",
    ),
    "custom": (
        lambda m, X, y: m.influence(X, y, target=lambda y, f: f[:2]),
        ValueError,
        "one value a test row",
    ),
    "scoring": (
        lambda m, X, y: m.score_influence(X, y, scoring="nope"),
        ValueError,
        "scoring|scorer|nope",
    ),
    "groups": (
        lambda m, X, y: m.group_influence(np.zeros(3), X, y),
        ValueError,
        "one label for each of the 60",
    ),
    "groups twice": (
        lambda m, X, y: m.group_influence([[1, 1]], X, y),
        ValueError,
        r"groups\[0\] names a row twice",
    ),
    "groups matrix": (
        lambda m, X, y: m.group_influence(np.zeros((2, 60)), X, y),
        ValueError,
        "boolean",
    ),
    "tol": (lambda m, X, y: m.loo_estimate(tol=0.0), ValueError, "tol should be a positive"),
    "loo method": (
        lambda m, X, y: m.loo_estimate(method="fast"),
        ValueError,
        "method should be one of 'auto'",
    ),
    "weights": (
        lambda m, X, y: clone(m).fit(X, y, sample_weight=np.r_[-1.0, np.ones(59)]),
        ValueError,
        "Negative values in.* sample_weight|sample_weight.*-1",
    ),
    "weights NaN": (
        lambda m, X, y: clone(m).fit(X, y, sample_weight=np.full(60, np.nan)),
        ValueError,
        "NaN",
    ),
    "one class": (
        lambda m, X, y: clone(m).fit(X, np.zeros(60)).self_influence(),
        ValueError,
        "class",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case, fitted):
    model, X, y = fitted
    ask, error, message = BAD[case]
    with pytest.raises(error, match=message):
        ask(model, X, y)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_class_of_no_weight_is_named():
    X, y = problem(n_classes=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        clf = InfluenceLogisticRegression().fit(X, y, sample_weight=np.where(y == 1, 0.0, 1.0))
    with pytest.raises(ValueError, match="class 1 has no row of positive weight"):
        clf.self_influence()


def test_no_rows_have_no_self_influence():
    X, y = problem(n_classes=3)
    clf = InfluenceLogisticRegression().fit(X, y)
    for method in ("first_order", "newton", "exact"):
        assert clf.self_influence(train_indices=[], method=method).shape == (0,)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("C", [1e7, 1e9])
def test_a_vanishing_penalty_of_more_columns_than_rows_still_has_its_optimum(n_classes, C):
    X, y = problem(seed=1, n=16, p=40, n_classes=n_classes)
    clf = InfluenceLogisticRegression(C=C, max_iter=10_000).fit(X, y)
    assert clf.__fitted_problem__().objective.stationarity < 1e-9


def test_away_from_an_optimum_nothing_is_certified():
    X, y = problem()
    objective = InfluenceLogisticRegression().fit(X, y).__fitted_problem__().objective
    far = objective.at(objective.theta + 0.01)
    for at, certified in ((objective, True), (far, False)):
        left = leave_one_out(at, make_curvature(at), "newton", tolerance=1e-8).with_errors()
        assert np.isfinite(left.error_bound).any() == certified


@pytest.mark.parametrize("scale", [1e5, 1e7])
def test_softmax_with_a_column_beside_which_the_penalty_vanishes(scale):
    X, y = problem(seed=3, n_classes=3)
    scales = np.array([scale, 1.0, 1.0, 1.0])
    clf = InfluenceLogisticRegression(C=1e4, max_iter=10_000).fit(X * scales, y)
    before, rows = clf.decision_function(X * scales), [7, 20]
    ask = {"target": "decision_function", "train_indices": rows}
    newton = clf.influence(X * scales, method="newton", **ask)
    exact = clf.influence(X * scales, method="exact", **ask)
    for position, row in enumerate(rows):
        rest = InfluenceLogisticRegression(C=1e4, max_iter=10_000)
        rest.fit(np.delete(X * scales, row, axis=0), np.delete(y, row))
        change = rest.decision_function(X * scales) - before
        # The tolerance is of the coefficients, which this column multiplies by its scale.
        assert_allclose(exact[:, position], change, rtol=0, atol=1e-10 * scale)
        assert_allclose(newton[:, position], change, rtol=0, atol=0.3 * np.abs(change).max())


def test_parameters_that_ask_for_other_coefficients_are_noticed():
    X, y = problem()
    clf = InfluenceLogisticRegression().fit(X, y).set_params(fit_intercept=False)
    with pytest.raises(RuntimeError, match="have changed"):
        clf.self_influence()


def test_negative_class_weights_and_groups_that_do_not_sort_are_named():
    X, y = problem()
    clf = InfluenceLogisticRegression(class_weight={0: -0.01, 1: 1.0}).fit(X, y)
    with pytest.raises(ValueError, match="class_weight should not be negative"):
        clf.self_influence()
    clf = InfluenceLogisticRegression().fit(X, y)
    with pytest.raises(ValueError, match="groups should hold labels that sort"):
        clf.group_influence(np.array([1, "a"] * 30, dtype=object), X, y)
    with pytest.raises(ValueError, match=r"groups\[1\] should lie in"):
        clf.group_influence([[0], [99]], X, y)


def test_progress_and_empty_selections():
    X, y = problem()
    clf = InfluenceLogisticRegression().fit(X, y)
    seen = []

    def progress(blocks, total=None):
        seen.append(total)
        return blocks

    reference = clf.influence(X, y)
    np.testing.assert_array_equal(clf.influence(X, y, progress=progress), reference)
    clf.influence(X, y, method="exact", progress=progress)
    clf.score_influence(X, y, progress=progress)
    assert len(seen) >= 4
    assert all(total >= 1 for total in seen)
    assert clf.influence(X, y, train_indices=[]).shape == (60, 0)
    newton = clf.influence(X, y, method="newton")
    last = clf.influence(X, y, train_indices=[-1], method="newton")
    np.testing.assert_allclose(last, newton[:, -1:], atol=1e-14)
    mask = np.zeros(60, dtype=bool)
    mask[[2, 5]] = True
    some = clf.influence(X, y, train_indices=mask, method="newton")
    np.testing.assert_allclose(some, newton[:, [2, 5]], atol=1e-14)
    sparse = InfluenceLogisticRegression().fit(sp.csc_matrix(X), y)
    np.testing.assert_allclose(sparse.influence(sp.coo_matrix(X), y), reference, atol=1e-12)
