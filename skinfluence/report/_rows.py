"""Which rows have details: the test rows to look at first, the training rows behind them."""

from dataclasses import dataclass

import numpy as np

# Test rows with details, rows of each kind for one, training rows to pick among for what-if.
MOST_SHOWN, EACH_KIND, MOST_POOL = 200, 5, 200

# Numbers of the tables of what the training rows would change: about half of the page.
MOST_CHANGES = 200_000


@dataclass(frozen=True)
class ShownRows:
    """Test rows with details, and the training rows that are named in them.

    Attributes
    ----------
    tests : ndarray of int, shape (s,)
        Positions of test rows: errors first, then by loss.
    order : ndarray of int, shape (m,)
        All test rows in that order.
    behind : ndarray of int, shape (r,)
        Positions of the training rows behind them, sorted.
    pool : ndarray of int
        The training rows among `behind` that are named most often.
    helpful, harmful : ndarray of int, shape (s, k)
        Positions in `behind`.
    helpful_values, harmful_values : ndarray of shape (s, k)
        Influences.
    asked : str
        Target of the influences: "loss", or "prediction" of a regressor without labels.
    labels : ndarray of shape (m,) or None
        Labels that the loss is of: the given ones, or the predicted ones where none are given.
    """

    tests: np.ndarray
    order: np.ndarray
    behind: np.ndarray
    pool: np.ndarray
    helpful: np.ndarray
    harmful: np.ndarray
    helpful_values: np.ndarray
    harmful_values: np.ndarray
    asked: str
    labels: np.ndarray | None


def show_rows(subject, table):
    """Choose the rows, and ask for the influential training rows of each shown test row.

    Parameters
    ----------
    subject : Subject
    table : dict
        Of the tab of predictions: all test rows.
    """
    order = _order(subject, table)
    labels = subject.y_test
    asked = "loss"
    if labels is None and subject.is_classifier:
        labels = table["predicted"]
    elif labels is None:
        asked = "prediction"
    tests = order[: min(MOST_SHOWN, MOST_CHANGES // (MOST_POOL * _numbers_of_a_pair(subject)))]
    k = min(EACH_KIND, subject.problem.objective.n_rows)
    top = subject.view.most_influential(
        subject.some(tests), None if labels is None else labels[tests], k=k, target=asked
    )
    both = np.concatenate([top.helpful_indices, top.harmful_indices], axis=1)
    known = (both >= 0).all(axis=1)  # -1 where fewer rows than k have a model without them
    both, tests = both[known], tests[known]
    behind, position, count = np.unique(both, return_inverse=True, return_counts=True)
    position = position.reshape(both.shape)
    most = np.sort(np.argsort(-count, kind="stable")[:MOST_POOL])
    return ShownRows(
        tests=tests,
        order=order,
        behind=behind,
        pool=behind[most],
        helpful=position[:, :k],
        harmful=position[:, k:],
        helpful_values=top.helpful_values[known],
        harmful_values=top.harmful_values[known],
        asked=asked,
        labels=labels,
    )


def _order(subject, table):
    """Test rows, errors first and then by loss; without labels in their own order."""
    if subject.y_test is None:
        return np.arange(len(table["predicted"]))
    loss = np.nan_to_num(table["loss"], nan=np.inf)
    return np.lexsort((-loss, ~table["is_error"]))


def _numbers_of_a_pair(subject):
    """Numbers that the page holds for a pair of a test row and a training row."""
    classes = subject.problem.classes
    return 2 if classes is None or len(classes) == 2 else 1 + len(classes)
