"""Coordinate descent on a quadratic with an L1 penalty."""

import numpy as np

from skinfluence._kernels._compiled import compiled


@compiled
def elastic_net_sweeps(H, gradient, theta, absolute, step, n_sweeps):
    """Minimise 1/2 d'H d + g'd + sum_j absolute_j |theta_j + d_j| in place, from d = step.

    `gradient` is g + H d, and updated in place. Returns the largest change of a coordinate in the
    last sweep, times the root of its curvature.
    """
    largest = 0.0
    for _ in range(n_sweeps):
        largest = 0.0
        for j in range(len(step)):
            curvature = H[j, j]
            if curvature <= 0.0:
                continue
            now = theta[j] + step[j]
            wanted = curvature * now - gradient[j]
            moved = max(abs(wanted) - absolute[j], 0.0) / curvature
            change = (moved if wanted > 0.0 else -moved) - now
            if change == 0.0:
                continue
            step[j] += change
            for k in range(len(step)):
                gradient[k] += change * H[j, k]
            largest = max(largest, abs(change) * np.sqrt(curvature))
        if largest == 0.0:
            break
    return largest
