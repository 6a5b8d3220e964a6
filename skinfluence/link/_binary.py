"""Links of two classes and one predictor."""

from abc import abstractmethod

import numpy as np

from skinfluence.link._base import Link
from skinfluence.link._elementwise import sigmoid, sigmoid_slope, softplus


def _sign(y):
    """Codes 0 and 1 as -1 and 1."""
    return 2.0 * np.asarray(y, dtype=float) - 1.0


class BinaryLink(Link):
    """Two classes, the probability of the second an increasing function of one predictor.

    A subclass gives `inverse` and `inverse_slope`, and all else follows. Where digits in the tails
    matter it also overrides `complement`, `log_probability` and `log_probability_slope`, which are
    made of these two by default.

    Examples
    --------
    The complementary log-log link:

    >>> import numpy as np
    >>> from skinfluence.link import BinaryLink
    >>> class CLogLogLink(BinaryLink):
    ...     name = "cloglog"
    ...     def inverse(self, eta):
    ...         return -np.expm1(-np.exp(eta))
    ...     def inverse_slope(self, eta):
    ...         return np.exp(eta - np.exp(eta))
    >>> CLogLogLink().probabilities(np.array([-1.0, 0.0])).round(3)
    array([[0.692, 0.308],
           [0.368, 0.632]])
    """

    n_classes = 2
    has_probabilities = True

    @abstractmethod
    def inverse(self, eta):
        """Probability of the second class: the inverse of the link function."""

    @abstractmethod
    def inverse_slope(self, eta):
        """Derivative of `inverse`."""

    def complement(self, eta):
        """Probability of the first class, 1 - inverse(eta); override to keep its digits."""
        return 1.0 - self.inverse(eta)

    def probability(self, y, eta):
        """Probability of the label."""
        return np.where(np.asarray(y) > 0.5, self.inverse(eta), self.complement(eta))

    def probability_slope(self, y, eta):
        """Derivative of the probability of the label."""
        return _sign(y) * self.inverse_slope(eta)

    def log_probability(self, y, eta):
        """Logarithm of the probability of the label."""
        with np.errstate(divide="ignore"):
            return np.log(self.probability(y, eta))

    def log_probability_slope(self, y, eta):
        """Derivative of the logarithm of the probability of the label."""
        return self.probability_slope(y, eta) / self.probability(y, eta)

    def probabilities(self, eta):
        """Class probabilities, (..., 2)."""
        return np.stack([self.complement(eta), self.inverse(eta)], axis=-1)

    def probabilities_vjp(self, slope, eta):
        """Gradient in eta of what has the derivative `slope` (..., 2) in them."""
        return (slope[..., 1] - slope[..., 0]) * self.inverse_slope(eta)

    def log_probabilities(self, eta):
        """Logarithm of the class probabilities, (..., 2)."""
        return np.stack([self.log_probability(k, eta) for k in (0.0, 1.0)], axis=-1)

    def predicted(self, eta):
        """Code of the more probable class; the first where they are equal."""
        return (self.inverse(eta) > 0.5).view(np.int8)

    def margin(self, y, eta):
        """Log odds of the label."""
        return self.log_probability(y, eta) - self.log_probability(1.0 - y, eta)

    def margin_gradient(self, y, eta):
        """Derivative of the log odds of the label."""
        return self.log_probability_slope(y, eta) - self.log_probability_slope(1.0 - y, eta)


class LogitLink(BinaryLink):
    """Two classes, eta the log odds of the second."""

    name = "logit"

    def inverse(self, eta):
        return sigmoid(eta)

    def inverse_slope(self, eta):
        return sigmoid_slope(eta)

    def complement(self, eta):
        return sigmoid(-eta)

    def probability(self, y, eta):
        """Sigmoid of the signed predictor."""
        return sigmoid(_sign(y) * eta)

    def log_probability(self, y, eta):
        """Minus the log loss."""
        return -softplus(-_sign(y) * eta)

    def log_probability_slope(self, y, eta):
        """Signed probability of the other label."""
        sign = _sign(y)
        return sign * sigmoid(-sign * eta)

    def predicted(self, eta):
        """The second class where eta is positive."""
        return (eta > 0).view(np.int8)

    def margin(self, y, eta):
        return _sign(y) * eta

    def margin_gradient(self, y, eta):
        """Sign of the label."""
        return _sign(y) * np.ones_like(eta)


class DecisionLink(Link):
    """Two classes, the second where eta is positive, and no probabilities: of a hinge, say."""

    name = "decision"
    n_classes = 2

    def predicted(self, eta):
        """The second class where eta is positive."""
        return (eta > 0).view(np.int8)

    def margin(self, y, eta):
        return _sign(y) * eta

    def margin_gradient(self, y, eta):
        """Sign of the label."""
        return _sign(y) * np.ones_like(eta)
