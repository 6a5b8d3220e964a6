"""Losses again, in long double: value, gradient and curvature of (y, eta (..., K))."""

import numpy as np

LD = np.longdouble


def softplus(x):
    return np.logaddexp(LD(0), x)


def sigmoid(x):
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small))


def diagonal(values):
    """(..., K) as (..., K, K)."""
    return values[..., None] * np.eye(values.shape[-1], dtype=LD)


class Loss:
    """Of one predictor a row, or of K that share nothing; y as `encode` returns it, (n, K)."""

    K = 1
    n_classes = 0
    shapes_temperature = False

    def encode(self, y):
        return np.asarray(y, dtype=LD).reshape(len(y), -1)

    def share(self, y):
        """Part of each row in each output, (n, K)."""
        return LD(1)

    def value(self, y, eta):
        return (self.share(y) * self.each(y, eta)).sum(axis=-1)

    def gradient(self, y, eta):
        return self.share(y) * self.slope(y, eta)

    def curvature(self, y, eta):
        return diagonal(self.share(y) * self.bend(y, eta))

    def mean(self, eta):
        """What a regressor predicts, (..., responses)."""
        return eta

    def size(self, y, eta):
        """Size of the terms that cancel in each row's value."""
        return np.abs(self.value(y, eta))

    def terms(self, y, eta):
        """Size of the terms that cancel in each row's gradient."""
        return np.abs(self.gradient(y, eta))


class Squared(Loss):
    def __init__(self, K=1):
        self.K = K

    def each(self, y, eta):
        return (y - eta) ** 2 / 2

    def slope(self, y, eta):
        return eta - y

    def bend(self, y, eta):
        return np.ones_like(eta)


class Signs(Loss):
    """Losses of labels -1 and 1: one of two classes, each class against the rest, or each pair."""

    def __init__(self, n_classes, pairs=False):
        self.n_classes, self.pairs = n_classes, pairs and n_classes > 2
        first, second = np.triu_indices(n_classes, k=1)
        self.first, self.second = first, second
        self.K = 1 if n_classes == 2 else len(first) if self.pairs else n_classes

    def encode(self, y):
        """Signs (n, K); 0 for a row that is not of a pair."""
        y = np.asarray(y)[:, None]
        if self.n_classes == 2:
            return np.where(y == 1, LD(1), LD(-1))
        if self.pairs:
            return (y == self.first).astype(LD) - (y == self.second).astype(LD)
        return np.where(y == np.arange(self.n_classes), LD(1), LD(-1))

    def share(self, y):
        return np.abs(y)


class LogBinary(Signs):
    def each(self, y, eta):
        return softplus(-y * eta)

    def slope(self, y, eta):
        return -y * sigmoid(-y * eta)

    def bend(self, y, eta):
        return sigmoid(eta) * sigmoid(-eta)


class SquaredLabel(Signs):
    def each(self, y, eta):
        return (y - eta) ** 2 / 2

    def slope(self, y, eta):
        return eta - y

    def bend(self, y, eta):
        return np.ones_like(eta)


class SquaredHinge(Signs):
    def each(self, y, eta):
        return np.maximum(0, 1 - y * eta) ** 2

    def slope(self, y, eta):
        return -2 * y * np.maximum(0, 1 - y * eta)

    def bend(self, y, eta):
        return 2 * (1 - y * eta > 0).astype(LD)


class Hinge(Signs):
    """No curvature: `hinge.py` finds its optimum."""

    def each(self, y, eta):
        return np.maximum(0, 1 - y * eta)

    def slope(self, y, eta):
        return -y * (1 - y * eta > 1e-9)

    def bend(self, y, eta):
        return np.zeros_like(eta)


class SmoothHinge(Signs):
    shapes_temperature = True

    def __init__(self, n_classes, temperature, pairs=False):
        super().__init__(n_classes, pairs)
        self.T = LD(temperature)

    def at(self, temperature):
        return SmoothHinge(self.n_classes, temperature, self.pairs)

    def _u(self, y, eta):
        return (1 - y * eta) / self.T

    def each(self, y, eta):
        return self.T * softplus(self._u(y, eta))

    def slope(self, y, eta):
        return -y * sigmoid(self._u(y, eta))

    def bend(self, y, eta):
        u = self._u(y, eta)
        return sigmoid(u) * sigmoid(-u) / self.T


class Softmax(Loss):
    def __init__(self, n_classes):
        self.K = self.n_classes = n_classes

    def encode(self, y):
        return (np.asarray(y)[:, None] == np.arange(self.K)).astype(LD)

    def probabilities(self, eta):
        e = np.exp(eta - eta.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)

    def value(self, y, eta):
        """log(1 + the odds against the label), which has digits where the loss is tiny."""
        odds = eta - (y * eta).sum(axis=-1, keepdims=True)
        top = np.maximum(odds.max(axis=-1), 0)
        rest = np.where(y > 0, 0, np.exp(odds - top[..., None])).sum(axis=-1)
        return np.where(top > 0, top + np.log(np.exp(-top) + rest), np.log1p(rest))

    def gradient(self, y, eta):
        """P - y; the label's own as minus the others, which keeps its digits."""
        p = self.probabilities(eta)
        others = np.where(y > 0, 0, p)
        return np.where(y > 0, -others.sum(axis=-1, keepdims=True), p)

    def curvature(self, y, eta):
        p = self.probabilities(eta)
        return diagonal(p) - p[..., :, None] * p[..., None, :]


class Pinball(Loss):
    shapes_temperature = True

    def __init__(self, quantile, temperature):
        self.tau, self.T = LD(quantile), LD(temperature)

    def at(self, temperature):
        return Pinball(self.tau, temperature)

    def each(self, y, eta):
        r = y - eta
        return self.tau * r + self.T * softplus(-r / self.T)

    def slope(self, y, eta):
        return sigmoid((eta - y) / self.T) - self.tau

    def terms(self, y, eta):
        return sigmoid((eta - y) / self.T) + self.tau

    def bend(self, y, eta):
        u = (eta - y) / self.T
        return sigmoid(u) * sigmoid(-u) / self.T


class EpsilonInsensitive(Loss):
    shapes_temperature = True

    def __init__(self, epsilon, temperature):
        self.epsilon, self.T = LD(epsilon), LD(temperature)

    def at(self, temperature):
        return EpsilonInsensitive(self.epsilon, temperature)

    def _u(self, y, eta):
        r = y - eta
        return (r - self.epsilon) / self.T, (-r - self.epsilon) / self.T

    def each(self, y, eta):
        above, below = self._u(y, eta)
        return self.T * (softplus(above) + softplus(below))

    def slope(self, y, eta):
        above, below = self._u(y, eta)
        return sigmoid(below) - sigmoid(above)

    def terms(self, y, eta):
        above, below = self._u(y, eta)
        return sigmoid(below) + sigmoid(above)

    def bend(self, y, eta):
        return sum(sigmoid(u) * sigmoid(-u) for u in self._u(y, eta)) / self.T


class Tweedie(Loss):
    """Half the unit deviance of power p; mu = exp(eta) or eta."""

    def __init__(self, power, link):
        self.p, self.link = LD(power), link

    def mean(self, eta):
        return np.exp(eta) if self.link == "log" else eta

    def each(self, y, eta):
        p, mu = self.p, self.mean(eta)
        bad = mu <= 0 if self.link == "identity" and p > 0 else np.zeros(mu.shape, dtype=bool)
        mu = np.where(bad, 1, mu)
        if p == 0:
            value = (y - mu) ** 2 / 2
        elif p == 1:
            value = np.where(y > 0, y * (np.log(np.where(y > 0, y, 1)) - np.log(mu)), 0) - y + mu
        elif p == 2:
            value = np.log(mu) - np.log(y) + y / mu - 1
        else:
            own = np.maximum(y, 0) ** (2 - p) / ((1 - p) * (2 - p))
            value = own - y * mu ** (1 - p) / (1 - p) + mu ** (2 - p) / (2 - p)
        return np.where(bad, np.inf, value)

    def size(self, y, eta):
        """Of a deviance the terms of mu, as powers."""
        mu = np.abs(self.mean(eta))
        terms = mu ** (2 - self.p) + np.abs(y) * mu ** (1 - self.p)
        return (terms * (1 + np.abs(np.log(np.where(mu > 0, mu, 1))))).sum(axis=-1)

    def slope(self, y, eta):
        mu = self.mean(eta)
        if self.link == "log":
            return mu ** (2 - self.p) - y * mu ** (1 - self.p)
        return mu ** (1 - self.p) - y * mu**-self.p

    def bend(self, y, eta):
        p, mu = self.p, self.mean(eta)
        if self.link == "log":
            return (2 - p) * mu ** (2 - p) - (1 - p) * y * mu ** (1 - p)
        return (1 - p) * mu**-p + p * y * mu ** (-p - 1)


class Huber(Loss):
    """s + s H((y - f) / s): predictors (f, s)."""

    K = 2

    def __init__(self, epsilon):
        self.epsilon = LD(epsilon)

    def mean(self, eta):
        return eta[..., :1]

    def _parts(self, y, eta):
        s = np.where(eta[..., 1] > 0, eta[..., 1], np.nan)
        z = (y[..., 0] - eta[..., 0]) / s
        return s, z, np.abs(z) < self.epsilon

    def value(self, y, eta):
        s, z, inside = self._parts(y, eta)
        h = np.where(inside, z**2, 2 * self.epsilon * np.abs(z) - self.epsilon**2)
        return np.where(np.isnan(s), np.inf, s + s * h)

    def gradient(self, y, eta):
        _, z, _ = self._parts(y, eta)
        z = np.clip(z, -self.epsilon, self.epsilon)
        return np.stack([-2 * z, 1 - z**2], axis=-1)

    def curvature(self, y, eta):
        s, z, inside = self._parts(y, eta)
        v = np.stack([np.ones_like(z), np.where(inside, z, 0)], axis=-1)
        size = np.where(inside, 2 / s, 0)
        return size[..., None, None] * v[..., :, None] * v[..., None, :]
