"""
Trust, but verify
=================

An estimate of leave-one-out is worth what its error is worth. Here it is compared with the refits,
on data where one step is enough and on data where it is not, and with what the estimate says of its
own error.
"""

# %%
# Well posed: many rows for each column
# -------------------------------------
# Breast cancer has nineteen rows for each column. Every row's change of its own loss, by the first-
# order influence function and by one Newton step, against the refit without it. Correlation is not
# enough: the first-order points lie on a line, but not on *the* line.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import scale

from skinfluence import InfluenceLogisticRegression
from skinfluence.display import LeaveOneOutAgreementDisplay, LeaveOneOutDisplay

X, y = load_breast_cancer(return_X_y=True)
X = scale(X)


def compare(model):
    """Both one-step methods against the refits."""
    _, axes = plt.subplots(1, 2, figsize=(9, 4.2), sharex=True, sharey=True, layout="constrained")
    for ax, method in zip(axes, ("first_order", "newton"), strict=True):
        display = LeaveOneOutAgreementDisplay.from_estimator(model, method=method, ax=ax)
        print(f"{method:12s} {display.agreement}")


compare(InfluenceLogisticRegression(C=0.1).fit(X, y))

# %%
# Badly posed: hardly regularised
# -------------------------------
# The same rows at C = 100. A few rows hold up the whole fit, their steps are long, and the
# curvature at the end of a step is not that at its beginning.

model = InfluenceLogisticRegression(C=100.0, max_iter=10_000).fit(X, y)
compare(model)

# %%
# The estimate knows
# ------------------
# Each row comes with an estimated error, the size of the step that would come next, and with a
# certified bound: no refit can be farther away. Where the bound is infinite the certificate is
# silent, and the row needs the refit. ``method="auto"`` does that by itself.

newton = model.loo_estimate(method="newton")
exact = model.loo_estimate(method="exact")
error = np.abs(newton.decision_function - exact.decision_function)
finite = np.isfinite(newton.error_bound)
violated = error > newton.error_bound + 1e-8  # the refits themselves are right to 1e-8
print(f"certified {finite.mean():.0%} of the rows; violated {violated.sum()}")

figure, ax = plt.subplots(layout="constrained")
for values, name, colour in (
    (newton.error_bound[finite], "bound", "#b5443b"),
    (newton.error_estimate[finite], "estimate", "#1f5fa8"),
):
    ax.scatter(error[finite], values, s=10, alpha=0.6, linewidth=0, color=colour, label=name)
silent = ax.vlines(error[~finite], 0, 1, transform=ax.get_xaxis_transform(), color="0.85", zorder=0)
silent.set_label("no bound")
ax.axline((1e-6, 1e-6), slope=1, color="0.6", linewidth=1)
ax.set(xscale="log", yscale="log", xlabel="error of the Newton step, refitted", ylabel="stated")
ax.set(xlim=(1e-9, 1e2), ylim=(1e-9, 1e2))
ax.spines[["top", "right"]].set_visible(False)
ax.legend(frameon=False)

# %%
print(exact)

# %%
# What the model says of rows it has not seen
# -------------------------------------------
# With its error settled, the estimate can be read. Each row's probability of its own label, by the
# full model and by the model without it. The circled rows are classified rightly only because they
# were in the training set.

LeaveOneOutDisplay.from_estimator(model, method="exact")

# %%
# Groups that pull one way
# ------------------------
# First order adds up the effects of the rows, one by one. Rows that support each other do more
# together: the curvature they share is gone as well. Here the tenth of the rows that most help the
# mean loss of 269 fresh patients is taken out together. The sum comes to a quarter of what happens;
# the joint Newton step, which sees the shared curvature, to a fifth too much; the refit is the
# refit.

train, test = slice(0, 300), slice(300, None)
model = InfluenceLogisticRegression(C=1.0).fit(X[train], y[train])
fresh = X[test], y[test]
effect = model.influence(*fresh, aggregate="mean")
group = np.argsort(-effect)[:30]
joint = {
    method: model.group_influence([group], *fresh, method=method, aggregate="mean")[0]
    for method in ("first_order", "newton", "exact")
}
for method, change in joint.items():
    print(f"{method:12s} {change:.5f}  {change / joint['exact']:4.0%} of the refit")
