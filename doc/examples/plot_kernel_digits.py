"""
A support vector machine and the digits behind its mistakes
===========================================================

A kernel machine keeps no coefficients one could read. The training rows it leans on can be seen:
here are the images that most help and most hurt a test digit which an RBF machine gets wrong.
"""

# %%
# The machine
# -----------
# Handwritten digits, 8 x 8 pixels, each digit against the rest. The smooth hinge is the hinge of a
# support vector machine, rounded within some hundredths of the margin; at this temperature it
# predicts what scikit-learn's SVC does, but for one row in a thousand.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import SVC

from skinfluence.evaluation import agreement
from skinfluence.svm import SmoothHingeSVC

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X / 16, y, train_size=400, stratify=y, random_state=0
)
model = SmoothHingeSVC(kernel="rbf", temperature=0.01).fit(X_train, y_train)
hinge = OneVsRestClassifier(SVC(gamma=model.gamma_)).fit(X_train, y_train)
same = (model.predict(X_test) == hinge.predict(X_test)).mean()
print(f"accuracy {model.score(X_test, y_test):.4f}, same label as SVC on {same:.1%} of the rows")

# %%
# A mistake
# ---------
# The test digit that the machine gets most wrong: its own class's decision lies farthest below that
# of another.

decision = model.decision_function(X_test)
rows = np.arange(len(y_test))
own = decision[rows, y_test]
others = decision.copy()
others[rows, y_test] = -np.inf
worst = int(np.argmin(own - others.max(axis=1)))
digit, label = X_test[[worst]], y_test[[worst]]
print(f"a {label[0]}, taken for a {model.predict(digit)[0]}")

# %%
# The rows behind it
# ------------------
# The hinge of the digit, without each training image. An image helps if the hinge rises without it.

most = model.most_influential(digit, label, target="hinge", k=5)
figure, axes = plt.subplots(2, 6, figsize=(9, 3.6), layout="constrained")
for line, kind in zip(axes, ("helpful", "harmful"), strict=True):
    indices, values = getattr(most, f"{kind}_indices")[0], getattr(most, f"{kind}_values")[0]
    pictures = [digit[0], *X_train[indices]]
    titles = [f"test: {label[0]}", *(f"{y_train[i]}: {v:+.3f}" for i, v in zip(indices, values))]  # noqa: B905
    for ax, picture, title in zip(line, pictures, titles, strict=True):
        ax.imshow(picture.reshape(8, 8), cmap="gray_r")
        ax.set_title(title, fontsize="small")
        ax.set_axis_off()
    line[0].text(
        -0.15, 0.5, kind, rotation=90, va="center", ha="center", transform=line[0].transAxes
    )

# %%
# Is it true?
# -----------
# The twenty largest effects, by refitting without the row. A row within a temperature of the margin
# bends the loss of others as it leaves, which one step sees in part: the refit is the judge, and
# ``method="exact"`` gives it.

effect = model.influence(digit, label, target="hinge")[0]
largest = np.argsort(-np.abs(effect))[:20]
exact = model.influence(digit, label, target="hinge", method="exact", train_indices=largest)[0]
print("newton     ", agreement(effect[largest], exact))
first = model.influence(digit, label, target="hinge", method="first_order", train_indices=largest)[
    0
]
print("first order", agreement(first, exact))

# %%
# Rows that do not matter
# -----------------------
# Most images lie outside the margin of their own class and of the others: they bend nothing, and
# the machine without them is the same.

count = (np.abs(effect) < 1e-6).mean()
print(f"{count:.0%} of the training images have no effect on this digit")
