"""Features whose names are those of the intercept, or that mean something to a figure."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import HuberRegressor

from skinfluence import (
    InfluenceExplainer,
    InfluenceLinearRegression,
    InfluenceLogisticRegression,
    InfluenceRidge,
)
from skinfluence import display as figures
from skinfluence._frames import free_name
from skinfluence.labels import LabelAudit
from skinfluence.robustness import coefficient
from skinfluence.uncertainty import ParameterCovariance
from tests.cases import problem

X, _ = problem(3, n=60, p=3)
Y = 2.0 + X[:, 0] + 0.3 * X[:, 1]


def named(*names):
    """The rows with these names of the columns."""
    return pd.DataFrame(X, columns=list(names))


def test_a_free_name_has_as_many_underscores_as_it_needs():
    assert free_name("const", ["a"]) == "const"
    assert free_name("const", ["const", "a"]) == "const_"
    assert free_name("const", ["const_", "const"]) == "const__"
    assert free_name("0", [0, 1]) == "0_"  # printed, both are the same


@pytest.mark.parametrize("K", [1, 3])
def test_no_parameter_is_lost_beside_a_feature_called_intercept(K):
    frame = named("intercept", "b", "c")
    if K == 1:
        model = InfluenceLinearRegression().fit(frame, Y)
    else:
        model = InfluenceLogisticRegression().fit(frame, np.digitize(X[:, 2], [-0.5, 0.5]))
    found = model.parameter_influence()
    table = found.to_frame()
    assert table.shape == (60, 4 * K)
    assert table.columns.is_unique
    suffix = "" if K == 1 else "[1]"
    coef = found.coef.reshape(60, K, 3)
    k = 0 if K == 1 else 1
    np.testing.assert_array_equal(table[f"intercept{suffix}"], coef[:, k, 0])
    np.testing.assert_array_equal(
        table[f"intercept_{suffix}"], found.intercept.reshape(60, K)[:, k]
    )


def test_names_given_to_the_frame_of_parameters_may_be_equal():
    found = InfluenceRidge().fit(X, Y).parameter_influence()
    table = found.to_frame(feature_names=["a", "a", "intercept"])
    assert table.columns.tolist() == ["a", "a", "intercept", "intercept_"]
    np.testing.assert_array_equal(table.to_numpy()[:, :3], found.coef)


def test_the_intercept_has_a_name_of_its_own_beside_a_feature_called_const():
    model = InfluenceLinearRegression().fit(named("const", "b", "c"), Y + X[:, 2] ** 2)
    found = model.parameter_covariance()
    assert found.names == ("const_", "const", "b", "c")
    table = found.summary()
    assert table.loc["const_", "coefficient"] == pytest.approx(model.intercept_)
    assert table.loc["const", "coefficient"] == pytest.approx(model.coef_[0])
    assert found.to_frame().shape == (4, 4)
    diagnostics = model.case_deletion_diagnostics()
    assert diagnostics.names == ("const_", "const", "b", "c")
    summary = diagnostics.summary_frame()
    np.testing.assert_array_equal(summary["dfb_const_"], diagnostics.dfbetas[:, 0])
    np.testing.assert_array_equal(summary["dfb_const"], diagnostics.dfbetas[:, 1])


def test_the_intercept_can_be_asked_about_beside_a_feature_called_const():
    frame = named("const", "b", "c")
    model = InfluenceLinearRegression().fit(frame, Y + X[:, 2] ** 2)
    intercept = model.smallest_flip(coefficient("const_", 2.5), certify="never")
    assert intercept.path[0] == pytest.approx(model.intercept_)
    feature = model.smallest_flip(coefficient("const"), certify="never")
    assert feature.path[0] == pytest.approx(model.coef_[0])


def test_dependent_columns_are_named_beside_a_feature_called_const():
    twice = named("const", "b", "c").assign(b=X[:, 0])
    with pytest.raises(np.linalg.LinAlgError, match=r"columns const, b are"):
        InfluenceLinearRegression().fit(twice, Y).parameter_influence()


def test_a_feature_called_scale_leaves_hubers_scale_a_name():
    noisy = Y + np.random.default_rng(0).standard_t(3, size=60)
    model = InfluenceExplainer(HuberRegressor()).fit(named("scale", "b", "c"), noisy)
    assert model.parameter_covariance().names == ("const", "scale", "b", "c", "scale_")


def test_equal_names_are_all_in_the_frame_of_a_covariance():
    matrix = np.arange(9.0).reshape(3, 3)
    found = ParameterCovariance(matrix, ("const", "a", "a"), "HC3", np.zeros(3))
    np.testing.assert_array_equal(found.to_frame().to_numpy(), matrix)


# -- names with dollars, between which matplotlib reads mathematics --------------------------------

DOLLARS = "p$_$"


@pytest.mark.parametrize("display", ["DfbetasDisplay", "CooksDistanceDisplay", "QQResidualDisplay"])
def test_diagnostics_draw_names_with_dollars(display):
    pytest.importorskip("matplotlib").use("Agg")
    frame = named(DOLLARS, "b", "c").set_axis([f"$^{i}" for i in range(60)])
    model = InfluenceLinearRegression().fit(frame, Y + X[:, 2] ** 2)
    drawn = getattr(figures, display).from_estimator(model, name=DOLLARS)
    drawn.figure_.canvas.draw()
    assert drawn.ax_.get_title(loc="left") == r"p\$_\$"


def test_the_coefficients_of_a_figure_may_have_dollars():
    pytest.importorskip("matplotlib").use("Agg")
    model = InfluenceLinearRegression().fit(named(DOLLARS, "b", "c"), Y + X[:, 2] ** 2)
    drawn = figures.DfbetasDisplay.from_estimator(model)
    drawn.figure_.canvas.draw()
    assert [text.get_text() for text in drawn.ax_.get_yticklabels()][1] == r"p\$_\$"
    assert drawn.coefficients[1] == DOLLARS
    drawn = figures.AddedVariableDisplay.from_estimator(model, DOLLARS)
    drawn.figure_.canvas.draw()
    assert drawn.ax_.get_xlabel() == r"p\$_\$, without the others"
    assert drawn.feature == DOLLARS


def test_a_name_with_dollars_stands_in_every_legend_and_title():
    pytest.importorskip("matplotlib").use("Agg")
    frame = named("a", "b", "c").set_axis([f"$^{i}" for i in range(60)])
    labels = (Y > 2).astype(int)
    model = InfluenceLogisticRegression().fit(frame, labels)
    test = frame[:5], labels[:5]
    all_rows = frame, labels
    audit = LabelAudit(model).fit(*all_rows)
    true = np.r_[1 - labels[:3], labels[3:]]
    drawn = [
        figures.InfluenceDisplay.from_estimator(model, *test, name=DOLLARS),
        figures.InfluenceDistanceDisplay.from_estimator(model, frame[:1], labels[:1]),
        figures.ScoreInfluenceDisplay.from_estimator(model, *test, name=DOLLARS),
        figures.SelfInfluenceDisplay.from_estimator(model, name=DOLLARS),
        figures.LeaveOneOutDisplay.from_estimator(model, name=DOLLARS),
        figures.LeaveOneOutAgreementDisplay.from_estimator(model, *test, name=DOLLARS),
        figures.LabelReviewDisplay.from_audit(audit, true, name=DOLLARS),
        figures.RegularizationCurveDisplay.from_estimator(
            model, *all_rows, values=[0.1, 1.0], cv=None, name=DOLLARS
        ),
        figures.RobustnessDisplay.from_audit(model.smallest_flip(coefficient("a")), name=DOLLARS),
    ]
    for one in drawn:
        one.figure_.canvas.draw()
