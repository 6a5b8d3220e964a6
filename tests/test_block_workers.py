"""Rows in blocks by workers: threads, processes, dask; the same numbers to the last bit."""

import os
import pickle
import platform
import resource
import subprocess
import sys

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skinfluence import (
    InfluenceExplainer,
    InfluenceLogisticRegression,
    InfluencePoissonRegressor,
    InfluenceRidge,
)
from skinfluence.blocks import as_blocks
from skinfluence.design import _blocks as designs
from skinfluence.linear_model import _blocks as fitting
from skinfluence.problem import _batches as batches
from skinfluence.problem import stored
from tests.cases import problem, responses, weights
from tests.test_blocks import Pieces, cut, of_npy, of_parquet, pieces


@pytest.fixture(autouse=True)
def few_rows_to_start(monkeypatch):
    """Fits start from 40 rows, so that the other rows are new to the Newton steps."""
    monkeypatch.setattr(fitting, "MOST_ROWS", 40)


@pytest.fixture
def small_batches(monkeypatch):
    """Blocks of 40 rows of the matrix, and batches of 40 refits."""
    monkeypatch.setattr(stored, "BLOCK_BYTES", 1)
    monkeypatch.setattr(stored, "FEWEST_ROWS", 40)
    monkeypatch.setattr(stored, "REFITTED_ROWS", 40)


def cases(folder):
    X, y = problem(n=300, p=5)
    X3, y3 = problem(n=300, p=4, n_classes=3)
    R, r = responses(n=300)
    _, counts = responses(n=300, counts=True)
    w = weights(1, 300, zeros=5)
    words = np.array(["no", "yes"])[y]
    npy, labels = of_npy(X, y, folder)
    np.save(folder / "w.npy", w)
    return {
        "npy": (InfluenceLogisticRegression(), (npy, labels)),
        "weights in a file": (InfluenceLogisticRegression(), (npy, labels, folder / "w.npy")),
        "weights in memory": (InfluenceLogisticRegression(), (npy, labels, w)),
        "balanced": (InfluenceLogisticRegression(class_weight="balanced"), (npy, labels)),
        "memory": (InfluenceRidge(alpha=2.0), (R, r)),
        "two responses": (InfluenceRidge(), (R, np.column_stack([r, r**2]))),
        "callable": (InfluenceLogisticRegression(C=0.5), (pieces(X3, y3, 90, 90, 210), None)),
        "words": (InfluenceLogisticRegression(), (pieces(X, words, 100, weight=w), None)),
        "counts": (InfluencePoissonRegressor(alpha=0.1), (R, counts, w)),
    }


def answers(model, source):
    """Coefficients and self-influence of a new fit."""
    fitted = type(model)(**model.get_params()).fit(as_blocks(*source, block_rows=70))
    found = [fitted.coef_, fitted.intercept_]
    return [*found, *(fitted.self_influence(method=m) for m in ("first_order", "newton"))]


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_one_two_and_eight_workers_agree_to_the_last_bit(backend, tmp_path):
    for name, (model, source) in cases(tmp_path).items():
        expected = answers(model, source)
        for n_jobs in (2, 8) if backend == "threading" else (2,):
            with parallel_config(backend=backend, n_jobs=n_jobs):
                found = answers(model, source)
            for one, other in zip(expected, found, strict=True):
                np.testing.assert_array_equal(other, one, err_msg=name)


def test_backends_without_generators_are_asked_window_by_window(tmp_path):
    model, source = cases(tmp_path)["npy"]
    expected = answers(model, source)
    with parallel_config(backend="multiprocessing", n_jobs=2):
        for one, other in zip(expected, answers(model, source), strict=True):
            np.testing.assert_array_equal(other, one)


def test_tasks_are_descriptions_of_some_kilobytes(tmp_path, monkeypatch):
    X, y = problem(n=40_000, p=5)
    path, labels = of_npy(X, y, tmp_path)
    sizes, original = [], designs.in_order

    def weighed(function, tasks):
        """The same, with the sizes of what a worker would be sent."""
        tasks = list(tasks)
        sizes.extend(len(pickle.dumps((function, task))) for task in tasks)
        return original(function, tasks)

    monkeypatch.setattr(designs, "in_order", weighed)
    for class_weight in (None, "balanced"):
        with parallel_config(backend="threading", n_jobs=2):
            model = InfluenceLogisticRegression(class_weight=class_weight)
            model.fit(as_blocks(path, labels, block_rows=10_000)).self_influence(method="newton")
    assert len(sizes) >= 4 * 6
    assert max(sizes) < 4096  # a block's rows are 400 kB, its labels 80


def test_a_row_that_needs_the_other_blocks(tmp_path):
    X, y = responses(n=200)
    X[:, 2] = 0.0
    X[70, 2] = 1.0  # this row alone determines a coefficient, but for the penalty
    source = of_npy(X, y, tmp_path)
    expected = InfluenceRidge(alpha=1e-10).fit(X, y).self_influence(method="newton")
    model = InfluenceRidge(alpha=1e-10).fit(as_blocks(*source, block_rows=50))
    for n_jobs in (1, 2):
        with parallel_config(backend="threading", n_jobs=n_jobs):
            found = model.self_influence(method="newton")
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_worker_names_the_row_that_is_not_finite(tmp_path):
    X, y = problem(n=200, p=3)
    X[177, 1] = np.nan
    path, labels = of_npy(X, y, tmp_path)
    with (
        parallel_config(backend="threading", n_jobs=2),
        pytest.raises(ValueError, match="in block 17, row 7 of it, which is row 177 of all"),
    ):
        InfluenceRidge().fit(as_blocks(path, labels, block_rows=10))


def test_files_of_rows_and_parquet_by_workers(tmp_path):
    X, y = problem(n=200, p=4)
    names = []
    for k, part in enumerate(cut(X, [50, 130])):
        names.append(tmp_path / f"X{k}.npy")
        np.save(names[-1], part)
    sources = [(names, y)]
    pytest.importorskip("pyarrow")
    sources.append(of_parquet(X, y, tmp_path))
    for source in sources:
        expected = answers(InfluenceLogisticRegression(), source)
        with parallel_config(backend="threading", n_jobs=2):
            found = answers(InfluenceLogisticRegression(), source)
        for one, other in zip(expected, found, strict=True):
            np.testing.assert_array_equal(other, one)


# -- pipelines -------------------------------------------------------------------------------------


def test_a_pipeline_over_blocks(tmp_path):
    X, y = problem(n=300, p=5)
    path, labels = of_npy(X, y, tmp_path)
    # All blocks but one of one size: the rows of a pass of partial_fit are those of fit.
    plain = make_pipeline(StandardScaler(), FunctionTransformer(np.tanh), InfluenceRidge())
    models = [
        plain,
        make_pipeline(
            FrozenEstimator(PCA(3, random_state=0).fit(X[:50])), InfluenceLogisticRegression()
        ),
    ]
    for model in models:
        expected = InfluenceExplainer(model).fit(X, y)
        explainer = InfluenceExplainer(model).fit(as_blocks(path, labels, block_rows=70))
        final, known = (each.estimator_[-1] for each in (explainer, expected))
        np.testing.assert_allclose(final.coef_, known.coef_, rtol=1e-9)
        X_test, y_test = X[:7], y[:7]
        for test in (X_test, as_blocks(X_test, block_rows=3)):
            np.testing.assert_allclose(
                explainer.influence(test, y_test, method="newton"),
                expected.influence(X_test, y_test, method="newton"),
                rtol=1e-7,
                atol=1e-12,
            )
        own = expected.self_influence(method="newton")
        with parallel_config(backend="threading", n_jobs=2):
            found = explainer.self_influence(method="newton")
        np.testing.assert_allclose(found, own, rtol=1e-7, atol=1e-12)
        again = pickle.loads(pickle.dumps(explainer))
        np.testing.assert_array_equal(again.self_influence(method="newton"), found)
    with pytest.raises(NotImplementedError, match=r"PCA, a step of the Pipeline.*FrozenEstimator"):
        InfluenceExplainer(make_pipeline(PCA(2), InfluenceRidge())).fit(as_blocks(X, y))


def test_the_own_fit_of_a_pipeline_says_which_way_to_go():
    X, y = problem(n=90, p=3)
    blocks = as_blocks(X, y, block_rows=40)
    scaler = StandardScaler().fit(X)
    frozen = make_pipeline(FrozenEstimator(scaler), InfluenceLogisticRegression())
    for pipe in (make_pipeline(StandardScaler(), InfluenceLogisticRegression()), frozen):
        with pytest.raises(
            NotImplementedError, match=r"InfluenceExplainer\(pipeline\)\.fit\(blocks"
        ):
            pipe.fit(blocks)
        with pytest.raises(NotImplementedError, match="where there is room for all rows, pass"):
            pipe.fit(blocks, y)
    with pytest.raises(NotImplementedError, match="rows in blocks are no array"):
        np.asarray(blocks)
    # What needs no array goes its own way.
    plain = make_pipeline("passthrough", InfluenceLogisticRegression()).fit(blocks)
    expected = InfluenceLogisticRegression().fit(X, y)
    np.testing.assert_allclose(plain[-1].coef_, expected.coef_, rtol=1e-10)
    by_hand = InfluenceLogisticRegression().fit(blocks.transformed(scaler.transform))
    known = InfluenceLogisticRegression().fit(scaler.transform(X), y)
    np.testing.assert_allclose(by_hand.coef_, known.coef_, rtol=1e-10)


# -- dask ------------------------------------------------------------------------------------------


def collections(X, y):
    """A dask array with labels of other chunks, one with labels in memory, and a data frame."""
    array = pytest.importorskip("dask.array")
    frames = pytest.importorskip("dask.dataframe")
    import pandas as pd

    frame = pd.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])]).assign(label=y)
    rows = array.from_array(X, chunks=(70, 3))
    return {
        "array": (rows, array.from_array(y, chunks=90)),
        "labels in memory": (rows, y),
        "frame": (frames.from_pandas(frame, chunksize=70, sort=False), "label"),
    }


def test_collections_of_dask_are_reduced_where_they_lie(monkeypatch):
    X, y = problem(n=300, p=5)
    expected = InfluenceLogisticRegression(C=0.7).fit(X, y)
    for name, source in collections(X, y).items():
        blocks = as_blocks(*source)
        assert blocks.computes
        model = InfluenceLogisticRegression(C=0.7).fit(blocks)
        np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-10, err_msg=name)
        read, original = set(), type(blocks).block

        def block(self, i, read=read, original=original):
            """The same, and which they were."""
            read.add(i)
            return original(self, i)

        with monkeypatch.context() as patch:
            patch.setattr(type(blocks), "block", block)
            found = model.self_influence(method="newton")
        assert read <= {0}  # to see how many entries a row has; no other block has come here
        np.testing.assert_allclose(found, expected.self_influence(method="newton"), rtol=1e-8)


def test_labels_of_dask_are_of_as_many_rows():
    array = pytest.importorskip("dask.array")
    X, y = problem(n=60, p=3)
    with pytest.raises(ValueError, match="labels or weights have 59 rows, X has 60"):
        as_blocks(array.from_array(X, chunks=(20, 3)), array.from_array(y[1:], chunks=20))
    with pytest.raises(ValueError, match="'label' is no column of X"):
        as_blocks(array.from_array(X, chunks=(20, 3)), "label")


@pytest.mark.usefixtures("small_batches")
def test_two_processes_of_a_cluster(tmp_path):
    distributed = pytest.importorskip("distributed")
    X, y = problem(n=300, p=5)
    path, labels = of_npy(X, y, tmp_path)
    expected = answers(InfluenceLogisticRegression(), (path, labels))
    expected += matrices(InfluenceLogisticRegression(), (path, labels), tmp_path)
    frame = as_blocks(*collections(X, y)["frame"])
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster):
        with parallel_config(backend="dask"):
            found = answers(InfluenceLogisticRegression(), (path, labels))
            found += matrices(InfluenceLogisticRegression(), (path, labels), tmp_path)
        there = InfluenceLogisticRegression().fit(frame)
    # dask hands arrays over as parts of a message, where the BLAS of NumPy 2.0 rounds otherwise.
    rtol = 1e-12 if np.__version__.startswith("2.0.") else 0.0
    for one, other in zip(expected, found, strict=True):
        # Error bounds are differences of such numbers, of order 1.
        np.testing.assert_allclose(other, one, rtol=rtol, atol=1e-3 * rtol)
    np.testing.assert_allclose(there.coef_, expected[0], rtol=1e-10)


def test_a_source_of_dask_with_an_empty_chunk():
    array = pytest.importorskip("dask.array")
    X, y = problem(n=90, p=3)
    chunks = [array.from_array(part) for part in cut(X, [30, 30, 70])]
    blocks = as_blocks(array.concatenate(chunks), y)
    model = InfluenceLogisticRegression().fit(blocks)
    expected = InfluenceLogisticRegression().fit(as_blocks(Pieces((X[:30],), (X[30:],)), y))
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-9)


# -- other long work -------------------------------------------------------------------------------


def matrices(model, source, folder):
    """The matrix into a file, by one step and by refits, and leave-one-out by refits."""
    fitted = type(model)(**model.get_params()).fit(as_blocks(*source, block_rows=70))
    X, y = fitted._training_data.X[:7], np.asarray(fitted._training_data.y)[:7]
    found = [
        np.array(fitted.influence(X, y, method=method, out=folder / "a.npy"))
        for method in ("first_order", "newton", "exact")
    ]
    loo = fitted.loo_estimate(method="exact")
    return [*found, loo.loss, loo.leverage, loo.error_bound]


CASES = {
    "threading": ("npy", "callable", "memory", "counts", "weights in memory"),
    "loky": ("npy", "balanced"),
}


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("backend", CASES)
def test_the_matrix_and_refits_by_workers_to_the_last_bit(backend, tmp_path):
    for name, (model, source) in cases(tmp_path).items():
        if name not in CASES[backend]:
            continue
        expected = matrices(model, source, tmp_path)
        for n_jobs in (2, 8) if backend == "threading" else (2,):
            with parallel_config(backend=backend, n_jobs=n_jobs):
                found = matrices(model, source, tmp_path)
            for one, other in zip(expected, found, strict=True):
                np.testing.assert_array_equal(other, one, err_msg=name)
        X, y, w = (*source, None)[:3] if isinstance(source[0], np.ndarray) else (None,) * 3
        if X is not None:
            known = type(model)(**model.get_params()).fit(X, y, w)
            loss = known.loo_estimate(method="exact").loss
            np.testing.assert_allclose(expected[3], loss, rtol=1e-6, atol=1e-9)


@pytest.mark.usefixtures("small_batches")
def test_work_by_workers_goes_on_from_a_folder(tmp_path):
    model, source = cases(tmp_path)["npy"]
    fitted = type(model)().fit(as_blocks(*source, block_rows=70))
    X, y = fitted._training_data.X[:7], np.asarray(fitted._training_data.y)[:7]
    for method in ("newton", "exact"):
        expected = fitted.influence(X, y, method=method, out=tmp_path / "a.npy")
        folder = tmp_path / method
        with parallel_config(backend="threading", n_jobs=2):
            found = fitted.influence(X, y, method=method, checkpoint=folder)
            np.testing.assert_array_equal(found, expected)
            for block in sorted(folder.glob("*.npz"))[::2]:
                block.unlink()
            again = fitted.influence(X, y, method=method, checkpoint=folder)
        np.testing.assert_array_equal(again, expected)
    expected = fitted.loo_estimate(method="exact")
    with parallel_config(backend="threading", n_jobs=2):
        found = fitted.loo_estimate(method="exact", checkpoint=tmp_path / "kept")
        for block in sorted((tmp_path / "kept").glob("*.npz"))[::2]:
            block.unlink()
        again = fitted.loo_estimate(method="exact", checkpoint=tmp_path / "kept")
    for each in (found, again):
        np.testing.assert_array_equal(each.loss, expected.loss)


@pytest.mark.usefixtures("small_batches")
def test_tasks_of_refits_are_descriptions_too(tmp_path, monkeypatch):
    X, y = problem(n=2000, p=5)
    model = InfluenceLogisticRegression().fit(as_blocks(*of_npy(X, y, tmp_path), block_rows=500))
    sizes, original = [], batches.in_order

    def weighed(function, tasks):
        """The same, with the sizes of what a worker would be sent."""
        sizes.extend(len(pickle.dumps((function, task))) for task in tasks[:3])
        return original(function, tasks)

    monkeypatch.setattr(batches, "in_order", weighed)
    monkeypatch.setattr(stored, "REFITTED_ROWS", 500)
    with parallel_config(backend="threading", n_jobs=2):
        model.loo_estimate(method="exact")
    assert sizes
    assert max(sizes) < 10_000  # 500 positions are four of these; labels would be 16


PAGES = """
import resource, sys
from skinfluence import InfluenceLogisticRegression
from skinfluence.blocks import as_blocks

def answer():
    model = InfluenceLogisticRegression().fit(as_blocks(sys.argv[1], sys.argv[2]))
    return model.self_influence(method="newton")

answer()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
answer()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="its own rules of freed memory")
def test_a_pass_fetches_little_fresh_memory(tmp_path):
    # Dask tells its workers' C library to give freed memory back at once: to copy the rows of each
    # pass to new memory took workers longer than their products.
    n, p = 100_000, 50
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, p)).astype(np.float32)
    path, labels = of_npy(X, (X[:, 0] + rng.logistic(size=n) > 0).astype(int), tmp_path)
    environment = os.environ | {"MALLOC_TRIM_THRESHOLD_": "65536"}
    command = [sys.executable, "-c", PAGES, str(path), str(labels)]
    found = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    # Five passes; the first fit is of a copy of some of the rows.
    assert int(found.stdout) < 2.5 * 8 * n * p / resource.getpagesize()
