"""(H + damping I)^-1 of the losses of a network, by one of four solvers, with its residual."""

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning

from skinfluence._memory import check_memory
from skinfluence._validation import warn
from skinfluence.torch import _solvers

CURVATURES = ("hessian", "ggn")
SOLVERS = ("dense", "cg", "arnoldi", "lissa")
# Relative residual of an iterative solver above which an answer is warned about, where its own
# tolerance is below that: a tenth of a right side is not explained.
FAR = 0.1


class DampedInverse:
    """Solves with the damped curvature of a SumOfLosses.

    Parameters
    ----------
    total : SumOfLosses
    kind : {"hessian", "ggn"}
    solver : {"dense", "cg", "arnoldi", "lissa"}
    damping : "auto" or float
    rank, tol, max_iter, random_state
        As of `NetworkInfluence`.
    sample : int, optional
        Rows of a sample of "lissa"; all of them in each product by default.

    Attributes
    ----------
    damping : float
        The damping used.
    """

    def __init__(
        self, total, kind, solver, damping, *, rank, tol, max_iter, random_state, sample=None
    ):
        self.total, self.kind, self.solver = total, kind, solver
        self.options = {"tol": tol, "max_iter": max_iter}
        self.sample, self.random_state = sample, random_state
        size, like = total.network.n_parameters, total.network.theta
        generator = np.random.default_rng(random_state)
        spectrum = self.decomposed = None
        if solver == "dense":
            check_memory(
                4 * 8 * size**2,
                f"the eigenvectors of a Hessian of {size} parameters",
                "use solver='cg' or 'arnoldi'",
            )
            is_ggn = kind == "ggn"
            H = total.gauss_newton() if is_ggn else _solvers.formed(self.product, size, like)
            self.decomposed = _solvers.DenseSolver(H)
            spectrum = self.decomposed.spectrum
        elif solver == "lissa" or damping == "auto":
            spectrum = _solvers.spectrum(self.product, size, generator, like)
        self.damping = spectrum.damping() if damping == "auto" else float(damping)
        if spectrum is not None:  # an estimate is never below the smallest eigenvalue
            definite = spectrum.smallest + self.damping, spectrum.largest, self.damping
            _solvers.check_definite(*definite)
        if solver == "arnoldi":
            self.decomposed = _solvers.ArnoldiSolver(self.product, size, rank, generator, like)
        elif solver == "lissa":
            self.scale = max(spectrum.largest + self.damping, np.finfo(float).tiny)
        elif solver == "cg":
            values, vectors = _solvers.nystroem(self._ggn, size, rank, generator, like)
            self.preconditioner = _solvers.nystroem_preconditioner(values, vectors, self.damping)

    def product(self, V):
        """H V for V (P, m)."""
        return self._blocked(lambda block: self.total.product(self.kind, block), V)

    def _ggn(self, V):
        """G V with the generalised Gauss-Newton matrix, which is never indefinite."""
        return self._blocked(lambda block: self.total.product("ggn", block), V)

    def _blocked(self, product, V):
        """A product with few columns at a time."""
        return torch.cat([product(part) for part in torch.split(V, _solvers.VECTORS, dim=1)], dim=1)

    def solve(self, B):
        """Return (x (P, m), relative residuals (m,)) of (H + damping I) x = B."""
        found, residuals = [], []
        for block in torch.split(B, _solvers.VECTORS, dim=1):
            x, _ = self._solve(block)
            left = self.product(x) + self.damping * x - block
            size = block.norm(dim=0)
            size = torch.where(size > 0, size, 1.0)
            found.append(x)
            residuals.append((left.norm(dim=0) / size).cpu().numpy())
        residuals = np.concatenate(residuals).astype(float)
        far = int((residuals > max(FAR, self.options["tol"])).sum())
        if far and self.solver in ("cg", "lissa"):
            warn(
                f"{self.solver} has left a relative residual of up to {residuals.max():.2g} in "
                f"{far} of {len(residuals)} solves after max_iter={self.options['max_iter']} "
                "products: raise max_iter, rank or damping.",
                ConvergenceWarning,
            )
        return torch.cat(found, dim=1), residuals

    def _solve(self, B):
        """Return (x, number of products) for few columns."""
        if self.decomposed is not None:
            return self.decomposed.solve(B, self.damping)
        if self.solver == "cg":
            return _solvers.conjugate_gradients(
                self.product, B, self.damping, self.preconditioner, **self.options
            )
        return _solvers.lissa(self._sampler(), B, self.damping, self.scale, **self.options)

    def _sampler(self):
        """Product with H, or that of a new random sample of the rows each time."""
        n, sample = len(self.total), self.sample
        if sample is None or sample >= n:
            return self.product
        generator = np.random.default_rng(self.random_state)

        def sampled(V):
            rows = torch.as_tensor(generator.choice(n, size=sample, replace=False))
            return self.total.product(self.kind, V, rows.to(V.device))

        return sampled
