"""How a question is put: its answer, or its error with where it came from, and its warnings."""

import ast
import linecache
import signal
import threading
import traceback
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import sklearn

import skinfluence

OURS, THEIRS = (str(Path(module.__file__).parent) for module in (skinfluence, sklearn))
SENTENCES = (
    ValueError,
    TypeError,
    NotImplementedError,
    np.linalg.LinAlgError,
    RuntimeError,
    AttributeError,
)
# What our warnings that speak of wrong numbers say.
ANNOUNCEMENTS = (
    "no optimum was found",
    "Newton's method stopped",
    "did not converge",
    "is far from the optimum",
    "one Newton step says little",
    "leverage above",
    "no error of it is certified",
    "ill-conditioned",
    "no step towards",
)


class TooSlow(Exception):
    """A question took longer than it may."""


@dataclass(frozen=True)
class Answer:
    """`value`, or `error`; `heard` are the warnings (category, message)."""

    value: object
    error: BaseException | None
    place: str
    is_sentence: bool
    heard: tuple

    @property
    def is_announced(self):
        """Whether a warning of ours said that the numbers may be wrong."""
        return any(word in text for _, text in self.heard for word in ANNOUNCEMENTS)

    @property
    def leaks(self):
        """Warnings of NumPy and SciPy that nobody caught."""
        return [
            text
            for category, text in self.heard
            if category in ("RuntimeWarning", "LinAlgWarning", "OptimizeWarning")
            and ("encountered in" in text or "matrix" in text.lower())
        ]


def ask(function, seconds=60.0):
    """Call a function and keep what came of it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with _limited(seconds):
                value, error, place, sentence = function(), None, "", True
        except Exception as raised:
            value, error = None, raised
            place, sentence = _origin(raised)
    heard = tuple((w.category.__name__, str(w.message)) for w in caught)
    return Answer(value, error, place, sentence, heard)


@contextmanager
def _limited(seconds):
    """Raise TooSlow in the main thread of a process that has alarms."""
    can = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if not can:
        yield
        return

    def late(number, frame):
        raise TooSlow(f"no answer in {seconds:g} s of CPU")

    before = signal.signal(signal.SIGVTALRM, late)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
        signal.signal(signal.SIGVTALRM, before)


def _origin(error):
    """(where an exception was raised, whether as a sentence of ours or of scikit-learn's)."""
    frames = traceback.extract_tb(error.__traceback__)
    last = frames[-1]
    place = f"{last.filename}:{last.lineno}"
    for root in (OURS, THEIRS):
        place = place.replace(str(Path(root).parent) + "/", "")
    known = isinstance(error, SENTENCES) and str(error).strip()
    said = _raises(last.filename, last.lineno)
    home = last.filename.startswith((OURS, THEIRS))
    # scikit-learn's validation converts arrays: what NumPy says there is what its users know.
    checked = any(
        frame.filename.startswith(THEIRS + "/utils") and "valid" in frame.filename
        for frame in frames
    )
    return place, bool(known and ((home and said) or checked))


@lru_cache(maxsize=None)
def _raise_lines(filename):
    source = "".join(linecache.getlines(filename))
    if not source:
        return frozenset()
    lines = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Raise):
            lines.update(range(node.lineno, node.end_lineno + 1))
    return frozenset(lines)


def _raises(filename, lineno):
    return lineno in _raise_lines(filename)
