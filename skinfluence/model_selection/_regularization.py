"""The strength of a penalty with the least leave-one-out loss, by its derivative."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from sklearn.base import BaseEstimator, clone

from skinfluence._frames import DataFrame, Result, data_frame
from skinfluence._parallel import blas_for, tracked
from skinfluence._typing import MatrixLike
from skinfluence._validation import check_choice, check_tolerance, shown
from skinfluence.curvature import make_curvature
from skinfluence.deletion import in_row_space
from skinfluence.existence import last_rows_of_a_class
from skinfluence.explainer import fitted_view, weight_params
from skinfluence.model_selection._regularization_path import LeaveOneOutPath
from skinfluence.model_selection._views import final_parameter, final_step
from skinfluence.problem import fitted_problem

# Power of a parameter in the strength of the penalty.
EXPONENTS = {"C": -1.0}
# Points in each decade of the first grid; largest number of brackets that are halved or searched.
POINTS_A_DECADE, MAX_HALVINGS = 1, 30


@dataclass(frozen=True, repr=False)
class OptimizedRegularization(Result):
    """The model whose penalty minimises its leave-one-out loss, and the points of the loss curve.

    Attributes
    ----------
    estimator : estimator
        Estimator fitted on all rows with `best_value`.
    param : str
        Full name of the parameter.
    best_value, best_loss : float
        Value with the least mean leave-one-out loss, and this loss.
    standard_error : float
        Standard error of `best_loss`, over rows.
    gradient : float
        Derivative of the loss in log(param) at `best_value`.
    at_bound : bool
        Whether `best_value` is one of the bounds, and the loss falls further beyond it.
    converged : bool
        Whether the derivative is at most `tol` in size, or the best value is at a bound.
    values, losses, standard_errors, derivatives : ndarray of shape (n_points,)
        Values at which the loss was computed, in ascending order; the mean leave-one-out loss, its
        standard error, and its derivative in log(param).
    method : {"newton", "exact"}
        How rows were left out.
    """

    estimator: object
    param: str
    best_value: float
    best_loss: float
    standard_error: float
    gradient: float
    at_bound: bool
    converged: bool
    values: np.ndarray
    losses: np.ndarray
    standard_errors: np.ndarray
    derivatives: np.ndarray
    method: str

    def __repr__(self):
        """The best value and its loss, and whether the search has ended there."""
        state = "at a bound" if self.at_bound else "" if self.converged else "not converged"
        return (
            f"OptimizedRegularization: {self.param}={self.best_value:.6g} with the leave-one-out "
            f"loss {self.best_loss:.6g} +- {self.standard_error:.2g}, {len(self.values)} values "
            f"tried{', ' if state else ''}{state}"
        )

    def to_frame(self) -> DataFrame:
        """Return one line for each value of the parameter, as a pandas DataFrame.

        Returns
        -------
        pandas.DataFrame
            Columns value, loss, standard_error and derivative.
        """
        return data_frame(
            {
                "value": self.values,
                "loss": self.losses,
                "standard_error": self.standard_errors,
                "derivative": self.derivatives,
            }
        )


def optimize_regularization(
    estimator: BaseEstimator,
    X: MatrixLike,
    y: ArrayLike,
    *,
    param: str = "C",
    bounds: tuple[float, float] = (1e-4, 1e4),
    method: str = "newton",
    tol: float = 1e-8,
    sample_weight: ArrayLike | None = None,
    progress: Callable | None = None,
) -> OptimizedRegularization:
    r"""Minimise the mean leave-one-out loss over the strength of the penalty, by its derivative.

    Over :math:`C` between the bounds, the function

    .. math:: L(C) = \frac{\sum_i s_i \, \ell(y_i, \eta_{-i}(C))}{\sum_i s_i}

    with :math:`\eta_{-i}` the predictor of row i under the model without it, by its Newton step
    (approximate leave-one-out) or its refit. The derivative of L in log C is exact for both, by
    implicit differentiation of the optimum, :math:`d\theta / d\log C = H^{-1} R'(\theta)`. For
    "newton" it is the derivative of the step, with the third derivatives of the loss and the change
    of every leverage, in O(n p^2); for "exact" it takes one linear solve with the curvature of each
    refit.

    First the loss is computed at one value in each decade, because the curve may have several
    minima. Then Brent's method finds the root of the derivative beside the best value. Every fit
    starts from the optimum of its neighbour. In a Pipeline the steps before the last are held
    fixed.

    Parameters
    ----------
    estimator : estimator
        Unfitted estimator that is supported (see :func:`skinfluence.supported_estimators`), a
        Pipeline that ends in one, or an :class:`InfluenceExplainer`. It is cloned.
    X : {array-like, sparse matrix, data frame} of shape (n_samples, n_features)
        Training rows.
    y : array-like of shape (n_samples,)
        Labels.
    param : str, default="C"
        Parameter of the last step to optimise, by its short or its full name (`step__C`).
    bounds : tuple of two floats, default=(1e-4, 1e4)
        Least and largest value, positive.
    method : {"newton", "exact"}, default="newton"
        How rows are left out.
    tol : float, default=1e-8
        Tolerance of the derivative in log(param).
    sample_weight : array-like of shape (n_samples,), optional
        Non-negative weights of the rows, in the fits and in the mean.
    progress : callable, optional
        Wraps the iteration over the values of the first grid, such as `tqdm.auto.tqdm`.

    Returns
    -------
    OptimizedRegularization
        The fitted estimator, the curve and its derivative.

    Raises
    ------
    TypeError
        If the last step is not supported.
    ValueError
        For an unknown `param` or `method`, invalid bounds, or data in which no row has a
        leave-one-out prediction.
    numpy.linalg.LinAlgError
        If the Hessian is singular.

    References
    ----------
    Bengio, Gradient-based optimization of hyperparameters, Neural Computation 12, 2000. Rad &
    Maleki, JRSS B 82, 2020 (approximate leave-one-out).

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.preprocessing import scale
    >>> from skinfluence import InfluenceLogisticRegression
    >>> from skinfluence.model_selection import optimize_regularization
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> best = optimize_regularization(InfluenceLogisticRegression(), scale(X), y)
    >>> print(f"{best.best_value:.3f} {best.best_loss:.4f} {best.converged}")
    0.665 0.0749 True
    """
    check_choice("method", method, ("newton", "exact"))
    tol = check_tolerance(tol)
    bounds = _check_bounds(bounds)
    name = _parameter(estimator, param)
    power = EXPONENTS[name.rpartition("__")[2]]
    start = float(np.exp(np.mean(np.log(bounds))))
    params = weight_params(estimator, sample_weight)
    view = fitted_view(clone(estimator).set_params(**{name: start}), X, y, params)
    problem = fitted_problem(view)
    objective = problem.objective
    if not objective.is_at_its_own_optimum:
        raise NotImplementedError(
            "optimize_regularization needs a smooth loss: the leave-one-out curve of a loss with "
            "kinks has no derivative. Fit loss='smooth_hinge', or use LeaveOneOutSearchCV."
        )
    if objective.row_penalty is not None or objective.penalty.is_kinked:
        raise NotImplementedError(
            "optimize_regularization needs an L2 penalty that does not change when a row is "
            f"deleted; the penalty of {type(problem.model).__name__} is another one. Use "
            "LeaveOneOutSearchCV."
        )
    emptied = last_rows_of_a_class(objective)
    if emptied[objective.sample_weight > 0].all():
        raise ValueError(
            "there is no leave-one-out loss, because without any row a class is empty. At least "
            "one class needs two rows of positive weight."
        )
    problem.warn_undefined(np.flatnonzero(emptied))
    curve = _Curve(
        LeaveOneOutPath(_compact(objective), problem.sample_weight, method), start, power
    )
    flops = float(objective.n_rows) * objective.n_parameters**2
    with blas_for(flops if method == "newton" else np.inf):
        _minimise(curve, np.log(bounds), tol, progress)
    return _result(curve, estimator, name, bounds, tol, (X, y, sample_weight))


def _check_bounds(bounds):
    """Return the bounds as two positive floats in ascending order; raise on anything else."""
    try:
        low, high = (float(bound) for bound in bounds)
    except (TypeError, ValueError):
        low = high = np.nan
    if not 0 < low < high < np.inf:
        raise ValueError(f"bounds should be two numbers with 0 < low < high; got {shown(bounds)}.")
    return low, high


def _parameter(estimator, param):
    """Full name of a parameter of the last step that is the strength of its penalty."""
    short = param.rpartition("__")[2] if isinstance(param, str) else None
    full = final_parameter(estimator, short) if short in EXPONENTS else None
    if full is not None and param in (short, full):
        return full
    names = {name: final_parameter(estimator, name) for name in EXPONENTS}
    known = [name for pair in names.items() if pair[1] for name in pair]
    if not known:
        raise ValueError(
            "optimize_regularization supports the strength C of logistic regression and of support "
            "vector machines with a smooth loss and an L2 penalty; "
            f"{type(final_step(estimator)).__name__} has no C; got param={shown(param)}. "
            "LeaveOneOutSearchCV takes a grid of any parameter."
        )
    raise ValueError(
        f"param should be {' or '.join(map(repr, dict.fromkeys(known)))}, the strength of the last "
        f"step's penalty; got {shown(param)}."
    )


def _compact(objective):
    """Return the objective in coordinates of its row space, if it has more columns than rows."""
    curvature = make_curvature(objective)
    if curvature.kind == "cg":
        raise NotImplementedError(
            "optimize_regularization needs a factor of the curvature, which does not fit in "
            "memory. Use LeaveOneOutSearchCV."
        )
    return in_row_space(objective, curvature)[0]


class _Curve:
    """The loss as a function of x = log(param), with all points computed so far."""

    def __init__(self, path, start, power):
        self.path, self.start, self.power = path, np.log(start), power
        self.points = {}

    def derivative(self, x):
        """Derivative of the loss at x."""
        if x not in self.points:
            loss, slope, error = self.path.evaluate(self.power * (x - self.start))
            self.points[x] = loss, self.power * slope, error
        return self.points[x][1]

    def best(self):
        """Point x with the least loss so far."""
        return min(self.points, key=lambda x: self.points[x][0])


def _minimise(curve, bounds, tol, progress):
    """Compute one point in each decade, then the root of the derivative beside the best point."""
    decades = (bounds[1] - bounds[0]) / np.log(10.0)
    n_points = max(3, int(np.ceil(POINTS_A_DECADE * decades)) + 1)
    for x in tracked(np.linspace(*bounds, n_points), progress):
        curve.derivative(float(x))

    def slope_or_zero(x):  # Brent's method stops at an exact zero
        slope = curve.derivative(x)
        return 0.0 if abs(slope) <= tol else slope

    for _ in range(MAX_HALVINGS):
        best = curve.best()
        slope = slope_or_zero(best)
        order = sorted(curve.points)
        beside = order.index(best) + (-1 if slope > 0 else 1)
        if slope == 0.0 or not 0 <= beside < len(order):
            return  # stationary, or falling beyond a bound
        bracket = sorted((best, order[beside]))
        if curve.derivative(order[beside]) * slope >= 0:
            curve.derivative(0.5 * sum(bracket))
            continue
        root = brentq(slope_or_zero, *bracket, xtol=1e-12, rtol=1e-12)
        curve.derivative(root)
        if bracket[0] <= curve.best() <= bracket[1]:
            return


def _result(curve, estimator, name, bounds, tol, data):
    """Fit at the best point, and sort the points of the curve."""
    best = curve.best()
    order = sorted(curve.points)
    loss, gradient, error = curve.points[best]
    outward = (best == order[0] and gradient > 0) or (best == order[-1] and gradient < 0)
    at_bound = bool(outward and abs(gradient) > tol)
    values = np.exp(order)
    values[[0, -1]] = bounds  # exp(log(bound)) may differ from the bound by rounding
    value = float(values[order.index(best)])
    X, y, sample_weight = data
    chosen = clone(estimator).set_params(**{name: value})
    fitted = chosen.fit(X, y, **weight_params(chosen, sample_weight))
    columns = np.array([curve.points[x] for x in order])
    return OptimizedRegularization(
        estimator=fitted,
        param=name,
        best_value=value,
        best_loss=loss,
        standard_error=error,
        gradient=gradient,
        at_bound=at_bound,
        converged=bool(at_bound or abs(gradient) <= tol),
        values=values,
        losses=columns[:, 0],
        standard_errors=columns[:, 2],
        derivatives=columns[:, 1],
        method=curve.path.method,
    )
