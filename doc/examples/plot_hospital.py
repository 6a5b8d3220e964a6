"""
The hospital: four children, and an error that they explain
===========================================================

Koh & Liang (2017) ask a model why it errs. From the records of 20,000 diabetes patients they take
out all but one of the children that did not come back to the hospital, so that three of the four
that are left were readmitted, where it was three of twenty-four before. A model of the rest takes
a healthy child for a patient who will be back. Which training rows made it do so, and what is it
about them?
"""

# %%
# The data
# --------
# The 101,766 stays of Strack et al. (2014), in Koh & Liang's own split, are read from the folder
# named by the environment variable ``SKINFLUENCE_DATA``, in it
# ``diabetes130/hospital_kl_split.npz``. Without it this page ends here, and says so.

import os
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skinfluence import InfluenceLogisticRegression
from skinfluence.debugging import explain_errors

path = Path(os.environ.get("SKINFLUENCE_DATA", "")) / "diabetes130" / "hospital_kl_split.npz"
found = path.is_file()
if not found:
    print("No data: set SKINFLUENCE_DATA to the folder with diabetes130/hospital_kl_split.npz.")

# %%
# Three of four
# -------------

CHILD = "age_[0-10)"


def load():
    """Training rows without 20 healthy children, and the healthy child that is asked about."""
    with np.load(path, allow_pickle=True) as data:
        names = [str(name) for name in data["feature_names"]]
        X, y = data["x_train"].astype(float), data["y_train"]
        test = data["x_test"].astype(float)[[1742]], data["y_test"][[1742]]
    healthy = np.flatnonzero((X[:, names.index(CHILD)] == 1) & (y == -1))
    kept = np.setdiff1d(np.arange(len(y)), healthy[:-1])
    frame = pd.DataFrame(X[kept], columns=names)
    return frame, y[kept], pd.DataFrame(test[0], columns=names), test[1]


if found:
    X, y, X_test, y_test = load()
    children = np.flatnonzero(X[CHILD] == 1)
    print(f"{len(y)} rows; the children: {children}, readmitted: {y[children] == 1}")
    start = time.perf_counter()
    clf = InfluenceLogisticRegression(
        C=1 / (len(y) * 1e-4), fit_intercept=False, solver="newton-cholesky"
    )
    clf.fit(X, y)
    print(f"fitted in {time.perf_counter() - start:.1f} s")
    print(f"the child is {y_test[0]}, predicted {clf.predict(X_test)[0]}")

# %%
# Who, and why
# ------------
# Two answers in one. The training rows whose removal would change the loss of the test row most;
# and for each of them the features that carry this influence: the entry of the row times the
# gradient of the loss in it. The gradient alone would name ``discharge_disposition_id_11``, the
# patients who died: a feature that none of these rows has, and whose contribution is 0.

if found:
    start = time.perf_counter()
    explanation = explain_errors(clf, X_test, y_test, by=CHILD)
    print(f"explained in {time.perf_counter() - start:.1f} s")
    print(explanation)
    print(explanation.to_frame(k=2).round(4).to_string())
    gradient = explanation.gradients[0]
    steepest = explanation.feature_names[int(np.argmax(np.abs(gradient)))]
    print(f"largest gradient of the first row: {steepest}")

# %%
# The picture of the paper
# ------------------------
# Three readmitted children pull the model one way, and the one healthy child pulls it back. Each
# of the four has more than twenty times the influence of any other row of its sign.

if found:
    influence = explanation.influence
    others = np.setdiff1d(np.arange(len(y)), children)
    figure, ax = plt.subplots(figsize=(7, 3.6), layout="constrained")
    ax.scatter(others, influence[others], s=4, color="0.6", linewidth=0, label="other patients")
    ax.scatter(children, influence[children], s=40, color="#b5432a", label="children")
    for row in children:
        word = "readmitted" if y[row] == 1 else "not readmitted"
        ax.annotate(f"{row}, {word}", (row, influence[row]), (-8, 0), ha="right", va="center",
                    textcoords="offset points", fontsize=9)  # fmt: skip
    ax.set_xlabel("training row")
    ax.set_ylabel("change of the loss on removal")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, loc="upper left")

# %%
# The influence by groups
# -----------------------
# With ``by`` the influence is summed over the values of a column, or over quantiles of a number.
# The shares say how much of all harmful influence a group has. Four rows of 20,000 have what is
# printed below; the rest is spread thin.

if found:
    print(explanation.groups.to_frame().round(4))
