"""Problems at random, with a quota for every kind."""

import zlib

import numpy as np

from skinfluence import __version__
from tests.fuzz.models import MODELS
from tests.fuzz.problems import Problem

NAMES = tuple(MODELS)
# New problems in every release.
SEED = zlib.crc32(__version__.encode())
SHIFTS = (1e3, 1e4, 1e5, 1e6, 1e7)
# Of how many problems in ten each kind is a part.
ATTACKS = {
    "plain": 2.0,
    "shift": 1.5,
    "scale": 1.0,
    "y scale": 0.7,
    "weights of zero": 1.0,
    "weights 1e-6 to 1e6": 0.8,
    "tiny n": 1.2,
    "p > n": 0.8,
    "duplicates": 1.0,
    "integers": 0.8,
    "saturated": 0.5,
    "exact": 0.3,
    "powers": 0.3,
    "heavy rows": 0.6,
    "sparse": 0.8,
    "float32": 0.6,
    "damping": 0.5,
}
# What each of the others may be, drawn from.
CHOICES = {
    "plain": {},
    "shift": {"shift": SHIFTS},
    "scale": {"scale": ["wide"]},
    "y scale": {"y_scale": [1e-4, 1e-2, 1e3, 1e6], "y_shift": [0.0, 0.0, 1e2, 1e4]},
    "weights of zero": {"weights": ["zeros"]},
    "weights 1e-6 to 1e6": {"weights": ["wide"]},
    "duplicates": {"data": ["duplicate rows", "duplicate columns", "constant column"]},
    "integers": {"data": ["integers", "binary"]},
    "saturated": {"data": ["saturated"]},
    "exact": {"data": ["exact"]},
    "powers": {"data": ["powers"]},
    "heavy rows": {"data": ["heavy"]},
    "sparse": {"storage": ["csr", "csr float32"]},
    "float32": {"storage": ["float32"]},
}


def draw(seed, index):
    """The problem number `index` of a seed, and the kinds it is of."""
    rng = np.random.default_rng([seed, index])
    name = NAMES[index % len(NAMES)]
    names = list(ATTACKS)
    quota = np.array([ATTACKS[key] for key in names])
    count = int(rng.choice([1, 1, 1, 2, 2, 3]))
    picked = rng.choice(names, size=count, replace=False, p=quota / quota.sum())
    kinds = [str(kind) for kind in picked]
    problem = _base(rng, name, int(rng.integers(2**31)))
    for kind in kinds:
        problem = _with(rng, problem, kind)
    problem = MODELS[name].draw(rng, problem)
    problem = _asked(rng, problem)
    return problem, tuple(kinds)


def _base(rng, name, seed):
    return Problem(
        name,
        seed=seed,
        n=int(rng.integers(6, 19)),
        p=int(rng.integers(1, 5)),
        m=int(rng.integers(1, 5)),
        intercept=bool(rng.uniform() < 0.75),
        outputs=2 if MODELS[name].is_classifier else 1,
        weights=str(rng.choice(["none", "none", "uniform", "equal"])),
        labels=str(rng.choice(["int", "int", "str", "odd"])),
        storage=str(rng.choice(["C", "C", "F", "frame"])),
        curvature=str(rng.choice(["auto", "auto", "auto", "dense", "dual", "cg"])),
    )


def _with(rng, problem, kind):
    """The problem with one more thing about it."""
    if kind == "tiny n":
        return problem.but(n=int(rng.integers(1, 6)), p=int(rng.integers(1, 3)))
    if kind == "p > n":
        n = int(rng.integers(3, 9))
        return problem.but(n=n, p=n + int(rng.integers(1, 5)))
    if kind == "damping":
        return problem.but(damping=float(10.0 ** rng.uniform(-3, 1)))
    picked = {name: rng.choice(values).item() for name, values in CHOICES[kind].items()}
    return problem.but(**picked)


def _asked(rng, problem):
    """How the model is wrapped."""
    model = MODELS[problem.model]
    if model.own is None:
        return problem.but(through="explainer")
    through = str(rng.choice(["model", "model", "model", "pipeline", "explainer"]))
    if through == "explainer" and model.original is None:
        through = "model"
    if problem.model == "kernel ridge" and through == "explainer":
        problem = problem.but(intercept=False)
    return problem.but(through=through)
