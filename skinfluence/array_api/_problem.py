"""ArrayProblem: a dense linear model at its optimum, on the device of its data."""

from dataclasses import dataclass, field, replace

import numpy as np

from skinfluence._backend import ArrayLibrary
from skinfluence._parallel import row_blocks

# Coordinates of the gradient are zero below this share of the terms that cancel in them.
STATIONARY = 1e-10
# Newton's method has converged at most here.
CONVERGED = 1e-8
# Where a row has less than this share of the heaviest row's weight the gradient's terms are those
# of heavy rows: steps end where they move no predictor by more than this share of the largest.
LIGHT = 1e-4
STILL = 1e-10
# Above this share the parameters are no optimum, and no influence is defined there.
CERTIFIABLE = 1e-6
MAX_STEPS = 50
MAX_HALVINGS = 30
# Rounding of a sum of losses, as a share of it.
ROUNDING = 1e-13
# Share of a column's mean curvature below which its penalty is lost in the rounding of that.
NEGLIGIBLE = 1e-8


@dataclass(frozen=True)
class ArrayProblem:
    """A sum of losses of Z theta plus half a penalty on the coefficients, Z = [X - origin, 1].

    Sums over rows, factors and solves are float64, of blocks of rows that are raised to it; X
    stays in its own type.

    Attributes
    ----------
    library : ArrayLibrary
    X : array of shape (n, p)
    y : array of shape (n, K)
        Responses, or 0 and 1 for classes, float64.
    weight : array of shape (n,)
    loss : ArrayLogLoss, ArraySoftmaxLoss or ArraySquaredLoss
    penalty : float
    origin : array of shape (p,) or None
        Weighted means of the columns; None without an intercept.
    theta : array of shape (d, K)
        Coefficients, and with an intercept a last row of intercepts at the origin.
    stationarity : float
        Largest coordinate of the gradient, relative to the terms that cancel in it.
    n_steps : int
        Newton steps of `polished`.
    """

    library: ArrayLibrary
    X: object
    y: object
    weight: object
    loss: object
    penalty: float
    origin: object
    theta: object
    stationarity: float = np.inf
    n_steps: int = 0
    kept: dict = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, library, X, y, weight, loss, penalty, coef, intercept):
        """Bind data, and place the problem at coefficients (K, p) and intercepts (K,) or None."""
        xp, origin = library.xp, None
        theta = library.exact(coef).T
        if intercept is not None:
            origin, total = library.zeros(X.shape[1]), xp.sum(weight)
            for rows in row_blocks(X.shape[0], 16 * X.shape[1]):
                origin = origin + (weight[rows] / total) @ library.exact(X[rows, :])
            # At the data's own rounding, so that differences from it are the same in either type.
            origin = library.exact(library.native(origin))
            shifted = library.exact(intercept) + origin @ theta
            theta = xp.concat([theta, shifted[None, :]], axis=0)
        return cls(library, X, y, weight, loss, penalty, origin, theta)

    separable = False  # there is a penalty

    @property
    def converged(self):
        """Whether the parameters are the optimum, to rounding."""
        return self.stationarity <= CONVERGED

    # -- shapes ------------------------------------------------------------------------------------

    @property
    def n_rows(self):
        """Number of training rows."""
        return self.X.shape[0]

    @property
    def n_outputs(self):
        """Number of outputs K."""
        return self.theta.shape[1]

    def parameters(self):
        """Coefficients (K, p) and intercepts (K,) for the caller's X, in the type of the data."""
        library, p = self.library, self.X.shape[1]
        coef = self.theta[:p, :].T
        if self.origin is None:
            intercept = library.zeros(self.n_outputs)
        else:
            intercept = self.theta[p, :] - coef @ self.origin
        return library.native(coef), library.native(intercept)

    def blocks(self, temporaries=3):
        """Slices of rows, few enough for some float64 arrays as wide as their parameters."""
        width = self.theta.shape[0] * self.n_outputs
        return row_blocks(self.n_rows, 8 * temporaries * width)

    def design(self, X):
        """Rows Z (b, d) of a block of X, in float64."""
        library = self.library
        Z = library.exact(X)
        if self.origin is None:
            return Z
        one = library.zeros(Z.shape[0], 1) + 1.0
        return library.xp.concat([Z - self.origin, one], axis=1)

    def centred(self, X):
        """A block of X less the origin, in the type of the data: exact where both are near."""
        return X if self.origin is None else X - self.library.native(self.origin)

    def predictors(self, X):
        """Predictors (m, K) of rows, float64."""
        parts = [
            self.design(X[rows, :]) @ self.theta
            for rows in row_blocks(X.shape[0], 24 * self.theta.shape[0])
        ]
        if not parts:
            return self.library.zeros(0, self.n_outputs)
        return self.library.xp.concat(parts, axis=0)

    # -- the optimum -------------------------------------------------------------------------------

    def polished(self):
        """Return the problem after Newton steps to the optimum, each halved until the sum falls."""
        xp, theta, is_unequal = self.library.xp, self.theta, self._has_light_rows()
        for n_steps in range(MAX_STEPS + 1):
            here = replace(self, theta=theta, n_steps=n_steps, kept={})
            gradient, scale, H = here.derivatives()
            root = self.library.inverse_root(H)
            ratio = _ratio(xp, gradient, scale)
            here = replace(here, stationarity=ratio, kept={"root": root})
            small = here.stationarity <= STATIONARY
            if (small and not is_unequal) or n_steps == MAX_STEPS or root is None:
                return here
            step = _rows(xp, root.T @ (root @ _column(xp, gradient)), theta.shape)
            if small and here._largest(step) <= STILL * here._largest(theta):
                return here
            moved = here._descended(step, float(xp.sum(gradient * step)))
            if moved is None:
                return here
            theta = moved
        return here

    def _has_light_rows(self):
        """Whether heavy rows alone rule the terms of the gradient."""
        xp, weight = self.library.xp, self.weight
        largest = xp.max(weight)
        return bool(xp.min(xp.where(weight > 0, weight, largest)) < LIGHT * largest)

    def _largest(self, theta):
        """Largest predictor at some theta, in rows that count."""
        xp, largest = self.library.xp, 0.0
        for rows in self.blocks():
            eta = xp.abs(self.design(self.X[rows, :]) @ theta)
            eta = xp.where(self.weight[rows][:, None] > 0, eta, xp.zeros_like(eta))
            largest = max(largest, float(xp.max(eta)))
        return largest

    def _descended(self, step, slope):
        """theta less the step, or a half of it and so on; None where no half lowers the sum."""
        before, share = self.value(self.theta), 1.0
        slack = ROUNDING * abs(before)
        for _ in range(MAX_HALVINGS):
            moved = self.theta - share * step
            if self.value(moved) <= before - 1e-4 * share * slope + slack:
                return moved
            share /= 2
        return None

    def value(self, theta):
        """The sum that is minimised, at some theta."""
        xp, p = self.library.xp, self.X.shape[1]
        total = 0.5 * self.penalty * float(xp.sum(theta[:p, :] ** 2))
        for rows in self.blocks():
            eta = self.design(self.X[rows, :]) @ theta
            total += float(xp.sum(self.weight[rows] * self.loss.value(xp, self.y[rows, :], eta)))
        return total

    def derivatives(self):
        """Gradient (d, K), the scale of the terms in it, and the Hessian (Kd, Kd), class by class.

        A softmax does not change if all classes move together. Where that is not penalised, or
        hardly beside the curvatures, the Hessian has a term there that no gradient sees.
        """
        library, xp, loss = self.library, self.library.xp, self.loss
        (d, K), p = self.theta.shape, self.X.shape[1]
        penalised = library.zeros(d)
        penalised[:p] = self.penalty
        gradient = penalised[:, None] * self.theta
        scale = xp.abs(gradient)
        H = library.zeros(K, d, K, d)
        for rows in self.blocks():
            Z, y, weight = self.design(self.X[rows, :]), self.y[rows, :], self.weight[rows]
            eta = Z @ self.theta
            pull = weight[:, None] * loss.gradient(xp, y, eta)
            curve = weight[:, None, None] * loss.curvature(xp, eta)
            gradient = gradient + Z.T @ pull
            scale = scale + xp.abs(Z).T @ xp.abs(pull)
            for k in range(K):
                for j in range(k + 1):
                    H[k, :, j, :] = H[k, :, j, :] + Z.T @ (Z * curve[:, k, j][:, None])
        for k in range(K):
            for j in range(k):
                H[j, :, k, :] = H[k, :, j, :].T
        eye = xp.eye(d, dtype=xp.float64, device=library.device)
        for k in range(K):
            H[k, :, k, :] = H[k, :, k, :] + penalised[:, None] * eye
        if K > 1:
            mean = sum(xp.sum(H[k, :, k, :] * eye, axis=1) for k in range(K)) / K
            lost = penalised <= NEGLIGIBLE * mean
            free = xp.where(lost, mean, xp.zeros_like(mean))
            H = H + free[None, :, None, None] * eye[None, :, None, :]
        return gradient, scale, xp.reshape(H, (K * d, K * d))

    # -- the inverse of the curvature --------------------------------------------------------------

    @property
    def root(self):
        """Array whose Gram matrix is H^-1, (Kd, Kd), made once.

        Raises
        ------
        numpy.linalg.LinAlgError
            If the Hessian is not positive definite, or the parameters are no optimum.
        """
        if "root" not in self.kept:
            self.kept["root"] = self.library.inverse_root(self.derivatives()[2])
        if self.kept["root"] is None:
            raise np.linalg.LinAlgError(
                "the Hessian is singular: columns are linearly dependent. Fit with a larger "
                "penalty, or remove columns."
            )
        if not self.stationarity <= CERTIFIABLE:
            raise np.linalg.LinAlgError(
                f"the fit has not reached an optimum (relative gradient {self.stationarity:.1e}): "
                "influence is not defined. Scale the columns of X, or fit with a larger penalty."
            )
        return self.kept["root"]

    def without_factor(self):
        """Return the problem with its factor still to be made."""
        return replace(self, kept={})

    def __getstate__(self):
        """Without the factor, which is made again."""
        return {**vars(self), "kept": {}}


def _column(xp, values):
    """(d, K) class by class as (Kd, 1)."""
    return xp.reshape(values.T, (-1, 1))


def _rows(xp, column, shape):
    """(Kd, 1) as (d, K)."""
    return xp.reshape(column, (shape[1], shape[0])).T


def _ratio(xp, gradient, scale):
    """Largest coordinate of a gradient relative to its terms; of a coordinate without terms 0."""
    tiny = float(np.finfo(np.float64).tiny)
    return float(xp.max(xp.abs(gradient) / (scale + tiny)))
