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


def weighted_means(values, weight):
    """Pairs (c) of the `weighted_mean` of each of several rows of values (c, n)."""
    if np.isnan(values).any() or not (weight > 0).all() or values.shape[1] < 2:
        return [weighted_mean(own, weight) for own in values]
    n, share = values.shape[1], weight / weight.sum()
    mean = np.vecdot(values, share)
    spread = np.sum(share**2 * (values - mean[:, None]) ** 2, axis=1)
    return list(zip(mean.tolist(), np.sqrt(spread * n / (n - 1)).tolist(), strict=True))
