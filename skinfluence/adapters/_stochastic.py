"""What has an objective and does not minimise it."""

from sklearn.linear_model import SGDClassifier, SGDRegressor

from skinfluence.adapters._registry import refuse

_REASON = (
    "stochastic gradient descent stops where its learning rate, its order of rows and its "
    "stopping rule leave it, not at an optimum: without a row it stops elsewhere for other "
    "reasons. Fit "
)

refuse(SGDClassifier, _REASON + "InfluenceLogisticRegression or SmoothHingeSVC")
refuse(SGDRegressor, _REASON + "InfluenceRidge, InfluenceElasticNet or InfluenceLasso")
