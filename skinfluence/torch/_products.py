"""The sum of the losses of a network's rows: losses, gradients, products with its curvature."""

import copy

import torch
from torch.func import grad, hessian, jacrev, jvp, vjp, vmap

from skinfluence.torch._function import as_codes, as_tensor, in_chunks

# Rows of a product at once, by default.
PRODUCT_ROWS = 512
CROSS_ENTROPIES = (torch.nn.functional.cross_entropy, torch.nn.functional.nll_loss)
CROSS_ENTROPY_MODULES = (torch.nn.CrossEntropyLoss, torch.nn.NLLLoss)
BINARY = (
    torch.nn.functional.binary_cross_entropy,
    torch.nn.functional.binary_cross_entropy_with_logits,
)
BINARY_MODULES = (torch.nn.BCELoss, torch.nn.BCEWithLogitsLoss)


class RowLoss:
    """A loss of torch as a function of the outputs (K,) of one row and its label: a scalar.

    Parameters
    ----------
    loss : callable
        `loss(outputs, labels)` of a batch, with any reduction; it sees batches of one row.
    """

    def __init__(self, loss):
        if not callable(loss):
            raise TypeError(f"train_loss should be callable; got {loss!r}.")
        self.loss = loss
        self.is_cross_entropy = loss in CROSS_ENTROPIES or isinstance(loss, CROSS_ENTROPY_MODULES)
        self.is_binary = loss in BINARY or isinstance(loss, BINARY_MODULES)
        if getattr(loss, "weight", None) is not None and getattr(loss, "reduction", "") == "mean":
            # A mean over one row divides by the weight of its class.
            self.loss = copy.copy(loss)
            self.loss.reduction = "sum"

    def __call__(self, output, label):
        """The loss of one row."""
        outputs = output if len(output) == 1 and label.ndim == 0 else output[None]
        found = self.loss(outputs, label[None])
        if found.numel() != 1:
            raise ValueError(
                f"the loss should give one number for each row; of one row it has the shape "
                f"{tuple(found.shape)}."
            )
        return found.reshape(())

    def labels(self, y, rows, n_outputs, network, name="y"):
        """Labels as the loss takes them: class codes, or numbers of the type of the outputs."""
        if self.is_cross_entropy and as_tensor(y, name).ndim == 1:
            return as_codes(y, len(rows), n_outputs, name).to(network.device)
        labels = network.rows(y, name)
        if len(labels) != len(rows):
            raise ValueError(f"{name} has {len(labels)} labels for {len(rows)} rows.")
        outside = ((labels < 0) | (labels > 1)).reshape(len(labels), -1).any(dim=1)
        if self.is_binary and bool(outside.any()):
            raise ValueError(
                f"{name} should lie between 0 and 1 for a binary cross-entropy; row "
                f"{int(outside.nonzero()[0, 0])} does not."
            )
        return labels.to(network.dtype) if n_outputs == 1 else labels


class SumOfLosses:
    """F(theta) = sum_i w_i l(y_i, f(x_i; theta)) + 1/2 sum_j penalty_j theta_j^2 of a network.

    Parameters
    ----------
    network : NetworkFunction
    loss : RowLoss
    rows, y, weight : torch.Tensor
    penalty : torch.Tensor of shape (P,)
    batch_size : int, optional
        Rows of a product at once.
    """

    def __init__(self, network, loss, rows, y, weight, penalty, batch_size=None):
        self.network, self.loss = network, loss
        self.rows, self.y, self.weight, self.penalty = rows, y, weight, penalty
        self.batch_size = batch_size or PRODUCT_ROWS

    def __len__(self):
        """Number of training rows."""
        return len(self.rows)

    def _sum(self, outputs, part):
        """Weighted losses of a part of the rows at their outputs."""
        return self.weight[part] @ vmap(self.loss)(outputs, self.y[part])

    def gradient(self):
        """Gradient of F, (P,)."""
        theta = self.network.theta
        total = self.penalty * theta

        def of(part):
            return grad(lambda t: self._sum(self.network.outputs(t, self.rows[part]), part))(theta)

        for _, found in in_chunks(of, len(self), self.batch_size):
            total = total + found
        return total

    def row_gradients(self, part):
        """Unweighted gradients (b, P) of the losses of a part of the rows."""
        found = self.network.gradients(self.loss, self.rows[part], self.y[part])
        return torch.cat([gradients for _, gradients in found])

    def product(self, kind, V, rows=None):
        """H V or G V for V (P, m), of all rows, or of a sample of them scaled to all.

        Parameters
        ----------
        kind : {"hessian", "ggn"}
        V : torch.Tensor of shape (P, m)
        rows : torch.Tensor of int, optional
            Positions of the sample.
        """
        n = len(self) if rows is None else len(rows)
        share = len(self) / n
        of = self._hessian_product if kind == "hessian" else self._ggn_product
        total = self.penalty[:, None] * V

        def of_chunk(part):
            return of(V, part if rows is None else rows[part])

        for _, found in in_chunks(of_chunk, n, self.batch_size):
            total = total + share * found
        return total

    def gauss_newton(self):
        """The whole Gauss-Newton matrix (P, P) with the penalty, in float64, from Jacobians."""
        network, theta = self.network, self.network.theta
        total = torch.diag(self.penalty.double())

        def of(part):
            rows = self.rows[part]
            J = vmap(jacrev(network.output), in_dims=(None, 0))(theta, rows).double()
            curvatures = vmap(hessian(self.loss))(network.outputs(theta, rows), self.y[part])
            weighed = (self.weight[part, None, None] * curvatures).double() @ J
            return J.reshape(-1, len(theta)).T @ weighed.reshape(-1, len(theta))

        for _, found in in_chunks(of, len(self), network.chunk(None)):
            total += found
        return total.cpu().numpy()

    def _hessian_product(self, V, part):
        """Hessian of the losses of a part of the rows times V: derivatives of the gradient."""
        theta, x = self.network.theta, self.rows[part]
        derivative = grad(lambda t: self._sum(self.network.outputs(t, x), part))
        return vmap(lambda v: jvp(derivative, (theta,), (v,))[1], in_dims=1, out_dims=1)(V)

    def _ggn_product(self, V, part):
        """J' (second derivative of the loss in the outputs) J V."""
        theta, x = self.network.theta, self.rows[part]

        def outputs(t):
            return self.network.outputs(t, x)

        found, back = vjp(outputs, theta)
        slope = grad(lambda o: self._sum(o, part))

        def one(v):
            moved = jvp(outputs, (theta,), (v,))[1]
            return back(jvp(slope, (found,), (moved,))[1])[0]

        return vmap(one, in_dims=1, out_dims=1)(V)
