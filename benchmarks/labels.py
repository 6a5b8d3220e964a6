"""`python -m benchmarks.labels [--problem NAME] [--rate .1] [--table]`: wrong labels found.

Labels are flipped at random to another class, at 5, 10 and 20 % of the rows; five seeds that were
never used while the audit was built. `LabelAudit` against shuffled stratified five-fold
probabilities ranked by cleanlab, at the given C and at the C with the least five-fold log loss.
Results are kept in a file beside the script (labels.json) as they come, and each line runs once.
"""

import argparse
import csv
import gzip
import json
import os
import time
import warnings
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, log_loss
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.preprocessing import scale

from skinfluence.labels import LabelAudit
from skinfluence.problem import fitted_problem

SEEDS = (101, 102, 103, 104, 105)
RATES = (0.1, 0.05, 0.2)
DECADES = 10.0 ** np.arange(-3, 2)
# Problems on which a fit takes minutes, and the scores at the given C are left out.
CHOSEN_ONLY = {"enron1"}
# Seconds of five folds up to which they are timed twice: other processes, and compiled loops.
QUICK = 5.0
RESULTS = Path(__file__).with_name("labels.json")


def _folder():
    folder = os.environ.get("SKINFLUENCE_DATA")
    if not folder:
        raise FileNotFoundError("SKINFLUENCE_DATA names no folder of data sets")
    return Path(folder)


def breast_cancer():
    X, y = load_breast_cancer(return_X_y=True)
    return scale(X), y, 1.0


def digits_3_8():
    X, y = load_digits(return_X_y=True)
    keep = np.isin(y, (3, 8))
    return X[keep] / 16.0, y[keep] // 8, 1.0


def digits():
    X, y = load_digits(return_X_y=True)
    return X / 16.0, y, 1.0


def spambase():
    with gzip.open(_folder() / "small_tabular" / "spambase.csv.gz", "rt") as file:
        lines = [line for line in csv.reader(file) if line][1:]
    table = np.array(lines, dtype=float)
    return scale(table[:, :-1]), table[:, -1].astype(int), 1.0


def enron1():
    stored = np.load(_folder() / "enron1_spam" / "enron1_bow.npz")
    parts = (stored["data"].astype(float), stored["indices"], stored["indptr"])
    X = sp.csr_array(parts, shape=tuple(stored["shape"]))
    n = 4137
    return X[:n], stored["y"][:n].astype(int), 1.0 / (n * 1e-4)


PROBLEMS = {
    "breast cancer": breast_cancer,
    "digits 3 v 8": digits_3_8,
    "digits": digits,
    "spambase": spambase,
    "enron1": enron1,
}


def flipped(y, rate, seed):
    """Labels of which a share is another one at random, and which these are."""
    rng, K = np.random.default_rng(seed), len(np.unique(y))
    rows = rng.choice(len(y), round(rate * len(y)), replace=False)
    given = y.copy()
    given[rows] = (y[rows] + rng.integers(1, K, len(rows))) % K
    return given, given != y


def measures(scores, wrong):
    """Share found in the first 10 and 20 %, and average precision."""
    order, n = np.argsort(-scores, kind="stable"), len(wrong)
    hits = np.cumsum(wrong[order]) / wrong.sum()
    found = [float(hits[round(share * n) - 1]) for share in (0.1, 0.2)]
    return [*found, float(average_precision_score(wrong, scores))]


def logistic(C):
    return LogisticRegression(C=C, max_iter=1000)


def out_of_fold(X, y, C, seed):
    """Probabilities of shuffled stratified five folds, and their seconds of CPU time."""
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    start = time.process_time()
    P = cross_val_predict(logistic(C), X, y, cv=folds, method="predict_proba")
    return P, time.process_time() - start


def audited(X, y, C, **options):
    """A fitted audit, and its seconds of CPU time."""
    start = time.process_time()
    audit = LabelAudit(logistic(C), **options).fit(X, y)
    return audit, time.process_time() - start


def cleanlab_scores(y, P):
    """Suspicion by cleanlab's default ranking."""
    from cleanlab.rank import get_label_quality_scores

    return -get_label_quality_scores(y, P)


def at_given_C(X, given, C, wrong):
    """Measures of the scores at the given C."""
    own, _ = audited(X, given, C, regularization=None)
    influence = own.estimator_.self_influence(method="first_order")
    return {
        "noise model": measures(own.scores_, wrong),
        "leave-one-out loss": measures(own.loo_estimate_.loss, wrong),
        "train loss": measures(fitted_problem(own.estimator_).objective.row_losses, wrong),
        "self-influence": measures(influence, wrong),
    }


def line(problem, rate, seed):
    """Everything that is measured on one draw."""
    X, y, C = PROBLEMS[problem]()
    given, wrong = flipped(y, rate, seed)
    warnings.simplefilter("ignore", ConvergenceWarning)
    audit, seconds = audited(X, given, C)
    P, fold_seconds = out_of_fold(X, given, C, seed)
    if fold_seconds < QUICK:  # the better of two, by turns
        seconds = min(seconds, audited(X, given, C)[1])
        fold_seconds = min(fold_seconds, out_of_fold(X, given, C, seed)[1])
    found = {"noise model, C chosen": measures(audit.scores_, wrong)}
    found["leave-one-out loss, C chosen"] = measures(audit.loo_estimate_.loss, wrong)
    if problem not in CHOSEN_ONLY:
        found |= at_given_C(X, given, C, wrong)
    folds = {C * ten: out_of_fold(X, given, C * ten, seed)[0] for ten in DECADES if ten != 1.0}
    folds[C] = P
    best = min(folds, key=lambda value: log_loss(given, folds[value]))
    found["cleanlab"] = measures(cleanlab_scores(given, P), wrong)
    found["cleanlab, C chosen"] = measures(cleanlab_scores(given, folds[best]), wrong)
    low, high = audit.expected_errors_interval_
    issues = audit.issues()
    return {
        "found": found,
        "issues": [len(issues), int(wrong[issues].sum()), int(wrong.sum())],
        "posterior": float(np.nansum(audit.error_probability_) / wrong.sum()),
        "expected": audit.expected_errors_ / wrong.sum(),
        "covered": bool(low <= wrong.sum() <= high),
        "chosen": audit.regularization_ / C,
        "seconds": seconds,
        "fold_seconds": fold_seconds,
        "ratio": seconds / fold_seconds,
    }


def people():
    """Markdown: labels of MNIST's test images that most of five workers did not confirm.

    Only 100 images were looked at (Northcutt, Athalye & Mueller 2021); the others count as right.
    Ten classes on 50 principal components.
    """
    with np.load(_folder() / "mnist" / "mnist.npz") as mnist:
        X, y = mnist["x_test"].reshape(-1, 784) / 255.0, mnist["y_test"].astype(int)
    checked = json.loads((_folder() / "label_errors_mnist" / "mnist_mturk.json").read_text())
    wrong = np.zeros(len(y), dtype=bool)
    wrong[[one["id"] for one in checked if one["mturk"]["given"] < 3]] = True
    X = PCA(50, random_state=0).fit_transform(X)
    warnings.simplefilter("ignore", ConvergenceWarning)
    audit, _ = audited(X, y, 1.0)
    scores = {
        "noise model, C chosen": audit.scores_,
        "leave-one-out loss, C chosen": audit.loo_estimate_.loss,
        "cleanlab": cleanlab_scores(y, out_of_fold(X, y, 1.0, SEEDS[0])[0]),
    }
    model = audit.estimator_
    scores["train loss, C chosen"] = fitted_problem(model).objective.row_losses
    scores["self-influence, C chosen"] = model.self_influence(method="first_order")
    lines = [
        f"{wrong.sum()} of {len(y)} labels; expected {audit.expected_errors_:.0f}.",
        "",
        "| who | in the first 50 | 100 | 200 | 500 | average precision |",
        "|---|---|---|---|---|---|",
    ]
    for who, values in scores.items():
        hits = np.cumsum(wrong[np.argsort(-values, kind="stable")])
        cells = " | ".join(str(hits[m - 1]) for m in (50, 100, 200, 500))
        lines.append(f"| {who} | {cells} | {average_precision_score(wrong, values):.3f} |")
    return "\n".join(lines)


def _issues(results):
    """Text: how many issues there are, how many of them are wrong labels, and of how many."""
    known = [one["issues"] for one in results if "issues" in one]
    if not known:
        return ""
    count, right, wrong = np.mean(known, axis=0)
    return f"{count:.0f} ({right:.0f}) of {wrong:.0f}"


def read():
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def run(problems, rates, seeds):
    """Measure what is not there yet."""
    for rate in rates:
        for problem in problems:
            for seed in seeds:
                key = f"{problem}|{rate}|{seed}"
                if key not in read():
                    found = line(problem, rate, seed)
                    RESULTS.write_text(json.dumps({**read(), key: found}, indent=1) + "\n")
                    print(
                        key,
                        found["found"]["noise model, C chosen"],
                        f"{found['ratio']:.1f} x",
                        flush=True,
                    )


def table():
    """Markdown: means over the seeds."""
    results = read()
    lines = [
        "| problem | flips | who | found in 10 % | in 20 % | average precision |",
        "|---|---|---|---|---|---|",
    ]
    notes = [
        "| problem | flips | seeds | expected / true errors | interval covers | C chosen / given "
        "| time / 5 folds | issues (right) of wrong labels |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for problem in PROBLEMS:
        for rate in sorted(RATES):
            some = [results[f"{problem}|{rate}|{seed}"] for seed in SEEDS
                    if f"{problem}|{rate}|{seed}" in results]  # fmt: skip
            if not some:
                continue
            for who in some[-1]["found"]:
                mean = np.mean([one["found"][who] for one in some], axis=0)
                cells = " | ".join(f"{value:.3f}" for value in mean)
                lines.append(f"| {problem} | {rate:.0%} | {who} | {cells} |")
            chosen = sorted({f"{one['chosen']:g}" for one in some})
            expected = [one["expected"] for one in some]
            notes.append(
                f"| {problem} | {rate:.0%} | {len(some)} | {np.mean(expected):.2f} "
                f"({min(expected):.2f} to {max(expected):.2f}) | "
                f"{sum(one['covered'] for one in some)} of {len(some)} | {', '.join(chosen)} | "
                f"{np.median([one['ratio'] for one in some]):.1f} | {_issues(some)} |"
            )
    return "\n".join([*lines, "", *notes])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problem", choices=list(PROBLEMS), action="append")
    parser.add_argument("--rate", type=float, action="append")
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--people", action="store_true", help="labels that people got wrong")
    parser.add_argument("--table", action="store_true", help="print what was measured")
    options = parser.parse_args()
    if options.people:
        print(people())
        return
    if not options.table:
        run(options.problem or list(PROBLEMS), options.rate or RATES, options.seed or SEEDS)
    print(table())


if __name__ == "__main__":
    main()
