"""Truths of subsets, datamodeling scores, removals and datamodels, against refits done by hand."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.stats import rankdata, spearmanr
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from skinfluence import InfluenceLogisticRegression, InfluenceRidge, explain
from skinfluence.evaluation import (
    Datamodel,
    SubsetTruths,
    _comparison,
    _retraining,
    brittleness,
    leave_one_out_correlation,
    linear_datamodeling_score,
    removal_curve,
)
from skinfluence.evaluation._comparison import (
    _counted_ranks,
    compare,
    predicted_changes,
    rank_correlation,
)
from tests.cases import problem, weights

TREE = Path(__file__).parents[1]
EXACT = {"solver": "newton-cholesky", "tol": 1e-12, "max_iter": 1000}


@pytest.fixture(scope="module")
def cancer():
    X, y = load_breast_cancer(return_X_y=True)
    X = scale(X)
    return X[:200], y[:200], X[200:240], y[200:240]


@pytest.fixture(scope="module")
def truths(cancer):
    return SubsetTruths.compute(LogisticRegression(**EXACT), *cancer, n_subsets=60, random_state=0)


def three_classes(n=90):
    X, y = problem(n=n + 20, n_classes=3, seed=4)
    return X[:n], y[:n], X[n:], y[n:]


# -- truths ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["margin", "loss", "probability"])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_changes_are_what_refits_are(target, n_classes):
    X, y = problem(n=100, n_classes=n_classes, seed=2)
    w = weights(0, 80)
    ask = {"n_subsets": 6, "target": target, "random_state": 3}
    data = (X[:80], y[:80], X[80:], y[80:])
    for sample_weight in (None, w):
        found = [
            SubsetTruths.compute(
                LogisticRegression(**EXACT),
                *data,
                sample_weight=sample_weight,
                method=method,
                n_repeats=1,
                **ask,
            )
            for method in ("changes", "refits")
        ]
        np.testing.assert_array_equal(found[0].subsets, found[1].subsets)
        np.testing.assert_allclose(found[0].outputs, found[1].outputs, atol=1e-6)
        np.testing.assert_allclose(found[0].full, found[1].full, atol=1e-6)
    for subset, outputs in zip(found[0].subsets, found[0].outputs, strict=True):
        model = LogisticRegression(**EXACT).fit(data[0][subset], data[1][subset], w[subset])
        p = model.predict_proba(data[2])[np.arange(20), data[3]]
        expected = {"margin": np.log(p / (1 - p)), "loss": -np.log(p), "probability": p}[target]
        np.testing.assert_allclose(outputs[0], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("model", "storage"),
    [
        (InfluenceRidge(alpha=2.0), np.asarray),
        (Ridge(fit_intercept=False), sp.csr_array),
        (PoissonRegressor(alpha=0.1, tol=1e-10, max_iter=1000), np.asarray),
        (make_pipeline(Ridge()), pd.DataFrame),
        (InfluenceRidge(), np.float32),
    ],
)
def test_regressors_by_changes_and_by_refits(model, storage):
    rng = np.random.default_rng(0)
    X, y = 0.5 * rng.normal(size=(60, 3)), rng.poisson(2.0, size=60) + 0.0
    X = np.array(X, dtype=np.float32) if storage is np.float32 else storage(X)
    some, rest = (X.iloc[:50], X.iloc[50:]) if hasattr(X, "iloc") else (X[:50], X[50:])
    found = [
        SubsetTruths.compute(
            model,
            some,
            y[:50],
            rest,
            y[50:],
            n_subsets=5,
            target="prediction",
            method=method,
            random_state=0,
            n_repeats=1,
        )
        for method in ("auto", "refits")
    ]
    assert found[0].route == "changes"
    np.testing.assert_allclose(found[0].outputs, found[1].outputs, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "target"),
    [
        (DecisionTreeClassifier(max_depth=3), "margin"),
        (DecisionTreeClassifier(max_depth=3), "loss"),
        (HistGradientBoostingClassifier(max_iter=5), "margin"),
        (LinearSVC(), "margin"),
        (SVC(gamma=0.3), "margin"),
        (KNeighborsRegressor(3), "prediction"),
        (DecisionTreeRegressor(max_depth=3), "loss"),
        (RandomForestClassifier(5), lambda model, X, y: model.predict_proba(X)[:, 0]),
    ],
)
def test_any_estimator_has_truths(model, target):
    data = three_classes()
    found = SubsetTruths.compute(model, *data, n_subsets=4, target=target, random_state=0)
    assert found.outputs.shape == (4, 2 if found.is_random else 1, 20)
    assert np.isfinite(found.outputs).all()


def test_workers_change_nothing():
    data, model = three_classes(), DecisionTreeClassifier(splitter="random")
    ask = {"n_subsets": 20, "random_state": 0}
    one = SubsetTruths.compute(model, *data, **ask)
    with joblib.parallel_config(backend="threading"):  # processes take seconds to start
        two = SubsetTruths.compute(model, *data, **ask, n_jobs=2)
    assert one.outputs.tobytes() == two.outputs.tobytes()


def test_the_margin_of_votes_is_breimans():
    data = three_classes()
    found = SubsetTruths.compute(
        RandomForestClassifier(7), *data, n_subsets=2, random_state=0, n_repeats=1
    )
    states = np.random.default_rng([0, 1, 1]).integers(2**31 - 1, size=1).tolist()
    model = RandomForestClassifier(7, random_state=states[0])
    keep = found.subsets[1]
    p = model.fit(data[0][keep], data[1][keep]).predict_proba(data[2])
    own = p[np.arange(20), data[3]]
    p[np.arange(20), data[3]] = -1
    np.testing.assert_allclose(found.outputs[1, 0], own - p.max(axis=1), atol=1e-12)


def test_subsets_are_drawn_from_the_seed(truths):
    assert truths.subsets.shape == (60, 200)
    assert (truths.subsets.sum(axis=1) == 100).all()
    expected = np.random.default_rng([0, 7]).permutation(200)[:100]
    np.testing.assert_array_equal(np.flatnonzero(truths.subsets[7]), np.sort(expected))
    assert truths.subsets.mean(axis=0).std() < 2 * np.sqrt(0.25 / 60)


def test_a_file_keeps_every_bit(truths, tmp_path):
    path = tmp_path / "deep" / "truths"
    truths.save(path)
    again = SubsetTruths.load(path)
    assert again.outputs.tobytes() == truths.outputs.tobytes()
    assert again.full.tobytes() == truths.full.tobytes()
    np.testing.assert_array_equal(again.subsets, truths.subsets)
    assert repr(again) == repr(truths)
    assert set(again.versions) == {"skinfluence", "scikit-learn", "numpy"}
    assert [each.name for each in path.parent.iterdir()] == ["truths"]


def changed_file(truths, path, **changes):
    """The file of truths with another word in its description."""
    truths.save(path)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    meta = {**json.loads(str(arrays["meta"])), **changes}
    with path.open("wb") as file:
        np.savez(file, **{**arrays, "meta": np.array(json.dumps(meta))})
    return path


def test_files_that_say_something_else_are_refused(truths, tmp_path):
    path = tmp_path / "truths.npz"
    with pytest.raises(ValueError, match=r"has the format 99"):
        SubsetTruths.load(changed_file(truths, path, format=99))
    with pytest.raises(ValueError, match=r"draws other subsets from the seed 1"):
        SubsetTruths.load(changed_file(truths, path, seed=1))
    path.write_bytes(b"PK nothing")
    with pytest.raises(ValueError, match="no file of truths, or damaged"):
        SubsetTruths.load(path)
    with pytest.raises(FileNotFoundError):
        SubsetTruths.load(tmp_path / "nowhere")


def test_truths_of_another_question_are_refused(cancer, truths):
    X, y, X_test, y_test = cancer
    model = LogisticRegression(**EXACT)
    truths.check(model, *cancer, "margin")
    truths.check(clone(model).fit(X, y), X.tolist(), y.tolist(), X_test, y_test, "margin")
    other = X.copy()
    other[3, 4] = np.nextafter(other[3, 4], 9.0)
    for question, what in [
        ((model, other, y, X_test, y_test, "margin"), "fingerprint"),
        ((model, X, 1 - y, X_test, y_test, "margin"), "fingerprint"),
        ((model, X[1:], y[1:], X_test, y_test, "margin"), "n_train is 200 in them, and 199"),
        ((model, *cancer, "loss"), "target is 'margin' in them, and 'loss'"),
        ((clone(model).set_params(C=2.0), *cancer, "margin"), "estimator"),
    ]:
        with pytest.raises(ValueError, match=f"of another computation: .*{what}"):
            truths.check(*question)
    with pytest.raises(ValueError, match="fingerprint"):
        linear_datamodeling_score(model, other, *cancer[1:], np.ones((40, 200)), truths=truths)


RESUMED = """
import os, random, signal, sys, time, warnings
import numpy as np
from sklearn.tree import DecisionTreeClassifier
from skinfluence.evaluation import SubsetTruths
from skinfluence.evaluation import _retraining

_retraining.Refits.block = 3
rng = np.random.default_rng(0)
X, X_test = rng.normal(size=(60, 5)), rng.normal(size=(9, 5))
y, y_test = (X[:, 0] > 0) * 1, (X_test[:, 0] > 0) * 1

def compute(path):
    return SubsetTruths.compute(
        DecisionTreeClassifier(splitter="random"), X, y, X_test, y_test, n_subsets=60,
        random_state=7, path=path,
    )

compute(None)  # what is imported late is imported
killed, status = 0, 1
while status:
    child = os.fork()
    if child == 0:
        compute(sys.argv[1])
        os._exit(0)
    if killed < 20:
        time.sleep(random.uniform(0.0, 0.04))
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    killed += status == signal.SIGKILL
found, whole = SubsetTruths.load(sys.argv[1]), compute(None)
assert found.outputs.tobytes() == whole.outputs.tobytes()
assert found.full.tobytes() == whole.full.tobytes()
assert os.listdir(os.path.dirname(sys.argv[1])) == ["truths.npz"]
print(killed)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals and forks are POSIX's")
def test_ended_at_twenty_random_moments_the_truths_are_the_same_bits(tmp_path):
    run = [sys.executable, "-c", RESUMED, str(tmp_path / "truths.npz")]
    done = subprocess.run(run, cwd=TREE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 5, "the work was done before it was ended often enough"


def test_what_an_ended_process_left_beside_finished_truths_goes(cancer, tmp_path, monkeypatch):
    """A process may be ended after the file is complete, before its parts are removed."""
    path, model = tmp_path / "truths.npz", LogisticRegression(**EXACT)
    ask = {"n_subsets": 5, "path": path, "random_state": 1}
    with monkeypatch.context() as patch:
        patch.setattr("skinfluence.evaluation._truths._clear", lambda path: None)
        SubsetTruths.compute(model, *cancer, **ask)
    part, parts = f"{'0a' * 16}.part", tmp_path / "truths.npz.parts"
    for left in (tmp_path / f".truths.npz.{part}", parts / f".outputs-00000.npz.{part}"):
        left.write_bytes(b"half of it")
    # Of other files, which others may be writing.
    others = {f".truths.npz.old.npz.{part}", f".truths.npz2.{part}"}
    for name in others:
        (tmp_path / name).write_bytes(b"half of it")
    SubsetTruths.compute(model, *cancer, **ask)
    assert {each.name for each in tmp_path.iterdir()} == {"truths.npz", *others}


@pytest.mark.parametrize("users", [["notes.txt"], ["manifest.json", "outputs-00000.npz"], None])
def test_a_folder_of_the_user_beside_finished_truths_stays(users, cancer, tmp_path):
    model, parts = LogisticRegression(**EXACT), tmp_path / "truths.npz.parts"
    ask = {"n_subsets": 5, "path": tmp_path / "truths.npz", "random_state": 1}
    SubsetTruths.compute(model, *cancer, **ask)
    if users is None:  # a file where the folder would be
        parts.write_text("of the user")
    else:
        parts.mkdir()
        for name in users:
            (parts / name).write_text("[]")
    SubsetTruths.compute(model, *cancer, **ask)
    assert parts.is_file() if users is None else sorted(os.listdir(parts)) == sorted(users)


def test_a_path_is_loaded_resumed_and_guarded(cancer, tmp_path, monkeypatch):
    path, model = tmp_path / "truths.npz", LogisticRegression(**EXACT)
    ask = {"n_subsets": 5, "path": path, "random_state": 1}
    found = SubsetTruths.compute(model, *cancer, **ask)
    monkeypatch.setattr("skinfluence.evaluation._truths._all_outputs", None)
    again = SubsetTruths.compute(model, *cancer, **ask)
    assert again.outputs.tobytes() == found.outputs.tobytes()
    with pytest.raises(ValueError, match=r"n_subsets, n_repeats\) is \(5, 1\) in them, and \(6, 1"):
        SubsetTruths.compute(model, *cancer, **{**ask, "n_subsets": 6})
    with pytest.raises(ValueError, match=r"seed is 1 in them, and 2"):
        SubsetTruths.compute(model, *cancer, **{**ask, "random_state": 2})
    with pytest.raises(ValueError, match=r"random_state should be an integer.*None"):
        SubsetTruths.compute(model, *cancer, **{**ask, "random_state": None})


@pytest.mark.parametrize(
    "model",
    [DecisionTreeClassifier(max_depth=2, random_state=0), LogisticRegression(**EXACT)],
    ids=["refits", "changes"],
)
def test_progress_counts_the_blocks_that_were_finished(model, tmp_path, monkeypatch):
    for way in (_retraining.Refits, _retraining.Changes):
        monkeypatch.setattr(way, "block", 5)
    rng, seen = np.random.default_rng(0), []
    X, y = rng.normal(size=(40, 3)), np.arange(40) % 2

    def progress(blocks, total):
        for number, block in enumerate(blocks):
            seen.append((number, total))
            if len(seen) == 3:
                raise KeyboardInterrupt
            yield block

    ask = {"n_subsets": 25, "n_repeats": 1, "random_state": 0}
    kept = {"path": tmp_path / "truths.npz", "progress": progress}
    with pytest.raises(KeyboardInterrupt):
        SubsetTruths.compute(model, X, y, X[:4], y[:4], **ask, **kept)
    assert len(list((tmp_path / "truths.npz.parts").glob("*.npz"))) == 2
    found = SubsetTruths.compute(model, X, y, X[:4], y[:4], **ask, **kept)
    assert seen[3:] == [(number, 5) for number in range(5)]
    expected = SubsetTruths.compute(model, X, y, X[:4], y[:4], **ask)
    assert found.outputs.tobytes() == expected.outputs.tobytes()


def test_what_settings_are_held_fixed_is_told_by_the_method():
    X, y, X_test, y_test = three_classes()
    X, X_test = 5.0 + 3.0 * X, 5.0 + 3.0 * X_test
    pipe = make_pipeline(StandardScaler(), LogisticRegression(**EXACT))
    found = SubsetTruths.compute(pipe, X, y, X_test, y_test, n_subsets=3, random_state=0)
    scaler = StandardScaler().fit(X)
    bare = SubsetTruths.compute(
        LogisticRegression(**EXACT),
        scaler.transform(X),
        y,
        scaler.transform(X_test),
        y_test,
        n_subsets=3,
        random_state=0,
    )
    np.testing.assert_allclose(found.outputs, bare.outputs, atol=1e-6)


def test_subsets_without_a_class_are_named():
    X, y = problem(n=60, seed=1)
    y = y.copy()
    y[:] = np.arange(60) % 2
    y[0] = 2
    model = DecisionTreeClassifier(max_depth=2)
    for method, each in (("refits", model), ("changes", LogisticRegression(**EXACT))):
        with pytest.warns(RuntimeWarning, match=r"subsets left undefined \(NaN\).*some class"):
            found = SubsetTruths.compute(
                each, X, y, X[:5], y[1:6], n_subsets=12, random_state=0, method=method
            )
        lacking = ~found.subsets[:, 0]
        np.testing.assert_array_equal(found.undefined, lacking)
        assert np.isnan(found.outputs[lacking]).all()
    rows = np.zeros((5, 60))
    rows[:, 1] = 1.0
    with pytest.warns(RuntimeWarning, match="subsets left undefined"):
        score = linear_datamodeling_score(
            model, X, y, X[:5], y[1:6], rows + 1e-3 * X[:, 0], n_subsets=12, random_state=0
        )
    assert score.n_subsets == 12 - lacking.sum()
    with pytest.raises(ValueError, match=r"nothing is left to compare with"):
        SubsetTruths.compute(model, X, y, X[:5], y[1:6], fraction=0.02, n_subsets=4)


@pytest.mark.parametrize("fraction", [0, 1, 1.5, -0.1, "half", np.nan, 0.001])
def test_fractions_outside(cancer, fraction):
    with pytest.raises(ValueError, match=r"fraction"):
        linear_datamodeling_score(
            LogisticRegression(), *cancer, np.zeros((40, 200)), fraction=fraction
        )


def test_wrong_arguments(cancer):
    X, y, X_test, y_test = cancer
    model = LogisticRegression()
    with pytest.raises(ValueError, match=r"y should hold one label for each of the 200 rows"):
        SubsetTruths.compute(model, X, y[:-1], X_test, y_test)
    with pytest.raises(ValueError, match=r"y_test should hold .* got None"):
        SubsetTruths.compute(model, X, y, X_test, None)
    with pytest.raises(ValueError, match=r"target should be one of 'margin', .* got 'prediction'"):
        SubsetTruths.compute(model, *cancer, target="prediction")
    with pytest.raises(ValueError, match=r"target should be one of 'prediction', 'loss'"):
        SubsetTruths.compute(Ridge(), *cancer)
    with pytest.raises(ValueError, match=r"method should be one of"):
        SubsetTruths.compute(model, *cancer, method="retrain")
    with pytest.raises(TypeError, match=r"DecisionTreeClassifier"):
        SubsetTruths.compute(DecisionTreeClassifier(), *cancer, method="changes")
    with pytest.raises(ValueError, match=r"n_subsets should be a positive integer; got 0"):
        SubsetTruths.compute(model, *cancer, n_subsets=0)
    with pytest.raises(ValueError, match=r"n_repeats should be a positive integer; got 0"):
        SubsetTruths.compute(model, *cancer, n_repeats=0)
    with pytest.raises(ValueError, match=r"random_state should be at least 0; got -1"):
        SubsetTruths.compute(model, *cancer, random_state=-1)
    with pytest.raises(ValueError, match=r"sample_weight should have shape \(200,\)"):
        SubsetTruths.compute(model, *cancer, sample_weight=[1.0])
    with pytest.raises(ValueError, match=r"max_removed should be a positive integer; got 0"):
        brittleness(model, *cancer, np.ones((40, 200)), max_removed=0)
    with pytest.raises(TypeError, match=r"attributions should be an array"):
        brittleness(model, *cancer, lambda kept: kept)
    with pytest.raises(ValueError, match=r"n_random should be a positive integer; got 0"):
        removal_curve(model, *cancer, np.ones(200), n_random=0)
    with pytest.raises(ValueError, match=r"needs predict_proba, which LinearSVC"):
        SubsetTruths.compute(LinearSVC(), *cancer, target="probability", method="refits")
    with pytest.raises(ValueError, match=r"previously unseen labels: .*7"):
        SubsetTruths.compute(DecisionTreeClassifier(), X, y, X_test, np.full(40, 7), n_subsets=2)
    with pytest.raises(ValueError, match=r"one number for each of the 40 test rows; got .*40, 2"):
        SubsetTruths.compute(
            DecisionTreeClassifier(),
            *cancer,
            n_subsets=2,
            target=lambda model, X, y: model.predict_proba(X),
        )


# -- the score -------------------------------------------------------------------------------------


def test_the_score_is_the_mean_rank_correlation(cancer, truths):
    X, y, X_test, y_test = cancer
    clf = InfluenceLogisticRegression(**EXACT).fit(X, y)
    rows = clf.influence(X_test, y_test, target="margin", method="first_order")
    model = LogisticRegression(**EXACT)
    found = linear_datamodeling_score(model, *cancer, rows, truths=truths)
    sums = np.array([rows[:, ~subset].sum(axis=1) for subset in truths.subsets])
    expected = [spearmanr(sums[:, j], truths.outputs[:, 0, j])[0] for j in range(40)]
    np.testing.assert_allclose(found.correlations, expected, atol=1e-12)
    assert found.score == pytest.approx(np.mean(expected))
    assert found.interval[0] < found.score < found.interval[1]
    assert found.ceiling == found.share_of_ceiling / found.score * found.ceiling**2 == 1.0
    assert "ceiling 1.000" in repr(found)
    assert found.to_frame().shape == (40, 2)
    # The joint step is better, in ranks and sizes; a function of the rows that stay says it.
    weight = np.zeros(200)

    def joint(kept):
        mine = weight.copy()
        mine[kept] = 1.0
        return clf.reweight_influence(mine, X_test, y_test, target="margin", method="exact")

    better = linear_datamodeling_score(model, *cancer, joint, truths=truths)
    assert better.score > 0.9999 > found.score > 0.8
    assert better.magnitude.relative_rmse < 1e-4 < found.magnitude.relative_rmse


def test_scores_of_the_wrong_sign_and_shape(cancer, truths):
    X, y, X_test, y_test = cancer
    model = LogisticRegression(**EXACT)
    clf = InfluenceLogisticRegression(**EXACT).fit(X, y)
    rows = clf.influence(X_test, y_test, target="margin", method="first_order")
    with pytest.warns(RuntimeWarning, match=r"the mean correlation is -0.*opposite.*negated"):
        turned = linear_datamodeling_score(model, *cancer, -rows, truths=truths)
    assert turned.score == pytest.approx(
        -linear_datamodeling_score(model, *cancer, rows, truths=truths).score
    )
    with pytest.raises(
        ValueError, match=r"shape \(40, 200\).*got \(200, 40\). It is the transpose"
    ):
        linear_datamodeling_score(model, *cancer, rows.T, truths=truths)
    with pytest.raises(ValueError, match=r"got \(40, 199\)"):
        linear_datamodeling_score(model, *cancer, rows[:, 1:], truths=truths)
    with pytest.raises(
        ValueError, match=r"attributions should return one number.*got shape \(3,\)"
    ):
        linear_datamodeling_score(model, *cancer, lambda kept: np.zeros(3), truths=truths)
    with pytest.raises(ValueError, match=r"constant at every test row"):
        linear_datamodeling_score(model, *cancer, np.zeros((40, 200)), truths=truths)
    for nothing in (np.full((40, 200), np.nan), np.full((40, 200), -np.inf)):
        with pytest.raises(ValueError, match="attributions has no finite number"):
            linear_datamodeling_score(model, *cancer, nothing, truths=truths)
    for other in ("truths.npz", truths.outputs):
        with pytest.raises(TypeError, match=r"truths should be a SubsetTruths; got .*load"):
            linear_datamodeling_score(model, *cancer, rows, truths=other)
    with pytest.raises(ValueError, match="1 retrained model cannot be ranked"):
        linear_datamodeling_score(model, *cancer, rows, n_subsets=1, random_state=0)
    with pytest.raises(ValueError, match="0 retrained models cannot be ranked"):
        leave_one_out_correlation(model, *cancer, rows, rows=[])
    with pytest.raises(ValueError, match="rows should lie in"):
        leave_one_out_correlation(model, *cancer, rows, rows=[200])
    undefined = rows.copy()
    undefined[:, [3, 7]] = np.nan
    with pytest.warns(RuntimeWarning, match=r"2 training rows have attributions.*row 3, 7"):
        found = linear_datamodeling_score(model, *cancer, undefined, truths=truths)
    zeroed = linear_datamodeling_score(model, *cancer, np.nan_to_num(undefined), truths=truths)
    assert found.score == zeroed.score


def test_the_bootstrap_ranks_as_it_resamples():
    rng = np.random.default_rng(0)
    codes, drawn = rng.integers(5, size=(30, 4)), rng.integers(30, size=30)
    ranks = _counted_ranks(codes, np.bincount(drawn, minlength=30).astype(float))
    np.testing.assert_allclose(ranks[drawn], rankdata(codes[drawn], axis=0) - 15.5)


@pytest.mark.parametrize(("n_subsets", "n_test"), [(60, 12), (20, 40)])
def test_the_interval_covers_what_more_draws_score(n_subsets, n_test, many_truths, monkeypatch):
    """Samples of many subsets and test rows: about 95 % of the intervals hold the score of all."""
    monkeypatch.setattr(_comparison, "DRAWS", 100)
    covered = {}
    for name, (predicted, actual) in many_truths.items():
        score = rank_correlation(predicted, actual).mean()
        found = []
        for seed in range(60):
            rng = np.random.default_rng([seed, n_test])
            sample = np.ix_(
                rng.choice(len(actual), n_subsets, replace=False),
                rng.choice(actual.shape[1], n_test, replace=False),
            )
            one = compare(predicted[sample], actual[sample], 0.0, np.ones(n_test), seed)
            found.append(one.interval[0] <= score <= one.interval[1])
        covered[name] = np.mean(found)
    # Of 120 intervals; two standard errors are .04.
    assert 0.90 <= np.mean(list(covered.values())) <= 0.99, covered


@pytest.fixture(scope="module")
def many_truths():
    """(predicted changes, outputs) of 2,000 subsets and 300 test rows, by good and bad rows."""
    X, y = problem(n=400, p=6, seed=3)
    clf = InfluenceLogisticRegression(**EXACT).fit(X[:100], y[:100])
    data = (X[:100], y[:100], X[100:], y[100:])
    truths = SubsetTruths.compute(clf, *data, n_subsets=2000, random_state=0)
    rows = clf.influence(X[100:], y[100:], target="margin", method="first_order")
    noise = np.random.default_rng(0).normal(size=rows.shape) * 1.5 * rows.std()
    return {
        name: (predicted_changes(each, truths.subsets), truths.mean_outputs)
        for name, each in (("first order", rows), ("with noise", rows + noise))
    }


def test_the_ceiling_is_what_a_perfect_prediction_reaches():
    """Outputs of a signal and noise of known sizes: the ceiling is the correlation with it."""
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(4000, 1, 3)) * [0.3, 1.0, 3.0]
    outputs = signal + rng.normal(size=(4000, 2, 3))
    made = SubsetTruths(outputs, np.zeros(3), 0, 10, 5, "margin", "", "", "refits", is_random=True)
    best = [spearmanr(signal[:, 0, j], made.mean_outputs[:, j])[0] for j in range(3)]
    np.testing.assert_allclose(made.ceiling, best, atol=0.03)
    alone = SubsetTruths(outputs[:, :1], np.zeros(3), 0, 10, 5, "", "", "", "refits", True)
    assert np.isnan(alone.ceiling).all()


def test_leave_one_out_correlation(cancer):
    X, y, X_test, y_test = cancer
    clf = InfluenceLogisticRegression(**EXACT).fit(X, y)
    exact = clf.influence(X_test, y_test, target="margin", method="exact")
    found = leave_one_out_correlation(clf, *cancer, exact, rows=[0, 5, 9, 30])
    assert found.n_subsets == 4
    assert found.score > 0.9999
    assert found.magnitude.relative_rmse < 1e-4
    sampled = leave_one_out_correlation(clf, *cancer, exact, random_state=0)
    assert sampled.n_subsets == 100
    by_refits = leave_one_out_correlation(
        LogisticRegression(**EXACT), *cancer, exact, rows=[0, 5, 9, 30], method="refits"
    )
    assert by_refits.score > 0.999
    assert np.isnan(by_refits.ceiling)  # LogisticRegression has a random state, used or not
    with pytest.raises(TypeError, match="attributions should be an array"):
        leave_one_out_correlation(clf, *cancer, lambda kept: kept)


# -- removals --------------------------------------------------------------------------------------


def test_the_removal_curve_is_that_of_refits(cancer):
    X, y, X_test, y_test = cancer
    clf = InfluenceLogisticRegression(**EXACT).fit(X, y)
    rows = clf.influence(X_test, y_test)
    for kind, sign in (("helpful", 1), ("harmful", -1)):
        curve = removal_curve(
            clf, *cancer, rows, n_removed=[20, 5], kind=kind, n_random=3, random_state=0
        )
        assert curve.n_removed.tolist() == [5, 20]
        order = np.argsort(-sign * rows.mean(axis=0), kind="stable")
        np.testing.assert_array_equal(curve.order, order)
        for count, found in zip((5, 20), curve.removed, strict=True):
            keep = np.setdiff1d(np.arange(200), order[:count])
            model = LogisticRegression(**EXACT).fit(X[keep], y[keep])
            p = model.predict_proba(X_test)[np.arange(40), y_test]
            assert found == pytest.approx(-np.log(p).mean(), abs=1e-6)
        assert (sign * curve.effect > 0).all()
        assert curve.random.shape == (2, 3)
        assert kind in repr(curve)
        assert curve.to_frame()["n_removed"].tolist() == [5, 20]
    margins = clf.influence(X_test, y_test, target="margin", aggregate="mean")
    curve = removal_curve(clf, *cancer, margins, target="margin", random_state=0)
    assert curve.n_removed.tolist() == [2, 4, 10, 20, 40]
    assert (curve.effect < 0).all()
    with pytest.raises(ValueError, match=r"n_removed should hold .* from 1 to 199; got \[200\]"):
        removal_curve(clf, *cancer, rows, n_removed=[200])
    with pytest.raises(ValueError, match=r"greater_is_better should say"):
        removal_curve(clf, *cancer, rows, target="decision_function")
    with pytest.raises(ValueError, match=r"kind should be one of"):
        removal_curve(clf, *cancer, rows, kind="top")


def test_brittleness_is_verified_by_refits():
    X, y, X_test, y_test = three_classes()
    clf = InfluenceLogisticRegression(**EXACT).fit(X, y)
    margins = clf.influence(X_test, y_test, target="margin")
    found = brittleness(clf, X, y, X_test, y_test, margins)
    assert (found.n_removed > 0).sum() > 10
    before = clf.predict(X_test)
    np.testing.assert_array_equal(found.predicted, before)
    sign = np.where(before == y_test, 1, -1)
    assert (sign < 0).any()
    for row in np.flatnonzero(found.n_removed > 0):
        order = np.argsort(sign[row] * margins[row], kind="stable")
        for count, flips in ((found.n_removed[row], True), (found.n_removed[row] - 1, False)):
            keep = np.setdiff1d(np.arange(90), order[:count])
            label = LogisticRegression(**EXACT).fit(X[keep], y[keep]).predict(X_test[[row]])[0]
            assert (label != before[row]) == flips
            if flips:
                assert label == found.flipped[row]
    never = found.n_removed == -1
    np.testing.assert_array_equal(found.flipped[never], before[never])
    shares = found.share_flipped([0, 5, 45])
    assert shares[0] == 0 <= shares[1] <= shares[2] == (~never).mean()
    assert "test rows flip" in repr(found)
    assert found.to_frame().shape == (20, 3)
    few = brittleness(clf, X, y, X_test, y_test, margins, max_removed=3)
    close = (found.n_removed > 0) & (found.n_removed <= 3)
    np.testing.assert_array_equal(few.n_removed, np.where(close, found.n_removed, -1))
    with pytest.raises(ValueError, match="Ridge predicts none"):
        brittleness(Ridge(), X, y, X_test, y_test, margins)


def test_brittleness_of_a_tree():
    X, y, X_test, y_test = three_classes()
    rng = np.random.default_rng(0)
    found = brittleness(
        DecisionTreeClassifier(max_depth=3),
        X,
        y,
        X_test,
        y_test,
        rng.normal(size=(20, 90)),
        max_removed=30,
        random_state=0,
    )
    assert found.n_refits > 20


# -- datamodels ------------------------------------------------------------------------------------


def test_a_datamodel_finds_a_linear_map():
    """A regressor whose prediction is a sum over the rows it was trained on."""
    X, y = problem(n=80, p=3, seed=0)
    X, y, X_test, y_test = X[:60], y[:60] - 0.5, X[60:], y[60:]
    datamodel = Datamodel(Additive(), n_subsets=400, target="prediction", random_state=0)
    datamodel.fit(X, y, X_test, y_test)
    weights = np.maximum(X_test @ X.T, 0) * y
    np.testing.assert_allclose(datamodel.influence(), -weights, atol=0.05 * np.abs(weights).max())
    assert datamodel.score_.score > 0.99
    assert datamodel.score_.share_of_ceiling == pytest.approx(datamodel.score_.score)
    predicted = datamodel.predict(datamodel.held_back_.subsets)
    actual = datamodel.held_back_.mean_outputs
    assert np.abs(predicted - actual).max() < 0.1 * np.abs(actual - actual.mean(axis=0)).max()
    seen = {subset.tobytes() for subset in datamodel.truths_.subsets}
    assert not any(subset.tobytes() in seen for subset in datamodel.held_back_.subsets)


class Additive(DecisionTreeRegressor):
    """Predicts the sum over the training rows of max(0, x'z) y."""

    def fit(self, X, y, sample_weight=None):
        self.X_, self.y_ = X, y
        return self

    def predict(self, X):
        return np.maximum(X @ self.X_.T, 0) @ self.y_


def test_a_datamodel_of_a_forest_explains_what_can_be_explained():
    X, y = load_iris(return_X_y=True)
    X, y = X[50:], y[50:] - 1  # the two classes that overlap
    forest = RandomForestClassifier(5, max_depth=3)
    datamodel = Datamodel(forest, n_subsets=250, random_state=1)
    datamodel.fit(X[::2], y[::2], X[1::4], y[1::4])
    assert datamodel.coef_.shape == (25, 50)
    assert (datamodel.coef_ == 0).mean() > 0.2
    assert datamodel.score_.ceiling < 1.0
    assert datamodel.score_.share_of_ceiling > 0.6


def test_a_datamodel_is_an_estimator(cancer, tmp_path):
    X, y, X_test, y_test = cancer
    model = Datamodel(LogisticRegression(**EXACT), n_subsets=30, alpha=0.05, random_state=0)
    again = clone(model).set_params(estimator__C=0.1, fraction=0.4)
    assert again.get_params()["estimator__C"] == 0.1
    again.fit(X, y, X_test, y_test, path=tmp_path / "truths")
    files = ["truths.fit.npz", "truths.held_back.npz"]
    assert sorted(each.name for each in tmp_path.iterdir()) == files
    second = clone(again).fit(X, y, X_test, y_test, path=tmp_path / "truths")
    np.testing.assert_array_equal(second.coef_, again.coef_)
    assert (again.alpha_ == 0.05).all()
    with pytest.raises(ValueError, match=r"alpha should be a finite positive number; got 0"):
        clone(model).set_params(alpha=0.0).fit(X, y, X_test, y_test)
    with pytest.raises(TypeError, match=r"alpha should be a positive number; got 'best'"):
        clone(model).set_params(alpha="best").fit(X, y, X_test, y_test)
    with pytest.raises(ValueError, match=r"subsets should be booleans of shape \(n_subsets, 200\)"):
        again.predict(np.ones((3, 200)))
    with pytest.raises(ValueError, match=r"random_state should be an integer"):
        clone(model).set_params(random_state=None).fit(X, y, X_test, y_test, path=tmp_path / "b")


def test_weights_are_part_of_every_question():
    X, y, X_test, y_test = three_classes()
    w = weights(2, 90)
    clf = InfluenceLogisticRegression(**EXACT).fit(X, y, w)
    rows = clf.influence(X_test, y_test, target="margin", method="exact")
    data, model = (X, y, X_test, y_test), LogisticRegression(**EXACT)
    found = leave_one_out_correlation(model, *data, rows, sample_weight=w)
    assert found.magnitude.relative_rmse < 1e-4
    truths = SubsetTruths.compute(model, *data, n_subsets=10, sample_weight=w, random_state=0)
    ask = {"truths": truths, "sample_weight": w}
    assert linear_datamodeling_score(model, *data, rows, **ask).score > 0.8
    with pytest.raises(ValueError, match="the fingerprint of the data"):
        linear_datamodeling_score(model, *data, rows, truths=truths)
    curve = removal_curve(
        model, *data, rows, target="margin", n_removed=[9], sample_weight=w, random_state=0
    )
    keep = curve.order[9:]
    p = clone(model).fit(X[keep], y[keep], w[keep]).predict_proba(X_test)[np.arange(20), y_test]
    assert curve.removed[0] == pytest.approx(np.mean(np.log(p / (1 - p))), abs=1e-6)
    flips = brittleness(model, *data, rows, sample_weight=w)
    row = int(np.argmax(flips.n_removed > 0))
    sign = 1 if clf.predict(X_test[[row]])[0] == y_test[row] else -1
    keep = np.argsort(sign * rows[row], kind="stable")[flips.n_removed[row] :]
    label = clone(model).fit(X[keep], y[keep], w[keep]).predict(X_test[[row]])[0]
    assert label == flips.flipped[row] != flips.predicted[row]


def test_weights_reach_the_refits():
    X, y, X_test, y_test = three_classes()
    w = weights(1, 90)
    model = make_pipeline(StandardScaler(), DecisionTreeClassifier(max_depth=3, random_state=0))
    ask = {"n_subsets": 3, "random_state": 0, "n_repeats": 1, "target": "probability"}
    found = SubsetTruths.compute(model, X, y, X_test, y_test, sample_weight=w, **ask)
    plain = SubsetTruths.compute(model, X, y, X_test, y_test, **ask)
    assert not np.array_equal(found.outputs, plain.outputs)
    keep = found.subsets[0]
    state = np.random.default_rng([0, 0, 1]).integers(2**31 - 1, size=1).tolist()[0]
    refit = clone(model).set_params(decisiontreeclassifier__random_state=state)
    refit.fit(X[keep], y[keep], decisiontreeclassifier__sample_weight=w[keep])
    expected = refit.predict_proba(X_test)[np.arange(20), y_test]
    np.testing.assert_allclose(found.outputs[0, 0], expected)


def test_read_only_lists_and_explained_models():
    X, y, X_test, y_test = three_classes()
    for array in (X, y, X_test, y_test):
        array.flags.writeable = False
    clf = explain(InfluenceLogisticRegression(**EXACT).fit(X, y))
    rows = clf.influence(X_test, y_test, target="margin")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one = linear_datamodeling_score(
            LogisticRegression(**EXACT), X, y, X_test, y_test, rows, n_subsets=8, random_state=0
        )
        other = linear_datamodeling_score(
            LogisticRegression(**EXACT),
            X.tolist(),
            y.tolist(),
            X_test.tolist(),
            y_test.tolist(),
            rows.tolist(),
            n_subsets=8,
            random_state=0,
        )
    assert one.score == pytest.approx(other.score)
