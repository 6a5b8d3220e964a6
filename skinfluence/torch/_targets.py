"""What the influence of rows is on: a loss or margin of test rows, or a function of the weights."""

import torch
from torch.func import grad, vmap

from skinfluence.torch._function import as_codes
from skinfluence.torch._margins import class_margin
from skinfluence.torch._products import RowLoss


class RowTarget:
    """A function of the outputs and the label of each of some rows.

    Parameters
    ----------
    network : NetworkFunction
    function : callable
        `function(output, label)` of one row: a scalar.
    rows, labels : torch.Tensor
    """

    def __init__(self, network, function, rows, labels):
        self.network, self.function, self.rows, self.labels = network, function, rows, labels

    def gradients_of(self, part):
        """Gradients (b, P) of a part of the rows."""
        found = self.network.gradients(self.function, self.rows[part], self.labels[part])
        return torch.cat([gradients for _, gradients in found])

    def gradients(self, aggregate=None):
        """Gradients (m, P) of all rows; their sum or mean (1, P) for an `aggregate`."""
        if aggregate is None:
            return self.gradients_of(slice(None))
        parts = self.network.gradients(self.function, self.rows, self.labels)
        total = sum(gradients.sum(dim=0) for _, gradients in parts)
        return total[None] / (len(self.rows) if aggregate == "mean" else 1)

    def changes(self, steps):
        """Its values at the weights moved by each step (b, P) minus before, (b, m)."""

        def values(theta):
            return vmap(self.function)(self.network.outputs(theta, self.rows), self.labels)

        theta = self.network.theta
        return vmap(values)(theta + steps) - values(theta)

    def own_changes(self, part, steps):
        """The change of each row of a part by its own step (b, P), (b,)."""

        def value(theta, row, label):
            return self.function(self.network.output(theta, row), label)

        theta, rows, labels = self.network.theta, self.rows[part], self.labels[part]
        before = vmap(value, in_dims=(None, 0, 0))(theta, rows, labels)
        return vmap(value)(theta + steps, rows, labels) - before


class WeightTarget:
    """A function of the parameters, as a dict of tensors by name: one number."""

    def __init__(self, network, function):
        self.network, self.function = network, function

    def _value(self, theta):
        """Its value at a flat vector of weights."""
        value = self.function(self.network.named(theta))
        if not isinstance(value, torch.Tensor) or value.numel() != 1:
            raise ValueError(
                "without X_test, target should be a function of the weights that gives one number "
                f"as a tensor; it gives {value!r:.60}."
            )
        return value.reshape(())

    def gradients(self, aggregate=None):
        """Its gradient, (1, P)."""
        return grad(self._value)(self.network.theta)[None]

    def changes(self, steps):
        """Its value at the weights moved by each step (b, P) minus before, (b, 1)."""
        theta = self.network.theta
        moved = torch.stack([self._value(theta + step) for step in steps])
        return (moved - self._value(theta))[:, None]


def target_of(target, network, loss, n_outputs, rows=None, y=None):
    """Return the target of a name or callable at rows, or of the weights if there are no rows.

    Raises
    ------
    ValueError
        If the name is unknown, or labels are missing.
    """
    if rows is None:
        if not callable(target):
            raise ValueError(
                f"X_test is None, but target={target!r} is measured at test rows; only a callable, "
                "of the weights, needs none."
            )
        return WeightTarget(network, target)
    if not callable(target) and target not in ("loss", "margin"):
        raise ValueError(f"target should be 'loss', 'margin' or a callable; got {target!r}.")
    if y is None and not callable(target):
        raise ValueError(
            f"y_test is None, but target={target!r} needs the labels of the test rows."
        )
    if target == "margin":
        codes = as_codes(y, len(rows), n_outputs, "y_test").to(network.device)
        return RowTarget(network, class_margin, rows, codes)
    function = RowLoss(target) if callable(target) else loss
    if y is None:  # a callable that asks for none
        y = torch.zeros(len(rows))
    labels = function.labels(y, rows, n_outputs, network, "y_test")
    network.check_losses(function, rows, labels, "y_test")
    return RowTarget(network, function, rows, labels)
