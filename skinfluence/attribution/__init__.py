"""A deletion read at a target, in blocks: the matrix, its sums, its extremes, and scores."""

from skinfluence.attribution._candidates import refined_topk
from skinfluence.attribution._mirrored import MirroredQuery
from skinfluence.attribution._read import (
    Extremes,
    Query,
    check_matrix,
    influence,
    influence_aggregate,
    influence_matrix,
    influence_topk,
    self_influence,
)
from skinfluence.attribution._scoring import rows_to_score, score_influence, score_of

__all__ = [
    "Extremes",
    "MirroredQuery",
    "Query",
    "check_matrix",
    "influence",
    "influence_aggregate",
    "influence_matrix",
    "influence_topk",
    "refined_topk",
    "rows_to_score",
    "score_influence",
    "score_of",
    "self_influence",
]
