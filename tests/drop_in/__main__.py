"""Run scikit-learn's tests on our estimators: `python -m tests.drop_in [arguments of pytest]`.

With --page, print the list of differences instead, as doc/how_we_differ.rst has it.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.drop_in import excerpts
from tests.drop_in.page import page

ROOT = Path(__file__).parents[2]


def main(arguments):
    """Return the exit status of pytest, in a folder of excerpts."""
    if arguments == ["--page"]:
        print(page(), end="")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        excerpts.write(Path(folder))
        (Path(folder) / "pytest.ini").write_text("[pytest]\n")
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        plugins = ["-p", "sklearn.conftest", "-p", "tests.drop_in.plugin", "-p", "no:cacheprovider"]
        plugins.append("--disable-warnings")  # what scikit-learn's tests are told is theirs
        return subprocess.run(
            [sys.executable, "-m", "pytest", "--import-mode=importlib", *plugins, *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            check=False,
        ).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
