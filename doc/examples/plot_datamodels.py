"""
Is logistic regression's influence a good datamodel?
====================================================

A *datamodel* predicts what a model does from the rows that it was trained on. The influence of
rows is one, without any retraining: sum it over the rows that are left out. How good is it? A
convex model can be asked: it is retrained on a hundred random halves of its rows, exactly and in
seconds.
"""

# %%
# The truth
# ---------
# 500 handwritten digits, ten classes. The output is the margin of each of 50 test rows: the log
# odds of its label.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from skinfluence import InfluenceLogisticRegression
from skinfluence.evaluation import SubsetTruths, linear_datamodeling_score

X, y = load_digits(return_X_y=True)
order = np.random.default_rng(0).permutation(len(y))
train, test = order[:500], order[500:550]
X, y, X_test, y_test = X[train] / 16, y[train], X[test] / 16, y[test]

clf = InfluenceLogisticRegression().fit(X, y)
truths = SubsetTruths.compute(clf, X, y, X_test, y_test, n_subsets=100, random_state=1)
truths

# %%
# Four predictions
# ----------------
# Sums of the rows' influences, by the influence function and by one Newton step a row; the joint
# Newton step of all rows that leave together; and, for comparison, sums that know nothing of this
# model: the inner products of test and training rows, of the same label or not.

weights = truths.subsets.astype(float)
ask = {"X_test": X_test, "y_test": y_test, "target": "margin"}
joint = clf.reweight_influence(weights, **ask, method="newton")
by_rows = {np.flatnonzero(subset).tobytes(): j for j, subset in enumerate(truths.subsets)}
predictions = {
    "inner products": -np.where(y_test[:, None] == y, 1, -1) * (X_test @ X.T),
    "first-order rows": clf.influence(**ask, method="first_order"),
    "Newton rows": clf.influence(**ask, method="newton"),
    "joint Newton step": lambda kept: joint[:, by_rows[kept.tobytes()]],
}
scores = {
    name: linear_datamodeling_score(clf, X, y, X_test, y_test, each, truths=truths)
    for name, each in predictions.items()
}
for name, score in scores.items():
    print(
        f"{name:<18} {score.score:6.3f} ({score.interval[0]:.3f} to {score.interval[1]:.3f}) of "
        f"{score.ceiling:.0f}; slope {score.magnitude.slope:8.2f}, relative RMSE "
        f"{score.magnitude.relative_rmse:7.2f}"
    )

# %%
# The ceiling is 1: the optimum is unique, and nothing about it is random. In *ranks* the sum of
# first-order rows is a good datamodel, better than the sum of Newton rows, which are nearer to the
# truth for each row alone. The joint step is better than both.
#
# Where summing misleads
# ----------------------
# Ranks hide sizes. Against the actual change of each margin, the sums are too small: the rows that
# leave take curvature with them, of which no row alone knows. The joint step of half of the rows
# is too large instead.

fig, axes = plt.subplots(1, 3, figsize=(11, 4), layout="constrained", sharex=True, sharey=True)
actual = truths.mean_outputs - truths.full
for ax, name in zip(axes, list(predictions)[1:], strict=True):
    each = predictions[name]
    changes = joint.T if callable(each) else ~truths.subsets @ each.T
    ax.axline((0, 0), slope=1, color="0.7", lw=1)
    ax.scatter(actual.ravel(), changes.ravel(), s=2, alpha=0.3)
    ax.set(xlabel="change of the margin, retrained", title=f"{name}: {scores[name].score:.3f}")
axes[0].set_ylabel("change of the margin, predicted")

# %%
# A score is a mean; no test row is left behind by it, whether the model is sure of it or wrong.

fig, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for name in ("first-order rows", "joint Newton step"):
    ax.scatter(truths.full, scores[name].correlations, s=14, label=name)
ax.set(xlabel="margin of the test row", ylabel="rank correlation")
ax.legend()

# %%
# A model without an influence function
# -------------------------------------
# The vote of the nearest neighbours has none. A datamodel is learned from retrained models instead:
# from 1,000 subsets, for ten test rows. Most of its weights are 0, and it is read on subsets that
# it has not seen.

from sklearn.neighbors import KNeighborsClassifier

from skinfluence.evaluation import Datamodel

datamodel = Datamodel(KNeighborsClassifier(5), n_subsets=1000, target="probability", random_state=0)
datamodel.fit(X[:200], y[:200], X_test[:10], y_test[:10])
score = datamodel.score_
print(f"score {score.score:.3f} of {score.ceiling:.3f}: {score.share_of_ceiling:.0%}")

# %%
# The rows that it names are the neighbours: where the largest weights of each test row lie among
# the training rows, from the nearest (0) on.

distances = ((X_test[:10, None] - X[:200]) ** 2).sum(axis=2)
places = np.argsort(np.argsort(distances, axis=1), axis=1)
largest = np.argsort(-np.abs(datamodel.influence()), axis=1)[:, :3]
np.take_along_axis(places, largest, axis=1)
