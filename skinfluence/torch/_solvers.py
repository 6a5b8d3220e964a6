"""Solvers of (H + damping I) x = b for a symmetric H that is known by its products."""

from dataclasses import dataclass

import numpy as np
import torch

# Steps of Lanczos' method for the ends of the spectrum, and random vectors for its mean.
SPECTRUM_STEPS, SPECTRUM_PROBES = 40, 8
# For damping="auto" H is positive definite if its smallest eigenvalue is above DEFINITE times the
# mean size of an eigenvalue. If it is 0 to within ROUNDED there are directions in which nothing
# changes (a rotation of the units of a layer, the sum of the outputs of a softmax): the FLAT share
# makes the solve possible and moves no eigenvalue that counts. If it is negative, the weights are
# at no minimum: 1.5 times its size is added, and the INDEFINITE share.
DEFINITE, ROUNDED, FLAT, INDEFINITE = 1e-6, 1e-9, 1e-5, 1e-2
# Vectors that a product is applied to at once.
VECTORS = 32


@dataclass(frozen=True)
class Spectrum:
    """Ends of the spectrum of H and the mean size of an eigenvalue, exact or estimated."""

    smallest: float
    largest: float
    mean: float

    def damping(self):
        """Return the damping that "auto" takes."""
        if self.smallest > DEFINITE * self.mean:
            return 0.0
        if self.smallest > -ROUNDED * max(self.largest, self.mean):
            return FLAT * self.mean
        return 1.5 * max(0.0, -self.smallest) + INDEFINITE * self.mean


def lanczos(product, size, steps, generator, like):
    """Ritz values (s,) and vectors (size, s) of a symmetric operator, by Lanczos' method.

    With full reorthogonalisation: the steps are few, and the products cost more.
    """
    steps = min(steps, size)
    basis = like.new_zeros(steps, size)
    alpha, beta = np.zeros(steps), np.zeros(steps)
    vector = _normal((size,), generator, like)
    vector /= vector.norm()
    for j in range(steps):
        basis[j] = vector
        moved = product(vector[:, None])[:, 0]
        alpha[j] = float(moved @ vector)
        for _ in range(2):
            moved = moved - basis[: j + 1].T @ (basis[: j + 1] @ moved)
        beta[j] = float(moved.norm())
        if beta[j] <= 1e-7 * max(np.abs(alpha[: j + 1]).max(), 1e-30) or j + 1 == steps:
            steps = j + 1
            break
        vector = moved / beta[j]
    off = beta[: steps - 1]
    T = np.diag(alpha[:steps]) + np.diag(off, 1) + np.diag(off, -1)
    values, vectors = np.linalg.eigh(T)
    return values, basis[:steps].T @ torch.as_tensor(vectors, dtype=like.dtype, device=like.device)


def spectrum(product, size, generator, like):
    """Spectrum estimated by Lanczos' method and random vectors."""
    values, _ = lanczos(product, size, SPECTRUM_STEPS, generator, like)
    probes = torch.sign(_normal((size, SPECTRUM_PROBES), generator, like))
    mean = float((probes * product(probes)).sum() / probes.numel())
    return Spectrum(values[0], values[-1], max(abs(mean), np.abs(values).mean() * 1e-3))


class DenseSolver:
    """The eigenvalues and eigenvectors of H (P, P), in float64: the oracle."""

    def __init__(self, H):
        self.values, self.vectors = np.linalg.eigh(0.5 * (H + H.T))

    @property
    def spectrum(self):
        """Its exact spectrum."""
        values = self.values
        return Spectrum(float(values[0]), float(values[-1]), float(np.abs(values).mean()))

    def solve(self, B, damping):
        """Return x (P, m), and no number of products."""
        check_definite(self.values[0] + damping, self.values[-1], damping)
        right = self.vectors.T @ B.cpu().numpy().astype(float)
        found = self.vectors @ (right / (self.values + damping)[:, None])
        return torch.as_tensor(found, dtype=B.dtype, device=B.device), 0


def formed(product, size, like):
    """The matrix (size, size) of an operator, column by column."""
    H = np.empty((size, size))
    for start in range(0, size, VECTORS):
        part = slice(start, min(start + VECTORS, size))
        unit = like.new_zeros(size, part.stop - start)
        unit[torch.arange(start, part.stop), torch.arange(part.stop - start)] = 1.0
        H[:, part] = product(unit).cpu().numpy()
    return H


def check_definite(smallest, largest, damping):
    """Raise unless the damped curvature is positive definite."""
    if not smallest > 1e-13 * abs(largest):
        raise np.linalg.LinAlgError(
            f"H + {damping:.3g} I is not positive definite (smallest eigenvalue {smallest:.3g}): "
            "the weights are not at a minimum that one solve can describe. Raise damping, use "
            "damping='auto' or curvature='ggn'."
        )


class ArnoldiSolver:
    """H on the space of its leading eigenvectors, found once and inverted for many right sides.

    The part of a right side outside that space is dropped (Schioppa, Zablotskaia, Vilar & Sokolov,
    Scaling up influence functions, AAAI 2022).
    """

    def __init__(self, product, size, rank, generator, like):
        steps = min(size, 2 * rank + 10)
        values, vectors = lanczos(product, size, steps, generator, like)
        kept = np.sort(np.argsort(-np.abs(values), kind="stable")[:rank])
        self.values, self.vectors = values[kept], vectors[:, kept.tolist()]

    def solve(self, B, damping):
        """Return x (P, m), and no number of products."""
        check_definite(self.values.min() + damping, self.values.max(), damping)
        inverse = torch.as_tensor(1.0 / (self.values + damping), dtype=B.dtype, device=B.device)
        return self.vectors @ (inverse[:, None] * (self.vectors.T @ B)), 0


def nystroem(product, size, rank, generator, like):
    """Eigenvalues (r,) and vectors (P, r) of a random low-rank approximation of a positive H.

    Frangella, Tropp & Udell, Randomized Nystroem preconditioning, SIAM Journal on Matrix Analysis
    and Applications 44, 2023, Algorithm 2.1.
    """
    rank = min(rank, size)
    test = torch.linalg.qr(_normal((size, rank), generator, like))[0]
    Y = torch.cat([product(part) for part in torch.split(test, VECTORS, dim=1)], dim=1)
    shift = torch.finfo(Y.dtype).eps * Y.norm() * np.sqrt(size)
    Y = Y + shift * test
    core = test.T @ Y
    lower = torch.linalg.cholesky(0.5 * (core + core.T))
    U, s, _ = torch.linalg.svd(
        torch.linalg.solve_triangular(lower, Y.T, upper=False).T, full_matrices=False
    )
    return torch.clamp(s**2 - shift, min=0.0), U


def conjugate_gradients(product, B, damping, preconditioner, *, tol, max_iter):
    """Solve for all columns of B at once, each with steps of its own; (x, number of products)."""
    X, R = torch.zeros_like(B), B.clone()
    goal = tol * B.norm(dim=0)
    Z = preconditioner(R)
    D, rz = Z.clone(), (R * Z).sum(dim=0)
    n_products = 0
    while n_products < max_iter:
        live = torch.nonzero(R.norm(dim=0) > goal).flatten()
        if not len(live):
            break
        d = D[:, live]
        moved = product(d) + damping * d
        n_products += 1
        curved = (d * moved).sum(dim=0)
        if not bool((curved > 0).all()):
            raise np.linalg.LinAlgError(
                f"H + {damping:.3g} I has negative curvature: the weights are not at a minimum. "
                "Raise damping, use damping='auto' or curvature='ggn'."
            )
        step = rz[live] / curved
        X[:, live] += step * d
        R[:, live] -= step * moved
        Z = preconditioner(R[:, live])
        new = (R[:, live] * Z).sum(dim=0)
        D[:, live] = Z + (new / rz[live]) * d
        rz[live] = new
    return X, n_products


def nystroem_preconditioner(values, vectors, damping):
    """Inverse of the damped low-rank approximation, times its smallest eigenvalue."""
    last = values[-1]
    scale = (last + damping) / (values + damping)

    def apply(R):
        inner = vectors.T @ R
        return R + vectors @ ((scale - 1.0)[:, None] * inner)

    return apply


def lissa(sampled, B, damping, scale, *, tol, max_iter):
    """Solve by the recursion s <- b + s - (H + damping I) s / scale; (x, number of products).

    Agarwal, Bullins & Hazan, Second-order stochastic optimization, JMLR 18, 2017; Koh & Liang 2017.
    `sampled(S)` is a product with H, or with that of a random sample of the rows. The scale starts
    at the largest eigenvalue; where the recursion grows it is doubled and the recursion starts
    anew.

    Raises
    ------
    numpy.linalg.LinAlgError
        If it grows at every scale: the damped curvature is not positive definite.
    """
    size = B.norm(dim=0)
    n_products = 0
    for _ in range(8):
        S, change = B.clone(), size
        for _ in range(max_iter):
            following = B + S - (sampled(S) + damping * S) / scale
            n_products += 1
            before, change = change, (following - S).norm(dim=0)
            S = following
            if not bool((change <= 10.0 * torch.maximum(before, size)).all()):
                break
            if bool((change <= tol * size).all()):
                return S / scale, n_products
        else:
            if bool((change <= 2.0 * size).all()):
                return S / scale, n_products
        scale = 2.0 * scale
    raise np.linalg.LinAlgError(
        f"LiSSA diverges at every scale up to {scale / 2:.3g}: H + {damping:.3g} I is not positive "
        "definite. Raise damping, use damping='auto' or curvature='ggn'."
    )


def _normal(shape, generator, like):
    """Normal numbers drawn on the CPU, the same for every device."""
    drawn = torch.as_tensor(generator.standard_normal(shape))
    return drawn.to(like.device, like.dtype)
