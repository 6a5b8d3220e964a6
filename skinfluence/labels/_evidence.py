"""Which training rows speak for a label, and which against it."""

from dataclasses import dataclass

import numpy as np

from skinfluence import attribution
from skinfluence._frames import DataFrame, Result, data_frame


@dataclass(frozen=True)
class Evidence(Result):
    """The training rows that vouch for a row's given label, and those that speak for another.

    The weight of a training row is how much it raises the score of the label that it supports over
    the score of the other at the row asked about: the change of this difference on its removal, in
    size. For a logistic regression these are log odds.

    Attributes
    ----------
    row : int
        Position of the row asked about; it is not its own witness.
    given_label, suggested_label : object
        The two labels.
    given_indices, suggested_indices : ndarray of int, shape (k,)
        Positions of the rows that support each, the heaviest first; fewer where there are fewer.
    given_weights, suggested_weights : ndarray of shape (k,)
        Their weights, positive.
    given_total, suggested_total : float
        Sums of the weights of all rows on each side.
    row_name : object
        Name of the row asked about: its label in the index that fit has seen, else its position.
    given_names, suggested_names : ndarray of shape (k,)
        Names of the rows that support each.
    given_witness_labels, suggested_witness_labels : ndarray of shape (k,)
        Labels that they have themselves.
    """

    row: int
    given_label: object
    suggested_label: object
    given_indices: np.ndarray
    given_weights: np.ndarray
    suggested_indices: np.ndarray
    suggested_weights: np.ndarray
    given_total: float
    suggested_total: float
    row_name: object
    given_names: np.ndarray
    suggested_names: np.ndarray
    given_witness_labels: np.ndarray
    suggested_witness_labels: np.ndarray

    def to_frame(self) -> DataFrame:
        """Return one line for each row of evidence, as a pandas DataFrame.

        Returns
        -------
        pandas.DataFrame
            Index: names of the rows; columns supports (a label), weight and label (that of the
            row).
        """
        supports = [self.given_label] * len(self.given_indices)
        supports += [self.suggested_label] * len(self.suggested_indices)
        weight = np.r_[self.given_weights, self.suggested_weights]
        labels = np.concatenate([self.given_witness_labels, self.suggested_witness_labels])
        frame = data_frame({"supports": supports, "weight": weight, "label": labels})
        frame.index = np.concatenate([self.given_names, self.suggested_names])
        return frame

    def __repr__(self):
        """Return the two lists as text."""
        lines = [f"Evidence for row {self.row_name}"]
        for side in ("given", "suggested"):
            label, total = getattr(self, f"{side}_label"), getattr(self, f"{side}_total")
            pairs = zip(
                getattr(self, f"{side}_names"), getattr(self, f"{side}_weights"), strict=True
            )
            named = ", ".join(f"{name} ({weight:.3g})" for name, weight in pairs)
            lines.append(f"  {side + ' ' + str(label):20s} {total:.3g} in all: {named}")
        return "\n".join(lines)


def find_evidence(problem, row, given, suggested, k, method):
    """Evidence about one training row.

    Parameters
    ----------
    problem : FittedProblem
    row : int
    given, suggested : int
        Codes of the two labels.
    k : int
        Rows on each side.
    method : {"auto", "exact", "newton"}
    """
    query = problem.own_query("decision_function", rows=np.array([row]))
    deletion = problem.deletion(method, n_test=1)
    change = attribution.influence(deletion, query, linearised=False)[0]
    if change.ndim == 1:  # the score of the second class
        change = change * (1.0 if given == 1 else -1.0)
    else:
        change = change[:, given] - change[:, suggested]
    weight = -change
    weight[row] = 0.0
    weight = np.nan_to_num(weight, nan=0.0)
    order = np.argsort(-weight, kind="stable")
    for_given = np.array([i for i in order[:k] if weight[i] > 0], dtype=np.intp)
    for_suggested = np.array([i for i in order[::-1][:k] if weight[i] < 0], dtype=np.intp)
    names, labels = problem.row_names, problem.labels
    return Evidence(
        row=int(row),
        given_label=problem.classes[given],
        suggested_label=problem.classes[suggested],
        given_indices=for_given,
        given_weights=weight[for_given],
        suggested_indices=for_suggested,
        suggested_weights=-weight[for_suggested],
        given_total=float(weight[weight > 0].sum()),
        suggested_total=float(-weight[weight < 0].sum()),
        row_name=names[row],
        given_names=names[for_given],
        suggested_names=names[for_suggested],
        given_witness_labels=labels[for_given],
        suggested_witness_labels=labels[for_suggested],
    )
