"""Data frames: the only module that imports pandas, and only when a frame is asked for."""

import numpy as np


def data_frame(columns):
    """Return a pandas DataFrame of a dict of equally long columns."""
    try:
        import pandas as pd
    except ImportError as error:
        raise ImportError(
            "to_frame() needs pandas, which is not installed: pip install pandas"
        ) from error
    return pd.DataFrame(columns)


def checked_labels(labels, size, name):
    """Return `labels` as an array of length `size`; the positions 0, 1, ... if `labels` is None."""
    if labels is None:
        return np.arange(size)
    labels = np.asarray(labels)
    if labels.shape != (size,):
        raise ValueError(f"{name} should have shape ({size},); got {labels.shape}.")
    return labels
