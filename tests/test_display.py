"""Displays: what they hold, what they draw, what they refuse. No images are compared."""

import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.svm import SVC

from skinfluence import InfluenceExplainer, InfluenceLogisticRegression, InfluenceRidge
from skinfluence.display import (
    LeaveOneOutAgreementDisplay,
    LeaveOneOutDisplay,
    RegularizationCurveDisplay,
)
from skinfluence.evaluation import agreement
from skinfluence.model_selection import LeaveOneOutSearchCV
from tests.cases import problem

pytest.importorskip("matplotlib").use("Agg")
GRID = [0.01, 0.1, 1.0, 10.0]


@pytest.fixture(autouse=True)
def pyplot():
    from matplotlib import pyplot

    pyplot.close("all")
    yield pyplot
    pyplot.close("all")


@pytest.fixture(scope="module")
def cancer():
    X, y = load_breast_cancer(return_X_y=True)
    return scale(X), y


@pytest.mark.parametrize("n_classes", [2, 3])
def test_leave_one_out_display_is_the_estimate(n_classes, pyplot):
    X, y = problem(n_classes=n_classes, seed=3)
    labels = np.array(["u", "v", "w"])[y]
    clf = InfluenceLogisticRegression().fit(X, labels)
    display = LeaveOneOutDisplay.from_estimator(clf, method="exact")
    loo = clf.loo_estimate(method="exact")
    own = np.arange(len(y)), y
    np.testing.assert_allclose(display.fitted, clf.predict_proba(X)[own], atol=1e-12)
    np.testing.assert_array_equal(display.left_out, loo.predict_proba[own])
    flipped = clf.classes_[loo.predict_proba.argmax(axis=1)] != clf.predict(X)
    assert flipped.any()
    np.testing.assert_array_equal(display.flipped, flipped)
    np.testing.assert_array_equal(
        display.scatter_.get_offsets(), np.c_[display.fitted, display.left_out]
    )
    np.testing.assert_array_equal(
        display.flipped_.get_offsets(), np.c_[display.fitted, display.left_out][flipped]
    )
    written = {int(text.get_text()) for text in display.ax_.texts}
    assert written
    assert written <= set(np.flatnonzero(flipped))  # without those that would lie on another
    assert display.ax_.get_xlabel() == "probability of the own label, fitted"
    assert display.name == "InfluenceLogisticRegression"
    assert display.figure_ is display.ax_.figure
    frame = display.to_frame()
    assert list(frame.columns) == ["fitted", "left_out", "flipped"]
    assert len(pyplot.get_fignums()) == 1


@pytest.mark.parametrize("shape", ["ovr", "ovo"])
@pytest.mark.parametrize("n_classes", [3, 4])
def test_left_out_rows_are_drawn_as_they_are_predicted(n_classes, shape, pyplot):
    X, y = problem(n=60, p=3, n_classes=n_classes)
    model = SVC(gamma=0.3, tol=1e-10, decision_function_shape=shape)
    explainer = InfluenceExplainer(model).fit(X, y)
    display = LeaveOneOutDisplay.from_estimator(explainer)
    scores = clone(model).set_params(decision_function_shape="ovr")
    without = [
        clone(scores).fit(np.delete(X, row, axis=0), np.delete(y, row)) for row in range(len(y))
    ]
    predicted = [model.predict(X[[row]])[0] for row, model in enumerate(without)]
    np.testing.assert_array_equal(display.flipped, predicted != explainer.predict(X))
    assert display.flipped.any()
    for row, model in enumerate(without):
        decision = model.decision_function(X[[row]])[0]
        lead = decision[y[row]] - np.delete(decision, y[row]).max()
        assert display.left_out[row] == pytest.approx(lead, abs=3e-5)


def test_leave_one_out_display_of_pipelines_names_and_styles(pyplot):
    X, y = problem(seed=4)
    names = [f"patient {i}" for i in range(len(y))]
    explainer = InfluenceExplainer(make_pipeline(StandardScaler(), LogisticRegression()))
    _, ax = pyplot.subplots()
    display = LeaveOneOutDisplay.from_estimator(
        explainer.fit(X, y),
        method="newton",
        train_labels=names,
        ax=ax,
        name="mine",
        scatter_kwargs={"alpha": 0.25},
        flipped_kwargs={"s": 80},
    )
    assert display.ax_ is ax
    assert display.scatter_.get_alpha() == 0.25
    assert display.flipped_.get_sizes() == [80]
    assert ax.get_legend().get_texts()[0].get_text() == "mine"
    assert all(text.get_text().startswith("patient") for text in ax.texts)
    assert list(display.to_frame().index) == names
    again = LeaveOneOutDisplay.from_predictions(display.fitted, display.left_out).plot(name="b")
    assert again.flipped.sum() == 0
    assert again.ax_ is not ax


def test_rows_have_the_names_that_fit_has_seen(pyplot):
    pd = pytest.importorskip("pandas")
    X, y = problem(seed=4)
    frame = pd.DataFrame(X, index=[f"patient {i}" for i in range(len(y))])
    pipe = make_pipeline(StandardScaler(), InfluenceLogisticRegression())
    pipe.fit(frame, pd.Series(y, index=frame.index))
    first = LeaveOneOutDisplay.from_estimator(pipe, method="newton")
    rows = [3, 5, 8, 13, 21]
    second = LeaveOneOutAgreementDisplay.from_estimator(pipe, train_indices=rows)
    assert list(first.to_frame().index) == list(frame.index)
    assert list(second.to_frame().index) == list(frame.index[rows])
    for display in (first, second):
        written = [text.get_text() for text in display.ax_.texts]
        assert written
        assert set(written) <= set(frame.index)
    given = LeaveOneOutAgreementDisplay.from_estimator(
        pipe, train_indices=rows, train_labels=list("abcde")
    )
    assert list(given.to_frame().index) == list("abcde")
    with pytest.raises(ValueError, match=r"train_labels should have shape \(5,\)"):
        LeaveOneOutAgreementDisplay.from_estimator(pipe, train_indices=rows, train_labels="ab")


def test_undefined_rows_are_not_drawn_and_not_flipped():
    X, y = problem(n_classes=3, seed=8)
    alone = np.flatnonzero(y == 0)[0]
    y[y == 0] = 1
    y[alone] = 0
    clf = InfluenceLogisticRegression().fit(X, y)
    with pytest.warns(RuntimeWarning, match="undefined"):
        display = LeaveOneOutDisplay.from_estimator(clf)
    assert np.isnan(display.left_out[alone])
    assert not display.flipped[alone]
    display.figure_.canvas.draw()


@pytest.mark.parametrize("with_test_rows", [False, True])
@pytest.mark.parametrize("method", ["newton", "first_order"])
def test_agreement_display_is_the_agreement(cancer, method, with_test_rows):
    X, y = cancer
    clf = InfluenceLogisticRegression().fit(X[:300], y[:300])
    test = (X[300:], y[300:]) if with_test_rows else ()
    rows = np.arange(0, 300, 3)
    display = LeaveOneOutAgreementDisplay.from_estimator(
        clf, *test, method=method, train_indices=rows
    )

    def effects(method):
        if test:
            return clf.influence(*test, method=method, aggregate="mean", train_indices=rows)
        return clf.self_influence(method=method, train_indices=rows)

    assert display.agreement == agreement(effects(method), effects("exact"))
    np.testing.assert_array_equal(display.actual, effects("exact"))
    np.testing.assert_array_equal(
        display.scatter_.get_offsets(), np.c_[display.actual, display.estimated]
    )
    title = display.ax_.get_title()
    assert title.startswith(method)
    assert f"slope {display.agreement.slope:.3f}" in title
    assert f"{display.agreement.relative_rmse:.1%}" in title
    farthest = rows[np.argsort(-np.abs(display.estimated - display.actual))[:5]]
    written = [int(text.get_text()) for text in display.ax_.texts]
    assert written[0] == farthest[0]
    assert set(written) <= set(farthest)  # without those that would lie on another
    assert list(display.to_frame().index) == list(rows)
    display.figure_.canvas.draw()


def test_agreement_display_of_pairs_leaves_out_undefined_ones():
    display = LeaveOneOutAgreementDisplay.from_predictions(
        [1.0, 2.0, np.nan, 4.0], [1.1, 2.0, 3.0, 3.9], name="refits"
    )
    assert display.agreement.n == 3
    assert display.ax_.get_title().startswith("refits")
    assert len(display.plot(n_labels=0, fit_kwargs={"color": "k"}).ax_.texts) == 0
    assert display.fit_.get_color() == "k"


def test_regularization_curve_is_both_searches(cancer):
    X, y = cancer
    clf = InfluenceLogisticRegression(max_iter=1000)
    display = RegularizationCurveDisplay.from_estimator(clf, X, y, values=GRID[::-1], cv=4)
    options = {"scoring": "neg_log_loss", "refit": False}
    search = LeaveOneOutSearchCV(clf, {"C": GRID}, method="newton", **options).fit(X, y)
    folds = GridSearchCV(clf, {"C": GRID}, cv=4, **options).fit(X, y)
    np.testing.assert_array_equal(display.values, GRID)
    np.testing.assert_allclose(display.scores, search.cv_results_["mean_test_score"], rtol=1e-9)
    np.testing.assert_allclose(display.fold_scores, folds.cv_results_["mean_test_score"], rtol=1e-9)
    splits = np.stack([folds.cv_results_[f"split{k}_test_score"] for k in range(4)])
    np.testing.assert_allclose(display.fold_errors, splits.std(axis=0, ddof=1) / 2, rtol=1e-9)
    # A loss is drawn upright.
    np.testing.assert_allclose(display.line_.get_ydata(), -display.scores)
    np.testing.assert_allclose(display.fold_line_.get_ydata(), -display.fold_scores)
    assert display.ax_.get_ylabel() == "log loss"
    assert display.ax_.get_xscale() == "log"
    assert display.best_value == search.cv_results_["params"][search.best_index_]["C"]
    assert display.simplest_value <= display.best_value
    assert display.best_line_.get_xdata()[0] == display.best_value
    columns = ["value", "score", "standard_error", "fold_score", "fold_error"]
    assert list(display.to_frame().columns) == columns
    display.figure_.canvas.draw()


def test_regularization_curve_of_a_search_without_folds():
    X, y = problem(seed=5)
    pipe = make_pipeline(StandardScaler(), LogisticRegression())
    grid = {"logisticregression__C": GRID}
    search = LeaveOneOutSearchCV(pipe, grid).fit(X, y)
    display = RegularizationCurveDisplay.from_search(search, name="pipe", line_kwargs={"lw": 3})
    assert display.fold_line_ is None
    assert display.line_.get_linewidth() == 3
    assert display.line_.get_label() == "pipe, leave-one-out"
    assert display.ax_.get_xlabel() == "logisticregression__C"
    assert display.ax_.get_ylabel() == "score"
    assert list(display.to_frame().columns) == ["value", "score", "standard_error"]


def test_what_displays_refuse():
    X, y = problem(seed=5)
    clf = InfluenceLogisticRegression().fit(X, y)
    with pytest.raises(ValueError, match=r"fitted and left_out .* fitted \(2,\), left_out \(3,\)"):
        LeaveOneOutDisplay(fitted=[0.1, 0.2], left_out=[0.1, 0.2, 0.3])
    with pytest.raises(ValueError, match="flipped should be boolean"):
        LeaveOneOutDisplay(fitted=[0.1, 0.2], left_out=[0.1, 0.2], flipped=[0, 1])
    with pytest.raises(ValueError, match="train_labels"):
        LeaveOneOutDisplay.from_estimator(clf, train_labels=["a"])
    with pytest.raises(ValueError, match="train_indices should have shape"):
        LeaveOneOutAgreementDisplay(estimated=[1, 2], actual=[1, 3], train_indices=[0])
    with pytest.raises(ValueError, match="at least two pairs"):
        LeaveOneOutAgreementDisplay(estimated=[1, np.nan], actual=[1, 3])
    X3, y3 = problem(n_classes=3)
    model = InfluenceLogisticRegression().fit(X3, y3)
    with pytest.raises(ValueError, match="one number for each class"):
        LeaveOneOutAgreementDisplay.from_estimator(model, target="predict_proba")
    two = LeaveOneOutSearchCV(clf, {"C": GRID, "fit_intercept": [True, False]}).fit(X, y)
    with pytest.raises(ValueError, match="one numeric parameter; got C, fit_intercept"):
        RegularizationCurveDisplay.from_search(two)
    one = LeaveOneOutSearchCV(clf, {"C": GRID}).fit(X, y)
    folds = GridSearchCV(clf, {"C": GRID[:2]}).fit(X, y)
    with pytest.raises(ValueError, match="same parameter and values"):
        RegularizationCurveDisplay.from_search(one, folds=folds)
    with pytest.raises(ValueError, match="values should be positive"):
        RegularizationCurveDisplay(values=[0, 1], scores=[1, 1], standard_errors=[0, 0])
    with pytest.raises(NotFittedError):
        LeaveOneOutDisplay.from_estimator(GridSearchCV(clf, {"C": GRID}))
    with pytest.raises(TypeError, match="does not keep its training data"):
        LeaveOneOutDisplay.from_estimator(LogisticRegression().fit(X, y))
    with pytest.raises(TypeError, match="needs a classifier; got InfluenceRidge"):
        LeaveOneOutDisplay.from_estimator(InfluenceRidge().fit(X, y))


def test_without_matplotlib_the_error_says_what_to_do():
    code = (
        "import sys; sys.modules['matplotlib'] = None; sys.modules['matplotlib.pyplot'] = None\n"
        "from skinfluence.display import LeaveOneOutDisplay\n"
        "LeaveOneOutDisplay.from_predictions([0.1], [0.2])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ImportError: displays need matplotlib, which is not installed" in done.stderr
