"""`python -m tests.mutants --mutants 300`: how many small changes of the core the tests notice.

A seeded sample of all changes (`changes.py`), each in a copy of the checkout, against the tests
that concern its module. Living ones that are no faults, or that no test is worth, are in
`living.py` with their reasons. `--state` keeps what has been run; `--again` runs those alive anew.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter

from tests.mutants.changes import mutants
from tests.mutants.living import LIVING
from tests.mutants.run import LEAST, PATIENCE, ROOT, Results, Workshop
from tests.mutants.subjects import SUBJECTS, concerned, modules

SEED = 20261127


def sample(n, seed, under=None):
    """A random sample of the mutants of all subjects, as they stand in the checkout."""
    everything = []
    for path in modules():
        everything += mutants(path, (ROOT / "skinfluence" / path).read_bytes())
    random.Random(seed).shuffle(everything)
    chosen = everything if n is None else everything[:n]
    return [each for each in chosen if under is None or each.path.startswith(under)]


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
        help="seconds for each file of tests, which are not run without a mutant first",
    )
    parser.add_argument("--again", action="store_true", help="run those that live once more")
    options = parser.parse_args()
    chosen, results = sample(options.mutants, options.seed, options.under), Results(options.state)
    start, limits = time.monotonic(), {}
    waiting = [each for each in chosen if _is_open(each, results, options.again)]
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
                    break
            results.add(mutant, killed=killed, seconds=spent, tests=tests)
            print("killed" if killed else "LIVES ", f"{spent:5.1f} s  {mutant.name}", flush=True)
    return _table([results.known[each.name] for each in chosen if each.name in results.known])


def _is_open(mutant, results, again):
    """Whether a mutant is to be run."""
    known = results.known.get(mutant.name)
    return known is None or (again and not known["killed"] and mutant.name not in LIVING)


def _limit(workshop, tests):
    """CPU seconds that a mutant may take for a file of tests, which pass without one."""
    passed, seconds = workshop.passes([tests])
    if not passed:
        sys.exit(f"{tests} does not pass without any mutant")
    return PATIENCE * seconds + LEAST


def _table(entries):
    """Print a line for each subject, and those that live; return 1 if one is not listed."""
    print(f"\n{'':24}{'mutants':>8}{'killed':>8}{'listed':>8}{'alive':>8}")
    count = Counter()
    for entry in entries:
        what = "killed" if entry["killed"] else "listed" if entry["name"] in LIVING else "alive"
        subject = next(name for name in SUBJECTS if entry["path"].startswith(name))
        count[subject, what] += 1
        count["all", what] += 1
    for subject in (*SUBJECTS, "all"):
        found = [count[subject, what] for what in ("killed", "listed", "alive")]
        print(f"{subject:24}{sum(found):8}" + "".join(f"{number:8}" for number in found))
    killed, alive = count["all", "killed"], count["all", "alive"]
    faults = sum(not e["killed"] and LIVING.get(e["name"], "").startswith("fault") for e in entries)
    share = killed / max(1, killed + alive + faults)
    print(f"\n{share:.1%} of those that are no equivalents are noticed")
    for entry in entries:
        if not entry["killed"] and entry["name"] not in LIVING:
            print(f"  {entry['path']}:{entry['line']} {entry['kind']}: {entry['name']}")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main())
