"""LeaveOneOutSearchCV with several scorers and several workers."""

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import make_scorer, precision_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skinfluence.model_selection import LeaveOneOutSearchCV
from tests.cases import problem

X, y = problem(3, n=60, p=3)
PIPE = make_pipeline(StandardScaler(), LogisticRegression())
GRID = [
    {"logisticregression__C": [0.01, 0.1, 1.0, 10.0]},
    {"logisticregression__C": [1.0, 0.5], "standardscaler__with_mean": [False]},
]


def search(**params):
    return LeaveOneOutSearchCV(PIPE, GRID, method="newton", **params).fit(X, y)


def test_several_scorers_are_each_alone():
    precision = make_scorer(precision_score, zero_division=0)
    scoring = {"auc": "roc_auc", "loss": "neg_log_loss", "precision": precision}
    found = search(scoring=scoring, refit="loss")
    assert found.multimetric_
    for name, scorer in scoring.items():
        alone = search(scoring=scorer)
        for key in ("mean_test_", "standard_error_test_", "rank_test_"):
            one, other = found.cv_results_[key + name], alone.cv_results_[f"{key}score"]
            np.testing.assert_allclose(one, other, atol=1e-9)
    alone = search(scoring="neg_log_loss")
    assert found.best_params_ == alone.best_params_
    assert found.best_score_ == pytest.approx(alone.best_score_)
    assert found.one_standard_error_index_ == alone.one_standard_error_index_
    assert found.score(X, y) == pytest.approx(alone.score(X, y))
    assert set(found.scorer_) == set(scoring)
    assert "mean_test_score" not in found.cv_results_
    named = search(scoring=["accuracy", "neg_log_loss"], refit="accuracy")
    assert list(named.cv_results_)[-2:] == ["effective_parameters", "n_undefined"]
    assert named.best_params_ == search().best_params_


def test_several_scorers_without_a_choice():
    found = search(scoring=["accuracy", "roc_auc"], refit=False)
    assert not hasattr(found, "best_params_")
    assert found.cv_results_["mean_test_roc_auc"].shape == (6,)
    chosen = search(scoring=["accuracy", "roc_auc"], refit=lambda results: 3)
    assert chosen.best_index_ == 3
    assert chosen.best_estimator_[-1].C == 10.0
    for scoring, refit, match in (
        (["accuracy", "roc_auc"], True, "with several scorers refit should name the one that cho"),
        (["accuracy", "roc_auc"], "f1", "one of 'accuracy', 'roc_auc'"),
        (["accuracy", "accuracy"], "accuracy", "a list of different names"),
        ([], True, "scoring should be None"),
        ({"a": 1}, "a", "scoring should be None"),
    ):
        with pytest.raises(ValueError, match=match):
            search(scoring=scoring, refit=refit)


@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_workers_find_what_one_finds(backend):
    alone = search(scoring=["neg_log_loss", "accuracy"], refit="neg_log_loss")
    seen = []
    with joblib.parallel_config(backend, n_jobs=2):
        found = search(
            scoring=["neg_log_loss", "accuracy"],
            refit="neg_log_loss",
            progress=lambda blocks, total: seen.append(total) or blocks,
        )
    assert seen == [6]
    assert found.best_params_ == alone.best_params_
    for name in ("mean_test_neg_log_loss", "standard_error_test_accuracy", "effective_parameters"):
        np.testing.assert_allclose(found.cv_results_[name], alone.cv_results_[name], atol=1e-8)


def test_n_jobs_is_checked():
    for n_jobs, error in ((0, ValueError), (1.5, TypeError), (True, TypeError)):
        with pytest.raises(error, match="n_jobs should be"):
            search(n_jobs=n_jobs)
    assert search(n_jobs=2).best_params_ == search().best_params_
