"""What a changed sign, bound or index of the core would break and no other test would see."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.svm import SVC

from skinfluence import InfluenceLasso, InfluenceLogisticRegression
from skinfluence.curvature import DenseCurvature, make_curvature
from skinfluence.deletion import NewtonError, OneStep, needs_curvature, one_step_errors
from skinfluence.deletion._change_rows import _longest
from skinfluence.design import _csr as csr_module
from skinfluence.design import make_design, resolved_gamma
from skinfluence.problem import fitted_problem
from skinfluence.svm import SmoothHingeSVC
from tests.cases import problem, weights


def fitted(**parameters):
    """(objective, curvature) of a small weighted logistic regression."""
    X, y = problem(n=40, p=4)
    clf = InfluenceLogisticRegression(**parameters).fit(X, y, sample_weight=weights(0, 40))
    objective = fitted_problem(clf).objective
    return objective, DenseCurvature(objective)


def test_the_diagonal_of_the_inverse_is_at_most_one_over_the_penalty():
    objective = fitted(C=0.5)[0]
    curvature = make_curvature(objective, "dual")  # that which has no inverse at hand
    H = curvature @ np.eye(objective.n_parameters)
    bound = curvature.inverse_diagonal_bound()
    np.testing.assert_allclose(bound[:-1], 1.0 / objective.hessian_diagonal[:-1], rtol=1e-12)
    assert bound[-1] == pytest.approx(np.linalg.inv(H)[-1, -1], rel=1e-10)
    assert (np.linalg.inv(H).diagonal() <= bound * (1 + 1e-12)).all()


def test_a_first_order_step_is_off_by_its_distance_to_newton_and_what_that_is_off_by():
    objective, curvature = fitted()
    rows = np.arange(objective.n_rows)
    first = OneStep(objective, curvature, rows, corrected=False)
    newton = OneStep(objective, curvature, rows, corrected=True)
    apart = np.abs(newton.own_change() - first.own_change())[:, 0]
    known = NewtonError(newton)
    estimate, bound, changes = one_step_errors(first, "first_order")
    np.testing.assert_allclose(
        estimate, apart + np.fmin(known.estimate(), known.bound()), rtol=1e-9
    )
    np.testing.assert_allclose(bound, apart + known.bound(), rtol=1e-9)
    assert changes is None


@pytest.mark.parametrize("size", [0.1, 1.0, 30.0])
def test_gamma_scale_is_that_of_svc(size):
    X, y = problem(n=30, p=3)
    svc = SVC(gamma="scale").fit(size * X, y)
    assert resolved_gamma("scale", size * X, np.ones(30)) == pytest.approx(svc._gamma, rel=1e-12)
    assert resolved_gamma("scale", np.ones((4, 2)), np.ones(4)) == 1.0


def test_parts_of_sparse_rows_are_their_rows(monkeypatch):
    """Products on two threads take the rows in parts of as many entries."""
    X = sp.random(50, 7, density=0.3, random_state=0, format="csr")
    design, V = make_design(X, True), np.random.default_rng(0).normal(size=(8, 3))
    whole = design @ V
    for rows in (slice(0, 20), slice(20, 31), slice(31, 50)):
        np.testing.assert_array_equal(design._rows(rows).toarray(), X[rows].toarray())
    monkeypatch.setattr(csr_module, "SHARED", 0)
    monkeypatch.setattr(csr_module, "n_threads", lambda: 3)
    parts = design._row_parts(3)
    assert [parts[0].start, parts[-1].stop] == [0, 50]
    assert len(parts) == 3
    np.testing.assert_allclose(design @ V, whole, rtol=1e-12)
    np.testing.assert_allclose(design.transpose_matmul(whole), X_with_ones(X).T @ whole, rtol=1e-12)


def X_with_ones(X):
    """[X, 1], dense."""
    return np.hstack([X.toarray(), np.ones((X.shape[0], 1))])


def test_changes_that_no_step_speaks_for_take_no_refit_from_the_others():
    objective, curvature = fitted()
    rows = np.arange(objective.n_rows)
    newton = OneStep(objective, curvature, rows, corrected=True)
    newton.undefined = rows < 5
    found = NewtonError(newton)
    wanted = np.zeros(0, dtype=int)
    assert set(_longest(found, wanted, 10**6, tells=False)) == set(rows[5:])
    assert len(_longest(found, wanted, 3, tells=False)) == 3


def test_refits_along_the_path_of_a_hinge_need_no_curvature():
    X, y = problem(n=40, p=4)
    objective = fitted_problem(SmoothHingeSVC(loss="hinge").fit(X, y)).objective
    needs = {method: needs_curvature(objective, method, 40) for method in ("exact", "newton")}
    assert needs == {"exact": False, "newton": True}
    assert needs_curvature(fitted()[0], "exact", 40)


@pytest.mark.filterwarnings("ignore:.*undefined:RuntimeWarning")
@pytest.mark.parametrize("curvature", ["dense", "cg"])
def test_a_row_that_alone_spans_a_direction_has_no_step_by_any_curvature(curvature):
    """Two rows settle a slope and an intercept: without one of them there is no curvature."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(2, 1)), 10 * rng.normal(size=2)
    model = InfluenceLasso(alpha=1e-3).fit(X, y, sample_weight=rng.uniform(size=2) + 0.1)
    for method in ("newton", "exact"):
        found = model.parameter_influence(method=method, curvature=curvature)
        expected = model.parameter_influence(method=method)
        np.testing.assert_allclose(found.coef, expected.coef, rtol=1e-8)
