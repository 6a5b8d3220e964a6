"""`python -m benchmarks.agreement`: breast cancer, five splits, every training row refitted.

Effects on the mean test loss by each method against scikit-learn's own refits, as Markdown.
"""

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.preprocessing import StandardScaler

from skinfluence import InfluenceLogisticRegression
from skinfluence.evaluation import agreement


def splits():
    """Yield scaled training rows, labels, test rows, labels."""
    X, y = load_breast_cancer(return_X_y=True)
    for train, test in StratifiedShuffleSplit(5, train_size=300, random_state=0).split(X, y):
        scaler = StandardScaler().fit(X[train])
        yield scaler.transform(X[train]), y[train], scaler.transform(X[test]), y[test]


def refitted(X, y, X_test, y_test):
    """Change of the mean test loss without each row, by refits."""

    def loss(kept):
        model = LogisticRegression(solver="newton-cholesky", tol=1e-12, max_iter=1000)
        eta = model.fit(X[kept], y[kept]).decision_function(X_test)
        return np.logaddexp(0.0, (1 - 2 * y_test) * eta).mean()

    every = np.arange(len(y))
    return np.array([loss(every != row) for row in every]) - loss(every >= 0)


def table():
    """Markdown, a line a split."""
    head = "| split | first_order: slope, r, relative RMSE | newton: slope, r, relative RMSE |"
    lines = [head, "|---|---|---|"]
    for number, data in enumerate(splits()):
        actual = refitted(*data)
        model = InfluenceLogisticRegression(C=1.0).fit(*data[:2])
        cells = []
        for method in ("first_order", "newton"):
            found = agreement(model.influence(*data[2:], aggregate="mean", method=method), actual)
            cells.append(f"{found.slope:.3f}, {found.r:.4f}, {found.relative_rmse:.1%}")
        lines.append(f"| {number + 1} | {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
