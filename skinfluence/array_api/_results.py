"""Results whose arrays lie where the caller's lie; they print through NumPy."""

from dataclasses import dataclass, fields

from numpy.typing import ArrayLike

from skinfluence._backend import as_numpy
from skinfluence._frames import DataFrame
from skinfluence.results import LeaveOneOutEstimate, MostInfluential


class _OnDevice:
    """A result that reads its arrays into NumPy to be printed or made a table."""

    def to_numpy(self):
        """Return the same result with arrays of NumPy.

        Returns
        -------
        Result
            Of the class that models fitted on arrays of NumPy return.
        """
        plain = PLAIN[type(self)]
        return plain(**{each.name: _plain(getattr(self, each.name)) for each in fields(self)})

    def __repr__(self):
        return repr(self.to_numpy())


def _plain(value):
    """Arrays of other libraries as those of NumPy, in tuples too; everything else as it is."""
    if isinstance(value, tuple):
        return tuple(_plain(each) for each in value)
    return as_numpy(value) if hasattr(value, "shape") else value


@dataclass(frozen=True, repr=False)
class ArrayMostInfluential(_OnDevice, MostInfluential):
    """MostInfluential with arrays of the caller's library; ties come in any order."""

    def to_frame(
        self, train_labels: ArrayLike | None = None, test_labels: ArrayLike | None = None
    ) -> DataFrame:
        return self.to_numpy().to_frame(train_labels, test_labels)


@dataclass(frozen=True, repr=False)
class ArrayLeaveOneOut(_OnDevice, LeaveOneOutEstimate):
    """LeaveOneOutEstimate with arrays of the caller's library."""

    def to_frame(self, train_labels: ArrayLike | None = None) -> DataFrame:
        return self.to_numpy().to_frame(train_labels)


PLAIN = {ArrayMostInfluential: MostInfluential, ArrayLeaveOneOut: LeaveOneOutEstimate}
