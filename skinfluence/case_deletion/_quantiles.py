"""Quantiles that sorted residuals are drawn against."""

import numpy as np
from scipy.special import betaincinv, ndtri, stdtrit


def residual_quantiles(n, df, level):
    """Compute (median, low, high) of the order statistics of n independent residuals.

    The k-th smallest of n uniform numbers has the Beta(k, n - k + 1) distribution: exact, pointwise
    limits that hold with probability `level`. From Student's t with `df` degrees of freedom; from
    the normal distribution where it is inf.

    Parameters
    ----------
    n : int
        Number of residuals.
    df : float
        Degrees of freedom.
    level : float
        Probability between the limits.

    Returns
    -------
    ndarray of shape (3, n)
        Medians, lower and upper limits.
    """
    k = np.arange(1, n + 1)
    tail = 0.5 * (1.0 - level)
    uniform = np.array([betaincinv(k, n - k + 1, at) for at in (0.5, tail, 1.0 - tail)])
    return ndtri(uniform) if np.isinf(df) else stdtrit(df, uniform)
