r"""Bounds on the distance between a step and the refit, for self-concordant losses.

For a loss with |l'''[u, v, v]| <= M |u| l''[v, v], |u| being Loss.extent, G the curvature of the
objective without row i at theta and ||.||_G its norm: let a step d leave the gradient r, and let

    nu = ||r||_{G^-1},   kappa = M max_j |Z_j d|,   R = max_j sup_{||e||_G <= 1} |Z_j e|

over the remaining rows j. If zeta = M R nu exp(kappa) < 1, the refit lies within

    E = -log(1 - zeta) / (M R)

of theta + d in the norm of G; otherwise nothing is known and E = inf. The Newton step of length
s = ||d||_G leaves nu <= phi(kappa) s with phi(t) = (exp(t) - 1 - t) / t.
"""

import numpy as np


def newton_remainder(kappa, length):
    """Bound phi(kappa) s on the gradient that the Newton step of a length leaves."""
    with np.errstate(over="ignore", invalid="ignore"):
        series = kappa / 2 * (1 + kappa / 3 * (1 + kappa / 4))  # where expm1 - t would cancel
        phi = np.where(kappa < 1e-3, series, (np.expm1(kappa) - kappa) / np.maximum(kappa, 1e-300))
        # The cut series is below phi by less than kappa^4 / 120 of it.
        return np.where(kappa < 1e-3, phi * (1 + kappa**3), phi) * length


def distance(nu, kappa, reach, M):
    """E, the bound on ||theta_-i - theta - d||_G; inf where there is none, 0 for M = 0."""
    if not np.isfinite(M):
        return np.full(np.shape(nu), np.inf)
    if M == 0:
        return np.asarray(nu, dtype=float)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        zeta = M * reach * nu * np.exp(kappa)
        E = -np.log1p(-np.minimum(zeta, 1.0)) / (M * reach)
        E = np.where(reach == 0, nu, E)
    return np.where((zeta < 1.0) & np.isfinite(nu), E, np.inf)


def after_chord_step(E, kappa, reach, M):
    """Bound after adding -G^-1 r to the step: (exp(kappa + M R E) - 1) E.

    The error is G^-1 (G - G') (theta + d - theta_-i) with G' the mean curvature on the segment
    between the two, whose rows have moved by at most kappa / M + R E.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        bound = np.expm1(kappa + M * reach * E) * E
    return np.where(np.isfinite(E), bound, np.inf)
