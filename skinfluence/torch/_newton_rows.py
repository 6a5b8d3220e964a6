"""Newton steps of the weights without a row, with the row's own curvature taken out."""

import torch
from torch.func import grad, hessian, jacrev, vmap


def newton_steps(total, inverse, part):
    """Steps (b, P) of the weights on the removal of rows, and the relative residuals (b,).

    With J (K, P) the derivative of the row's outputs, r and L the first and second derivative of
    its loss in them, and A = J (H + damping I)^-1 J', the step is

        (H + damping I - w J'L J)^-1 w J'r = (H + damping I)^-1 J' (I - w L A)^-1 w r.

    NaN where an eigenvalue of w L A, a leverage, is 1 or more: without the row the weights are no
    minimum.

    Parameters
    ----------
    total : SumOfLosses
    inverse : DampedInverse
    part : slice
    """
    network, theta = total.network, total.network.theta
    rows, y, weight = total.rows[part], total.y[part], total.weight[part]
    J = vmap(jacrev(network.output), in_dims=(None, 0))(theta, rows)
    b, K, P = J.shape
    outputs = network.outputs(theta, rows)
    slopes = vmap(grad(total.loss))(outputs, y)
    curvatures = vmap(hessian(total.loss))(outputs, y)
    solved, residual = inverse.solve(J.reshape(b * K, P).T)
    solved = solved.T.reshape(b, K, P)
    leverage = weight[:, None, None] * curvatures @ (J @ solved.transpose(1, 2))
    undefined = torch.linalg.eigvals(leverage).real.amax(dim=1) >= 1.0 - 1e-9
    matrix = torch.eye(K, dtype=J.dtype, device=J.device) - leverage
    matrix[undefined] = torch.eye(K, dtype=J.dtype, device=J.device)
    multiplier = torch.linalg.solve(matrix, (weight[:, None] * slopes)[:, :, None])
    steps = (solved * multiplier).sum(dim=1)
    steps[undefined] = torch.nan
    return steps, residual.reshape(b, K).max(axis=1)
