"""Pointwise losses of a label and a linear predictor; they know no X, no weight, no penalty."""

from skinfluence.losses._base import Loss
from skinfluence.losses._logistic import BinaryLogLoss, MultinomialLogLoss

__all__ = ["BinaryLogLoss", "Loss", "MultinomialLogLoss"]
