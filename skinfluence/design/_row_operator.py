"""The kernel of sparse rows as an operator: products with blocks of right-hand sides."""

import numpy as np
from scipy.sparse import csc_array


class RowOperator:
    """A A' of a sparse A (n, p), never formed, for blocks of right-hand sides.

    A product A (A'V) by two sparse products writes and reads A'V, which is as large as the right-
    hand sides of H. Here a column of A is read, applied and forgotten: only V and the result, of n
    rows, go through memory. float32 blocks take half of the time. A column with one entry, as most
    words of a text have, adds to the diagonal of A A' only.

    Parameters
    ----------
    A : sparse array of shape (n, p)
    diagonal : ndarray of shape (n,), optional
        What the columns with one entry add, if A has none of them; found from A by default.
    """

    def __init__(self, A, diagonal=None):
        A = csc_array(A)
        if diagonal is None:
            alone = np.diff(A.indptr) == 1
            single = A[:, alone]
            diagonal = np.bincount(single.indices, weights=single.data**2, minlength=A.shape[0])
            A = A[:, ~alone]
        self.indices, self.indptr, self.shape = A.indices, A.indptr, A.shape
        double = A.data.astype(np.float64, copy=False), diagonal[:, None]
        single = tuple(part.astype(np.float32) for part in double)
        self._parts = {part[0].dtype: part for part in (double, single)}

    def with_rows_scaled(self, left):
        """Return the operator of diag(left) A."""
        values, diagonal = self._parts[np.dtype(np.float64)]
        A = csc_array((values * left[self.indices], self.indices, self.indptr), shape=self.shape)
        return RowOperator(A, diagonal[:, 0] * left**2)

    def add_product(self, V, out):
        """Add A (A'V) to `out`, in place, for C-ordered V and out (n, m) of the same dtype."""
        from skinfluence._kernels import add_kernel_product

        values, diagonal = self._parts[V.dtype]
        out += diagonal * V
        add_kernel_product(values, self.indices, self.indptr, V, out)
