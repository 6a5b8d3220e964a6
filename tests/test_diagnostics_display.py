"""Figures of case-deletion diagnostics: what they hold, what they draw, what they refuse."""

import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skinfluence import (
    InfluenceExplainer,
    InfluenceLasso,
    InfluenceLinearRegression,
    InfluenceLogisticRegression,
    InfluencePoissonRegressor,
    InfluenceRidge,
)
from skinfluence.case_deletion import residual_quantiles
from skinfluence.display import (
    AddedVariableDisplay,
    CooksDistanceDisplay,
    DfbetasDisplay,
    InfluencePlotDisplay,
    LeaveOneOutDisplay,
    QQResidualDisplay,
)
from tests.cases import problem, weights

pytest.importorskip("matplotlib").use("Agg")
DISPLAYS = [InfluencePlotDisplay, CooksDistanceDisplay, DfbetasDisplay, QQResidualDisplay]


@pytest.fixture(autouse=True)
def pyplot():
    from matplotlib import pyplot

    pyplot.close("all")
    yield pyplot
    pyplot.close("all")


def data(n=40, p=3, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p))
    y = X @ rng.normal(size=p) + 1.0 + rng.normal(size=n)
    y[5] += 8.0
    X[9] *= 4.0
    return X, y


@pytest.fixture
def fitted():
    X, y = data()
    w = weights(0, len(y), zeros=2)
    return InfluenceLinearRegression().fit(X, y, w)


def written(display):
    """Texts on the axes."""
    return [text.get_text() for text in display.ax_.texts]


def test_influence_plot(fitted):
    found = fitted.case_deletion_diagnostics()
    names = [f"row {i}" for i in range(40)]
    display = InfluencePlotDisplay.from_estimator(fitted, train_labels=names)
    frame = display.to_frame()
    for column in ("leverage", "studentized_residual", "cooks_distance"):
        np.testing.assert_array_equal(frame[column], getattr(found, column))
    assert list(frame.index) == names
    assert display.mean_leverage == pytest.approx(4 / 38)
    live = np.arange(38)  # the last two weigh nothing, and have no residual
    points = np.c_[found.leverage, found.studentized_residual][live]
    np.testing.assert_array_equal(display.scatter_.get_offsets(), points)
    area = display.scatter_.get_sizes()
    share = found.cooks_distance[:38] / found.cooks_distance.max()
    np.testing.assert_allclose((area - 6.0) / (area.max() - 6.0), share)
    assert {"row 5", "row 9"} <= set(written(display))
    assert len(written(display)) <= 6
    assert display.ax_.get_title(loc="left") == "InfluenceLinearRegression"


def test_cooks_distance(fitted, pyplot):
    _, ax = pyplot.subplots()
    found = fitted.case_deletion_diagnostics()
    display = CooksDistanceDisplay.from_diagnostics(found, ax=ax, n_labels=3)
    assert display.ax_ is ax
    assert display.threshold == 4 / 38
    frame = display.to_frame()
    np.testing.assert_array_equal(frame["cooks_distance"], found.cooks_distance)
    np.testing.assert_array_equal(frame["flagged"], found.influential("cooks"))
    tops = [segment[1, 1] for segment in display.stems_.get_segments()]
    np.testing.assert_array_equal(tops, found.cooks_distance)
    order = np.argsort(-found.cooks_distance)
    expected = [str(i) for i in order[:3] if found.cooks_distance[i] > 4 / 38]
    assert written(display) == expected
    assert "5" in expected
    # With the intercept in the leverages: what yellowbrick leaves out.
    Z = np.c_[np.ones(40), fitted._training_data.X] * np.sqrt(found.weight)[:, None]
    hat = np.diag(Z @ np.linalg.pinv(Z))
    r = found.pearson_residual
    D = r**2 * hat / (4 * found.sigma**2 * (1 - hat) ** 2)
    np.testing.assert_allclose(display.cooks_distance, D, atol=1e-12)


def test_dfbetas(fitted):
    found = fitted.case_deletion_diagnostics()
    display = DfbetasDisplay.from_diagnostics(found, n_labels=1)
    frame = display.to_frame()
    assert list(frame.columns) == ["const", "x0", "x1", "x2"]
    np.testing.assert_array_equal(frame.to_numpy(), found.dfbetas)
    for j, points in enumerate(display.points_):
        np.testing.assert_array_equal(points.get_xdata(), found.dfbetas[:, j])
        assert (points.get_ydata() == j).all()
    ticks = [label.get_text() for label in display.ax_.get_yticklabels()]
    assert ticks == ["const", "x0", "x1", "x2"]
    assert [line.get_xdata()[0] for line in display.lines_] == [-2 / np.sqrt(38), 2 / np.sqrt(38)]
    beyond = (np.abs(found.dfbetas) > 2 / np.sqrt(38)).any(axis=0)
    assert len(written(display)) == beyond.sum()


def test_qq_of_residuals(fitted):
    found = fitted.case_deletion_diagnostics()
    display = QQResidualDisplay.from_estimator(fitted, name="mine")
    assert display.df == 33  # 38 rows, 4 coefficients, one for the row itself
    frame = display.to_frame()
    values = found.studentized_residual[:38]
    np.testing.assert_array_equal(frame["studentized_residual"], np.sort(values))
    np.testing.assert_array_equal(frame.index, np.argsort(values, kind="stable"))
    k = np.arange(1, 39)
    for column, probability in (("quantile", 0.5), ("low", 0.025), ("high", 0.975)):
        expected = stats.t(33).ppf(stats.beta(k, 39 - k).ppf(probability))
        np.testing.assert_allclose(frame[column], expected, rtol=1e-10)
    assert written(display)[0] == "5"
    assert "33 degrees" in display.ax_.get_xlabel()
    X, y = problem()
    logistic = QQResidualDisplay.from_estimator(InfluenceLogisticRegression().fit(X, y))
    assert np.isinf(logistic.df)
    assert "normal" in logistic.ax_.get_xlabel()
    with pytest.raises(ValueError, match="level should be between 0 and 1"):
        QQResidualDisplay(studentized_residual=values, df=3.0, level=1.0)
    with pytest.raises(ValueError, match="df should be positive"):
        QQResidualDisplay(studentized_residual=values, df=0.0)


def test_band_covers_each_order_statistic():
    rng = np.random.default_rng(0)
    draws = np.sort(rng.standard_t(5, size=(20_000, 12)), axis=1)
    _, low, high = residual_quantiles(12, 5.0, 0.9)
    inside = ((low < draws) & (draws < high)).mean(axis=0)
    np.testing.assert_allclose(inside, 0.9, atol=4 * np.sqrt(0.09 / 20_000))


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
def test_added_variable_is_two_regressions(weighted, fit_intercept):
    """Frisch & Waugh, by two fits; statsmodels draws the same unweighted."""
    X, y = data()
    w = weights(0, 40) if weighted else np.ones(40)
    model = InfluenceLinearRegression(fit_intercept=fit_intercept).fit(X, y, w)
    others = LinearRegression(fit_intercept=fit_intercept)
    for j in range(3):
        display = AddedVariableDisplay.from_estimator(model, f"x{j}")
        rest = np.delete(X, j, axis=1)
        x = X[:, j] - others.fit(rest, X[:, j], w).predict(rest)
        left = y - others.fit(rest, y, w).predict(rest)
        np.testing.assert_allclose(display.x, x, atol=1e-10)
        np.testing.assert_allclose(display.y, left, atol=1e-10)
        assert display.slope == pytest.approx(model.coef_[j], abs=1e-12)
        assert (w * x) @ left / ((w * x) @ x) == pytest.approx(display.slope, abs=1e-10)
        np.testing.assert_allclose(display.y - display.slope * x, y - model.predict(X), atol=1e-10)
    if not fit_intercept:
        return
    display = AddedVariableDisplay.from_estimator(model, "const")
    plain = LinearRegression(fit_intercept=False)
    x = 1 - plain.fit(X, np.ones(40), w).predict(X)
    np.testing.assert_allclose(display.x, x, atol=1e-10)
    assert display.slope == pytest.approx(model.intercept_, abs=1e-12)


def test_added_variable_as_statsmodels():
    graphics = pytest.importorskip("statsmodels.graphics.regressionplots")
    import statsmodels.api as sm

    X, y = data()
    exog = sm.add_constant(X)
    _, (x, left) = graphics.plot_partregress(
        y, exog[:, 2], exog[:, [0, 1, 3]], ret_coords=True, obs_labels=False
    )
    display = AddedVariableDisplay.from_estimator(InfluenceLinearRegression().fit(X, y), 1)
    np.testing.assert_allclose(display.x, np.asarray(x).ravel(), atol=1e-10)
    np.testing.assert_allclose(display.y, np.asarray(left).ravel(), atol=1e-10)


@pytest.mark.parametrize("family", ["logistic", "poisson", "ridge"])
def test_added_variable_of_working_responses(family):
    X, y = data()
    if family == "logistic":
        y = (y > np.median(y)).astype(int)
        model = InfluenceLogisticRegression(C=np.inf, max_iter=1000).fit(X[:, :2], y)
        p = model.predict_proba(X[:, :2])[:, 1]
        W, working = p * (1 - p), (y - p) / (p * (1 - p))
        slope = model.coef_[0, 1]
    elif family == "poisson":
        y = np.random.default_rng(1).poisson(np.exp(0.4 * X[:, 0]))
        model = InfluencePoissonRegressor(alpha=0.0, max_iter=1000).fit(X[:, :2], y)
        W = model.predict(X[:, :2])
        working, slope = (y - W) / W, model.coef_[1]
    else:
        model = InfluenceRidge(alpha=5.0).fit(X[:, :2], y)
        W, working, slope = np.ones(40), y - model.predict(X[:, :2]), model.coef_[1]
    display = AddedVariableDisplay.from_estimator(model, 1)
    penalty = np.diag([5.0 if family == "ridge" else 0.0, 0.0])
    Z = np.c_[X[:, 0], np.ones(40)]
    gamma = np.linalg.solve(Z.T @ (W[:, None] * Z) + penalty, Z.T @ (W * X[:, 1]))
    x = X[:, 1] - Z @ gamma
    np.testing.assert_allclose(display.x, x, atol=1e-8)
    np.testing.assert_allclose(display.y, working + slope * x, atol=1e-6)
    np.testing.assert_allclose(display.weight, W, atol=1e-8)
    if family != "ridge":
        fitted = (W * x) @ display.y / ((W * x) @ x)
        assert fitted == pytest.approx(display.slope, abs=1e-6)
    frame = display.to_frame()
    np.testing.assert_array_equal(frame["x"], display.x)
    assert display.ax_.get_xlabel() == "x1, without the others"


@pytest.mark.parametrize("display", DISPLAYS)
def test_of_pipelines_and_names(display):
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    pipe = make_pipeline(StandardScaler().set_output(transform="pandas"), LinearRegression())
    explainer = InfluenceExplainer(pipe).fit(X, y)
    labels = [f"p{i}" for i in range(len(y))]
    drawn = display.from_estimator(explainer, train_labels=labels)
    assert drawn.ax_.get_title(loc="left") == "InfluenceExplainer"
    assert all(text.startswith("p") for text in written(drawn))
    assert len(written(drawn)) >= 1
    assert set(drawn.to_frame().index) == set(labels)
    X.index = y.index = labels
    own = display.from_estimator(InfluenceExplainer(pipe).fit(X, y))
    assert set(written(own)) == set(written(drawn))  # the names that fit has seen
    assert list(own.to_frame().index) == list(drawn.to_frame().index)
    again = drawn.plot(name="other")
    assert again.ax_.get_title(loc="left") == "other"


@pytest.mark.parametrize("n", [1, 300])
@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_long_names_are_cut_and_do_not_lie_on_each_other(style, n):
    from matplotlib import pyplot as plt

    values = np.random.default_rng(0).normal(size=n) * 3.0
    size = np.abs(values)
    names = [f"a name that is far too long to be written in full, of row {i}" for i in range(n)]
    asked = {"train_labels": names, "name": "a model with a name"}
    with plt.style.context(style):
        for display in (
            CooksDistanceDisplay(cooks_distance=size, threshold=0.0, **asked),
            InfluencePlotDisplay(
                leverage=size / 10,
                studentized_residual=values,
                cooks_distance=size,
                mean_leverage=0.1,
                **asked,
            ),
            DfbetasDisplay(
                dfbetas=np.c_[values, -values], coefficients=["a", "b"], threshold=0.1, **asked
            ),
            QQResidualDisplay(studentized_residual=values, df=30, **asked),
            AddedVariableDisplay(
                x=values, y=size, weight=np.ones(n), slope=1.0, feature="x" * 20, **asked
            ),
            LeaveOneOutDisplay(
                fitted=values, left_out=-values, flipped=np.ones(n, bool), train_labels=names
            ),
        ):
            display.plot()
            display.figure_.canvas.draw()
            boxes = [text.get_window_extent() for text in display.ax_.texts]
            assert all(len(text) <= 28 for text in written(display))
            assert boxes
            for i, box in enumerate(boxes):
                assert not any(
                    abs(box.x0 - other.x0) < 1 and abs(box.y0 - other.y0) < 6 for other in boxes[:i]
                )
        plt.close("all")


@pytest.mark.parametrize("display", DISPLAYS)
def test_undefined_rows_are_not_drawn(display):
    X, y = data()
    X[:, 0] = 0.0
    X[3, 0] = 1.0
    with pytest.warns(RuntimeWarning, match="row 3"):
        found = InfluenceLinearRegression().fit(X, y).case_deletion_diagnostics()
    drawn = display.from_diagnostics(found)
    assert "3" not in written(drawn)


@pytest.mark.parametrize("display", DISPLAYS)
def test_what_is_refused(display):
    X, y = load_iris(return_X_y=True)
    blocks = InfluenceLogisticRegression(max_iter=1000).fit(X, y)
    with pytest.raises(TypeError, match=r"needs the CaseDeletionDiagnostics.*LeverageBlocks"):
        display.from_estimator(blocks)
    with pytest.raises(TypeError, match="does not keep its training data"):
        display.from_estimator(LogisticRegression(max_iter=1000).fit(X, y))
    X, y = data()
    with pytest.raises(ValueError, match="train_labels"):
        display.from_estimator(InfluenceRidge().fit(X, y), train_labels=["a"])


def test_what_added_variable_refuses():
    X, y = data()
    model = InfluenceRidge().fit(X, y)
    with pytest.raises(ValueError, match="feature should be one of x0, x1, x2, const; got 'bmi'"):
        AddedVariableDisplay.from_estimator(model, "bmi")
    with pytest.raises(ValueError, match="feature should be below 4; got 4"):
        AddedVariableDisplay.from_estimator(model, 4)
    with pytest.raises(NotImplementedError, match="no L1 penalty"):
        AddedVariableDisplay.from_estimator(InfluenceLasso(alpha=0.1).fit(X, y), 0)
    with pytest.raises(NotImplementedError, match="one output"):
        AddedVariableDisplay.from_estimator(InfluenceRidge().fit(X, np.c_[y, y]), 0)
    with pytest.raises(ValueError, match="a column for each of the 2 coefficients"):
        DfbetasDisplay(dfbetas=np.ones((3, 3)), coefficients=["a", "b"], threshold=1.0)
