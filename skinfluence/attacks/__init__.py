"""Audits of one's own models: how little of the data, or of an input, turns a prediction.

An attack that is found here is a bound from one side: what a few rows or a small change can do.
That none is found proves nothing; of a linear model the smallest change of an input is exact.
"""

from skinfluence.attacks._inputs import (
    AdversarialPerturbation,
    InputCurvature,
    adversarial_perturbation,
    input_curvature,
)
from skinfluence.attacks._poisoning import Poisoning, PoisoningAttack

__all__ = [
    "AdversarialPerturbation",
    "InputCurvature",
    "Poisoning",
    "PoisoningAttack",
    "adversarial_perturbation",
    "input_curvature",
]
