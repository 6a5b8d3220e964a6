"""Arrays of other libraries than NumPy, computed on where they lie: the array API standard."""

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

import numpy as np
import scipy
from sklearn import get_config

# array-api-compat gives PyTorch and CuPy the functions of the standard under its names. Without
# SciPy 1.14 scikit-learn refuses to dispatch, and the tags of the models say so.
HAS_ARRAY_API = find_spec("array_api_compat") is not None
HAS_ARRAY_API &= tuple(int(part) for part in scipy.__version__.split(".")[:2]) >= (1, 14)

# Libraries whose arrays scikit-learn dispatches on, by the package of their class.
LIBRARIES = ("torch", "cupy", "array_api_strict")


def _package(values):
    """Name of the package of a class."""
    return type(values).__module__.partition(".")[0]


def array_library(X):
    """Return the ArrayLibrary of an array that is to be computed on where it lies.

    None for arrays of NumPy, for everything that is no array, and without scikit-learn's
    ``array_api_dispatch``.

    Raises
    ------
    ImportError
        Without array-api-compat.
    """
    if isinstance(X, np.ndarray) or not get_config().get("array_api_dispatch", False):
        return None
    if _package(X) not in LIBRARIES:
        return None
    if not HAS_ARRAY_API:
        raise ImportError(
            f"X is an array of {type(X).__module__}, and computing on it needs array-api-compat "
            "and SciPy 1.14 or newer: pip install 'skinfluence[array-api]' 'scipy>=1.14'."
        )
    from array_api_compat import array_namespace, device

    return ArrayLibrary(array_namespace(X), device(X), X.dtype)


def as_numpy(values):
    """Return the values as an array of NumPy, from whatever device they lie on."""
    if isinstance(values, np.ndarray):
        return values
    library = _package(values)
    if library == "torch":
        return values.detach().cpu().numpy()
    if library == "cupy":
        return values.get()
    if library == "array_api_strict":
        values = values.to_device(type(values.device)("CPU_DEVICE"))
    return np.asarray(values)


@dataclass(frozen=True)
class ArrayLibrary:
    """A library of arrays, a device, and the floating type that data have there.

    Attributes
    ----------
    xp : module
        The functions of the array API standard.
    device : object
    dtype : object
        float32 or float64: of the data, and of what is returned. Sums, factors and solves are
        float64.
    """

    xp: object
    device: object
    dtype: object

    def __getstate__(self):
        """The module by its name."""
        return {**vars(self), "xp": self.xp.__name__}

    def __setstate__(self, state):
        vars(self).update(state, xp=import_module(state["xp"]))

    @property
    def name(self):
        """The library and the device in words."""
        return f"{self._package} on {self.device}"

    @property
    def _package(self):
        return self.xp.__name__.rpartition("array_api_compat.")[2]

    def owns(self, values):
        """Whether values are an array of the library, on whatever device."""
        return _package(values) == self._package

    def exact(self, values):
        """Return values, of this library or another, as float64 on the device."""
        xp = self.xp
        if not self.owns(values):
            values = np.asarray(as_numpy(values), dtype=np.float64)
        return xp.astype(xp.asarray(values, device=self.device), xp.float64, copy=False)

    def native(self, values):
        """Return values in the type of the data."""
        return self.xp.astype(values, self.dtype, copy=False)

    def positions(self, index):
        """Return integers of NumPy as an index on the device."""
        return self.xp.asarray(np.asarray(index, dtype=np.int64), device=self.device)

    def zeros(self, *shape, exact=True):
        """Return zeros, in float64 or in the type of the data."""
        dtype = self.xp.float64 if exact else self.dtype
        return self.xp.zeros(shape, dtype=dtype, device=self.device)

    def empty(self, *shape):
        """Return an array to be filled, in the type of the data."""
        return self.xp.empty(shape, dtype=self.dtype, device=self.device)

    def writer(self, out):
        """Return write(function, *arguments), which computes into an array; of None a new one.

        PyTorch and CuPy do without a copy.
        """

        def write(function, *arguments):
            """Compute, and return where it is."""
            if out is None:
                return function(*arguments)
            if self._package in ("torch", "cupy"):
                return function(*arguments, out=out)
            out[...] = function(*arguments)
            return out

        return write

    def inverse_root(self, H):
        """Return L^-1 for H = L L', so that H^-1 is its Gram matrix; None unless H is positive."""
        xp = self.xp
        try:
            lower = xp.linalg.cholesky(H)
        except Exception as error:  # each library raises its own class
            if "linalg" not in f"{type(error).__module__}.{type(error).__name__}".lower():
                raise
            return None
        if not bool(xp.all(xp.isfinite(lower))):  # CuPy gives NaN instead of an error
            return None
        # The standard has no triangular solve; elimination does not disturb a triangle.
        identity = xp.eye(H.shape[0], dtype=H.dtype, device=self.device)
        return xp.linalg.solve(lower, identity)

    def solve_blocks(self, A, B):
        """Solve A_i x_i = b_i for stacks A (n, K, K) and B (n, K)."""
        if A.shape[1] == 1:
            return B / A[:, :, 0]
        return self.xp.linalg.solve(A, B[:, :, None])[:, :, 0]

    def largest(self, values, k):
        """Return the k largest entries of each row of (m, n), falling, and their columns."""
        xp = self.xp
        if hasattr(xp, "topk"):
            return tuple(xp.topk(values, k, dim=1))
        order = xp.argsort(values, axis=1, descending=True)[:, :k]
        return xp.take_along_axis(values, order, axis=1), order
