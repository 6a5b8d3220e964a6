"""Run scikit-learn's tests on our estimators: `python -m tests.drop_in [arguments of pytest]`."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.drop_in import excerpts

ROOT = Path(__file__).parents[2]


def main(arguments):
    """Return the exit status of pytest, in a folder of excerpts."""
    with tempfile.TemporaryDirectory() as folder:
        excerpts.write(Path(folder))
        (Path(folder) / "pytest.ini").write_text("[pytest]\n")
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        plugins = ["-p", "sklearn.conftest", "-p", "tests.drop_in.plugin", "-p", "no:cacheprovider"]
        return subprocess.run(
            [sys.executable, "-m", "pytest", "--import-mode=importlib", *plugins, *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            check=False,
        ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
