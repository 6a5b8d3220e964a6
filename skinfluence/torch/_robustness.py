"""Curvature of a network's loss in its inputs: measured, penalised, and attacked."""

from collections.abc import Callable

import numpy as np
import torch
from torch.func import hessian, vmap

from skinfluence._validation import check_choice, check_count, check_positive
from skinfluence.attacks import InputCurvature
from skinfluence.torch._function import NetworkFunction, in_chunks
from skinfluence.torch._products import RowLoss


def curvature_regularizer(
    module: torch.nn.Module, loss: Callable, h: float = 1.5
) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    r"""Return a penalty on the curvature of the loss in the inputs, for one's own training loop.

    The penalty of a batch is the mean over its rows of

    .. math:: \left\| \frac{\nabla_x l(x + h z) - \nabla_x l(x)}{h} \right\|^2,

    a finite difference of the gradient in the input along the unit vector z of the gradient's
    signs: a network whose input gradient hardly turns cannot be fooled by a small step. It is
    differentiable in the weights, at the cost of about two further training steps.

    Parameters
    ----------
    module : torch.nn.Module
        The network in training; it is used in whatever mode it is.
    loss : callable
        `loss(outputs, labels)` of a batch: the mean of the rows' losses, or each of them.
    h : float, default=1.5
        Length of the step, in the units of the inputs.

    Returns
    -------
    callable
        `penalty(X, y)` of a batch: a scalar tensor, to be multiplied by its strength and added to
        the loss.

    Raises
    ------
    ValueError
        If `h` is not positive.

    References
    ----------
    Moosavi-Dezfooli, Fawzi, Uesato & Frossard, Robustness via curvature regularization, and vice
    versa, CVPR 2019.

    Examples
    --------
    >>> import torch
    >>> from skinfluence.torch import curvature_regularizer
    >>> module = torch.nn.Linear(3, 2)
    >>> penalty = curvature_regularizer(module, torch.nn.functional.cross_entropy, h=0.5)
    >>> penalty(torch.ones(4, 3), torch.tensor([0, 1, 0, 1])).requires_grad
    True
    """
    check_positive("h", h)

    def penalty(X, y):
        start = X.detach().requires_grad_()
        slope = _input_gradient(module, loss, start, y, create_graph=True)
        direction = slope.detach().sign()
        size = direction.flatten(1).norm(dim=1).clamp(min=1e-12)
        direction = direction / size.view(-1, *[1] * (X.ndim - 1))
        moved = (X.detach() + h * direction).requires_grad_()
        turned = _input_gradient(module, loss, moved, y, create_graph=True) - slope
        return ((turned / h).flatten(1) ** 2).sum(dim=1).mean()

    return penalty


def adversarial_step(
    module: torch.nn.Module,
    loss: Callable,
    X: torch.Tensor,
    y: torch.Tensor,
    *,
    eps: float,
    norm: str = "inf",
    steps: int = 1,
    step_size: float | None = None,
) -> torch.Tensor:
    """Return rows moved to raise their loss, at most `eps` away: for training on them, or a test.

    With one step the fast gradient method, with more the projected gradient method.

    Parameters
    ----------
    module : torch.nn.Module
        The network; it is used in whatever mode it is.
    loss : callable
        `loss(outputs, labels)` of a batch: the mean of the rows' losses, or each of them.
    X : torch.Tensor of shape (n, ...)
        Rows.
    y : torch.Tensor of shape (n, ...)
        Their labels.
    eps : float
        Largest length of the change of a row, in `norm`.
    norm : {"inf", "2"}, default="inf"
        The largest change of an input, or the Euclidean length.
    steps : int, default=1
        Gradient steps.
    step_size : float, optional
        Length of one; by default `eps` for one step, else ``2.5 * eps / steps``.

    Returns
    -------
    torch.Tensor of shape (n, ...)
        The moved rows, without a graph.

    Raises
    ------
    ValueError
        For an `eps` or `step_size` that is not positive, an unknown norm, or no step.

    References
    ----------
    Goodfellow, Shlens & Szegedy, Explaining and harnessing adversarial examples, ICLR 2015.
    Madry, Makelov, Schmidt, Tsipras & Vladu, Towards deep learning models resistant to adversarial
    attacks, ICLR 2018.

    Examples
    --------
    >>> import torch
    >>> from skinfluence.torch import adversarial_step
    >>> module, X = torch.nn.Linear(3, 2), torch.ones(4, 3)
    >>> y = torch.tensor([0, 1, 0, 1])
    >>> moved = adversarial_step(module, torch.nn.functional.cross_entropy, X, y, eps=0.1)
    >>> bool((moved - X).abs().max() <= 0.1001)
    True
    """
    check_positive("eps", eps)
    check_choice("norm", norm, ("inf", "2"))
    check_count("steps", steps)
    if step_size is None:
        step_size = eps if steps == 1 else 2.5 * eps / steps
    check_positive("step_size", step_size)
    X, change = X.detach(), torch.zeros_like(X)
    for _ in range(steps):
        slope = _input_gradient(module, loss, (X + change).requires_grad_(), y)
        if norm == "inf":
            change = (change + step_size * slope.sign()).clamp(-eps, eps)
        else:
            change = change + step_size * slope / _lengths(slope)
            change = change * (eps / _lengths(change)).clamp(max=1.0)
    return X + change


def input_curvature(
    module: torch.nn.Module,
    X: object,
    y: object = None,
    *,
    loss: Callable = torch.nn.functional.cross_entropy,
    batch_size: int = 64,
    device: str | torch.device = "auto",
    dtype: object = None,
) -> InputCurvature:
    """Spectrum of the second derivative of each row's loss in its own inputs.

    As :func:`skinfluence.attacks.input_curvature`, of a network. Of a network with ReLUs it is
    what the loss alone has: within a linear piece the network adds nothing.

    Parameters
    ----------
    module : torch.nn.Module or fitted skorch net
        The trained network, in evaluation mode.
    X : array-like or torch.Tensor of shape (n, ...)
        Rows.
    y : array-like or torch.Tensor of shape (n, ...), optional
        Their labels; by default the class with the largest output.
    loss : callable, default=torch.nn.functional.cross_entropy
        `loss(outputs, labels)`, called on batches of one row.
    batch_size : int, default=64
        Rows at a time; half as many where they do not fit.
    device, dtype
        As in :class:`TangentFeatures`.

    Returns
    -------
    InputCurvature
        Eigenvalues (n, p) over all p inputs of a row, and the direction of the largest.

    Raises
    ------
    ValueError, TypeError
        For a module without parameters or in training mode, rows that are not finite, and labels
        that the outputs have no column for.

    Examples
    --------
    >>> import torch
    >>> from skinfluence.torch import input_curvature
    >>> module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))
    >>> input_curvature(module, torch.ones(5, 3)).eigenvalues.shape
    (5, 3)
    """
    check_count("batch_size", batch_size)
    network, of_row = NetworkFunction(module, device, dtype), RowLoss(loss)
    rows = network.rows(X)
    n_outputs, theta = network.n_outputs(rows), network.theta
    if y is None:
        with torch.no_grad():
            outputs = network.outputs(theta, rows)
        y = outputs.argmax(dim=1) if n_outputs > 1 else (outputs[:, 0] > 0).long()
    labels = of_row.labels(y, rows, n_outputs, network)
    derivative = vmap(hessian(lambda row, label: of_row(network.output(theta, row), label)))
    size = int(np.prod(rows.shape[1:]))
    values, directions = np.empty((len(rows), size)), np.empty((len(rows), size))
    chunks = in_chunks(lambda part: derivative(rows[part], labels[part]), len(rows), batch_size)
    for part, found in chunks:
        H = found.reshape(-1, size, size).cpu().numpy().astype(float)
        some, vectors = np.linalg.eigh(0.5 * (H + H.transpose(0, 2, 1)))
        values[part], top = some[:, ::-1], vectors[:, :, -1]
        largest = np.take_along_axis(top, np.abs(top).argmax(axis=1)[:, None], axis=1)
        directions[part] = top * np.where(largest < 0, -1.0, 1.0)
    return InputCurvature(values, directions)


def _input_gradient(module, loss, X, y, *, create_graph=False):
    """Gradient of each row's loss in the row, (n, ...)."""
    value = loss(module(X), y)
    total = value * len(X) if value.ndim == 0 else value.sum()
    return torch.autograd.grad(total, X, create_graph=create_graph)[0]


def _lengths(rows):
    """Euclidean length of each row, with axes of size 1 after the first."""
    return rows.flatten(1).norm(dim=1).clamp(min=1e-12).view(-1, *[1] * (rows.ndim - 1))
