"""Links: how linear predictors are turned into predictions, and nothing else.

A loss names its own (``loss.link``); targets, scorers and estimators read it. A new model gives its
predictions by a subclass of :class:`BinaryLink` or :class:`RegressionLink` with two methods,
``inverse`` and ``inverse_slope``.
"""

from skinfluence.link._base import Link
from skinfluence.link._binary import BinaryLink, DecisionLink, LogitLink
from skinfluence.link._deviance import DevianceExplained
from skinfluence.link._elementwise import (
    cross_entropy,
    label_index,
    sigmoid,
    softmax,
    softmax_jacobian,
    softplus,
)
from skinfluence.link._known_rows import KnownRows
from skinfluence.link._multiclass import MulticlassLink, OneVsRestLink, SoftmaxLink
from skinfluence.link._one_vs_one import OneVsOneLink
from skinfluence.link._predictions import PrecomputedClassifier, PrecomputedRegressor
from skinfluence.link._regression import IdentityLink, LocationScaleLink, LogLink, RegressionLink
from skinfluence.link._transformed import TransformedLink

__all__ = [
    "BinaryLink",
    "DecisionLink",
    "DevianceExplained",
    "IdentityLink",
    "KnownRows",
    "Link",
    "LocationScaleLink",
    "LogLink",
    "LogitLink",
    "MulticlassLink",
    "OneVsOneLink",
    "OneVsRestLink",
    "PrecomputedClassifier",
    "PrecomputedRegressor",
    "RegressionLink",
    "SoftmaxLink",
    "TransformedLink",
    "cross_entropy",
    "label_index",
    "sigmoid",
    "softmax",
    "softmax_jacobian",
    "softplus",
]
