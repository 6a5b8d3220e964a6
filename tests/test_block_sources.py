"""Files and frames as rows in blocks: which columns they have, and what must not be mixed up."""

import numpy as np
import pytest

from skinfluence import InfluenceExplainer, InfluenceRidge
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
        with pytest.raises(ValueError, match=r"out should be a file of its own; got .*, which the"):
            model.influence(X[:5], Y[:5], method="newton", out=out)
        assert before is None or out.read_bytes() == before
    if labels is None:  # of arrays the rows that remain are a copy
        with pytest.raises(ValueError, match="which the model was fitted on"):
            model.without([0, 1]).influence(X[:5], Y[:5], method="newton", out=at["X"])
    found = model.influence(X[:5], Y[:5], method="newton", out=tmp_path / "found.npy")
    again = model.influence(X[:5], Y[:5], method="newton", out=tmp_path / "found.npy")
    np.testing.assert_array_equal(found, again)


def test_a_file_of_influences_is_not_that_of_the_test_rows(tmp_path):
    at = saved(tmp_path, X=X, y=Y + 0.0)
    model = InfluenceExplainer(InfluenceRidge()).fit(X, Y)
    test = np.load(at["X"], mmap_mode="r")[:5], np.load(at["y"], mmap_mode="r")[:5]
    for name in ("X", "y"):
        with pytest.raises(ValueError, match="which the test rows are read from"):
            model.influence(*test, method="newton", out=at[name])
