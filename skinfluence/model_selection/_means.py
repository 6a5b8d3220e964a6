"""Weighted means over rows."""

import numpy as np


def weighted_mean(values, weight):
    """Weighted mean of the values that are not NaN, and its standard error over rows."""
    used = ~np.isnan(values) & (weight > 0)
    n = int(used.sum())
    if n == 0:
        return np.nan, np.nan
    share = weight[used] / weight[used].sum()
    mean = float(share @ values[used])
    spread = float(np.sum(share**2 * (values[used] - mean) ** 2))
    return mean, float(np.sqrt(spread * n / (n - 1))) if n > 1 else np.nan
