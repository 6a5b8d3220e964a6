"""The tab of labels: what an audit suspects, the evidence, and what fixing is worth."""

import hashlib

import numpy as np

from skinfluence._validation import distinct_texts
from skinfluence.problem import fitted_problem
from skinfluence.report._encode import name_text

# Suspects on the page, and rows of evidence for and against each.
MOST_SUSPECTS, WITNESSES = 50, 5


def labels(audit):
    """Return the suspects of an audit, the most suspect first.

    Parameters
    ----------
    audit : LabelAudit
        Fitted.

    Returns
    -------
    dict
        `rows` (s,) and the evidence as positions of training rows; `ids` as texts.
    """
    has_p = audit.error_probability_ is not None
    n = len(audit.ranking_)
    issues = audit.issues() if has_p else audit.ranking_
    rows = _suspects(audit, issues)
    k = min(WITNESSES, n - 1)
    evidence = [_evidence(audit.evidence(int(row), k)) for row in rows]
    ids = audit.row_ids(as_text=True)
    names = np.asarray(audit.classes_)
    own = np.searchsorted(names, fitted_problem(audit.estimator_).labels[rows])
    probability = np.full(len(rows), np.nan)
    if audit.pred_probs_ is not None:
        probability = audit.pred_probs_[rows, own]
    return {
        "rows": rows,
        "ids": [ids[row] for row in rows.tolist()],
        "given": own,
        "suggested": np.searchsorted(names, audit.suggested_label_[rows]),
        "error_probability": audit.error_probability_[rows] if has_p else None,
        "loo_probability": probability,
        "effect": audit.effect_of_fixing(rows),
        "evidence": evidence,
        "classes": distinct_texts(names).tolist(),
        "expected_errors": _number(audit.expected_errors_),
        "n_issues": len(issues) if has_p else None,
        "fingerprint": _fingerprint(audit),
    }


def _suspects(audit, issues):
    """Rows to show: the issues, and the next suspects up to the expected number of errors."""
    expected = 0.0 if np.isnan(audit.expected_errors_) else audit.expected_errors_
    least = int(np.clip(np.ceil(expected), 10, MOST_SUSPECTS))
    others = audit.ranking_[~np.isin(audit.ranking_, issues)]
    return np.r_[issues, others[: max(0, least - len(issues))]][:MOST_SUSPECTS]


def _evidence(found):
    """Rows and weights on both sides of one suspect."""
    return {
        "given": (found.given_indices, found.given_weights, found.given_total),
        "suggested": (found.suggested_indices, found.suggested_weights, found.suggested_total),
        "labels": (name_text(found.given_label), name_text(found.suggested_label)),
    }


def _fingerprint(audit):
    """Text that is the same for the same training rows, by which decisions are kept."""
    hashes = fitted_problem(audit.estimator_).record.fingerprint.rows
    return hashlib.sha256(np.ascontiguousarray(hashes).tobytes()).hexdigest()[:24]


def _number(value):
    """Return a float, None for NaN."""
    return None if np.isnan(value) else float(value)
