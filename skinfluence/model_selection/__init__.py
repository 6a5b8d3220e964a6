"""Model selection by leave-one-out and K-fold predictions, without refits."""

from skinfluence.model_selection._folds import CrossValPredictions, approximate_cross_val_predict
from skinfluence.model_selection._full_sample import FullSample, loo_scorer
from skinfluence.model_selection._regularization import (
    OptimizedRegularization,
    optimize_regularization,
)
from skinfluence.model_selection._search import LeaveOneOutSearchCV
from skinfluence.model_selection._strength_walk import walk_to_best  # noqa: F401, for labels
from skinfluence.model_selection._views import (
    final_parameter,  # noqa: F401, for figures
    strength_parameter,  # noqa: F401, for labels
)

__all__ = [
    "CrossValPredictions",
    "FullSample",
    "LeaveOneOutSearchCV",
    "OptimizedRegularization",
    "approximate_cross_val_predict",
    "loo_scorer",
    "optimize_regularization",
]
