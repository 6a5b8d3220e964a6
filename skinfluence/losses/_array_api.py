"""Losses of predictors eta (n, K) in the functions of the array API standard.

The losses of :mod:`skinfluence.losses` are written for NumPy, block by block in its cache. These
are the three that a device is asked for. `change` is written so that a small change of eta keeps
its digits in float32, where the difference of two losses would not.
"""


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

    def change(self, xp, y, eta, step):
        """Loss at eta + step minus the loss at eta; the parts (..., K) broadcast."""
        return (step * (eta - y + 0.5 * step))[..., 0]

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

    def change(self, xp, y, eta, step):
        """As in ArraySquaredLoss: log1p(q expm1(-s step)) with q the probability of the other."""
        sign = 2.0 * y - 1.0
        wrong = self._probability(xp, -sign * eta)
        return xp.log1p(wrong * xp.expm1(-sign * step))[..., 0]

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

    def change(self, xp, y, eta, step):
        """As in ArraySquaredLoss; the label's own step is taken off first, and nothing cancels."""
        step = step - xp.sum(y * step, axis=-1, keepdims=True)
        return xp.log1p(xp.sum(self.mean(xp, eta) * xp.expm1(step), axis=-1))

    def mean(self, xp, eta):
        """Probabilities (..., K)."""
        raised = xp.exp(eta - xp.max(eta, axis=-1, keepdims=True))
        return raised / xp.sum(raised, axis=-1, keepdims=True)
