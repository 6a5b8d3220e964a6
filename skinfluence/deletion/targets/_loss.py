"""The model's own loss as a target."""

from skinfluence.deletion.targets._base import Target


class LossTarget(Target):
    """The unweighted training loss, at test rows."""

    name = "loss"

    def __init__(self, loss, link=None):
        super().__init__(link)
        self.loss = loss

    def value(self, y, eta):
        """Loss of each row."""
        return self.loss.value(y, eta)

    def gradient(self, y, eta):
        """Derivative of the loss."""
        return self.loss.gradient(y, eta)
