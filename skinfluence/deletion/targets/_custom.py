"""A target of the caller's own."""

from collections.abc import Callable

import numpy as np

from skinfluence._validation import as_numbers, shown
from skinfluence.deletion.targets._base import Target


def make_target(
    function: Callable, *, gradient: Callable | None = None, greater_is_better: bool = False
) -> Target:
    """Make a target of a function of labels and decision values.

    Parameters
    ----------
    function : callable
        `function(y_true, decision) -> (n_test,)`, with the labels as passed to the influence method
        and `decision` what `decision_function` returns: (n_test,) for two classes, else
        (n_test, n_classes), or a column for each pair of classes where that is its shape. Of a
        regressor it is what `predict` returns, in the units of the responses: (n_test,) or
        (n_test, n_responses). It is called once for each deleted training row, and must treat test
        rows independently: it may be given a part of them.
    gradient : callable, optional
        `gradient(y_true, decision)`, the derivative in `decision`, of its shape. Without it
        `method="first_order"` uses central differences.
    greater_is_better : bool, default=False
        Whether a row that raises the value counts as helpful.

    Returns
    -------
    CustomTarget
        To be passed as `target=`.

    Raises
    ------
    TypeError
        If `function` or `gradient` is not callable.

    Examples
    --------
    >>> import numpy as np
    >>> from skinfluence import make_target
    >>> exponential = make_target(lambda y, f: np.exp(-(2 * y - 1) * f))
    >>> exponential.name
    '<lambda>'
    """
    for name, value in (("function", function), ("gradient", gradient)):
        if not callable(value) and (name == "function" or value is not None):
            raise TypeError(f"{name} should be callable; got {shown(value)} instead.")
    return CustomTarget(function, gradient, bool(greater_is_better))


class CustomTarget(Target):
    """The target that `make_target` returns."""

    uses_encoded_labels = False

    def __init__(self, function, gradient=None, greater_is_better=False):
        super().__init__()
        self.function = function
        self.derivative = gradient
        self.greater_is_better = greater_is_better
        self.name = getattr(function, "__name__", type(function).__name__)

    def _call(self, y, decision):
        """Call the function on one set of decisions, and check what it gives back."""
        value = as_numbers(f"what the target {self.name!r} returns", self.function(y, decision))
        if value.shape != decision.shape[:1]:
            raise ValueError(
                f"the target {self.name!r} should return an array of shape {decision.shape[:1]}, "
                f"one value a test row; got {value.shape}."
            )
        return value

    def _decisions(self, eta):
        """Decision values of a classifier, predictions of a regressor."""
        return self.link.decision(eta) if self.link.n_classes else self.link.mean(eta)

    def value(self, y, eta):
        """Call once for each deleted row: along the axis after the test rows."""
        y, decisions = np.asarray(y), self._decisions(eta)
        several = not self.link.n_classes and self.link.n_responses > 1
        if y.ndim < (3 if several else 2):
            return self._call(y, decisions)
        columns = [self._call(y[:, 0], decisions[:, j]) for j in range(decisions.shape[1])]
        return np.stack(columns, axis=1)

    def gradient(self, y, eta):
        """The caller's, or central differences, through the decision values."""
        decisions = self._decisions(eta)
        slope = (
            self._differences(y, decisions)
            if self.derivative is None
            else self._given(y, decisions)
        )
        is_classifier = self.link.n_classes > 0
        return (self.link.decision_vjp if is_classifier else self.link.mean_vjp)(slope, eta)

    def _given(self, y, decisions):
        """The caller's derivative, checked."""
        slope = as_numbers(
            f"what the gradient of target {self.name!r} returns", self.derivative(y, decisions)
        )
        if slope.shape != decisions.shape:
            raise ValueError(
                f"the gradient of target {self.name!r} should return an array of shape "
                f"{decisions.shape}; got {slope.shape}."
            )
        return slope

    def _differences(self, y, decisions):
        """Central differences in each decision value."""
        columns = decisions if decisions.ndim == 2 else decisions[:, None]
        slope = np.empty(columns.shape)
        step = np.finfo(float).eps ** (1 / 3) * np.maximum(1.0, np.abs(columns))
        for k in range(columns.shape[1]):
            up, down = columns.copy(), columns.copy()
            up[:, k] += step[:, k]
            down[:, k] -= step[:, k]
            rise = self._call(y, up.reshape(decisions.shape))
            rise = rise - self._call(y, down.reshape(decisions.shape))
            slope[:, k] = rise / (up - down)[:, k]
        return slope.reshape(decisions.shape)
