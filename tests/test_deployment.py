"""Where the library is run: read-only installations, users without a home, full disks."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

import skinfluence

ROOT = Path(skinfluence.__file__).parent

# Sparse rows, coordinate descent, and of the path of a hinge what is compiled soonest: a function
# that calls another.
WORK = """
import numpy as np, scipy.sparse as sp
import skinfluence

def answers():
    X = np.random.default_rng(0).normal(size=(40, 3))
    y = X[:, 0] + np.random.default_rng(1).normal(size=40)
    sparse = skinfluence.InfluenceLogisticRegression().fit(sp.csr_array(X), y > 0)
    lasso = skinfluence.InfluenceLasso(alpha=0.01).fit(X, y)
    from skinfluence._kernels import drop
    inverse = np.linalg.inv(X.T @ X)
    inverse = np.pad(inverse, (0, 37))
    drop(1, np.full(40, 1), np.arange(40), 3, inverse, 0)
    return np.stack([sparse.self_influence(), lasso.self_influence(), inverse.ravel()[:40]])
"""


def run(code, **environment):
    """What a fresh process prints, as an array."""
    kept = {name: value for name, value in os.environ.items() if name.endswith("_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
        env={"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT.parent), **kept, **environment},
    )
    assert done.returncode == 0, done.stderr
    return np.array(done.stdout.split(), dtype=float).reshape(3, -1)


@pytest.fixture(scope="module")
def expected():
    namespace = {}
    exec(WORK, namespace)
    return namespace["answers"]()


@pytest.mark.skipif(getattr(os, "getuid", lambda: 1)() != 0, reason="only root can be another user")
def test_a_user_without_a_home_and_a_read_only_installation(expected):
    # The interpreter may lie where that user cannot read: what else there is gets imported before.
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        ignore = shutil.ignore_patterns("__pycache__")
        copy = shutil.copytree(ROOT, Path(place) / "skinfluence", ignore=ignore)
        for path in [copy, *copy.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        drop = f"""
import os, sys
answers()
for name in [name for name in sys.modules if name.split(".")[0] == "skinfluence"]:
    del sys.modules[name]
os.setgroups([]), os.setgid(65534), os.setuid(65534)
sys.path.insert(0, {place!r})
"""
        check = f"""
assert skinfluence.__file__.startswith({place!r}) and os.getuid() == 65534
try:
    open(skinfluence.__file__, "a")
except PermissionError:
    print(*answers().ravel())
"""
        found = run(WORK + drop + WORK + check)
        assert not list(copy.rglob("__pycache__"))
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.skipif(os.name != "posix", reason="limits of files are POSIX's")
def test_a_full_disk_is_no_reason_not_to_compute(expected, tmp_path):
    # A limit of 0 bytes a file: directories and empty files can be made, as on a full disk.
    full = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
print(*answers().ravel())
"""
    found = run(WORK + full, NUMBA_CACHE_DIR=str(tmp_path))
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert list(tmp_path.iterdir())
    assert not any(path.stat().st_size for path in written)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_unreadable_machine_code_is_compiled_anew(monkeypatch):
    from numba.core.caching import FunctionCache

    from skinfluence._kernels._compiled import compiled

    def unreadable(*_):
        raise PermissionError("no")

    monkeypatch.setattr(FunctionCache, "load_overload", unreadable)
    monkeypatch.setattr(FunctionCache, "save_overload", unreadable)

    @compiled
    def twice(x):
        return 2 * x

    assert twice(3) == 6
