"""Dense logistic and ridge models on the arrays of other libraries, where they lie."""

from skinfluence.array_api._answers import ArrayAnswers
from skinfluence.array_api._model import ArrayModel
from skinfluence.array_api._problem import ArrayProblem
from skinfluence.array_api._results import ArrayLeaveOneOut, ArrayMostInfluential

__all__ = ["ArrayAnswers", "ArrayLeaveOneOut", "ArrayModel", "ArrayMostInfluential", "ArrayProblem"]
