"""
Choosing C without refits
=========================

How strongly should a model be regularised? Cross-validation answers by refitting; leave-one-out,
its most thorough form, by refitting once a row. From the optimum it takes one Newton step a row
instead, and the curve is a smooth function of C that can be minimised.
"""

# %%
# The curve
# ---------
# Breast cancer, standardised, seventeen values of C. Leave-one-out takes one fit for each of them;
# ten folds take ten. Leave-one-out trains on all rows but one, and its standard error comes from
# 569 rows, not from ten folds. Far to the right of the minimum the curves part, for two reasons:
# with little regularisation the folds feel that a tenth of the data is missing, and one Newton step
# falls short of the refit, as the next section shows.

import time

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skinfluence.display import RegularizationCurveDisplay
from skinfluence.model_selection import LeaveOneOutSearchCV, optimize_regularization

X, y = load_breast_cancer(return_X_y=True)
model = make_pipeline(StandardScaler(), LogisticRegression(solver="newton-cholesky"))
display = RegularizationCurveDisplay.from_estimator(
    model, X, y, param="logisticregression__C", cv=10
)
display.ax_.set_ylim(0, 0.6)
print(f"best C {display.best_value:.3g}, within a standard error {display.simplest_value:.3g}")

# %%
# Is the curve true?
# ------------------
# ``method="exact"`` refits without every row, to 1e-8 in the coefficients. The Newton curve is the
# same where the model is regularised, and drifts where it is hardly so; the place of the minimum is
# not in doubt.

grid = {"logisticregression__C": np.logspace(-4, 4, 9)}
losses = {}
for method in ("newton", "exact"):
    start = time.perf_counter()
    search = LeaveOneOutSearchCV(model, grid, scoring="neg_log_loss", method=method, refit=False)
    losses[method] = -search.fit(X, y).cv_results_["mean_test_score"]
    print(f"{method:7s} {time.perf_counter() - start:.1f} s")
print("       C   newton    exact  difference")
for C, newton, exact in zip(grid["logisticregression__C"], *losses.values(), strict=True):
    print(f"{C:8g} {newton:8.4f} {exact:8.4f} {newton / exact - 1:11.1%}")

# %%
# The best C of all
# -----------------
# The leave-one-out loss has an exact derivative in log C, by implicit differentiation of the
# optimum. A line search on it ends where the derivative vanishes, between the points of any grid.

best = optimize_regularization(model, X, y, bounds=(1e-3, 1e3))
print(f"C = {best.best_value:.4f}, derivative {best.gradient:.0e}, {len(best.values)} fits")
print(f"leave-one-out loss {best.best_loss:.5f} +- {best.standard_error:.5f}")

# %%
# A simpler model that is as good
# -------------------------------
# The minimum is flat. The one-standard-error rule takes the fewest effective parameters among the
# candidates that are not distinguishably worse.

grid = {"logisticregression__C": np.logspace(-3, 2, 21)}
search = LeaveOneOutSearchCV(
    model, grid, scoring="neg_log_loss", method="newton", refit="one_standard_error"
).fit(X, y)
results = search.cv_results_
for name, index in (
    ("best", int(np.argmax(results["mean_test_score"]))),
    ("one standard error", search.best_index_),
):
    print(
        f"{name:18s} C {results['param_logisticregression__C'][index]:8.4f}  "
        f"loss {-results['mean_test_score'][index]:.4f} +- "
        f"{results['standard_error_test_score'][index]:.4f}  "
        f"{results['effective_parameters'][index]:.1f} effective parameters"
    )
