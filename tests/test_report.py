"""InfluenceReport without a browser: what it computes, refuses, and writes safely."""

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest
from sklearn import config_context
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import skinfluence
from skinfluence import (
    InfluenceExplainer,
    InfluenceLogisticRegression,
    InfluenceReport,
    InfluenceRidge,
    explain,
)
from skinfluence.kernel_models import InfluenceKernelRidge
from skinfluence.labels import LabelAudit
from tests.cases import problem

pytest.importorskip("jinja2")

HOSTILE = [
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "a'b\"c`d&amp;<b>",
    "\u202eevil\u202c \u200f",
    "nul\0nul \x1b[31m",
    "x" * 10_000_000,
    "=HYPERLINK(1)",
    "\ud800 lone",
    "\u2028line\u2029",
    "]]><!-- {{ title }} {% raw %}",
]


def contents(report):
    """The data block of a page."""
    text = re.search(
        r'<script type="application/json" id="data">(.*?)</script>', report.to_html(), re.S
    )[1]
    return json.loads(text)


def unpacked(packed):
    """The array that the page unpacks."""
    kind = np.dtype(packed["dtype"]).newbyteorder("<")
    values = np.frombuffer(base64.b64decode(packed["data"]), dtype=kind)
    return values.reshape(packed["shape"]).astype(float) / packed.get("scale", 1.0)


@pytest.fixture(scope="module")
def cancer():
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    X.index = y.index = [f"p{i}" for i in range(len(X))]
    y = y.map({0: "malignant", 1: "benign"})
    pipe = make_pipeline(StandardScaler(), InfluenceLogisticRegression())
    return pipe.fit(X[:300], y[:300]), X, y


@pytest.fixture(scope="module")
def report(cancer):
    pipe, X, y = cancer
    audit = LabelAudit(pipe).fit(X[:300], y[:300])
    groups = {"first": np.arange(40), "last": np.arange(250, 300)}
    return InfluenceReport(pipe, X[300:400], y[300:400], audit=audit, groups=groups)


def test_the_page_says_what_the_methods_say(report, cancer):
    pipe, X, y = cancer
    view, X_test, y_test = explain(pipe), X[300:400], y[300:400].to_numpy()
    page = contents(report)
    assert page["table"]["names"] == list(X_test.index)
    loss = -np.log(pipe.predict_proba(X_test)[np.arange(100), (y_test == "malignant").astype(int)])
    np.testing.assert_allclose(unpacked(page["table"]["loss"]), loss, rtol=1e-5, atol=1e-9)
    order = unpacked(page["table"]["order"]).astype(int)
    wrong = pipe.predict(X_test) != y_test
    assert wrong[order[: wrong.sum()]].all()
    assert (np.diff(loss[order[wrong.sum() :]]) <= 1e-9).all()

    tests = unpacked(page["shown"]["tests"]).astype(int)
    np.testing.assert_array_equal(tests, order)
    top = view.most_influential(X_test.iloc[tests], y_test[tests], k=5)
    positions = unpacked(page["train"]["positions"]).astype(int)
    for side in ("helpful", "harmful"):
        rows = positions[unpacked(page["shown"][side]).astype(int)]
        np.testing.assert_array_equal(rows, getattr(top, f"{side}_indices"))
        values = unpacked(page["shown"][f"{side}_values"])
        np.testing.assert_allclose(values, getattr(top, f"{side}_values"), rtol=5e-4, atol=1e-9)
    s, j = 3, 2
    row, test = top.harmful_indices[s, j], X_test.iloc[tests[[s]]]
    asked = {"target": "predict_proba", "train_indices": [row]}
    before = pipe.predict_proba(test)[0, 1]
    gone = before + view.influence(test, **asked)[0, 0]
    assert unpacked(page["shown"]["without"])[s, 5 + j] == pytest.approx(gone, rel=1e-5)
    other = ["malignant"] if y.iloc[row] == "benign" else ["benign"]
    changed = before + view.relabel_influence(test, labels=other, **asked)[0, 0]
    assert unpacked(page["shown"]["relabelled"])[s, 5 + j] == pytest.approx(changed, rel=1e-3)


def test_the_features_of_a_pair_are_difference_times_gradient(report, cancer):
    pipe, X, y = cancer
    page, view = contents(report), explain(pipe)
    test = int(unpacked(page["shown"]["tests"])[0])
    positions = unpacked(page["train"]["positions"]).astype(int)
    row = positions[int(unpacked(page["shown"]["helpful"])[0, 0])]
    scaled = pipe[:-1].transform(X)
    gradient = view.feature_influence(
        X[300:400].iloc[[test]], y[300:400].iloc[[test]], train_indices=[row]
    )[0, 0]
    effect = gradient * (scaled[300 + test] - scaled[row])
    largest = np.argsort(-np.abs(effect), kind="stable")[:3]
    np.testing.assert_allclose(unpacked(page["shown"]["effect"])[0, 0], effect[largest], rtol=1e-3)
    np.testing.assert_allclose(
        unpacked(page["shown"]["train_value"])[0, 0], scaled[row, largest], rtol=1e-6
    )
    # The effect is that of a small move towards the test row.
    move = np.zeros(30)
    move[largest[0]] = 1e-5 * (scaled[300 + test] - scaled[row])[largest[0]]
    moved = view.feature_influence(
        X[300:400].iloc[[test]],
        y[300:400].iloc[[test]],
        displacement=move,
        train_indices=[row],
        method="exact",
    )[0, 0]
    assert moved / 1e-5 == pytest.approx(effect[largest[0]], rel=1e-2)


def test_groups_and_rows_of_what_if(report, cancer):
    pipe, X, y = cancer
    page, view = contents(report)["what_if"], explain(pipe)
    X_test, y_test = X[300:400], y[300:400]
    largest, smaller = page["groups"]
    assert (largest["name"], smaller["name"]) == ("last", "first")
    groups = [np.arange(250, 300), np.arange(40)]
    change = view.group_influence(groups, X_test, y_test, aggregate="mean")
    np.testing.assert_allclose([largest["loss"], smaller["loss"]], change)
    refit = make_pipeline(StandardScaler(), InfluenceLogisticRegression())
    refit[-1].fit(pipe[:-1].transform(X[:250]), y[:250])
    after = refit[-1].predict(pipe[:-1].transform(X_test))
    assert largest["score"] == pytest.approx(np.mean(after == y_test))
    flipped = np.flatnonzero(after != pipe.predict(X_test))
    assert largest["n_flips"] == len(flipped) >= 1
    assert [name for name, _, _ in largest["flips"]] == list(X_test.index[flipped][:20])

    rows = page["rows"]
    shown = report.data["shown"]
    decision = view.influence(
        X_test.iloc[shown.tests],
        target="decision_function",
        method="newton",
        train_indices=shown.pool,
    )
    size = np.abs(decision).max()
    np.testing.assert_allclose(
        unpacked(rows["decision_change"]), decision, rtol=5e-4, atol=2e-9 * size
    )
    assert rows["error"]["n_picks"] == 20
    assert 0 < rows["error"]["decision"]["relative_rmse"] < 0.6
    assert rows["error"]["n_foreseen"] <= rows["error"]["n_flips"]


def test_suspects_are_those_of_the_audit(report):
    audit, page = report._subject.audit, contents(report)["labels"]
    rows = report.data["labels"]["rows"]
    issues, expected = audit.issues(), int(np.ceil(audit.expected_errors_))
    np.testing.assert_array_equal(rows[: len(issues)], issues[:50])
    assert len(rows) == min(50, max(10, len(issues), expected))
    assert np.isin(rows, audit.ranking_[: len(rows) + len(issues)]).all()
    np.testing.assert_allclose(page["error_probability"], audit.error_probability_[rows])
    np.testing.assert_allclose(page["effect"], audit.effect_of_fixing(rows))
    found = audit.evidence(int(rows[0]), 5)
    np.testing.assert_allclose(page["evidence"][0]["given"]["weights"], found.given_weights)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_without_labels_the_rows_are_those_for_the_predicted_class(n_classes):
    X, y = problem(n=60, n_classes=n_classes, seed=1)
    clf = InfluenceLogisticRegression().fit(X[:40], y[:40])
    report = InfluenceReport(clf, X[40:], None)
    shown = report.data["shown"]
    top = clf.most_influential(X[40:], clf.predict(X[40:]), k=5)
    np.testing.assert_array_equal(shown.behind[shown.helpful], top.helpful_indices)
    assert "loss" not in contents(report)["table"]


@pytest.mark.parametrize(
    "model",
    [
        InfluenceRidge(),
        InfluenceKernelRidge(kernel="rbf", gamma=2.0),
        InfluenceExplainer(LinearRegression()),
    ],
    ids=lambda model: type(model).__name__,
)
def test_regressions_have_cooks_distances_or_none(model):
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    model = model.fit(X[:200], y[:200])
    report = InfluenceReport(model, X[200:260], y[200:260])
    shown, view = report.data["shown"], model
    before = model.predict(X[200:260])
    gone = view.influence(X[200:260], target="prediction", train_indices=shown.behind[:1])
    where = np.argwhere(np.c_[shown.helpful, shown.harmful] == 0)[0]
    expected = (before[:, None] + gone)[shown.tests[where[0]], 0]
    assert report.data["details"]["without"][tuple(where)] == pytest.approx(expected)
    kernel = isinstance(model, InfluenceKernelRidge)
    assert ("cooks" in report.data["diagnostics"]) is not kernel
    if not kernel:
        cooks = model.case_deletion_diagnostics().cooks_distance
        figure = report.data["diagnostics"]["cooks"]
        np.testing.assert_allclose(figure["y"], cooks[figure["rows"]])
    report.to_html()


def test_a_model_without_probabilities_has_decision_values():
    X, y = load_iris(return_X_y=True)
    model = InfluenceExplainer(SVC()).fit(X[::5], y[::5])
    report = InfluenceReport(model, X[1::5], y[1::5])
    assert contents(report)["output"] == "decision_function"
    assert "probability" not in report.data["predictions"]
    assert [score["name"] for score in contents(report)["overview"]["scores"]] == ["accuracy"]


@pytest.mark.parametrize("case", ["float32", "no penalty", "p > n", "bool labels", "weights"])
def test_models_of_every_kind(case):
    X, y = problem(n=60, p=4, seed=6)
    weight, C = None, 1.0
    if case == "float32":
        X = X.astype(np.float32)
        X.flags.writeable = False
    elif case == "no penalty":
        C = np.inf
    elif case == "p > n":
        X = np.hstack([X, np.random.default_rng(0).normal(size=(60, 100))])
    elif case == "bool labels":
        y = y > 0
    else:
        weight = np.r_[np.zeros(3), np.ones(37)]
    clf = InfluenceLogisticRegression(C=C).fit(X[:40], y[:40], sample_weight=weight)
    audit = LabelAudit(InfluenceLogisticRegression(), score="loo_loss").fit(X[:40], y[:40])
    given = np.full(20, y[0])  # one class alone
    page = contents(InfluenceReport(clf, X[40:], given, audit=audit))
    loss = unpacked(page["table"]["loss"])
    score = next(s for s in page["overview"]["scores"] if s["name"] == "neg_log_loss")
    assert score["test"] == pytest.approx(-loss.mean(), rel=1e-5)
    assert len(page["labels"]["rows"]) >= 1


# -- safety ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hostile():
    """A report in which every text is hostile, and its frame."""
    pd = pytest.importorskip("pandas")
    X, _ = problem(n=60, p=len(HOSTILE), seed=2)
    columns = [*HOSTILE[:5], "x" * 5000, *HOSTILE[6:7], "lone", *HOSTILE[8:]]
    frame = pd.DataFrame(X, columns=columns)
    names = [f"{HOSTILE[i % len(HOSTILE)][:2000]}{i}" for i in range(60)]
    names[0] = HOSTILE[5]
    y = (X[:, 0] > 0).astype(int)
    labels = np.array(HOSTILE[:2], dtype=object)[y]
    wrong = np.argsort(-np.abs(X[:40, 0]))[:5]
    labels[wrong] = np.array(HOSTILE[:2], dtype=object)[1 - y[wrong]]
    # As objects: with pyarrow pandas makes texts strings of Arrow, which have no lone surrogates.
    frame.index = pd.Index(names, dtype=object)
    clf = InfluenceLogisticRegression().fit(frame[:40], labels[:40])
    audit = LabelAudit(clf).fit(frame[:40], labels[:40])
    texts = [HOSTILE[i % len(HOSTILE)] for i in range(60)]
    report = InfluenceReport(
        clf,
        frame[40:],
        labels[40:],
        audit=audit,
        texts=(texts[:40], texts[40:]),
        groups={name[:3000]: [row] for row, name in enumerate(HOSTILE)},
        title=HOSTILE[0] + HOSTILE[3] + HOSTILE[4] + HOSTILE[7],
    )
    return report, audit, frame, labels


def test_hostile_texts_stay_texts(hostile, tmp_path):
    report = hostile[0]
    page = report.to_html()
    assert len(page) < 400_000
    assert page.count("<script") == page.count("</script>") == 2
    assert "<img" not in page
    assert "\0" not in page
    path = report.write_html(tmp_path / "page.html")
    assert path.read_text(encoding="utf-8").count("<script") == 2
    assert "&lt;/script&gt;" in page.partition("</head>")[0]
    data = page.partition('id="data">')[2].partition("</script>")[0]
    assert not set("<>&") & set(data)
    assert data.isascii()
    assert json.loads(data)["train"]["texts"][0].startswith("</script>")
    assert "srcdoc" in report._repr_html_()
    assert report._repr_html_().count("<") == 2  # the frame, and nothing of the page in it


def test_the_policy_allows_the_page_its_own_script_and_style_alone(report):
    import hashlib
    import html

    page = report.to_html()
    policy = html.unescape(
        re.search(r'http-equiv="Content-Security-Policy" content="(.*?)"', page)[1]
    )
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    style = re.search(r"<style>(.*?)</style>", page, re.S)[1]
    script = re.findall(r"<script>(.*?)</script>", page, re.S)[-1]
    for name, text in (("style-src", style), ("script-src", script)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[name] == f"'sha256-{digest}'"
    assert set(rules) == {"default-src", "script-src", "style-src", "base-uri", "form-action"}
    addresses = set(re.findall(r"https?://[^\s\"'<>]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg"}  # the name of a namespace
    assert not re.search(r"\son\w+=|innerHTML|insertAdjacentHTML|document\.write|eval\(", page)


# -- decisions that come back ----------------------------------------------------------------------


def exported(audit, rows, **change):
    """Records as the page exports them."""
    texts = audit.row_ids(as_text=True)
    labels = audit.classes_[audit._codes]
    return [
        {
            "row_id": str(texts[row]),
            "given_label": str(labels[row]),
            "decision": decision,
            "label": label,
            "note": "",
            "time": "2026-01-01T00:00:00.000Z",
            "library_version": skinfluence.__version__,
        }
        | change
        for row, (decision, label) in rows.items()
    ]


def test_decisions_are_read_back_after_the_frame_was_sorted_anew(cancer, tmp_path):
    pd = pytest.importorskip("pandas")
    pipe, X, y = cancer
    audit = LabelAudit(pipe).fit(X[:300], y[:300])
    rows = {3: ("accept", "x"), 5: ("relabel", "benign"), 7: ("drop", ""), 9: ("unsure", "x")}
    records = exported(audit, rows)
    path = tmp_path / "decisions.json"
    path.write_text(json.dumps({"fingerprint": "x", "decisions": records}))
    table = tmp_path / "decisions.csv"
    pd.DataFrame(records).to_csv(table, index=False)
    order = np.random.default_rng(0).permutation(300)
    again = LabelAudit(pipe).fit(X.iloc[order], y.iloc[order])
    expected = y[:300].to_numpy(copy=True)
    expected[5] = "benign"
    weight = np.ones(300)
    weight[7] = 0
    for decisions in (records, path, str(table), pd.read_csv(table), json.loads(path.read_text())):
        labels, kept = again.apply(decisions)
        np.testing.assert_array_equal(labels, expected[order])
        np.testing.assert_array_equal(kept, weight[order])


def test_decisions_about_other_rows_or_labels_are_listed(cancer):
    pipe, X, y = cancer
    audit = LabelAudit(pipe).fit(X[:300], y[:300])
    rows = {3: ("accept", ""), 5: ("drop", "")}
    with pytest.raises(ValueError, match="has not seen: gone, gone"):
        audit.apply(exported(audit, rows, row_id="gone"))
    with pytest.raises(ValueError, match=r"labels have changed .*p3 \(other, now malignant\), p5"):
        audit.apply(exported(audit, rows, given_label="other"))
    with pytest.raises(ValueError, match=r"should be one of .*got 'maybe'"):
        audit.apply(exported(audit, rows, decision="maybe"))
    with pytest.raises(ValueError, match="which is not among the classes"):
        audit.apply(exported(audit, {3: ("relabel", "odd")}))
    with pytest.raises(ValueError, match=r"\['given_label'\] are not in record 0"):
        audit.apply([{"row_id": "p3", "decision": "keep", "label": ""}])
    with pytest.raises(ValueError, match="name rows twice"):
        audit.apply(exported(audit, {3: ("accept", "")}) * 2)


def test_numbers_negative_labels_and_hashes_are_ids(tmp_path):
    pd = pytest.importorskip("pandas")
    X, y = problem(n=50, seed=3)
    labels = np.where(y == 1, 1, -1)
    for frame in (X, pd.DataFrame(X, index=np.arange(50) - 20)):
        audit = LabelAudit(InfluenceLogisticRegression()).fit(frame, labels)
        records = exported(audit, {4: ("relabel", "1"), 6: ("relabel", "-1")})
        path = tmp_path / "decisions.csv"
        pd.DataFrame(records).to_csv(path, index=False)
        expected = labels.copy()
        expected[4], expected[6] = 1, -1
        for decisions in (path, pd.read_csv(path)):
            np.testing.assert_array_equal(audit.apply(decisions)[0], expected)


def test_whole_numbers_with_empty_cells_are_read_back(tmp_path):
    """A frame of them has floats: 3.0 for 3, as has the CSV that pandas writes of it."""
    pd = pytest.importorskip("pandas")
    X, y = problem(n=50, seed=3)
    audit = LabelAudit(InfluenceLogisticRegression()).fit(X, y)
    rows = [4, 6, 9]
    frame = pd.DataFrame(
        {
            "row_id": [audit.row_ids()[row] for row in rows],
            "given_label": y[rows],
            "decision": ["relabel", "drop", "accept"],
            "label": [1 - y[4], None, None],
        }
    )
    assert frame["label"].dtype == float
    path = tmp_path / "decisions.csv"
    frame.to_csv(path, index=False)
    expected = y.copy()
    expected[4] = 1 - y[4]
    for decisions in (frame, path, pd.read_csv(path), frame.astype({"given_label": float})):
        labels, kept = audit.apply(decisions)
        np.testing.assert_array_equal(labels, expected)
        assert np.flatnonzero(kept == 0).tolist() == [6]


# -- wrong arguments -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"images": (np.zeros((39, 2, 2)), None)}, "40 training rows; got 39 in images.0"),
        ({"images": (None, np.zeros((40, 2, 2)))}, "20 test rows; got 40 in images.1"),
        ({"images": np.zeros((40, 2, 2))}, "images should be a pair"),
        ({"images": (np.zeros((40, 4)), None)}, "shape .n_rows, height, width"),
        ({"images": (np.full((40, 2, 2), np.inf), None)}, "images should be finite"),
        ({"texts": (None, ["a"] * 19)}, "20 test rows; got 19"),
        ({"texts": (None, [1] * 20)}, "texts should be strings; got int at row 0"),
        ({"row_labels": (["a"], None)}, "40 training rows; got 1"),
        ({"groups": {"a": [99]}}, r"groups\[0\]"),
        ({"groups": ["a"] * 3}, "one label for each of the 40 training rows"),
        ({"audit": "yes"}, "audit should be a fitted"),
        ({"title": 3}, "title should be a string"),
    ],
)
def test_bad_input_is_a_sentence(options, match):
    X, y = problem(n=60, seed=4)
    clf = InfluenceLogisticRegression().fit(X[:40], y[:40])
    with pytest.raises((ValueError, TypeError), match=match):
        InfluenceReport(clf, X[40:], y[40:], **options)


def test_more_refusals():
    X, y = problem(n=60, seed=4)
    clf = InfluenceLogisticRegression().fit(X[:40], y[:40])
    with pytest.raises(ValueError, match=r"20,001 rows; .* such as X_test\[:20000\]"):
        InfluenceReport(clf, np.zeros((20_001, X.shape[1])), None)
    with pytest.raises(ValueError, match="X_test has 0 rows"):
        InfluenceReport(clf, X[:0], y[:0])
    other = LabelAudit(InfluenceLogisticRegression()).fit(X[:39], y[:39])
    with pytest.raises(ValueError, match="audit has seen 39 training rows, the estimator 40"):
        InfluenceReport(clf, X[40:], y[40:], audit=other)
    several = InfluenceRidge().fit(X, np.c_[X[:, 0], X[:, 1]])
    with pytest.raises(NotImplementedError, match="one response; this one has 2"):
        InfluenceReport(several, X, np.c_[X[:, 0], X[:, 1]])
    pairs = InfluenceExplainer(SVC(decision_function_shape="ovo"))
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match="decision_function_shape='ovr'"):
        InfluenceReport(pairs.fit(X, y), X, y)


def test_warnings_are_on_the_page_and_at_the_callers_line():
    X, y = load_diabetes(return_X_y=True)
    X = np.vstack([X[:30], np.zeros(10)])
    X[:, 0] = 0.0
    X[-1, 0] = 1.0  # without the last row the column has no spread
    y = y[:31]
    model = InfluenceExplainer(LinearRegression()).fit(X, y)
    with pytest.warns(RuntimeWarning, match="row 30") as caught:
        report = InfluenceReport(model, X[:5], y[:5])
    assert {Path(each.filename).name for each in caught} == {"test_report.py"}
    page = contents(report)
    assert page["overview"]["routes"]["undefined"] == 1
    assert any("30" in message for message in page["warnings"])


def test_images_are_reduced_where_they_are_large():
    X, y = problem(n=60, seed=5)
    clf = InfluenceLogisticRegression().fit(X[:40], y[:40])
    images = np.random.default_rng(0).uniform(size=(60, 100, 120, 3))
    report = InfluenceReport(clf, X[40:], y[40:], images=(images[:40], images[40:]))
    page = contents(report)
    assert len(report.to_html()) < 800_000
    note = next(note for note in page["notes"] if "reduced" in note)
    factor = int(re.search(r"reduced (\d+) times", note)[1])
    size = page["test"]["images"]["shape"]
    assert size[1:] == [100 // factor, 120 // factor, 3]
    block = images[40 + report.data["shown"].tests[0], :factor, :factor, 0]
    assert abs(unpacked(page["test"]["images"])[0, 0, 0, 0] - 255 * block.mean()) < 2


# -- weights of the test rows, and who asks for them ----------------------------------------------

TEST_WEIGHT = np.random.default_rng(0).uniform(0.0, 3.0, 40)


def scored_pipe(request):
    """Unfitted Pipeline and frames, the score of whose last step has a request."""
    clf = InfluenceLogisticRegression()
    if request is not None:
        clf.set_score_request(sample_weight=request)
    return make_pipeline(StandardScaler(), clf)


def weighted_numbers(report):
    """What weights of test rows change: a score, the mean effect of a group and of single rows."""
    what_if = report.data["what_if"]
    return [
        *(each["test"] for each in report.data["overview"]["scores"]),
        what_if["groups"][0]["loss"],
        what_if["groups"][0]["score"],
        *what_if["rows"]["mean_loss_change"],
    ]


def test_weights_of_test_rows_count_in_scores_and_mean_losses():
    X, y = problem(3, n=100, p=4)
    pipe = scored_pipe(None).fit(X[:60], y[:60])
    asked = {"groups": {"some": [0, 1, 2, 3]}}
    report = InfluenceReport(pipe, X[60:], y[60:], test_sample_weight=TEST_WEIGHT, **asked)
    view, w = explain(pipe), TEST_WEIGHT
    accuracy, log_loss = (each["test"] for each in report.data["overview"]["scores"])
    assert accuracy == pytest.approx(np.average(pipe.predict(X[60:]) == y[60:], weights=w))
    own = pipe.predict_proba(X[60:])[np.arange(40), y[60:]]
    assert log_loss == pytest.approx(np.average(np.log(own), weights=w))
    group = report.data["what_if"]["groups"][0]
    change = view.group_influence([[0, 1, 2, 3]], X[60:], y[60:])[:, 0]
    assert group["loss"] == pytest.approx(np.average(change, weights=w))
    refit = make_pipeline(StandardScaler(), InfluenceLogisticRegression())
    refit[-1].fit(pipe[:-1].transform(X[4:60]), y[4:60])
    right = refit[-1].predict(pipe[:-1].transform(X[60:])) == y[60:]
    assert group["score"] == pytest.approx(np.average(right, weights=w))
    pool = report.data["shown"].pool
    single = view.influence(X[60:], y[60:], method="newton", train_indices=pool)
    np.testing.assert_allclose(
        report.data["what_if"]["rows"]["mean_loss_change"], np.average(single, axis=0, weights=w)
    )
    page = contents(report)
    assert page["weighted"]
    assert any("have weights" in note for note in page["notes"])
    copies = np.random.default_rng(1).integers(1, 4, 40)  # a weight of k is the row k times
    weighted = InfluenceReport(pipe, X[60:], y[60:], test_sample_weight=copies, **asked)
    repeated = InfluenceReport(
        pipe, np.repeat(X[60:], copies, axis=0), np.repeat(y[60:], copies), **asked
    )
    np.testing.assert_allclose(weighted_numbers(weighted)[:4], weighted_numbers(repeated)[:4])


@pytest.mark.parametrize("wrap", ["pipe", "explain", "explainer", "search", "frozen"])
def test_a_report_routes_weights_as_the_score_requests(wrap):
    X, y = problem(3, n=100, p=4)

    def fitted(request):
        pipe = scored_pipe(request)
        if wrap == "search":
            pipe = GridSearchCV(pipe, {"influencelogisticregression__C": [1.0]}, cv=2)
        if wrap == "explainer":
            return InfluenceExplainer(pipe).fit(X[:60], y[:60])
        with config_context(enable_metadata_routing=False):  # searches score folds as they fit
            pipe.fit(X[:60], y[:60])
        if wrap == "frozen":
            return InfluenceExplainer(FrozenEstimator(pipe)).fit(X[:60], y[:60])
        return explain(pipe) if wrap == "explain" else pipe

    def report(model, **options):
        options["groups"] = {"some": [0, 1, 2, 3]}
        return weighted_numbers(InfluenceReport(model, X[60:], y[60:], **options))

    plain = fitted(None)
    with_weights = report(plain, test_sample_weight=TEST_WEIGHT)
    assert with_weights[1] != report(plain)[1]
    with pytest.raises(ValueError, match=r"'importance'.* are passed but are not understood"):
        report(plain, importance=TEST_WEIGHT)
    with config_context(enable_metadata_routing=True):
        if wrap == "search":
            try:
                fitted(True).score(X, y, sample_weight=np.ones(100))
            except UnsetMetadataPassedError:  # scikit-learn 1.6
                pytest.skip("scikit-learn's own search routes no weights to a Pipeline's score")
        np.testing.assert_array_equal(
            report(fitted(True), test_sample_weight=TEST_WEIGHT), with_weights
        )
        with pytest.raises(TypeError, match="not routed to any object"):  # as scikit-learn's own
            report(fitted(False), test_sample_weight=TEST_WEIGHT)
        np.testing.assert_array_equal(
            report(fitted("importance"), importance=TEST_WEIGHT), with_weights
        )
        with pytest.raises((UnsetMetadataPassedError, TypeError), match="sample_weight"):
            report(fitted(None), test_sample_weight=TEST_WEIGHT)
        with pytest.raises(TypeError, match="colour"):
            report(fitted(True), colour=TEST_WEIGHT)
        routing = InfluenceReport(fitted(True), X[60:], y[60:]).get_metadata_routing()
        assert routing.consumes("score", ["sample_weight", "colour"]) == {"sample_weight"}
        model = fitted(True)
        if hasattr(model, "influence"):  # an explainer hands weights on to its model's score
            steps = model.estimator_
            expected = np.average(steps.predict(X[60:]) == y[60:], weights=TEST_WEIGHT)
            assert model.score(X[60:], y[60:], TEST_WEIGHT) == pytest.approx(expected)


def test_weights_of_test_rows_need_labels_and_are_weights():
    X, y = problem(3, n=60, p=4)
    model = InfluenceLogisticRegression().fit(X[:40], y[:40])
    with pytest.raises(ValueError, match="without y_test there are none"):
        InfluenceReport(model, X[40:], None, test_sample_weight=np.ones(20))
    with pytest.raises(ValueError, match=r"test_sample_weight should have shape \(20,\)"):
        InfluenceReport(model, X[40:], y[40:], test_sample_weight=np.ones(3))
    with pytest.raises(ValueError, match="Negative values in test_sample_weight"):
        InfluenceReport(model, X[40:], y[40:], test_sample_weight=-np.ones(20))
