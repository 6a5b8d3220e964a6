"""Random subsets of the rows, from a seed."""

import numpy as np
from sklearn.utils import check_random_state


def subset_size(fraction, n_train):
    """Rows of a subset; raise for a fraction outside (0, 1), or of no row or all."""
    if not isinstance(fraction, float | int | np.number) or not 0 < fraction < 1:
        raise ValueError(f"fraction should be above 0 and below 1; got {fraction!r}.")
    size = round(float(fraction) * n_train)
    if not 0 < size < n_train:
        raise ValueError(
            f"fraction={fraction!r} of {n_train} training rows is {size}: a subset should leave "
            "some rows out, and keep some."
        )
    return size


def seed_of(random_state, path=None):
    """An integer seed: the given one, else one drawn; raise where a path needs the same again."""
    if isinstance(random_state, int | np.integer):
        if random_state < 0:
            raise ValueError(f"random_state should be at least 0; got {random_state!r}.")
        return int(random_state)
    if path is not None:
        raise ValueError(
            "with a path, random_state should be an integer, by which the work is resumed; "
            f"got {random_state!r}."
        )
    return int(check_random_state(random_state).randint(2**31 - 1))


def draw_subsets(seed, n_subsets, n_train, size):
    """Booleans (n_subsets, n_train): subset j depends on the seed and on j alone."""
    subsets = np.zeros((n_subsets, n_train), dtype=bool)
    for j, subset in enumerate(subsets):
        subset[np.random.default_rng([seed, j]).permutation(n_train)[:size]] = True
    return subsets
