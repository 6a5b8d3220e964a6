"""Data that are not in memory are refused in a sentence, before anything of them is read."""

import inspect
import re

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skinfluence
from skinfluence import InfluenceExplainer, InfluenceLogisticRegression, InfluenceRidge
from skinfluence._sources import check_in_memory
from skinfluence.base import InfluenceMixin
from skinfluence.kernel_models import InfluenceKernelRidge, KernelLogisticRegression
from skinfluence.model_selection import LeaveOneOutSearchCV
from skinfluence.svm import SmoothEpsilonSVR, SmoothHingeSVC
from tests.cases import problem


def stand_in(module, name, **attributes):
    """Object of a class that a package might have, and that nobody may read."""

    def read(self, *_, **__):
        raise AssertionError("it was read")

    reading = dict.fromkeys(["__array__", "__len__", "__getitem__", "__iter__", "shape"], read)
    return type(name, (), {**reading, "__module__": module, **attributes})()


ABSENT = {
    "dask array": (stand_in("dask.array.core", "Array"), "a dask collection", "compute()"),
    "dask frame": (
        stand_in("dask.dataframe.dask_expr._collection", "DataFrame"),
        "a dask collection",
        "compute()",
    ),
    "older dask frame": (
        stand_in("dask_expr._collection", "DataFrame"),
        "a dask collection",
        "compute()",
    ),
    "dask inside": (
        stand_in("xarray.core.dataarray", "DataArray", __dask_graph__=lambda self: {"a": 1}),
        "a dask collection",
        "compute()",
    ),
    "table": (stand_in("pyarrow.lib", "Table"), "pyarrow data", "to_pandas()"),
    "dataset": (
        stand_in("pyarrow._dataset", "Dataset"),
        "a pyarrow Dataset",
        "to_table().to_pandas()",
    ),
    "lazy frame": (
        stand_in("polars.lazyframe.frame", "LazyFrame"),
        "a polars LazyFrame",
        "collect()",
    ),
}


def refuses(name, what):
    """Context of the one sentence about an argument."""
    _, kind, conversion = ABSENT[what]
    sentence = f"{name} is {kind}, which would be read into memory as a whole."
    return pytest.raises(
        TypeError, match=re.escape(sentence) + ".*" + re.escape(f"{name}.{conversion},")
    )


@pytest.fixture(scope="module")
def data():
    return problem(n=40, n_classes=2)


FITS = [
    InfluenceLogisticRegression(),
    InfluenceRidge(),
    InfluenceKernelRidge(),
    KernelLogisticRegression(),
    SmoothHingeSVC(),
    SmoothEpsilonSVR(),
    skinfluence.SmoothQuantileRegressor(),
    skinfluence.InfluenceLasso(),
    InfluenceExplainer(make_pipeline(StandardScaler(), LogisticRegression())),
    LeaveOneOutSearchCV(InfluenceLogisticRegression(), {"C": [1.0]}),
]


@pytest.mark.parametrize("what", ABSENT)
@pytest.mark.parametrize("model", FITS, ids=lambda model: type(model).__name__)
def test_no_fit_reads_them(model, what, data):
    X, y = data
    with refuses("X", what):
        clone(model).fit(ABSENT[what][0], y)
    with refuses("y", what):
        clone(model).fit(X, ABSENT[what][0])
    if model is not FITS[-1]:
        with refuses("sample_weight", what):
            clone(model).fit(X, y, ABSENT[what][0])


def test_no_method_reads_them(data):
    X, y = data
    models = [
        InfluenceLogisticRegression().fit(X, y),
        InfluenceExplainer(make_pipeline(StandardScaler(), LogisticRegression())).fit(X, y),
        InfluenceKernelRidge(alpha=1.0).fit(X, y),
    ]
    asked = set()
    for name, method in inspect.getmembers(InfluenceMixin):
        if name.startswith("_") or not callable(method):
            continue
        parameters = inspect.signature(method).parameters
        if "X_test" not in parameters:
            continue
        needed = {"groups": [[0], [1]], "y_test": y, "X_new": X, "y_new": y}
        needed["sample_weight"] = np.ones(len(y))
        options = {key: value for key, value in needed.items() if key in parameters}
        if "kind" in parameters and "X_new" in parameters:
            options["kind"] = "addition"
        for model in models:
            if not hasattr(model, name):
                continue
            for what in ABSENT:
                with refuses("X_test", what):
                    getattr(model, name)(X_test=ABSENT[what][0], **options)
                if "y_test" in parameters:
                    with refuses("y_test", what):
                        labels = {**options, "y_test": ABSENT[what][0]}
                        getattr(model, name)(X_test=X, **labels)
            asked.add(name)
    assert asked >= {
        "influence",
        "most_influential",
        "score_influence",
        "group_influence",
        "prediction_interval",
    }
    with refuses("X_test", "table"):
        skinfluence.influence(models[0], ABSENT["table"][0], y)


def test_what_is_in_memory_passes():
    frames = pytest.importorskip("polars")
    frame = frames.DataFrame({"a": [1.0, 2.0]})
    eager = stand_in("xarray.core.dataarray", "DataArray", __dask_graph__=lambda self: None)
    check_in_memory(X=np.ones(3), y=None, z=[1, 2], w=frame, v=eager)
    with pytest.raises(TypeError, match=r"X is a polars LazyFrame.*X\.collect\(\)"):
        check_in_memory(y=None, X=frame.lazy())


def test_real_packages_where_they_are_installed(data):
    X, y = data
    dask = pytest.importorskip("dask.array")
    arrow = pytest.importorskip("pyarrow")
    dataset = pytest.importorskip("pyarrow.dataset")
    clf = InfluenceLogisticRegression().fit(X, y)
    table = arrow.table({f"x{j}": X[:, j] for j in range(X.shape[1])})
    for absent, conversion in (
        (dask.from_array(X), r"X_test\.compute\(\)"),
        (table, r"X_test\.to_pandas\(\)"),
        (table.to_batches()[0], r"X_test\.to_pandas\(\)"),
        (dataset.dataset(table), r"X_test\.to_table\(\)\.to_pandas\(\)"),
    ):
        with pytest.raises(TypeError, match=conversion):
            clf.influence(absent, y)
