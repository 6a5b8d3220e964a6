"""Types that the annotations of the public face have names for."""

from typing import TypeAlias

from numpy.typing import ArrayLike
from scipy.sparse import sparray, spmatrix

# Rows of features. Data frames are array-like: they know how to become an array.
MatrixLike: TypeAlias = ArrayLike | sparray | spmatrix
