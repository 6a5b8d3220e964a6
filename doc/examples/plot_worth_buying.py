"""
Is this row worth buying?
=========================

A hundred more patients could be examined, at a cost. What would each of them do for the model?
:meth:`~skinfluence.InfluenceExplainer.addition_influence` says it from the one fit there is: the
change of the test loss if the row were added.
"""

# %%
# Predicted against actual
# ------------------------
# 300 rows of the breast cancer data are the training set, 100 are held back, the others measure
# the loss. Three predictions: the influence function; the implicit step, which keeps the loss of
# the new row whole and takes the others to second order; and the default, which refits where that
# step is long. The truth is scikit-learn's own fit with the row, a hundred times.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from skinfluence import InfluenceLogisticRegression
from skinfluence.evaluation import agreement

X, y = load_breast_cancer(return_X_y=True)
order = np.random.default_rng(20).permutation(len(y))
train, pool, test = order[:300], order[300:400], order[400:]
X = StandardScaler().fit(X[train]).transform(X)

clf = InfluenceLogisticRegression().fit(X[train], y[train])
ask = {"X_test": X[test], "y_test": y[test], "aggregate": "mean"}
methods = {"first order": "first_order", "implicit": "newton", "auto": "auto"}
predicted = {
    name: clf.addition_influence(X[pool], y[pool], method=method, **ask)
    for name, method in methods.items()
}


def test_loss(rows):
    """Mean test loss of a fit of some rows by scikit-learn."""
    model = LogisticRegression(solver="newton-cholesky", tol=1e-12).fit(X[rows], y[rows])
    return log_loss(y[test], model.predict_proba(X[test]))


before = test_loss(train)
actual = np.array([test_loss(np.append(train, row)) - before for row in pool])
fig, axes = plt.subplots(1, 3, figsize=(11, 4), layout="constrained", sharex=True, sharey=True)
for ax, (name, values) in zip(axes, predicted.items(), strict=True):
    print(f"{name:<12}", agreement(values, actual))
    ax.axline((0, 0), slope=1, color="0.7", lw=1)
    ax.scatter(actual, values, s=14)
    ax.set(xlabel="change of the test loss, refitted", title=name)
axes[0].set_ylabel("change of the test loss, predicted")

# %%
# First order takes the new row for one that the model knows already: where the row would move it
# far, the prediction is far too large.
#
# Buying, one after the other
# ---------------------------
# The best row is bought, the model fitted again, and so on; beside it rows at random. The loss on
# which rows are chosen is not the one that is drawn: half of the test rows choose.

chooses, measures = test[::2], test[1::2]


def bought(rule, n=30):
    """Loss on the measuring rows as rows are bought by a rule of (model, rows left)."""
    have, left, losses = list(train), list(pool), []
    for _ in range(n):
        model = InfluenceLogisticRegression().fit(X[have], y[have])
        losses.append(log_loss(y[measures], model.predict_proba(X[measures])))
        have.append(left.pop(rule(model, np.array(left))))
    return losses


def by_effect(model, left):
    """The row that lowers the loss of the choosing rows most."""
    return int(
        model.addition_influence(
            X[left], y[left], X[chooses], y[chooses], aggregate="mean", method="newton"
        ).argmin()
    )


def by_expectation(model, left):
    """The same in expectation over the model's probabilities: the labels are not looked at."""
    return int(
        model.addition_influence(
            X[left], None, X[chooses], y[chooses], aggregate="mean", method="newton"
        ).argmin()
    )


def at_random(seed):
    """A rule that looks at nothing."""
    rng = np.random.default_rng(seed)
    return lambda model, left: int(rng.integers(len(left)))


random = np.mean([bought(at_random(seed)) for seed in range(5)], axis=0)
curves = {
    "by the effect, labels known": bought(by_effect),
    "by the expected effect, labels unknown": bought(by_expectation),
    "at random, mean of five": random,
}
fig, ax = plt.subplots(figsize=(6, 4.6), layout="constrained")
for name, losses in curves.items():
    ax.plot(losses, label=name)
    print(f"{name}: {losses[0]:.4f} to {losses[-1]:.4f}")
ax.set(xlabel="rows bought", ylabel="test loss")
fig.legend(loc="outside lower center")
plt.show()

# %%
# With labels the first few rows do most of what thirty do. Without them the expected effect is no
# better than chance here: the model is sure of most rows, rightly, and expects little of any.
