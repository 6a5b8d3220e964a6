"""Fits on the arrays of other libraries, by scikit-learn's convention."""

from skinfluence._backend import HAS_ARRAY_API, array_library
from skinfluence.linear_model._polished import RefinedFitMixin


class ArrayFitMixin(RefinedFitMixin):
    """A model that takes dense arrays of PyTorch and CuPy where scikit-learn dispatches on them.

    A class that uses it defines `_array_penalty`.
    """

    def _array_penalty(self):
        """Return the penalty in the normal form; raise for settings that a device does not know."""
        raise NotImplementedError

    def _fit_and_polish(self, fit, X, y, sample_weight):
        """Fit where the data lie, if they are arrays of another library under dispatch."""
        self.__dict__.pop("_array_model", None)
        library = array_library(X)
        if library is None:
            return super()._fit_and_polish(fit, X, y, sample_weight)
        # Imported with the first such array, and not with the library.
        from skinfluence.array_api import ArrayModel

        self._begin_fit(X, y, sample_weight)
        penalty = self._array_penalty()
        caught = self._original_fit(fit, X, y, sample_weight)
        model = ArrayModel.fitted(self, X, y, sample_weight, penalty)
        self._array_model, self._training_data, self._optimum = model, None, None
        self._refused = model.refusal()
        coef, intercept = model.problem.parameters()
        self.coef_ = library.xp.reshape(coef, self.coef_.shape)
        if self.fit_intercept:
            self.intercept_ = library.xp.reshape(intercept, self.intercept_.shape)
        self._reissue(caught, model.problem)
        return self

    def _refuse_on_device(self, setting):
        """Raise for a setting with which the model is fitted on arrays of NumPy only."""
        raise NotImplementedError(
            f"{type(self).__name__} with {setting} is fitted on arrays of NumPy only: pass X and y "
            "as such (of a tensor X.cpu().numpy())."
        )

    def __array_model__(self):
        return self.__dict__.get("_array_model")

    def _original_takes_arrays(self):
        """Whether scikit-learn's own estimator takes the arrays, with the settings at hand."""
        return super(RefinedFitMixin, self).__sklearn_tags__().array_api_support

    def __sklearn_tags__(self):
        """Tags of the original estimator; the array API where the package for it is there."""
        tags = super().__sklearn_tags__()
        tags.array_api_support = HAS_ARRAY_API and self._original_takes_arrays()
        return tags
