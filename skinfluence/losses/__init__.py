"""Pointwise losses of a label and a linear predictor, without X, weights or penalty."""

from skinfluence.losses._array_api import ArrayLogLoss, ArraySoftmaxLoss, ArraySquaredLoss
from skinfluence.losses._base import Loss
from skinfluence.losses._hinge import HingeLoss
from skinfluence.losses._huber import HuberLoss
from skinfluence.losses._logistic import BinaryLogLoss, MultinomialLogLoss
from skinfluence.losses._one_vs_one import OneVsOneLoss
from skinfluence.losses._one_vs_rest import OneVsRestLoss
from skinfluence.losses._signed import SignedBinaryLoss
from skinfluence.losses._smooth_epsilon import SmoothEpsilonInsensitiveLoss
from skinfluence.losses._smooth_hinge import SmoothHingeLoss
from skinfluence.losses._smooth_pinball import SmoothPinballLoss
from skinfluence.losses._squared import SquaredLoss, spread
from skinfluence.losses._squared_epsilon import SquaredEpsilonInsensitiveLoss
from skinfluence.losses._squared_hinge import SquaredHingeLoss
from skinfluence.losses._squared_label import SquaredLabelLoss
from skinfluence.losses._tweedie import TweedieLoss

__all__ = [
    "ArrayLogLoss",
    "ArraySoftmaxLoss",
    "ArraySquaredLoss",
    "BinaryLogLoss",
    "HingeLoss",
    "HuberLoss",
    "Loss",
    "MultinomialLogLoss",
    "OneVsOneLoss",
    "OneVsRestLoss",
    "SignedBinaryLoss",
    "SmoothEpsilonInsensitiveLoss",
    "SmoothHingeLoss",
    "SmoothPinballLoss",
    "SquaredEpsilonInsensitiveLoss",
    "SquaredHingeLoss",
    "SquaredLabelLoss",
    "SquaredLoss",
    "TweedieLoss",
    "spread",
]
