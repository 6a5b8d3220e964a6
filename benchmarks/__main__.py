"""`python -m benchmarks`: measure, print the table, keep it."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from benchmarks import (
    case_deletion,
    choice,
    fits,
    intervals,
    micro,
    model_selection,
    oracle,
    report,
    second,
    small,
    sparse_rows,
    svm,
)
from benchmarks.contestants import PACKAGES
from benchmarks.problems import RECIPES, save
from benchmarks.rows import ROWS, SAMPLED, SAMPLED_ELSEWHERE
from skinfluence.evaluation import agreement

MODULES = {"search": model_selection, "svm": svm, "diagnostics": case_deletion}
MODULES |= {"fits": fits, "second": second, "choice": choice, "intervals": intervals}
MODULES |= {"warm": small, "loo-sparse": sparse_rows}
MICRO = "kernels", "fingerprint", "import", *MODULES


def _arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--problem", action="append", choices=[*RECIPES, *MICRO])
    parser.add_argument("--contestant", action="append", help="words a contestant's name contains")
    parser.add_argument("--quick", action="store_true", help="small problems; nothing is written")
    parser.add_argument(
        "--cpu", action="store_true", help="CPU seconds on one BLAS thread: for a busy machine"
    )
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--budget", type=float, default=20.0, help="seconds a contestant, about")
    parser.add_argument(
        "--python",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help="another environment for a contestant, such as pyDVL=.venv-pydvl/bin/python",
    )
    return parser.parse_args()


def _wanted(name, words):
    """Whether a contestant is asked for."""
    return not words or any(word.lower() in name.lower() for word in words)


def _run(row, folder, arguments, interpreters):
    """Measure one row in a process of its own."""
    interpreter = interpreters.get(row.contestant)
    missing = row.contestant in PACKAGES and find_spec(PACKAGES[row.contestant]) is None
    if missing and interpreter is None:
        return {"skipped": "not installed"}
    for name in ("estimate.npy", "figures.json"):
        (folder / name).unlink(missing_ok=True)
    command = [interpreter or sys.executable, "-m", "benchmarks.worker", str(folder)]
    command += [row.contestant, row.floor, str(arguments.repeats), str(arguments.budget)]
    command += ["cpu" if arguments.cpu else "wall"]
    root = Path(__file__).parent.parent
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        return {"skipped": f"failed: {last[:80]}"}
    figures = json.loads((folder / "figures.json").read_text())
    return {**figures, "ratio": figures["seconds"] / figures["floor_seconds"]}


def _error(row, folder, truth):
    """Slope and relative RMSE against the refits."""
    if row.truth is None or not (folder / "estimate.npy").exists():
        return {}
    found = agreement(np.load(folder / "estimate.npy"), truth[row.truth == "own"])
    return {"slope": found.slope, "relative_rmse": found.relative_rmse}


def _problem_rows(name, arguments, interpreters):
    """Yield the shape of a problem, then the measured rows."""
    asked = [r for r in ROWS if r.problem == name and _wanted(r.contestant, arguments.contestant)]
    if not asked:
        return
    try:
        problem = RECIPES[name](arguments.quick)
    except FileNotFoundError as error:
        yield {"problem": name, "who": "all", "skipped": str(error)}
        return
    yield problem.shape()
    model = oracle.solve(problem)
    n_sampled = SAMPLED.get(name, SAMPLED_ELSEWHERE)
    problem.rows = oracle.sample_rows(problem, n_sampled)
    truth = oracle.refits(problem, model) if n_sampled else None
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        save(problem, folder)
        del problem, model
        for row in asked:
            line = {"problem": name, "who": row.contestant, "floor": row.floor}
            if not arguments.quick:  # the bars are for the full sizes
                line |= {"bar": row.bar, "peak_bar": row.peak_bar}
                line |= {"bar_seconds": row.seconds_bar}
            line |= _run(row, folder, arguments, interpreters)
            yield line | ({} if "skipped" in line else _error(row, folder, truth))


def _micro_rows(names, quick, clock):
    """Yield kernels and imports as rows of the same table."""
    if "kernels" in names:
        for title, ours, theirs in micro.kernels(quick, clock):
            line = {"problem": "kernels", "who": title, "seconds": ours, "floor_seconds": theirs}
            yield {**line, "ratio": ours / theirs, "bar": 1.0}
    if "fingerprint" in names:
        for title, ours, theirs in micro.fingerprints(quick, clock):
            line = {"problem": "fingerprint", "who": title, "seconds": ours}
            bar = 0.05 if title.endswith("fit") else None
            yield {**line, "floor_seconds": theirs, "ratio": ours / theirs, "bar": bar}
    if "import" in names:
        base, ours = micro.import_seconds(2 if quick else 7)
        line = {"problem": "import", "who": "import skinfluence, after sklearn.linear_model"}
        line |= {"seconds": ours, "floor_seconds": base, "ratio": ours / base}
        yield {**line, "bar_seconds": 0.1}
        first, second = micro.first_kernel_seconds()
        line = {
            "problem": "import",
            "who": "first compiled call, 2nd process (floor: 1st)",
        }
        line |= {"seconds": second, "floor_seconds": first, "ratio": second / first}
        yield line
    for name, module in MODULES.items():
        if name in names:
            yield from module.rows(quick)


def main():
    """Measure what was asked for."""
    arguments = _arguments()
    if arguments.cpu and os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        # BLAS reads it when it is loaded: begin again, with one thread here and in every process.
        env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        raise SystemExit(
            subprocess.call([sys.executable, "-m", "benchmarks", *sys.argv[1:]], env=env)
        )
    interpreters = dict(pair.split("=", 1) for pair in arguments.python)
    names = arguments.problem or [*RECIPES, *MICRO]
    rows, shapes = [], {}
    for name in filter(RECIPES.__contains__, names):
        for item in _problem_rows(name, arguments, interpreters):
            if isinstance(item, str):
                shapes[name] = item
                continue
            rows.append(item)
            print(" | ".join(filter(None, report.cells(item))), flush=True)
    if not arguments.contestant:
        rows += _micro_rows(names, arguments.quick, "cpu" if arguments.cpu else "wall")
    facts = report.machine() + ("; times are CPU seconds" if arguments.cpu else "")
    print(f"\n{facts}\n\n{report.table(rows)}")
    if not (arguments.quick or arguments.contestant):
        report.write(rows, shapes, facts, [*RECIPES, *MICRO])


if __name__ == "__main__":
    main()
