"""Which rows have details on the page: the test rows to look at first, the training rows behind them."""

from dataclasses import dataclass

import numpy as np

# Test rows with details, training rows behind them, and rows of each kind for a test row.
MOST_SHOWN, MOST_POOL, EACH_KIND = 200, 200, 5

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
    pool : ndarray of int, shape (r,)
        Positions of training rows, sorted.
    helpful, harmful : ndarray of int, shape (s, k)
        Positions in `pool`.
    helpful_values, harmful_values : ndarray of shape (s, k)
        Influences.
    asked : str
        Target of the influences: "loss", or "prediction" of a regressor without labels.
    labels : ndarray of shape (m,) or None
        Labels that the loss is of: the given ones, or the predicted ones where none are given.
    """

    tests: np.ndarray
    order: np.ndarray
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
    tests = order[:MOST_SHOWN]
    k = min(EACH_KIND, subject.problem.objective.n_rows)
    top = subject.view.most_influential(
        subject.some(tests), None if labels is None else labels[tests], k=k, target=asked
    )
    both = np.concatenate([top.helpful_indices, top.harmful_indices], axis=1)
    kept, pool = _admitted(both, _numbers_of_a_pair(subject))
    position = np.searchsorted(pool, both[kept])
    return ShownRows(
        tests=tests[kept],
        order=order,
        pool=pool,
        helpful=position[:, :k],
        harmful=position[:, k:],
        helpful_values=top.helpful_values[kept],
        harmful_values=top.harmful_values[kept],
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


def _admitted(both, numbers):
    """Positions of the test rows whose influential rows fit on the page, and these rows, sorted."""
    pool, kept = set(), []
    for position, rows in enumerate(both.tolist()):
        if -1 in rows:  # fewer training rows have a model without them
            continue
        together = pool.union(rows)
        if len(together) <= MOST_POOL and (len(kept) + 1) * MOST_POOL * numbers <= MOST_CHANGES:
            pool = together
            kept.append(position)
    return np.array(kept, dtype=np.intp), np.array(sorted(pool), dtype=np.intp)
