"""
Three networks and how they can be fooled
=========================================

A network whose input gradient turns quickly is fooled by small changes of an image, and so is what
explains it: other training images become the influential ones. A small network on the digits is
trained plainly, on attacked images, and with a penalty on its curvature. Attacked accuracy, the
curvature, the changes that fool each network, and how many of the ten most influential images of
a prediction stay after a change that its label survives.
"""

# %%
# The networks
# ------------
# Two convolutions and a hidden layer, smooth throughout, on 8 x 8 images with pixels from 0 to 1.
# :func:`~skinfluence.torch.adversarial_step` moves a batch to where its loss is larger, and
# :func:`~skinfluence.torch.curvature_regularizer` makes the penalty; both are used in one's own
# training loop.

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
from torch.nn.functional import cross_entropy

from skinfluence import InfluenceLogisticRegression
from skinfluence.torch import adversarial_step, curvature_regularizer, input_curvature

X, y = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32).reshape(-1, 1, 8, 8)
X_train, X_test, y_train, y_test = (
    torch.from_numpy(part) for part in train_test_split(X, y, train_size=1000, random_state=0)
)


def train(kind, epochs=30):
    """A network trained plainly, on attacked images, or with the penalty."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 12, 3), nn.SiLU(), nn.Conv2d(12, 24, 3), nn.SiLU(),
        nn.Flatten(), nn.Linear(24 * 16, 32), nn.SiLU(), nn.Linear(32, 10),
    )  # fmt: skip
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    penalty = curvature_regularizer(net, cross_entropy, h=0.5)
    for _ in range(epochs):
        for rows in torch.randperm(len(X_train)).split(100):
            images, labels = X_train[rows], y_train[rows]
            if kind == "attacked images":
                images = adversarial_step(net, cross_entropy, images, labels, eps=0.15)
            optimizer.zero_grad()
            loss = cross_entropy(net(images), labels)
            if kind == "curvature penalty":
                loss = loss + 1.0 * penalty(images, labels)
            loss.backward()
            optimizer.step()
    return net.eval()


nets = {kind: train(kind) for kind in ("plain", "attacked images", "curvature penalty")}

# %%
# Clean and attacked
# ------------------
# Ten gradient steps, each pixel changed by at most so much.

sizes = (0.0, 0.05, 0.1, 0.2)
print("accuracy with pixels changed by at most", *sizes)
for kind, net in nets.items():
    shares = []
    for eps in sizes:
        moved = X_test
        if eps > 0:
            moved = adversarial_step(net, cross_entropy, X_test, y_test, eps=eps, steps=10)
        shares.append((net(moved).argmax(dim=1) == y_test).double().mean().item())
    print(f"{kind:18s}", *(f"{share:.3f}" for share in shares))

# %%
# Curvature
# ---------
# The eigenvalues of the second derivative of the loss in the 64 pixels, mean over 200 test images.

figure, axis = plt.subplots(figsize=(6, 3.4), layout="constrained")
for kind, net in nets.items():
    spectrum = input_curvature(net, X_test[:200])
    axis.plot(np.arange(1, 65), spectrum.eigenvalues.mean(axis=0), label=kind)
    print(f"{kind:18s} mean of the largest eigenvalue {spectrum.largest.mean():.3f}")
axis.set(xlabel="eigenvalue", ylabel="mean over images", yscale="symlog")
axis.set_yscale("symlog", linthresh=1e-3)
axis.legend(frameon=False)

# %%
# What fools them
# ---------------
# The shortest of a series of attacks, from weak to strong, that changes the label of one image.


def shortest(net, image, label):
    """The first of growing changes that the network's label does not survive."""
    for eps in np.geomspace(0.01, 1.0, 40):
        moved = adversarial_step(net, cross_entropy, image, label, eps=float(eps), steps=10)
        if net(moved).argmax() != label:
            return moved, eps
    return moved, np.inf


right = torch.stack([net(X_test).argmax(dim=1) == y_test for net in nets.values()]).all(dim=0)
row = int(right.nonzero()[0, 0])
figure, axes = plt.subplots(len(nets), 3, figsize=(5, 5.4), layout="constrained")
for line, (kind, net) in zip(axes, nets.items(), strict=True):
    moved, eps = shortest(net, X_test[[row]], y_test[[row]])
    wrong = net(moved).argmax().item()
    pictures = (X_test[row, 0], (moved - X_test[[row]])[0, 0], moved[0, 0])
    titles = (f"{kind}: {y_test[row]}", f"change, at most {eps:.2f}", f"taken for {wrong}")
    for axis, picture, title in zip(line, pictures, titles, strict=True):
        axis.imshow(picture, cmap="gray" if title[:6] != "change" else "RdBu", vmin=-1, vmax=1)
        axis.set_title(title, fontsize=8)
        axis.axis("off")

# %%
# What happens to the explanation
# -------------------------------
# The last layer is refitted as a logistic regression on the features below it, and asked for the
# ten training images that matter most for the loss of its own prediction, before and after a small
# attack: pixels changed by at most 0.05. Only images count whose label stays.

print("of the ten most helpful images of a prediction stay, with the label unchanged")
for kind, net in nets.items():
    below = net[:-1]
    with torch.no_grad():
        head = InfluenceLogisticRegression(C=0.1).fit(below(X_train).numpy(), y_train.numpy())
        labels = torch.from_numpy(head.predict(below(X_test[:100]).numpy()))
    moved = adversarial_step(net, cross_entropy, X_test[:100], labels, eps=0.05)
    with torch.no_grad():
        before, after = (below(images).numpy() for images in (X_test[:100], moved))
    kept = head.predict(after) == labels.numpy()
    tops = [
        head.most_influential(
            rows[kept], labels.numpy()[kept], k=10, method="first_order"
        ).helpful_indices
        for rows in (before, after)
    ]
    same = [len(np.intersect1d(one, two)) for one, two in zip(*tops, strict=True)]
    print(f"{kind:18s} {np.mean(same):.1f} of 10, over {kept.sum()} images")
