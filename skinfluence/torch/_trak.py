"""TRAK: the first-order influence of a logistic regression on tangent features."""

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from skinfluence._validation import (
    AGGREGATES,
    check_at_least_zero,
    check_choice,
    check_count,
    check_sample_weight,
    listed,
    warn,
)
from skinfluence.attribution import Query, influence, self_influence
from skinfluence.curvature import make_curvature
from skinfluence.deletion import delete
from skinfluence.deletion.targets import resolve_target
from skinfluence.design import make_design
from skinfluence.losses import BinaryLogLoss, SquaredLoss
from skinfluence.objective import Objective
from skinfluence.penalties import L2
from skinfluence.results import MostInfluential
from skinfluence.torch._function import NetworkFunction, as_codes
from skinfluence.torch._margins import class_margin
from skinfluence.torch._module import check_seed
from skinfluence.torch._ranked import most_influential
from skinfluence.torch._rows import rows_and_labels
from skinfluence.torch._sketch import Sketch
from skinfluence.torch._tangent import tangent_rows

# The L2 strength that "auto" takes, as a share of the mean curvature of a feature.
AUTO_ALPHA = 0.1


class TRAK(BaseEstimator):
    r"""Influence on a classifier network, by a logistic regression on its tangent features.

    Around the trained weights the margin of a row (the log odds of its label) is taken to be linear
    in the parameters, :math:`m_i(\delta) = m_i + \phi_i' \delta` with :math:`\phi_i` the projected
    gradient. The log loss of the margins plus an L2 penalty is then a logistic regression, with the
    network's own margins as a fixed part of the predictors, at :math:`\delta = 0`. With p the
    probability of the label the first-order change of a test margin on the removal of row i is

    .. math:: -\phi_t' (\Phi' W \Phi + \alpha I)^{-1} \phi_i (1 - p_i), \quad W = p (1 - p).

    Park et al. (2023) leave W out and average two factors of the score apart over the checkpoints;
    here each checkpoint gives an influence, and those are averaged. The gradient that training has
    left is taken to be there without the row too (see :class:`NetworkInfluence`).

    Parameters
    ----------
    modules : torch.nn.Module, or list of them
        The trained network, or several trained in the same way on the same rows (other seeds, or
        other moments of the training), in evaluation mode. They return class scores (n, K), whose
        softmax are the probabilities, or one log odds for each row.
    proj_dim : int or None, default=2048
        Number of features of each checkpoint; see :class:`TangentFeatures`.
    random_state : int, default=0
        Seed of the projections, another one for each checkpoint.
    alpha : {"auto"} or float, default="auto"
        L2 penalty ``alpha / 2 ||delta||^2`` of the sum of the losses. "auto": a tenth of the mean
        curvature of a feature.
    curvature : {"hessian", "gram"}, default="hessian"
        "hessian": :math:`\Phi' W \Phi + \alpha I`. "gram": without W, as published.
    method : {"first_order", "newton"}, default="first_order"
        "newton": with the curvature of the removed row taken out, and the target at the moved
        margin.
    batch_size, device, dtype
        As in :class:`TangentFeatures`.

    Attributes
    ----------
    alpha_ : ndarray of shape (n_checkpoints,)
        L2 strengths used.
    n_samples_ : int
        Number of training rows.

    See Also
    --------
    TangentFeatures : The features alone, as a transformer.
    NetworkInfluence : The curvature of the whole network, without projection.

    References
    ----------
    Park, Georgiev, Ilyas, Leclerc & Madry, TRAK: Attributing model behavior at scale, ICML 2023.

    Examples
    --------
    >>> import torch
    >>> from skinfluence.torch import TRAK
    >>> torch.manual_seed(0)  # doctest: +ELLIPSIS
    <torch._C.Generator object at ...>
    >>> X = torch.randn(50, 3)
    >>> y = (X[:, 0] > 0).long()
    >>> module = torch.nn.Linear(3, 2)
    >>> TRAK(module).fit(X, y).influence(X[:4], y[:4]).shape
    (4, 50)
    """

    def __init__(
        self,
        modules: object,
        *,
        proj_dim: int | None = 2048,
        random_state: int = 0,
        alpha: str | float = "auto",
        curvature: str = "hessian",
        method: str = "first_order",
        batch_size: int | None = None,
        device: str | torch.device = "auto",
        dtype: object = None,
    ) -> None:
        self.modules = modules
        self.proj_dim = proj_dim
        self.random_state = random_state
        self.alpha = alpha
        self.curvature = curvature
        self.method = method
        self.batch_size = batch_size
        self.device = device
        self.dtype = dtype

    def fit(self, X: object, y: object = None, sample_weight: object = None) -> "TRAK":
        """Compute the features of the training rows, and factor the curvature.

        Parameters
        ----------
        X : array-like, torch.Tensor of shape (n_samples, ...), or DataLoader
            Training rows of the networks; a loader gives pairs of rows and labels, in one order,
            and is read into memory.
        y : array-like of shape (n_samples,)
            Class codes: columns of the outputs, 0 and 1 for one output; None beside a loader.
        sample_weight : array-like of shape (n_samples,), optional
            Weights of the rows in the loss that was minimised.

        Returns
        -------
        TRAK
            The fitted object.

        Raises
        ------
        ValueError, TypeError
            As :meth:`TangentFeatures.fit`, for labels that are no columns of the output, and for a
            loader that shuffles or leaves rows out.
        """
        check_choice("curvature", self.curvature, ("hessian", "gram"))
        check_choice("method", self.method, ("first_order", "newton"))
        if self.curvature == "gram" and self.method == "newton":
            raise ValueError("method='newton' needs the rows' own curvature: curvature='hessian'.")
        if self.alpha != "auto":
            check_at_least_zero("alpha", self.alpha)
        if self.proj_dim is not None:
            check_count("proj_dim", self.proj_dim)
        check_seed(self.random_state)
        several = list | tuple | torch.nn.ModuleList
        modules = self.modules if isinstance(self.modules, several) else [self.modules]
        if not len(modules):
            raise ValueError("modules is empty: pass one trained network, or a list of them.")
        X, y = rows_and_labels(X, y)
        self._checkpoints = [
            self._checkpoint(module, number, X, y, sample_weight)
            for number, module in enumerate(modules)
        ]
        self.alpha_ = np.array([each.alpha for each in self._checkpoints])
        self.n_samples_ = self._checkpoints[0].objective.n_rows
        return self

    def influence(
        self,
        X_test: object,
        y_test: object = None,
        *,
        target: str = "loss",
        aggregate: str | None = None,
    ) -> np.ndarray:
        """Change of a target at each test row if a training row were removed.

        Parameters
        ----------
        X_test : array-like, torch.Tensor of shape (n_test, ...), or DataLoader
            Test rows, of a loader with their class codes.
        y_test : array-like of shape (n_test,)
            Their class codes.
        target : {"loss", "margin"}, default="loss"
            The log loss, or the margin, the log odds of the label.
        aggregate : {None, "mean", "sum"}, default=None
            Over the test rows.

        Returns
        -------
        ndarray of shape (n_test, n_train)
            For the loss, positive: the row helps. For the margin, positive: it hurts. NaN, with one
            warning, for a row without which nothing is left that has weight.

        Raises
        ------
        ValueError
            For an unknown target or aggregate, rows that are not finite, or labels that are no
            columns of the output.
        """
        check_is_fitted(self)
        check_choice("target", target, ("loss", "margin"))
        check_choice("aggregate", aggregate, AGGREGATES)
        X_test, y_test = rows_and_labels(X_test, y_test, "y_test")
        return self._mean(
            influence(each.deletion(self.method), each.query(X_test, y_test, target), aggregate,
                      linearised=self.method == "first_order")
            for each in self._checkpoints
        )  # fmt: skip

    def self_influence(self, *, target: str = "loss") -> np.ndarray:
        """Change of each training row's own target on its removal.

        Parameters
        ----------
        target : {"loss", "margin"}, default="loss"
            As in :meth:`influence`.

        Returns
        -------
        ndarray of shape (n_train,)
            The diagonal of ``influence(X, y)`` of the training rows.
        """
        check_is_fitted(self)
        check_choice("target", target, ("loss", "margin"))
        linearised = self.method == "first_order"
        return self._mean(
            self_influence(
                each.deletion(self.method), each.own_query(target), linearised=linearised
            )
            for each in self._checkpoints
        )

    def most_influential(
        self, X_test: object, y_test: object = None, *, k: int = 10, target: str = "loss"
    ) -> MostInfluential:
        """Return the k most helpful and the k most harmful training rows of each test row.

        Parameters
        ----------
        X_test, y_test, target
            As in :meth:`influence`.
        k : int, default=10
            Rows of each kind.

        Returns
        -------
        MostInfluential
            Indices and values, each (n_test, k).

        Raises
        ------
        ValueError
            As :meth:`influence`, and for a `k` out of range.
        """
        check_is_fitted(self)
        values = self.influence(X_test, y_test, target=target)
        return most_influential(
            lambda part: values[part], len(values), self.n_samples_, k, target == "margin"
        )

    def _checkpoint(self, module, number, X, y, sample_weight):
        """The logistic regression around the weights of one module."""
        network = NetworkFunction(module, self.device, self.dtype)
        sketch = Sketch(
            network.n_parameters, self.proj_dim, [self.random_state, number], network.device
        )
        return _Checkpoint(network, sketch, self.batch_size).fitted(
            X, y, sample_weight, self.alpha, self.curvature
        )

    def _mean(self, parts):
        """Mean of arrays over the checkpoints."""
        total = 0.0
        for part in parts:
            total = total + part
        gone = np.flatnonzero(np.isnan(total).any(axis=tuple(range(total.ndim - 1))))
        if len(gone):
            warn(
                f"{len(gone)} rows are undefined (NaN): {listed(gone)}. Without them no row with "
                "weight is left, or no curvature.",
                RuntimeWarning,
            )
        return total / len(self._checkpoints)


class _Checkpoint:
    """One network's logistic regression on tangent features, at its trained weights."""

    def __init__(self, network, sketch, batch_size):
        self.network, self.sketch, self.batch_size = network, sketch, batch_size
        self.like = None  # an array with the shape of the training rows
        self.loss = BinaryLogLoss()

    def fitted(self, X, y, sample_weight, alpha, curvature):
        """Bind the training rows; return self."""
        features, margins = self.rows(X, y, "y")
        n, d = features.shape
        weight = check_sample_weight(sample_weight, n)
        parts = (self.loss, make_design(features, False), np.ones(n), weight)
        start = Objective(*parts, L2(np.zeros(d)), np.zeros((1, d)), offset=margins)
        curved = start if curvature == "hessian" else start.with_loss(SquaredLoss())
        if alpha == "auto":
            squares = np.einsum("ij,ij->i", features, features)
            alpha = AUTO_ALPHA * float(curved.weight_diagonals[:, 0] @ squares) / d
        self.alpha = float(alpha)
        penalty = L2(np.full(d, self.alpha))
        self.objective = Objective(*parts, penalty, np.zeros((1, d)), offset=margins)
        loss = self.loss if curvature == "hessian" else SquaredLoss()
        self.curvature = make_curvature(self.objective.with_loss(loss), n_solves=n)
        return self

    def rows(self, X, y, name):
        """Features (n, d) and margins (n,) of rows and their labels."""
        network = self.network
        rows = network.rows(X, name.replace("y", "X"), like=self.like)
        self.like = rows[:0] if self.like is None else self.like
        codes = as_codes(y, len(rows), network.n_outputs(rows), name).to(network.device)
        return tangent_rows(network, self.sketch, class_margin, rows, codes, self.batch_size)

    def deletion(self, method):
        """Deletion of every training row."""
        return delete(self.objective, self.curvature, method, np.arange(self.objective.n_rows))

    def query(self, X_test, y_test, target):
        """Query of a target at test rows."""
        features, margins = self.rows(X_test, y_test, "y_test")
        design = make_design(features, False)
        eta = self.objective.predictors(design, margins[:, None])
        return Query(design, np.ones(len(eta)), eta, self._target(target))

    def own_query(self, target):
        """Query of a target at the training rows."""
        objective = self.objective
        return Query(objective.design, objective.y, objective.eta, self._target(target))

    def _target(self, name):
        """Target of a name; every label is 1, because the margins bear its sign."""
        return resolve_target(name, self.loss.link, self.loss)
