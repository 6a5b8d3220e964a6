"""A deletion read at a target, in blocks: the matrix, its sums, its extremes, and scores."""

from skinfluence.attribution._read import (
    TestSide,
    influence_aggregate,
    influence_matrix,
    influence_topk,
    self_influence,
)
from skinfluence.attribution._scoring import score_influence

__all__ = [
    "TestSide",
    "influence_aggregate",
    "influence_matrix",
    "influence_topk",
    "score_influence",
    "self_influence",
]
