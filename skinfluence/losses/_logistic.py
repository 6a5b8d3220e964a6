"""Log loss, binary and multinomial (softmax)."""

import numpy as np
from scipy.special import expit

from skinfluence.link import (
    LogitLink,
    SoftmaxLink,
    cross_entropy,
    label_index,
    softmax,
    softmax_jacobian,
    softplus,
)
from skinfluence.losses._base import Loss
from skinfluence.losses._signed import SignedBinaryLoss


class BinaryLogLoss(SignedBinaryLoss):
    """l(y, eta) = log(1 + exp(eta)) - y eta, with y in {0, 1}."""

    name = "log_loss"
    link = LogitLink()
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
        sign = self.sign(y)
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

    @property
    def link(self):
        """Softmax."""
        return SoftmaxLink(self.n_classes)

    def value(self, y, eta):
        """Cross entropy: it keeps the digits of a tiny loss."""
        return cross_entropy(y, eta)

    def gradient(self, y, eta):
        """P - onehot(y); the label's own entry is minus the sum of the others."""
        p = softmax(eta)
        own = label_index(y, p)
        p[own] = 0.0
        p[own] = -p.sum(axis=-1)
        return p

    def curvature(self, y, eta):
        """diag(P) - P P'."""
        return softmax_jacobian(softmax(eta))

    def curvature_root(self, y, eta):
        """diag(sqrt P) - P sqrt(P)': its square is diag(P) - P P' because P adds up to 1."""
        p = softmax(eta)
        root = np.sqrt(p)
        L = -p[..., :, None] * root[..., None, :]
        diagonal = np.arange(p.shape[-1])
        L[..., diagonal, diagonal] += root
        return L

    def curvature_split(self, y, eta):
        """(P, P)."""
        p = softmax(eta)
        return p, p

    def third(self, y, eta):
        """d W_ab / d eta_c, with W = diag(P) - P P' and dP_a / d eta_c = W_ac."""
        p = softmax(eta)
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
