r"""Proven distance between a parameter and the optimum of an objective, from the gradient there.

Let G be the Hessian of the objective at some parameter theta_0, r the gradient at theta, and nu its
norm in G^-1. For a self-concordant loss :func:`skinfluence.deletion.certificate.distance` bounds
||theta - theta*||_G by E; the chord step -G^-1 r from theta then leaves
:func:`~skinfluence.deletion.certificate.after_chord_step`. In the Euclidean norm both are at most
lambda_max(G^-1)^(1/2) as long.

The matrix A at hand may be off from G by products in float32, by at most `off` in the spectral
norm. With L the bound of the largest eigenvalue of (A + off)^-1 and s = off L,

    (1 - 2 s) A <= G <= A / (1 - s),

as A + off >= 1 / L, A >= (1 - s)(A + off), G >= A + off - 2 off and G <= A + off. So norms in G^-1
are at most (1 - 2 s)^(-1/2) times those in A^-1. A step -A^-1 r is off by A^-1 (G - A) beside what
the curvature changes by, and leaves 2 s / (1 - 2 s) more, all of it over 1 - s. Any other step
leaves at most the norm of its difference from that one more.

Where every parameter is penalised by at least m, ||theta - theta*|| <= ||r|| / m, whatever convex
the loss.

What rounding adds to the computed gradient is bounded too: a sum of n products is off by at most
n eps times the sum of their sizes, and a predictor of q terms by q eps |z_i| |theta|, which moves
its residual by W_i times as much.
"""

from dataclasses import dataclass

import numpy as np

from skinfluence.deletion.certificate import after_chord_step, distance

EPS = np.finfo(float).eps
# What a solve with a factor of condition up to 1e8 may be off by, relatively.
SOLVED = 1.0 + 1e-6


@dataclass(frozen=True)
class RefitBound:
    """Proven distance to an optimum.

    Attributes
    ----------
    coefficient : float
        Of any one coefficient; inf where nothing is proven.
    parameter : float
        Euclidean norm of the whole difference, in the coordinates of the design.
    gradient : float
        Euclidean norm of the gradient that the proof begins with, its rounding included.
    by : str
        "self-concordance", "strong convexity", "quadratic" or "none".
    rounding : float
        What of `coefficient` is due to the rounding of the gradient: no other factor lowers it.
    """

    coefficient: float
    parameter: float
    gradient: float
    by: str
    rounding: float = 0.0


def rounding_of_gradient(objective):
    """Bound on the norm of what rounding adds to an objective's gradient."""
    n, q = objective.design.shape
    norm = objective.design.largest_row_norm
    terms = float(objective.residual_terms.sum())
    curvature = float(np.abs(objective.weight_diagonals).sum())
    theta = float(np.linalg.norm(objective.theta))
    penalty = float(np.linalg.norm(objective.penalty.gradient(objective.theta)))
    sums = (n + 4) * norm * terms + (q + 2) * curvature * norm**2 * theta
    return EPS * (sums + 4 * penalty)


def bound_from(at, factor, gradient_norm, moved, *, stepped, apart=0.0):
    """Return the RefitBound of where a chord has ended, or of `at` itself.

    Parameters
    ----------
    at : Objective
        Where the gradient was evaluated.
    factor : JointFactor
        G, of the same rows.
    gradient_norm : float
        Norm of the gradient in G^-1.
    moved : float
        Largest change of a predictor from the factor's parameter to `at`.
    stepped : bool
        Whether the step -G^-1 r was taken from there.
    apart : float
        Norm in G of the difference between the step that was taken and that one.
    """
    M, loss = at.loss.self_concordance, at.loss
    gradient = float(np.linalg.norm(at.gradient))
    rounding = float(rounding_of_gradient(at))
    variance, largest = factor.variances()
    share = factor.off * largest
    if not 2.0 * share < 1.0:
        share, largest = 0.0, np.inf
    # From here on of G itself, not of the matrix at hand.
    variance, largest = variance / (1.0 - 2.0 * share), largest / (1.0 - 2.0 * share)
    stretch, error = 1.0 / (1.0 - share), 2.0 * share / (1.0 - 2.0 * share)
    if at.penalty.is_kinked or not np.isfinite(largest) or (variance < 0).any():
        return RefitBound(np.inf, np.inf, gradient + rounding, "none")
    found = RefitBound(np.inf, np.inf, gradient + rounding, "none")
    if np.isfinite(M):
        unit = np.eye(at.n_outputs)[None] * largest * at.design.largest_row_norm**2
        reach = float(loss.max_predictor_change(unit)[0])
        added = np.sqrt(largest) * rounding
        nu = SOLVED * gradient_norm / np.sqrt(1.0 - 2.0 * share)
        E = float(distance(nu + added, M * moved, reach, M))
        if stepped and M > 0:
            # The step is -A^-1 of the computed gradient: what rounding has added stays.
            left = float(after_chord_step(E, M * moved, reach, M)) + error * E + added
            apart = SOLVED * apart + (SOLVED - 1.0) * nu
            E = min(E + stretch * nu, stretch * left) + stretch * apart
        elif stepped:
            E = stretch * (added + error * E + (SOLVED - 1.0) * nu)
        by = "self-concordance" if M > 0 else "quadratic"
        found = RefitBound(
            float(E * np.sqrt(variance.max(initial=0.0))),
            float(E * np.sqrt(largest)),
            float(gradient + rounding),
            by if np.isfinite(E) else "none",
            float(added * np.sqrt(variance.max(initial=0.0))),
        )
    return found if stepped else _sharper(found, at, gradient + rounding)


def _sharper(found, at, gradient):
    """Return the smaller of a bound and of |gradient| / m, where every parameter is penalised."""
    strength = np.delete(at.hessian_diagonal, at.fixed_at_zero)
    least = float(strength.min(initial=np.inf))
    if not at.loss.is_convex or at.penalty.is_kinked or not 0 < least < np.inf:
        return found
    length = float(gradient / least)
    if not at.is_at_its_own_optimum or length >= found.parameter:
        return found
    return RefitBound(min(length, found.coefficient), length, gradient, "strong convexity")


def bound_at(at, factor):
    """Return the RefitBound of an objective's own parameter, with a factor of its Hessian there."""
    solved = factor.solve(at.gradient.reshape(-1, 1))
    nu = float(np.sqrt(max(0.0, float(at.gradient.ravel() @ solved[:, 0]))))
    return bound_from(at, factor, nu, 0.0, stepped=False)
