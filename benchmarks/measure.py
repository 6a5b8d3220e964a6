"""Time by turns with the floor, and peak memory above what was there before."""

import ctypes
import gc
import resource
import time
from contextlib import suppress
from pathlib import Path

PAUSE = 0.15  # seconds before each call, for the threads of the last one to stop spinning


#: Clocks by name: "wall", or "cpu", the process's own seconds, which others cannot lengthen much.
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def timed(function, clock):
    """Seconds of one call, without freeing its result."""
    time.sleep(PAUSE)
    start = clock()
    result = function()
    seconds = clock() - start
    del result
    return seconds


def by_turns(functions, repeats, budget, clock="wall"):
    """Smallest seconds of each function, called in turn: noise hits all of them alike.

    At least one round; no new one once `budget` seconds are spent.
    """
    best = [float("inf")] * len(functions)
    start = time.perf_counter()
    for done in range(repeats):
        if done and time.perf_counter() - start > budget:
            break
        seconds = [timed(function, CLOCKS[clock]) for function in functions]
        best = [min(pair) for pair in zip(best, seconds, strict=True)]
    return best


def _status(name):
    """A line of /proc/self/status in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return 1024 * int(line.split()[1])
    raise KeyError(name)


def _return_free_memory():
    """Give what earlier calls freed back to the system, where the C library can."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def peak_of(function):
    """(result, bytes): the largest resident memory during a call, above that before it.

    Linux forgets an earlier peak when told to; elsewhere a call below the earlier peak counts as 0.
    """
    _return_free_memory()
    try:
        Path("/proc/self/clear_refs").write_text("5")
        before = _status("VmRSS")
        result = function()
        return result, _status("VmHWM") - before
    except OSError:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        result = function()
        return result, 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
