"""Draw the README's figure: `python doc/readme_figure.py` writes doc/_static/additions.png.

What each of 100 further rows would do to the test loss, predicted from one fit and refitted.
"""

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from skinfluence import InfluenceLogisticRegression
from skinfluence.evaluation import agreement

METHODS = {"influence function": "first_order", "implicit step": "newton", "the default": "auto"}


def main():
    """Fit, ask, refit, draw."""
    X, y = load_breast_cancer(return_X_y=True)
    order = np.random.default_rng(20).permutation(len(y))
    train, pool, test = order[:300], order[300:400], order[400:]
    X = StandardScaler().fit(X[train]).transform(X)

    def loss(rows):
        model = LogisticRegression(solver="newton-cholesky", tol=1e-12).fit(X[rows], y[rows])
        return log_loss(y[test], model.predict_proba(X[test]))

    before = loss(train)
    actual = np.array([loss(np.append(train, row)) - before for row in pool])
    clf = InfluenceLogisticRegression().fit(X[train], y[train])
    fig, axes = plt.subplots(1, 3, figsize=(9, 3.2), layout="constrained", sharex=True, sharey=True)
    for ax, (name, method) in zip(axes, METHODS.items(), strict=True):
        values = clf.addition_influence(
            X[pool], y[pool], X[test], y[test], method=method, aggregate="mean"
        )
        error = agreement(values, actual).relative_rmse
        ax.axline((0, 0), slope=1, color="0.7", lw=1)
        ax.scatter(actual, values, s=12)
        ax.set_title(f"{name}: {error:.1%} off", fontsize=10)
        ax.tick_params(labelsize=8)
    axes[1].set_xlabel("change of the test loss by one more row, refitted", fontsize=9)
    axes[0].set_ylabel("predicted from one fit", fontsize=9)
    fig.savefig(Path(__file__).parent / "_static" / "additions.png", dpi=100)


if __name__ == "__main__":
    main()
