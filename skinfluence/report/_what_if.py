"""The tab of what-if: the model without groups of rows, and without rows that a reader picks."""

import numpy as np
from sklearn.metrics import accuracy_score, r2_score

from skinfluence.evaluation import agreement
from skinfluence.report._encode import name_text

# Groups on the page, flipped predictions listed for each, random picks that are refitted.
MOST_GROUPS, MOST_FLIPS, PICKS = 50, 20, 20

# A pick has from 1 to this many rows.
LARGEST_PICK = 10


def what_if(subject, table, shown):
    """Return the effects of groups, of single rows, and the error of their sums.

    Parameters
    ----------
    subject : Subject
    table : dict
        Of the tab of predictions.
    shown : ShownRows
    """
    return {
        "groups": _groups(subject, table),
        "n_groups": len(subject.groups),
        "rows": _rows(subject, shown),
    }


def predicted_of(decision, classes):
    """Labels (...) of decision values (...) of two classes or (..., K); else the values."""
    if classes is None:
        return decision
    if len(classes) == 2:
        return classes[(decision > 0).astype(int)]
    return classes[decision.argmax(axis=-1)]


def score_of(subject, predicted):
    """Score of predictions of all test rows: accuracy, or R2; None where one row has no R2."""
    if not subject.is_classifier and len(subject.y_test) < 2:
        return None
    score = accuracy_score if subject.is_classifier else r2_score
    return float(score(subject.y_test, predicted, sample_weight=subject.test_weight))


def _groups(subject, table):
    """Joint effects of the largest groups, over all test rows."""
    if not subject.groups:
        return []
    largest = sorted(subject.groups, key=lambda group: -len(group[1]))[:MOST_GROUPS]
    classes, rows = subject.problem.classes, [group for _, group in largest]
    base = subject.values(subject.decision)
    options = {"return_info": True}
    change, info = subject.view.group_influence(
        rows, subject.X_test, target=subject.decision, **options
    )
    loss = None
    if subject.y_test is not None:
        loss = subject.view.group_influence(
            rows,
            subject.X_test,
            subject.y_test,
            aggregate="mean",
            test_sample_weight=subject.test_weight,
        )
    before = predicted_of(base, classes)
    found = []
    for position, (name, group) in enumerate(largest):
        after = predicted_of(base + change[:, position], classes)
        known = bool(np.isfinite(change[:, position]).all())
        entry = {
            "name": name_text(name),
            "n_rows": len(group),
            "method": str(info.method[position]),
            "loss": None if loss is None or not known else float(loss[position]),
            "score": None,
            "flips": [],
            "n_flips": None,
        }
        if known and subject.y_test is not None:
            entry["score"] = score_of(subject, after)
        if known and subject.is_classifier:
            flipped = np.flatnonzero(before != after)
            entry["n_flips"] = len(flipped)
            entry["flips"] = [
                (name_text(subject.test_names[t]), name_text(before[t]), name_text(after[t]))
                for t in flipped[:MOST_FLIPS]
            ]
        found.append(entry)
    return found


def _rows(subject, shown):
    """Newton steps without each row of the pool, read at the shown test rows."""
    X = subject.some(shown.tests)
    y = None if subject.y_test is None else subject.y_test[shown.tests]
    asked = {"method": "newton", "train_indices": shown.pool}
    found = {
        "decision": subject.values(subject.decision, shown.tests),
        "decision_change": subject.view.influence(X, target=subject.decision, **asked),
        "loss": None,
        "loss_change": None,
        "mean_loss_change": None,
    }
    if y is not None:
        found["loss"] = subject.values("loss", shown.tests)
        found["loss_change"] = subject.view.influence(X, y, **asked)
        found["mean_loss_change"] = subject.mean_influence(**asked)
    return found | {"error": _error(subject, shown, found)}


def _picks(r):
    """Random sets of positions among r rows, the same at each call."""
    random = np.random.default_rng(0)
    most = min(LARGEST_PICK, r - 1)
    return [random.choice(r, random.integers(1, most + 1), replace=False) for _ in range(PICKS)]


def _error(subject, shown, rows):
    """Error of sums of single steps against the refits without random picks of rows."""
    if len(shown.pool) < 3:
        return None
    picks = _picks(len(shown.pool))
    without = [shown.pool[pick] for pick in picks]
    asked = {"method": "exact", "target": subject.decision}
    actual = subject.view.group_influence(without, subject.some(shown.tests), **asked)
    estimated = np.stack([rows["decision_change"][:, pick].sum(axis=1) for pick in picks], axis=1)
    known = np.isfinite(actual) & np.isfinite(estimated)
    found = {"n_picks": PICKS, "largest": max(map(len, picks))}
    if not known.any() or np.ptp(actual[known]) == 0:
        return found
    line = agreement(estimated[known], actual[known])
    found["decision"] = {"slope": line.slope, "relative_rmse": line.relative_rmse}
    if subject.is_classifier:
        found |= _flips(subject, rows["decision"], estimated, actual)
    if subject.y_test is not None:
        X, y = subject.some(shown.tests), subject.y_test[shown.tests]
        losses = subject.view.group_influence(without, X, y, method="exact", aggregate="mean")
        sums = np.array([rows["loss_change"][:, pick].sum(axis=1).mean() for pick in picks])
        good = np.isfinite(losses) & np.isfinite(sums)
        if good.sum() > 1 and np.ptp(losses[good]) > 0:
            line = agreement(sums[good], losses[good])
            found["loss"] = {"slope": line.slope, "relative_rmse": line.relative_rmse}
    return found


def _flips(subject, base, estimated, actual):
    """How many flipped predictions the sums foresee, miss, and see where there are none."""
    classes = subject.problem.classes
    before = predicted_of(base, classes)[:, None]
    base = base[:, None]
    foreseen = predicted_of(base + estimated, classes) != before
    happened = predicted_of(base + actual, classes) != before
    return {
        "n_flips": int(happened.sum()),
        "n_foreseen": int((foreseen & happened).sum()),
        "n_false": int((foreseen & ~happened).sum()),
    }
