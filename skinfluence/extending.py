"""What extensions import: losses, links, targets and adapters of your own.

These names are stable, wherever the code behind them lives; modules whose names begin with an
underscore may change at any time. The guide in CONTRIBUTING.md goes through a loss with its link, a
target, and an adapter for an estimator, from end to end.
"""

from skinfluence._validation import (
    as_responses,
    check_sample_weight,
    encode_labels,
    label_encoder,
)
from skinfluence.adapters import Adapted, TrainingData, register
from skinfluence.base import InfluenceMixin
from skinfluence.deletion.targets import Target, register_target
from skinfluence.design import Design, make_design
from skinfluence.link import BinaryLink, DecisionLink, Link, MulticlassLink, RegressionLink
from skinfluence.losses import Loss, SignedBinaryLoss
from skinfluence.objective import Objective
from skinfluence.penalties import L2
from skinfluence.problem import FittedProblem, OptimumRecord, fitted_problem

__all__ = [
    "L2",
    "Adapted",
    "BinaryLink",
    "DecisionLink",
    "Design",
    "FittedProblem",
    "InfluenceMixin",
    "Link",
    "Loss",
    "MulticlassLink",
    "Objective",
    "OptimumRecord",
    "RegressionLink",
    "SignedBinaryLoss",
    "Target",
    "TrainingData",
    "as_responses",
    "check_sample_weight",
    "encode_labels",
    "fitted_problem",
    "label_encoder",
    "make_design",
    "register",
    "register_target",
]
