"""Rows keep the names of the data frame's index in frames and in messages."""

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skinfluence import (
    InfluenceExplainer,
    InfluenceLinearRegression,
    InfluenceLogisticRegression,
    explain,
)
from skinfluence.attacks import adversarial_perturbation, input_curvature
from skinfluence.evaluation import (
    brittleness,
    leave_one_out_correlation,
    linear_datamodeling_score,
)
from tests.cases import problem

X, y = problem(5, n=44, p=3)
FRAME = pd.DataFrame(X, columns=list("abc"), index=[f"p{i}" for i in range(44)])
TRAIN, TEST, Y_TRAIN, Y_TEST = FRAME[:40], FRAME[40:], y[:40], y[40:]


@pytest.mark.parametrize("named", [True, False])
def test_frames_of_test_rows_have_their_names(named):
    train, test = (TRAIN, TEST) if named else (X[:40], X[40:])
    clf = InfluenceLogisticRegression().fit(train, Y_TRAIN)
    margins = clf.influence(test, Y_TEST, target="margin")
    asked = train, Y_TRAIN, test, Y_TEST, margins
    found = [
        brittleness(clf, *asked),
        leave_one_out_correlation(clf, *asked),
        linear_datamodeling_score(clf, *asked, n_subsets=10, random_state=0),
        input_curvature(clf, test),
        adversarial_perturbation(clf, test),
    ]
    for result in found:
        index = result.to_frame().index.tolist()
        assert index == (["p40", "p41", "p42", "p43"] if named else [0, 1, 2, 3])


def test_a_refusal_of_the_jackknife_names_rows():
    rare = pd.Series("no", index=TRAIN.index)
    rare["p5"] = "yes"
    model = InfluenceLogisticRegression().fit(TRAIN, rare)
    with pytest.raises(ValueError, match=r"none without rows p5\. Use 'HC0'"):
        model.parameter_covariance("jackknife")


@pytest.mark.parametrize("kind", ["HC2", "HC3"])
def test_a_refusal_of_a_leverage_of_one_names_rows(kind):
    frame = TRAIN.assign(only=np.arange(40) == 7)
    model = InfluenceLinearRegression().fit(frame, TRAIN["a"] ** 2)
    with pytest.raises(ValueError, match="rows p7 have a leverage of 1"):
        model.parameter_covariance(kind)


def test_whose_names_the_rows_of_a_pipeline_have():
    steps = StandardScaler(), InfluenceLogisticRegression()
    other = pd.Series(Y_TRAIN, index=np.arange(500, 540))

    def first(view):
        return view.loo_estimate().to_frame().index[0]

    assert first(InfluenceExplainer(make_pipeline(*steps)).fit(TRAIN, other)) == "p0"
    assert first(InfluenceExplainer(make_pipeline(*steps)).fit(X[:40], other)) == 500
    # The last step has seen an array: what is left is the index of y.
    assert first(explain(make_pipeline(*steps).fit(TRAIN, other))) == 500
    assert first(explain(make_pipeline(*steps).fit(TRAIN, Y_TRAIN))) == 0
    framed = make_pipeline(*steps).set_output(transform="pandas")
    assert first(explain(framed.fit(TRAIN, other))) == "p0"


THREE = np.digitize(X[:40, 1], [-0.5, 0.5])


def test_frames_of_pairs_have_an_index_of_two_levels():
    model = InfluenceLogisticRegression().fit(TRAIN, Y_TRAIN)
    relabelled = model.relabel_influence(TEST, Y_TEST)
    frame = model.relabel_influence(TEST, Y_TEST, as_frame=True)
    assert frame.columns.names == ["train", "label"]
    np.testing.assert_array_equal(frame.xs(1, axis=1, level="label"), relabelled[:, :, 1])
    np.testing.assert_array_equal(frame["p7", 0], relabelled[:, 7, 0])
    mean = model.relabel_influence(TEST, Y_TEST, aggregate="mean", as_frame=True)
    assert mean.index.names == ["train", "label"]
    assert mean.shape == (80, 1)
    gradients = model.feature_influence(TEST, Y_TEST, as_frame=True)
    assert gradients.index.names == ["test", "train"]
    found = model.feature_influence(TEST, Y_TEST)
    np.testing.assert_array_equal(gradients.loc["p41"], found[1])


def test_a_class_axis_is_the_last_level_beside_what_the_columns_are():
    model = InfluenceLogisticRegression().fit(TRAIN, THREE)
    asked = {"target": "predict_proba", "as_frame": True}
    assert model.influence(TEST, **asked).columns.names == ["train", "class"]
    groups = model.group_influence({"u": [0], "v": [3, 4]}, TEST, **asked)
    assert groups.columns.names == ["group", "class"]
    added = model.addition_influence(TEST, [0, 1, 2, 0], TEST, **asked)
    assert added.columns.names == ["new", "class"]
    weights = np.ones((2, 40))
    assert model.reweight_influence(weights, TEST, **asked).columns.names == ["change", "class"]
    moved = model.feature_influence(TEST, **asked)
    assert moved.columns.names == ["feature", "class"]
    assert moved.index.names == ["test", "train"]
    relabelled = model.relabel_influence(TEST, **asked)
    assert relabelled.columns.names == ["train", "label", "class"]
    found = model.relabel_influence(TEST, target="predict_proba")
    np.testing.assert_array_equal(relabelled["p3", 2, 1], found[:, 3, 2, 1])


def test_names_of_rows_that_are_tuples_stay_one_level():
    index = pd.MultiIndex.from_product([range(20), ["a", "b"]])
    model = InfluenceLogisticRegression().fit(TRAIN.set_axis(index), THREE)
    frame = model.influence(TEST, target="predict_proba", as_frame=True)
    assert frame.columns.names == ["train", "class"]
    assert frame.columns[3] == ((0, "b"), 0)
