"""Base classes of scikit-learn's linear models whose fit is polished afterwards."""

import copy
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted, validate_data

from skinfluence._backend import array_library, as_numpy
from skinfluence._frames import row_names
from skinfluence._sources import RowBlocks, refuse_blocks
from skinfluence._validation import check_sample_weight, validate_rows, warn
from skinfluence.adapters import TrainingData, adapt
from skinfluence.base import InfluenceMixin, copied_without_cache
from skinfluence.linear_model._blocks import checked_blocks, fit_blocks
from skinfluence.problem import OptimumRecord, shortfall

L1_IN_BLOCKS = (
    "which coefficients are zero takes many passes to find. Choose the columns on a sample of the "
    "rows, and fit these under an L2 penalty; or, where there is room for all rows, pass the array "
    "blocks[:]."
)


class RegressorShapes:
    """Parameters in the shapes of scikit-learn's regressors: no axis of outputs for 1-D y."""

    def _assign(self, coef, intercept):
        """Take coefficients (K, p) and intercepts (K,)."""
        flat = np.ndim(self.coef_) == 1
        self.coef_ = coef[0] if flat else coef
        if self.fit_intercept:
            single = np.ndim(self.intercept_) == 0
            self.intercept_ = np.float64(intercept[0]) if single else intercept


def _copied(X):
    """Copy of X in the order of its memory, which a solver without checks relies on."""
    return np.array(X, order="K") if isinstance(X, np.ndarray) else copy.deepcopy(X)


def _is_about_the_solver(warning):
    """Whether a warning is of convergence, or of NumPy's arithmetic."""
    if issubclass(warning.category, ConvergenceWarning):
        return True
    return issubclass(warning.category, RuntimeWarning) and "encountered in" in str(warning.message)


class RefinedFitMixin(InfluenceMixin):
    """An estimator of scikit-learn, fitted by its solver, then polished to the optimum."""

    #: Why the fit cannot read rows in blocks; empty where it can.
    _needs_all_rows = ""

    def _fit_and_polish(self, fit, X, y, sample_weight):
        """Fit, remember the training data, polish; warn of what is left."""
        if isinstance(X, RowBlocks):
            return self._fit_blocks(fit, X, y, sample_weight)
        self._begin_fit(X, y, sample_weight)
        library = array_library(X)
        if library is not None:
            raise NotImplementedError(
                f"{type(self).__name__} computes on arrays of NumPy, and X is one of "
                f"{library.name}: pass X and y as arrays of NumPy (of a tensor X.cpu().numpy()). "
                "InfluenceLogisticRegression and InfluenceRidge take X where it lies."
            )
        rows = X if getattr(self, "copy_X", True) else _copied(X)  # it would be overwritten
        caught = self._original_fit(fit, rows, y, sample_weight)
        self._remember(X, y, sample_weight)
        self._polish()
        self._reissue(caught, self._optimum)
        return self

    def _fit_blocks(self, fit, X, y, sample_weight):
        """Fit rows in blocks: some of them by the solver, then all by Newton steps."""
        if self._needs_all_rows:
            raise refuse_blocks(type(self).__name__, self._needs_all_rows)
        self._begin_fit(None, y, sample_weight)
        X, y, sample_weight = fit_blocks(self, fit, X, y, sample_weight)
        self._training_data = TrainingData(X, y, sample_weight)
        self._polish()
        if self._optimum is None:
            raise type(self._refused)(*self._refused.args)
        self._count_steps(max(1, self._optimum.n_steps))
        self._reissue([], self._optimum)
        return self

    def _original_fit(self, fit, X, y, sample_weight):
        """Fit by scikit-learn's solver, and return the warnings that it gave."""
        if sample_weight is not None:
            weight = as_numpy(sample_weight)
            check_sample_weight(weight, weight.size)  # signs; scikit-learn checks the length
        with warnings.catch_warnings(record=True) as caught:
            for category in (ConvergenceWarning, RuntimeWarning):
                warnings.simplefilter("always", category)
            fit(X, y, sample_weight)
        return caught

    def _remember(self, X, y, sample_weight):
        """Keep references to the validated training data."""
        names = row_names(X, y)
        if type(X) is not np.ndarray or X.dtype not in (np.float64, np.float32):
            # Plain arrays are as the fit has just checked them: once more is a pass over the rows.
            options = {"accept_sparse": "csr", "dtype": [np.float64, np.float32]}
            X = validate_data(self, X, reset=False, **options)
        if sample_weight is not None:
            sample_weight = np.broadcast_to(as_numpy(sample_weight), X.shape[:1])
        y = as_numpy(y)
        y = y.ravel() if y.ndim == 1 or y.shape[1] == 1 else y
        self._training_data = TrainingData(X, y, sample_weight, row_names=names)

    def _polish(self):
        """Set the parameters at the optimum; without an adapter for the settings, keep the fit."""
        self._optimum = self._refused = None
        try:
            adapted = adapt(self, self._training_data)
            if self._training_data.is_in_blocks and adapted.objective.penalty.is_kinked:
                raise refuse_blocks(f"{type(self).__name__} with an L1 penalty", L1_IN_BLOCKS)
            self._optimum = OptimumRecord.of(adapted, self._training_data)
        except (NotImplementedError, ValueError) as error:
            self._refused = error  # raised by the influence methods
            return
        self._assign(*adapted.objective.design.unpack(self._optimum.theta))

    def _assign(self, coef, intercept):
        """Take coefficients (K, p) and intercepts (K,), in the shapes of the original estimator."""
        self.coef_ = coef
        self.intercept_ = intercept

    def _reissue(self, caught, explanation):
        """Issue scikit-learn's warnings again, unless polishing made them untrue.

        Those of convergence, and those of overflow in steps of a solver that ended elsewhere.
        """
        separable = explanation is not None and explanation.separable
        settled = explanation is not None and (explanation.converged or separable)
        for warning in caught:
            if settled and _is_about_the_solver(warning):
                continue
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
        if separable:
            warn(
                "the training data are linearly separable and nothing is penalised: the "
                "coefficients have no finite optimum. Fit with a penalty (a finite C).",
                ConvergenceWarning,
            )
        elif explanation is not None and (missing := shortfall(explanation)):
            warn(missing, ConvergenceWarning)

    # -- what InfluenceMixin asks ------------------------------------------------------------------

    def __optimum_record__(self):
        if "_optimum" not in self.__dict__:  # the check itself takes a tenth of a small question
            check_is_fitted(self)
        if self._optimum is None:
            raise type(self._refused)(*self._refused.args)
        return self._optimum

    def __moved__(self, data, record, objective, n_steps):
        new = copied_without_cache(self)
        new._training_data, new._optimum, new._refused = data, record, None
        new._assign(*objective.design.unpack(objective.theta))
        new._count_steps(n_steps)
        return new

    def _count_steps(self, n_steps):
        """Take the passes over the rows in place of the solver's iterations."""
        if getattr(self, "n_iter_", None) is None:
            return
        if np.ndim(self.n_iter_):
            self.n_iter_ = np.full_like(self.n_iter_, n_steps)
        else:
            self.n_iter_ = n_steps

    def __design_rows__(self, X):
        """Return X_test, checked like the X of predict; blocks as they are."""
        if isinstance(X, RowBlocks):
            return checked_blocks(self, X)
        return validate_rows(self, X, accept_sparse="csr", dtype=[np.float64, np.float32])

    def __sklearn_tags__(self):
        """Tags of the original estimator, without the array API."""
        tags = super().__sklearn_tags__()
        tags.array_api_support = False
        return tags
