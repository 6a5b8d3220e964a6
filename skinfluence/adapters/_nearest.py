"""Where to go with an estimator of scikit-learn that is no penalised sum of losses."""

ONE_BY_ONE = (
    "it is several models, one for each output. Ask each of them: "
    "[explain(model) for model in fitted.estimators_], fitted with an estimator of this library"
)
COMBINED = (
    "it averages or chooses among several models, and no one objective is at its optimum. Ask each "
    "of its members, fitted with an estimator of this library: explain(fitted.estimators_[0])"
)
STACKED = (
    "its last model is fitted on out-of-fold predictions of others. Ask that model, with these "
    "held fixed: InfluenceExplainer(final_estimator).fit(Z, y) on the columns Z that "
    "sklearn.model_selection.cross_val_predict gives for each of the others"
)
CALIBRATED = (
    "its probabilities are a second fit on top of a model's. Ask the model inside: "
    "explain(fitted.calibrated_classifiers_[0].estimator), fitted with an estimator of this library"
)
THRESHOLD = (
    "it moves the threshold of a model. Ask the model inside: explain(fitted.estimator_), fitted "
    "with an estimator of this library, with target='decision_function'"
)
TREES = (
    "trees have no gradient, so that no step leads to the model without a row. A Pipeline of "
    "RandomTreesEmbedding and InfluenceLogisticRegression, or a kernel machine "
    "(skinfluence.svm.SmoothHingeSVC), comes near and has one"
)
NEIGHBOURS = (
    "it has no parameters that a fit finds: delete the row and predict again. A kernel machine "
    "(skinfluence.kernel_models.KernelLogisticRegression, KernelRidge) comes near"
)
NETWORK = (
    "its training does not reach an optimum, where influence is defined. Hold its hidden layers "
    "fixed: a linear model of this library on their output, the last step of a Pipeline"
)
COUNTS = (
    "its parameters are counts or moments, in closed form: delete the row and fit again, or fit "
    "InfluenceLogisticRegression, which has the same linear decision function"
)
PROCESS = (
    "its kernel's parameters are fitted too. With the kernel held fixed its mean is that of "
    "InfluenceKernelRidge(kernel=fitted.kernel_, alpha=fitted.alpha)"
)

NEAREST_WAYS = {
    ONE_BY_ONE: {
        "OneVsRestClassifier",
        "OneVsOneClassifier",
        "OutputCodeClassifier",
        "MultiOutputClassifier",
        "MultiOutputRegressor",
        "ClassifierChain",
        "RegressorChain",
    },
    STACKED: {"StackingClassifier", "StackingRegressor"},
    CALIBRATED: {"CalibratedClassifierCV"},
    THRESHOLD: {"TunedThresholdClassifierCV", "FixedThresholdClassifier"},
    TREES: {
        "BaseDecisionTree",
        "BaseForest",
        "BaseGradientBoosting",
        "BaseHistGradientBoosting",
        "IsolationForest",
    },
    COMBINED: {
        "_BaseVoting",
        "BaseBagging",
        "BaseWeightBoosting",
        "SelfTrainingClassifier",
        "RANSACRegressor",
    },
    NEIGHBOURS: {"NeighborsBase", "NearestCentroid"},
    NETWORK: {"BaseMultilayerPerceptron"},
    COUNTS: {
        "_BaseNB",
        "LinearDiscriminantAnalysis",
        "QuadraticDiscriminantAnalysis",
        "DummyClassifier",
        "DummyRegressor",
    },
    PROCESS: {"GaussianProcessRegressor", "GaussianProcessClassifier"},
}
