"""Threads change nothing, and the BLAS is left as it was found."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from skinfluence import InfluenceLogisticRegression, _parallel
from skinfluence.kernel_models import KernelLogisticRegression
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


@pytest.fixture
def two_blas_threads():
    before = _parallel.n_threads()
    with threadpool_limits(2, user_api="blas"):
        if _parallel.n_threads() != 2:
            pytest.skip("this BLAS does not take two threads")
    # Outside of the context: it would hold on to threadpoolctl from this thread.
    threadpool_limits(2, user_api="blas")
    with threadpool_limits(None):  # and leaving one lets go of it
        pass
    yield
    threadpool_limits(before, user_api="blas")
    with threadpool_limits(None):
        pass


@pytest.mark.parametrize("first_out", [0, 1])
def test_the_last_of_two_who_overlap_gives_the_threads_back(first_out, two_blas_threads):
    moments = [threading.Event() for _ in range(4)]
    seen = []

    def stay(enter, entered, leave, left):
        enter.wait(5)
        with _parallel.one_thread():
            seen.append(_parallel.n_threads())
            entered.set()
            leave.wait(5)
            seen.append(_parallel.n_threads())
        seen.append(_parallel.n_threads())
        left.set()

    start, both, one_left, all_left = moments
    start.set()
    entered = threading.Event()
    leave = [both, one_left] if first_out == 0 else [one_left, both]
    left = [one_left, all_left] if first_out == 0 else [all_left, one_left]
    threads = [
        threading.Thread(target=stay, args=(start, entered, leave[0], left[0])),
        threading.Thread(target=stay, args=(entered, both, leave[1], left[1])),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Both enter, both stay on one thread, the first to leave changes nothing, the last does.
    assert seen == [1, 1, 1, 1, 1, 2]
    assert _parallel.n_threads() == 2
    with _parallel.one_thread(), _parallel.one_thread():
        assert _parallel.n_threads() == 1
    assert _parallel.n_threads() == 2


def test_libraries_with_a_number_for_each_thread_get_one_in_each(monkeypatch):
    class Library:
        filepath, threading_layer = "", "openmp"
        numbers = threading.local()

        @property
        def num_threads(self):
            return vars(self.numbers).get("n", 4)

    class Libraries:
        lib_controllers = (Library(),)

        def select(self, filepath):
            chosen = Libraries()
            chosen.lib_controllers = [x for x in self.lib_controllers if x.filepath in filepath]
            return chosen

        def limit(self, limits):
            return Limit(limits)

    class Limit:
        def __init__(self, limits):
            self.before = Library().num_threads
            if limits is not None:
                Library.numbers.n = limits

        def __enter__(self):
            return self

        def __exit__(self, *raised):
            Library.numbers.n = self.before

    monkeypatch.setattr(_parallel, "_blas", Libraries)
    monkeypatch.setattr(_parallel, "_blas_of", _parallel._blas_of.__wrapped__)

    def inside(_):
        return _parallel.n_threads()

    assert _parallel.n_threads() == 4
    assert set(_parallel.map_ordered(inside, range(40))) == {1}
    assert _parallel.n_threads() == 4
    with ThreadPoolExecutor(2) as pool, _parallel.one_thread():
        assert _parallel.n_threads() == 1
        assert pool.submit(_parallel.n_threads).result() == 4
    assert _parallel.n_threads() == 4


@pytest.mark.parametrize("estimator", [InfluenceLogisticRegression, KernelLogisticRegression])
def test_two_threads_that_ask_one_model_get_the_answers_of_one(estimator, two_blas_threads):
    X, y = problem(n=50, n_classes=3, seed=4)
    questions = [
        lambda model: model.influence(X, y),
        lambda model: model.influence(X, y, method="exact"),
        lambda model: model.self_influence(method="first_order"),
        lambda model: model.loo_estimate().loss,
        lambda model: model.score_influence(X, y),
        lambda model: model.parameter_influence().coef,
    ]
    model = estimator().fit(X, y)
    alone = [ask(model) for ask in questions]
    for _ in range(3):
        model = estimator().fit(X, y)  # nothing is cached when the threads begin
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(ask, model) for ask in [*questions, *reversed(questions)]]
            together = [future.result() for future in asked]
        for one, other in zip([*alone, *reversed(alone)], together, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
        assert _parallel.n_threads() == 2
