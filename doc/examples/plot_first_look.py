"""
Which training rows are behind this prediction?
===============================================

A logistic regression misdiagnoses a patient. Which of the patients it learned from pushed it there,
which held it back, and are the answers right? We ask, and then we retrain to check.
"""

# %%
# The model
# ---------
# Three hundred patients to learn from, and a pipeline with a scaler. Steps before the last are held
# fixed: leaving a patient out means refitting the logistic regression on the scaled rows, not the
# scaler.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skinfluence import InfluenceExplainer
from skinfluence.evaluation import agreement

data = load_breast_cancer()
X_train, X_test, y_train, y_test = train_test_split(
    data.data, data.target, train_size=300, stratify=data.target, random_state=0
)
explainer = InfluenceExplainer(make_pipeline(StandardScaler(), LogisticRegression()))
explainer.fit(X_train, y_train)
print(f"test accuracy {explainer.score(X_test, y_test):.3f}")

# %%
# The patient with the largest loss, among those the model gets wrong:

probability = explainer.predict_proba(X_test)[np.arange(len(y_test)), y_test]
patient = int(np.argmin(probability))
X, y = X_test[[patient]], y_test[[patient]]
print(f"patient {patient}: {data.target_names[y[0]]}, given {probability[patient]:.1%}")

# %%
# The rows behind it
# ------------------
# Positive influence on a loss: the loss rises without the row, so the row helps.

most = explainer.most_influential(X, y, k=6)
rows = np.concatenate([most.helpful_indices[0], most.harmful_indices[0][::-1]])
values = np.concatenate([most.helpful_values[0], most.harmful_values[0][::-1]])

figure, axis = plt.subplots(figsize=(7, 4.2))
colours = np.where(values > 0, "#1f5fa8", "#b5443b")
axis.barh(np.arange(len(rows)), values, color=colours)
axis.set_yticks(
    np.arange(len(rows)), [f"row {row}, {data.target_names[y_train[row]]}" for row in rows]
)
axis.invert_yaxis()
axis.axvline(0, color="0.4", linewidth=0.8)
axis.set_xlabel(f"change of the loss of patient {patient} without the row")
axis.spines[["top", "right"]].set_visible(False)
figure.tight_layout()

# %%
# Is it true?
# -----------
# Three hundred models refitted by scikit-learn, each without one row, say what really happens. The
# first-order influence function has the order nearly right and the size wrong; the Newton step,
# corrected for the leverage of the row and evaluated where it ends, has both.

Z_train = explainer.estimator_[:-1].transform(X_train)
Z = explainer.estimator_[:-1].transform(X)


def loss_without(row):
    """Log loss of the patient under a model refitted without a row."""
    keep = np.arange(len(Z_train)) != row
    model = LogisticRegression(solver="newton-cholesky", tol=1e-12, max_iter=1000)
    model.fit(Z_train[keep], y_train[keep])
    return -model.predict_log_proba(Z)[0, y[0]]


actual = np.array([loss_without(row) for row in range(len(Z_train))])
actual -= loss_without(-1)

figure, axes = plt.subplots(1, 2, figsize=(8.5, 4.2), sharex=True, sharey=True)
for axis, method in zip(axes, ("first_order", "newton"), strict=True):
    estimated = explainer.influence(X, y, method=method)[0]
    figures = agreement(estimated, actual)
    print(f"{method:12s} {figures}")
    axis.axline((0, 0), slope=1, color="0.7", linewidth=1, zorder=0)
    axis.scatter(actual, estimated, s=14, color="#1f5fa8", alpha=0.7, linewidth=0)
    axis.set_title(
        f'method="{method}"\nslope {figures.slope:.2f}, relative RMSE {figures.relative_rmse:.0%}'
    )
    axis.set_xlabel("change of the loss, refitted")
    axis.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("change of the loss, estimated")
figure.tight_layout()

# %%
# And the exact method is the refit, all rows at once:

exact = explainer.influence(X, y, method="exact")[0]
print(f"largest difference from the 300 refits: {np.abs(exact - actual).max():.1e}")

# %%
# Rows that the others do not expect
# ----------------------------------
# The influence of a row on its own loss ranks the rows that the rest of the data contradict: the
# first places to look for wrong labels.

own = explainer.self_influence()
for row in np.argsort(-own)[:5]:
    print(f"row {row:3d}  {data.target_names[y_train[row]]:9s}  loss rises by {own[row]:.2f}")
