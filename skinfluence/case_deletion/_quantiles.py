"""Quantiles of sorted residuals, for quantile-quantile plots."""

import numpy as np
from scipy.special import betaincinv, ndtri, stdtrit


def residual_quantiles(n, df, level):
    """Compute (median, low, high) of the order statistics of n independent residuals.

    The k-th smallest of n uniform numbers has the Beta(k, n - k + 1) distribution. So the limits
    are exact, and hold pointwise with probability `level`. The residuals have Student's t
    distribution with `df` degrees of freedom, or the normal distribution if `df` is inf.

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
