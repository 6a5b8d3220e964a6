"""How a question is put: its answer, or its error with where it came from, and its warnings."""

import ast
import linecache
import os
import signal
import sys
import tempfile
import threading
import traceback
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
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
    """`value`, or `error`; `heard` are the warnings (category, message).

    `leaks` are warnings of NumPy and SciPy that nobody caught, and what was printed.
    """

    value: object
    error: BaseException | None
    place: str
    is_sentence: bool
    heard: tuple
    leaks: tuple

    @property
    def is_announced(self):
        """Whether a warning of ours said that the numbers may be wrong."""
        return any(word in text for _, text in self.heard for word in ANNOUNCEMENTS)


def ask(function, seconds=60.0):
    """Call a function and keep what came of it."""
    with warnings.catch_warnings(record=True) as caught, _printed() as printed:
        warnings.simplefilter("always")
        try:
            # As a user has it, whatever the oracle is asked beside.
            with _limited(seconds), np.errstate(all="warn", under="ignore"):
                value, error, place, sentence = function(), None, "", True
        except Exception as raised:
            value, error = None, raised
            place, sentence = _origin(raised)
    heard = tuple((w.category.__name__, str(w.message)) for w in caught)
    leaks = [str(w.message).splitlines()[0] for w in caught if _leaks(w)] + printed
    return Answer(value, error, place, sentence, heard, tuple(leaks))


def _leaks(warning):
    """Whether a warning is NumPy's or SciPy's, on the way through our code."""
    if warning.filename.startswith(THEIRS):
        return False
    text = str(warning.message)
    numeric = issubclass(warning.category, RuntimeWarning) and "encountered in" in text
    return numeric or warning.category.__name__ in ("LinAlgWarning", "OptimizeWarning")


@contextmanager
def _printed():
    """A list that holds, at the end, what libraries have printed past Python."""
    found = []
    sys.stderr.flush()
    sys.stdout.flush()
    with tempfile.TemporaryFile() as file:
        saved = [(number, os.dup(number)) for number in (1, 2)]
        try:
            for number, _ in saved:
                os.dup2(file.fileno(), number)
            yield found
        finally:
            for number, copy in saved:
                os.dup2(copy, number)
                os.close(copy)
            file.seek(0)
            text = file.read().decode(errors="replace").strip()
            # liblinear's own words about a class whose rows have no weight.
            if text and "specified in weight is not found" not in text:
                found.append(f"printed: {text.splitlines()[0]}")


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
        frame.filename.startswith((THEIRS + "/utils", THEIRS + "/preprocessing/_label"))
        for frame in frames
    )
    # Nor is the source of compiled modules at hand: what they raise at all is a sentence.
    compiled = last.filename.startswith("sklearn/") and last.filename.endswith(".pyx")
    return place, bool(known and ((home and said) or checked or compiled))


@cache
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
