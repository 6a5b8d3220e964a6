"""The page of InfluenceReport in Chromium: what it shows, does, keeps and exports."""

import html
import json
import re
import shutil
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skinfluence import InfluenceLogisticRegression, InfluenceReport, InfluenceRidge
from skinfluence.labels import LabelAudit
from tests.test_report import HOSTILE, hostile  # noqa: F401

pytest.importorskip("jinja2")
playwright = pytest.importorskip("playwright.sync_api")

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for path in map(shutil.which, NAMES) if path), None)
if CHROMIUM is None:
    pytest.skip("needs Chromium: apt-get install -y chromium", allow_module_level=True)

TABS = ("overview", "predictions", "labels", "what-if", "diagnostics")


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def context(browser):
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield context
    context.close()


def opened(context, path, *, allowed=()):
    """A page of a file that fails on errors, on messages of the console and on any request."""
    page = context.new_page()
    page.wrong = []
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.on("console", lambda message: page.wrong.append(message.text))
    page.on("dialog", lambda dialog: page.wrong.append(dialog.message))
    page.on("request", lambda request: page.wrong.append(request.url))
    page.goto(path.as_uri())
    assert page.wrong == [path.as_uri(), *allowed]
    page.wrong.clear()
    return page


def tab(page, name):
    page.click(f"#tab-{name}")
    return page.locator(f"#panel-{name}")


def until(page, expression, seconds=30):
    """Wait for something of the page: its security policy forbids Playwright's own way, eval in a
    timer, from the second try on, so the first was all that a busy machine left."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < end, f"{expression} is not true after {seconds} s"
        page.wait_for_timeout(50)


def numbers(text):
    """All numbers of a text."""
    return [float(found) for found in re.findall(r"[-+]?\d+\.?\d*(?:e[-+]?\d+)?", text)]


def same(seen, expected):
    """Whether numbers of a page, which have four digits, are those of Python."""
    np.testing.assert_allclose(seen, expected, rtol=6e-4, atol=1e-12)


# -- reports, written once -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cancer(tmp_path_factory):
    """(Report, audit, X, y with wrong labels, path) of breast cancer with ids and a Pipeline."""
    X, y = load_breast_cancer(return_X_y=True, as_frame=True)
    X.index = y.index = [f"patient {i}" for i in range(len(X))]
    y = y.map({0: "malignant", 1: "benign"})
    wrong = np.random.default_rng(0).choice(200, 12, replace=False)
    y.iloc[wrong] = y.iloc[wrong].map({"malignant": "benign", "benign": "malignant"})
    pipe = make_pipeline(StandardScaler(), InfluenceLogisticRegression()).fit(X[:200], y[:200])
    audit = LabelAudit(pipe).fit(X[:200], y[:200])
    groups = {"first": np.arange(40), "last": np.arange(150, 200)}
    report = InfluenceReport(pipe, X[200:320], y[200:320], audit=audit, groups=groups)
    path = report.write_html(tmp_path_factory.mktemp("pages") / "cancer.html")
    return report, audit, X, y, path


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    data = load_digits()
    X, y = data.data / 16, data.target
    clf = InfluenceLogisticRegression(C=0.1).fit(X[:100], y[:100])
    images = data.images[:100], data.images[100:120]
    report = InfluenceReport(clf, X[100:120], y[100:120], images=images)
    return report, report.write_html(tmp_path_factory.mktemp("pages") / "digits.html")


@pytest.fixture(scope="module")
def diabetes(tmp_path_factory):
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    model = InfluenceRidge(alpha=0.1).fit(X[:200], y[:200])
    groups = np.where(X[:200]["sex"] > 0, "women", "men")
    report = InfluenceReport(model, X[200:260], y[200:260], groups=groups)
    return report, report.write_html(tmp_path_factory.mktemp("pages") / "diabetes.html")


@pytest.fixture(scope="module")
def without_labels(tmp_path_factory):
    X, y = load_diabetes(return_X_y=True)
    model = InfluenceRidge(alpha=0.1).fit(X[:60], y[:60])
    report = InfluenceReport(model, X[200:210], None, texts=(None, ["some text"] * 10))
    return report, report.write_html(tmp_path_factory.mktemp("pages") / "without.html")


# -- every tab, every kind -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "scheme", "width"),
    [
        ("cancer", "light", 1280),
        ("cancer", "dark", 360),
        ("digits", "dark", 1280),
        ("diabetes", "light", 360),
        ("without_labels", "dark", 360),
    ],
)
def test_no_tab_errs_asks_the_network_or_scrolls_sideways(name, scheme, width, browser, request):
    path = request.getfixturevalue(name)[-1]
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True
    )
    page = opened(context, path)
    for each in TABS:
        panel = tab(page, each)
        assert panel.inner_text().strip()
        assert page.locator("[role=tabpanel]:visible").count() == 1
        if each == "predictions":
            page.locator("#grid .body .row").first.click()
        if each == "what-if":
            page.locator("#picks input").first.check()
        for summary in panel.locator("summary").all():
            summary.click()
        wider = """Array.from(document.querySelectorAll("html, [role=tabpanel]:not([hidden]) *"))
            .filter((e) => e.tagName === "HTML" || getComputedStyle(e).overflowX === "auto")
            .filter((e) => e.scrollWidth > e.clientWidth).map((e) => e.outerHTML.slice(0, 200))"""
        assert page.evaluate(wider) == [], each
        cut = """Array.from(document.querySelectorAll("#grid .cell")).filter((e) => e.offsetWidth)
            .filter((e) => e.scrollWidth > e.clientWidth).map((e) => e.textContent)"""
        assert page.evaluate(cut) == [], each
    assert page.wrong == []
    context.close()


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        ("cancer", "light"),
        ("cancer", "dark"),
        ("digits", "dark"),
        ("diabetes", "light"),
        ("without_labels", "dark"),
    ],
)
def test_axe_finds_nothing_serious(name, scheme, browser, request):
    path = request.getfixturevalue(name)[-1]
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    context = browser.new_context(
        viewport={"width": 1280, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = opened(context, path)
    for each in TABS:
        tab(page, each)
        if each == "what-if":
            page.locator("#picks input").first.check()
        found = axe.run(page).response["violations"]
        serious = [
            (v["id"], [node["html"][:120] for node in v["nodes"]][:3])
            for v in found
            if v["impact"] in ("serious", "critical")
        ]
        assert serious == [], each
    context.close()


# -- numbers ---------------------------------------------------------------------------------------


def test_the_overview_has_pythons_numbers(context, cancer):
    report, _, X, y, path = cancer
    page = opened(context, path)
    view, loo = report._subject.view, report._subject.view.loo_estimate()
    rows = page.locator("#panel-overview tbody tr").all_inner_texts()
    assert [row.split()[0] for row in rows] == ["accuracy", "neg_log_loss"]
    own = (y[:200] == "malignant").to_numpy().astype(int)
    loo_loss = np.log(loo.predict_proba[np.arange(200), own]).mean()
    same(numbers(rows[0]), [loo.score, view.score(X[200:320], y[200:320])])
    given = (y[200:320] == "malignant").to_numpy().astype(int)
    test_loss = np.log(view.predict_proba(X[200:320])[np.arange(120), given]).mean()
    same(numbers(rows[1])[:2], [loo_loss, test_loss])
    text = page.locator("#panel-overview").inner_text()
    assert f"{(loo.method == 'exact').sum()} exact" in text
    reasons = page.locator("ol.look li").all_inner_texts()
    assert len(reasons) == 5
    assert len({reason.split(" ")[3] for reason in reasons}) >= 4


def test_the_table_and_the_details_have_pythons_numbers(context, cancer):
    report, _, X, y, path = cancer
    page, view = opened(context, path), report._subject.view
    tab(page, "predictions")
    p = view.predict_proba(X[200:320])
    given = (y[200:320] == "malignant").to_numpy().astype(int)
    loss = -np.log(p[np.arange(120), given])
    for line in page.locator("#grid .body .row").all_inner_texts()[:15]:
        cells = [cell.strip() for cell in line.split("\n") if cell.strip()]
        row = X.index[200:320].get_loc(cells[0])
        assert cells[1] == y[cells[0]]
        assert cells[2].removeprefix("✗ ") == ("malignant" if p[row, 1] > 0.5 else "benign")
        assert cells[2].startswith("✗") == (p[row, given[row]] < 0.5)
        same([float(cell) for cell in cells[3:]], [p[row].max(), loss[row]])

    page.locator("#grid .body .row").nth(1).click()
    name = page.locator("#grid .body .row").nth(1).locator("bdi").first.inner_text()
    test = X.loc[[name]]
    top = view.most_influential(test, y.loc[[name]], k=5)
    for side in ("helpful", "harmful"):
        boxes = page.locator(f"#detail .{side} .witness")
        assert boxes.count() == 5
        for j, index in enumerate(getattr(top, f"{side}_indices")[0]):
            text = boxes.nth(j).inner_text()
            assert text.startswith(f"patient {index} labelled {y.iloc[index]}")
            change = numbers(boxes.nth(j).locator(".for, .against").inner_text())
            same(change, getattr(top, f"{side}_values")[0, j : j + 1])
            predicted = int(view.predict_proba(test)[0, 1] > 0.5)
            sign = 1 if predicted else -1
            now = view.predict_proba(test)[0, predicted]
            asked = {"target": "predict_proba", "train_indices": [index]}
            other = ["malignant" if y.iloc[index] == "benign" else "benign"]
            gone = now + sign * view.influence(test, **asked)[0, 0]
            turned = now + sign * view.relabel_influence(test, labels=other, **asked)[0, 0]
            seen = [
                float(boxes.nth(j).locator(f".{c}").inner_text())
                for c in ("now", "gone", "relabelled")
            ]
            same(seen, [now, gone, turned])


def test_labels_groups_and_figures_have_pythons_numbers(context, cancer):
    report, audit, X, y, path = cancer
    page, view = opened(context, path), report._subject.view
    tab(page, "labels")
    rows = report.data["labels"]["rows"]
    lines = page.locator("#suspects .option").all_inner_texts()
    assert len(lines) == len(rows) >= 5
    for line, row in zip(lines, rows, strict=True):
        assert line.startswith(f"patient {row}: {y.iloc[row]} → {audit.suggested_label_[row]}")
        same(numbers(line.split("\n")[1])[0], audit.error_probability_[row])
    facts = page.locator("#suspect dd").all_inner_texts()
    same(numbers(facts[3]), audit.pred_probs_[rows[0], int(y.iloc[rows[0]] == "malignant")])
    same(numbers(facts[4]), audit.effect_of_fixing(rows[:1])[0])
    found = audit.evidence(int(rows[0]))
    seen = page.locator("#suspect .helpful .what").all_inner_texts()
    same([numbers(text)[-1] for text in seen], found.given_weights)

    tab(page, "what-if")
    cells = page.locator("#panel-what-if tbody tr").first.locator("td").all_inner_texts()
    assert cells[:2] == ["last", "50"]
    change = view.group_influence([np.arange(150, 200)], X[200:320], y[200:320], aggregate="mean")
    same(float(cells[2]), change[0])

    tab(page, "diagnostics")
    page.locator("#panel-diagnostics summary").first.click()
    line = page.locator("#panel-diagnostics tbody tr").first.locator("td").all_inner_texts()
    index = int(line[0].removeprefix("patient "))
    newton = view.self_influence(method="newton", train_indices=[index])[0]
    exact = view.self_influence(method="exact", train_indices=[index])[0]
    same([float(line[1]), float(line[2])], [exact, newton])


def test_what_if_sums_the_steps_of_the_rows_that_are_picked(context, cancer):
    report, _, X, y, path = cancer
    page, view, shown = opened(context, path), report._subject.view, report.data["shown"]
    tab(page, "what-if")
    picks = [2, 5, 9]
    for j in picks:
        page.locator("#picks input").nth(j).check()
    rows = shown.pool[picks]
    X_test, y_test = X[200:320], y[200:320]
    asked = {"method": "newton", "train_indices": rows}
    loss = view.influence(X_test.iloc[shown.tests], y_test.iloc[shown.tests], **asked)
    p = view.predict_proba(X_test.iloc[shown.tests])
    given = (y_test.iloc[shown.tests] == "malignant").to_numpy().astype(int)
    before = -np.log(p[np.arange(len(p)), given]).mean()
    same(float(page.locator("#loss-before").inner_text()), before)
    after = before + loss.sum(axis=1).mean()
    same(float(page.locator("#loss-after").inner_text()), after)
    total = view.influence(X_test, y_test, aggregate="mean", **asked).sum()
    assert float(page.locator("#all-change").inner_text()) == pytest.approx(total, rel=2e-3)
    decision = view.decision_function(X_test.iloc[shown.tests])
    steps = view.influence(X_test.iloc[shown.tests], target="decision_function", **asked)
    flips = (decision > 0) != (decision + steps.sum(axis=1) > 0)
    assert page.locator("#flips").inner_text() == str(flips.sum())
    right = [((d > 0) == given).sum() for d in (decision, decision + steps.sum(axis=1))]
    assert page.locator("#accuracy").inner_text() == f"{right[0]} → {right[1]}"
    assert "20 random picks" in page.locator("#trust").inner_text()
    page.get_by_text("Choose none").click()
    assert page.locator("#picks input:checked").count() == 0


def test_images_are_drawn_pixel_by_pixel(context, digits):
    report, path = digits
    page = opened(context, path)
    tab(page, "predictions")
    page.locator("#grid .body .row").first.click()
    drawn = page.evaluate(
        "Array.from(document.querySelector('#detail canvas').getContext('2d')"
        ".getImageData(0, 0, 8, 8).data).filter((_, i) => i % 4 == 0)"
    )
    pixels = load_digits().images[100 + report.data["shown"].tests[0]]
    np.testing.assert_array_equal(drawn, np.rint(pixels / 16 * 255).ravel())
    assert page.locator("#detail canvas").count() == 11


# -- the table -------------------------------------------------------------------------------------


def losses(page):
    return [
        float(text) for text in page.locator("#grid .body .row > :last-child").all_inner_texts()
    ]


def test_the_table_sorts_filters_and_is_reached_by_keys(context, cancer):
    report, path = cancer[0], cancer[-1]
    page = opened(context, path)
    page.locator("#tab-overview").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "tab-predictions"
    head = page.locator("#grid [role=columnheader]").last
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert losses(page) == sorted(losses(page), reverse=True)
    head.locator("button").press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert losses(page) == sorted(losses(page))

    page.select_option("#kind", "errors")
    table = report.data["predictions"]
    n_errors = int(table["is_error"].sum())
    assert page.locator("#tally").inner_text() == f"{n_errors} of 120 test rows"
    assert page.locator("#grid .body .row").count() == n_errors
    page.select_option("#kind", "all")
    page.fill("#filter", "PATIENT 21")
    assert page.locator("#tally").inner_text().startswith("10 of")
    page.fill("#filter", "")

    page.locator("#grid").focus()
    page.keyboard.press("End")
    assert page.locator("#grid .body .row[aria-selected=true]").count() == 1
    chosen = page.locator("#grid").get_attribute("aria-activedescendant")
    assert page.locator(f"#{chosen}").get_attribute("aria-rowindex") == "121"
    page.keyboard.press("ArrowUp")
    page.keyboard.press("PageUp")
    page.keyboard.press("Home")
    assert (
        page.locator("#grid .body .row[aria-selected=true]").get_attribute("aria-rowindex") == "2"
    )
    name = page.locator("#grid .body .row[aria-selected=true] bdi").first.inner_text()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "detail"
    assert page.locator("#detail h2").inner_text() == f"Test row {name}"
    assert page.locator("#grid .body .row").count() < 60  # of 120: the others are not drawn
    assert page.wrong == []


def test_a_row_to_look_at_leads_to_its_details(context, cancer):
    page = opened(context, cancer[-1])
    button = page.locator("ol.look button").first
    name = button.inner_text()
    button.click()
    assert page.locator("#detail h2").inner_text() == name
    assert page.locator("#tab-predictions").get_attribute("aria-selected") == "true"


def test_a_printed_page_has_every_tab(context, cancer):
    page = opened(context, cancer[-1])
    assert page.pdf()
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    for each in TABS:
        assert page.locator(f"#panel-{each}").is_visible()
        assert page.locator(f"#panel-{each}").inner_text().strip()
    assert page.wrong == []


# -- decisions -------------------------------------------------------------------------------------


def downloaded(page, button, folder, frame=None):
    with page.expect_download() as found:
        (frame or page).locator(button).click()
    path = folder / found.value.suggested_filename
    found.value.save_as(path)
    return path


def test_decisions_are_made_kept_exported_and_read_back(context, cancer, tmp_path):
    report, audit, X, y, path = cancer
    page = opened(context, path)
    tab(page, "labels")
    rows = report.data["labels"]["rows"]
    page.locator("[data-decision=accept]").click()
    page.keyboard.press("r")  # the next row
    page.keyboard.press("d")
    page.keyboard.press("u")
    page.keyboard.press("u")
    page.keyboard.press("z")
    assert page.locator("#decided").inner_text() == f"4 of {len(rows)} decided"
    page.keyboard.press("k")
    page.fill("#note", '=1+1, "see" file\nsecond line')
    page.locator("#suspects").focus()
    page.keyboard.press("Home")
    assert page.locator("#suspects .option").first.get_attribute("aria-selected") == "true"
    assert page.locator("[data-decision=accept]").get_attribute("aria-pressed") == "true"

    page.reload()
    page.wrong.clear()
    tab(page, "labels")
    assert page.locator("#decided").inner_text() == f"4 of {len(rows)} decided"
    assert page.locator("#suspects .badge").all_inner_texts() == [
        "accept", "relabel", "drop", "unsure",
    ]  # fmt: skip
    files = [downloaded(page, button, tmp_path) for button in ("#csv", "#json")]
    assert [each.name for each in files] == ["decisions.csv", "decisions.json"]

    expected = y[:200].to_numpy(copy=True)
    expected[rows[1]] = audit.suggested_label_[rows[1]]
    weight = np.ones(200)
    weight[rows[2]] = 0.0
    order = np.random.default_rng(1).permutation(200)
    again = LabelAudit(audit.estimator).fit(X.iloc[order], y.iloc[order])
    for each in files:
        labels, kept = again.apply(each)
        np.testing.assert_array_equal(labels, expected[order])
        np.testing.assert_array_equal(kept, weight[order])
    records = json.loads(files[1].read_text())["decisions"]
    assert set(records[0]) == {
        "row_id", "given_label", "decision", "label", "note", "time", "library_version",
    }  # fmt: skip
    assert records[3]["note"] == '=1+1, "see" file\nsecond line'
    text = files[0].read_bytes().decode()
    assert '"\'=1+1, ""see"" file\nsecond line"' in text  # a text for spreadsheets, no formula
    assert page.wrong == []

    # Another report on the same data finds them; one on other data does not.
    other = context.new_page()
    copy = tmp_path / "copy.html"
    copy.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    other.goto(copy.as_uri())
    tab(other, "labels")
    assert other.locator("#decided").inner_text().startswith("4 of")


def test_the_first_rows_are_chosen(context, cancer, without_labels):
    for path, place in ((cancer[-1], 0), (without_labels[-1], 0)):
        page = opened(context, path)
        tab(page, "predictions")
        chosen = page.locator("#grid .body .row[aria-selected=true]")
        assert chosen.count() == 1
        assert chosen.get_attribute("aria-rowindex") == str(place + 2)
        name = chosen.locator("bdi").first.inner_text()
        assert page.locator("#detail h2").inner_text() == f"Test row {name}"
        assert page.locator("#status").inner_text() == ""  # nobody has asked yet
        assert page.wrong == []


def test_keys_do_not_decide_while_a_note_is_written(context, cancer):
    page = opened(context, cancer[-1])
    tab(page, "labels")
    page.locator("#note").press_sequentially("a dark urn")
    assert page.locator("#decided").inner_text().startswith("0 of")
    page.locator("#new-label").focus()
    page.keyboard.press("a")
    assert page.locator("#decided").inner_text().startswith("0 of")
    tab(page, "predictions")
    page.keyboard.press("a")
    tab(page, "labels")
    assert page.locator("#decided").inner_text().startswith("0 of")


def test_two_reports_in_one_notebook(context, cancer, diabetes, tmp_path):
    frames = cancer[0]._repr_html_() + diabetes[0]._repr_html_()
    notebook = tmp_path / "notebook.html"
    notebook.write_text(f"<!doctype html><title>notebook</title>{frames}", encoding="utf-8")
    page = context.new_page()
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text))
    page.goto(notebook.as_uri())
    first, second = (page.frame_locator("iframe").nth(i) for i in range(2))
    first.locator("#tab-labels").click()
    assert "kept until it is reloaded" in first.locator("#where").inner_text()
    first.locator("[data-decision=drop]").click()
    assert first.locator("#decided").inner_text().startswith("1 of")
    second.locator("#tab-predictions").click()
    second.locator("#grid .body .row").first.click()
    assert second.locator("#detail .witness").count() == 10
    path = downloaded(page, "#json", tmp_path, first)
    assert json.loads(path.read_text())["decisions"][0]["decision"] == "drop"
    assert wrong == []


# -- safety ----------------------------------------------------------------------------------------


def test_hostile_texts_are_shown_as_they_are(context, hostile, tmp_path):  # noqa: F811
    report, audit, _, labels = hostile
    path = report.write_html(tmp_path / "hostile.html")
    page = opened(context, path)
    for each in TABS:
        tab(page, each)
        if each == "predictions":
            for j in range(4):
                page.locator("#grid .body .row").nth(j).click()
                for summary in page.locator("#detail summary").all():
                    summary.click()
        if each == "what-if":
            page.locator("#picks input").first.check()
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 2
    names = page.evaluate("Array.from(document.querySelectorAll('bdi'), (e) => e.textContent)")
    assert any(HOSTILE[0] in name for name in names)
    assert any(HOSTILE[1] in name for name in names)
    assert not any("\0" in name or "\u202e" in name for name in names)
    assert any("[U+202E]evil" in name for name in names)
    assert "[U+202E]evil" in page.locator("h1").inner_text()
    tab(page, "labels")
    page.fill("#note", HOSTILE[0] + HOSTILE[4] + "=x")
    assert page.locator("#suspects .option").count() >= 4
    for key in "ardu":
        page.locator("#suspects").press(key)
    files = [downloaded(page, button, tmp_path) for button in ("#csv", "#json")]
    found = [audit.apply(each) for each in files]
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert (found[0][1] == 0).sum() == 1
    assert (found[0][0] != labels[:40]).sum() == 1
    assert page.wrong == []


def test_the_policy_stops_what_is_not_the_pages_own(context, cancer, tmp_path):
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    page = opened(context, cancer[-1])
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        # What injected markup would try; without the policy each of these asks the server.
        attempt = """async (address) => {
            const script = document.createElement("script");
            script.textContent = "window.ran = 1";
            const image = new Image();
            image.src = address + "/image";
            const frame = document.createElement("iframe");
            frame.src = address + "/frame";
            const form = document.createElement("form");
            form.action = address + "/form";
            document.body.append(script, image, frame, form);
            form.submit();
            const options = { mode: "no-cors" };
            const sent = await fetch(address + "/fetch", options).then(() => 1, () => 0);
            await new Promise((done) => setTimeout(done, 300));
            return [window.ran ?? 0, sent];
        }"""
        assert page.evaluate(attempt, address) == [0, 0]
        assert asked == []
        bare = context.new_page()
        bare.set_content("<!doctype html><title>no policy</title>")
        bare.evaluate("(address) => fetch(address, { mode: 'no-cors' })", address)
        assert asked == ["/"]
        server.shutdown()
        thread.join()
    assert any("Content Security Policy" in each for each in page.wrong)
    other = tmp_path / "changed.html"
    other.write_text(
        cancer[-1].read_text(encoding="utf-8").replace('"use strict";', '"use strict"; '),
        encoding="utf-8",
    )
    page = context.new_page()
    page.goto(other.as_uri())
    assert page.locator("#panel-overview").inner_text() == ""


# -- size ------------------------------------------------------------------------------------------


def test_five_thousand_test_rows_are_small_and_quick(context, tmp_path):
    # Time of one core, which a busy machine does not change; the clock is benchmarks.report_page's.
    random = np.random.default_rng(0)
    X = random.normal(size=(6000, 8))
    y = np.array(["no", "yes"])[(X[:, 0] + random.logistic(size=6000) > 0).astype(int)]
    clf = InfluenceLogisticRegression().fit(X[:1000], y[:1000])
    names = (None, [f"customer {i:06d}" for i in range(5000)])
    report = InfluenceReport(clf, X[1000:], y[1000:], row_labels=names)
    path = report.write_html(tmp_path / "large.html")
    assert path.stat().st_size < 1_500_000
    page = context.new_page()
    session = context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    page.goto(path.as_uri())
    until(page, "performance.getEntriesByName('first-contentful-paint').length")
    spent = {
        each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]
    }
    assert 0 < spent["TaskDuration"] < 1.0
    tab(page, "predictions")
    assert page.locator("#grid .body .row").count() < 60
    page.locator("#grid").focus()
    page.keyboard.press("End")
    until(page, "document.querySelector('#grid').scrollTop > 100000")
    last = page.locator("#grid .body .row").last
    assert last.get_attribute("aria-rowindex") == "5001"
    assert "Details are kept for" in page.locator("#detail").inner_text()


def test_escaped_frames_hold_the_page_unchanged(cancer):
    frame = cancer[0]._repr_html_()
    inner = html.unescape(re.search(r'srcdoc="(.*?)"', frame, re.S)[1])
    assert inner == cancer[0].to_html()
