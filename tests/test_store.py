"""Finished blocks in a folder: whole or not there, whatever ends the process and when."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from skinfluence._store import MANIFEST, Store, fingerprint_of, write_whole

TREE = Path(__file__).parents[1]
PARAMETERS = {"alpha": 0.1, "names": ["a", "b"], "limit": np.inf, "n": np.int64(3), "none": None}


def store_in(folder, **changes):
    asked = {"parameters": PARAMETERS, "fingerprint": "abc"} | changes
    return Store(folder, **asked)


def test_what_is_written_is_read_to_the_last_bit(tmp_path):
    store = store_in(tmp_path / "deep" / "store")
    arrays = {
        "values": np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32),
        "odd": np.array([np.nan, -0.0, np.inf, 5e-324]),
        "words": np.array(["a", "bc"]),
        "flag": np.array(True),
        "nothing": np.zeros((0, 3), dtype=np.int8),
    }
    assert not store.finished("block-0")
    store.write("block-0", **arrays)
    again = store_in(store.folder)
    assert again.finished("block-0")
    assert again.names() == ["block-0"]
    found = again.read("block-0")
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()


def test_once_computes_once(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        return {"x": np.arange(3)}

    for _ in range(2):
        np.testing.assert_array_equal(store_in(tmp_path).once("b", compute)["x"], [0, 1, 2])
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("changes", "field", "stored", "asked"),
    [
        ({"fingerprint": "xyz"}, "fingerprint", "'abc'", "'xyz'"),
        ({"parameters": PARAMETERS | {"alpha": 0.2}}, "alpha", "0.1", "0.2"),
        ({"parameters": PARAMETERS | {"more": 1}}, "more", "None", "1"),
        ({"parameters": {"alpha": 0.1}}, "limit", "inf", "None"),
    ],
)
def test_blocks_of_another_computation_are_refused(tmp_path, changes, field, stored, asked):
    store_in(tmp_path).write("b", x=np.zeros(1))
    with pytest.raises(ValueError, match=rf"{field}.* is {stored} there, and {asked} here"):
        store_in(tmp_path, **changes)


def test_blocks_of_another_version_are_refused(tmp_path, monkeypatch):
    store_in(tmp_path)
    monkeypatch.setattr("skinfluence._store.__version__", "99.0")
    with pytest.raises(ValueError, match=r"version is '.+' there, and '99.0' here"):
        store_in(tmp_path)


def test_nan_matches_itself(tmp_path):
    for _ in range(2):
        store_in(tmp_path, parameters={"x": np.nan, "pair": (1, 2)})


def test_folders_of_others_are_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match=r"no store of results.*thesis.txt"):
        store_in(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(ValueError, match="is a file"):
        store_in(tmp_path / "thesis.txt")


def test_wrong_arguments(tmp_path):
    store = store_in(tmp_path)
    with pytest.raises(TypeError, match=r"parameters should be numbers.*object"):
        store_in(tmp_path / "other", parameters={"x": object()})
    for name in ("../b", "", "a b", ".b", 3):
        with pytest.raises(ValueError, match="a block's name"):
            store.write(name, x=np.zeros(1))
    with pytest.raises(TypeError, match="'x' of block 'b' holds Python objects"):
        store.write("b", x=np.array([{}]))
    with pytest.raises(KeyError, match="no finished block 'b'"):
        store.read("b")
    assert store.names() == []


def test_a_damaged_block_is_named(tmp_path):
    store = store_in(tmp_path)
    store.write("b", x=np.arange(1000.0))
    path = tmp_path / "b.npz"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"b.npz is damaged"):
        store.read("b")


def test_a_failed_write_leaves_what_was_there(tmp_path):
    path = tmp_path / "x"
    path.write_text("before")

    def fail(file):
        file.write(b"half")
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        write_whole(path, fail)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_two_writers_of_one_block_do_not_disturb_each_other(tmp_path):
    store, other = store_in(tmp_path), store_in(tmp_path)
    path = tmp_path / "b.npz"

    def write_while_another_does(file):
        np.savez(file, x=np.ones(3))
        other.write("b", x=np.ones(3))

    write_whole(path, write_while_another_does)
    np.testing.assert_array_equal(store.read("b")["x"], np.ones(3))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["b.npz", MANIFEST]


# Children of one process that has imported everything: eleven starts of Python would take a minute.
WORK = """
import os, random, signal, sys, time
import numpy as np
from skinfluence._store import Store

def work(pipe):
    store = Store(sys.argv[1], parameters={"n": 40}, fingerprint="f")
    for i in range(40):
        name = f"block-{i:02d}"
        if not store.finished(name):
            os.write(pipe, b"begun")
            x = np.random.default_rng(i).normal(size=100_000)
            store.write(name, x=x, i=i)

killed, status = 0, 1
while status:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        work(writer)
        os._exit(0)
    os.close(writer)
    if os.read(reader, 5) and killed < 10:
        time.sleep(random.uniform(0.0, 0.01))
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    killed += status == signal.SIGKILL
    os.close(reader)
print(killed)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="signals and forks are POSIX's")
def test_ended_at_any_moment_it_resumes_to_the_same_bits(tmp_path):
    """kill -9 at ten random moments while blocks are written."""
    folder = tmp_path / "store"
    run = [sys.executable, "-c", WORK, str(folder)]
    done = subprocess.run(run, cwd=TREE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 9, "the work was done before it was ended often enough"
    store = Store(folder, parameters={"n": 40}, fingerprint="f")
    assert len(store.names()) == 40
    for i, name in enumerate(store.names()):
        found = store.read(name)
        assert found["x"].tobytes() == np.random.default_rng(i).normal(size=100_000).tobytes()
        assert found["i"] == i


def test_fingerprints_tell_tables_apart():
    X = np.arange(12.0).reshape(4, 3)
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    dirty = sp.csr_array(X)
    dirty.indices, dirty.indptr = dirty.indices.astype(np.int64), dirty.indptr.astype(np.int64)
    others = [
        X.T,
        X.astype(np.float32),
        X.reshape(3, 4),
        np.where(X == 5, 5 + 1e-15, X),
        frame,
        frame.rename(columns={"a": "d"}),
        sp.csr_array(X),
        np.array(["0", "1"]),
        np.array(["01"]),
        np.array(["0", 1], dtype=object),
        np.array(["0", "1"], dtype=object),
        pd.Series(["a", None]),
        np.array(3.0),
        np.zeros((0, 3)),
        None,
    ]
    found = [fingerprint_of(each) for each in [X, *others]]
    assert len(set(found)) == len(found)
    assert fingerprint_of(np.asfortranarray(X)) == fingerprint_of(X) == fingerprint_of(X.tolist())
    assert fingerprint_of(sp.csc_array(X)) == fingerprint_of(dirty)
    assert fingerprint_of(X, None) != fingerprint_of(X) != fingerprint_of(X, X)


def test_fingerprints_hold_in_other_processes():
    code = (
        "import numpy as np; from skinfluence._store import fingerprint_of;"
        "print(fingerprint_of(np.arange(3), np.array(['a', 'b']), np.array(['a', 1], object)))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=TREE, capture_output=True, text=True)
    here = fingerprint_of(np.arange(3), np.array(["a", "b"]), np.array(["a", 1], dtype=object))
    assert run.stdout.strip() == here
