"""Files and frames as rows in blocks: which columns they have, and what must not be mixed up."""

import pickle

import numpy as np
import pandas as pd
import pytest

from skinfluence import InfluenceExplainer, InfluenceLogisticRegression, InfluenceRidge
from skinfluence.blocks import as_blocks
from tests.cases import problem

N = 90
X, Y = problem(n=N, p=3)


def saved(folder, **arrays):
    """Paths of arrays in .npy files, by their names."""
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)
    return {name: folder / f"{name}.npy" for name in arrays}


# -- several files ---------------------------------------------------------------------------------


def test_files_of_rows_and_of_labels_go_pair_by_pair(tmp_path):
    at = saved(tmp_path, a=X[:30], b=X[30:], ya=Y[:30], yb=Y[30:])
    rows, labels = [at["a"], at["b"]], [at["ya"], at["yb"]]
    np.testing.assert_array_equal(as_blocks(rows, labels, labels).labels(), [Y, Y])
    for arguments, name in (((labels[::-1],), "y"), ((Y, labels[::-1]), "sample_weight")):
        message = rf"{name}\[0\] \(\S*yb.npy\) has 60 rows, X\[0\] \(\S*a.npy\) has 30"
        with pytest.raises(ValueError, match=message):
            as_blocks(rows, *arguments)


def test_other_numbers_of_files_agree_in_their_total(tmp_path):
    at = saved(tmp_path, a=X[:30], b=X[30:], ya=Y[:10], yb=Y[10:30], yc=Y[30:], y=Y)
    rows = [at["a"], at["b"]]
    expected = as_blocks(X, Y).labels()[0]
    for labels in ([at["ya"], at["yb"], at["yc"]], [at["y"]], at["y"]):
        np.testing.assert_array_equal(as_blocks(rows, labels).labels()[0], expected)
    np.testing.assert_array_equal(
        as_blocks(np.load(at["a"]), [at["ya"], at["yb"]]).labels()[0], expected[:30]
    )
    with pytest.raises(ValueError, match="y has 110 rows, X has 90"):
        as_blocks(rows, [at["y"], at["ya"], at["ya"]])


# -- a file of results -----------------------------------------------------------------------------


def of_one_file(at):
    return as_blocks(at["X"], at["y"], at["w"]), None


def of_files(at):
    return as_blocks([at["X"], at["more"]], [at["y"], at["y2"]], [at["w"], at["w2"]]), None


def of_sent_through(at):
    return of_files(at)[0].transformed(np.negative), None


def of_arrays_in_files(at):
    return np.load(at["X"], mmap_mode="r"), np.load(at["y"], mmap_mode="r")


@pytest.mark.parametrize("source", [of_one_file, of_files, of_sent_through, of_arrays_in_files])
def test_a_file_of_influences_is_none_of_those_that_the_rows_are_read_from(source, tmp_path):
    weights = np.ones(N)
    at = saved(tmp_path, X=X, y=Y + 0.0, w=weights, more=X, y2=Y + 0.0, w2=weights)
    rows, labels = source(at)
    model = InfluenceRidge().fit(rows, labels)
    names = {"X", "y"} if labels is not None else {"X", "y", "w"}
    names |= {"more", "y2", "w2"} if source in (of_files, of_sent_through) else set()
    (tmp_path / "link.npy").symlink_to(at["X"])
    for out in (*(at[name] for name in names), str(at["X"]), tmp_path / "link.npy"):
        before = out.read_bytes() if hasattr(out, "read_bytes") else None
        with pytest.raises(
            ValueError, match=r"out should be a file of its own; got .*, one that the"
        ):
            model.influence(X[:5], Y[:5], method="newton", out=out)
        assert before is None or out.read_bytes() == before
    if labels is None:  # of arrays the rows that remain are a copy
        with pytest.raises(ValueError, match="one that the model was fitted on"):
            model.without([0, 1]).influence(X[:5], Y[:5], method="newton", out=at["X"])
    found = model.influence(X[:5], Y[:5], method="newton", out=tmp_path / "found.npy")
    again = model.influence(X[:5], Y[:5], method="newton", out=tmp_path / "found.npy")
    np.testing.assert_array_equal(found, again)


def test_a_file_of_influences_is_not_that_of_the_test_rows(tmp_path):
    at = saved(tmp_path, X=X, y=Y + 0.0)
    model = InfluenceExplainer(InfluenceRidge()).fit(X, Y)
    test = np.load(at["X"], mmap_mode="r")[:5], np.load(at["y"], mmap_mode="r")[:5]
    for name in ("X", "y"):
        with pytest.raises(ValueError, match="one of the test rows, which would be over"):
            model.influence(*test, method="newton", out=at[name])


# -- columns of tables -----------------------------------------------------------------------------


def table(**more):
    """A data frame of the rows and the labels whose index is as a split leaves it."""
    frame = pd.DataFrame(X, columns=list("abc")).assign(**more, label=Y)
    return frame.sample(frac=1.0, random_state=0)


INDICES = {
    "without a name": lambda frame: frame,
    "with a name": lambda frame: frame.rename_axis("customer"),
    "of several levels": lambda frame: frame.set_index(
        pd.MultiIndex.from_arrays([np.arange(N) // 2, np.arange(N) % 2], names=["who", "when"])
    ),
    "of a range": lambda frame: frame.reset_index(drop=True),
}


@pytest.mark.parametrize("index", INDICES)
def test_the_index_in_a_file_of_pandas_is_no_feature(index, tmp_path):
    pytest.importorskip("pyarrow")
    frame = INDICES[index](table())
    frame.to_parquet(tmp_path / "a.parquet", row_group_size=40)
    dataset = pytest.importorskip("pyarrow.dataset").dataset(tmp_path / "a.parquet")
    back = pd.read_parquet(tmp_path / "a.parquet")
    expected = InfluenceLogisticRegression().fit(back[list("abc")], back["label"])
    for source in (tmp_path / "a.parquet", [tmp_path / "a.parquet"], dataset, tmp_path):
        model = InfluenceLogisticRegression().fit(as_blocks(source, "label"))
        np.testing.assert_array_equal(model.feature_names_in_, list("abc"))
        np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-9)


def test_an_index_that_is_asked_for_holds_labels_or_weights(tmp_path):
    pytest.importorskip("pyarrow")
    frame = table().set_index("label")
    frame.to_parquet(tmp_path / "a.parquet")
    blocks = as_blocks(tmp_path / "a.parquet", "label")
    np.testing.assert_array_equal(blocks.labels()[0], frame.index)
    assert blocks.names == list("abc")


def test_a_column_that_looks_like_an_index_is_a_feature_of_another_writer(tmp_path):
    arrow = pytest.importorskip("pyarrow")
    names = ["a", "__index_level_0__", "c"]
    arrow_table = arrow.table(dict(zip(names, X.T, strict=True)))
    pytest.importorskip("pyarrow.parquet").write_table(arrow_table, tmp_path / "a.parquet")
    assert as_blocks(tmp_path / "a.parquet", Y).names == names


def test_the_folders_of_a_hive_are_columns(tmp_path):
    pytest.importorskip("pyarrow")
    frame = table(year=2019 + np.arange(N) % 3, city=np.array(["Bonn", "Rome"])[Y])
    frame.to_parquet(tmp_path / "years", partition_cols=["year"])
    back = pd.read_parquet(tmp_path / "years").astype({"year": int})
    data = pytest.importorskip("pyarrow.dataset")
    for source in (tmp_path / "years", data.dataset(tmp_path / "years", partitioning="hive")):
        with pytest.raises(TypeError, match="column 'city' holds"):
            as_blocks(source, back["label"].to_numpy())
        blocks = as_blocks(source, "city")
        assert blocks.names == [*"abc", "label", "year"]
        np.testing.assert_array_equal(blocks[:], back[blocks.names])
        np.testing.assert_array_equal(blocks.labels()[0], back["city"])
        years = as_blocks(source, "city", "year")
        np.testing.assert_array_equal(years.labels()[1], back["year"])
    frame.drop(columns="year").to_parquet(tmp_path / "cities", partition_cols=["city"])
    with pytest.raises(TypeError, match=r"folders of X have city='Bonn'.* passing the files as"):
        as_blocks(tmp_path / "cities", "label")
    files = sorted((tmp_path / "cities").glob("*/*.parquet"))
    assert as_blocks(files, "label").names == list("abc")
    back = pd.read_parquet(tmp_path / "cities")
    blocks = as_blocks(tmp_path / "cities", "city")
    np.testing.assert_array_equal(blocks.labels()[0], back["city"])
    model = InfluenceLogisticRegression().fit(pickle.loads(pickle.dumps(blocks)))
    np.testing.assert_array_equal(model.classes_, ["Bonn", "Rome"])
    one = next((tmp_path / "cities").glob("*/*.parquet"))
    assert as_blocks(one, "label").names == list("abc")  # as pandas reads it


def test_files_of_a_hive_keep_types_of_their_own(tmp_path):
    """By the first file's types they would be rounded, or refused."""
    pytest.importorskip("pyarrow")
    wide = 16777217.0 + X[:, 0]
    parts = {1: X[:, 0].astype(np.float32), 2: wide, 3: np.arange(N), 4: np.arange(N) + 0.5}
    for year, values in parts.items():
        folder = tmp_path / "years" / f"year={year}"
        folder.mkdir(parents=True)
        pd.DataFrame({"a": values, "label": Y}).to_parquet(folder / "x.parquet")
    blocks = as_blocks(tmp_path / "years", "label")
    assert blocks.names == ["a", "year"]
    expected = np.concatenate([values.astype(np.float64) for values in parts.values()])
    np.testing.assert_array_equal(blocks[:][:, 0], expected)
    np.testing.assert_array_equal(blocks[:][:, 1], np.repeat([1, 2, 3, 4], N))


def test_a_folder_named_as_a_column_of_its_files_is_that_column(tmp_path):
    pytest.importorskip("pyarrow")
    for k in (1, 2):
        (tmp_path / "rows" / f"a={k}").mkdir(parents=True)
        table().to_parquet(tmp_path / "rows" / f"a={k}" / "x.parquet")
    blocks = as_blocks(tmp_path / "rows", "label")
    assert blocks.names == list("abc")
    np.testing.assert_array_equal(blocks[:][:N], table()[list("abc")])


def frames(folder):
    """The same rows in the frames of several packages."""
    frame = table()
    yield frame, frame
    yield frame.astype({"a": "Float64", "label": "Int64"}), frame
    polars = pytest.importorskip("polars")
    yield polars.DataFrame({name: frame[name].to_numpy() for name in frame}), frame


def test_a_frame_in_memory_is_rows_with_the_names_of_its_columns(tmp_path):
    for given, frame in frames(tmp_path):
        X_train, y = frame[list("abc")], frame["label"]
        expected = InfluenceLogisticRegression().fit(X_train, y)
        parts = given[list("abc")]
        for arguments in ((given, "label"), (parts, y), (parts, y.to_numpy())):
            blocks = as_blocks(*arguments, block_rows=40)
            assert blocks.n_blocks == 3
            model = InfluenceLogisticRegression().fit(blocks)
            np.testing.assert_array_equal(model.feature_names_in_, list("abc"))
            np.testing.assert_allclose(model.coef_, expected.coef_, rtol=1e-9)
            found = model.influence(X_train[:4], y[:4], method="newton")
            np.testing.assert_allclose(
                found, expected.influence(X_train[:4], y[:4], method="newton"), rtol=1e-6
            )
            assert blocks.fingerprint() == pickle.loads(pickle.dumps(blocks)).fingerprint()
    unnamed = as_blocks(pd.DataFrame(X, dtype=np.float32), Y)
    assert unnamed.names is None
    assert unnamed.dtype == np.float32
    np.testing.assert_array_equal(unnamed[:], X.astype(np.float32))
    with pytest.raises(ValueError, match=r"X has several columns named 'a'"):
        as_blocks(pd.DataFrame(X, columns=list("aab")), Y)
    with pytest.raises(TypeError, match="column 'c' holds"):
        as_blocks(table(c="x"), "label")


def test_names_of_several_columns_are_no_labels(tmp_path):
    pytest.importorskip("pyarrow")
    table().to_parquet(tmp_path / "a.parquet")
    message = r"y is a list of 2 texts, and X has 90 rows: .* the name of one column"
    for source in (tmp_path / "a.parquet", table(), X):
        for names in (["a", "label"], ("a", "label")):
            with pytest.raises(ValueError, match=message):
                as_blocks(source, names)
    words = np.array(["no", "yes"])[Y].tolist()
    np.testing.assert_array_equal(as_blocks(X, words).labels()[0], words)
    both = np.column_stack([X[:, 0], X[:, 1]])
    assert InfluenceRidge().fit(as_blocks(X, both)).coef_.shape == (2, 3)
