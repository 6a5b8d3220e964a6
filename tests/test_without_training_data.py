"""Copies that predict and carry no training rows; what pages say of pickles."""

import copy
import pickle
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone, is_classifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import skinfluence
from skinfluence import (
    InfluenceExplainer,
    InfluenceLogisticRegression,
    InfluenceRidge,
    InfluenceRidgeClassifier,
    explain,
)
from skinfluence.base import InfluenceMixin
from skinfluence.kernel_models import InfluenceKernelRidge, KernelLogisticRegression
from skinfluence.svm import SmoothEpsilonSVR, SmoothHingeSVC
from tests.cases import REGRESSORS, problem, responses, weights
from tests.public_names import public_names

ROOT = Path(skinfluence.__file__).parents[1]
LINEAR = [
    InfluenceLogisticRegression(),
    InfluenceRidgeClassifier(),
    SmoothHingeSVC(temperature=0.2),
    InfluenceExplainer(LogisticRegression()),
    *(model for name, (model, *_) in REGRESSORS.items() if "kernel" not in name),
]
KERNEL = [
    KernelLogisticRegression(kernel="rbf"),
    InfluenceKernelRidge(kernel="rbf"),
    SmoothHingeSVC(kernel="rbf"),
    SmoothEpsilonSVR(kernel="poly", temperature=0.3),
    InfluenceExplainer(SVC()),
    InfluenceExplainer(SVC(kernel="linear")),
]


def fitted(model, seed=0):
    """(model, X, y, w) with rows that have names."""
    if is_classifier(model):
        X, y = problem(seed=seed)
    else:
        X, y = responses(seed=seed, counts=True)
        y = y + 0.5
    w = weights(seed, len(y))
    X = pd.DataFrame(X, index=[f"patient {i}" for i in range(len(y))], columns=list("abcd"))
    return clone(model).fit(X, y, w), X, y, w


def carries(model, X, w):
    """Whether a pickle has a row of X, its column, the weights or a name of a row."""
    text = pickle.dumps(model)
    values = np.ascontiguousarray(X)
    parts = [values[7].tobytes(), np.asfortranarray(values)[:, 1].tobytes(), w.tobytes()]
    return any(part in text for part in [*parts, b"patient 7"])


@pytest.mark.parametrize("model", LINEAR, ids=str)
def test_a_copy_predicts_and_carries_no_rows(model):
    full, X, y, w = fitted(model)
    full.influence(X[:2], y[:2])  # a warm cache is not copied either
    assert carries(full, X, w)
    small = full.without_training_data()
    assert not carries(small, X, w)
    assert carries(full, X, w)
    np.testing.assert_array_equal(small.predict(X), full.predict(X))
    again = pickle.loads(pickle.dumps(small))
    np.testing.assert_array_equal(again.predict(X), full.predict(X))
    for ask in (
        small.loo_estimate,
        small.self_influence,
        small.curvature,
        lambda: small.influence(X, y),
        lambda: explain(small).influence(X, y),
    ):
        with pytest.raises(NotImplementedError, match=r"copy made by without_training_data\(\)"):
            ask()
    np.testing.assert_allclose(full.influence(X[:2], y[:2]), full.influence(X[:2], y[:2]))
    attached = InfluenceExplainer(FrozenEstimator(getattr(small, "estimator_", small)))
    attached.fit(X, y, w)
    expected = full.influence(X[:3], y[:3], method="exact")
    found = attached.influence(X[:3], y[:3], method="exact")
    np.testing.assert_allclose(found, expected, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("model", KERNEL, ids=str)
def test_kernel_machines_have_no_such_copy(model):
    full, X, y, _ = fitted(model)
    with pytest.raises(NotImplementedError, match="predicts from its training rows"):
        full.without_training_data()
    assert np.isfinite(full.influence(X[:2], y[:2], method="exact")).all()


def test_pipelines_searches_and_sparse_rows():
    X, y = problem()
    w = weights(0, len(y))
    pipe = make_pipeline(StandardScaler(), InfluenceLogisticRegression())
    grid = {"influencelogisticregression__C": [0.1, 1.0]}
    for model in (pipe, GridSearchCV(pipe, grid, cv=3)):
        view = explain(model.fit(X, y))
        small = view.without_training_data()
        scaled = StandardScaler().fit(X).transform(X)
        assert not carries(small, scaled, w)
        assert not carries(small, X, w)
        np.testing.assert_array_equal(small.predict_proba(X), model.predict_proba(X))
        with pytest.raises(NotImplementedError, match="without_training_data"):
            small.influence(X, y)
    rows = sp.csr_array(np.where(np.abs(X) > 0.3, X, 0.0))
    small = InfluenceRidge().fit(rows, y).without_training_data()
    assert rows.data.tobytes() not in pickle.dumps(small)
    assert len(pickle.dumps(small)) < 3000
    unfitted = InfluenceRidge()
    with pytest.raises(ValueError, match="not fitted"):
        unfitted.without_training_data()


def test_an_ordinary_deep_copy_keeps_the_rows():
    full, X, y, w = fitted(InfluenceLogisticRegression())
    twin = copy.deepcopy(full)
    assert carries(twin, X, w)
    np.testing.assert_array_equal(twin.influence(X[:2], y[:2]), full.influence(X[:2], y[:2]))


def test_every_page_says_what_a_pickle_carries():
    table = (ROOT / "SECURITY.md").read_text()
    assert "without_training_data" in table
    found = 0
    for name in public_names():
        module, _, own = name.rpartition(".")
        thing = getattr(import_module(".".join(filter(None, ["skinfluence", module]))), own)
        if not (isinstance(thing, type) and issubclass(thing, InfluenceMixin)):
            continue
        found += 1
        assert "ickle" in thing.__doc__, f"{name} does not say what its pickles contain"
        assert f"`{own}`" in table, f"SECURITY.md does not name {own}"
    assert found > 12
