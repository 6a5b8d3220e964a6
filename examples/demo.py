"""Which patients made the model misdiagnose this one, and would it do better without them?

Fits scikit-learn's breast cancer data, takes the test patient with the largest loss, names the
training patients behind it, and holds the estimates against models that were really refitted
without them. Run by ``make demo``; writes demo.png beside this file.
"""

import os
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skinfluence import InfluenceLogisticRegression
from skinfluence.evaluation import agreement

FIGURE = Path(__file__).with_name("demo.png")


def load():
    """Return scaled training and test frames, labels, and the names of the two diagnoses.

    Rows keep the names that they have in the data set, as in the README.
    """
    data = load_breast_cancer(as_frame=True)
    X_train, X_test, y_train, y_test = train_test_split(
        data.data, data.target, train_size=300, stratify=data.target, random_state=0
    )
    scaler = StandardScaler().set_output(transform="pandas").fit(X_train)
    return scaler.transform(X_train), scaler.transform(X_test), y_train, y_test, data.target_names


def losses_of_refits(X_train, y_train, X, y):
    """Loss of one test row under models refitted by scikit-learn without each training row."""
    model = LogisticRegression(solver="newton-cholesky", tol=1e-12, max_iter=1000)
    losses = np.empty(len(X_train))
    for row in range(len(X_train)):
        keep = np.arange(len(X_train)) != row
        refitted = clone(model).fit(X_train[keep], y_train[keep])
        losses[row] = log_loss(y, refitted.predict_proba(X), labels=[0, 1])
    return losses


def draw(estimates, actual, patient):
    """Write one panel a method: estimated against actual change of the patient's loss."""
    figure, axes = plt.subplots(1, len(estimates), figsize=(9, 4.4), sharex=True, sharey=True)
    limits = [min(actual.min(), 0) * 1.1, max(actual.max(), 0) * 1.1]
    for axis, (method, estimated) in zip(axes, estimates.items(), strict=True):
        figures = agreement(estimated, actual)
        axis.plot(limits, limits, color="0.7", linewidth=1, zorder=0)
        axis.scatter(actual, estimated, s=14, color="#1f5fa8", alpha=0.7, linewidth=0)
        axis.set_title(
            f'method="{method}"\n'
            f"slope {figures.slope:.2f}, relative RMSE {figures.relative_rmse:.0%}"
        )
        axis.set_xlabel("change of the loss, really refitted")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("change of the loss, estimated")
    figure.suptitle(
        f"Leaving out each of {len(actual)} training rows: loss of test patient {patient}"
    )
    figure.tight_layout()
    figure.savefig(FIGURE, dpi=120)


def main():
    """Fit, explain, check."""
    X_train, X_test, y_train, y_test, names = load()
    clf = InfluenceLogisticRegression(C=1.0).fit(X_train, y_train)
    n_wrong = int((clf.predict(X_test) != y_test).sum())
    probability = clf.predict_proba(X_test)[np.arange(len(y_test)), y_test]
    worst = int(np.argmin(probability))
    X, y, patient = X_test.iloc[[worst]], y_test.iloc[[worst]], X_test.index[worst]
    print(f"test accuracy {clf.score(X_test, y_test):.3f}; {n_wrong} of {len(y_test)} wrong")
    print(
        f"test patient {patient} is {names[y.iloc[0]]}; the model gives that diagnosis "
        f"{probability[worst]:.1%}\n"
    )

    most = clf.most_influential(X, y, k=5).to_frame()
    for kind, what in (("helpful", "rises"), ("harmful", "falls")):
        print(f"most {kind}: without it the loss {what}")
        for each in most[most["kind"] == kind].itertuples():
            diagnosis = names[y_train[each.train]]
            print(f"  training row {each.train:3d}  {diagnosis:9s}  {each.influence:+.4f}")
    print()

    before = log_loss(y, clf.predict_proba(X), labels=[0, 1])
    actual = losses_of_refits(X_train, y_train, X, y) - before
    estimates = {
        method: clf.influence(X, y, method=method)[0] for method in ("first_order", "newton")
    }
    print(f"against {len(actual)} models refitted by scikit-learn without a row:")
    for method, estimated in estimates.items():
        print(f"  {method:11s}  {agreement(estimated, actual)}")
    exact = clf.influence(X, y, method="exact")[0]
    print(f"  exact        largest difference {np.abs(exact - actual).max():.1e}")
    draw(estimates, actual, patient)
    print(f"\nfigure: {os.path.relpath(FIGURE)}")


if __name__ == "__main__":
    main()
