"""`python -m tests.fuzz --problems 300 --seed 0`: a table of what was found."""

import argparse
import sys
import time
from pathlib import Path

from tests.fuzz.campaign import N_QUESTIONS, Table, campaign, reproductions
from tests.fuzz.draw import SEED
from tests.fuzz.problems import Problem
from tests.fuzz.progress import Progress
from tests.fuzz.run import run, warm_up


def main():
    """Run, print, and return 1 for findings that are not known."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--problems", type=int, default=300, help="how many (default: 300)")
    parser.add_argument("--seed", type=int, default=SEED, help="default: that of the version")
    parser.add_argument("--start", type=int, default=0, help="number of the first problem")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after these")
    parser.add_argument("--questions", type=int, default=N_QUESTIONS, help="of each problem")
    parser.add_argument("--no-shrink", action="store_true", help="report findings as they are")
    parser.add_argument("--write", help="file for the table, which a page of the docs shows")
    parser.add_argument("--problem", help="run this one instead: Problem('ridge', n=3, ...)")
    parser.add_argument("--state", help="folder of finished problems, from which it goes on")
    parser.add_argument("--again", action="store_true", help="of these those with findings anew")
    options = parser.parse_args()
    if options.problem:
        return _only(options.problem)
    indices = range(options.start, options.start + options.problems)
    table = Table()
    for record in _records(options, indices):
        table.add(record)
    lines = [f"{table.problems} problems from {options.start}, seed {options.seed}", ""]
    lines += table.lines()
    text = "\n".join(lines)
    print(f"{text}\n{table.seconds:.0f} s of CPU")
    if options.write:
        Path(options.write).write_text(f"{text}\n")
    if options.no_shrink:
        found = [(record.problem, finding) for record, finding in table.unknown]
    else:
        found = reproductions(table.unknown)
    for problem, finding in found:
        print(f"\n{finding.kind}: {finding.question}: {finding.detail}\n    {problem!r}")
    return 1 if table.unknown else 0


def _records(options, indices):
    """Records of these problems: finished ones, then those that the time allows."""
    done, progress = {}, None
    if options.state:
        progress = Progress(options.state, options.seed, options.questions)
        done = {k: record for k, record in progress.records().items() if k in indices}
    if options.again:
        done = {k: record for k, record in done.items() if not record.tally.findings}
    yield from done.values()
    start, count = time.monotonic(), len(done)
    left = [index for index in indices if index not in done]
    running = campaign(options.seed, left, jobs=options.jobs, n_questions=options.questions)
    try:
        for record in running:
            count += 1
            if progress is not None:
                progress.add(record)
            yield record
            if time.monotonic() - start > options.seconds:
                return
            if sys.stderr.isatty():
                print(f"\r{count} of {len(indices)}", end="", file=sys.stderr)
    finally:
        if progress is not None:
            progress.flush()


def _only(text):
    """One problem with all its questions."""
    warm_up()
    tally = run(eval(text, {"Problem": Problem, "inf": float("inf")}))
    for finding in tally.findings:
        print(f"{finding.kind}: {finding.question}: {finding.detail}")
    for question, sentence in tally.refusals:
        print(f"refused: {question}: {sentence}")
    print(tally.counts)
    return 1 if tally.findings else 0


if __name__ == "__main__":
    sys.exit(main())
