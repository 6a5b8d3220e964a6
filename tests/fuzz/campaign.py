"""Many problems: drawn, run in processes of their own, counted, shrunk, tabled."""

import multiprocessing
import time
from collections import Counter
from dataclasses import dataclass

import numpy as np

from tests.fuzz.draw import ATTACKS, NAMES, draw
from tests.fuzz.known import which
from tests.fuzz.run import minimal, run, some_questions, warm_up

# Questions a problem; all of them take three times as long.
N_QUESTIONS = 5
# A problem that does not come back in this time, in seconds, is a crash of its process.
LONGEST = 900.0


@dataclass(frozen=True)
class Record:
    """What came of one problem."""

    index: int
    problem: object
    kinds: tuple
    tally: object
    seconds: float


def one(seed, index, n_questions=N_QUESTIONS):
    """Record of the problem number `index` of a seed."""
    problem, kinds = draw(seed, index)
    start = time.process_time()
    tally = run(problem, some_questions(np.random.default_rng([seed, index, 1]), n_questions))
    return Record(index, problem, kinds, tally, time.process_time() - start)


def campaign(seed, indices, *, jobs=1, n_questions=N_QUESTIONS, tell=None):
    """Records of many problems; those that hang are killed and reported as crashes."""
    indices = list(indices)
    if jobs == 1:
        warm_up()
        for index in indices:
            yield one(seed, index, n_questions)
        return
    context = multiprocessing.get_context("spawn")
    workers = [_Worker(context, seed, n_questions) for _ in range(jobs)]
    waiting = indices[::-1]
    try:
        while waiting or any(worker.index is not None for worker in workers):
            for worker in workers:
                if worker.index is None and waiting:
                    worker.start(waiting.pop())
            for worker in workers:
                record = worker.result()
                if record is not None:
                    yield record
            time.sleep(0.005)
    finally:
        for worker in workers:
            worker.stop()


class _Worker:
    """A process that runs one problem after the other, and is replaced when it hangs."""

    def __init__(self, context, seed, n_questions):
        self.context, self.seed, self.n_questions = context, seed, n_questions
        self.index, self.process = None, None

    def start(self, index):
        if self.process is None:
            self.pipe, other = self.context.Pipe()
            arguments = (other, self.seed, self.n_questions)
            self.process = self.context.Process(target=_serve, args=arguments, daemon=True)
            self.process.start()
        self.index, self.began = index, time.monotonic()
        self.pipe.send(index)

    def result(self):
        """A Record if there is one."""
        if self.index is None:
            return None
        found = None
        if self.pipe.poll():
            try:
                found = self.pipe.recv()
            except EOFError:
                found = self._lost("its process died")
        elif not self.process.is_alive():
            found = self._lost("its process died")
        elif time.monotonic() - self.began > LONGEST:
            found = self._lost(f"no answer in {LONGEST:g} s")
        if found is not None:
            self.index = None
        return found

    def _lost(self, why):
        from tests.fuzz.questions import Tally

        self.stop()
        problem, kinds = draw(self.seed, self.index)
        tally = Tally()
        tally.find("crash", "run", why)
        return Record(self.index, problem, kinds, tally, LONGEST)

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.process = None


def _serve(pipe, seed, n_questions):
    warm_up()
    while True:
        try:
            pipe.send(one(seed, pipe.recv(), n_questions))
        except EOFError:
            return


class Table:
    """Counts of records, and their findings that are not known."""

    WRONG = ("wrong", "undefined", "bound", "unlike", "leak", "crash")

    def __init__(self):
        self.problems, self.models, self.kinds = 0, Counter(), Counter()
        self.counts, self.by_model = Counter(), {}
        self.known, self.unknown, self.refusals = Counter(), [], Counter()
        self.seconds = 0.0

    def add(self, record):
        self.problems += 1
        self.seconds += record.seconds
        name = record.problem.model
        self.models[name] += 1
        self.kinds.update(record.kinds)
        self.counts.update(record.tally.counts)
        self.by_model.setdefault(name, Counter()).update(record.tally.counts)
        for question, text in record.tally.refusals:
            self.refusals[f"{question.split()[0]}: {text[:100]}"] += 1
        for finding in record.tally.findings:
            entry = which(record.problem, finding)
            if entry is None:
                self.unknown.append((record, finding))
            else:
                self.known[entry.name] += 1

    def lines(self):
        """The table as text."""
        columns = ("questions", "right", "refused", "warned", "withheld", "unsure", *self.WRONG)
        width = max(map(len, NAMES)) + 2
        head = f"{'model':{width}}{'problems':>9}" + "".join(f"{c:>10}" for c in columns)
        lines = [head]
        for name in NAMES:
            counts = self.by_model.get(name, Counter())
            row = "".join(f"{counts[c]:10d}" for c in columns)
            lines.append(f"{name:{width}}{self.models[name]:9d}{row}")
        row = "".join(f"{self.counts[c]:10d}" for c in columns)
        lines += [f"{'all':{width}}{self.problems:9d}{row}", ""]
        lines.append("problems of each kind:")
        lines += [f"    {kind:22}{self.kinds[kind]:6d}" for kind in ATTACKS]
        lines.append(f"bounds held: {self.counts['bounds'] - self.counts['bound']}")
        lines.append("")
        if self.known:
            lines.append("known findings:")
            lines += [f"    {count:6d}  {name}" for name, count in self.known.most_common()]
        lines.append(f"findings that are not known: {len(self.unknown)}")
        return lines


def reproductions(unknown, *, most=20):
    """(minimal problem, finding) of each kind of finding that is not known, smallest first."""
    seen = {}
    for record, finding in unknown:
        key = record.problem.model, finding.kind, finding.question.split()[0]
        seen.setdefault(key, (record.problem, finding))
    found = []
    for problem, finding in list(seen.values())[:most]:
        found.append((minimal(problem, finding.kind, finding.question), finding))
    return found
