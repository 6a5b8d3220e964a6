"""One contestant on one problem in one process: `python -m benchmarks.worker FOLDER NAME ...`.

Reads the problem from FOLDER, and leaves there `figures.json` and `estimate.npy`, the answer for
the sampled rows.
"""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

from benchmarks.contestants import CONTESTANTS, PACKAGES
from benchmarks.floors import FLOORS
from benchmarks.measure import by_turns, peak_of
from benchmarks.problems import load

SLOW = 10.0  # seconds


def _estimate(answer, problem):
    """The answer's part about the sampled rows; None where it has no such part."""
    if not isinstance(answer, np.ndarray):
        return None
    some = answer.shape[-1] < problem.X.shape[0]
    return answer[..., : len(problem.rows)] if some else answer[..., problem.rows]


def main(folder, contestant, floor, repeats, budget, clock):
    """Measure and write."""
    folder = Path(folder)
    problem = load(folder)
    question = CONTESTANTS[contestant](problem)
    # The first call pays for lazy imports and compiled kernels too: where that matters, another.
    start = time.perf_counter()
    answer, peak = peak_of(question)
    if time.perf_counter() - start < SLOW:
        del answer
        answer, peak = peak_of(question)
    estimate = _estimate(answer, problem)
    if estimate is not None:
        np.save(folder / "estimate.npy", estimate)
    del answer, estimate
    both = [question, FLOORS[floor](problem)]
    seconds, least = by_turns(both, int(repeats), float(budget), clock)
    seconds /= getattr(question, "share", 1.0)  # of all rows, where only some were done
    package = PACKAGES.get(contestant)
    figures = {
        "seconds": seconds,
        "floor_seconds": least,
        "peak_bytes": peak,
        "version": version(package) if package else None,
    }
    (folder / "figures.json").write_text(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
