"""Log loss, binary and multinomial (softmax)."""

import numpy as np
from scipy.special import expit

from skinfluence.link import (
    LogitLink,
    SoftmaxLink,
    cross_entropy,
    label_index,
    sigmoid,
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
    residual_is_gradient = True

    def value(self, y, eta):
        return softplus((1.0 - 2.0 * y) * eta)

    def response_residual(self, y, eta):
        return -self.gradient(y, eta)

    def pearson_residual(self, y, eta):
        """(y - p) / sqrt(p (1 - p)) = s exp(-s eta / 2), without a quotient of tiny numbers."""
        sign = self.sign(y)
        with np.errstate(over="ignore"):
            return sign * np.exp(-0.5 * sign * eta)

    def gradient(self, y, eta):
        """P(1) - y as -s P(other label): accurate where P(1) rounds to y and P(1) - y to 0."""
        sign = 1.0 - 2.0 * y
        return sign * sigmoid(sign * eta)

    def curvature(self, y, eta):
        return self.link.inverse_slope(eta)

    def third(self, y, eta):
        """P(1) P(0) (P(0) - P(1))."""
        p, q = expit(eta), expit(-eta)
        return p * q * (q - p)

    def gradient_series(self, y, eta, order):
        """From f' = f - f^2, which gives (k + 1) c_k+1 = c_k - sum_j c_j c_k-j."""
        c = [expit(eta)]
        # With q = 1 - p computed as a sigmoid: c_1 is p q, where p - p^2 would lose all digits if p
        # rounds to 1. For k >= 1 the terms in c_k of the right-hand side are (1 - 2 c_0) c_k.
        tilt = expit(-eta) - c[0]
        c.append(c[0] * expit(-eta))
        for k in range(1, order):
            inner = sum(c[j] * c[k - j] for j in range(1, k))
            c.append((tilt * c[k] - inner) / (k + 1))
        return c[1:]


class MultinomialLogLoss(Loss):
    """l(y, eta) = logsumexp(eta) - eta_y, with y in {0, ..., K - 1} and eta of K columns.

    Adding a constant to all columns of eta does not change the loss: the curvature of every row is
    singular along the null direction (1, ..., 1) / sqrt(K), and so is their sum on columns without
    a penalty. `Curvature` adds a rank-one term there.
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
        return SoftmaxLink(self.n_classes)

    def value(self, y, eta):
        """Cross entropy, accurate to rounding for a tiny loss too."""
        return cross_entropy(y, eta)

    def gradient(self, y, eta):
        """P - onehot(y); the label's own entry as minus the sum of the others, not as P_y - 1."""
        p = softmax(eta)
        own = label_index(y, p)
        p[own] = 0.0
        p[own] = -p.sum(axis=-1)
        return p

    def curvature(self, y, eta):
        """The matrix diag(P) - P P'."""
        return softmax_jacobian(softmax(eta))

    def curvature_diagonal(self, y, eta):
        """P (1 - P), of the likeliest class by the sum of the others: 1 - P has lost its digits."""
        p = softmax(eta)
        likeliest = p.argmax(axis=-1)[..., None]
        others = p.copy()
        np.put_along_axis(others, likeliest, 0.0, axis=-1)
        rest = 1.0 - p
        np.put_along_axis(rest, likeliest, others.sum(axis=-1, keepdims=True), axis=-1)
        return p * rest

    def curvature_state(self, y, eta):
        """The probabilities, and the likeliest class."""
        p = softmax(eta)
        return p, p.argmax(axis=-1)

    def curvature_matmul(self, state, U):
        """P_k (U_k - P'U), with K products a row instead of K^2.

        Of the differences to the likeliest class: where its P is 1 to rounding P'U is U_k, and what
        the others make of it would be lost.
        """
        p, likeliest = state
        U = U - U[np.arange(len(U)), likeliest][:, None]
        U -= np.einsum("ik,ikm->im", p, U)[:, None]
        U *= p[:, :, None]
        return U

    def curvature_root(self, y, eta):
        """L = diag(sqrt P) - P sqrt(P)': L L' = diag(P) - P P' because P adds up to 1."""
        p = softmax(eta)
        root = np.sqrt(p)
        L = -p[..., :, None] * root[..., None, :]
        diagonal = np.arange(p.shape[-1])
        L[..., diagonal, diagonal] += root
        return L

    def curvature_split(self, y, eta):
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
