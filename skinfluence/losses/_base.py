"""The interface of losses."""

from abc import ABC, abstractmethod

import numpy as np


class Loss(ABC):
    """A loss l(y, eta) of one row, as a function of its linear predictor.

    Conventions, for all methods of all losses:

    - A *scalar* loss has one predictor for each row: `eta` and everything returned have the shape
      of `y` (broadcast). A *vector* loss has K predictors, in the last axis: `eta` is (..., K), the
      gradient (..., K), the curvature (..., K, K), the third derivative (..., K, K, K).
    - `y` is encoded as the class says, not as in the user's labels, and broadcasts against `eta`.
    - Derivatives are with respect to `eta`, exact and of exact sign. The curvature is the observed
      second derivative, not its expectation.
    - Nothing overflows for finite `eta`.
    - Weights, means over rows and penalties are handled by Objective.

    Attributes
    ----------
    name : str
        Name used in messages and reports.
    n_outputs : int
        Number K of predictors for each row; 1 for a scalar loss.
    is_scalar : bool
        Whether `eta` has no axis of predictors.
    n_classes : int
        Number of classes y encodes; 0 for a regression loss.
    link : Link
        Link from predictors to predictions, if the estimator has no other.
    is_separable : bool
        Whether the loss is a sum of one loss for each output: every curvature is diagonal, see
        `output`.
    is_quadratic : bool
        Whether one Newton step ends at the optimum from any start.
    is_coercive : bool
        Whether the loss rises in every direction of eta; then the optimum is finite and unique if
        the columns have full rank.
    is_piecewise_linear : bool
        Whether the loss has kinks and no curvature; its optimum is found through the dual.
    is_convex : bool
        Whether no curvature is negative.
    holds_rows : bool
        Whether its curvature is all near a kink, so that single rows may hold the fit by their
        curvature alone: without such a row Newton's method cannot know how far to go.
    has_scale : bool
        Whether the last predictor is a scale, which is positive.
    temperature : float
        Width over which a kink is smoothed; 0 for losses that are not smoothed. See
        `at_temperature`.
    family : str or None
        Name of the distribution, if case-deletion diagnostics are defined for it.
    has_known_dispersion : bool
        Whether that distribution's dispersion is 1, not estimated.
    residual_is_gradient : bool
        Whether `response_residual` is minus the gradient, and need not be computed beside it.
    null_direction : ndarray of shape (K,) or None
        Unit direction of `eta` in which the loss is constant, if it has one.
    response_range : tuple of two floats
        Least and largest response of the family; -inf and inf where there is none.
    weights_are_exposures : bool
        Whether the variance of a response is that of the family over its sample weight.
    series_radius : float
        Distance from the real axis of eta to the nearest pole of the gradient in the complex plane.
    predictor_range : tuple of float
        Open interval of the predictors outside of which the loss is infinite.
    self_concordance : float
        The constant M with |l'''[u, v, v]| <= M predictor_norm(u) l''[v, v]; inf if there is none.
    """

    name: str
    n_outputs = 1
    is_scalar = True
    n_classes = 0
    is_separable = False
    is_quadratic = False
    is_coercive = False
    is_piecewise_linear = False
    is_convex = True
    has_dominant_rows = False
    has_scale = False
    temperature = 0.0
    family = None
    has_known_dispersion = False
    residual_is_gradient = False
    null_direction = None
    response_range = (-np.inf, np.inf)
    weights_are_exposures = False
    series_radius = 0.0
    self_concordance = np.inf
    predictor_range = (-np.inf, np.inf)

    @property
    @abstractmethod
    def link(self):
        """Link that turns its predictors into predictions; a class attribute will do."""

    @property
    def advice_if_flat(self):
        """Sentence for a Hessian that vanishes because no row has curvature; None if none helps."""
        return None

    @abstractmethod
    def value(self, y, eta):
        """Loss l(y, eta) of each row."""

    @abstractmethod
    def gradient(self, y, eta):
        """First derivative in eta."""

    def gradient_size(self, y, eta):
        """Scale of the terms that cancel in the gradient.

        It decides whether a gradient is zero to rounding. By default the gradient's own size.
        """
        return np.abs(self.gradient(y, eta))

    @abstractmethod
    def curvature(self, y, eta):
        """Observed second derivative in eta."""

    def curvature_diagonal(self, y, eta):
        """Diagonal of the curvature, of eta's shape."""
        curvature = self.curvature(y, eta)
        return curvature if self.is_scalar else np.einsum("...kk->...k", curvature)

    def curvature_state(self, y, eta):
        """Arrays of n rows that say what the curvatures are, for `curvature_matmul`."""
        return (self.curvature(y, eta),)

    def curvature_matmul(self, state, U):
        """Curvatures (n, K, K) of a vector loss, by their `curvature_state`, times U (n, K, m)."""
        return np.matmul(state[0], U)

    def curvature_root(self, y, eta):
        """L with L L' = curvature, of the same shape; NaN where the curvature is negative."""
        return np.sqrt(self.curvature(y, eta))

    def curvature_split(self, y, eta):
        """(d, f) of eta's shape with curvature = diag(d) - f f'; None if it has no such form."""
        return None

    def output(self, y, k):
        """Return (loss, y, share) of output k, if `is_separable`.

        The scalar loss of the output, its labels, and a factor of the sample weight of each row or
        None.
        """
        raise TypeError(f"the outputs of {self!r} are not separate losses.")

    @abstractmethod
    def third(self, y, eta):
        """Third derivative in eta."""

    def response_residual(self, y, eta):
        """Label minus its mean, for losses with a `family`."""
        return y - self.link.mean(eta)

    def gradient_in_label(self, y, eta):
        """Derivative of the gradient with respect to the label, for numerical labels."""
        raise TypeError(f"the labels of {self!r} cannot be moved.")

    def pearson_residual(self, y, eta):
        """Response residual in standard deviations of the family, at dispersion 1."""
        raise TypeError(f"{self!r} is the loss of no family.")

    #: Whether `unit` looks at the predictors; None is passed for them otherwise.
    unit_is_of_predictors = False

    def unit(self, y, eta):
        """Natural unit of eta (e.g. the standard deviation of y); None if it is dimensionless."""
        return None

    @property
    def has_doubtful_optimum(self):
        """Whether `check_optimum` may raise, so that it is to be asked with all predictors."""
        return False

    def check_optimum(self, y, eta):
        """Raise NotImplementedError if the loss is not differentiable at this optimum."""
        return

    def piece(self, y, eta):
        """Quadratic piece that each predictor is on, of eta's shape, as an integer; None if smooth.

        For losses that are quadratic between kinks, at which the curvature jumps. A piece is an
        interval of predictors and every interval has its own integer, whatever its curvature: a
        Newton step after which every row is on the piece where it was is exact.
        """
        return None

    def kink_distance(self, y, eta):
        """Distance of each predictor to the nearest end of its `piece`; None if that is None."""
        return None

    def at_temperature(self, temperature):
        """Return the loss smoothed at another temperature."""
        raise TypeError(f"{self!r} has no temperature.")

    def gradient_series(self, y, eta, order):
        """Taylor coefficients c_1 ... c_order of the gradient around eta; None if not implemented.

        gradient(eta + u) = gradient(eta) + sum_k c_k u^k for |u| < `series_radius`.
        """
        return None

    def predictor_norm(self, change):
        """Norm (...) of changes of the predictors (..., K), in which `self_concordance` is stated.

        The largest absolute entry, or max minus min if the loss has a null direction, because
        adding the same number to all entries changes nothing.
        """
        if change.shape[-1] == 1:
            return np.abs(change[..., 0])
        if self.null_direction is None:
            return np.maximum(change.max(axis=-1), -change.min(axis=-1))
        return change.max(axis=-1) - change.min(axis=-1)

    def max_predictor_change(self, quadratic):
        """Largest `predictor_norm` of (I (x) z_j)' e over e'H e <= 1, (n,), from A_j (n, K, K).

        The predictor k of row j changes by at most sqrt(A_j,kk), the difference of two by at most
        sqrt(A_j,kk + A_j,mm - 2 A_j,km): both are norms of a vector in the metric of H.
        """
        diagonal = np.einsum("ikk->ik", quadratic)
        if self.null_direction is None:
            return np.sqrt(np.maximum(diagonal.max(axis=1), 0.0))
        spread = diagonal[:, :, None] + diagonal[:, None, :] - 2 * quadratic
        return np.sqrt(np.maximum(spread.max(axis=(1, 2)), 0.0))

    def required_classes(self, y):
        """Class label of each row if every class must keep at least one row, else -1; (n,).

        If a required class is empty, the intercept has no finite optimum. None if no class is
        required.
        """
        return np.asarray(y).astype(int) if self.n_classes else None

    @abstractmethod
    def recession_cone_normals(self, y):
        """Normals N (n, R, K) of the recession cone of each row's loss.

        The loss never rises when eta moves along u if and only if N u >= 0. An unpenalised fit has
        no finite optimum if such a direction exists for all rows together, see `existence`.
        """

    @abstractmethod
    def recession_multipliers(self, y, residual):
        """Coefficients c (n, R), residual (n, K) = -sum_r c_r N_r; positive at finite eta."""

    def __repr__(self):
        """Class name, and the number of outputs if there are several."""
        return f"{type(self).__name__}({'' if self.is_scalar else self.n_outputs})"
