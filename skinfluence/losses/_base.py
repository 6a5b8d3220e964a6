"""What every loss promises."""

from abc import ABC, abstractmethod

import numpy as np


class Loss(ABC):
    """A loss l(y, eta) of one row, as a function of its linear predictor.

    Conventions, for all methods of all losses:

    - A *scalar* loss has one predictor a row: `eta` and everything returned have the shape of `y`
      (broadcast). A *vector* loss has K of them, in the last axis: `eta` is (..., K), the gradient
      (..., K), the curvature (..., K, K), the third derivative (..., K, K, K).
    - `y` is encoded the way the class says, never the user's labels, and broadcasts against `eta`.
    - Derivatives are with respect to `eta`, exact and of exact sign. The curvature is the observed
      second derivative, not its expectation.
    - Nothing overflows for finite `eta`.
    - Weights, means over rows and penalties are other people's business.

    Attributes
    ----------
    name : str
        Name used in messages and reports.
    n_outputs : int
        Number K of predictors a row; 1 for a scalar loss.
    n_responses : int
        Number of predictions that a regressor makes of them; less than K if one is a scale.
    is_scalar : bool
        Whether `eta` comes without the axis of predictors.
    n_classes : int
        Number of classes y encodes; 0 for a regression loss.
    has_probabilities : bool
        Whether eta says how probable the classes are.
    is_separable : bool
        Whether the outputs share nothing: every curvature is diagonal, see `output`.
    is_quadratic : bool
        Whether Newton's step ends at the optimum, wherever it starts.
    is_coercive : bool
        Whether it rises in every direction of eta: then full rank alone makes the optimum unique.
    is_piecewise_linear : bool
        Whether it has kinks and no curvature: its optimum is found through the dual.
    is_convex : bool
        Whether no curvature is negative.
    holds_rows : bool
        Whether its curvature is all near a kink, so that single rows may hold the fit by their
        curvature alone: without such a row Newton's method cannot know how far to go.
    temperature : float
        Width of what smooths a kink; 0 where nothing does. See `at_temperature`.
    family : str or None
        Name of the distribution whose regression diagnostics are defined; None without such.
    has_known_dispersion : bool
        Whether that distribution's dispersion is 1, not estimated.
    gauge : ndarray of shape (K,) or None
        A unit direction of `eta` in which the loss is constant, if it has one.
    series_radius : float
        Distance of every eta to the nearest pole of the gradient in the complex plane.
    self_concordance : float
        The constant M with |l'''[u, v, v]| <= M extent(u) l''[v, v]; inf if none.
    """

    name: str
    n_outputs = 1
    is_scalar = True
    n_classes = 0
    has_probabilities = True
    is_separable = False
    is_quadratic = False
    is_coercive = False
    is_piecewise_linear = False
    is_convex = True
    has_dominant_rows = False
    temperature = 0.0
    family = None
    has_known_dispersion = False
    null_direction = None
    series_radius = 0.0
    self_concordance = np.inf

    @property
    def advice_if_flat(self):
        """Sentence for a Hessian that vanishes because no row has curvature; None if none helps."""
        return None

    @abstractmethod
    def value(self, y, eta):
        """Loss l(y, eta)."""

    @abstractmethod
    def gradient(self, y, eta):
        """First derivative in eta."""

    def gradient_size(self, y, eta):
        """Size that a gradient of rounding is told from; the gradient's own by default."""
        return np.abs(self.gradient(y, eta))

    @abstractmethod
    def curvature(self, y, eta):
        """Observed second derivative in eta."""

    def curvature_root(self, y, eta):
        """L with L L' = curvature: of the curvature's shape; NaN where that is negative."""
        return np.sqrt(self.curvature(y, eta))

    def curvature_split(self, y, eta):
        """(d, f) of eta's shape with curvature = diag(d) - f f'; None if not of that form."""
        return None

    def output(self, y, k):
        """(scalar loss, its labels, share of each row in it or None) of output k.

        Only where `is_separable`.
        """
        raise TypeError(f"the outputs of {self!r} are not separate losses.")

    @abstractmethod
    def third(self, y, eta):
        """Third derivative in eta."""

    def scores(self, eta):
        """Scores of the classes; the predictors by default."""
        return eta

    def decision(self, eta):
        """What a classifier's decision function returns; the predictors by default."""
        return eta

    def predicted(self, eta):
        """Position of the predicted class; a predictor of 0 predicts the first."""
        return (eta > 0).astype(int) if self.is_scalar else eta.argmax(axis=-1)

    def mean(self, eta):
        """What a regressor predicts; eta itself by default."""
        return eta

    def mean_slope(self, eta):
        """Derivative of `mean`, output by output."""
        return np.ones_like(eta)

    @property
    def n_responses(self):
        """Number of predictions a regressor makes of its predictors; one each by default."""
        return self.n_outputs

    def vjp(self, slope, eta):
        """Gradient in eta of what has the derivative `slope` in each prediction."""
        return slope * self.mean_slope(eta)

    def response(self, y):
        """Labels as a regressor's caller knows them; themselves by default."""
        return y

    def response_residual(self, y, eta):
        """Label minus its mean; where there is a `family`."""
        return y - self.mean(eta)

    def gradient_in_label(self, y, eta):
        """Derivative of the gradient in the label, where labels are numbers."""
        raise TypeError(f"the labels of {self!r} cannot be moved.")

    def pearson_residual(self, y, eta):
        """The same in standard deviations of the family, at dispersion 1."""
        raise TypeError(f"{self!r} is the loss of no family.")

    def unit(self, y, eta):
        """Size of what is one in predictors that have units; None where they have none."""
        return None

    def check_optimum(self, y, eta):
        """Raise NotImplementedError where an optimum is none that the formulas know."""
        return

    def kink_distance(self, y, eta):
        """How far each predictor is from where the curvature jumps, eta's shape; None if nowhere.

        Between the kinks such a loss is quadratic: a Newton step that crosses none is exact.
        """
        return None

    def at_temperature(self, temperature):
        """The same loss, smoother or less so."""
        raise TypeError(f"{self!r} has no temperature.")

    def gradient_series(self, y, eta, order):
        """Taylor coefficients c_1 ... c_order of the gradient around eta; None if not offered.

        gradient(eta + u) = gradient(eta) + sum_k c_k u^k for |u| < `series_radius`.
        """
        return None

    def predictor_norm(self, change):
        """Size of changes of the predictors (..., K) that self-concordance speaks of, (...).

        The largest of them; their range where the loss has a gauge, along which nothing changes.
        """
        if change.shape[-1] == 1:
            return np.abs(change[..., 0])
        if self.null_direction is None:
            return np.maximum(change.max(axis=-1), -change.min(axis=-1))
        return change.max(axis=-1) - change.min(axis=-1)

    def max_predictor_change(self, quadratic):
        """Largest extent of Z_j e over e'H e <= 1, one number a row: from blocks A_j (n, K, K)."""
        diagonal = np.einsum("ikk->ik", quadratic)
        if self.null_direction is None:
            return np.sqrt(np.maximum(diagonal.max(axis=1), 0.0))
        spread = diagonal[:, :, None] + diagonal[:, None, :] - 2 * quadratic
        return np.sqrt(np.maximum(spread.max(axis=(1, 2)), 0.0))

    def required_classes(self, y):
        """Code (n,) of what each row is one of, where a kind must not run out; -1 for others.

        The classes of a classifier. Without them a constant predictor has no finite optimum. None
        where no row matters so.
        """
        return np.asarray(y).astype(int) if self.n_classes else None

    @abstractmethod
    def recession_cone_normals(self, y):
        """Normals N (n, R, K): moving eta by u never raises the loss if and only if N u >= 0.

        They describe the directions in which an unpenalised fit can run away.
        """

    @abstractmethod
    def recession_multipliers(self, y, residual):
        """Coefficients c (n, R), residual (n, K) = -sum_r c_r N_r; positive at finite eta."""

    def __repr__(self):
        """Class name, and the number of outputs where there are several."""
        return f"{type(self).__name__}({'' if self.is_scalar else self.n_outputs})"
