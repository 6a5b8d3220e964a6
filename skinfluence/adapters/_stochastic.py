"""Estimators that are refused because SGD does not reach an optimum."""

from sklearn.linear_model import SGDClassifier, SGDRegressor

from skinfluence.adapters._registry import refuse

_REASON = (
    "stochastic gradient descent does not stop at an optimum: where it stops depends on its "
    "learning rate, the order of the rows and its stopping rule, so that a refit without a row "
    "differs for other reasons too. Fit "
)

refuse(SGDClassifier, _REASON + "InfluenceLogisticRegression or SmoothHingeSVC")
refuse(SGDRegressor, _REASON + "InfluenceRidge, InfluenceElasticNet or InfluenceLasso")
