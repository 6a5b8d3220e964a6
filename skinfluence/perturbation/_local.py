"""Cook's local influence: the curvature of the likelihood displacement under perturbations."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import eigh

from skinfluence._frames import DataFrame, Result, checked_labels, data_frame

PERTURBATIONS = ("weights", "response", "feature")


@dataclass(frozen=True, repr=False)
class LocalInfluence(Result):
    r"""Curvature of the likelihood displacement under perturbations of the rows.

    With omega the perturbations of the n rows and :math:`\theta_\omega` the optimum under them,
    the displacement :math:`2 (F(\theta_\omega) - F(\theta)) / \phi` of the unperturbed objective,
    in units of the dispersion, is :math:`\omega' B \omega` to second order, with
    :math:`B = \Delta' H^{-1} \Delta / \phi` and
    :math:`\Delta = \partial^2 F_\omega / \partial \theta \, \partial \omega'`. Cook's normal
    curvature in the direction d is :math:`C_d = 2 d' B d` for a unit vector d.

    Attributes
    ----------
    perturbation : str
        Kind of perturbation: "weights", "response" or "feature".
    direction : ndarray of shape (n_train,)
        Unit vector of the largest curvature; its entry of largest size is positive.
    curvature : float
        Largest normal curvature, 2 times the largest eigenvalue of B.
    eigenvalues : ndarray of shape (min(n_train, P),)
        Eigenvalues of B in descending order; the others are 0.
    row_curvature : ndarray of shape (n_train,)
        Normal curvature :math:`C_i = 2 B_{ii}` of perturbing one row alone, the total local
        influence of Lesaffre & Verbeke.
    factor : ndarray of shape (P, n_train)
        Matrix M with B = M'M.
    row_names : ndarray of shape (n_train,) or None
        Names of the training rows: the index that fit has seen, else positions.

    References
    ----------
    Cook, Assessment of local influence, JRSS B 48, 1986.

    Lesaffre & Verbeke, Local influence in linear mixed models, Biometrics 54, 1998.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skinfluence import InfluenceLinearRegression
    >>> X, y = load_diabetes(return_X_y=True)
    >>> local = InfluenceLinearRegression().fit(X, y).local_influence("weights")
    >>> local.direction.shape, bool(local.row_curvature.max() <= local.curvature)
    ((442,), True)
    """

    perturbation: str
    direction: np.ndarray
    curvature: float
    eigenvalues: np.ndarray
    row_curvature: np.ndarray
    factor: np.ndarray
    row_names: np.ndarray | None = None

    def __repr__(self):
        """The largest curvature, and the rows that its direction moves most."""
        order = np.argsort(-np.abs(self.direction), kind="stable")[:3]
        names = self._index(None)
        rows = ", ".join(f"row {names[row]} ({self.direction[row]:+.2f})" for row in order)
        return (
            f"LocalInfluence of {len(self.direction)} rows ({self.perturbation}): curvature "
            f"{self.curvature:.4g}, its direction moves {rows} most"
        )

    def _index(self, train_labels):
        """Names of the lines of a frame, the given ones or those of the rows."""
        train_labels = self.row_names if train_labels is None else train_labels
        return checked_labels(train_labels, len(self.direction), "train_labels")

    def matrix(self) -> np.ndarray:
        """Return the matrix B of the displacement.

        Returns
        -------
        ndarray of shape (n_train, n_train)
            Symmetric and positive semidefinite.
        """
        return self.factor.T @ self.factor

    def normal_curvature(self, direction: ArrayLike) -> float:
        """Return the normal curvature 2 d'Bd / d'd in a direction d.

        Parameters
        ----------
        direction : array-like of shape (n_train,)
            Direction d, of any length but 0.

        Returns
        -------
        float
            Normal curvature, at most `curvature`.

        Raises
        ------
        ValueError
            If the direction has the wrong shape, or is 0.
        """
        d = np.asarray(direction, dtype=float)
        if d.shape != self.direction.shape or not d.any():
            raise ValueError(
                f"direction should have shape {self.direction.shape} and not be 0; got shape "
                f"{d.shape}."
            )
        return float(2.0 * np.sum((self.factor @ d) ** 2) / np.sum(d**2))

    def to_frame(self, train_labels: ArrayLike | None = None) -> DataFrame:
        """Return one line for each training row.

        Parameters
        ----------
        train_labels : array-like of shape (n_train,), optional
            Index of the lines; `row_names` by default.

        Returns
        -------
        pandas.DataFrame
            Columns direction and row_curvature.

        Raises
        ------
        ValueError
            If the labels do not have the right length.
        """
        frame = data_frame({"direction": self.direction, "row_curvature": self.row_curvature})
        frame.index = self._index(train_labels)
        return frame


def local_influence(objective, curvature, perturbation, *, column=None, scale=1.0, dispersion=1.0):
    """Return the LocalInfluence of a perturbation of every row.

    Parameters
    ----------
    objective, curvature : Objective, Curvature
        Objective at its optimum, and its curvature.
    perturbation : str
        One of PERTURBATIONS.
    column : int, optional
        Column of the design, for "feature".
    scale : float
        Size of a unit perturbation of a response or a feature.
    dispersion : float
        The dispersion phi.
    """
    delta = _mixed_derivative(objective, perturbation, column, scale)  # (P, n)
    values, factor = _in_metric(curvature, delta)
    with np.errstate(divide="ignore", invalid="ignore"):  # a fit without residuals has no unit
        factor /= np.sqrt(dispersion)
        values = np.maximum(values[::-1], 0.0)[: objective.n_rows] / dispersion
    leading = factor[-1]
    size = np.linalg.norm(leading)
    direction = leading / size if size > 0 else leading
    direction = direction * np.sign(direction[np.argmax(np.abs(direction))] or 1.0)
    row_curvature = 2.0 * np.einsum("pi,pi->i", factor, factor)
    return LocalInfluence(
        perturbation, direction, 2.0 * float(values[0]), values, row_curvature, factor
    )


def _in_metric(curvature, delta):
    """Eigenvalues (P,), rising, of Delta Delta' in the metric of H, and M (P, n).

    Delta'H^-1 Delta is M'M, its rows orthogonal with these squared lengths.
    """
    identity = np.eye(len(delta))
    try:
        # Generalised eigenvectors V have V'H V = I, so H^-1 = V V' and M = V' Delta.
        values, vectors = eigh(delta @ delta.T, curvature @ identity)
    except np.linalg.LinAlgError:
        # Of columns far from zero H as a sum has no smallest eigenvalue left; its solves have.
        inverse = curvature.solve(identity)
        size, axes = eigh(0.5 * (inverse + inverse.T))
        half = (axes * np.sqrt(np.maximum(size, 0.0))).T @ delta
        values, axes = eigh(half @ half.T)
        return values, axes.T @ half
    return values, vectors.T @ delta


def _mixed_derivative(objective, perturbation, column, scale):
    """Mixed derivative Delta of the objective in theta and the perturbations, (P, n)."""
    design, rows = objective.design, slice(None)
    if perturbation == "weights":
        delta = design.outer(objective.residuals, rows)
        if objective.shares.any():
            common = objective.row_penalty.gradient(objective.theta).ravel()
            delta += objective.shares[:, None] * common
        return delta.T
    weight = objective.sample_weight[:, None]
    if perturbation == "response":
        slope = objective.loss.gradient_in_label(objective.y, objective.native(objective.eta))
        slope = np.reshape(slope, (objective.n_rows, -1))
        return design.outer(scale * weight * slope, rows).T
    # omega is added to x_ij: eta changes by theta_j omega, and so does the entry j of z_i by omega.
    moved = np.einsum("ikl,l->ik", objective.weights, scale * objective.theta[:, column])
    delta = design.outer(moved, rows)
    q = design.shape[1]
    for k in range(objective.n_outputs):
        delta[:, k * q + column] += scale * objective.residuals[:, k]
    return delta.T
