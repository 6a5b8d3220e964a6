"""The tab of predictions: all test rows, and the training rows behind some of them."""

import numpy as np

from skinfluence.debugging.differences import difference_effects

# Features named for a pair of a test row and a training row.
FEATURES = 3


def predictions(subject):
    """Return the table of all test rows: predictions, and with labels losses and errors.

    Parameters
    ----------
    subject : Subject

    Returns
    -------
    dict
        Arrays (m,): predicted; given, loss, is_error with labels; probability of the predicted
        class (m,) and `output` (m,) or (m, K), what is shown as the prediction.
    """
    table = {"predicted": subject.predicted(), "output": subject.values(subject.output)}
    if subject.y_test is not None:
        table["given"] = np.asarray(subject.y_test)
        table["loss"] = subject.values("loss")
        if subject.is_classifier:
            table["is_error"] = table["given"] != table["predicted"]
        else:
            table["is_error"] = np.zeros(len(table["loss"]), dtype=bool)
    if subject.output == "predict_proba":
        table["probabilities"] = two_columns(table["output"])
        table["probability"] = table["probabilities"].max(axis=1)
    return table


def two_columns(probabilities):
    """Probabilities (..., K) of all classes, from those of the second class of two or of all."""
    probabilities = np.asarray(probabilities)
    if probabilities.ndim == 2:
        return probabilities
    return np.stack([1.0 - probabilities, probabilities], axis=-1)


def details(subject, shown, loo):
    """Return what is known of the shown test rows and their influential training rows.

    Parameters
    ----------
    subject : Subject
    shown : ShownRows
    loo : LeaveOneOutEstimate

    Returns
    -------
    dict
        `before` (s, ...), `without` and `relabelled` (s, 2k, ...): the output with all rows,
        without one, and with its other label; `other_labels` (r,) of the training rows; features.
    """
    X = subject.some(shown.tests)
    before = subject.values(subject.output, shown.tests)
    pairs = np.concatenate([shown.helpful, shown.harmful], axis=1)
    row = np.arange(len(shown.tests))[:, None]
    removed = subject.view.influence(X, target=subject.output, train_indices=shown.behind)
    found = {"before": before, "without": before[:, None] + removed[row, pairs]}
    if subject.is_classifier:
        other = other_labels(subject, loo)[shown.behind]
        relabelled = subject.view.relabel_influence(
            X, labels=other, target=subject.output, train_indices=shown.behind
        )
        found["other_labels"] = other
        found["relabelled"] = before[:, None] + relabelled[row, pairs]
    return found | _features(subject, shown, pairs)


def other_labels(subject, loo):
    """Return the most probable label of each training row, without it, other than its own."""
    problem = subject.problem
    scores = loo.decision_function
    if scores.ndim == 1:  # the score of the second class
        scores = np.stack([-scores, scores], axis=1)
    own = problem.labels[:, None] == problem.classes
    scores = np.where(np.isnan(scores), 0.0, scores)  # where there is no model without the row
    return problem.classes[np.where(own, -np.inf, scores).argmax(axis=1)]


def _features(subject, shown, pairs):
    """Features in which the rows of each pair differ most, by gradient times difference."""
    k = min(FEATURES, subject.problem.objective.design.n_features)
    shape = (*pairs.shape, k)
    found = {
        "feature": np.zeros(shape, dtype=np.intp),
        "effect": np.zeros(shape),
        "train_value": np.zeros(shape),
        "test_value": np.zeros(shape),
    }
    try:
        for s, test in enumerate(shown.tests):
            label = None if shown.labels is None else shown.labels[[test]]
            asked = (subject.some([test]), label, shown.behind[pairs[s]], shown.asked)
            effects, train, test_values = difference_effects(subject.view, subject.problem, *asked)
            top = np.argsort(-np.abs(effects), axis=1, kind="stable")[:, :k]
            found["feature"][s] = top
            found["effect"][s] = np.take_along_axis(effects, top, axis=1)
            found["train_value"][s] = np.take_along_axis(train, top, axis=1)
            found["test_value"][s] = test_values[top]
    except NotImplementedError as error:
        return {"features_missing": str(error)}
    return found
