"""What is read off a network's outputs for one row: margins, one output, losses."""

import torch


def class_margin(output, code):
    """Log odds of class `code`: eta_y - logsumexp of the others; of one output +-eta. A scalar.

    Of softmax outputs log p_y - log(1 - p_y), so that log(1 + exp(-margin)) is the log loss.
    """
    if output.shape[-1] == 1:
        return (2 * code - 1) * output[0]
    own = torch.arange(output.shape[-1], device=output.device) == code
    others = output.masked_fill(own, -torch.inf).logsumexp(dim=-1)
    return torch.where(own, output, 0.0).sum() - others


def one_output(k):
    """Function that reads output k."""

    def read(output, code):
        return output[k]

    return read
