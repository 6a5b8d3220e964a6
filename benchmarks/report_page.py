"""`python -m benchmarks.report_page`: size, time to make, and first paint of a large report.

5,000 test rows, 20,000 training rows of 30 features with named rows, 50 suspects and 50 groups. The
page is opened in headless Chromium; the median of five first paints counts.
"""

import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.datasets import make_classification

from skinfluence import InfluenceLogisticRegression, InfluenceReport
from skinfluence.labels import LabelAudit

N_TRAIN, N_TEST = 20_000, 5_000
LARGEST_MB, SLOWEST_MS = 1.5, 1000.0


def make():
    """The report, and the seconds of one core that it took."""
    X, y = make_classification(N_TRAIN + N_TEST, 30, n_informative=12, flip_y=0.05, random_state=0)
    y = np.array(["no", "yes"])[y]
    names = np.array([f"customer {i:06d}" for i in range(len(y))])
    clf = InfluenceLogisticRegression().fit(X[:N_TRAIN], y[:N_TRAIN])
    audit = LabelAudit(clf, regularization=None).fit(X[:N_TRAIN], y[:N_TRAIN])
    start = time.process_time()
    report = InfluenceReport(
        clf,
        X[N_TRAIN:],
        y[N_TRAIN:],
        audit=audit,
        groups={f"group {i}": np.arange(400 * i, 400 * (i + 1)) for i in range(50)},
        row_labels=(names[:N_TRAIN], names[N_TRAIN:]),
    )
    return report, time.process_time() - start


def first_paints(path, repeats=5):
    """First contentful paints of a file, in milliseconds."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    entry = "performance.getEntriesByName('first-contentful-paint')[0]"
    found = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(repeats):
            page = browser.new_page()
            page.goto(path.as_uri())
            # Playwright's wait_for_function evaluates in a timer, which the page's policy forbids.
            while not page.evaluate(entry):
                page.wait_for_timeout(10)
            found.append(page.evaluate(f"{entry}.startTime"))
            page.close()
        browser.close()
    return found


def main():
    report, seconds = make()
    with tempfile.TemporaryDirectory() as folder:
        path = report.write_html(Path(folder) / "report.html")
        size = path.stat().st_size / 1e6
        paint = float(np.median(first_paints(path)))
    shown = report.data["shown"]
    suspects = len(report.data["labels"]["rows"])
    print(f"{N_TEST:,} test rows ({len(shown.tests)} with details), {N_TRAIN:,} training rows")
    print(f"({len(shown.behind):,} behind them), {suspects} suspects, 50 groups")
    print(f"made in     {seconds:6.1f} s of one core")
    print(f"size        {size:6.2f} MB   (at most {LARGEST_MB})")
    print(f"first paint {paint:6.0f} ms   (at most {SLOWEST_MS:.0f})")
    if size > LARGEST_MB or paint > SLOWEST_MS:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
