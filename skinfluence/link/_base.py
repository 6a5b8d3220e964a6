"""What every link promises."""

from abc import ABC
from copy import copy

import numpy as np

from skinfluence.link._predictions import PrecomputedClassifier, PrecomputedRegressor


class Link(ABC):
    """How the linear predictors of a model are turned into predictions.

    Of a classifier: decision values, class scores, labels and, where there are any, class
    probabilities. Of a regressor: the response. A link knows no data, no weights and no loss; its
    objects are immutable.

    Conventions, for all methods of all links:

    - `eta` has the shape of the loss's own: (...,) for one predictor a row (`is_scalar`), (..., K)
      for K of them. What has one entry a class, response or pair has it in the last axis.
    - `y` are class codes 0, 1, ..., or encoded responses, and broadcasts against the leading axes.
    - Derivatives are with respect to `eta`, and exact. A method `f_vjp(slope, eta)` returns the
      gradient in `eta` of what has the derivative `slope` in `f(eta)`; it broadcasts.
    - `probabilities` returns a new array, which the caller may write to.
    - No digits are lost where a probability is tiny. A predictor that is NaN gives NaN.

    To give a model predictions of its own, subclass :class:`BinaryLink`,
    :class:`RegressionLink` or :class:`MulticlassLink`, which have all but one or two of these
    methods, and make it the `link` of the loss.

    Attributes
    ----------
    name : str
        Name used in messages and reports.
    n_outputs : int
        Number K of predictors a row.
    is_scalar : bool
        Whether `eta` comes without the axis of predictors.
    n_classes : int
        Number of classes; 0 for a regressor.
    n_decisions : int
        Number of decision values a row: 1 for two classes.
    n_responses : int
        Number of responses that a regressor predicts.
    has_probabilities : bool
        Whether predictors say how probable the classes are.
    classes : ndarray or None
        Labels in the order of their codes, the codes themselves by default; None for a regressor.
    quantile : float
        Which quantile of the response a regressor predicts, if it predicts one.
    scoring : str or callable
        The score where the caller has named none: the estimator's own.
    """

    name: str
    n_outputs = 1
    is_scalar = True
    n_classes = 0
    has_probabilities = False
    quantile = 0.5
    _classes = _scoring = None

    # -- labels ------------------------------------------------------------------------------------

    @property
    def classes(self):
        """Labels in the order of their codes; None for a regressor."""
        if self._classes is None and self.n_classes:
            return np.arange(self.n_classes)
        return self._classes

    def labelled(self, classes):
        """Return the same link with the caller's labels (n_classes,); None changes nothing."""
        other = copy(self)
        other._classes = classes
        return other

    def labels(self, encoded):
        """Return the caller's labels of class codes, or the responses of encoded ones."""
        if self.n_classes:
            return self.classes[np.asarray(encoded).astype(int)]
        return self.response(encoded)

    @property
    def scoring(self):
        """The score where the caller has named none."""
        return self._scoring or ("accuracy" if self.n_classes else "r2")

    def scored_by(self, scoring):
        """Return the same link with another score for callers that name none."""
        other = copy(self)
        other._scoring = scoring
        return other

    def predictions(self, eta, rows=None):
        """Return the fitted scikit-learn classifier or regressor of these predictors, (n, ...).

        It predicts the KnownRows `rows`, and None in their place: what a scorer is to see of a
        deleted model.
        """
        return (PrecomputedClassifier if self.n_classes else PrecomputedRegressor)(self, eta, rows)

    # -- classifiers -------------------------------------------------------------------------------

    @property
    def n_decisions(self):
        """Number of decision values a row: 1 for two classes, which then have no axis."""
        return 1 if self.is_scalar else self.n_classes

    def scores(self, eta):
        """Score of each class, (..., n_classes), or of the second of two, (...); eta by default."""
        return eta

    def scores_vjp(self, slope, eta):
        """Gradient in eta of what has the derivative `slope` in the scores."""
        return slope

    def decision(self, eta):
        """What `decision_function` returns, (...) or (..., n_decisions); the scores by default."""
        return self.scores(eta)

    def decision_vjp(self, slope, eta):
        """Gradient in eta of what has the derivative `slope` in the decision values."""
        return self.scores_vjp(slope, eta)

    def decision_jacobian(self, eta):
        """Derivative of the decision values, (...) or (..., n_decisions, K)."""
        if self.n_decisions == 1:
            return self.decision_vjp(np.ones_like(eta), eta)
        return self._jacobian(self.decision_vjp, self.n_decisions, eta)

    def predicted(self, eta):
        """Code of the predicted class, of an integer type; the first of equal ones."""
        raise TypeError(f"{self!r} has no classes.")

    def margin(self, y, eta):
        """Log odds of the label; without probabilities the same function of the scores."""
        raise TypeError(f"{self!r} has no classes.")

    def margin_gradient(self, y, eta):
        """Derivative of the margin, of eta's shape."""
        raise TypeError(f"{self!r} has no classes.")

    def probabilities(self, eta):
        """Class probabilities, (..., n_classes)."""
        raise TypeError(f"{self!r} has no class probabilities.")

    def probabilities_vjp(self, slope, eta):
        """Gradient in eta of what has the derivative `slope` (..., n_classes) in them."""
        raise TypeError(f"{self!r} has no class probabilities.")

    def probabilities_jacobian(self, eta):
        """Derivative of the class probabilities, (..., n_classes), or (..., n_classes, K)."""
        return self._jacobian(self.probabilities_vjp, self.n_classes, eta)

    def log_probabilities(self, eta):
        """Logarithm of the class probabilities, (..., n_classes)."""
        raise TypeError(f"{self!r} has no class probabilities.")

    def log_probability(self, y, eta):
        """Logarithm of the probability of each label, (...)."""
        raise TypeError(f"{self!r} has no class probabilities.")

    def _jacobian(self, vjp, n_values, eta):
        """Rows of a derivative by as many products with it: (..., n_values), or with K last."""
        eta = np.asarray(eta)
        one = eta[..., None] if self.is_scalar else eta[..., None, :]
        shape = (n_values,) if self.is_scalar else (n_values, self.n_outputs)
        leading = eta.shape if self.is_scalar else eta.shape[:-1]
        return np.broadcast_to(vjp(np.eye(n_values), one), (*leading, *shape))

    # -- regressors --------------------------------------------------------------------------------

    @property
    def n_responses(self):
        """Number of responses that are predicted; one for each predictor by default."""
        return self.n_outputs

    def mean(self, eta):
        """What a regressor predicts, (...) or (..., n_responses)."""
        raise TypeError(f"{self!r} predicts classes.")

    def mean_vjp(self, slope, eta):
        """Gradient in eta of what has the derivative `slope` in the predictions."""
        raise TypeError(f"{self!r} predicts classes.")

    def mean_jacobian(self, eta):
        """Derivative of the predictions, of eta's shape; (..., n_responses, K) for several."""
        if self.n_responses == 1:
            return self.mean_vjp(np.ones_like(self.mean(eta)), eta)
        return self._jacobian(self.mean_vjp, self.n_responses, eta)

    def response(self, y):
        """Responses in the caller's units, of encoded ones."""
        raise TypeError(f"{self!r} predicts classes.")

    def __repr__(self):
        """Class, and the number of outputs where there are several."""
        return f"{type(self).__name__}({'' if self.is_scalar else self.n_outputs})"
