"""Long work into files and folders: the same numbers, whatever ends it on the way."""

import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, make_scorer

from skinfluence import InfluenceLogisticRegression, InfluencePoissonRegressor
from skinfluence._store import Store
from skinfluence.blocks import as_blocks
from skinfluence.model_selection import LeaveOneOutSearchCV
from skinfluence.problem import stored
from skinfluence.robustness import _stored as steps
from skinfluence.robustness import coefficient, score
from tests.cases import problem, responses

TREE = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of 20 rows."""
    monkeypatch.setattr(stored, "BLOCK_BYTES", 1)
    monkeypatch.setattr(stored, "FEWEST_ROWS", 20)
    monkeypatch.setattr(stored, "REFITTED_ROWS", 20)


def fitted(in_blocks=False, n_classes=2):
    X, y = problem(n=130, p=4, n_classes=n_classes)
    data = (as_blocks(X, y, block_rows=50),) if in_blocks else (X, y)
    return InfluenceLogisticRegression(C=0.5).fit(*data), X[:9], y[:9]


@pytest.mark.parametrize("in_blocks", [False, True])
@pytest.mark.parametrize("method", ["first_order", "newton", "exact"])
def test_the_matrix_in_a_file_and_through_a_folder(method, in_blocks, tmp_path):
    model, X, y = fitted(in_blocks)
    for target in ("loss", "predict_proba"):
        expected = model.influence(X, y, method=method, target=target)
        options = {"method": method, "target": target}
        out = model.influence(X, y, out=tmp_path / "a.npy", **options)
        assert isinstance(out, np.memmap)
        np.testing.assert_allclose(out, expected, rtol=1e-6, atol=1e-12)
        np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), out)
        kept = tmp_path / target
        found = model.influence(X, y, checkpoint=kept, **options)
        np.testing.assert_array_equal(found, out)
        assert sorted(p.name for p in tmp_path.glob("*")) == sorted(
            {"a.npy", "loss", target}  # and no file that is not complete
        )
        blocks = sorted(kept.glob("*.npz"))
        assert len(blocks) in (7, 8)  # 130 rows by 20; of three blocks of rows each its own
        blocks[3].unlink()
        stamps = [path.stat().st_mtime_ns for path in blocks[:3]]
        seen = []

        def progress(parts, total, seen=seen):
            for part in parts:
                seen.append(total)
                yield part

        again = model.influence(X, y, checkpoint=kept, progress=progress, **options)
        np.testing.assert_array_equal(again, out)
        assert seen == [len(blocks)] * len(blocks)  # finished blocks count
        assert stamps == [path.stat().st_mtime_ns for path in blocks[:3]]
    some = model.influence(X, y, method=method, train_indices=[5, 100], out=tmp_path / "b.npy")
    np.testing.assert_allclose(some, model.influence(X, y, method=method)[:, [5, 100]], rtol=1e-6)


def test_shares_of_a_penalty_and_undefined_rows(tmp_path):
    R, counts = responses(n=130, counts=True)
    model = InfluencePoissonRegressor(alpha=0.1).fit(as_blocks(R, counts, block_rows=40))
    expected = InfluencePoissonRegressor(alpha=0.1).fit(R, counts)
    for method in ("first_order", "newton"):
        found = model.influence(R[:5], counts[:5], method=method, out=tmp_path / "a.npy")
        one = expected.influence(R[:5], counts[:5], method=method)
        np.testing.assert_allclose(found, one, rtol=1e-6, atol=1e-12)
    X, y = problem(n=130, p=4)
    y = np.zeros(130, dtype=int)
    y[77] = 1
    model = InfluenceLogisticRegression().fit(as_blocks(X, y, block_rows=40))
    for _ in range(2):  # also where the blocks are read
        with pytest.warns(RuntimeWarning, match="1 row left undefined .* without row 77"):
            found = model.influence(X[:3], y[:3], method="newton", checkpoint=tmp_path / "c")
        np.testing.assert_array_equal(np.flatnonzero(np.isnan(found[0])), [77])


def test_leave_one_out_through_a_folder(tmp_path):
    model, *_ = fitted(n_classes=3)
    expected = model.loo_estimate(method="exact")
    for _ in range(2):
        found = model.loo_estimate(method="exact", checkpoint=tmp_path / "loo")
        np.testing.assert_allclose(found.loss, expected.loss, rtol=1e-7)
        np.testing.assert_allclose(found.leverage, expected.leverage, rtol=1e-9)
        sorted((tmp_path / "loo").glob("*.npz"))[-1].unlink()
    with pytest.raises(ValueError, match="tol is 1e-08 there, and 1e-07 here"):
        model.loo_estimate(method="exact", tol=1e-7, checkpoint=tmp_path / "loo")
    with pytest.raises(ValueError, match="checkpoint= is for method='exact' without groups"):
        model.loo_estimate(checkpoint=tmp_path / "loo")


def test_what_does_not_belong_to_a_folder_is_named(tmp_path):
    model, X, y = fitted()
    kept = {"checkpoint": tmp_path / "kept"}
    model.influence(X, y, method="newton", **kept)
    for options, field in (
        ({"method": "first_order"}, "method is 'newton' there, and 'first_order' here"),
        ({"method": "newton", "target": "margin"}, "target is 'loss' there, and 'margin' here"),
        ({"method": "newton", "damping": 1.0}, "damping is 0.0 there, and 1.0 here"),
        ({"method": "newton", "train_indices": [1]}, "the fingerprint of the data"),
    ):
        with pytest.raises(ValueError, match=field):
            model.influence(X, y, **options, **kept)
    with pytest.raises(ValueError, match="the fingerprint of the data"):
        model.influence(X[::-1], y[::-1], method="newton", **kept)
    other, *_ = fitted(in_blocks=True)
    with pytest.raises(ValueError, match="the fingerprint of the data"):
        other.influence(X, y, method="newton", **kept)


def test_wrong_options(tmp_path):
    model, X, y = fitted()
    with pytest.raises(ValueError, match="method='auto' has one budget for all: pass method="):
        model.influence(X, y, out=tmp_path / "a.npy")
    with pytest.raises(ValueError, match="aggregate='mean' is not available with out="):
        model.influence(X, y, method="newton", aggregate="mean", out=tmp_path / "a.npy")
    with pytest.raises(ValueError, match="return_info=True is not available with checkpoint="):
        model.influence(X, y, method="newton", return_info=True, checkpoint=tmp_path / "a")
    with pytest.raises(ValueError, match=r"out should be the path of a \.npy file"):
        model.influence(X, y, method="newton", out=tmp_path / "a.txt")
    with pytest.raises(ValueError, match="a target should be named"):
        model.influence(X, y, method="newton", target=np.add, checkpoint=tmp_path / "a")
    assert not list(tmp_path.iterdir())


# A process that makes others, which share what it has imported and end at once.
WORK = """
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from skinfluence.model_selection import _stored as blocks
from skinfluence.problem import stored
from skinfluence.robustness import _stored
from tests.test_checkpoints import JOBS

job, folder, kills = JOBS[sys.argv[1]], Path(sys.argv[2]), int(sys.argv[3])
stored.BLOCK_BYTES, stored.FEWEST_ROWS, stored.REFITTED_ROWS = 1, 2, 2
_stored.PICKS, blocks.BLOCK = 2, 2
job(folder / "warm")
start = time.perf_counter()
expected = job(folder / "whole")
seconds = time.perf_counter() - start
random, before, killed, status = np.random.default_rng(int(sys.argv[4])), {}, 0, 1
while status:
    child = os.fork()
    if child == 0:
        job(folder / "kept")
        os._exit(0)
    if killed < kills:
        time.sleep(random.uniform(0.0, 2.0 * seconds / (kills + 4)))
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    now = {path.name: path.stat().st_mtime_ns for path in (folder / "kept").glob("*.npz")}
    assert before.items() <= now.items()  # nothing that was finished is done again
    before, killed = now, killed + (status == signal.SIGKILL)
found = job(folder / "kept")
for name, values in expected.items():
    np.testing.assert_array_equal(found[name], values, err_msg=name)
print(killed, len(before))
"""


# -- searches --------------------------------------------------------------------------------------

GRID = [
    {"C": [0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0]},
    {"C": [0.1, 1.0], "fit_intercept": [False]},
]


def search(folder=None, **options):
    """An unfitted search over 11 candidates: blocks of 4, 4, 1 and 2."""
    options = {"scoring": ["neg_log_loss", "accuracy"], "refit": "neg_log_loss"} | options
    clf = InfluenceLogisticRegression()
    return LeaveOneOutSearchCV(clf, GRID, method="exact", checkpoint=folder, **options)


def table(found):
    """The columns of `cv_results_` that are no times, and no parameters."""
    results = {**found.cv_results_}
    return {name: np.asarray(results[name]) for name in results if "mean_test" in name} | {
        name: np.asarray(results[name])
        for name in results
        if name.startswith("standard_error") or name in ("effective_parameters", "n_undefined")
    }


def same_bits(one, other):
    for name, values in table(one).items():
        np.testing.assert_array_equal(values, table(other)[name], err_msg=name)


def test_a_search_through_a_folder(tmp_path):
    X, y = problem(n=60, p=4)
    expected = search().fit(X, y)
    whole = search(tmp_path / "whole").fit(X, y)
    for name, values in table(expected).items():
        np.testing.assert_allclose(table(whole)[name], values, rtol=1e-6, err_msg=name)
    assert whole.best_params_ == expected.best_params_
    blocks = sorted((tmp_path / "whole").glob("*.npz"))
    assert len(blocks) == 4
    blocks[1].unlink()
    stamps = {path: path.stat().st_mtime_ns for path in blocks if path.exists()}
    seen = []

    def progress(parts, total):
        for part in parts:
            seen.append(total)
            yield part

    again = search(tmp_path / "whole", progress=progress).fit(X, y)
    same_bits(again, whole)
    assert seen == [11] * 11  # candidates that were read count
    assert stamps == {path: path.stat().st_mtime_ns for path in stamps}
    same_bits(search(tmp_path / "workers", n_jobs=2).fit(X, y), whole)
    # What took place when a block was made is what is reported of it.
    np.testing.assert_array_equal(
        again.cv_results_["mean_fit_time"][[0, 1, 2, 3]],
        whole.cv_results_["mean_fit_time"][[0, 1, 2, 3]],
    )


def test_undefined_rows_of_a_search_keep_their_names(tmp_path):
    import pandas as pd

    X, y = problem(n=60, p=3)
    y = np.zeros(60, dtype=int)
    y[17] = 1
    frame = pd.DataFrame(X, index=pd.date_range("2026-01-01", periods=60))
    for _ in range(2):
        with pytest.warns(RuntimeWarning, match=r"without row .*2026-01-18.* a class is empty"):
            found = search(tmp_path / "kept", scoring="accuracy", refit=True).fit(frame, y)
        assert (found.cv_results_["n_undefined"] == 1).all()


def test_what_does_not_belong_to_a_search_is_named(tmp_path):
    X, y = problem(n=60, p=4)
    kept = tmp_path / "kept"
    fitted_search = search(kept).fit(X, y, sample_weight=np.ones(60))
    assert fitted_search.best_score_ < 0
    weight = {"sample_weight": np.ones(60)}
    for other, field in (
        (search(kept, scoring="accuracy", refit=True), "scoring is"),
        (search(kept).set_params(method="newton"), "method is 'exact' there, and 'newton' here"),
        (search(kept).set_params(estimator__solver="newton-cholesky"), "estimator is"),
        (search(kept).set_params(param_grid={"C": [1.0]}), "param_grid is"),
    ):
        with pytest.raises(ValueError, match=f"holds results of another computation: {field}"):
            other.fit(X, y, **weight)
    ones, twos = np.ones(60), np.full(60, 2.0)
    for rows, labels, weights in ((X[::-1], y, ones), (X, y, twos), (X, y, None)):
        with pytest.raises(ValueError, match="the fingerprint of the data"):
            search(kept).fit(rows, labels, sample_weight=weights)
    with pytest.raises(ValueError, match=r"scorer should be named by a string; got .* for 'score'"):
        search(tmp_path / "new", scoring=np.add, refit=True).fit(X, y)
    assert not (tmp_path / "new").exists()


# -- smallest flips --------------------------------------------------------------------------------


def flip(folder=None, p=4, what="x1", **options):
    """The audit of a coefficient of a logistic regression, without a proof."""
    X, y = problem(n=130, p=p)
    model = InfluenceLogisticRegression(C=0.5).fit(X, y)
    options = {"certify": "never", "budget": 10} | options
    return model.smallest_flip(coefficient(what), checkpoint=folder, **options)


def same_audit(one, other):
    """Whether two audits agree to the last bit."""
    for field in fields(one):
        found, expected = getattr(one, field.name), getattr(other, field.name)
        np.testing.assert_array_equal(found, expected, err_msg=field.name)


@pytest.mark.parametrize(
    "options",
    [{}, {"p": 2, "certify": "auto"}, {"groups": np.arange(130) // 2}],
    ids=["rows", "bounds", "groups"],
)
def test_a_flip_that_is_ended_after_any_block(options, tmp_path, monkeypatch):
    monkeypatch.setattr(steps, "PICKS", 3)
    without = flip(**options)
    whole = flip(tmp_path / "whole", **options)
    assert whole.n_rows == without.n_rows
    assert len(whole.rows) > 6
    # Rows of nearly the same effect may leave in another order, with a factor of another age.
    np.testing.assert_array_equal(np.sort(whole.rows), np.sort(without.rows))
    np.testing.assert_allclose(whole.path[-1], without.path[-1], rtol=1e-6)
    blocks = [path.name for path in (tmp_path / "whole").glob("*.npz")]
    assert sum(name.startswith("greedy") for name in blocks) >= 2
    write, left = Store.write, [0]

    def ends(self, name, /, **arrays):
        """Write a block, and end the process with the next."""
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        write(self, name, **arrays)

    monkeypatch.setattr(Store, "write", ends)
    for _ in blocks:
        left[0] = 1
        try:
            found = flip(tmp_path / "kept", **options)
        except KeyboardInterrupt:
            found = None
    seen = []

    def progress(tries, total=None):
        for number in tries:
            seen.append(number)
            yield number

    found = found or flip(tmp_path / "kept", **options)
    same_audit(found, whole)
    (tmp_path / "kept" / "searched.npz").unlink()
    left[0] = 1
    same_audit(flip(tmp_path / "kept", progress=progress, **options), whole)
    assert seen[: len(whole.rows) // 3] == list(range(len(whole.rows) // 3))  # kept ones count


def test_what_does_not_belong_to_a_flip_is_named(tmp_path):
    X, y = problem(n=130, p=4)
    kept = tmp_path / "kept"
    flip(kept)
    for options, field in (
        ({"what": "x2"}, "coefficient name is"),
        ({"max_rows": 5}, "max_rows is 65 there, and 5 here"),
        ({"certify": "auto"}, "certify is 'never' there, and 'auto' here"),
        ({"p": 3}, "the fingerprint of the data"),
        ({"groups": np.arange(130) // 2, "max_rows": 64}, "the fingerprint of the data"),
    ):
        with pytest.raises(ValueError, match=f"of another computation: {field}"):
            flip(kept, **options)
    model = InfluenceLogisticRegression().fit(X, y)
    asked = score(X, y, scoring=make_scorer(accuracy_score), value=0.5)
    with pytest.raises(ValueError, match="with checkpoint= the scoring should be named"):
        model.smallest_flip(asked, checkpoint=tmp_path / "new")
    assert not (tmp_path / "new").exists()


# -- kill -9 ---------------------------------------------------------------------------------------


def matrix(folder, method="exact", *, in_blocks=False):
    """The matrix of influence, in a file."""
    model, X, y = fitted(in_blocks)
    out = folder.with_suffix(".npy")
    return {"values": model.influence(X, y, method=method, checkpoint=folder, out=out)}


def refits(folder, *, in_blocks=False):
    """Leave-one-out by refits."""
    model, *_ = fitted(in_blocks)
    loo = model.loo_estimate(method="exact", checkpoint=folder)
    return {name: getattr(loo, name) for name in ("loss", "leverage", "method", "error_bound")}


JOBS = {
    "influence": matrix,
    "influence in blocks": lambda folder: matrix(folder, "newton", in_blocks=True),
    "leave-one-out": refits,
    "leave-one-out in blocks": lambda folder: refits(folder, in_blocks=True),
    "search": lambda folder: table(search(folder).fit(*problem(n=130, p=4))),
    "flip": lambda folder: vars(flip(folder)),
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="signals and forks are POSIX's")
@pytest.mark.parametrize("job", JOBS)
def test_work_that_is_killed_at_twenty_moments_goes_on_where_it_was(job, tmp_path):
    kills, seed = os.environ.get("KILLS", "20"), os.environ.get("KILL_SEED", "0")
    run = [sys.executable, "-c", WORK, job, str(tmp_path), kills, seed]
    done = subprocess.run(run, cwd=TREE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    killed, blocks = map(int, done.stdout.split())
    assert killed >= int(kills) / 2, "the work was done before it was ended often enough"
    assert blocks >= 5
