"""
How far to trust influence on a network
=======================================

Influence on a whole network is a derivative at one point of a surface that is not convex. Koh &
Liang (2017, section 4.2) checked it by retraining from the same minimum without a row. Here is that
check for networks of several widths and depths, with more or less damping, and for networks
whose training was stopped early.
"""

# %%
# The networks
# ------------
# Eights against threes, ten principal components of the digits, 160 rows. The networks minimise the
# sum of the losses plus a penalty on all weights, by L-BFGS on all rows. What is predicted: the
# change of the loss of 20 test rows by the removal of one training row, for 12 rows: the six of the
# largest influence, and six over the whole range.

import copy

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from torch import nn
from torch.nn.functional import cross_entropy

from skinfluence.evaluation import agreement
from skinfluence.torch import NetworkInfluence

PENALTY = 0.5
digits, label = load_digits(return_X_y=True)
kept = np.isin(label, (3, 8))
X = torch.from_numpy(PCA(10, whiten=True, random_state=0).fit_transform(digits[kept]))
y = torch.from_numpy((label[kept] == 8).astype(int))
X, X_test, y, y_test = X[:160], X[160:180], y[:160], y[160:180]


def descend(net, weight, steps):
    """Train in place for some steps of L-BFGS, or to a minimum."""
    optimizer = torch.optim.LBFGS(
        net.parameters(), max_iter=steps, tolerance_grad=1e-7, tolerance_change=1e-12,
        history_size=30, line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure():
        optimizer.zero_grad()
        squares = sum((p**2).sum() for p in net.parameters())
        loss = weight @ cross_entropy(net(X), y, reduction="none") + PENALTY / 2 * squares
        loss.backward()
        return loss

    optimizer.step(closure)
    return net


def network(width, depth, seed=0):
    """A network with so many hidden layers of so many units."""
    torch.manual_seed(seed)
    layers, inputs = [], 10
    for _ in range(depth):
        layers += [nn.Linear(inputs, width), nn.Tanh()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, 2)).double()


def test_losses(net):
    """Losses of the test rows."""
    with torch.no_grad():
        return cross_entropy(net(X_test), y_test, reduction="none").numpy()


def most_and_some(estimate):
    """Twelve training rows: the six of the largest influence, and six over the whole range."""
    order = np.argsort(-np.abs(estimate).max(axis=0))
    return np.r_[order[:6], order[10::28][:6]]


def retrained(net, chosen, share=1.0, steps=400):
    """Actual changes (20, 12): trained on from the same weights, without the row minus with it.

    With a share below 1 so much of the row's weight goes, and the change is divided by it.
    """
    everything = torch.ones(len(X), dtype=torch.float64)
    after = test_losses(descend(copy.deepcopy(net), everything, steps))
    actual = []
    for row in chosen:
        weight = everything.clone()
        weight[row] = 1.0 - share
        actual.append(test_losses(descend(copy.deepcopy(net), weight, steps)) - after)
    return np.array(actual).T / share


def line(predicted, actual):
    """Slope, correlation and rank correlation, in words."""
    found = agreement(predicted, actual)
    rank = spearmanr(predicted.ravel(), actual.ravel())[0]
    return f"slope {found.slope:.2f}, r {found.r:.3f}, rank correlation {rank:.3f}"


# %%
# At a minimum
# ------------
# The gradient has vanished and the Hessian is positive definite: no damping is needed, and the
# influence is the derivative of the retrained network in the row's weight. For a hundredth of the
# weight it is the change; for the whole row it has the order of the changes and not their size,
# because a derivative does not know that the curvature of the row goes with it. A Newton step takes
# the row's own curvature out, and the target is evaluated at the moved weights: that has the size
# too.

net = descend(network(8, 1), torch.ones(160, dtype=torch.float64), 2000)
explained = NetworkInfluence(net, cross_entropy, penalty=PENALTY).fit(X, y)
print(f"gradient left {explained.gradient_norm_:.1e}, damping {explained.damping_}")
estimate = explained.influence(X_test, y_test)
rows = most_and_some(estimate)
print(f"a hundredth of the row: {line(estimate[:, rows], retrained(net, rows, share=0.01))}")
actual = retrained(net, rows)
newton = explained.influence(X_test, y_test, method="newton")
figure, axes = plt.subplots(
    1, 2, figsize=(7.5, 3.8), layout="constrained", sharex=True, sharey=True
)
for axis, name, values in zip(axes, ("first order", "Newton"), (estimate, newton), strict=True):
    print(f"the whole row, {name}: {line(values[:, rows], actual)}")
    axis.plot(actual, values[:, rows], ".", color="C0")
    ends = np.array([actual.min(), actual.max()])
    axis.plot(ends, ends, color="0.6", linewidth=1)
    axis.set(xlabel="actual change of a test loss", ylabel="predicted", title=name)
    axis.label_outer()

# %%
# Width and depth
# ---------------
# One and two hidden layers of 4 and 16 units, with the number of parameters.

for depth in (1, 2):
    for width in (4, 16):
        net = descend(network(width, depth), torch.ones(160, dtype=torch.float64), 2000)
        model = NetworkInfluence(net, cross_entropy, penalty=PENALTY).fit(X, y)
        found = {m: model.influence(X_test, y_test, method=m) for m in ("first_order", "newton")}
        some = most_and_some(found["first_order"])
        changes = retrained(net, some)
        for method, values in found.items():
            print(
                f"{depth} x {width:2d} ({model.n_parameters_:3d} weights), {method:11s}: "
                f"{line(values[:, some], changes)}"
            )

# %%
# Damping
# -------
# Too much of it shortens every step further and mixes up the order; a network at its minimum needs
# none.

for damping in (0.0, 0.1, 1.0, 10.0):
    model = NetworkInfluence(explained.module, cross_entropy, penalty=PENALTY, damping=damping).fit(
        X, y
    )
    values = model.influence(X_test, y_test)
    print(f"damping {damping:4.1f}: {line(values[:, rows], actual)}")

# %%
# Training that was stopped
# -------------------------
# After few steps the weights are at no minimum, the Hessian has negative eigenvalues, and
# ``damping="auto"`` adds what makes it positive. Actual is the difference of two networks that are
# trained on to the end from there, with and without the row. What is predicted is something else,
# the response of a network that stays close to the present one (see :doc:`/whole_networks`).

for steps in (5, 15, 40, 100):
    net = descend(network(8, 1), torch.ones(160, dtype=torch.float64), steps)
    changes = retrained(net, rows)
    for curvature in ("hessian", "ggn"):
        model = NetworkInfluence(net, cross_entropy, penalty=PENALTY, curvature=curvature)
        values = model.fit(X, y).influence(X_test, y_test)
        print(
            f"{steps:3d} steps, gradient {model.gradient_norm_:7.1e}, {curvature:7s} "
            f"damping {model.damping_:5.2f}: {line(values[:, rows], changes)}"
        )
