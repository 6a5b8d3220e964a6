"""Kernels by name, as in scikit-learn's SVC, and the coordinates of a kernel's space."""

import numbers
from copy import copy

import numpy as np
from scipy.sparse import csr_matrix, issparse, vstack
from sklearn.metrics.pairwise import euclidean_distances, pairwise_kernels
from sklearn.utils.extmath import row_norms

from skinfluence._memory import check_memory
from skinfluence._parallel import row_blocks
from skinfluence._validation import shown
from skinfluence.design._kernel_features import FeatureDesign, KernelFeatures
from skinfluence.design._origin import centred, far_origin

KERNELS = ("linear", "rbf", "poly", "sigmoid", "precomputed")
OF_DISTANCES = ("rbf", "laplacian")
# Rounding of a squared distance that is a difference, as a share of the rows' squared norms; that
# of an exponent from which the distance is a sum; and an exponent beyond which a kernel is 0.
ROUNDING, LOST, UNDERFLOW = 8 * np.finfo(float).eps, 1e-12, 800.0
# Kernels whose matrices are positive semidefinite whatever the rows and the parameters, and have no
# negative entries.
PROVEN_KERNELS = ("rbf",)


def resolved_gamma(gamma, X, weight):
    """Return the value of `gamma` for these rows, "scale" with the weighted variance of X."""
    if isinstance(gamma, str):
        if gamma == "auto":
            return 1.0 / X.shape[1]
        if gamma == "scale":
            variance = _entry_variance(X, weight)
            return 1.0 / (X.shape[1] * variance) if variance > 0 else 1.0
        raise ValueError(
            f"gamma should be 'scale', 'auto' or a number; got {shown(gamma)} instead."
        )
    if not isinstance(gamma, numbers.Real) or isinstance(gamma, bool):
        raise TypeError(f"gamma should be 'scale', 'auto' or a number; got {shown(gamma)} instead.")
    if not 0 <= gamma < np.inf:
        raise ValueError(f"gamma should be a finite number of at least 0; got {shown(gamma)}.")
    return float(gamma)


def kernel_matrix(kernel, X, Y, *, gamma, degree, coef0):
    """Kernel between the rows of X and of Y, (len(X), len(Y)), float64."""
    if callable(kernel):
        K = np.asarray(kernel(X, Y), dtype=np.float64)
        if K.shape != (X.shape[0], Y.shape[0]):
            raise ValueError(
                f"kernel(X, Y) should return shape {(X.shape[0], Y.shape[0])}; got {K.shape}."
            )
        return K
    return named_kernel(X, Y, kernel, gamma=gamma, degree=degree, coef0=coef0)


def named_kernel(X, Y, metric, **options):
    """Kernel by a name of `pairwise_kernels` between the rows of X and of Y, float64.

    One of distances is the same about any origin, and exact about one among the rows: squared
    distances are computed as |x|^2 + |y|^2 - 2 x'y, which cancels where columns are far from zero.
    Where rows are still far larger than the kernel is wide, those of near rows are sums of squares.
    """
    X, Y = _float64(X), _float64(Y)
    origin = far_origin(Y, None) if metric in OF_DISTANCES else None
    if origin is not None:
        X, Y = centred(X, origin), centred(Y, origin)
    gamma = options.get("gamma")
    gamma = 1.0 / X.shape[1] if gamma is None else gamma
    if metric == "rbf":
        with np.errstate(over="ignore"):
            lost = [ROUNDING * gamma * row_norms(rows, squared=True) for rows in (X, Y)]
        if sum(part.max(initial=0.0) for part in lost) > LOST:
            return _rbf_of_far_rows(X, Y, gamma, np.add.outer(*lost))
    return pairwise_kernels(X, Y, metric=metric, filter_params=True, **options)


def _rbf_of_far_rows(X, Y, gamma, lost):
    """Rbf kernel, where exponents from differences are off by up to `lost` (n, m)."""
    with np.errstate(over="ignore", invalid="ignore"):
        exponent = gamma * euclidean_distances(X, Y, squared=True)
    first, second = np.nonzero((lost > LOST) & ~(exponent > UNDERFLOW + lost))
    for part in row_blocks(len(first), 8 * X.shape[1]):
        i, j = first[part], second[part]
        rest = X[i] - Y[j]
        with np.errstate(over="ignore"):
            squares = rest.multiply(rest) if issparse(rest) else rest * rest
            exponent[i, j] = gamma * np.asarray(squares.sum(axis=1)).ravel()
    return np.exp(-exponent)


class KernelSpace:
    """The space of a kernel, in coordinates Phi of the training rows with Phi Phi' = K.

    Parameters
    ----------
    X : ndarray or CSR of shape (n, p)
        Training rows, copied; their kernel matrix for kernel="precomputed".
    kernel : str or callable
    gamma : float or None
        A number, see `resolved_gamma`.
    degree, coef0 : float
        Parameters of the kernels that have them.

    Attributes
    ----------
    features : KernelFeatures
    matrix : ndarray of shape (n, n)
        K.
    n_rows : int

    Raises
    ------
    ValueError
        If K is not symmetric, or indefinite.

    Notes
    -----
    A pickle has the training rows, the pivots and the coordinates that are next to rounding; the
    kernel matrix and the features, (n, n) each, are computed anew when they are first asked for. Of
    a precomputed kernel it has the features.
    """

    def __init__(self, X, kernel, *, gamma=None, degree=3, coef0=0.0):
        self.kernel = kernel
        self.options = {"gamma": gamma, "degree": degree, "coef0": coef0}
        precomputed = kernel == "precomputed"
        check_memory(
            8 * 3 * X.shape[0] ** 2,
            f"the kernel matrix of {X.shape[0]} rows and its factor",
            "fit fewer rows, or a linear model on the features of "
            "sklearn.kernel_approximation.Nystroem",
        )
        # A copy: predictions need these rows, and a later change of X could not be noticed.
        self.rows = None if precomputed else X.copy()
        self.n_rows = X.shape[0]
        matrix = X if precomputed else kernel_matrix(kernel, X, X, **self.options)
        self._matrix, self._features, self._pivots = matrix, None, None
        self._factor, self._tail = None, None
        if kernel not in PROVEN_KERNELS:
            self._compute_features()  # raises where K is indefinite

    def _compute_features(self):
        """Features of the kernel matrix: of a fit, or those of a pickle anew."""
        if self._factor is not None:
            self._features = KernelFeatures.of_factor(self._factor, self._pivots)
        elif self._pivots is not None:
            self._features = KernelFeatures.of_pivots(self.matrix, self._pivots, self._tail)
        else:
            self._features = KernelFeatures(self.matrix)
        self._pivots = self._features.pivots
        return self._features

    @property
    def matrix(self):
        """K, (n, n)."""
        if self._matrix is None and self.rows is None:
            self._matrix = self._factor @ self._factor.T
        elif self._matrix is None:
            self._matrix = kernel_matrix(self.kernel, self.rows, self.rows, **self.options)
        return self._matrix

    @property
    def features(self):
        """Coordinates of the training rows, computed when they are first asked for."""
        return self._compute_features() if self._features is None else self._features

    def with_training_rows(self, X):
        """Kernel of rows with the training rows, (len(X), n)."""
        return X if self.rows is None else kernel_matrix(self.kernel, X, self.rows, **self.options)

    def map(self, X):
        """Features of any rows, (len(X), r)."""
        if self.rows is None:
            return self.features.map(X[:, self.features.pivots])
        pivot_rows = self.rows[self.features.pivots]
        return self.features.map(kernel_matrix(self.kernel, X, pivot_rows, **self.options))

    def extended(self, X):
        """Return the space of these rows and of further ones, whose coordinates come last.

        Parameters
        ----------
        X : ndarray or CSR of shape (m, p)

        Raises
        ------
        NotImplementedError
            For kernel="precomputed", which says nothing of other rows.
        """
        if self.rows is None:
            raise NotImplementedError(
                "rows cannot be added or moved under kernel='precomputed': their kernel with each "
                "other is not known. Fit with a kernel by name, or a callable."
            )
        if issparse(X) != issparse(self.rows):
            X = X.toarray() if issparse(X) else csr_matrix(X)
        pivots = self.rows[self.features.pivots]
        cross = kernel_matrix(self.kernel, X, pivots, **self.options)
        own = kernel_matrix(self.kernel, X, X, **self.options)
        features = self.features.extended(cross, own)
        found = copy(self)
        found.rows = np.vstack([self.rows, X]) if not issparse(X) else self._stacked(X)
        found.n_rows = self.n_rows + X.shape[0]
        found._matrix, found._features = features.features @ features.features.T, features
        found._pivots = features.pivots
        return found

    def taken(self, rows):
        """Return the space of some of the rows, in coordinates of their own.

        Parameters
        ----------
        rows : ndarray of int
        """
        matrix = np.ascontiguousarray(self.matrix[np.ix_(rows, rows)])
        found = copy(self)
        found.rows = None if self.rows is None else self.rows[rows]
        features = KernelFeatures(matrix)
        found.n_rows, found._matrix, found._features = len(rows), matrix, features
        found._pivots, found._factor = features.pivots, None
        return found

    def _stacked(self, X):
        """Sparse rows with others below."""
        return vstack([self.rows, X], format="csr")

    def design(self, fit_intercept):
        """Return the design of the training rows."""
        return FeatureDesign(self.features.features, fit_intercept, self.matrix)

    def __getstate__(self):
        """State without what is as large as the kernel matrix and follows from the rows."""
        factor = self.features.features if self.rows is None else None
        tail = self._tail if self._features is None else self._features.tail.copy()
        known = {"_matrix": None, "_features": None, "_factor": factor, "_tail": tail}
        return {**self.__dict__, **known}


def _entry_variance(X, weight):
    """Variance of all entries of a matrix, zeros included, with rows weighted by `weight`."""
    share = weight / (weight.sum() * X.shape[1])
    if issparse(X):
        mean = float((X.T @ share).sum())
        return float((X.multiply(X).T @ share).sum()) - mean**2
    mean = float((share @ X).sum())
    return float((share @ (X - mean) ** 2).sum())


def _float64(X):
    """Upcast to float64: kernels in float32 are positive semidefinite only to 1e-6."""
    return X.astype(np.float64, copy=False)
