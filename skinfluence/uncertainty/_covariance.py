"""Covariances of the parameters: sums of outer products of the effects of single rows."""

import html
import numbers
from dataclasses import dataclass
from itertools import islice

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from skinfluence._frames import HTML_ROWS, DataFrame, Result, data_frame, named_frame
from skinfluence._parallel import row_blocks
from skinfluence._validation import listed, shown
from skinfluence.deletion import GroupDeletion, OneStep, delete_exactly
from skinfluence.losses import SquaredLoss

HETEROSCEDASTIC = ("HC0", "HC1", "HC2", "HC3", "infinitesimal_jackknife")
CLUSTERED = ("CR0", "CR3")
KINDS = ("model", *HETEROSCEDASTIC, "jackknife", *CLUSTERED)


@dataclass(frozen=True, repr=False)
class ParameterCovariance(Result):
    """Covariance matrix of the coefficients.

    Attributes
    ----------
    matrix : ndarray of shape (P, P)
        Ordered output by output if there are several; in each the intercept first, then the
        features.
    names : tuple of str, length P
        Names of the rows: "const" for the intercept (``"const_"`` where a feature is named so);
        with several outputs, the class or the number of the response stands before a colon.
    kind : str
        Kind of estimate, as in :meth:`InfluenceExplainer.parameter_covariance`.
    estimate : ndarray of shape (P,)
        Estimated coefficients, in the same order.
    df : float
        Degrees of freedom of a test of one coefficient: inf for a normal distribution.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skinfluence import InfluenceLinearRegression
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
    >>> robust = InfluenceLinearRegression().fit(X, y).parameter_covariance("HC3")
    >>> robust.names[:3], robust.matrix.shape
    (('const', 'age', 'sex'), (11, 11))
    """

    matrix: np.ndarray
    names: tuple
    kind: str
    estimate: np.ndarray
    df: float = np.inf

    @property
    def standard_error(self) -> np.ndarray:
        """Standard errors, the square roots of the diagonal, (P,)."""
        return np.sqrt(np.maximum(self.matrix.diagonal(), 0.0))

    def to_frame(self) -> DataFrame:
        """Return the matrix as a pandas DataFrame, with the names of rows and columns.

        Returns
        -------
        pandas.DataFrame
            Frame of shape (P, P).
        """
        return named_frame(self.matrix, list(self.names), list(self.names))

    def summary(self, level: float = 0.95) -> DataFrame:
        """Return one line for each coefficient: estimate, error, test and interval.

        Student's t with n - p degrees of freedom where the dispersion of the responses is estimated
        (least squares, gamma, Tweedie and inverse Gaussian regression), with G - 1 for G clusters;
        the normal distribution, z, for all others. So do R's ``summary``, ``coeftest`` and Stata;
        statsmodels takes z for every robust covariance.

        Parameters
        ----------
        level : float, default=0.95
            Of the interval.

        Returns
        -------
        pandas.DataFrame
            Columns coefficient, standard_error, t or z, p, lower and upper, indexed by the names.

        Raises
        ------
        ValueError
            For a level that is not between 0 and 1.

        Examples
        --------
        >>> from sklearn.datasets import load_diabetes
        >>> from skinfluence import InfluenceLinearRegression
        >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
        >>> found = InfluenceLinearRegression().fit(X, y).parameter_covariance("HC3")
        >>> print(found.summary().loc[["bmi", "age"], ["coefficient", "t", "p"]].round(3))
             coefficient      t      p
        bmi      519.846  7.579  0.000
        age      -10.010 -0.172  0.864
        """
        if not isinstance(level, numbers.Real) or not 0 < level < 1:
            raise ValueError(f"level should be between 0 and 1; got {shown(level)}.")
        error, df = self.standard_error, self.df
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = self.estimate / error
        normal = np.isinf(df)
        tail = ndtr(-np.abs(ratio)) if normal else stdtr(df, -np.abs(ratio))
        width = ndtri(0.5 + level / 2) if normal else stdtrit(df, 0.5 + level / 2)
        columns = {"coefficient": self.estimate, "standard_error": error}
        columns |= {"z" if normal else "t": ratio, "p": 2.0 * tail}
        columns |= {"lower": self.estimate - width * error, "upper": self.estimate + width * error}
        frame = data_frame(columns)
        frame.index = list(self.names)
        return frame

    def __repr__(self):
        """The kind, and the first coefficients with their standard errors."""
        some = zip(self.names, self.estimate, self.standard_error, strict=True)
        shown = [f"{name} {value:.4g} +- {error:.2g}" for name, value, error in islice(some, 3)]
        more = ", ..." if len(self.names) > len(shown) else ""
        return (
            f"ParameterCovariance of {len(self.names)} coefficients ({self.kind}): "
            f"{', '.join(shown)}{more}"
        )

    def _repr_html_(self):
        """The text, and the summary."""
        text = f"<pre>{html.escape(repr(self))}</pre>"
        try:
            return text + self.summary().to_html(max_rows=HTML_ROWS, border=0)
        except ImportError:
            return text


def degrees_of_freedom(objective, curvature, kind, n_clusters=None):
    """Degrees of freedom of tests of single coefficients; inf for a normal distribution.

    Parameters
    ----------
    objective : Objective
    curvature : callable
        Returns the curvature that leverages need.
    kind : str
    n_clusters : int, optional
    """
    if kind in CLUSTERED:
        return float(n_clusters - 1)
    loss = objective.loss
    if loss.family is None or loss.has_known_dispersion:
        return np.inf
    used, penalty = np.count_nonzero(objective.sample_weight), objective.penalty
    if not (np.any(penalty.strength) or penalty.is_kinked or penalty.has_fixed):
        return max(float(used - objective.design.shape[1]), 1e-9)  # leverages add up to that
    one_minus = curvature().leverage().one_minus
    n_effective = np.sum(1.0 - np.einsum("ikk->ik", one_minus)) / objective.n_outputs
    return max(float(used - n_effective), 1e-9)


def covariance(objective, curvatures, kind, *, groups=None, small_sample=False, names=None):
    """Return the covariance matrix (K q, K q) of a caller's parameters.

    Class by class, the intercept last.

    Parameters
    ----------
    objective : Objective
        Objective at its optimum.
    curvatures : callable
        `curvatures(method)` returns the curvature that a method of deletion needs.
    kind : str
        One of KINDS.
    groups : list of ndarray of int, optional
        Clusters, for the kinds in CLUSTERED.
    small_sample : bool
        Whether to multiply these by their small-sample factor.
    names : ndarray of shape (n,), optional
        Names of the rows, for errors; positions by default.
    """
    names = np.arange(objective.n_rows) if names is None else names
    if kind == "model":
        return _model(objective, curvatures("first_order"))
    if kind == "jackknife":
        found = _jackknife(objective, curvatures("exact"), names)
    elif kind in CLUSTERED:
        found = _clustered(objective, curvatures, kind, groups, small_sample)
    else:
        found = _sandwich(objective, curvatures, kind, names)
    return _about_zero(objective, found)


def _about_zero(objective, matrix):
    """Covariance matrix (P, P) of a caller's parameters, from that of theta."""
    by_output = (objective.n_parameters, *objective.theta.shape)
    for _ in range(2):  # rows, then columns
        matrix = objective.design.about_zero(matrix.T.reshape(by_output)).reshape(matrix.shape)
    return matrix


def _model(objective, curvature):
    """Dispersion times H^-1, on unpenalised columns without its part along the null direction.

    The rank-one term that makes H invertible there would otherwise appear as a variance: the
    parameters are identified only up to the null direction, as deviations from their mean.
    """
    K, q = objective.n_outputs, objective.design.shape[1]
    # Before the null space is taken out: that is one of a caller's intercepts.
    inverse = _about_zero(objective, curvature.solve(np.eye(K * q)))
    if curvature.null_space_ridge is not None:
        blocks = inverse.reshape(K, q, K, q)
        free = np.flatnonzero(curvature.null_space_ridge)
        blocks[:, free] -= blocks[:, free].mean(axis=0)
        blocks[:, :, :, free] -= blocks[:, :, :, free].mean(axis=2, keepdims=True)
    dispersion = np.kron(dispersion_of(objective, curvature), np.ones((q, q)))
    if K > 1 and isinstance(objective.loss, SquaredLoss):  # correlated responses, one H
        inverse = np.tile(inverse[:q, :q], (K, K))
    return dispersion * inverse


def dispersion_of(objective, curvature):
    """Dispersion of the responses, (K, K): ones, or mean products of the Pearson residuals."""
    loss, K = objective.loss, objective.n_outputs
    if loss.has_known_dispersion:
        return np.ones((K, K))
    if loss.family is None:
        raise NotImplementedError(
            f"kind='model' needs a likelihood, and the {loss.name} is none. Use 'HC0' or "
            "'jackknife'."
        )
    pearson = loss.pearson_residual(objective.y, objective.native(objective.eta))
    pearson = pearson.reshape(-1, K)
    leverage = curvature.leverage()
    n_effective = np.sum(1.0 - np.einsum("ikk->ik", leverage.one_minus)) / K
    freedom = np.count_nonzero(objective.sample_weight) - n_effective
    if freedom <= 1e-9:
        raise ValueError(
            "kind='model' needs more rows than parameters, to estimate the dispersion. Use "
            "'jackknife'."
        )
    return objective.weigh(pearson).T @ pearson / freedom


def _sandwich(objective, curvatures, kind, names):
    """Sum over rows of outer products of their steps, with the leverage correction of `kind`."""
    corrected = kind in ("HC2", "HC3")
    rows = np.arange(objective.n_rows)
    curvature = curvatures("newton" if corrected else "first_order")
    step = OneStep(objective, curvature, rows, corrected=kind == "HC3")
    if corrected:
        _check_leverages(step, names)
    if kind == "HC2":
        half, leverage = _half_corrected(objective, step), step.leverage
        step = OneStep(
            objective, curvature, rows, corrected=False, leverage=leverage, multipliers=half
        )
    found = _sum_of_squares(objective, step)
    if kind == "HC1":
        n, P = np.count_nonzero(objective.sample_weight), _n_free(objective)
        if n <= P:
            raise ValueError(f"kind='HC1' needs more rows than parameters; got {n} and {P}.")
        found *= n / (n - P)
    return found


def _n_free(objective):
    """Number of parameters that are not fixed at 0: of Huber's scale only the intercept is free."""
    return objective.n_parameters - len(objective.fixed_at_zero)


def _check_leverages(step, names):
    """Raise if a row has leverage 1, so that it alone determines its own fit."""
    used = step.objective.sample_weight > 0
    lost = used & (np.linalg.eigvalsh(step.leverage.one_minus)[:, 0] <= 1e-10)
    if lost.any():
        raise np.linalg.LinAlgError(
            f"rows {listed(names[lost])} have a leverage of 1: they are fitted "
            "exactly, and 'HC2' and 'HC3' divide by 0. Use 'HC0', or drop the columns whose "
            "coefficients these rows alone determine."
        )


def _half_corrected(objective, step):
    """(I - W_i A_i)^(-1/2) g_i of every row, (n, K), by eigenvalues."""
    # With W = L L', I - W A has the eigenvalues of the symmetric I - L'A L, between 0 and 1: an
    # imaginary part is rounding.
    values, vectors = np.linalg.eig(
        np.eye(objective.n_outputs) - np.matmul(objective.weights, step.leverage.quadratic)
    )
    inner = np.linalg.solve(vectors, objective.residuals[:, :, None].astype(vectors.dtype))
    inner /= np.sqrt(values)[:, :, None]
    return np.real(np.matmul(vectors, inner)[:, :, 0])


def _sum_of_squares(objective, deletion, center=None):
    """Sum of the outer products of the steps of a deletion, minus `center` if given, (P, P)."""
    P = objective.n_parameters
    total = np.zeros((P, P))
    live = np.flatnonzero(objective.sample_weight > 0)
    for part in row_blocks(objective.n_rows, 8 * 3 * P, at_most=4096):
        kept = np.isin(np.arange(part.start, part.stop), live)
        steps = deletion.steps(part).reshape(-1, P)[kept]
        if center is not None:
            steps = steps - center
        total += steps.T @ steps
    return total


def _jackknife(objective, curvature, names):
    """(n - 1) / n times the sum of outer products of the refits about their mean."""
    rows = np.flatnonzero(objective.sample_weight > 0)
    deletion = delete_exactly(objective, curvature, rows)
    steps = deletion.steps(slice(None)).reshape(len(rows), -1)
    missing = rows[deletion.undefined | ~np.isfinite(steps).all(axis=1)]
    if len(missing):
        raise ValueError(
            "the jackknife needs the refit without each row; there is none without rows "
            f"{listed(names[missing])}. Use 'HC0'."
        )
    about = steps - steps.mean(axis=0)
    return (len(rows) - 1) / len(rows) * about.T @ about


def _clustered(objective, curvatures, kind, groups, small_sample):
    """Sum of outer products over clusters: summed first-order steps (CR0), or refits (CR3)."""
    groups = [group[objective.sample_weight[group] > 0] for group in groups]
    groups = [group for group in groups if len(group)]
    G = len(groups)
    if G < 2:
        raise ValueError(f"clustered covariances need at least two clusters; got {G}.")
    if kind == "CR0":
        steps = _summed(objective, curvatures, groups)
    else:
        deletion = GroupDeletion(objective, curvatures(None), "exact", groups)
        steps = deletion.steps(slice(None)).reshape(G, -1)
        missing = np.flatnonzero(~np.isfinite(steps).all(axis=1))
        if len(missing):
            raise ValueError(
                "'CR3' needs the refit without each cluster; there is none without clusters "
                f"{missing[:10].tolist()} (numbered in sorted order). Use 'CR0'."
            )
    total = steps.T @ steps
    if not small_sample:
        return total
    n, P = np.count_nonzero(objective.sample_weight), _n_free(objective)
    return total * ((G - 1) / G if kind == "CR3" else G / (G - 1) * (n - 1) / (n - P))


def _summed(objective, curvatures, groups):
    """Sum of the first-order steps of the rows of each group, (G, P)."""
    rows = np.arange(objective.n_rows)
    step = OneStep(objective, curvatures("first_order"), rows, corrected=False)
    return np.stack([step.steps_of(group).sum(axis=0).ravel() for group in groups])
