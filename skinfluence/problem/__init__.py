"""The fitted problem: a model as an objective at its optimum, with all that is asked of it."""

from skinfluence.problem._fingerprint import Fingerprint
from skinfluence.problem._problem import FittedProblem, fitted_problem
from skinfluence.problem._record import OptimumRecord, prediction_difference, shortfall
from skinfluence.problem.stored import check_stored, refuse_stored

__all__ = [
    "Fingerprint",
    "FittedProblem",
    "OptimumRecord",
    "check_stored",
    "fitted_problem",
    "prediction_difference",
    "refuse_stored",
    "shortfall",
]
