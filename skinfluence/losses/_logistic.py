"""Log loss, binary and multinomial (softmax)."""

import numpy as np
from scipy.special import expit, softmax

from skinfluence.losses._base import Loss


def softplus(x):
    """log(1 + exp(x)) to a few ulp for every finite x, in SIMD passes over one temporary.

    With t = exp(-|x|) it is max(x, 0) + log1p(t). NumPy's log1p is a scalar loop (13 ns an element
    against 5 ns for log); w = 1 + t, log(w) + (t - (w - 1)) / w restores the digits that rounding
    1 + t lost, and is t itself where w rounds to 1.
    """
    t = np.abs(x)
    np.negative(t, out=t)
    np.exp(t, out=t)
    w = t + 1.0
    log_w = np.log(w)
    t += 1.0 - w
    t /= w
    t += log_w
    t += np.maximum(x, 0.0)
    return t


class BinaryLogLoss(Loss):
    """l(y, eta) = log(1 + exp(eta)) - y eta, with y in {0, 1}."""

    name = "log_loss"
    n_classes = 2
    series_radius = np.pi
    self_concordance = 1.0
    family = "logistic"
    has_known_dispersion = True

    def value(self, y, eta):
        """Log loss."""
        return softplus((1.0 - 2.0 * y) * eta)

    def response_residual(self, y, eta):
        """y - P(1)."""
        return -self.gradient(y, eta)

    def pearson_residual(self, y, eta):
        """(y - p) / sqrt(p (1 - p)) is +-exp(-s eta / 2): no quotient of what underflows."""
        sign = 2.0 * y - 1.0
        with np.errstate(over="ignore"):
            return sign * np.exp(-0.5 * sign * eta)

    def gradient(self, y, eta):
        """P(1) - y, written so that it keeps its digits when it is tiny."""
        sign = 1.0 - 2.0 * y
        return sign * expit(sign * eta)

    def curvature(self, y, eta):
        """P(1) P(0)."""
        return expit(eta) * expit(-eta)

    def third(self, y, eta):
        """P(1) P(0) (P(0) - P(1))."""
        p, q = expit(eta), expit(-eta)
        return p * q * (q - p)

    def gradient_series(self, y, eta, order):
        """From f' = f - f^2, which makes (k + 1) c_k+1 = c_k - sum_j c_j c_k-j."""
        c = [expit(eta)]
        # The first is p - p^2 = p q; c_0 (1 - 2 c_0) is q - p times what follows.
        tilt = expit(-eta) - c[0]
        c.append(c[0] * expit(-eta))
        for k in range(1, order):
            inner = sum(c[j] * c[k - j] for j in range(1, k))
            c.append((tilt * c[k] - inner) / (k + 1))
        return c[1:]

    def recession_cone_normals(self, y):
        """One normal a row: the sign of its label."""
        return (2.0 * np.asarray(y, dtype=float) - 1.0)[:, None, None]

    def recession_multipliers(self, y, residual):
        """-residual times the sign of the label."""
        return -(2.0 * np.asarray(y, dtype=float) - 1.0)[:, None] * residual


# exp of this is finite, and so is the sum of any number of classes of it.
LARGEST_EXPONENT = 680.0


def _label_index(y, eta):
    """Return the index of each label's own entry in eta (..., K): eta[index] is (...).

    Labels of rows against many columns, (m, 1) and (m, b, K), are read as whole rows.
    """
    y = np.asarray(y)
    if eta.ndim == 3 and y.ndim == 2 and y.shape[1] == 1:
        return np.arange(len(y)), slice(None), y[:, 0]
    y = np.broadcast_to(y, eta.shape[:-1])
    return (*np.indices(y.shape, sparse=True), y)


class MultinomialLogLoss(Loss):
    """l(y, eta) = logsumexp(eta) - eta_y, with y in {0, ..., K - 1} and eta of K columns.

    Adding a constant to all columns of eta changes nothing: the curvature of every row is singular
    in the direction (1, ..., 1), and whoever inverts a sum of them has to fix that gauge.
    """

    name = "log_loss"
    has_known_dispersion = True
    is_scalar = False
    self_concordance = 1.0

    def __init__(self, n_classes):
        self.n_classes = self.n_outputs = int(n_classes)
        self.null_direction = np.full(self.n_outputs, self.n_outputs**-0.5)

    def value(self, y, eta):
        """log(1 + sum of the odds against the label), which keeps the digits of a tiny loss."""
        eta = np.asarray(eta, dtype=float)
        own = _label_index(y, eta)
        odds = eta - eta[own][..., None]
        lead = odds.max(axis=-1)
        if lead.max(initial=0.0) < LARGEST_EXPONENT:
            np.exp(odds, out=odds)
            odds[own] = 0.0
            return np.log1p(odds.sum(axis=-1))
        # Relative to the leader: the label's own term is exp(-lead), the leader's is 1.
        odds -= lead[..., None]
        return np.log(np.exp(odds).sum(axis=-1)) + lead

    def gradient(self, y, eta):
        """P - onehot(y); the label's own entry is minus the sum of the others."""
        p = softmax(eta, axis=-1)
        own = _label_index(y, p)
        p[own] = 0.0
        p[own] = -p.sum(axis=-1)
        return p

    def curvature(self, y, eta):
        """diag(P) - P P'."""
        p = softmax(eta, axis=-1)
        W = -p[..., :, None] * p[..., None, :]
        diagonal = np.arange(p.shape[-1])
        # p_k (1 - p_k) as the sum of the row's other entries: 1 - p_k loses all digits at p_k = 1.
        W[..., diagonal, diagonal] = 0.0
        W[..., diagonal, diagonal] = -W.sum(axis=-1)
        return W

    def curvature_root(self, y, eta):
        """diag(sqrt P) - P sqrt(P)': its square is diag(P) - P P' because P adds up to 1."""
        p = softmax(eta, axis=-1)
        root = np.sqrt(p)
        L = -p[..., :, None] * root[..., None, :]
        diagonal = np.arange(p.shape[-1])
        L[..., diagonal, diagonal] += root
        return L

    def curvature_split(self, y, eta):
        """(P, P)."""
        p = softmax(eta, axis=-1)
        return p, p

    def third(self, y, eta):
        """d W_ab / d eta_c, with W = diag(P) - P P' and dP_a / d eta_c = W_ac."""
        p = softmax(eta, axis=-1)
        W = self.curvature(y, eta)
        eye = np.eye(p.shape[-1])
        return (
            eye[:, :, None] * W[..., :, None, :]
            - W[..., :, None, :] * p[..., None, :, None]
            - p[..., :, None, None] * W[..., None, :, :]
        )

    def _others(self, y):
        """For each row the K - 1 classes that are not its label."""
        y = np.asarray(y)
        others = np.arange(self.n_outputs - 1)[None, :]
        return others + (others >= y[:, None])

    def recession_cone_normals(self, y):
        """K - 1 normals a row: e_y - e_k for every other class k."""
        eye = np.eye(self.n_outputs)
        return eye[np.asarray(y)][:, None, :] - eye[self._others(y)]

    def recession_multipliers(self, y, residual):
        """The residuals of the other classes."""
        return np.take_along_axis(residual, self._others(y), axis=1)
