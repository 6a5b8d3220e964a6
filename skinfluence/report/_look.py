"""The rows to look at first, each with its reason in a sentence."""

from itertools import cycle

import numpy as np

from skinfluence.report._encode import name_text

LOOK_AT = 5


def rows_to_look_at(subject, table, shown, estimate, mean_influence):
    """Return at most five rows, each for another reason where there are so many.

    Parameters
    ----------
    subject : Subject
    table : dict
        Of the tab of predictions.
    shown : ShownRows
    estimate : LeaveOneOutEstimate
    mean_influence : ndarray of shape (n_train,) or None
        On the mean loss of all test rows; None without labels.

    Returns
    -------
    list of dict
        Each with kind ("test" or "train"), row (a position) and reason.
    """
    reasons = [
        _largest_loss(subject, table, shown),
        _suspect_label(subject),
        _least_expected(subject, estimate),
        _most_harmful(mean_influence),
        _most_helpful(mean_influence),
        _most_leverage(estimate),
    ]
    walks = [(kind, iter(order), say) for kind, order, say in filter(None, reasons)]
    found, seen, said, idle = [], set(), [], 0
    for kind, order, say in cycle(walks):
        row = next((int(row) for row in order if (kind, int(row)) not in seen), None)
        idle = idle + 1 if row is None else 0
        if idle == len(walks):  # every row is there
            break
        if row is None:
            continue
        seen.add((kind, row))
        reason = say(row)
        if say in said:
            reason = f"Next: {reason[0].lower()}{reason[1:]}"
        said.append(say)
        found.append({"kind": kind, "row": row, "reason": reason})
        if len(found) == LOOK_AT:
            break
    return found


# Each of these returns the kind of rows, the rows in order, and a function that says why.


def _largest_loss(subject, table, shown):
    """Test rows by their loss, errors first; None without labels."""
    if "loss" not in table:
        return None

    def say(row):
        given, predicted = table["given"][row], table["predicted"][row]
        if not subject.is_classifier:
            return (
                f"The test row with the largest loss: predicted {predicted:.4g}, it has "
                f"{given:.4g}."
            )
        sure = f" with {_percent(table['probability'][row])}" if "probability" in table else ""
        return (
            f"The {'error' if table['is_error'][row] else 'test row'} with the largest loss: "
            f"predicted {name_text(predicted)}{sure}, its label is {name_text(given)}."
        )

    return "test", shown.order, say


def _suspect_label(subject):
    """Training rows whose label is more likely wrong than right; None without an audit."""
    audit = subject.audit
    if audit is None or audit.error_probability_ is None:
        return None
    labels = subject.problem.labels

    def say(row):
        return (
            f"The label {name_text(labels[row])} is wrong with a probability of "
            f"{_percent(audit.error_probability_[row])}; "
            f"{name_text(audit.suggested_label_[row])} is suggested."
        )

    return "train", audit.issues(), say


def _least_expected(subject, estimate):
    """Training rows by the loss that they have under the model without them."""
    loss = np.where(np.isnan(estimate.loss), -np.inf, estimate.loss)
    labels = subject.problem.labels

    def say(row):
        begin = "The training row that the others expect least: "
        if estimate.predict_proba is not None:
            p = _percent(_own_probability(subject, estimate, row))
            label = name_text(labels[row])
            return f"{begin}the others give its label {label} a probability of {p}."
        if estimate.prediction is not None:
            predicted = f"{estimate.prediction[row]:.4g}"
            return f"{begin}the others predict {predicted} where it has {labels[row]:.4g}."
        label = name_text(labels[row])
        return f"{begin}its loss without it is {estimate.loss[row]:.3g}, its label {label}."

    return "train", np.argsort(-loss, kind="stable"), say


def _most_harmful(mean_influence):
    """Training rows by how far the mean test loss falls without them; None without labels."""
    if mean_influence is None:
        return None

    def say(row):
        return (
            f"The most harmful training row: without it the mean test loss changes by "
            f"{mean_influence[row]:+.3g}."
        )

    return "train", np.argsort(np.nan_to_num(mean_influence), kind="stable"), say


def _most_helpful(mean_influence):
    """Training rows by how far the mean test loss rises without them; None without labels."""
    if mean_influence is None:
        return None

    def say(row):
        return (
            f"The most helpful training row: without it the mean test loss changes by "
            f"{mean_influence[row]:+.3g}."
        )

    return "train", np.argsort(-np.nan_to_num(mean_influence), kind="stable"), say


def _most_leverage(estimate):
    """Training rows by their leverage."""
    leverage = np.nan_to_num(estimate.leverage, nan=-np.inf)
    mean = float(np.nanmean(estimate.leverage))

    def say(row):
        return (
            f"The training row with the most leverage: {leverage[row]:.3g}, where the mean is "
            f"{mean:.3g}."
        )

    return "train", np.argsort(-leverage, kind="stable"), say


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
