"""Tangent features of a network, and TRAK: a logistic regression on them."""

import numbers

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from skinfluence._validation import check_count
from skinfluence.torch._function import NetworkFunction, as_codes
from skinfluence.torch._margins import class_margin, one_output
from skinfluence.torch._module import check_seed
from skinfluence.torch._sketch import Sketch


def tangent_rows(network, sketch, function, rows, codes, chunk=None):
    """Projected gradients (n, d) of a function of each row's output, and its values (n,)."""
    features = np.empty((len(rows), sketch.n_out), dtype=np.float64)
    values = np.empty(len(rows))
    options = {"chunk": chunk, "values": True, "project": sketch}
    for part, (gradients, found) in network.gradients(function, rows, codes, **options):
        features[part], values[part] = gradients.cpu().numpy(), found.cpu().numpy()
    return features, values


class TangentFeatures(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Gradients of a trained network's output in its parameters, randomly projected.

    To first order in the parameters the network is linear in these features: a linear model on
    them, with the network's own outputs as a fixed part of its predictors, is the network near its
    trained weights. With `torch.func`, a chunk of rows at a time.

    Parameters
    ----------
    module : torch.nn.Module or fitted skorch net
        The trained network, in evaluation mode; it returns one row of outputs for each row. Only
        the parameters that require a gradient count.
    output : {"margin"} or int, default="margin"
        What the gradient is of. "margin": the log odds of class 1, for one output of two classes or
        two outputs; with more outputs those of the row's own class, and `transform` asks for the
        labels. An integer: this output.
    proj_dim : int or None, default=2048
        Number of features. Inner products are kept, with a standard deviation of about
        ``sqrt(2 / proj_dim)`` times the lengths. The gradients themselves if None, or if the
        network has no more parameters than that.
    random_state : int, default=0
        Seed of the projection. The same seed gives the same projection for any number of rows at
        once, on every device.
    batch_size : int, optional
        Rows at a time; by default as many as have 128 MiB of gradients. If they do not fit, half as
        many.
    device : str or torch.device, default="auto"
        Where to compute: "auto" is where the module is.
    dtype : dtype, optional
        Type of the computation; the module's own by default.

    Attributes
    ----------
    n_parameters_ : int
        Number of parameters that require a gradient.
    n_features_in_ : int
        Number of columns, for rows of one axis.

    See Also
    --------
    TRAK : Influence by a logistic regression on these features.

    Examples
    --------
    >>> import torch
    >>> from skinfluence.torch import TangentFeatures
    >>> module = torch.nn.Linear(3, 1)
    >>> TangentFeatures(module).fit_transform(torch.tensor([[1.0, 2.0, 3.0]]))
    array([[1., 2., 3., 1.]], dtype=float32)
    """

    def __init__(
        self,
        module: torch.nn.Module,
        *,
        output: str | int = "margin",
        proj_dim: int | None = 2048,
        random_state: int = 0,
        batch_size: int | None = None,
        device: str | torch.device = "auto",
        dtype: object = None,
    ) -> None:
        self.module = module
        self.output = output
        self.proj_dim = proj_dim
        self.random_state = random_state
        self.batch_size = batch_size
        self.device = device
        self.dtype = dtype

    def fit(self, X: object, y: object = None) -> "TangentFeatures":
        """Check the module on the rows, and fix the projection.

        Parameters
        ----------
        X : array-like or torch.Tensor of shape (n_samples, ...)
            Rows of the network's input.
        y : Ignored
            Only `transform` reads labels.

        Returns
        -------
        TangentFeatures
            The fitted transformer.

        Raises
        ------
        ValueError, TypeError
            For a module without parameters, in training mode, with weights that are NaN or outputs
            that are no table; for rows that are not finite, an output that does not exist.
        """
        network = NetworkFunction(self.module, self.device, self.dtype)
        rows = network.rows(X)
        self.n_outputs_ = network.n_outputs(rows)
        self._function()
        if self.proj_dim is not None:
            check_count("proj_dim", self.proj_dim)
        check_seed(self.random_state)
        self._network = network
        self._sketch = Sketch(
            network.n_parameters, self.proj_dim, self.random_state, network.device
        )
        self.n_parameters_ = network.n_parameters
        if rows.ndim == 2:
            self.n_features_in_ = rows.shape[1]
        self._shape = tuple(rows.shape[1:])
        return self

    def transform(self, X: object, y: object = None) -> np.ndarray:
        """Return the features of rows.

        Parameters
        ----------
        X : array-like or torch.Tensor of shape (n_samples, ...)
            Rows of the network's input.
        y : array-like of shape (n_samples,), optional
            Class codes, the columns of the network's outputs; only the margin of more than two
            classes needs them.

        Returns
        -------
        ndarray of shape (n_samples, min(proj_dim, n_parameters))
            Of the type of the computation.

        Raises
        ------
        ValueError
            For rows of another shape, labels that are no columns of the output, or none where they
            are needed.
        """
        check_is_fitted(self)
        network = self._network
        rows = network.rows(X)
        if tuple(rows.shape[1:]) != self._shape:
            raise ValueError(
                f"X has rows of shape {tuple(rows.shape[1:])}, but TangentFeatures is expecting "
                f"{self._shape}, as in fit."
            )
        kind = torch.empty(0, dtype=network.dtype).numpy().dtype
        features, _ = tangent_rows(
            network, self._sketch, self._function(), rows, self._codes(rows, y), self.batch_size
        )
        return features.astype(kind, copy=False)

    def fit_transform(self, X: object, y: object = None) -> np.ndarray:
        """Fit, and return the features of the same rows.

        Parameters
        ----------
        X, y : array-like
            As in :meth:`transform`.

        Returns
        -------
        ndarray of shape (n_samples, min(proj_dim, n_parameters))
            As :meth:`transform`.
        """
        return self.fit(X).transform(X, y)

    @property
    def _n_features_out(self):
        """Number of columns of the result."""
        return self._sketch.n_out

    def _function(self):
        """Function of the outputs of a row of which the gradient is taken."""
        if self.output == "margin":
            return class_margin
        whole = isinstance(self.output, numbers.Integral) and not isinstance(self.output, bool)
        if not whole or not 0 <= self.output < self.n_outputs_:
            raise ValueError(
                f"output should be 'margin' or an integer from 0 to {self.n_outputs_ - 1}, the "
                f"outputs of the network; got {self.output!r}."
            )
        return one_output(int(self.output))

    def _codes(self, rows, y):
        """Class of which the margin is taken, for each row."""
        ones = torch.ones(len(rows), dtype=torch.int64, device=rows.device)
        if self.output != "margin" or self.n_outputs_ <= 2:
            return ones
        if y is None:
            raise ValueError(
                f"the network has {self.n_outputs_} outputs: pass the labels y, whose margin is "
                "taken, or choose one output (output=0, 1, ...)."
            )
        return as_codes(y, len(rows), self.n_outputs_).to(rows.device)
