"""
Which of these mails are not spam?
==================================

A tenth of the labels of a spam filter's training mails are wrong, and somebody has time to read
some of the mails again. Which ones? Koh & Liang (2017, section 5.4) rank them by the influence of
each mail on its own loss. From the same single fit come better rankings: the loss of each mail
without itself, and a noise model that no longer lets wrong labels vouch for each other.
"""

# %%
# Data
# ----
# Word counts of 600 mails of Enron 1 (Metsis, Androutsopoulos & Paliouras 2006), if they are in
# the folder named by the environment variable ``SKINFLUENCE_DATA``, in it
# ``enron1_spam/enron1_bow.npz``. Without it the page runs on scikit-learn's own digits, threes
# against eights, and all it shows is smaller. One label in ten is turned round.

import os
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.preprocessing import scale

from skinfluence.display import LabelReviewDisplay
from skinfluence.labels import LabelAudit

path = Path(os.environ.get("SKINFLUENCE_DATA", "")) / "enron1_spam" / "enron1_bow.npz"
if path.is_file():
    with np.load(path) as stored:
        parts = stored["data"].astype(float), stored["indices"], stored["indptr"]
        X, y = sp.csr_array(parts, shape=tuple(stored["shape"])), stored["y"].astype(int)
    name, n, C = "Enron 1", 600, 1.0 / (600 * 1e-4)
else:
    X, y = load_digits(return_X_y=True)
    keep = np.isin(y, (3, 8))
    X, y = X[keep] / 16.0, y[keep] // 8
    name, n, C = "digits (no SKINFLUENCE_DATA)", 250, 1.0
X_train, y_true, X_test, y_test = X[:n], y[:n], X[-100:], y[-100:]


def flipped(y, rate, seed):
    """Labels of which a share is turned round."""
    rows = np.random.default_rng(seed).choice(len(y), round(rate * len(y)), replace=False)
    return np.where(np.isin(np.arange(len(y)), rows), 1 - y, y)


y_given = flipped(y_true, 0.1, seed=0)
wrong = y_given != y_true
print(f"{name}: {X_train.shape[0]} x {X_train.shape[1]}, {wrong.sum()} wrong labels")

# %%
# The audit
# ---------
# ``LabelAudit`` chooses C by leave-one-out, takes the probability of each label under the model
# without its row, and refits three times with the posteriors that labels are right as weights.

model = LogisticRegression(C=C, max_iter=1000)
audit = LabelAudit(model).fit(X_train, y_given)
low, high = audit.expected_errors_interval_
print(f"C: {C:.3g} given, {audit.regularization_:.3g} chosen")
print(f"expected wrong labels: {audit.expected_errors_:.0f} ({low:.0f} to {high:.0f})")
issues = audit.issues()
print(f"more likely wrong than right: {len(issues)} rows, of which {wrong[issues].sum()} are wrong")

# %%
# One row in detail: the rows that vouch for its label, and those that speak for the other one, with
# their share in the log odds; and what correcting it would do to the mean loss of the others.

print(audit.evidence(audit.ranking_[0], k=3))
first = audit.ranking_[:5]
audit.to_frame(effect_rows=first).iloc[first].round(3)

# %%
# The review
# ----------
# How much is found when the most suspect rows are read first? The other curves are scores of the
# one fit at the given C: the loss without the row, and Koh & Liang's self-influence.

display = LabelReviewDisplay.from_audit(audit, y_true, name="noise model, C chosen")
for score, style in (("loo_loss", "C2"), ("self_influence", "C1")):
    other = LabelAudit(model, score=score, regularization=None).fit(X_train, y_given)
    LabelReviewDisplay.from_audit(
        other,
        y_true,
        ax=display.ax_,
        name=score.replace("_", " "),
        line_kwargs={"color": style},
        random_kwargs={"visible": False, "label": "_"},
    )
display.ax_.set_xlim(0, 0.5)
display.ax_.legend(frameon=False)

# %%
# And what does the reading do for the filter? The labels of the rows that were read are corrected,
# and the model is fitted again.

LabelReviewDisplay.from_audit(
    audit, y_true, X_test=X_test, y_test=y_test, n_points=11, quantity="accuracy"
)

# %%
# Decisions are kept by row ids, which do not change when the rows are put in another order, and
# come back as labels and weights.

ids = audit.row_ids()
decisions = {ids[issues[0]]: "relabel", ids[issues[1]]: "keep", ids[issues[2]]: "drop"}
y_new, sample_weight = audit.apply(decisions)
print(f"{(y_new != y_given).sum()} relabelled, {(sample_weight == 0).sum()} dropped")

# %%
# Where each scorer loses
# -----------------------
# None of them wins everywhere, and these flips are the easy kind: at random. Average precision over
# two draws. Choosing C helps where the given C fits the wrong labels (many columns), and changes
# little where it does not. Self-influence is large for rows with a large leverage, whatever their
# label. The training loss is as good as leave-one-out where no row can pull the fit to itself.

SCORERS = {
    "noise model, C chosen": {},
    "noise model": {"regularization": None},
    "leave-one-out loss": {"score": "loo_loss", "regularization": None},
    "train loss": {"score": "train_loss", "regularization": None},
    "self-influence": {"score": "self_influence", "regularization": None},
}
X_cancer, y_cancer = load_breast_cancer(return_X_y=True)
PROBLEMS = {name: (X_train, y_true, C), "breast cancer": (scale(X_cancer), y_cancer, 1.0)}
for title, (rows, labels, strength) in PROBLEMS.items():
    print(title)
    for scorer, options in SCORERS.items():
        found = []
        for seed in (1, 2):
            given = flipped(labels, 0.1, seed)
            one = LabelAudit(LogisticRegression(C=strength, max_iter=1000), **options)
            scores = one.fit(rows, given).scores_
            found.append(average_precision_score(given != labels, scores))
        print(f"  {scorer:22s} {np.mean(found):.3f}")
