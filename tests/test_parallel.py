"""Threads change nothing, and the BLAS is left as it was found."""

import threading

import numpy as np
import pytest

from skinfluence import InfluenceLogisticRegression, _parallel
from tests.cases import problem


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("method", ["newton", "exact"])
def test_three_threads_give_the_same_numbers(n_classes, method, monkeypatch):
    X, y = problem(n=90, n_classes=n_classes, seed=2)
    clf = InfluenceLogisticRegression().fit(X, y)
    alone = clf.influence(X, y, method=method), clf.loo_estimate(method=method).loss
    monkeypatch.setattr("skinfluence.attribution._read.BLOCK_DELETIONS", 16)
    monkeypatch.setattr("skinfluence.deletion._chord.BLOCK_DELETIONS", 16)
    monkeypatch.setattr(_parallel, "n_threads", lambda: 3)
    seen = set()
    submit = _parallel.ThreadPoolExecutor.submit

    def spied(pool, function, *arguments):
        def run(*given):
            seen.add(threading.get_ident())
            return function(*given)

        return submit(pool, run, *arguments)

    monkeypatch.setattr(_parallel.ThreadPoolExecutor, "submit", spied)
    together = clf.influence(X, y, method=method), clf.loo_estimate(method=method).loss
    assert seen
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)


def test_maps_in_order_with_one_blas_thread_and_gives_them_back(monkeypatch):
    before = _parallel.n_threads()
    monkeypatch.setattr(_parallel, "n_threads", lambda: 2)
    inside = []

    def square(k):
        inside.append([library.num_threads for library in _parallel._blas().lib_controllers])
        return k * k

    assert list(_parallel.map_ordered(square, range(20))) == [k * k for k in range(20)]
    assert all(set(counts) <= {1} for counts in inside)

    def fail(k):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        list(_parallel.map_ordered(fail, range(4)))
    monkeypatch.undo()
    assert _parallel.n_threads() == before
    with _parallel.blas_for(1.0):
        assert _parallel.n_threads() == 1
    with _parallel.blas_for(1e12):
        assert _parallel.n_threads() == before
    assert _parallel.n_threads() == before
