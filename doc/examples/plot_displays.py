"""
All the figures, each from one call
===================================

Every question of this library has a figure: a class of `skinfluence.display` with a method
`from_estimator`, as scikit-learn's displays have. Here they all are, on a Pipeline whose rows have
names. A display keeps the numbers that it draws, and `to_frame()` returns them as a table.
"""

# %%
# The models
# ----------
# A diagnosis of breast cancer. The rows of the frame are patients, the steps of the Pipeline keep
# the names of the columns, and the index of `X` and `y` names the rows in every figure.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skinfluence import InfluenceExplainer, InfluenceLogisticRegression
from skinfluence.display import (
    AddedVariableDisplay,
    ChangeDisplay,
    CooksDistanceDisplay,
    DfbetasDisplay,
    InfluenceDisplay,
    InfluenceDistanceDisplay,
    InfluencePlotDisplay,
    LabelReviewDisplay,
    LeaveOneOutAgreementDisplay,
    LeaveOneOutDisplay,
    QQResidualDisplay,
    RegularizationCurveDisplay,
    RobustnessDisplay,
    ScoreInfluenceDisplay,
    SelfInfluenceDisplay,
)
from skinfluence.labels import LabelAudit
from skinfluence.model_selection import LeaveOneOutSearchCV
from skinfluence.robustness import coefficient

data = load_breast_cancer(as_frame=True)
X = data.data.set_axis([f"patient {i}" for i in range(len(data.data))])
y = data.target.map(dict(enumerate(data.target_names))).set_axis(X.index)
X_train, X_test, y_train, y_test = train_test_split(
    X, y, train_size=300, stratify=y, random_state=0
)
scaler = StandardScaler().set_output(transform="pandas")
pipe = make_pipeline(scaler, InfluenceLogisticRegression()).fit(X_train, y_train)
wrong = pipe.predict(X_test) != y_test
print(f"{wrong.sum()} of {len(y_test)} test patients are misdiagnosed")

# %%
# Who is behind a prediction
# --------------------------
# Two misdiagnosed patients. Blue rows help: without them the loss would be larger.

InfluenceDisplay.from_estimator(pipe, X_test[wrong][:2], y_test[wrong][:2], k=4)

# %%
# Of images the thumbnails are shown, of texts the first words (`texts=`).

digits = load_digits()
pixels, written = digits.data / 16, digits.target
softmax = InfluenceLogisticRegression(C=0.1).fit(pixels[:500], written[:500])
missed = 500 + np.flatnonzero(softmax.predict(pixels[500:]) != written[500:])[:1]
InfluenceDisplay.from_estimator(softmax, pixels[missed], written[missed], k=4, image_shape=(8, 8))

# %%
# How far away they are
# ---------------------
# Influence is not similarity: far rows matter as well, and near ones of the same class hardly do.

InfluenceDistanceDisplay.from_estimator(pipe, X_test[wrong][:1], y_test[wrong][:1])

# %%
# Which rows the others do not expect
# -----------------------------------

SelfInfluenceDisplay.from_estimator(pipe)

# %%
# The same rows, as predictions: with the row and without it. Rings mark the patients whose
# diagnosis changes when they are left out.

LeaveOneOutDisplay.from_estimator(pipe)

# %%
# What a score owes to whom
# -------------------------

ScoreInfluenceDisplay.from_estimator(pipe, X_test, y_test, scoring="roc_auc")

# %%
# Is it right?
# ------------
# Estimates against refits. The title has the figures; a correlation alone would hide a wrong scale.
# The influence function is off by a third here, which is why the default refits the rows with long
# steps.

LeaveOneOutAgreementDisplay.from_estimator(pipe, X_test, y_test, method="first_order")

# %%
# The same for other changes of the data: here every third patient with the other diagnosis. One
# step is a rough estimate of so long a way, so that the default refits these rows too.

some = np.arange(0, 300, 3)
ChangeDisplay.from_estimator(pipe, X_test, y_test, "relabel", train_indices=some)

# %%
# How strong the penalty should be
# --------------------------------

grid = {"influencelogisticregression__C": np.logspace(-3, 2, 11)}
search = LeaveOneOutSearchCV(pipe, grid, scoring="neg_log_loss").fit(X_train, y_train)
RegularizationCurveDisplay.from_search(search)

# %%
# Which labels to check first
# ---------------------------
# Twenty labels are turned, and the ranking of an audit finds them again.

turned = np.random.default_rng(0).choice(300, 20, replace=False)
noisy = y_train.copy()
noisy.iloc[turned] = np.where(noisy.iloc[turned] == "benign", "malignant", "benign")
audit = LabelAudit(pipe).fit(X_train, noisy)
LabelReviewDisplay.from_audit(audit, y_train)

# %%
# The figures of regression courses
# ---------------------------------
# A linear regression of the progression of diabetes. These need no test rows: leverage, residuals,
# Cook's distances, and the effect on each coefficient.

X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
X.index = y.index = [f"p{i}" for i in range(len(y))]
explainer = InfluenceExplainer(make_pipeline(scaler, LinearRegression())).fit(X, y)
figure, ((top, right), (left, last)) = plt.subplots(2, 2, figsize=(10, 8), layout="constrained")
InfluencePlotDisplay.from_estimator(explainer, ax=top, name="influence plot")
CooksDistanceDisplay.from_estimator(explainer, ax=right, name="Cook's distance", n_labels=4)
QQResidualDisplay.from_estimator(explainer, ax=left, name="residuals")
AddedVariableDisplay.from_estimator(explainer, "bmi", ax=last, name="added variable")

# %%

DfbetasDisplay.from_estimator(explainer, name="effect on each coefficient", n_labels=2)

# %%
# How few rows overturn a finding
# -------------------------------
# The coefficient of the body mass index, and the fewest patients whose removal makes it negative.

audit = explainer.smallest_flip(coefficient("bmi"))
print(audit)
RobustnessDisplay.from_audit(audit, name="coefficient of bmi")

# %%
# Behind each figure is a table.

print(SelfInfluenceDisplay.from_estimator(pipe).to_frame().nlargest(3, "self_influence"))
