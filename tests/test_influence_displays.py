"""Figures of influences, self-influences, scores and changes: what they hold, draw and refuse."""

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_digits
from sklearn.metrics import get_scorer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skinfluence import InfluenceLogisticRegression, InfluenceRidge, explain
from skinfluence.display import (
    ChangeDisplay,
    InfluenceDisplay,
    InfluenceDistanceDisplay,
    ScoreInfluenceDisplay,
    SelfInfluenceDisplay,
)
from tests.cases import problem

pytest.importorskip("matplotlib").use("Agg")


@pytest.fixture(autouse=True)
def pyplot():
    from matplotlib import pyplot

    pyplot.close("all")
    yield pyplot
    pyplot.close("all")


@pytest.fixture(scope="module")
def named():
    """A Pipeline on a frame with row names, and test rows."""
    pd = pytest.importorskip("pandas")
    X, y = problem(n=90, n_classes=2, seed=7)
    index = [f"a row of which the name is long and ends with {i}" for i in range(len(y))]
    X = pd.DataFrame(X, index=index).add_prefix("column ")
    y = pd.Series(np.array(["no", "yes"])[y], index=index)
    pipe = make_pipeline(StandardScaler(), InfluenceLogisticRegression())
    return pipe.fit(X[:60], y[:60]), X, y


def ticks(ax):
    return [text.get_text() for text in ax.get_yticklabels()]


def test_influence_display_is_most_influential(named, pyplot):
    pipe, X, y = named
    display = InfluenceDisplay.from_estimator(pipe, X[60:62], y[60:62], k=3)
    found = explain(pipe).most_influential(X[60:62], y[60:62], k=3)
    np.testing.assert_array_equal(display.influence[:, :3], found.helpful_values)
    np.testing.assert_array_equal(display.influence[:, :2:-1], found.harmful_values)
    for panel, bars, values, rows in zip(
        display.ax_, display.bars_, display.influence, display.indices, strict=True
    ):
        np.testing.assert_allclose([bar.get_width() for bar in bars], values)
        colours = [bar.get_facecolor() for bar in bars]
        assert len(set(colours[:3])) == len(set(colours[3:])) == 1 != len(set(colours))
        for text, row in zip(ticks(panel), rows, strict=True):
            assert text.startswith("a row of which")
            assert text.endswith(f"with {row}")
            assert len(text) <= 30
    assert "a row of" in display.ax_[0].get_title(loc="left")
    assert display.ax_[1].get_xlabel() == "change of the loss without the row"
    frame, expected = display.to_frame(), found.to_frame()
    assert set(frame["train"]) == set(expected["train"])
    assert list(frame["test"].unique()) == list(X.index[60:62])
    assert len(pyplot.get_fignums()) == 1


def test_influence_display_draws_thumbnails_and_texts():
    data = load_digits()
    X, y = data.data / 16, data.target
    clf = InfluenceLogisticRegression(C=0.1).fit(X[:120], y[:120])
    display = InfluenceDisplay.from_estimator(clf, X[120:121], y[120:121], k=2, image_shape=(8, 8))
    boxes = [a for a in display.ax_.artists if hasattr(a, "offsetbox")]
    assert len(boxes) == 5  # four training rows, one test row
    pixels = boxes[1].offsetbox.get_data()
    np.testing.assert_allclose(pixels, data.images[display.indices[0, 1]] / 16)
    texts = [f"text of row {i} $x$ {'long ' * 30}" for i in range(120)]
    display = InfluenceDisplay.from_estimator(
        clf, X[120:121], y[120:121], k=2, texts=(texts, ["the test text"])
    )
    assert f"text of row {display.indices[0, 0]}" in ticks(display.ax_)[0]
    assert "the test text" in display.ax_.get_title(loc="left")
    display.figure_.canvas.draw()  # a dollar sign is no mathematics


def test_influence_display_on_given_axes(named, pyplot):
    pipe, X, y = named
    _, panels = pyplot.subplots(2, 1)
    display = InfluenceDisplay.from_estimator(pipe, X[60:62], y[60:62], ax=panels)
    assert list(display.ax_) == list(panels)
    with pytest.raises(ValueError, match="ax should be 2 axes"):
        display.plot(panels[0])
    again = display.plot(panels, name="other", bar_kwargs={"color": "0.5"})
    assert again is display
    assert panels[0].get_title(loc="left").startswith("other: ")
    assert {bar.get_facecolor() for bar in display.bars_[0]} == {(0.5, 0.5, 0.5, 1.0)}


@pytest.mark.parametrize("n_classes", [2, 3])
def test_distance_display_is_influence_and_distance(n_classes):
    X, y = problem(n=50, n_classes=n_classes, seed=8)
    pipe = make_pipeline(StandardScaler(), InfluenceLogisticRegression()).fit(X[:40], y[:40])
    display = InfluenceDistanceDisplay.from_estimator(pipe, X[40:41], y[40:41])
    scaled = pipe[:-1].transform(X)
    expected = np.linalg.norm(scaled[:40] - scaled[40], axis=1)
    np.testing.assert_allclose(display.distance, expected)
    influence = explain(pipe).influence(X[40:41], y[40:41])[0]
    np.testing.assert_array_equal(display.influence, influence)
    assert len(display.scatter_) == n_classes
    for label, points in enumerate(display.scatter_):
        own = y[:40] == label
        np.testing.assert_allclose(points.get_offsets(), np.c_[expected, influence][own])
    assert list(display.to_frame()["label"]) == list(y[:40])
    with pytest.raises(ValueError, match="draws one test row; X_test has 2"):
        InfluenceDistanceDisplay.from_estimator(pipe, X[40:42], y[40:42])


def test_distance_display_of_a_regression_has_no_classes():
    X, y = load_diabetes(return_X_y=True)
    model = InfluenceRidge().fit(X[:50], y[:50])
    display = InfluenceDistanceDisplay.from_estimator(model, X[50:51], target="prediction")
    assert display.classes is None
    assert len(display.scatter_) == 1
    assert display.ax_.get_legend() is None
    assert display.ax_.get_ylabel() == "change of the prediction without the row"


def test_self_influence_display_is_in_order(named):
    pipe, X, _ = named
    display = SelfInfluenceDisplay.from_estimator(pipe)
    expected = explain(pipe).self_influence()
    np.testing.assert_array_equal(display.self_influence, expected)
    np.testing.assert_array_equal(display.ranking_, np.argsort(-expected, kind="stable"))
    written = [text.get_text() for text in display.ax_.texts]
    assert 1 <= len(written) <= 8
    assert written[0].endswith(f"with {display.ranking_[0]}")
    assert list(display.to_frame().index) == list(X.index[:60])
    assert display.name == "Pipeline"


@pytest.mark.parametrize("scoring", [None, "neg_log_loss"])
def test_score_influence_display_has_both_kinds(scoring, named):
    pipe, X, y = named
    display = ScoreInfluenceDisplay.from_estimator(pipe, X[60:], y[60:], scoring=scoring)
    values = explain(pipe).score_influence(X[60:], y[60:], scoring=scoring)
    np.testing.assert_array_equal(display.score_influence, values)
    score = get_scorer(scoring or "accuracy")(pipe, X[60:], y[60:])
    assert display.score == pytest.approx(score, abs=1e-6)
    drawn = values[display.rows_]
    assert (np.diff(drawn) >= 0).all()
    assert drawn[0] == values.min()
    assert drawn[-1] == values.max()
    assert (drawn != 0).all()
    assert scoring is None or len(drawn) == 20
    widths = [bar.get_width() for bar in display.bars_]
    np.testing.assert_allclose(widths, drawn)


def test_a_score_that_nothing_changes_is_said():
    display = ScoreInfluenceDisplay.from_score_influence(np.zeros(3))
    assert [text.get_text() for text in display.ax_.texts] == ["no row changes the score"]


def changes_of(X, y):
    """What each change asks for, and the effects by its own method."""
    return {
        "removal": ({}, lambda v, *a, **k: v.influence(*a, **k)),
        "group": (
            {"groups": [[0, 1, 2], [3, 4], [5]]},
            lambda v, *a, **k: v.group_influence([[0, 1, 2], [3, 4], [5]], *a, **k),
        ),
        "relabel": ({}, lambda v, *a, **k: v.relabel_influence(*a, **k)),
        "reweight": (
            {"sample_weight": 1.0 + np.eye(4, 40)},
            lambda v, *a, **k: v.reweight_influence(1.0 + np.eye(4, 40), *a, **k),
        ),
        "addition": (
            {"X_new": X[40:44], "y_new": y[40:44]},
            lambda v, *a, **k: v.addition_influence(X[40:44], y[40:44], *a, **k),
        ),
        "feature": (
            {"displacement": np.full(X.shape[1], 0.1)},
            lambda v, *a, **k: v.feature_influence(*a, displacement=np.full(X.shape[1], 0.1), **k),
        ),
    }


@pytest.mark.parametrize(
    "change", ["removal", "group", "relabel", "reweight", "addition", "feature"]
)
def test_change_display_is_one_step_against_refits(change):
    X, y = problem(n=60, seed=9)
    clf = InfluenceLogisticRegression().fit(X[:40], y[:40])
    asked, effects = changes_of(X, y)[change]
    display = ChangeDisplay.from_estimator(clf, X[44:], y[44:], change, **asked)
    for kept, method in ((display.predicted, "newton"), (display.refitted, "exact")):
        expected = effects(clf, X[44:], y[44:], aggregate="mean", method=method)
        np.testing.assert_allclose(kept, np.ravel(expected), atol=1e-14)
    assert 0.5 < display.agreement.slope < 1.6
    assert change in display.ax_.get_title()
    assert len(display.to_frame()) == len(display.predicted)


def test_changes_have_the_names_of_groups_and_added_rows(named):
    pipe, X, y = named
    groups = {"first": [0, 1, 2], "odd": [1, 3, 5]}
    display = ChangeDisplay.from_estimator(pipe, X[60:], y[60:], "group", groups=groups)
    assert list(display.to_frame().index) == ["first", "odd"]
    new = {"X_new": X[60:64], "y_new": y[60:64]}
    display = ChangeDisplay.from_estimator(pipe, X[60:], y[60:], "addition", **new)
    assert list(display.to_frame().index) == list(X.index[60:64])


def test_change_display_refuses_what_it_cannot_ask():
    X, y = problem(n=60, seed=9)
    clf = InfluenceLogisticRegression().fit(X[:40], y[:40])
    with pytest.raises(ValueError, match="needs groups="):
        ChangeDisplay.from_estimator(clf, X[40:], y[40:], "group")
    with pytest.raises(ValueError, match="needs displacement="):
        ChangeDisplay.from_estimator(clf, X[40:], y[40:], "feature")
    with pytest.raises(ValueError, match="change should be one of"):
        ChangeDisplay.from_estimator(clf, X[40:], y[40:], "magic")


@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_one_row_and_three_hundred_are_drawn(style, pyplot):
    name = ["a name that is far too long to be written in full " * 3]
    with pyplot.style.context(style):
        for display in (
            InfluenceDistanceDisplay.from_influence([1.0], [2.0], classes=["a"], train_labels=name),
            SelfInfluenceDisplay.from_self_influence([1.0], train_labels=name),
            ScoreInfluenceDisplay.from_score_influence([1.0], train_labels=name),
            ChangeDisplay.from_effects([1.0], [2.0], labels=name),
            SelfInfluenceDisplay.from_self_influence(np.r_[np.nan, np.arange(299.0)]),
        ):
            display.figure_.canvas.draw()
            texts = [text.get_text() for text in display.ax_.texts] + ticks(display.ax_)
            assert all(len(text) <= 30 for text in texts)
    assert ChangeDisplay.from_effects([1.0], [2.0]).agreement is None


@pytest.mark.parametrize(
    "name", ["patient number {:04d}, seen at the university hospital", "customer{:030d}"]
)
def test_names_that_differ_in_their_middle_are_told_apart(name):
    X, y = problem(n=60, seed=9)
    clf = InfluenceLogisticRegression().fit(X[:40], y[:40])
    names = [name.format(row) for row in range(120, 160)]
    display = InfluenceDisplay.from_estimator(clf, X[40:41], y[40:41], train_labels=names)
    seen, rows = ticks(display.ax_), display.indices[0]
    for text, row in zip(seen, rows, strict=True):
        assert text[1:] in names[row] or text[1:].split("\N{HORIZONTAL ELLIPSIS}")[0] in names[row]
        assert len(text) <= 28
    assert len(set(seen)) == len(rows) == 10
    tests = [name.format(row) for row in range(3)]
    display = InfluenceDisplay.from_estimator(clf, X[40:43], y[40:43], test_labels=tests)
    assert len({panel.get_title(loc="left") for panel in display.ax_}) == 3
    score = ScoreInfluenceDisplay.from_score_influence(np.arange(-20.0, 20.0), train_labels=names)
    assert len(set(ticks(score.ax_))) == len(score.rows_)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"images": (np.zeros((2, 4, 4)), None)}, r"images\[0\] has 2 entries"),
        ({"texts": (None, ["a", "b"])}, r"texts\[1\] should have 1 entries"),
        ({"texts": ([1] * 40, None)}, "texts should be strings; got int"),
        ({"images": np.zeros((40, 4, 4))}, "images should be a pair"),
        ({"image_shape": (3, 3)}, "9 pixels, and the model has"),
        ({"image_shape": (1, 3), "images": (None, None)}, "say the same"),
        ({"target": "nothing"}, "target"),
    ],
)
def test_influence_display_refuses_bad_input(options, match):
    X, y = problem(n=60, seed=9)
    clf = InfluenceLogisticRegression().fit(X[:40], y[:40])
    with pytest.raises((ValueError, TypeError), match=match):
        InfluenceDisplay.from_estimator(clf, X[40:41], y[40:41], **options)
    with pytest.raises(ValueError, match="draws 1 to 12 test rows"):
        InfluenceDisplay.from_estimator(clf, X[40:60], y[40:60])
