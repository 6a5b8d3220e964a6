"""Where scikit-learn's own tests fail on our estimators, and why."""

from dataclasses import dataclass

import sklearn
from packaging.specifiers import SpecifierSet


@dataclass(frozen=True)
class Difference:
    """A way in which we differ.

    Attributes
    ----------
    title, reason : str
        As the documentation prints them.
    tests : dict
        "module.test" -> regular expression for the parameters with which it fails, or a pair of
        such a one and the versions of scikit-learn that it is about.
    errors : tuple of types
        What the tests fail with, beside an assertion of their own.
    by_rounding : bool
        Whether the last digit decides whether they fail.
    """

    title: str
    reason: str
    tests: dict
    errors: tuple = ()
    by_rounding: bool = False

    def here(self):
        """Return its tests in the installed scikit-learn, name -> regular expression."""
        found = {}
        for name, value in self.tests.items():
            expression, versions = (value, "") if isinstance(value, str) else value
            if SpecifierSet(versions).contains(sklearn.__version__):
                found[name] = expression
        return found


ALL = ""

DIFFERENCES = (
    Difference(
        "Fits are polished",
        "scikit-learn's solver runs first, and Newton's method goes on from where it stops until "
        "the gradient vanishes, because influence is defined at the optimum only. So `max_iter`, "
        "`tol`, `random_state` and a warm start have no say in the result: there is no coefficient "
        "of the third iteration to be had, no `ConvergenceWarning` where the polish arrives, and "
        "fits that stop early elsewhere (a `LogisticRegressionCV` of scikit-learn's) agree to "
        "their tolerance, not to ours. `n_iter_` counts the iterations of scikit-learn's solver.",
        {
            # Two classes by "multinomial", which scikit-learn 1.6 has, are left as it fits them.
            "test_logistic.test_max_iter": r"^(?!.*multinomial)",
            "test_logistic.test_zero_max_iter": ALL,
            "test_logistic.test_warm_start": r"-False-(?!liblinear)[a-z-]+$",
            "test_logistic.test_liblinear_dual_random_state": ALL,
            "test_logistic.test_logistic_cv": ALL,
            "test_logistic.test_logistic_cv_multinomial_score": "neg_log_loss",
            "test_logistic.test_newton_cholesky_fallback_to_lbfgs": ALL,
            "test_logistic.test_logistic_regression_callback_fitted_estimator": (
                r"[23]$",
                ">=1.9",
            ),
            "test_glm.test_warm_start": ALL,
            "test_coordinate_descent.test_enet_coordinate_descent": ("Lasso", "<1.8"),
            "test_coordinate_descent.test_sparse_input_convergence_warning": (ALL, "<1.8"),
            "test_coordinate_descent.test_enet_coordinate_descent_raises_convergence": (
                ALL,
                ">=1.8",
            ),
            "test_sparse_coordinate_descent.test_sparse_enet_coordinate_descent": ALL,
        },
    ),
    Difference(
        "A polished fit leaves nothing but rounding",
        "What a test compares is equal but for the last digits: scores of two tolerances, or a "
        "duality gap of 1e-16 with another sum of the same terms.",
        {
            "test_ridge.test_dense_sparse": "_test_tolerance",
            "test_ridge.test_regularization_limits_ridge": (
                "wide-.*-sparse_cg-zero_alpha",
                ">=1.8",
            ),
            "test_coordinate_descent.test_lasso_dual_gap": ALL,
        },
        by_rounding=True,
    ),
    Difference(
        "Without a finite optimum there is nowhere to polish to",
        "Separable data under `C=inf`: every Newton step makes the coefficients longer. The fit is "
        "where these steps end, with a `ConvergenceWarning` that says so, and the influence "
        "methods raise.",
        {"test_logistic.test_warm_start_newton_solver": ("inf", ">=1.7")},
    ),
    Difference(
        "Coefficients are float64",
        "float32 data stay float32 where they are stored; `coef_` and `intercept_` are the optimum "
        "of these rows in float64.",
        {
            "test_ridge.test_dtype_match": "svd|sparse_cg|cholesky|lsqr|sag",
            "test_ridge.test_dtype_match_cholesky": ALL,
            "test_logistic.test_dtype_match": (
                r"^(?!.*(newton-cg|newton-cholesky|saga)-multinomial).*(lbfgs|newton|sag)"
            ),
            "test_coordinate_descent.test_enet_float_precision": ALL,
        },
    ),
    Difference(
        "Training data are never overwritten",
        "`copy_X=False` does not save a copy: the rows are kept by reference, and have to be those "
        "of the fit when a question is asked.",
        {
            "test_base.test_inplace_data_preprocessing": "None$",
            "test_coordinate_descent.test_enet_copy_X_False_check_input_False": ALL,
        },
    ),
    Difference(
        "Negative sample weights raise",
        "A row of negative weight has no deletion that is a refit, and the objective may have no "
        "minimum. Where all weights are 0, the sentence is another one.",
        {
            "test_svm.test_negative_sample_weights_mask_all_samples": "-SVC$",
            "test_svm.test_negative_weights_svc_leave_just_one_label": "-SVC$",
            "test_svm.test_negative_weights_svc_leave_two_labels": "label-1-SVC$",
            "test_svm.test_negative_weight_equal_coeffs": "label-1-SVC$",
        },
        errors=(ValueError,),
    ),
    Difference(
        "A direct solver counts one iteration",
        "`n_iter_` is 1, where it is None in `Ridge` and `RidgeClassifier`. scikit-learn's own "
        "check of estimators asks for at least 1, and excepts these two by their names, not ours.",
        {"test_ridge.test_n_iter": ALL},
    ),
    Difference(
        "Messages name our classes",
        "A warning about `InfluenceLogisticRegression` says so.",
        {"test_logistic.test_logistic_regression_callback_support_warning": (ALL, ">=1.9")},
    ),
    Difference(
        "A kernel machine takes sparse rows after a dense fit",
        "`SmoothHingeSVC.predict` converts them; `SVC` refuses.",
        {"test_svm.test_bad_input": ALL},
    ),
)
