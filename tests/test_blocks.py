"""Rows in blocks: every kind of source, every estimator, and what is wrong with a source."""

import pickle
import re
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression

from skinfluence import (
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
)
from skinfluence.blocks import as_blocks
from skinfluence.design import make_design
from skinfluence.kernel_models import InfluenceKernelRidge, KernelLogisticRegression
from skinfluence.linear_model import _blocks as fitting
from skinfluence.svm import SmoothEpsilonSVR, SmoothHingeSVC
from tests.cases import problem, responses, weights


@pytest.fixture(autouse=True)
def few_rows_to_start(monkeypatch):
    """Fits start from 40 rows, so that the other rows are new to the Newton steps."""
    monkeypatch.setattr(fitting, "MOST_ROWS", 40)


class Pieces:
    """A callable source of a list of blocks."""

    def __init__(self, *blocks):
        self.blocks = blocks

    def __call__(self, i):
        return self.blocks[i] if i < len(self.blocks) else None


def cut(values, edges):
    return [values[a:b] for a, b in zip([0, *edges], [*edges, None], strict=True)]


def pieces(X, y, *edges, weight=None):
    """A source of blocks that end at the edges."""
    parts = [cut(values, edges) for values in ([X, y] if weight is None else [X, y, weight])]
    return Pieces(*zip(*parts, strict=True))


# -- sources ---------------------------------------------------------------------------------------


def of_parquet(X, y, folder):
    table = pytest.importorskip("pyarrow").table(
        {**{f"x{j}": X[:, j] for j in range(X.shape[1])}, "label": y}
    )
    pytest.importorskip("pyarrow.parquet").write_table(table, folder / "a.parquet", 70)
    return folder / "a.parquet", "label"


def of_dataset(X, y, folder):
    path, label = of_parquet(X, y, folder)
    return pytest.importorskip("pyarrow.dataset").dataset(path), label


def of_lazy_frame(X, y, folder):
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({f"x{j}": X[:, j] for j in range(X.shape[1])})
    return frame.with_columns(label=polars.Series(y)).lazy(), "label"


def of_files(X, y, folder):
    names = []
    for k, part in enumerate(cut(X, [50, 130])):
        names.append(folder / f"X{k}.npy")
        np.save(names[-1], part)
    return names, y


def of_npy(X, y, folder):
    np.save(folder / "X.npy", X)
    np.save(folder / "y.npy", y)
    return str(folder / "X.npy"), str(folder / "y.npy")


def of_fortran_npy(X, y, folder):
    return of_npy(np.asfortranarray(X), y, folder)


def of_memmap(X, y, folder):
    path, _ = of_npy(X, y, folder)
    return np.load(path, mmap_mode="r"), y


def of_dask_array(X, y, folder):
    return pytest.importorskip("dask.array").from_array(X, chunks=(60, 3)), y


def of_dask_frame(X, y, folder):
    frames = pytest.importorskip("dask.dataframe")
    import pandas as pd

    frame = pd.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])]).assign(label=y)
    return frames.from_pandas(frame, npartitions=3), "label"


SOURCES = {
    "array": lambda X, y, folder: (X, y),
    "csr": lambda X, y, folder: (sp.csr_array(X), y),
    "npy": of_npy,
    "npy of columns": of_fortran_npy,
    "memmap": of_memmap,
    "parquet": of_parquet,
    "dataset": of_dataset,
    "lazy frame": of_lazy_frame,
    "dask array": of_dask_array,
    "dask frame": of_dask_frame,
    "files": of_files,
    "callable": lambda X, y, folder: (pieces(X, y, 1, 1, 90), None),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_every_source_gives_the_fit_in_memory(kind, tmp_path):
    X, y = problem(n=200, p=5)
    expected = InfluenceLogisticRegression(C=0.7).fit(X, y)
    source, labels = SOURCES[kind](X, y, tmp_path)
    blocks = as_blocks(source, labels, block_rows=70)
    assert blocks.shape == X.shape
    assert blocks.n_blocks >= 3
    read = [blocks.read(i) for i in range(blocks.n_blocks)]
    np.testing.assert_array_equal(np.concatenate([part[1] for part in read]), y)
    rows = sp.vstack([part[0] for part in read]).toarray() if kind == "csr" else None
    rows = np.concatenate([part[0] for part in read]) if rows is None else rows
    np.testing.assert_array_equal(rows, X)
    again = pickle.loads(pickle.dumps(blocks))
    assert again.fingerprint() == blocks.fingerprint()
    model = InfluenceLogisticRegression(C=0.7).fit(blocks)
    np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-10)
    np.testing.assert_allclose(model.intercept_, expected.intercept_, rtol=1e-10)
    one = expected.self_influence(method="newton")
    np.testing.assert_allclose(model.self_influence(method="newton"), one, rtol=1e-8)
    assert re.fullmatch("[0-9a-f]{64}", blocks.fingerprint())
    assert as_blocks(blocks).fingerprint() == blocks.fingerprint()
    random = np.array([150, 3, 3, 199, 70])
    taken = blocks[random]
    np.testing.assert_array_equal(taken.toarray() if sp.issparse(taken) else taken, X[random])


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("edges", [[], [1], [0, 100, 100, 199], [40, 80, 120, 160]])
def test_design_of_blocks_against_the_design_in_memory(edges, sparse):
    rng = np.random.default_rng(0)
    X = np.where(rng.random((200, 4)) < 0.3, 0.0, rng.normal(size=(200, 4)))
    X[:, 2] += 1e4 * (not sparse)
    X = sp.csr_array(X) if sparse else X
    origin = None if sparse else np.array([0.0, 0.0, 1e4, 0.0])
    blocks = as_blocks(Pieces(*cut(X, edges)))
    for intercept in (True, False):
        one, other = make_design(X, intercept, origin), make_design(blocks, intercept, origin)
        for expected, answer in zip(answers(one), answers(other), strict=True):
            np.testing.assert_allclose(answer, expected, rtol=1e-9, atol=1e-9)


def answers(d):
    """What a design of 200 rows is asked, with the same numbers every time."""
    rng, q = np.random.default_rng(0), d.shape[1]
    V, U = rng.normal(size=(q, 3)), rng.normal(size=(200, 3))
    w = rng.normal(size=200)
    roots = rng.normal(size=(200, 3, 3))
    M = rng.normal(size=(q, q))
    M = M + M.T
    some = np.array([0, 7, 7, 150])
    ascending = np.flatnonzero(rng.random(200) < 0.5)
    W = roots + roots.transpose(0, 2, 1)
    big = rng.normal(size=(3 * q, 3 * q))
    S = rng.normal(size=(2, 3, q))
    every = slice(None)
    return [
        d @ V,
        d.transpose_matmul(U),
        d.transpose_matmul(w),
        d.absolute_sum(U),
        d.squared_columns(U),
        d.sandwich(w[:, None, None]),
        d.sandwich(W),
        d.sandwich_of([(ascending, W[ascending])], 3),
        d.row_quadratic(M),
        d.row_norms(np.triu(M)),
        d.block_quadratic(big + big.T, 3),
        d.row_squares(),
        d.kernel(np.abs(V[:, 0])),
        d.kernel_diagonal(np.abs(V[:, 0])),
        d.dense(some),
        d.dense(slice(30, 90)),
        d.outer(U[some], some),
        d.contract(S, U[20:170], slice(20, 170)),
        d.contract(S, U[some], some),
        d.take(ascending) @ V,
        d.restricted(np.array([0, 3])).dense(every),
        d.extended(d.take(slice(0, 9))).dense(slice(190, 209)),
        *d.forward_back(V, lambda rows, eta: eta * U[rows]),
        d.row_hashes(np.arange(1, 5, dtype=np.uint64) * 2 + 1, every),
        sum(part.sandwich(w[rows, None, None]) for rows, part in d.parts(17)),
        np.concatenate([part.dense(every) for _, part in d.parts(23)]),
    ]


def test_rows_that_are_too_many_to_copy_stay_blocks(monkeypatch):
    X, _ = problem(n=200, p=5)
    monkeypatch.setattr("skinfluence.design._blocks.COPIED", 100)
    design = make_design(as_blocks(X, block_rows=30), True)
    rows = np.flatnonzero(np.arange(200) % 3)
    some = design.take(rows)
    assert type(some) is type(design)
    assert some.shape == (len(rows), 6)
    np.testing.assert_array_equal(some.dense(slice(None))[:, :5], X[rows])
    assert design.take(np.arange(200)) is design
    np.testing.assert_array_equal(design.take(rows[::-1]).dense(slice(None))[:, :5], X[rows[::-1]])


# -- estimators ------------------------------------------------------------------------------------


def models():
    X, y = problem(n=200, p=4)
    X3, y3 = problem(n=200, p=4, n_classes=3)
    R, r = responses(n=200)
    _, counts = responses(n=200, counts=True)
    return {
        "logistic": (InfluenceLogisticRegression(), X, y),
        "liblinear": (InfluenceLogisticRegression(solver="liblinear", tol=1e-8), X, y),
        "balanced": (InfluenceLogisticRegression(class_weight="balanced"), X, y),
        "words": (InfluenceLogisticRegression(), X, np.array(["no", "yes"])[y]),
        "unpenalised": (InfluenceLogisticRegression(C=np.inf), X, y),
        "softmax": (InfluenceLogisticRegression(C=0.5), X3, y3),
        "ridge": (InfluenceRidge(alpha=2.0), R, r),
        "two responses": (InfluenceRidge(), R, np.column_stack([r, r**2])),
        "least squares": (InfluenceLinearRegression(), R, r),
        "no intercept": (InfluenceLinearRegression(fit_intercept=False), R, r),
        "labels": (InfluenceRidgeClassifier(), X, y),
        "three labels": (InfluenceRidgeClassifier(), X3, y3),
        "poisson": (InfluencePoissonRegressor(alpha=0.1), R, counts),
        "gamma": (InfluenceGammaRegressor(alpha=0.1), R, counts + 0.5),
        "tweedie": (InfluenceTweedieRegressor(power=1.5, alpha=0.1), R, counts),
    }


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", models())
def test_every_estimator_is_fitted_and_asked_as_in_memory(name, weighted):
    model, X, y = models()[name]
    w = weights(3, 200, zeros=5) if weighted else None
    one = type(model)(**model.get_params()).fit(X, y, w)
    other = type(model)(**model.get_params()).fit(as_blocks(X, y, w, block_rows=33))
    np.testing.assert_allclose(other.coef_, one.coef_, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(other.intercept_, one.intercept_, rtol=1e-10, atol=1e-10)
    assert np.shape(other.n_iter_ if hasattr(one, "n_iter_") else 0) == np.shape(
        one.n_iter_ if hasattr(one, "n_iter_") else 0
    )
    test, labels = X[:7], y[:7]
    for ask in (
        lambda m: m.influence(test, labels, method="first_order"),
        lambda m: m.influence(test, labels, method="newton"),
        lambda m: m.influence(test, labels, train_indices=[3, 180], method="exact"),
        lambda m: m.influence(test, labels, method="newton", aggregate="mean"),
        lambda m: m.most_influential(test, labels, k=3, method="newton").helpful_values,
        lambda m: m.self_influence(method="newton"),
        lambda m: m.self_influence(method="first_order"),
        lambda m: m.loo_estimate(method="newton").leverage,
        lambda m: m.loo_estimate(method="newton").loss,
        lambda m: m.loo_estimate(method="exact").loss,
    ):
        expected = ask(one)
        scale = np.nanmax(np.abs(expected))
        np.testing.assert_allclose(ask(other), expected, rtol=1e-6, atol=1e-9 * scale)


@pytest.mark.parametrize("kind", ["array", "csr", "npy"])
def test_rows_to_ask_about_in_blocks(kind, tmp_path):
    X, y = problem(n=200, p=5)
    X_test, y_test = problem(seed=1, n=90, p=5)
    model = InfluenceLogisticRegression().fit(X, y)
    source, labels = SOURCES[kind](X_test, y_test, tmp_path)
    blocks = as_blocks(source, labels, block_rows=35)
    for asked in (model, InfluenceLogisticRegression().fit(as_blocks(X, y, block_rows=60))):
        for options in ({"method": "newton"}, {"aggregate": "sum", "method": "first_order"}):
            expected = model.influence(X_test, y_test, **options)
            np.testing.assert_allclose(asked.influence(blocks, **options), expected, atol=1e-10)
    with pytest.raises(ValueError, match=r"X_test has 4 features, but .* is expecting 5"):
        model.influence(as_blocks(X_test[:, :4], y_test))


def test_rows_to_ask_about_in_blocks_of_every_method():
    X, y = problem(n=200, p=4)
    X_test, y_test = problem(seed=1, n=30, p=4)
    one = InfluenceLogisticRegression().fit(X, y)
    other = InfluenceLogisticRegression().fit(as_blocks(X, y, block_rows=60))
    weight = np.r_[np.full(3, 0.5), np.ones(197)]
    for ask in (
        lambda m, X, y: m.most_influential(X, y, k=3, method="newton").harmful_values,
        lambda m, X, y: m.score_influence(X, y, method="newton", scoring="roc_auc"),
        lambda m, X, y: m.group_influence([[0, 1], [5, 150]], X, y, method="newton"),
        lambda m, X, y: m.relabel_influence(X, y, train_indices=[0, 5, 190]),
        lambda m, X, y: m.reweight_influence(weight, X, y),
        lambda m, X, y: m.addition_influence(X_test[:3], y_test[:3], X, y),
        lambda m, X, y: m.feature_influence(X, y),
    ):
        expected = ask(one, X_test, y_test)
        for model in (one, other):
            found = ask(model, as_blocks(X_test, y_test, block_rows=12), None)
            np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("edges", [[], [1], [199], [0, 0, 50, 50, 200], range(1, 200)])
def test_one_many_uneven_and_empty_blocks(edges):
    X, y = problem(n=200, p=5)
    expected = InfluenceLogisticRegression().fit(X, y)
    model = InfluenceLogisticRegression().fit(as_blocks(pieces(X, y, *edges)))
    np.testing.assert_allclose(model.coef_, expected.coef_, atol=1e-10)
    np.testing.assert_allclose(
        model.self_influence(method="newton"), expected.self_influence(method="newton"), rtol=1e-7
    )


def test_uneven_contents_of_blocks():
    X, y = problem(n=200, p=5)
    order = np.argsort(y, kind="stable")
    X, y = X[order], y[order]  # blocks of one class
    X[40:80, 2] = 3.0  # constant within a block
    w = weights(1, 200)
    w[80:120] = 0.0  # a block without weight
    expected = InfluenceLogisticRegression().fit(X, y, w)
    model = InfluenceLogisticRegression().fit(as_blocks(X, y, w, block_rows=40))
    np.testing.assert_allclose(model.coef_, expected.coef_, atol=1e-10)
    assert not model.self_influence(method="newton")[80:120].any()
    w[:] = 0.0
    with pytest.raises(ValueError, match="weight"):
        InfluenceLogisticRegression().fit(as_blocks(X, y, w, block_rows=40))


def test_a_label_first_seen_in_the_last_block(monkeypatch):
    monkeypatch.setattr(fitting, "MOST_ROWS", 20)
    X, y = problem(n=300, p=3, n_classes=2)
    y[-2:] = 2
    for w in (None, np.r_[np.ones(298), 0.0, 1.0]):
        expected = InfluenceLogisticRegression().fit(X, y, w)
        model = InfluenceLogisticRegression().fit(as_blocks(X, y, w, block_rows=100))
        np.testing.assert_array_equal(model.classes_, [0, 1, 2])
        np.testing.assert_allclose(model.coef_, expected.coef_, atol=1e-9)


def test_words_in_a_dictionary_are_labels_and_no_features(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    X, y = problem(n=100, p=2)
    words = arrow.array(np.array(["no", "yes"])[y]).dictionary_encode()
    table = arrow.table({"a": X[:, 0], "b": X[:, 1], "label": words})
    parquet.write_table(table, tmp_path / "t.parquet", 30)
    model = InfluenceLogisticRegression().fit(as_blocks(tmp_path / "t.parquet", "label"))
    np.testing.assert_array_equal(model.classes_, ["no", "yes"])
    np.testing.assert_array_equal(model.feature_names_in_, ["a", "b"])
    with pytest.raises(TypeError, match=r"column 'label' holds .* not numbers: encode it before"):
        as_blocks(tmp_path / "t.parquet", y)
    assert as_blocks(tmp_path, "label").n_rows == 100


# -- what is wrong with a source -------------------------------------------------------------------


def test_a_value_that_is_not_finite_is_named_with_its_block_and_row():
    X, y = problem(n=200, p=3)
    X[177, 1] = np.nan
    named = re.escape("in block 17, row 7 of it, which is row 177 of all, column 1")
    for rows in (X, sp.csr_array(X), X.astype(np.float32)):
        with pytest.raises(ValueError, match=f"X contains NaN or infinity: {named}"):
            InfluenceLogisticRegression().fit(as_blocks(rows, y, block_rows=10))
    X[177, 1] = 0.0
    labels, w = y.astype(float), np.ones(200)
    labels[177] = w[177] = np.nan
    for arguments in ((labels, None), (y, w)):
        with pytest.raises(ValueError, match=r"contains NaN: in block 17, row 7 of it"):
            InfluenceRidge().fit(as_blocks(X, *arguments, block_rows=10))
    missing = np.array(["a", "b"], dtype=object)[y]
    missing[5] = None
    with pytest.raises(ValueError, match=r"y contains NaN: in block 0, row 5"):
        InfluenceLogisticRegression().fit(as_blocks(X, missing))


def test_what_is_no_source():
    X, y = problem(n=30, p=3)
    with pytest.raises(TypeError, match="read once only: give a source that can be read again"):
        as_blocks(part for part in [X])
    with pytest.raises(TypeError, match="float16: its three digits are too few"):
        as_blocks(X.astype(np.float16))
    with pytest.raises(TypeError, match="block 0 of X holds <U1 values"):
        as_blocks(np.full((4, 2), "a"))
    with pytest.raises(TypeError, match="X is float, which as_blocks does not know"):
        as_blocks(1.0)
    with pytest.raises(TypeError, match="X is a list of something else than paths"):
        as_blocks([X])
    with pytest.raises(ValueError, match="two dimensions; it has shape"):
        as_blocks(y)
    with pytest.raises(ValueError, match="has no rows"):
        as_blocks(X[:0])
    with pytest.raises(ValueError, match="y has 29 rows, X has 30"):
        as_blocks(X, y[1:])
    for size in (0, True, 2.5, "large"):
        with pytest.raises(ValueError, match="block_rows should be a positive integer or 'auto'"):
            as_blocks(X, block_rows=size)
    with pytest.raises(ValueError, match="'label' is no column of X, which has no names"):
        as_blocks(X, "label")
    with pytest.raises(ValueError, match="fit needs labels"):
        InfluenceRidge().fit(as_blocks(X))
    with pytest.raises(TypeError, match=r"read\(0\) should return an array X_i"):
        as_blocks(lambda i: "rows")
    with pytest.raises(ValueError, match="block 1 of X has 2 columns, the blocks before have 3"):
        InfluenceRidge().fit(as_blocks(Pieces((X, y), (X[:, :2], y))))
    with pytest.raises(TypeError, match="block 1 of X is float64, and the blocks before are float"):
        InfluenceRidge().fit(as_blocks(Pieces((X.astype(np.float32), y), (X, y))))
    with pytest.raises(ValueError, match="Negative values"):
        InfluenceRidge().fit(as_blocks(X, y, -np.ones(30)))
    frame = pytest.importorskip("polars").DataFrame(X)
    with pytest.raises(ValueError, match="y='label' is no column of the source; it has column_0"):
        as_blocks(frame.lazy(), "label")


def test_files_that_are_not_there_or_of_another_kind(tmp_path):
    (tmp_path / "a.csv").write_text("1,2")
    (tmp_path / "b.npy").write_bytes(b"1,2")
    with pytest.raises(FileNotFoundError, match=r"c\.npy is not there"):
        as_blocks(tmp_path / "c.npy")
    with pytest.raises(ValueError, match=r"should be a \.npy or \.parquet file"):
        as_blocks(tmp_path / "a.csv")
    with pytest.raises(ValueError, match=r"b\.npy is no \.npy file of numbers"):
        as_blocks(tmp_path / "b.npy")


def test_a_source_that_changes_its_mind():
    X, y = problem(n=30, p=3)
    blocks = [(X[:10], y[:10]), (X[10:], y[10:])]
    source = as_blocks(lambda i: blocks[i])  # an IndexError is an end, too
    blocks[1] = (X[10:20], y[10:20])
    with pytest.raises(RuntimeError, match=r"read\(1\) has returned 10 rows, and 20 before"):
        InfluenceLogisticRegression().fit(source)


def test_a_file_that_is_changed_or_moved_under_the_model(tmp_path):
    X, y = problem(n=100, p=3)
    path, labels = of_npy(X, y, tmp_path)
    model = InfluenceLogisticRegression().fit(as_blocks(path, labels))
    stored = pickle.dumps(model)
    assert len(stored) < X.nbytes + y.nbytes + 3000
    expected = model.self_influence(method="newton")
    again = pickle.loads(stored)
    np.testing.assert_array_equal(again.self_influence(method="newton"), expected)
    X[50, 1] += 1.0
    np.save(tmp_path / "other.npy", X)
    (tmp_path / "X.npy").replace(tmp_path / "old.npy")
    for asked in (model, pickle.loads(stored)):
        with pytest.raises(FileNotFoundError, match=r"X\.npy is not there: the rows are read from"):
            asked.self_influence(method="newton")
        np.testing.assert_array_equal(asked.predict(X), again.predict(X))
    (tmp_path / "other.npy").replace(tmp_path / "X.npy")
    for asked in (model, pickle.loads(stored)):
        with pytest.raises(RuntimeError, match=r"X\.npy has changed since as_blocks was called"):
            asked.self_influence(method="newton")


def test_an_array_that_is_changed_under_the_model():
    X, y = problem(n=100, p=3)
    model = InfluenceLogisticRegression().fit(as_blocks(X, y, block_rows=30))
    X[70, 1] += 1.0
    with pytest.raises(RuntimeError, match="the training data have changed since the fit"):
        model.self_influence()


def test_what_cannot_be_read_in_blocks_says_so():
    X, y = problem(n=100, p=3)
    blocks = as_blocks(X, y)
    cases = [
        (InfluenceLasso(), "InfluenceLasso does not read rows in blocks: which coefficients"),
        (InfluenceHuberRegressor(), "InfluenceHuberRegressor does not read rows in blocks"),
        (SmoothQuantileRegressor(), "it needs all rows at once"),
        (InfluenceKernelRidge(), "it needs all rows at once.*Nystroem"),
        (SmoothHingeSVC(), "it needs all rows at once.*Nystroem"),
        (SmoothEpsilonSVR(), "it needs all rows at once.*Nystroem"),
        (KernelLogisticRegression(), "it needs all rows at once.*Nystroem"),
        (InfluenceExplainer(LogisticRegression()), "it needs all rows at once"),
    ]
    for model, sentence in cases:
        with pytest.raises(NotImplementedError, match=sentence):
            model.fit(blocks, y)
        with pytest.raises(NotImplementedError, match=sentence):
            model.fit(blocks)
    sparse = InfluenceLogisticRegression(solver="saga").set_params(l1_ratio=0.5)
    if sparse.get_params().get("penalty") == "l2":  # scikit-learn up to 1.7
        sparse.set_params(penalty="elasticnet")
    with pytest.raises(NotImplementedError, match="L1 penalty does not read rows in blocks"):
        sparse.fit(blocks)


@pytest.mark.parametrize("name", models())
def test_part_by_part_as_all_rows_at_once(name, monkeypatch):
    monkeypatch.setattr("skinfluence.problem._by_parts.PART_VALUES", 1)
    monkeypatch.setattr("skinfluence.problem._by_parts.FEWEST_ROWS", 23)
    model, X, y = models()[name]
    w = weights(3, 200, zeros=5)
    one = type(model)(**model.get_params()).fit(X, y, w)
    for method in ("first_order", "newton"):
        expected = one.self_influence(method=method)
        with monkeypatch.context() as patch:
            patch.setattr("skinfluence.problem._by_parts.MANY_ROWS", 1)
            found = one.self_influence(method=method)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-14)


def test_the_last_row_of_a_class_is_found_in_all_parts(monkeypatch):
    X, y = problem(n=100, p=3)
    y = np.zeros(100, dtype=int)
    y[[3, 70]] = 1
    monkeypatch.setattr("skinfluence.problem._by_parts.PART_VALUES", 1)
    monkeypatch.setattr("skinfluence.problem._by_parts.FEWEST_ROWS", 40)
    model = InfluenceLogisticRegression().fit(as_blocks(X, y, block_rows=30))
    assert np.isfinite(model.self_influence(method="newton")).all()
    y[3] = 0
    model = InfluenceLogisticRegression().fit(as_blocks(X, y, block_rows=30))
    with pytest.warns(RuntimeWarning, match="without row 70 a class is empty"):
        values = model.self_influence(method="newton")
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(values)), [70])


MEMORY = """
import resource
import sys
from pathlib import Path

import numpy as np

from benchmarks.blocks import make
from skinfluence import InfluenceLogisticRegression
from skinfluence.blocks import as_blocks

folder, n = Path(sys.argv[1]), 2_000_000
InfluenceLogisticRegression().fit(np.eye(4), [0, 1, 0, 1]).self_influence(method="newton")
X, y = make(folder, n, 50)  # 400 MB
status = Path("/proc/self/status").read_text()
now = 1024 * int(status.partition("VmData:")[2].split()[0])
limit = now + 300_000_000 + 8 * n
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
model = InfluenceLogisticRegression().fit(as_blocks(X, y))
values = model.self_influence(method="newton")
assert np.isfinite(values).all()
try:
    np.ones(2 * limit // 8)
except MemoryError:
    print("held")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_memory_beside_the_answer_is_that_of_a_few_vectors(tmp_path):
    # 300 MB beside the answer, for 2 * 10^6 rows of 400 MB in a file.
    command = [sys.executable, "-c", MEMORY, str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.stdout == "held\n", run.stderr


class Counted(Pieces):
    """A source that counts how often a block is read."""

    def __call__(self, i):
        self.n_read = getattr(self, "n_read", 0) + (i < len(self.blocks))
        return super().__call__(i)


@pytest.mark.parametrize("model", [InfluenceLogisticRegression(), InfluenceRidge()])
def test_a_fit_is_a_few_passes(model, monkeypatch):
    monkeypatch.setattr(fitting, "MOST_ROWS", 1000)
    X, y = problem(n=4000, p=5)
    source = Counted(*zip(cut(X, [1000, 2000, 3000]), cut(y, [1000, 2000, 3000]), strict=True))
    blocks = as_blocks(source)
    assert source.n_read == 4 + 1  # to count the rows, and to see their type
    source.n_read = 0
    fitted = type(model)().fit(blocks)
    n_passes = int(np.max(fitted.n_iter_)) + 1
    assert n_passes == 2 if isinstance(model, InfluenceRidge) else n_passes <= 5
    # Labels, an origin and a sample to start from are a pass each where rows come in blocks.
    assert source.n_read <= 4 * (n_passes + 3) + 2  # the fingerprint reads the ends
    source.n_read = 0
    fitted.self_influence(method="newton")
    assert source.n_read <= 4 + 2  # the fingerprint reads the ends
