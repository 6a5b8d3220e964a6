"""Covariances of the parameters and intervals of predictions, from the steps of deletions."""

from skinfluence.uncertainty._covariance import (
    KINDS,
    ParameterCovariance,
    covariance,
    degrees_of_freedom,
    dispersion_of,
)
from skinfluence.uncertainty._intervals import INTERVALS, jackknife_interval

__all__ = [
    "INTERVALS",
    "KINDS",
    "ParameterCovariance",
    "covariance",
    "degrees_of_freedom",
    "dispersion_of",
    "jackknife_interval",
]
