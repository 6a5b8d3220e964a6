"""The interface of designs, and what can be computed from their products."""

from abc import ABC, abstractmethod

import numpy as np

from skinfluence._parallel import row_blocks


class Design(ABC):
    """The matrix Z = [X, 1] of n rows and q columns, never formed.

    Conventions:

    - The intercept, if there is one, is the last column; no other package relies on this.
    - Parameters are theta (K, q), one row for each output; flattened they are ordered output by
      output, so that the Hessian (Kq, Kq) has q x q blocks.
    - `rows` is a slice or an index array. Everything returned is a dense float64 array; float32
      data are stored as float32, and upcast block by block.

    Parameters
    ----------
    X : array or CSR of shape (n, p)
        Validated, finite; kept by reference and never written to.
    fit_intercept : bool
        Whether Z has the column of ones.
    """

    def __init__(self, X, fit_intercept):
        self.X = X
        self.fit_intercept = bool(fit_intercept)
        self.n_features = X.shape[1]
        self.shape = (X.shape[0], X.shape[1] + self.fit_intercept)

    # -- what a subclass implements for its storage ------------------------------------------------

    @abstractmethod
    def _times(self, V, out=None):
        """X @ V for V (p, m), written into `out` if it is given."""

    @abstractmethod
    def _transpose_times(self, U):
        """X.T @ U for U (n, m)."""

    @abstractmethod
    def _gram(self, w):
        """Z' diag(w) Z for one vector of weights of any sign."""

    @abstractmethod
    def dense(self, rows):
        """Rows of Z as a new C-ordered array (b, q)."""

    @abstractmethod
    def contract(self, S, V, rows, out=None):
        """Return sum_k V[i, k] <S[t, k], z_i> for S (m, K, q) and the rows' V (b, K), as (m, b)."""

    @abstractmethod
    def row_quadratic(self, M):
        """z_i' M z_i for every row, (n,), for a symmetric M (q, q)."""

    @abstractmethod
    def row_norms(self, T):
        """||z_i' T||^2 for every row, (n,), for an upper triangular T (q, q)."""

    @abstractmethod
    def kernel(self, scale):
        """Z diag(scale) Z', (n, n)."""

    @abstractmethod
    def row_space(self, scale):
        """Return (Y, lift, lower): X diag(scale)^(1/2) in coordinates of its row space.

        Y is (n, r) with Y Y' = X diag(scale) X', r <= n. `lift(D)` maps coordinates D (r, b) to
        coefficients (p, b) with X lift(D) = Y D; `lower` maps coefficients to coordinates with the
        same predictors. `scale` is (p,).
        """

    @property
    @abstractmethod
    def n_stored(self):
        """Number of stored entries of Z; a product with a vector costs two flops for each."""

    @abstractmethod
    def row_hashes(self, multipliers, rows):
        """sum_j bits(x_ij) m_j modulo 2^64 of rows of X, (b,), for uint64 multipliers (p,)."""

    # -- what follows from these -------------------------------------------------------------------

    def __matmul__(self, V):
        """Z @ V for V (q,) or (q, m)."""
        V = np.asarray(V, dtype=np.float64)
        if V.ndim == 1:
            return (self @ V[:, None])[:, 0]
        return self.matmul(V)

    def matmul(self, V, out=None):
        """Z @ V for V (q, m), written into `out` if given: new memory costs more than the flops."""
        product = self._times(V[: self.n_features], out)
        if self.fit_intercept:
            product += V[-1]
        return product

    def transpose_matmul(self, U):
        """Z.T @ U for U (n,) or (n, m)."""
        U = np.asarray(U, dtype=np.float64)
        if U.ndim == 1:
            return self.transpose_matmul(U[:, None])[:, 0]
        product = self._transpose_times(U)
        if self.fit_intercept:
            product = np.vstack([product, U.sum(axis=0)])
        return product

    def predictors_of(self, parameters, out=None):
        """Predictors (K, n, b) of b parameters or steps (b, K, q), into `out` where given.

        The parameters are side by side in the last axis: one GEMM an output for all of them.
        """
        b, K = parameters.shape[:2]
        eta = np.empty((K, self.shape[0], b)) if out is None else out
        for k in range(K):
            self.matmul(parameters[:, k].T, out=eta[k])
        return eta

    def gradients_of(self, slopes):
        """sum_i slope_i (x) z_i, (b, K, q), for b sets of slopes of the rows (K, n, b).

        The transpose of `predictors_of`.
        """
        return np.stack([self.transpose_matmul(slope).T for slope in slopes], axis=1)

    def absolute_sum(self, u):
        """sum_i |u_i z_ij| for every column j and output k: (K, q) for u (n, K)."""
        magnitude = type(self)(abs(self.X), self.fit_intercept)
        return magnitude.transpose_matmul(np.abs(u)).T

    def sandwich(self, W):
        """sum_i W_i (x) z_i z_i' for W (n, K, K): the symmetric (Kq, Kq) matrix of q x q blocks."""
        return self.sandwich_of([(slice(None), W)], W.shape[1])

    def sandwich_of(self, parts, n_outputs):
        """Sandwich of some rows, from an iterable of (rows, their W (b, K, K))."""
        K, q = n_outputs, self.shape[1]
        H = np.zeros((K, q, K, q))
        for rows, W in parts:
            some = self._some(rows)
            for k in range(K):
                for m in range(k, K):
                    H[k, :, m] += some._gram(W[:, k, m])
        for k in range(K):
            for m in range(k):
                H[k, :, m] = H[m, :, k]
        return H.reshape(K * q, K * q)

    def block_quadratic(self, M, n_outputs):
        """(I (x) z_i)' M (I (x) z_i), (n, K, K), for a symmetric M (Kq, Kq)."""
        K, q = n_outputs, self.shape[1]
        A = np.empty((self.shape[0], K, K))
        for k in range(K):
            for m in range(k, K):
                block = M[k * q : (k + 1) * q, m * q : (m + 1) * q]
                # An off-diagonal block is not symmetric; its quadratic form is that of the mean of
                # the block and its transpose.
                A[:, k, m] = A[:, m, k] = self.row_quadratic(0.5 * (block + block.T))
        return A

    def outer(self, V, rows):
        """v_i (x) z_i as rows (b, K q), for V (b, K) of these rows."""
        Z = self.dense(rows)
        return (V[:, :, None] * Z[:, None, :]).reshape(len(Z), -1)

    def squared_columns(self, w):
        """Return sum_i w_ik z_ij^2, (K, q), w (n, K): a sandwich's diagonal, w that of its W."""
        squares = type(self)(self.X.astype(np.float64, copy=False) ** 2, self.fit_intercept)
        return squares.transpose_matmul(w).T

    def blocks(self, n_columns=1):
        """Slices of rows such that `n_columns` dense float64 copies of them fit working_memory."""
        return row_blocks(self.shape[0], 8 * self.shape[1] * n_columns)

    @abstractmethod
    def take(self, rows):
        """Return the design of these rows only."""

    def _some(self, rows):
        """Return the design of these rows: itself, and no copy, where they are all."""
        everything = isinstance(rows, slice) and rows == slice(None)
        return self if everything else self.take(rows)

    def like(self, X):
        """Return the design of other rows with the same columns."""
        return type(self)(X, self.fit_intercept)

    def restricted(self, columns):
        """Return the design of some columns of Z only, an ascending index array."""
        intercept = self.fit_intercept and len(columns) > 0 and columns[-1] == self.n_features
        features = columns[columns < self.n_features]
        return self._columns(features, bool(intercept))

    def _columns(self, features, fit_intercept):
        """Return the design of some columns of X, with or without an intercept."""
        return type(self)(self.X[:, features], fit_intercept)

    # -- the intercept -----------------------------------------------------------------------------

    @property
    def intercept_first(self):
        """Positions (q,) of the columns in the order of printed tables, the intercept first."""
        columns = np.arange(self.shape[1])
        return np.roll(columns, 1) if self.fit_intercept else columns

    def column_names(self, features):
        """Names of the columns, of those of the features; the intercept's is "const"."""
        return [*features, "const"] if self.fit_intercept else list(features)

    def free_intercepts(self, hessian_diagonal):
        """Whether each output has an intercept without penalty, for a penalty's (q,) or (K, q)."""
        free = np.atleast_2d(hessian_diagonal)[:, -1] == 0
        return free & self.fit_intercept

    def join(self, features, intercept):
        """One array (K, q) of numbers of the features (K, p) or (p,) and of the intercept."""
        return self.pack(features, intercept)

    def pack(self, coef, intercept):
        """theta (K, q) of coef (K, p) or (p,) and intercept (K,) or a number."""
        coef = np.atleast_2d(np.asarray(coef, dtype=np.float64))
        if not self.fit_intercept:
            return coef.copy()
        intercept = np.broadcast_to(np.asarray(intercept, dtype=np.float64), (len(coef),))
        return np.hstack([coef, intercept[:, None]])

    def unpack(self, theta):
        """Coef (..., p) and intercept (...) of theta (..., q)."""
        if self.fit_intercept:
            return theta[..., :-1].copy(), theta[..., -1].copy()
        return theta.copy(), np.zeros(theta.shape[:-1])

    def column_name(self, column):
        """Return the name of a column in messages."""
        if self.fit_intercept and column == self.n_features:
            return "the intercept"
        return f"column {column}"
