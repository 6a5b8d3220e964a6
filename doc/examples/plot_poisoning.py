"""
Poisoning: one training row, moved until a prediction turns
===========================================================

How much could a single training row do to a model, if somebody were free to change what it looks
like? Koh & Liang (2017) ask the gradient in its features, and follow it. This page audits a model
of one's own in that way: it moves one handwritten digit, with its label left alone, until a test
digit is misread; counts how often that works; and looks whether the poisoned row would be noticed.
"""

# %%
# The model
# ---------
# Threes and eights of scikit-learn's small digits, half of them to train on, and a logistic
# regression. Features are the darkness of 64 pixels, from 0 to 1.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from skinfluence import InfluenceLogisticRegression
from skinfluence.attacks import PoisoningAttack, adversarial_perturbation
from skinfluence.labels import LabelAudit

X, y = load_digits(return_X_y=True)
keep = np.isin(y, (3, 8))
X, y = X[keep] / 16.0, y[keep]
order = np.random.default_rng(0).permutation(len(y))
train, test = order[: len(y) // 2], order[len(y) // 2 :]
X_train, y_train, X_test, y_test = X[train], y[train], X[test], y[test]

clf = InfluenceLogisticRegression(solver="newton-cholesky").fit(X_train, y_train)
print(f"{len(y_train)} training rows, accuracy {clf.score(X_test, y_test):.3f}")

# %%
# One row
# -------
# The test row with the tenth smallest margin. The attack takes the training row whose full move
# along the gradient raises the loss of the test row most, moves it, refits, asks for the gradient
# again, and takes back what did not help. The last word has a refit.

margin = np.abs(clf.decision_function(X_test))
margin[clf.predict(X_test) != y_test] = np.inf
target = int(np.argsort(margin)[9])
attack = PoisoningAttack(clf, epsilon=1.0, target_rows=[target])
poisoning = attack.run(X_train, y_train, X_test, y_test)
print(poisoning)

figure, axes = plt.subplots(1, 3, figsize=(7.5, 2.8), layout="constrained")
before = X_train[poisoning.rows[0]]
titles = (
    f"test row: a {y_test[target]}, read as {poisoning.after[0]}",
    f"training row {poisoning.rows[0]}: a {y_train[poisoning.rows[0]]}",
    "the same row, poisoned",
)
for ax, image, title in zip(
    axes, (X_test[target], before, poisoning.X_poisoned[0]), titles, strict=True
):
    ax.imshow(image.reshape(8, 8), cmap="gray_r", vmin=-1, vmax=2)
    ax.set_title(title, fontsize=10)
    ax.axis("off")

# %%
# How often
# ---------
# Fifteen test rows, one attack each. A change that is hardly seen does nothing to this model: with
# 178 rows of 64 features there is no row that holds a prediction up alone. Moved by the whole range
# of a pixel, out of it even, one row turns some of them; ten rows turn nearly all. With
# ``bounds=(0, 1)`` a pixel stays a pixel. Two hundred test rows are attacked by
# ``python -m benchmarks.poisoning``.

targets = np.flatnonzero(clf.predict(X_test) == y_test)[:15]
for n_rows in (1, 10):
    for epsilon in (0.25, 0.5, 1.0):
        attack = PoisoningAttack(clf, n_rows=n_rows, epsilon=epsilon, n_iter=8)
        found = [
            attack.run(X_train, y_train, X_test[[row]], y_test[[row]]).success for row in targets
        ]
        rows = "row " if n_rows == 1 else "rows"
        print(f"{n_rows:2d} {rows}, epsilon {epsilon:4g}: {np.mean(found):4.0%} turned")

# %%
# Would it be noticed?
# --------------------
# The place of the poisoned row among all training rows, 1 at the top, by what one would look at:
# the influence of each row on its own loss, Cook's distance, and the audit of labels, to which a
# row that has been moved far enough looks mislabelled. A row that turns a prediction by force is
# an outlier, and all three know it.

model = poisoning.estimator
X_poisoned = X_train.copy()
X_poisoned[poisoning.rows] = poisoning.X_poisoned
audit = LabelAudit(InfluenceLogisticRegression(), regularization=None).fit(X_poisoned, y_train)
for name, score in (
    ("self_influence", model.self_influence()),
    ("Cook's distance", model.case_deletion_diagnostics().cooks_distance),
    ("LabelAudit", audit.scores_),
):
    place = np.mean(score <= score[poisoning.rows[0]])
    print(f"{name:16s} place {place:.3f}")

# %%
# And the test row itself?
# ------------------------
# For comparison, the smallest change of the input that turns its prediction, which for a linear
# model has a closed form. It is far smaller than what the training row has to suffer.

smallest = adversarial_perturbation(clf, X_test[[target]], norm="inf")
print(smallest)
print(f"largest change of a pixel: {smallest.size[0]:.3f}, of the training row 1")
