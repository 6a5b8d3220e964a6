"""Each mutant against the tests that concern it, in a process forked from one that is warm."""

import contextlib
import json
import os
import resource
import shutil
import signal
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
COPIED = ("skinfluence", "tests", "benchmarks", "examples", "doc")
FILES = ("pyproject.toml", "setup.cfg", "conftest.py")
# A mutant may take so many times the CPU of the unmutated tests, and these seconds.
PATIENCE, LEAST = 4, 20
# What mutants do not change, and what takes long to import.
WARM = ("numpy", "scipy.sparse", "scipy.optimize", "sklearn.linear_model", "sklearn.svm", "pandas")
WARM += ("numba", "pytest", "sklearn.datasets", "sklearn.model_selection", "joblib")


class Workshop:
    """A copy of the checkout in which one module at a time is another.

    Parameters
    ----------
    folder : Path
        Where the copy is made.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        for name in COPIED:
            ignored = shutil.ignore_patterns("__pycache__", "*.nbi", "*.nbc")
            shutil.copytree(ROOT / name, self.folder / name, ignore=ignored, dirs_exist_ok=True)
        for name in FILES:
            shutil.copy(ROOT / name, self.folder / name)
        for name in WARM:
            with contextlib.suppress(ImportError):
                __import__(name)

    def passes(self, arguments, limit=None):
        """(Whether the tests pass, CPU seconds that they took); they end at a limit of seconds."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        process = os.fork()
        if not process:
            self._test(arguments, limit)
        _, status = os.waitpid(process, 0)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return os.waitstatus_to_exitcode(status) == 0, spent

    def _test(self, arguments, limit):
        """Run pytest in this process, which ends with it."""
        code = 3
        try:
            with open(os.devnull, "w") as nothing:
                os.dup2(nothing.fileno(), 1)
                os.dup2(nothing.fileno(), 2)
            os.chdir(self.folder)
            for name in [name for name in sys.modules if name.split(".")[0] in COPIED]:
                del sys.modules[name]
            sys.path[:] = [str(self.folder), *(p for p in sys.path if p not in ("", str(ROOT)))]
            if limit is not None:
                seconds = int(limit) + 1
                resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
                # One that sleeps takes no CPU: it ends as well, however busy the machine is.
                signal.alarm(20 * seconds)
            import pytest

            options = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--no-header"]
            code = int(pytest.main([*options, *arguments]))
        finally:
            os._exit(code)

    def judged(self, mutant, arguments, limit):
        """(Whether some test notices a mutant, CPU seconds)."""
        module = self.folder / "skinfluence" / mutant.path
        source = module.read_bytes()
        try:
            module.write_bytes(mutant.applied(source))
            for compiled in module.parent.glob(f"__pycache__/{module.stem}.*"):
                compiled.unlink()
            passed, spent = self.passes(arguments, limit)
        finally:
            module.write_bytes(source)
            for compiled in module.parent.glob(f"__pycache__/{module.stem}.*"):
                compiled.unlink()
        return not passed, spent


class Results:
    """What became of each mutant, a line of a file each, which a later run goes on with."""

    def __init__(self, folder):
        self.path = Path(folder) / "results.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        self.known = {}
        for line in lines:
            with contextlib.suppress(json.JSONDecodeError):  # cut off by the end of a run
                entry = json.loads(line)
                self.known[entry["name"]] = entry

    def add(self, mutant, *, killed, seconds, tests):
        """Keep one more, on the disk at once."""
        entry = {"name": mutant.name, "path": mutant.path, "line": mutant.line}
        entry |= {"kind": mutant.kind, "killed": killed, "seconds": round(seconds, 1)}
        entry |= {"tests": tests, "when": time.strftime("%F %T")}
        self.known[mutant.name] = entry
        with self.path.open("a") as file:
            file.write(json.dumps(entry) + "\n")
