"""NeuralFeatures: a trained network as a transformer."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from skinfluence._memory import check_memory
from skinfluence._validation import check_count, listed, warn
from skinfluence.torch._cache import FeatureCache
from skinfluence.torch._forward import (
    FeatureMap,
    check_eval_mode,
    deterministic,
    differentiable,
    is_out_of_memory,
    keeps_integers,
)
from skinfluence.torch._max_pool import EvenMaxPool
from skinfluence.torch._module import as_device, as_floating, trained_module
from skinfluence.torch._rows import is_table, row_batches, writable
from skinfluence.torch._state import from_state, to_state

# Rows that fit sends through the network, twice.
PROBED = 2
# Rounding, in units of the last place, up to which two gradients of a row are the same.
ROUNDING = 1e4
# Share of the largest feature by which one may differ when other rows are beside it: rounding.
APART = 1e-2


class NeuralFeatures(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Features that a trained network gives: a transformer, to stand before a convex model.

    The network is frozen. `fit` takes a copy of it in evaluation mode and learns nothing from the
    rows, so that a Pipeline that ends in an estimator with influence methods is answered as
    exactly as that estimator is on any other features: deleting a row means refitting the last
    step without it, with this extractor as it is.

    Parameters
    ----------
    module : torch.nn.Module or skorch net
        Trained. A skorch net is fitted. BatchNorm and Dropout are in evaluation mode. Clones share
        it.
    layer : str, optional
        Name of the layer, among those of `module.named_modules()`, whose output the features are;
        what comes behind it is not computed. The output of the module by default.
    batch_size : int, default=256
        Rows that go through the network together; fewer where memory runs out.
    device : str or torch.device, default="auto"
        Where the network runs. "auto": where the module is.
    dtype : str or torch.dtype, optional
        Floating type in which it runs, and of the features; the module's own by default.
    pool : {"mean", "max", "first_token", "mean_token"} or callable, optional
        From an output of more than two axes to features (n, d). "mean" and "max" are over all axes
        behind the second, of (n, channels, height, width); "first_token" and "mean_token" for (n,
        tokens, d). A callable takes the output and returns a tensor (n, d). All entries of the
        output by default.
    cache : str or Path, optional
        Folder for the features of batches, which are computed once for the same weights and the
        same rows: in another process too, and an extraction that was interrupted goes on. A pool
        that is a callable is known there by its name.

    Attributes
    ----------
    module_ : torch.nn.Module
        The copy that is run.
    n_features_in_ : int
        Numbers of one row of X.
    feature_names_in_ : ndarray of str
        Names of the columns, where X is a data frame.

    Notes
    -----
    Integers become floating numbers, but for a network with a torch.nn.Embedding, which looks them
    up. Images of PIL become tensors (channels, height, width) between 0 and 1; arrays are taken as
    they are.

    Pickles hold the weights as safetensors, and the structure of the network as pickle has it: as
    with every pickle, load none that you do not trust.

    Examples
    --------
    >>> import torch
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from skinfluence import InfluenceLogisticRegression, explain
    >>> from skinfluence.torch import NeuralFeatures
    >>> X, y = load_iris(return_X_y=True)
    >>> net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh()).eval()
    >>> pipe = make_pipeline(NeuralFeatures(net), InfluenceLogisticRegression()).fit(X, y)
    >>> explain(pipe).influence(X[:3], y[:3]).shape
    (3, 150)
    """

    def __init__(
        self,
        module: Any,
        *,
        layer: str | None = None,
        batch_size: int = 256,
        device: str | torch.device = "auto",
        dtype: str | torch.dtype | None = None,
        pool: str | Callable | None = None,
        cache: str | Path | None = None,
    ):
        self.module = module
        self.layer = layer
        self.batch_size = batch_size
        self.device = device
        self.dtype = dtype
        self.pool = pool
        self.cache = cache

    def fit(self, X: Any, y: ArrayLike | None = None) -> Self:
        """Take a copy of the network, and see what a few rows become.

        Parameters
        ----------
        X : array-like, data frame, Tensor, Dataset, DataLoader or list of images
            Rows, of any shape that the network takes.
        y : None
            Not used.

        Returns
        -------
        self
            The fitted transformer.

        Raises
        ------
        ValueError
            For a network in training mode, weights that are not finite, a layer that does not
            exist or is called more than once, and a network that answers the same rows
            differently.
        TypeError
            For what is no network, and for an output that is no tensor.
        """
        check_count("batch_size", self.batch_size)
        module = trained_module(self.module)
        if module is self.module:
            check_eval_mode(module)
        X = self._checked(X, reset=True)
        # A copy: training that goes on does not change what has been fitted.
        self.module_ = copy.deepcopy(module).eval().requires_grad_(False)
        self.module_.to(device=as_device(self.device), dtype=as_floating(self.dtype))
        self._row_shape = None
        first = next(row_batches(X, PROBED)[1], None)
        if first is None:
            raise ValueError("X has no rows: pass at least one.")
        first = first[:PROBED]
        features = self._probe(first)
        self.n_features_in_ = int(np.prod(first.shape[1:]))
        if hasattr(X, "shape"):
            self._row_shape = tuple(first.shape[1:])
        self._n_features_out = features.shape[1]
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Compute the features of rows.

        Parameters
        ----------
        X : array-like, data frame, Tensor, Dataset, DataLoader or list of images
            Rows, as in fit. A DataLoader has its own batches, and does not shuffle.

        Returns
        -------
        ndarray of shape (n, d)
            In the floating type of the network.

        Raises
        ------
        ValueError
            For rows of another shape, a DataLoader that shuffles or leaves rows out, and features
            that are not finite.
        """
        check_is_fitted(self, "module_")
        check_count("batch_size", self.batch_size)
        X = self._checked(X, reset=False)
        n, batches = row_batches(X, self.batch_size)
        blocks = (self._features(batch) for batch in batches)
        if self.cache is not None:
            cache = FeatureCache(self.cache, self.module_, self._settings())
            blocks = (cache.once(batch, self._features) for batch in batches)
        features = _gathered(blocks, n)
        if features is None:
            raise ValueError("X has no rows: pass at least one.")
        return _finite(features)

    def input_vjp(self, X: Any, cotangent: ArrayLike) -> np.ndarray:
        """Multiply a cotangent with the derivative of the features in the input.

        Gradients in the features of a model become gradients in X: what `feature_influence` with
        features="input", `PoisoningAttack` and `adversarial_perturbation` ask of a step.

        Parameters
        ----------
        X : array-like, Tensor, Dataset, DataLoader or list of images
            Rows, n of them.
        cotangent : array-like of shape (n, d)
            Gradients in the features.

        Returns
        -------
        ndarray of shape (n, ...)
            Gradients in the rows, float64, of their shape.

        Warns
        -----
        UserWarning
            Where a max-pool has no derivative, since the places of its maximum would move apart.
        """
        check_is_fitted(self, "module_")
        X = self._checked(X, reset=False)
        cotangent = np.asarray(cotangent)
        n, batches = row_batches(X, self.batch_size)
        n = len(cotangent) if n is None else n
        if cotangent.shape != (n, self._n_features_out):
            raise ValueError(
                f"cotangent should have shape {(n, self._n_features_out)}, that of the features; "
                f"got {cotangent.shape}."
            )
        found, tied, start = [], [], 0
        for batch in batches:
            part = cotangent[start : start + len(batch)]
            gradient, kinks = self._vjp(self._tensor(batch), part)
            found.append(gradient.double().cpu().numpy())
            tied += (start + np.flatnonzero(kinks)).tolist()
            start += len(batch)
        if tied:
            warn(
                f"the maximum of a max-pool is attained more than once in {len(tied)} rows "
                f"({listed(tied)}), and the features have no derivative there: the gradient is "
                "that of one of the places.",
                UserWarning,
            )
        return np.concatenate(found)

    # -- rows --------------------------------------------------------------------------------------

    def _checked(self, X, *, reset):
        """X, checked as scikit-learn does where it is an array or a data frame."""
        if is_table(X):
            X, given = check_array(X, allow_nd=True, estimator=self, input_name="X"), X
            if X.ndim == 2:
                validate_data(self, given, reset=reset, skip_check_array=True)
        elif reset:
            vars(self).pop("feature_names_in_", None)
        shape = getattr(X, "shape", None)
        if shape is not None and len(shape) < 2:
            raise ValueError(f"X should have one row for each sample; got shape {tuple(shape)}.")
        known = None if reset or shape is None else self._row_shape
        if known is not None and tuple(shape[1:]) != known:
            raise ValueError(
                f"X should have rows of shape {known}, as in fit; got {tuple(shape[1:])}."
            )
        return X

    def _tensor(self, batch):
        """A batch as the network takes it."""
        if isinstance(batch, np.ndarray):
            batch = torch.from_numpy(writable(batch))
        keep = keeps_integers(self.module_) and not batch.is_floating_point()
        weight = next(self.module_.parameters())
        return batch.to(device=weight.device, dtype=batch.dtype if keep else weight.dtype)

    # -- features ----------------------------------------------------------------------------------

    def _map(self):
        """The way from batches to features."""
        return FeatureMap(self.module_, self.layer, self.pool)

    def _settings(self):
        """What the features depend on beside weights and rows."""
        weight, pool = next(self.module_.parameters()), self.pool
        if callable(pool):
            pool = f"{getattr(pool, '__module__', '')}.{getattr(pool, '__qualname__', pool)}"
        return {
            "layer": self.layer,
            "pool": pool,
            "dtype": str(weight.dtype),
            "device": weight.device.type,
        }

    def _features(self, batch):
        """Features (b, d) of a batch, in parts where memory runs out."""
        try:
            with torch.inference_mode(), deterministic():
                features = self._map()(self._tensor(batch)).cpu()
        except RuntimeError as error:
            if len(batch) == 1 or not is_out_of_memory(error):
                raise
            middle = len(batch) // 2
            return np.concatenate(
                [self._features(part) for part in (batch[:middle], batch[middle:])]
            )
        features = features.float() if features.dtype == torch.bfloat16 else features
        if hasattr(self, "_n_features_out") and features.shape[1] != self._n_features_out:
            raise ValueError(
                f"the network gives {features.shape[1]} features for rows of shape "
                f"{tuple(batch.shape[1:])}, and {self._n_features_out} in fit. Pass a pool."
            )
        return features.numpy()

    def _probe(self, batch):
        """Features of a few rows; raise if they depend on chance or on other rows."""
        vars(self).pop("_n_features_out", None)
        kind = type(self.module_).__name__
        with torch.inference_mode():
            calls = self._map().calls(self._tensor(batch))
        if calls > 1:
            raise ValueError(
                f"layer {self.layer!r} of {kind} is called {calls} times in one forward pass: name "
                "a layer that is called once."
            )
        features, again = self._features(batch), self._features(batch)
        if not np.array_equal(features, again, equal_nan=True):
            raise ValueError(
                f"{kind} gives different features for the same rows: it draws at random. Take that "
                "out of it."
            )
        alone = self._features(batch[:1])
        scale = np.abs(features).max(initial=0.0)
        if np.abs(features[:1] - alone).max(initial=0.0) > APART * scale:
            raise ValueError(
                f"{kind} gives other features for a row when other rows are beside it in the "
                "batch: normalise by fixed numbers."
            )
        return _finite(features)

    def _vjp(self, x, cotangent):
        """Gradient in a batch, and in which rows a max-pool has none."""
        if not x.is_floating_point():
            raise ValueError("rows of integers, which a network looks up, have no gradient.")
        cotangent = torch.as_tensor(writable(cotangent)).to(x)
        with EvenMaxPool() as pools:
            even = self._gradient(x, cotangent)
        if not pools.n_pools:
            return even, np.zeros(len(x), dtype=bool)
        gradient = self._gradient(x, cotangent)
        apart, size = ((g.flatten(1).abs().amax(1)) for g in (gradient - even, gradient))
        tied = apart > ROUNDING * torch.finfo(x.dtype).eps * size
        return gradient, tied.cpu().numpy()

    def _gradient(self, x, cotangent):
        """Gradient in a batch of the inner product of its features with a cotangent."""
        x = x.detach().clone().requires_grad_()
        with torch.enable_grad(), differentiable(self.module_):
            features = self._map()(x)
            if not features.requires_grad:
                raise ValueError(
                    f"{type(self.module_).__name__} stops the gradient: its features have none in "
                    "the input."
                )
            return torch.autograd.grad(features, x, cotangent)[0]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = []  # features have the floating type of the network
        return tags

    # -- copies ------------------------------------------------------------------------------------

    def __sklearn_clone__(self):
        """A copy that is not fitted, around the same network: its weights are learned elsewhere."""
        other = type(self).__new__(type(self))
        kept = {"_metadata_request", "_sklearn_output_config", *self.get_params(deep=False)}
        for name in kept & set(vars(self)):
            value = getattr(self, name)
            vars(other)[name] = value if name == "module" else copy.deepcopy(value)
        return other

    def __getstate__(self):
        return to_state(super().__getstate__())

    def __setstate__(self, state):
        super().__setstate__(from_state(state))


def _gathered(blocks, n):
    """Blocks of features as one array; None without any."""
    if n is None:
        found = list(blocks)
        return np.concatenate(found) if found else None
    features, start = None, 0
    for block in blocks:
        if features is None:
            shape = n, block.shape[1]
            check_memory(
                n * block[0].nbytes,
                f"the features {shape}",
                "take a layer with fewer outputs, or a pool",
            )
            features = np.empty(shape, dtype=block.dtype)
        features[start : start + len(block)] = block
        start += len(block)
    return features


def _finite(features):
    """Features; raise if some are no numbers."""
    wrong = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(wrong):
        raise ValueError(
            f"the network gives NaN or infinite features for {len(wrong)} rows ({listed(wrong)}): "
            "scale X as it was for training."
        )
    return features
