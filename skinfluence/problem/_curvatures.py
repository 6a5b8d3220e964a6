"""The one cache of the library: curvatures of one objective at its optimum, and refits by them."""

import threading

import numpy as np

from skinfluence.curvature import choose, make_curvature
from skinfluence.deletion import delete, refits_some, refits_within_budget

# A factor is as large as the square of the parameters: few are kept, the latest used.
KEPT = 3
# Solves from which the preconditioner of the conjugate gradients is another, see CGCurvature.
MANY_SOLVES = 8
# Bytes of the refits of all rows that "auto" took, of which the last are kept.
REFITS_BYTES = 2**24


class CurvatureCache:
    """Curvatures by kind, damping and penalty share; filled under a lock, not copied or pickled.

    What is returned depends on the question alone, never on what was asked before: "auto" chooses
    by the number of solves, also where another kind is at hand.
    """

    def __init__(self):
        self._made, self._choices, self._lock = {}, {}, threading.Lock()
        self._joint, self._of_all_rows = {}, None

    def __reduce__(self):
        """A copy or an unpickled cache is empty: factors are large and quickly made."""
        return CurvatureCache, ()

    def get(self, objective, kind, damping, n_solves, *, without_share):
        """Return the curvature for a number of solves, made once.

        With `without_share` it is the curvature without the mean row's share of the penalty.
        """
        with self._lock:
            if without_share and objective.mean_penalty_share:
                objective = self._remember(
                    self._choices, "lighter", objective.without_mean_penalty_share
                )
            else:
                without_share = False
            if kind == "auto":
                key = (n_solves, without_share)
                chosen = self._remember(
                    self._choices, key, lambda: choose(objective, n_solves).kind, kept=32
                )
                kind = "auto" if chosen == "dual" else chosen  # which may turn out ill-conditioned
            many = kind != "cg" or n_solves >= MANY_SOLVES
            key = (kind, damping, without_share, many)
            return self._remember(
                self._made, key, lambda: make_curvature(objective, kind, damping, n_solves)
            )

    def replacing(self, old, new):
        """Return a cache with the same curvatures but one, of which more is known."""
        found = CurvatureCache()
        with self._lock:
            found._choices.update(self._choices)
            found._joint.update(self._joint)
            made = {key: new if each is old else each for key, each in self._made.items()}
        found._made.update(made)
        return found

    def joint(self, make):
        """Return the factor of joint changes, made once."""
        with self._lock:
            return self._remember(self._joint, "joint", make)

    def deletion(self, objective, curvature, method, rows, *, n_test, progress):
        """Return the Deletion of rows; that of all rows by "auto", with its refits, is kept.

        It is the same whatever it is read at. Made outside of the lock: refits take a while.
        """
        n, options = objective.n_rows, {"n_test": n_test, "progress": progress}
        every = len(rows) == n and np.array_equal(rows, np.arange(n))
        if not (method == "auto" and every and refits_some(objective, curvature, rows)):
            return delete(objective, curvature, method, rows, **options)
        budget = refits_within_budget(objective, n, n_test)
        with self._lock:
            kept = self._of_all_rows
        if kept is not None and kept[0] is curvature and kept[1] == budget:
            return kept[2]
        made = delete(objective, curvature, method, rows, **options)
        if made.n_bytes <= REFITS_BYTES:
            with self._lock:
                self._of_all_rows = curvature, budget, made
        return made

    @staticmethod
    def _remember(store, key, make, kept=KEPT):
        """Return store[key], made if it is not there; the key used longest ago goes."""
        value = store.pop(key) if key in store else make()
        store[key] = value
        while len(store) > kept:
            store.pop(next(iter(store)))
        return value
