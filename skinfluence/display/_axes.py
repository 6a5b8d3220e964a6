"""Functions for all figures; matplotlib is imported here, when a figure is drawn."""

import numpy as np

BLUE, RED, GREY = "#1f5fa8", "#b5443b", "0.6"


def axes(ax):
    """Return the given axes, or new ones of matplotlib's default size."""
    try:
        from matplotlib import pyplot as plt
    except ImportError as error:
        raise ImportError(
            "displays need matplotlib, which is not installed: pip install matplotlib"
        ) from error
    if ax is None:
        _, ax = plt.subplots(layout="constrained")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def diagonal(ax):
    """Draw the line on which both coordinates are equal."""
    return ax.axline((0.0, 0.0), slope=1.0, color=GREY, linewidth=1.0, zorder=0)


def annotate(ax, x, y, labels, chosen):
    """Write the labels of some points beside them, on the side with more room."""
    middle = np.mean(ax.get_xlim())
    for row in chosen:
        right = x[row] <= middle
        ax.annotate(
            str(labels[row]),
            (x[row], y[row]),
            xytext=(5 if right else -5, 0),
            textcoords="offset points",
            ha="left" if right else "right",
            va="center",
            fontsize="small",
        )


def merged(defaults, given):
    """Keyword arguments of an artist: the defaults, updated by the user's."""
    return {**defaults, **(given or {})}


def checked(**arrays):
    """Return arrays given by keyword as float64; raise unless all have one shape (n,)."""
    arrays = {name: np.asarray(values, dtype=float) for name, values in arrays.items()}
    shapes = {name: values.shape for name, values in arrays.items()}
    if len(set(shapes.values())) != 1 or any(values.ndim != 1 for values in arrays.values()):
        said = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"{' and '.join(arrays)} should be 1-D and of equal length; got {said}.")
    return arrays.values()
