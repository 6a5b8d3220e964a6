"""
Koh & Liang, Figure 4: two models, two kinds of reasons
=======================================================

Two models can be right about the same image for different reasons. Koh & Liang (2017) show it with
a support vector machine on pixels and a network: the one leans on the training images that look
alike pixel by pixel, the other does not. Here is the same with a 4 against a 9, an RBF machine and
a logistic regression on simple features of the image.
"""

# %%
# The data
# --------
# MNIST, 4 against 9, a thousand training rows of each or so. The images are read from the folder
# named by the environment variable ``SKINFLUENCE_DATA``, in it ``mnist/mnist.npz``. Without it the
# page runs on scikit-learn's own small digits, a few hundred, which show less of all this. The text
# speaks of MNIST.

import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import rankdata
from sklearn.datasets import load_digits
from sklearn.metrics import euclidean_distances

from skinfluence import InfluenceLogisticRegression
from skinfluence.model_selection import LeaveOneOutSearchCV
from skinfluence.svm import SmoothHingeSVC

path = Path(os.environ.get("SKINFLUENCE_DATA", "")) / "mnist" / "mnist.npz"
if path.is_file():
    name, side, size = "MNIST", 28, 6
    with np.load(path) as mnist:
        X, y = mnist["x_train"][5000:16000] / 255.0, mnist["y_train"][5000:16000]
        X_test, y_test = mnist["x_test"] / 255.0, mnist["y_test"]
else:
    name, side, size = "scikit-learn's digits (no SKINFLUENCE_DATA)", 8, 3
    X, y = load_digits(return_X_y=True)
    X, y, X_test, y_test = X[:1200] / 16.0, y[:1200], X[1200:] / 16.0, y[1200:]

pair, test = np.isin(y, (4, 9)), np.isin(y_test, (4, 9))
others = X[~pair][:2000]
X_train, y_train = X[pair][:2000], y[pair][:2000]
X_test, y_test = X_test[test], y_test[test]
print(f"{name}: {len(y_train)} training rows, {len(y_test)} test rows")

# %%
# Features
# --------
# Strokes, roughly placed. Small patches of the images of the other eight digits, 32 of them at
# random, are laid over each window of an image; what agrees is kept, what disagrees is cut off at
# zero, and the mean is taken in each cell of a 3 x 3 grid. Nothing is trained.


def windows(X):
    """Each window of each image, (n, positions, positions, size, size)."""
    images = X.reshape(-1, side, side)
    return np.lib.stride_tricks.sliding_window_view(images, (size, size), axis=(1, 2))


rng = np.random.default_rng(0)
drawn = windows(others)
at = rng.integers(drawn.shape[:3], size=(2000, 3)).T
patches = drawn[tuple(at)].reshape(2000, -1)
patches = patches[patches.std(axis=1) > 0.1][:32]  # not the empty ones
patches = patches - patches.mean(axis=1, keepdims=True)
patches /= np.linalg.norm(patches, axis=1, keepdims=True)


def features(X):
    """Means of the 32 answers in 3 x 3 cells, (n, 288)."""
    parts = []
    for block in np.array_split(X, max(1, len(X) // 200)):
        view = windows(block)
        answer = np.maximum(0.0, view.reshape(*view.shape[:3], -1) @ patches.T)
        cells = [c for row in np.array_split(answer, 3, axis=1) for c in np.array_split(row, 3, 2)]
        parts.append(np.hstack([cell.mean(axis=(1, 2)) for cell in cells]))
    return np.vstack(parts)


F_train, F_test = features(X_train), features(X_test)
F_train, F_test = F_train / F_train.std(), F_test / F_train.std()

# %%
# Two models
# ----------
# The RBF machine as it comes, and the regression at the C of the least leave-one-out log loss. The
# features are good ones: a linear model on them is more often right than the RBF machine on pixels.


def machine(X):
    """The RBF machine."""
    return SmoothHingeSVC(kernel="rbf", temperature=0.01).fit(X, y_train)


def regression(X):
    """Logistic regression, its C by leave-one-out."""
    candidates = {"C": [0.1, 1.0, 10.0, 100.0]}
    model = InfluenceLogisticRegression(solver="newton-cholesky")
    search = LeaveOneOutSearchCV(model, candidates, scoring="neg_log_loss").fit(X, y_train)
    return search.best_estimator_


svm, linear = machine(X_train), regression(F_train)
print(f"RBF machine on pixels            {svm.score(X_test, y_test):.4f}")
print(f"logistic regression on features  {linear.score(F_test, y_test):.4f}, C = {linear.C:g}")

# %%
# One image
# ---------
# Of the test images that both get right, the one of which the machine is least sure. For each
# training image: how far it is from the test image, pixel by pixel, and how the loss of the test
# image changes without it. Above zero it helps.

right = (svm.predict(X_test) == y_test) & (linear.predict(F_test) == y_test)
sure = np.abs(svm.decision_function(X_test))
chosen = int(np.argmin(np.where(right, sure, np.inf)))
digit, label = X_test[[chosen]], y_test[[chosen]]
effects = {
    "RBF machine, pixels": svm.influence(digit, label)[0],
    "logistic regression, features": linear.influence(F_test[[chosen]], label)[0],
}
distance = euclidean_distances(digit, X_train)[0]
same = y_train == label[0]

figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharex=True, layout="constrained")
for ax, (title, effect) in zip(axes, effects.items(), strict=True):
    ax.axhline(0, color="0.8", linewidth=1, zorder=0)
    for rows, colour, text in ((same, "#1f5fa8", "same label"), (~same, "#b5443b", "other label")):
        ax.scatter(
            distance[rows], effect[rows], s=9, alpha=0.6, linewidth=0, color=colour, label=text
        )
    ax.set_title(title, fontsize=10)
    ax.set_xlabel("distance in pixels")
    ax.spines[["top", "right"]].set_visible(False)
axes[0].set_ylabel("change of the loss without the row")
axes[0].legend(frameon=False)

# %%
# The machine's picture is a funnel: close images of the own label help, close ones of the other
# hurt, and far ones say little or nothing. The regression listens to close images too, but the
# closest is not among its best, some of the other label help, and some of the own label hurt.
#
# In numbers: the rank correlation of distance and size of the effect, among rows with an effect;
# how much of all effects comes from the nearest tenth of the rows; how much of it is as the label
# says, the own helping and the other hurting; and how many of the ten rows that help most have the
# own label.


def ranks(A):
    """Ranks in each row, centred, of length one."""
    R = rankdata(A, axis=1)
    R -= R.mean(axis=1, keepdims=True)
    return R / np.linalg.norm(R, axis=1, keepdims=True)


def summary(effect, distance, same):
    """These four numbers, means over test images."""
    sizes = np.abs(effect)
    alive = (sizes > 1e-3 * sizes.max(axis=1, keepdims=True)).any(axis=0)
    rho = (ranks(sizes[:, alive]) * ranks(distance[:, alive])).sum(axis=1)
    sizes = sizes / sizes.sum(axis=1, keepdims=True)
    near = rankdata(distance, axis=1) <= 0.1 * distance.shape[1]
    best = np.argsort(-effect, axis=1)[:, :10]
    expected = (effect > 0) == same
    return (
        f"{rho.mean():+8.2f} {(sizes * near).sum(axis=1).mean():8.0%}"
        f"{(sizes * expected).sum(axis=1).mean():9.0%}"
        f"{np.take_along_axis(same, best, axis=1).mean():9.0%}"
    )


header = f"{'':32s}     rho  nearest    label  top ten"
print(header)
for title, effect in effects.items():
    print(f"{title:32s}{summary(effect[None], distance[None], same[None])}")

# %%
# The images behind it
# --------------------
# The five that help most and the five that hurt most, for each model. What hurts the machine are
# 9s, most of them as narrow and as slanted as the 4. What hurts the regression are odd images, bold
# or bent, and three of the five are 4s.

figure, axes = plt.subplots(4, 6, figsize=(9, 6.3), layout="constrained")
for line, (title, kind) in enumerate((t, k) for t in effects for k in ("helps", "hurts")):
    effect = effects[title]
    order = np.argsort(-effect if kind == "helps" else effect)[:5]
    axes[line, 0].imshow(digit[0].reshape(side, side), cmap="gray_r")
    axes[line, 0].set_title(f"test: {label[0]}", fontsize="small")
    text = f"{title.replace(', ', ',' + chr(10))}\n{kind}"
    axes[line, 0].text(
        -0.12, 0.5, text, rotation=90, va="center", ha="right", fontsize="small",
        multialignment="center", transform=axes[line, 0].transAxes,
    )  # fmt: skip
    for ax, i in zip(axes[line, 1:], order, strict=True):
        ax.imshow(X_train[i].reshape(side, side), cmap="gray_r")
        ax.set_title(f"{y_train[i]}: {effect[i]:+.4f}", fontsize="small")
for ax in axes.flat:
    ax.set_axis_off()

# %%
# Not of one image only
# ---------------------
# The same for two hundred images of the test set, by the margin, which has no flat part; and for
# the other two of the four models, to see whether it is the kernel or the features. The last line
# is the regression penalised a thousand times as hard.

strict = InfluenceLogisticRegression(C=linear.C / 1000).fit(F_train, y_train)
models = {
    "RBF machine, pixels": (svm, X_test),
    "RBF machine, features": (machine(F_train), F_test),
    "logistic regression, pixels": (regression(X_train), X_test),
    "logistic regression, features": (linear, F_test),
    "the same, C / 1000": (strict, F_test),
}
asked = np.arange(0, len(y_test), max(1, len(y_test) // 200))
distances = euclidean_distances(X_test[asked], X_train)
agrees = y_train == y_test[asked, None]
print(header, " accuracy")
for title, (model, rows) in models.items():
    effect = -model.influence(rows[asked], y_test[asked], target="margin")  # positive: it helps
    numbers = summary(effect, distances, agrees)
    print(f"{title:32s}{numbers} {model.score(rows, y_test):10.4f} {getattr(model, 'C', '')}")

# %%
# The paper's difference is there: the machine takes far more from its nearest rows, and nearly all
# of its best helpers have the own label, while of the regression's over a third have the other.
# But the features are not the reason. The same regression on the pixels does what it does on the
# features, and the RBF machine on the features what it does on the pixels: it is the kernel. And
# the penalty: held a thousand times as tight, the regression listens to the near rows and to the
# label much as the machine does.
