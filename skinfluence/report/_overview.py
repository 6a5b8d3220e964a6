"""The tab of the overview: the model, its scores, and the rows to look at first."""

from itertools import cycle

import numpy as np
from sklearn.metrics import get_scorer

from skinfluence.report._encode import clipped, name_text

LOOK_AT = 5
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
        "look": _look(subject, table, shown, estimate, mean_influence),
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
        test = None
        if subject.y_test is not None and (scoring != "r2" or len(subject.y_test) > 1):
            test = float(get_scorer(scoring)(subject.view, subject.X_test, subject.y_test))
        score = None if np.isnan(pooled.score) else float(pooled.score)
        found.append({"name": scoring, "loo": score, "test": test})
    return found


def _look(subject, table, shown, estimate, mean_influence):
    """At most five rows, each for another reason where there are so many, with the reason."""
    reasons = [r for r in _reasons(subject, table, shown, estimate, mean_influence) if r]
    found, seen, said = [], set(), []
    walks = [(kind, iter(order), sentence) for kind, order, sentence in reasons]
    for kind, order, sentence in cycle(walks) if walks else ():
        row = next((int(row) for row in order if (kind, int(row)) not in seen), None)
        if row is None:
            walks = [walk for walk in walks if walk[1] is not order]
            if len(seen) >= len(subject.test_names) + len(subject.train_names):
                break
            continue
        seen.add((kind, row))
        reason = sentence(row)
        if sentence in said:
            reason = f"Next: {reason[0].lower()}{reason[1:]}"
        said.append(sentence)
        found.append({"kind": kind, "row": row, "reason": reason})
        if len(found) == LOOK_AT:
            break
    return found


def _reasons(subject, table, shown, estimate, mean_influence):
    """(Kind, rows in order, function from a row to a sentence) of each reason to look."""
    loss = np.where(np.isnan(estimate.loss), -np.inf, estimate.loss)
    leverage = np.nan_to_num(estimate.leverage, nan=-np.inf)
    mean_leverage = float(np.nanmean(estimate.leverage))
    labels = subject.problem.labels

    def expectation(row):
        if estimate.predict_proba is not None:
            p = _own_probability(subject, estimate, row)
            return f"the others give its label {name_text(labels[row])} {_percent(p)}"
        if estimate.prediction is not None:
            return (
                f"the others predict {estimate.prediction[row]:.4g} where it has {labels[row]:.4g}"
            )
        return f"its loss without it is {estimate.loss[row]:.3g}, label {name_text(labels[row])}"

    yield _worst_test(subject, table, shown)
    if subject.audit is not None and subject.audit.error_probability_ is not None:
        audit = subject.audit
        yield (
            "train",
            audit.issues(),
            lambda row: (
                f"The label {name_text(labels[row])} is wrong with "
                f"{_percent(audit.error_probability_[row])}; "
                f"{name_text(audit.suggested_label_[row])} is suggested."
            ),
        )
    yield (
        "train",
        np.argsort(-loss, kind="stable"),
        lambda row: f"The training row that the others expect least: {expectation(row)}.",
    )
    if mean_influence is not None:
        known = np.nan_to_num(mean_influence)
        yield (
            "train",
            np.argsort(known, kind="stable"),
            lambda row: (
                f"The most harmful training row: without it the mean test loss changes by "
                f"{mean_influence[row]:+.3g}."
            ),
        )
        yield (
            "train",
            np.argsort(-known, kind="stable"),
            lambda row: (
                f"The most helpful training row: without it the mean test loss changes by "
                f"{mean_influence[row]:+.3g}."
            ),
        )
    yield (
        "train",
        np.argsort(-leverage, kind="stable"),
        lambda row: (
            f"The training row with the most leverage: {leverage[row]:.3g}, where the mean is "
            f"{mean_leverage:.3g}."
        ),
    )


def _own_probability(subject, estimate, row):
    """Leave-one-out probability of a training row's own label."""
    own = estimate.predict_proba[row]
    code = subject.problem.classes.tolist().index(subject.problem.labels[row])
    if np.ndim(own) == 0:
        return float(own if code == 1 else 1.0 - own)
    return float(own[code])


def _percent(probability):
    """Words for a probability; that it is not quite 1, or 0, is seen."""
    if probability > 0.995:
        return "more than 99 %"
    if probability < 0.005:
        return "less than 1 %"
    return f"{100 * probability:.0f} %"


def _worst_test(subject, table, shown):
    """The reason to look at a test row: the largest loss; None without labels."""
    if "loss" not in table:
        return None

    def sentence(row):
        given, predicted = table["given"][row], table["predicted"][row]
        if not subject.is_classifier:
            return (
                f"The test row with the largest loss: predicted {predicted:.4g}, it has "
                f"{given:.4g}."
            )
        sure = ""
        if "probability" in table:
            sure = f" with {_percent(table['probability'][row])}"
        wrong = table["is_error"][row]
        return (
            f"The {'error' if wrong else 'test row'} with the largest loss: predicted "
            f"{name_text(predicted)}{sure}, its label is {name_text(given)}."
        )

    return "test", shown.order, sentence
