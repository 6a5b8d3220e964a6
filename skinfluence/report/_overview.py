"""The tab of the overview: the model, its scores, and the rows to look at first."""

import numpy as np
from sklearn.metrics import get_scorer, log_loss

from skinfluence.report._encode import clipped, name_text
from skinfluence.report._look import rows_to_look_at

SCORES = {
    "probabilities": ("accuracy", "neg_log_loss"),
    "decisions": ("accuracy",),
    "numbers": ("r2", "neg_mean_squared_error", "neg_mean_absolute_error"),
}


def overview(subject, table, shown, loo, estimate, mean_influence):
    """Return facts, scores, counts of rows and the rows to look at first.

    Parameters
    ----------
    subject : Subject
    table : dict
        Of the tab of predictions.
    shown : ShownRows
    loo : LooPredictions
    estimate : LeaveOneOutEstimate
    mean_influence : ndarray of shape (n_train,) or None
        On the mean loss of all test rows; None without labels.
    """
    problem = subject.problem
    bound = estimate.error_bound
    kinds, counts = np.unique(estimate.method, return_counts=True)
    return {
        "facts": _facts(subject),
        "scores": _scores(subject, loo),
        "loss": {
            "loo": estimate.mean_loss,
            "standard_error": estimate.standard_error,
            "train": estimate.train_loss,
        },
        "routes": {str(kind): int(count) for kind, count in zip(kinds, counts, strict=True)},
        "certified": int((np.isfinite(bound) & (estimate.method != "undefined")).sum()),
        "undefined": [
            name_text(name) for name in subject.train_names[estimate.method == "undefined"][:20]
        ],
        "look": rows_to_look_at(subject, table, shown, estimate, mean_influence),
        "n_parameters": int(problem.objective.n_parameters),
    }


def _facts(subject):
    """Pairs of words that say what the model is."""
    problem = subject.problem
    model = getattr(subject.view, "estimator_", subject.view)
    facts = [
        ("Model", clipped(model, 400)),
        ("Last step", type(problem.model).__name__),
        ("Training rows", f"{problem.objective.n_rows:,}"),
        ("Test rows", f"{len(subject.test_names):,}"),
        ("Features of the last step", f"{problem.objective.design.n_features:,}"),
        ("Parameters", f"{problem.objective.n_parameters:,}"),
    ]
    if subject.test_weight is not None:
        weight = subject.test_weight
        facts.append(("Weights of test rows", f"from {weight.min():.4g} to {weight.max():.4g}"))
    if subject.is_classifier:
        counts = {c: int((problem.labels == c).sum()) for c in problem.classes.tolist()}
        shown = ", ".join(f"{name_text(c)} ({counts[c]:,} rows)" for c in list(counts)[:20])
        more = f", and {len(counts) - 20} more" if len(counts) > 20 else ""
        facts.append(("Classes", shown + more))
    return facts


def _scores(subject, loo):
    """Leave-one-out scores beside those of the test rows."""
    problem = subject.problem
    kind = "numbers"
    if subject.is_classifier:
        kind = "probabilities" if problem.link.has_probabilities else "decisions"
    found = []
    for scoring in SCORES[kind]:
        pooled = problem.estimate(loo, scoring)
        test = None if subject.y_test is None else _test_score(subject, scoring)
        score = None if np.isnan(pooled.score) else float(pooled.score)
        found.append({"name": scoring, "loo": score, "test": test})
    return found


def _test_score(subject, scoring):
    """Score of the test rows; None for an R2 of one row, which has none."""
    X, y, weight = subject.X_test, subject.y_test, subject.test_weight
    if scoring == "neg_log_loss":  # the scorer asks for test rows of every class
        probabilities, classes = subject.view.predict_proba(X), subject.problem.classes
        return -float(log_loss(y, probabilities, labels=classes, sample_weight=weight))
    if scoring == "r2" and len(y) < 2:
        return None
    return float(get_scorer(scoring)(subject.view, X, y, sample_weight=weight))
