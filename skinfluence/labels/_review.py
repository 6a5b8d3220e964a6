"""A review of labels: how fast the errors are found, and the labels after the decisions."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass

import numpy as np
from sklearn.base import clone
from sklearn.metrics import accuracy_score

from skinfluence._frames import DataFrame, Result, data_frame
from skinfluence._validation import listed, naming, shown
from skinfluence.explainer import weight_params

DECISIONS = ("keep", "drop", "relabel")


@dataclass(frozen=True, repr=False)
class ReviewCurve(Result):
    """Errors found and test accuracy against the number of rows checked in order of suspicion.

    Attributes
    ----------
    checked : ndarray of int, shape (m,)
        Numbers of rows checked, the most suspect first, from 0 to n.
    found : ndarray of shape (m,)
        Share of the wrong labels among them.
    random_found : ndarray of shape (m,)
        Expected share for rows checked in random order.
    accuracy, random_accuracy : ndarray of shape (m,), or None
        Test accuracy of the model fitted with the labels of the checked rows corrected, in order of
        suspicion and, as a mean, in random orders; None without test rows.
    n_rows, n_errors : int
        Training rows, and wrong labels among them.
    """

    checked: np.ndarray
    found: np.ndarray
    random_found: np.ndarray
    accuracy: np.ndarray | None
    random_accuracy: np.ndarray | None
    n_rows: int
    n_errors: int

    def __repr__(self):
        """How many errors the first tenth and fifth of the rows have."""
        shares = [np.interp(part * self.n_rows, self.checked, self.found) for part in (0.1, 0.2)]
        return (
            f"ReviewCurve of {self.n_errors} errors in {self.n_rows} rows: {shares[0]:.0%} found "
            f"in the first 10 %, {shares[1]:.0%} in the first 20 %"
        )

    def to_frame(self) -> DataFrame:
        """Return one line for each number of rows checked, as a pandas DataFrame.

        Returns
        -------
        pandas.DataFrame
            Columns checked, found, random_found, and accuracy and random_accuracy if there are.
        """
        columns = {
            "checked": self.checked,
            "found": self.found,
            "random_found": self.random_found,
        }
        if self.accuracy is not None:
            columns |= {"accuracy": self.accuracy, "random_accuracy": self.random_accuracy}
        return data_frame(columns)


def curve(wrong, ranking, checked, fit_and_score, random_orders):
    """Return the ReviewCurve of a ranking.

    Parameters
    ----------
    wrong : ndarray of bool, shape (n,)
    ranking : ndarray of int, shape (n,)
    checked : ndarray of int, shape (m,)
    fit_and_score : callable or None
        From positions of corrected rows to the test accuracy.
    random_orders : list of ndarray of int, shape (n,)
    """
    hits = np.r_[0, np.cumsum(wrong[ranking])]
    accuracy = random_accuracy = None
    if fit_and_score is not None:
        accuracy = np.array([fit_and_score(ranking[:m]) for m in checked])
        random_accuracy = np.mean(
            [[fit_and_score(order[:m]) for m in checked] for order in random_orders], axis=0
        )
    return ReviewCurve(
        checked=checked,
        found=hits[checked] / wrong.sum(),
        random_found=checked / len(wrong),
        accuracy=accuracy,
        random_accuracy=random_accuracy,
        n_rows=len(wrong),
        n_errors=int(wrong.sum()),
    )


def refit_and_score(estimator, data, y_true, X_test, y_test):
    """Return a function from positions to the test accuracy with the labels there corrected."""
    X, y, sample_weight = data

    def fit_and_score(rows):
        """Return the accuracy of the model fitted with corrected rows."""
        corrected = np.array(y, copy=True)
        corrected[rows] = y_true[rows]
        model = clone(estimator).fit(X, corrected, **weight_params(estimator, sample_weight))
        with naming("X_test"):
            predicted = model.predict(X_test)
        return float(accuracy_score(y_test, predicted))

    return fit_and_score


def checked_decisions(decisions, ids, classes):
    """Return (position, kind, label) of every decision; raise on what cannot be carried out.

    Parameters
    ----------
    decisions : mapping or iterable of pairs
        From row ids to "keep", "drop", "relabel" (to the suggested label) or ("relabel", label).
    ids : ndarray of shape (n,)
    classes : ndarray
    """
    pairs = list(decisions.items() if isinstance(decisions, Mapping) else _pairs(decisions))
    position = {row_id: row for row, row_id in enumerate(ids.tolist())}
    given = [getattr(row_id, "item", lambda row_id=row_id: row_id)() for row_id, _ in pairs]
    seen, twice, unknown = set(), [], []
    for row_id in given:
        if not isinstance(row_id, Hashable):
            raise ValueError(
                f"decisions should be keyed by the ids that row_ids() returns; got {shown(row_id)}."
            )
        if row_id not in position:
            unknown.append(shown(row_id))
        elif row_id in seen:
            twice.append(shown(row_id))
        seen.add(row_id)
    if unknown:
        raise ValueError(
            f"decisions name rows that the audit has not seen: {listed(unknown)}. Use the ids that "
            "row_ids() returns: the index of the data frame where its labels are unique."
        )
    if twice:
        raise ValueError(
            f"decisions name rows twice: {listed(twice)}. Give one decision for each row."
        )
    return [
        (position[row_id], *_decision(row_id, decision, classes))
        for row_id, (_, decision) in zip(given, pairs, strict=True)
    ]


def _pairs(decisions):
    """Pairs (id, decision) of a pandas Series or an iterable of pairs."""
    if hasattr(decisions, "items"):
        return decisions.items()
    try:
        return [(row_id, decision) for row_id, decision in decisions]
    except (TypeError, ValueError) as error:
        raise ValueError(
            "decisions should be a mapping from row ids to decisions, or pairs of the two; got "
            f"{decisions!r}."
        ) from error


def _decision(row_id, decision, classes):
    """(kind, label or None) of a decision about one row."""
    if isinstance(decision, str) and decision in DECISIONS:
        return decision, None
    if isinstance(decision, tuple | list) and len(decision) == 2 and decision[0] == "relabel":
        label = decision[1]
        if not any(label == known for known in classes.tolist()):
            raise ValueError(
                f"the decision about row {shown(row_id)} gives it the label {shown(label)}, which "
                f"is not among the classes {classes.tolist()}."
            )
        return "relabel", label
    raise ValueError(
        f"the decision about row {shown(row_id)} should be 'keep', 'drop', 'relabel' (to the "
        f"suggested label) or ('relabel', label); got {shown(decision)}."
    )
