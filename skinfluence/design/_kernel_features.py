"""Coordinates in which a kernel is an inner product, so that a kernel machine is a linear model."""

import numpy as np
from scipy.linalg import solve_triangular
from scipy.linalg.lapack import dpstrf

from skinfluence._parallel import one_thread
from skinfluence.design._dense import DenseDesign

# Pivots below this share of the largest are left out: what they would add is rounding.
NEGLIGIBLE = 1e-12
# A remainder above this share of the diagonal is no rounding: the matrix has negative directions.
INDEFINITE = 1e-8
N_PROBES = 4


class KernelFeatures:
    """Phi (n, r) with Phi Phi' = K, from the Cholesky factor of K with pivots.

    In these coordinates the machine in the span of all n rows is linear, its norm is the RKHS norm,
    and everything known of linear models holds. The features of a new row need its kernel with the
    r pivot rows only. Eigenvectors would do as well at ten times the flops; a plain Cholesky factor
    would not: kernel matrices are singular to rounding more often than not.

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
        largest = np.diag(K).max(initial=0.0)
        if K.ndim != 2 or K.shape[0] != K.shape[1]:
            raise ValueError(f"the kernel matrix of the training rows is not square: {K.shape}.")
        if np.abs(K - K.T).max(initial=0.0) > 1e-10 * size:
            raise ValueError(
                "the kernel matrix of the training rows is not symmetric: "
                f"K and its transpose differ by {np.abs(K - K.T).max():.2g}."
            )
        if largest <= 0:
            rank, factor, order = 0, np.zeros_like(K), np.arange(len(K))
        else:
            with one_thread():
                factor, order, rank, _ = dpstrf(K, tol=NEGLIGIBLE * largest, lower=1)
            order = order - 1
        # LAPACK leaves the other triangle as it was; along its columns, which are contiguous.
        factor = np.triu(factor.T[:rank]).T
        features = np.empty((len(K), rank))
        features[order] = factor
        self._take(features, order[:rank])
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

    @classmethod
    def of_pivots(cls, K, pivots):
        """Return the features of a kernel matrix in the coordinates that some pivots gave once.

        Where pivots nearly tie another machine's rounding may choose others, and coefficients in
        the coordinates of these would be those of another model.
        """
        found = cls(K)
        if not np.array_equal(found.pivots, pivots):
            try:
                corner = np.linalg.cholesky(K[np.ix_(pivots, pivots)])
            except np.linalg.LinAlgError as error:
                raise RuntimeError(
                    "the kernel matrix of the training rows is not what it was in fit: the rows "
                    "that spanned the others do not. Fit again."
                ) from error
            features = solve_triangular(corner, K[pivots], lower=True).T
            features[pivots] = corner
            found._take(np.ascontiguousarray(features), pivots)
            found._check(K, np.abs(K).max(initial=0.0))
        return found

    def _check(self, K, size):
        """Raise where the factor does not give K back, by products with a few random vectors.

        ||(K - Phi Phi') v|| is the Frobenius norm of the remainder in the mean over Gaussian v, and
        costs n^2 where the remainder itself costs n^3.
        """
        probes = np.random.default_rng(0).standard_normal((len(K), N_PROBES))
        rest = K @ probes - self.features @ (self.features.T @ probes)
        missing = np.sqrt((rest**2).sum() / N_PROBES)
        if missing > INDEFINITE * size * max(1.0, 1e-3 * len(K)):
            raise ValueError(
                "the kernel matrix is indefinite: what its positive semidefinite part leaves has a "
                f"norm of {missing:.2g} (its largest entry is {size:.2g}). The objective is not "
                "convex; use another kernel, or other parameters of it."
            )

    def map(self, kernel):
        """Features (m, r) of rows whose kernel with the pivot rows is `kernel` (m, r)."""
        if not len(self.pivots):
            return np.zeros((len(kernel), 0))
        return solve_triangular(self._corner, kernel.T, lower=True).T

    def span(self, coef):
        """Weights (b, r) of the pivot rows with which they add up to coefficients (b, r)."""
        return solve_triangular(self._corner, coef.T, lower=True, trans=1).T


class FeatureDesign(DenseDesign):
    """Z = [Phi, 1] of features whose products with each other are the kernel matrix at hand.

    Parameters
    ----------
    X : ndarray of shape (n, r)
        Phi.
    fit_intercept : bool
        Whether Z has the column of ones.
    gram : ndarray of shape (n, n) or None
        Phi Phi', where it is at hand.
    """

    def __init__(self, X, fit_intercept, gram):
        super().__init__(X, fit_intercept)
        self.gram = gram

    def kernel(self, scale):
        """The kernel matrix itself, times the scale that all features share."""
        features = scale[: self.n_features]
        if self.gram is None or not len(features) or (features != features[0]).any():
            return DenseDesign(self.X, self.fit_intercept).kernel(scale)
        K = features[0] * self.gram
        if self.fit_intercept and scale[-1]:
            K += scale[-1]
        return K

    def row_space(self, scale):
        """The features themselves: they are no more than the rows."""
        root = np.sqrt(scale)[:, None]
        return self.X * root.T, lambda D: root * D, lambda c: c / root

    def _columns(self, features, fit_intercept):
        """As a dense one: their products are no Gram matrix any more."""
        return DenseDesign(self.X[:, features], fit_intercept)

    def like(self, X):
        """Return a design of other rows, whose products are not known."""
        return DenseDesign(X, self.fit_intercept)

    def take(self, rows):
        """Some rows, and their part of the kernel matrix."""
        where = np.arange(self.shape[0])[rows]
        gram = None if self.gram is None else self.gram[np.ix_(where, where)]
        return FeatureDesign(self.X[rows], self.fit_intercept, gram)
