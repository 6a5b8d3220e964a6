"""Leverage blocks of models with several outputs."""

from dataclasses import dataclass, fields

import numpy as np

from skinfluence.case_deletion._diagnostics import CaseDeletionDiagnostics

# Leverages below this are products, whose digits a difference from 1 would lose.
SMALL = 0.5


@dataclass(frozen=True)
class LeverageBlocks:
    r"""Leverages of the rows of a model with several outputs: K x K blocks, and their traces.

    The quantities of :class:`CaseDeletionDiagnostics` are defined for one predictor for each row;
    accessing one of them here raises NotImplementedError.

    Attributes
    ----------
    leverage : ndarray of shape (n,)
        Trace of the block; the sum over rows is the effective number of parameters.
    block : ndarray of shape (n, K, K)
        :math:`L_i' A_i L_i` with the row's curvature :math:`W_i = L_i L_i'` and
        :math:`A_i = (I \otimes z_i)' H^{-1} (I \otimes z_i)`: symmetric, with eigenvalues from 0
        to 1.

    References
    ----------
    Lesaffre & Albert, Multiple-group logistic regression diagnostics, Applied Statistics 38, 1989.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skinfluence import InfluenceLogisticRegression
    >>> X, y = load_iris(return_X_y=True)
    >>> blocks = InfluenceLogisticRegression().fit(X, y).case_deletion_diagnostics()
    >>> blocks.block.shape
    (150, 3, 3)
    """

    leverage: np.ndarray
    block: np.ndarray

    def __getattr__(self, name):
        """Raise for quantities that need one predictor, with what is available instead."""
        known = {field.name for field in fields(CaseDeletionDiagnostics)}
        if name in known or (name[:1] != "_" and hasattr(CaseDeletionDiagnostics, name)):
            raise NotImplementedError(
                f"{name} is not available for a model of several outputs. Available are leverage "
                "and block, and of the model parameter_influence(), influence() and "
                "loo_estimate()."
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")


def leverage_blocks(curvature):
    """Return the leverages of the rows of a curvature's objective.

    Parameters
    ----------
    curvature : Curvature
        Curvature of an objective with any number of outputs.

    Returns
    -------
    LeverageBlocks
        Blocks and their traces.
    """
    found, objective = curvature.leverage(), curvature.objective
    block = np.eye(objective.n_outputs) - found.one_minus
    small = np.flatnonzero(np.einsum("ikk->i", block) < SMALL)
    for part, rows in objective.weight_blocks(small):
        L, S = objective.weight_factors_of(rows)
        block[small[part]] = S @ found.quadratic[small[part]] @ L
    return LeverageBlocks(np.einsum("ikk->i", block), block)
