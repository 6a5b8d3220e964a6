"""The objective: a loss, a design, labels, weights and a penalty, bound at a parameter."""

from skinfluence.objective._objective import Objective

__all__ = ["Objective"]
