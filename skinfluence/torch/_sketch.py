"""A random projection that keeps inner products, at a cost that does not depend on its width."""

import numpy as np
import torch

# Each number is added to so many of the columns; more make large errors rarer.
REPEATS = 4
# Parameters of a block, whose signs and columns come from a generator of their own.
BLOCK = 2**17


class Sketch:
    """Linear map from P numbers to d, with E (S x)'(S y) = x'y and variance at most about 2 / d.

    Every number goes, with a random sign, to `REPEATS` of the d columns (a sparse
    Johnson-Lindenstrauss transform: Kane & Nelson, Journal of the ACM 61, 2014; the columns are
    filled evenly). The signs and columns come from NumPy's generator with the seed (random_state,
    block), block by block of the P numbers: they do not depend on the device, the type or the
    number of rows that are projected at once.

    Parameters
    ----------
    n_in, n_out : int
        P and d. With d >= P there is nothing to save: the map is the identity, and d is P.
    random_state : int or sequence of int
    device : torch.device
    """

    def __init__(self, n_in, n_out, random_state, device):
        self.is_identity = n_out is None or n_out >= n_in
        self.n_out = n_in if self.is_identity else int(n_out)
        self.blocks = []
        if self.is_identity:
            return
        seed = np.atleast_1d(random_state).tolist()
        for number, start in enumerate(range(0, n_in, BLOCK)):
            size = min(BLOCK, n_in - start)
            rng = np.random.default_rng([*seed, number])
            layers = [self._layer(rng, size, device) for _ in range(REPEATS)]
            self.blocks.append((slice(start, start + size), layers))

    def _layer(self, rng, size, device):
        """Number and sign (m, d) of what m rounds of a block add to each column; sign 0: none."""
        height = -(-size // self.n_out)
        order = rng.permutation(height * self.n_out).astype(np.int32)
        sign = np.where(order < size, rng.choice(np.array([-1, 1], dtype=np.int8), len(order)), 0)
        order[order >= size] = 0
        shape = (height, self.n_out)
        pair = order.reshape(shape), sign.astype(np.float32).reshape(shape)
        return tuple(torch.from_numpy(each).to(device) for each in pair)

    def __call__(self, rows):
        """Project rows (b, P) to (b, d)."""
        if self.is_identity:
            return rows
        total = rows.new_zeros(self.n_out, len(rows))
        for part, layers in self.blocks:
            block = rows[:, part].T.contiguous()  # the entries of a number lie side by side
            for order, sign in layers:
                for places, signs in zip(order, sign, strict=True):
                    total.addcmul_(block.index_select(0, places), signs[:, None])
        return total.T / np.sqrt(REPEATS)
