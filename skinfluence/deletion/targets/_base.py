"""What every target promises."""

from abc import ABC, abstractmethod
from copy import copy


class Target(ABC):
    """A quantity f(y, eta) of a test row, as a function of its linear predictor.

    `eta` has the shape of the loss's own: (...,) for one predictor a row, (..., K) for several; `y`
    broadcasts against the leading axes. A target knows nothing of the training data. What it
    measures of predictions, it reads from `self.link`: the link of the model that is asked, there
    before `value` is called.

    Attributes
    ----------
    name : str
    link : Link
        From predictors to predictions.
    greater_is_better : bool
        Which way is good: it decides which rows count as helpful.
    needs_labels : bool
    needs_probabilities : bool
        Whether it reads class probabilities: models without any are then refused.
    uses_encoded_labels : bool
        Whether `y` is the loss's encoding (built-in targets) or the caller's own labels.
    is_differentiable : bool
        Whether "first_order" makes sense.
    n_outputs : int
        1, or the length of a last axis that the value has (one a class).

    Examples
    --------
    The entropy of the predicted class probabilities, of two classes or more:

    >>> import numpy as np
    >>> from skinfluence.deletion.targets import Target
    >>> class Entropy(Target):
    ...     name = "entropy"
    ...     needs_labels = False
    ...     needs_probabilities = True
    ...     def value(self, y, eta):
    ...         log_p = self.link.log_probabilities(eta)
    ...         return -(np.exp(log_p) * log_p).sum(axis=-1)
    ...     def gradient(self, y, eta):
    ...         return self.link.probabilities_vjp(-self.link.log_probabilities(eta), eta)
    """

    name: str
    greater_is_better = False
    needs_labels = True
    needs_probabilities = False
    uses_encoded_labels = True
    is_differentiable = True

    def __init__(self, link=None):
        self.link = link

    @property
    def n_outputs(self):
        """Number of values a test row."""
        return 1

    def bound_to(self, link):
        """Return the same target of a model with this link."""
        bound = copy(self)
        bound.link = link
        return bound

    @abstractmethod
    def value(self, y, eta):
        """Value, (...,), or (..., n_outputs) where that is more than 1."""

    @abstractmethod
    def gradient(self, y, eta):
        """Derivative in eta, of eta's shape; (..., n_outputs, K) for several outputs."""

    def __repr__(self):
        return f"{type(self).__name__}({self.name!r})"
