"""Data frames: the door to pandas, imported only when a frame is asked for."""

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

DataFrame: TypeAlias = "pd.DataFrame"  # for annotations, which must not import pandas


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
    """Return `labels` as an array of length `size`, or positions where there are none."""
    if labels is None:
        return np.arange(size)
    labels = np.asarray(labels)
    if labels.shape != (size,):
        raise ValueError(f"{name} should have shape ({size},); got {labels.shape}.")
    return labels
