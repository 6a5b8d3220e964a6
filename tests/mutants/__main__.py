"""`python -m tests.mutants --mutants 300`: how many small changes of the core the tests notice.

A seeded sample of all changes (`changes.py`), each in a copy of the checkout, against the tests
that concern its module. Living ones that are no faults, or that no test is worth, are in
`living.py` with their reasons. `--state` keeps what has been run; `--again` runs those alive anew.
"""

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from hashlib import sha256
from pathlib import Path

from tests.mutants.changes import mutants
from tests.mutants.living import LIVING
from tests.mutants.run import LEAST, PATIENCE, ROOT, Results, Workshop
from tests.mutants.subjects import SUBJECTS, concerned, modules

SEED = 20261127


def sample(n, seed, under=None):
    """Return a random sample of the mutants of all subjects, as they stand in the checkout.

    By a hash of their names: what is drawn stays drawn when other lines change.
    """
    everything = []
    for path in modules():
        everything += mutants(path, (ROOT / "skinfluence" / path).read_bytes())
    everything.sort(key=lambda each: sha256(f"{seed} {each.name}".encode()).digest())
    chosen = everything if n is None else everything[:n]
    return [each for each in chosen if under is None or each.path.startswith(under)]


def named(path):
    """Return the mutants of a file of names, a line each, that are still in the checkout."""
    names = set(path.read_text().splitlines())
    return [each for each in sample(None, 0) if each.name in names]


def main():
    """Run what is not known yet, and print the table; 1 where one lives that is not listed."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("--mutants", type=int, default=300, help="how many (default: 300)")
    parser.add_argument("--seed", type=int, default=SEED, help="default: that of the version")
    parser.add_argument("--state", default="build/mutants", help="folder of the results")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after these")
    parser.add_argument("--under", help="only of modules whose path begins so: deletion/targets")
    parser.add_argument(
        "--trust",
        type=float,
        metavar="CPU",
        help="seconds for a file of tests: it runs without a mutant only once it has killed one",
    )
    parser.add_argument("--again", action="store_true", help="run those that live once more")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: 1)")
    parser.add_argument("--names", type=Path, help="file of names, instead of a sample")
    parser.add_argument("--write", type=Path, help="file for the table, which a page shows")
    options = parser.parse_args()
    if options.names:
        chosen = named(options.names)
    else:
        chosen = sample(options.mutants, options.seed, options.under)
    known = Results(options.state).known
    waiting = [each for each in chosen if _is_open(each, known, options.again)]
    children = []
    for share in range(options.jobs - 1):
        children.append(os.fork())
        if not children[-1]:
            code = 1
            try:
                _run(waiting[share :: options.jobs], options)
                code = 0
            finally:
                os._exit(code)
    _run(waiting[options.jobs - 1 :: options.jobs], options)
    failed = [child for child in children if os.waitpid(child, 0)[1]]
    known = Results(options.state).known
    lines, alive = _table([known[each.name] for each in chosen if each.name in known])
    print("\n".join(lines))
    if options.write:
        options.write.write_text("\n".join(lines) + "\n")
    return 1 if failed or alive else 0


def _run(waiting, options):
    """Judge mutants one after the other, and keep what came of each."""
    start, limits, results = time.monotonic(), {}, Results(options.state)
    sound = set()  # files of tests that pass without any mutant
    with tempfile.TemporaryDirectory(prefix="mutants") as folder:
        workshop = Workshop(folder) if waiting else None
        for mutant in waiting:
            if time.monotonic() - start > options.seconds:
                break
            killed, spent = False, 0.0
            for tests in concerned(mutant.path):
                if tests not in limits:
                    limits[tests] = options.trust or _limit(workshop, tests)
                killed, seconds = workshop.judged(mutant, [tests], limits[tests])
                spent += seconds
                if killed:
                    if options.trust and tests not in sound:
                        _limit(workshop, tests)
                        sound.add(tests)
                    break
            results.add(mutant, killed=killed, seconds=spent, tests=tests)
            print("killed" if killed else "LIVES ", f"{spent:5.1f} s  {mutant.name}", flush=True)


def _is_open(mutant, known, again):
    """Whether a mutant is to be run."""
    entry = known.get(mutant.name)
    return entry is None or (again and not entry["killed"] and mutant.name not in LIVING)


def _limit(workshop, tests):
    """CPU seconds that a mutant may take for a file of tests, which pass without one."""
    passed, seconds = workshop.passes([tests])
    if not passed:
        sys.exit(f"{tests} does not pass without any mutant")
    return PATIENCE * seconds + LEAST


def _table(entries):
    """Lines with a row for each subject, those that live below, and how many are not listed."""
    lines = [f"{'':24}{'mutants':>8}{'killed':>8}{'listed':>8}{'alive':>8}"]
    count = Counter()
    for entry in entries:
        what = "killed" if entry["killed"] else "listed" if entry["name"] in LIVING else "alive"
        subject = next(name for name in SUBJECTS if entry["path"].startswith(name))
        count[subject, what] += 1
        count["all", what] += 1
    for subject in (*SUBJECTS, "all"):
        found = [count[subject, what] for what in ("killed", "listed", "alive")]
        row = "".join(f"{number:8}" for number in found)
        lines.append(f"{subject:24}{sum(found):8}{row}")
    killed, alive = count["all", "killed"], count["all", "alive"]
    same = sum(not e["killed"] and LIVING.get(e["name"], "").startswith("equi") for e in entries)
    share = killed / max(1, len(entries) - same)
    lines += ["", f"{share:.1%} of those that are not equivalent are noticed, {same} are"]
    for entry in entries:
        if not entry["killed"] and entry["name"] not in LIVING:
            lines.append(f"  {entry['path']}:{entry['line']} {entry['kind']}: {entry['name']}")
    return lines, alive


if __name__ == "__main__":
    sys.exit(main())
