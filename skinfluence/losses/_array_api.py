"""Losses of predictors eta (n, K) in the functions of the array API standard.

The losses of :mod:`skinfluence.losses` are written for NumPy, block by block in its cache. These
are the three that a device is asked for. Changes of a loss are written so that a small change of
eta keeps its digits in float32, where the difference of two losses would not.

A device takes as long for a pass over all changes as for a tenth of the product that makes them. So
`directions` are the combinations of the outputs' steps that the formula starts from, which the
product gives at once, and `change_along` is the fewest passes after it; it writes the last by
`write(function, *arguments)`.
"""


def plain(function, *arguments):
    """Return the function of its arguments: what writes nowhere else."""
    return function(*arguments)


class ArraySquaredLoss:
    """Half the squared residual, for one response: y (n, 1)."""

    targets = ("loss", "prediction")
    n_classes = 0

    def value(self, xp, y, eta):
        """Loss (n,)."""
        return 0.5 * (eta - y)[:, 0] ** 2

    def gradient(self, xp, y, eta):
        """Derivative (n, 1) in eta."""
        return eta - y

    def curvature(self, xp, eta):
        """Second derivative (n, 1, 1)."""
        return xp.ones_like(eta)[:, :, None]

    def directions(self, xp, y):
        """Combinations (n, 1, K) of the outputs, one for each step of `change_along`."""
        return xp.ones_like(y)[:, :, None]

    def change_along(self, xp, y, eta, step, write=plain):
        """Loss at eta plus a step minus the loss at eta, for steps along the directions.

        y and eta (n, 1) broadcast with steps (n, m).
        """
        slope = 0.5 * step
        slope += eta - y
        return write(xp.multiply, step, slope)

    def change(self, xp, y, eta, step):
        """The same (n,) for steps (n, K) of the outputs."""
        return self.change_along(xp, y, eta, step)[:, 0]

    def mean(self, xp, eta):
        """Predictions (n,)."""
        return eta[:, 0]


class ArrayLogLoss:
    """Log loss of two classes, for y (n, 1) of 0 and 1."""

    targets = ("loss", "decision_function")
    n_classes = 2

    def value(self, xp, y, eta):
        """Loss (n,)."""
        margin = (2.0 * y - 1.0) * eta
        return (xp.log1p(xp.exp(-xp.abs(eta))) - xp.where(margin < 0, margin, 0.0 * margin))[:, 0]

    def gradient(self, xp, y, eta):
        """Derivative (n, 1) in eta."""
        return self._probability(xp, eta) - y

    def curvature(self, xp, eta):
        """Second derivative (n, 1, 1)."""
        tail = xp.exp(-xp.abs(eta))
        return (tail / (1.0 + tail) ** 2)[:, :, None]

    def directions(self, xp, y):
        """Of the output, -s for s = 1 or -1: away from the label."""
        return (1.0 - 2.0 * y)[:, :, None]

    def change_along(self, xp, y, eta, step, write=plain):
        """As in ArraySquaredLoss: log1p(q expm1(-s step)) with q the probability of the other."""
        growth = xp.expm1(step)
        growth *= self._probability(xp, (1.0 - 2.0 * y) * eta)
        return write(xp.log1p, growth)

    def change(self, xp, y, eta, step):
        """The same (n,) for steps (n, K) of the output."""
        return self.change_along(xp, y, eta, (1.0 - 2.0 * y) * step)[:, 0]

    def mean(self, xp, eta):
        """Probabilities (n, 2)."""
        return xp.concat([self._probability(xp, -eta), self._probability(xp, eta)], axis=1)

    @staticmethod
    def _probability(xp, eta):
        """1 / (1 + exp(-eta)) without overflow."""
        tail = xp.exp(-xp.abs(eta))
        return xp.where(eta >= 0, xp.ones_like(tail), tail) / (1.0 + tail)


class ArraySoftmaxLoss:
    """Log loss of K classes, for y (n, K) of 0 and 1."""

    targets = ("loss", "decision_function")

    def __init__(self, n_classes):
        self.n_classes = n_classes

    def value(self, xp, y, eta):
        """Loss (n,)."""
        top = xp.max(eta, axis=1, keepdims=True)
        total = xp.log(xp.sum(xp.exp(eta - top), axis=1))
        return total - xp.sum(y * (eta - top), axis=1)

    def gradient(self, xp, y, eta):
        """Derivative (n, K) in eta."""
        return self.mean(xp, eta) - y

    def curvature(self, xp, eta):
        """Second derivative (n, K, K)."""
        p = self.mean(xp, eta)
        identity = xp.eye(p.shape[1], dtype=p.dtype, device=p.device)
        return p[:, :, None] * (identity[None, :, :] - p[:, None, :])

    def directions(self, xp, y):
        """Each output's step less that of the label, so that nothing cancels later: (n, K, K)."""
        identity = xp.eye(y.shape[1], dtype=y.dtype, device=y.device)
        return identity[None, :, :] - y[:, None, :]

    def change_along(self, xp, y, eta, step, write=plain):
        """As in ArraySquaredLoss, for y and eta (n, K) and steps (n, m, K)."""
        growth = xp.expm1(step)
        growth *= self.mean(xp, eta)[:, None, :]
        return write(xp.log1p, xp.sum(growth, axis=-1))

    def change(self, xp, y, eta, step):
        """The same (n,) for steps (n, K) of the outputs."""
        step = step - xp.sum(y * step, axis=-1, keepdims=True)
        return self.change_along(xp, y, eta, step[:, None, :])[:, 0]

    def mean(self, xp, eta):
        """Probabilities (..., K)."""
        raised = xp.exp(eta - xp.max(eta, axis=-1, keepdims=True))
        return raised / xp.sum(raised, axis=-1, keepdims=True)
