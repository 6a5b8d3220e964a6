"""What every target promises."""

from abc import ABC, abstractmethod


class Target(ABC):
    """A quantity f(y, eta) of a test row, as a function of its linear predictor.

    `eta` has the shape of the loss's own: (...,) for one predictor a row, (..., K) for several; `y`
    broadcasts against the leading axes. A target knows nothing of the training data.

    Attributes
    ----------
    name : str
    greater_is_better : bool
        Which way is good: it decides which rows count as helpful.
    needs_labels : bool
    uses_encoded_labels : bool
        Whether `y` is the loss's encoding (built-in targets) or the caller's own labels.
    is_differentiable : bool
        Whether "first_order" makes sense.
    n_outputs : int
        1, or the length of a last axis that the value has (one a class).
    """

    name: str
    greater_is_better = False
    needs_labels = True
    uses_encoded_labels = True
    is_differentiable = True
    n_outputs = 1

    @abstractmethod
    def value(self, y, eta):
        """Value, (...,), or (..., n_outputs) where that is more than 1."""

    @abstractmethod
    def gradient(self, y, eta):
        """Derivative in eta, of eta's shape; (..., n_outputs, K) for several outputs."""

    def __repr__(self):
        return f"{type(self).__name__}({self.name!r})"
