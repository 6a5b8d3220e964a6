"""Coordinates in which a kernel is an inner product, so that a kernel machine is a linear model."""

import numpy as np
from scipy.linalg import solve_triangular
from scipy.linalg.lapack import dpstrf

from skinfluence._parallel import one_thread
from skinfluence.design._dense import DenseDesign

# Pivots below this share of their row's diagonal entry, times n / 16, are left out: they are
# rounding errors of the entries before them. A new row misses the root of what is left out.
NEGLIGIBLE = float(np.finfo(np.float64).eps)
# Pivots below this share are found only to some of their digits: a pickle keeps their coordinates.
WEAK = 1e-11
# A remainder K - Phi Phi' above this share of the largest entry is not rounding: K is indefinite.
INDEFINITE = 1e-8
N_PROBES = 4  # random vectors that estimate the norm of the remainder


class KernelFeatures:
    """Phi (n, r) with Phi Phi' = K, from the Cholesky factor of K with pivots.

    In these coordinates a kernel model is a linear model, and its norm in the kernel's space is the
    Euclidean norm of the coefficients. The features of a new row need its kernel with the r pivot
    rows only. Eigenvectors would give such coordinates at ten times the flops. A Cholesky factor
    without pivots would not exist for most kernel matrices, which are singular to rounding.

    Parameters
    ----------
    K : ndarray of shape (n, n)
        Symmetric, positive semidefinite to rounding.

    Attributes
    ----------
    features : ndarray of shape (n, r)
    pivots : ndarray of int, shape (r,)
        Training rows that span the others.

    Raises
    ------
    ValueError
        If K is not symmetric, or indefinite.
    """

    def __init__(self, K):
        K = np.asarray(K, dtype=np.float64)
        size = np.abs(K).max(initial=0.0)
        if K.ndim != 2 or K.shape[0] != K.shape[1]:
            raise ValueError(f"the kernel matrix of the training rows is not square: {K.shape}.")
        if np.abs(K - K.T).max(initial=0.0) > 1e-10 * size:
            raise ValueError(
                "the kernel matrix of the training rows is not symmetric: "
                f"K and its transpose differ by {np.abs(K - K.T).max():.2g}."
            )
        self._take(*_pivoted_cholesky(K, np.diag(K)))
        self._check(K, size)

    def _take(self, features, pivots):
        """Take features and the rows that span the others: theirs are a triangle."""
        self.features, self.pivots = features, pivots
        self._corner = np.asfortranarray(features[pivots])

    @classmethod
    def of_factor(cls, features, pivots):
        """Return the features that were once found with some pivots."""
        found = cls.__new__(cls)
        found._take(features, pivots)
        return found

    @property
    def tail(self):
        """Coordinates (n, t) whose pivots are next to rounding: another machine finds others."""
        pivots, size = np.diag(self._corner) ** 2, np.square(self._corner).sum(axis=1)
        weak = np.append(np.flatnonzero(pivots <= WEAK * size), len(pivots))
        return self.features[:, weak[0] :]

    @classmethod
    def of_pivots(cls, K, pivots, tail):
        """Return the features of a kernel matrix in the coordinates that some pivots gave once.

        Where pivots nearly tie another machine's rounding may choose others, and coefficients in
        the coordinates of these would be those of another model. The `tail` is what it was.
        """
        found, clear = cls(K), len(pivots) - tail.shape[1]
        features = found.features[:, :clear]
        if not np.array_equal(found.pivots[:clear], pivots[:clear]):
            try:
                corner = np.linalg.cholesky(K[np.ix_(pivots[:clear], pivots[:clear])])
            except np.linalg.LinAlgError as error:
                raise RuntimeError(
                    "the kernel matrix of the training rows is not what it was in fit: the rows "
                    "that spanned the others do not. Fit again."
                ) from error
            features = solve_triangular(corner, K[pivots[:clear]], lower=True).T
            features[pivots[:clear]] = corner
        found._take(np.hstack([features, tail]), pivots)
        found._check(K, np.abs(K).max(initial=0.0))
        return found

    def extended(self, cross, own):
        """Return the features with those of further rows below, in coordinates that hold these.

        The first coordinates are those of the rows at hand; what the further rows have beside the
        span of these is the Cholesky factor of the rest of their kernel.

        Parameters
        ----------
        cross : ndarray of shape (m, r)
            Kernel of the further rows with the pivot rows.
        own : ndarray of shape (m, m)
            Kernel of the further rows among themselves.
        """
        n, r = self.features.shape
        shared = self.map(cross)
        beside, pivots = _pivoted_cholesky(own - shared @ shared.T, np.diag(own))
        features = np.zeros((n + len(own), r + beside.shape[1]))
        features[:n, :r], features[n:, :r], features[n:, r:] = self.features, shared, beside
        return self.of_factor(features, np.concatenate([self.pivots, n + pivots]))

    def _check(self, K, size):
        """Raise if Phi Phi' is not K, tested by products with a few random vectors.

        For Gaussian v the mean of ||(K - Phi Phi') v||^2 is the squared Frobenius norm of the
        remainder. It costs n^2 flops; the remainder itself would cost n^3.
        """
        probes = np.random.default_rng(0).standard_normal((len(K), N_PROBES))
        rest = K @ probes - self.features @ (self.features.T @ probes)
        missing = np.sqrt((rest**2).sum() / N_PROBES)
        # A norm over n^2 entries: its rounding, and above 1,000 rows its tolerance, grows with n.
        if missing > INDEFINITE * size * max(1.0, 1e-3 * len(K)):
            raise ValueError(
                "the kernel matrix is indefinite: it differs from a positive semidefinite one by "
                f"{missing:.2g} in norm (its largest entry is {size:.2g}), so the objective is not "
                "convex. Use another kernel, or other values of its parameters."
            )

    def map(self, kernel):
        """Features (m, r) of rows whose kernel with the pivot rows is `kernel` (m, r)."""
        if not len(self.pivots):
            return np.zeros((len(kernel), 0))
        return solve_triangular(self._corner, kernel.T, lower=True, check_finite=False).T

    def span(self, coef):
        """Weights (b, r) of the pivot rows whose sum of features is the coefficients (b, r)."""
        if not len(self.pivots):
            return np.zeros(coef.shape)
        return solve_triangular(self._corner, coef.T, lower=True, trans=1).T


def _pivoted_cholesky(K, size):
    """Features (n, r) with Phi Phi' = K and their pivots, down to a share of each row's `size`.

    A row that is small beside others, as a polynomial kernel makes them, keeps its own digits.
    """
    largest = size.max(initial=0.0)
    if largest <= 0:
        return np.zeros((len(K), 0)), np.arange(0)
    root = np.sqrt(np.maximum(size, NEGLIGIBLE * largest))  # a row of less is rounding
    scaled = K / root
    scaled /= root[:, None]
    tolerance = NEGLIGIBLE * max(1.0, len(K) / 16)
    with one_thread():  # in the memory of the scaled matrix, which is its own transpose
        factor, order, rank, _ = dpstrf(scaled.T, tol=tolerance, lower=1, overwrite_a=True)
    order = order - 1
    # dpstrf leaves the upper triangle of K in the factor. It is zeroed on the transpose, because
    # the columns of a Fortran-ordered array are contiguous.
    factor = np.triu(factor.T[:rank]).T
    features = np.empty((len(K), rank))
    features[order] = factor
    features *= root[:, None]
    return features, order[:rank]


class FeatureDesign(DenseDesign):
    """Z = [Phi, 1] of kernel features, with the kernel matrix Phi Phi' if it is known.

    Parameters
    ----------
    X : ndarray of shape (n, r)
        Phi.
    fit_intercept : bool
        Whether Z has the column of ones.
    gram : ndarray of shape (n, n) or None
        Phi Phi', if it is known.
    """

    def __init__(self, X, fit_intercept, gram):
        largest = 0.0 if gram is None else float(np.abs(gram.diagonal()).max(initial=0.0))
        super().__init__(X, fit_intercept, largest_kernel=largest)
        self.gram = gram

    def kernel(self, scale):
        """Z diag(scale) Z', from the known matrix if all features have the same scale."""
        features = scale[: self.n_features]
        if self.gram is None or not len(features) or (features != features[0]).any():
            return DenseDesign(self.X, self.fit_intercept).kernel(scale)
        K = features[0] * self.gram
        if self.fit_intercept and scale[-1]:
            K += scale[-1]
        return K

    def row_space(self, scale):
        """The features themselves, of which there are at most as many as rows."""
        root = np.sqrt(scale)[:, None]
        largest = self.largest_kernel * scale.max(initial=0.0)
        return self.X * root.T, lambda D: root * D, lambda c: c / root, float(largest)

    def _columns(self, features, fit_intercept):
        """Return a dense design: the products of some features are not the kernel matrix."""
        return DenseDesign(self.X[:, features], fit_intercept)

    def like(self, X):
        """Return a dense design of other rows, whose kernel matrix is not known."""
        return DenseDesign(X, self.fit_intercept)

    def extended(self, other):
        """Return the design with rows below that may have further features, 0 in its own."""
        missing = other.n_features - self.n_features
        features = np.vstack([np.pad(self.X, ((0, 0), (0, missing))), other.X])
        return FeatureDesign(features, self.fit_intercept, features @ features.T)

    def take(self, rows):
        """Return the design of these rows, with their part of the kernel matrix."""
        where = np.arange(self.shape[0])[rows]
        gram = None if self.gram is None else self.gram[np.ix_(where, where)]
        return FeatureDesign(self.X[rows], self.fit_intercept, gram)
