"""The objective: a loss, a design, labels, weights and a penalty, bound at a parameter."""

from skinfluence.objective._objective import Objective
from skinfluence.objective._parts import RowSums, curvature_range, parts_of, row_sums

__all__ = ["Objective", "RowSums", "curvature_range", "parts_of", "row_sums"]
