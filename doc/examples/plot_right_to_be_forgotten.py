"""
The right to be forgotten
=========================

A patient withdraws her consent: her row has to leave the model, and somebody will ask for evidence
that it has. Fitting again is one answer. :meth:`~skinfluence.InfluenceExplainer.without` is
another: the same coefficients by a few passes over the other rows, with a bound on how far they can
be from those of the refit that anybody who holds the other rows can check.
"""

# %%
# One patient leaves
# ------------------
# The breast cancer data, with names for the patients, a scaler and a logistic regression. The
# certificate counts the passes over the rows and says what is proven.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skinfluence
from skinfluence import InfluenceLogisticRegression

X, y = load_breast_cancer(return_X_y=True, as_frame=True)
X.index = y.index = [f"patient {number}" for number in range(len(X))]
pipe = make_pipeline(StandardScaler(), InfluenceLogisticRegression()).fit(X, y)
rest = skinfluence.without(pipe, row_labels=["patient 297"])

certificate = rest[-1].removal_certificate_
print(certificate)
print(certificate.to_json())

# %%
# Whoever keeps the other rows can check the claim without a word about the removal: the gradient
# and the curvature of the model's own objective on these rows bound the distance to their optimum.
# With the patient's row still among them nothing is proven: this is not the model of these rows.

scaled, labels = pipe[:-1].transform(X), y.to_numpy()
check = certificate.verify(np.delete(scaled, 297, axis=0), np.delete(labels, 297))
wrong = certificate.verify(scaled, labels)
print(f"the other rows:   every coefficient within {check.coefficient_bound:.1e} of the refit")
print(f"all rows:         every coefficient within {wrong.coefficient_bound:.1e}")

# %%
# Thirty patients, one after the other
# ------------------------------------
# Each request is answered from the model that the last one left. The bound stays where it is: every
# removal ends with the gradient of the rows that remain, so that no error is handed on. The dots
# are the actual distances from fits from scratch, polished to what float64 holds.

rng = np.random.default_rng(0)
clf = pipe[-1]
model, order = clf, np.arange(len(y))
bounds, errors, moves = [], [], []
for _ in range(30):
    position = int(rng.integers(len(order)))
    order = np.delete(order, position)
    model = model.without([position])
    refit = InfluenceLogisticRegression(tol=1e-8, max_iter=10_000)
    refit.fit(scaled[order], labels[order])
    bounds.append(model.removal_certificate_.coefficient_bound)
    errors.append(np.abs(model.coef_ - refit.coef_).max())
    moves.append(np.abs(model.coef_ - clf.coef_).max())

fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
ax.semilogy(range(1, 31), moves, label="change of the coefficients since the first fit")
ax.semilogy(range(1, 31), bounds, label="proven distance to the refit")
ax.semilogy(range(1, 31), np.maximum(errors, 1e-16), "o", ms=4, label="actual distance")
ax.set(xlabel="patients who have left", ylabel="largest coefficient")
ax.legend()

# %%
# What has not been erased
# ------------------------
# The scaler still knows the patient: her values are part of its means. With ``refit_steps=True``
# the earlier steps are fitted again on the other rows, which have to be passed, as a Pipeline keeps
# none before its last step. The predictions differ by more than the certificate's bound, but by
# little.

anew = skinfluence.without(pipe, [297], refit_steps=True, X=X, y=y)
difference = np.abs(rest.predict_proba(X) - anew.predict_proba(X)).max()
print(f"the scaler's share: probabilities differ by up to {difference:.1e}")

# %%
# Nor are decisions undone that the old model has taken, copies of it or of its predictions, a
# penalty that was chosen with the row, or what comparing the two models tells: the difference of
# their coefficients points at the patient. Of all rows, hers explains it best.

step = (rest[-1].coef_ - clf.coef_).ravel()
alone = clf.parameter_influence(method="newton").coef.reshape(len(y), -1)
cosine = alone @ step / (np.linalg.norm(alone, axis=1) * np.linalg.norm(step))
print(f"the row that the difference of the two models points at: {X.index[cosine.argmax()]}")
