"""Steps of an audit through a folder: each is read if it is finished, else taken and written."""

import json
from dataclasses import dataclass, field, fields

import numpy as np

# Removals of a block of a greedy search: what an end in between costs.
PICKS = 16
GREEDY = "greedy-"


@dataclass(frozen=True)
class Found:
    """Units in the order of their removal, and the quantity after each.

    Attributes
    ----------
    order : list of int
        Positions of the units.
    values, margins : list of float
        After each removal, from refits.
    flips : bool
        Whether the last margin is not positive.
    diverges : bool
        Whether the search ended because a further removal leaves no finite optimum.
    empties_class : bool
        Whether it kept a row because a class would have lost its last one.
    """

    order: list
    values: list
    margins: list
    flips: bool
    diverges: bool = False
    empties_class: bool = False


@dataclass(frozen=True)
class Lower:
    """What is proven about the number of units.

    Attributes
    ----------
    at_least : int
    certificate : str
    assumptions : tuple of str
    fractional : float or None
    candidates : tuple of ndarray
        Solutions of the programs that were solved on the way.
    """

    at_least: int = 1
    certificate: str = "none"
    assumptions: tuple = ()
    fractional: float | None = None
    candidates: tuple = ()


@dataclass
class Picks:
    """Where a greedy search is.

    Attributes
    ----------
    blocked : ndarray of bool, shape (r,)
        Units that are not to be removed, or have been.
    order : list of int
    values, margins : list of float
        After each removal.
    tried : int
        Removals that were tried.
    diverges, empties_class : bool
        As of Found.
    theta : ndarray of shape (K, q)
        Optimum without the units.
    """

    blocked: np.ndarray
    order: list = field(default_factory=list)
    values: list = field(default_factory=list)
    margins: list = field(default_factory=list)
    tried: int = 0
    diverges: bool = False
    empties_class: bool = False
    theta: np.ndarray | None = None

    @property
    def is_whole(self):
        """Whether the removals fill their blocks."""
        return len(self.order) % PICKS == 0

    def begin(self, unit, number):
        """A unit is tried, once."""
        self.tried, self.blocked[unit] = number + 1, True

    def refused(self, state):
        """A unit that a Walk could not remove stays."""
        self.diverges |= state.diverges
        self.empties_class |= state.empties_class

    def removed(self, unit, value, margin):
        """A unit has left, and with it the quantity has changed."""
        self.order.append(unit)
        self.values.append(value)
        self.margins.append(margin)

    def write(self, store, theta):
        """Write the search as it is; the block's name has the number of removals."""
        self.theta = theta
        store.write(f"{GREEDY}{len(self.order):09d}", **vars(self))

    @classmethod
    def last(cls, store):
        """Return where a search was when it last wrote; None where it has not."""
        names = [name for name in store.names() if name.startswith(GREEDY)]
        if not names:
            return None
        kept = store.read(names[-1])
        plain = {name: value.tolist() for name, value in kept.items()}
        return cls(**plain | {"blocked": kept["blocked"], "theta": kept["theta"]})


def once(store, name, take):
    """Return what `take()` does: Found, Lower, numbers, None, and tuples of them.

    Read from the block of that name where there is a store and it is finished.
    """
    if store is None:
        return take()

    def compute():
        """The result as a text: JSON gives back every bit of a float."""
        return {"result": np.array(json.dumps(_plain(take())))}

    return _restored(json.loads(str(store.once(name, compute)["result"])))


KINDS = {kind.__name__: kind for kind in (Found, Lower)}


def _plain(value):
    """A result in lists, dicts, strings and numbers."""
    if isinstance(value, Found | Lower):
        parts = {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
        return {"kind": type(value).__name__, "parts": parts}
    if isinstance(value, tuple):
        return {"kind": "tuple", "parts": [_plain(part) for part in value]}
    if isinstance(value, np.ndarray):
        return {"kind": "array", "parts": value.tolist()}
    if isinstance(value, np.generic):
        return value.item()
    return [_plain(part) for part in value] if isinstance(value, list) else value


def _restored(plain):
    """The result that `_plain` was given."""
    if isinstance(plain, list):
        return [_restored(part) for part in plain]
    if not isinstance(plain, dict):
        return plain
    parts = plain["parts"]
    if plain["kind"] == "tuple":
        return tuple(_restored(part) for part in parts)
    if plain["kind"] == "array":
        return np.array(parts)
    return KINDS[plain["kind"]](**{name: _restored(part) for name, part in parts.items()})
