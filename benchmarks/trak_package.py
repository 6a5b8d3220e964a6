"""`python -m benchmarks.trak_package`: TRAK beside the package of its authors, traker.

Networks of one hidden layer on 300 digits, scores of 40 test digits, and for each test row the
Spearman correlation of two scores of the training rows. Each answers alone and with the
projection taken out or averaged out, so that what is left is the formula. traker gets the float32
that it has for CPUs, a projection seed and a ridge: without one (its default) the inverse of 2,048
features of 300 rows does not exist. `pip install traker==0.3.2`, which needs PyTorch, NumPy and
tqdm; benchmarks/README.md has the table.
"""

import argparse
import tempfile
from importlib.util import find_spec

import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

from skinfluence.torch import TRAK

N_TRAIN, N_TEST, STEPS, DECAY = 300, 40, 120, 1e-3
# The first three have fewer parameters than there are features: TRAK keeps their gradients.
HIDDEN = (4, 12, 27, 100)
PROJECTIONS, CHECKPOINTS = 8, 3


def data(seed):
    """Training rows, their labels, test rows and theirs."""
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(y))[: N_TRAIN + N_TEST]
    X, y = torch.from_numpy((X[order] / 16).astype(np.float32)), torch.from_numpy(y[order])
    return X[:N_TRAIN], y[:N_TRAIN], X[N_TRAIN:], y[N_TRAIN:]


def trained(hidden, seed, X, y):
    """A network short of its minimum, as in benchmarks/whole_networks.py."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 10))
    optimizer = torch.optim.Adam(net.parameters(), 5e-3, weight_decay=DECAY)
    for _ in range(STEPS):
        rows = torch.randint(0, len(y), (100,))
        optimizer.zero_grad()
        cross_entropy(net(X[rows]), y[rows]).backward()
        optimizer.step()
    return net.eval()


def n_parameters(net):
    """Number of parameters, which all require a gradient."""
    return sum(part.numel() for part in net.parameters())


def package_scores(nets, X, y, X_test, y_test, alpha, proj_dim=2048, seed=0):
    """Scores (n_test, n) of the first of some networks, and of all, by the package.

    `alpha` is the ridge beside the gradients themselves. The package divides them by the root of
    their number P, and its projection multiplies inner products by `proj_dim`; None: no projection.
    """
    from trak import TRAKer
    from trak.projectors import BasicProjector, NoOpProjector

    P = n_parameters(nets[0])
    if proj_dim is None:
        projector, size = NoOpProjector(P, P, device="cpu"), 1.0
    else:
        # Of one block the package forgets the matrix between its two stages.
        options = {"block_size": min(100, proj_dim // 2), "dtype": torch.float32}
        projector = BasicProjector(P, proj_dim, seed, "normal", "cpu", **options)
        size = proj_dim
    states = [{k: v.clone() for k, v in net.state_dict().items()} for net in nets]
    with tempfile.TemporaryDirectory() as folder:
        package = TRAKer(
            nets[0], "image_classification", train_set_size=len(X), save_dir=folder, device="cpu",
            projector=projector, proj_dim=projector.proj_dim, use_half_precision=False,
            lambda_reg=alpha * size / P, logging_level=40,
        )  # fmt: skip
        for number, state in enumerate(states):
            package.load_checkpoint(state, model_id=number)
            package.featurize((X, y), num_samples=len(X))
        package.finalize_features()
        for number, state in enumerate(states):
            package.start_scoring_checkpoint("test", state, number, num_targets=len(X_test))
            package.score((X_test, y_test), num_samples=len(X_test))
        # What it returns is a file's memory, which the next call writes over.
        found = [
            np.array(package.finalize_scores("test", model_ids=ids), dtype=float).T
            for ids in ([0], list(range(len(nets))))
        ]
        nets[0].load_state_dict(states[0])
    return found


def own_scores(nets, X, y, X_test, y_test, **options):
    """Published scores (n_test, n) by this library: what a row adds to a margin."""
    model = TRAK(nets, curvature="gram", **options).fit(X, y)
    return -model.influence(X_test, y_test, target="margin")


def ranks(one, other):
    """Spearman correlation of two scores for each test row."""
    return np.array([spearmanr(a, b)[0] for a, b in zip(one, other, strict=True)])


def compare(hidden, seed):
    """{comparison: Spearman correlations of the test rows}, and the error without projection."""
    rows = X, y, X_test, y_test = data(seed)
    net, *others = (trained(hidden, seed + 1000 * k, X, y) for k in range(CHECKPOINTS))
    alpha = float(TRAK(net, curvature="gram").fit(X, y).alpha_[0])
    same = [net] * PROJECTIONS  # one checkpoint again and again: other projections
    first, mean = package_scores(same, *rows, alpha)
    again, mean_again = package_scores(same, *rows, alpha, seed=1)
    whole, checkpoints = package_scores([net, *others], *rows, alpha, proj_dim=None)
    one = own_scores(net, *rows, alpha=alpha)
    plain = own_scores(net, *rows, alpha=alpha, proj_dim=None)
    several = own_scores([net, *others], *rows, alpha=alpha, proj_dim=None)
    default = TRAK(net).fit(X, y).influence(X_test, y_test)
    weighted = TRAK(net, proj_dim=None).fit(X, y).influence(X_test, y_test)
    stronger = TRAK(net, proj_dim=None, alpha=alpha).fit(X, y).influence(X_test, y_test)
    scale = (whole * plain).sum() / (plain**2).sum()  # the package scales its inverse
    found = {
        "published, no projection": ranks(plain, whole),
        "published": ranks(one, first),
        "  traker, another seed": ranks(again, first),
        "  ours, another seed": ranks(own_scores(net, *rows, alpha=alpha, random_state=1), one),
        f"published, mean of {PROJECTIONS}": ranks(own_scores(same, *rows, alpha=alpha), mean),
        f"  traker, {PROJECTIONS} other seeds": ranks(mean_again, mean),
        f"published, {CHECKPOINTS} networks": ranks(several, checkpoints),
        "default, no projection": ranks(weighted, whole),
        "  with the published ridge": ranks(stronger, whole),
        "default": ranks(default, first),
    }
    return found, np.abs(whole - scale * plain).max() / np.abs(whole).max()


def main():
    """Run the seeds and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--hidden", type=int, nargs="+", default=HIDDEN)
    asked = parser.parse_args()
    if find_spec("trak") is None:
        raise SystemExit("traker is not installed: pip install traker==0.3.2")
    torch.set_num_threads(1)
    columns, errors = [], []
    for hidden in asked.hidden:
        parts = [compare(hidden, seed) for seed in asked.seeds]
        columns.append({name: np.array([part[name] for part, _ in parts]) for name in parts[0][0]})
        errors.append(max(error for _, error in parts))
        print(f"{hidden} hidden units: done", flush=True)
    show(asked, columns, errors)


def show(asked, columns, errors):
    """Print the table: a column for each network."""
    seeds = ", ".join(map(str, asked.seeds))
    print(f"Spearman correlation with traker's scores, {N_TEST} test rows, seeds {seeds}: median,")
    print("the medians of the seeds, and (the least of all test rows)")
    sizes = (f"{75 * hidden + 10:,} parameters" for hidden in asked.hidden)
    print(f"{'':26s}" + "".join(f"{size:>28s}" for size in sizes))
    for name in columns[0]:
        print(f"{name:26s}", end="")
        for column in columns:
            values = column[name]
            each = np.median(values, axis=1)
            cell = f"{np.median(values):.3f} {each.min():.3f}-{each.max():.3f} ({values.min():.3f})"
            print(f"{cell:>28s}", end="")
        print()
    print(f"{'largest difference':26s}" + "".join(f"{error:28.0e}" for error in errors))


if __name__ == "__main__":
    main()
