"""Functions for all figures; matplotlib is imported here, when a figure is drawn."""

import textwrap

import numpy as np

# Read as well on white as on black, and apart for those who do not tell red from green.
BLUE, RED, GREY = "#2f77bd", "#c9523f", "0.6"

# Colours of classes that are told apart without red against green, each with a marker of its own.
CLASS_STYLES = (
    ("#3b7fc4", "o"),
    ("#e08a1e", "^"),
    ("#8a6fb3", "s"),
    ("#2f9e8f", "D"),
    ("#c8578a", "v"),
    ("#8c7a4f", "P"),
    ("#6b7785", "X"),
    ("#b9a500", "*"),
)

# Names on a figure are cut behind this many characters.
LONGEST_LABEL = 28


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
    """Write the labels of some points beside them, on the side with more room.

    A label that would lie on an earlier one is left out.
    """
    middle = np.mean(ax.get_xlim())
    for row, text in apart(ax, x, y, labels, chosen):
        right = x[row] <= middle
        ax.annotate(
            text,
            (x[row], y[row]),
            xytext=(5 if right else -5, 0),
            textcoords="offset points",
            ha="left" if right else "right",
            va="center",
            fontsize="small",
        )


def apart(ax, x, y, labels, chosen):
    """Return (row, text) of the chosen points whose texts do not lie on an earlier one."""
    at = ax.transData.transform(np.c_[x, y])
    height, kept = 0.9 * font_pixels(ax), []
    chosen = list(chosen)
    for row, text in zip(chosen, told_apart([labels[row] for row in chosen]), strict=True):
        if all(
            abs(at[row, 1] - at[other, 1]) > height
            or abs(at[row, 0] - at[other, 0]) > 0.7 * height * (4 + len(text))
            for other, _ in kept
        ):
            kept.append((row, text))
    return kept


def font_pixels(ax):
    """Height of small text in pixels."""
    from matplotlib.font_manager import FontProperties

    return FontProperties(size="small").get_size_in_points() * ax.figure.dpi / 72.0


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


def plain(text):
    """Text that matplotlib draws as it is, where it would read mathematics between two dollars."""
    return str(text).replace("$", r"\$")


def cut(label, longest=LONGEST_LABEL):
    """Text of a label on one line; of a long one the beginning and the end."""
    text = " ".join(str(label).split())
    if len(text) > longest:
        begin = longest // 2
        text = f"{text[:begin]}\N{HORIZONTAL ELLIPSIS}{text[begin + 1 - longest :]}"
    return text


def short(label, longest=LONGEST_LABEL):
    """Text of a label for a figure, cut and drawn as it is."""
    return plain(cut(label, longest))


def in_lines(label):
    """Text of a label for an axis, in lines as long as one of `short`."""
    return textwrap.fill(short(label, longest=3 * LONGEST_LABEL), LONGEST_LABEL)


def told_apart(labels):
    """Texts of labels for a figure; those that cuts make the same, without what all begin with."""
    texts = [" ".join(str(label).split()) for label in labels]
    found = [short(text) for text in texts]
    if len(set(found)) == len(set(texts)):
        return found
    first, last = min(texts), max(texts)  # what these two share, all between them share
    n_shared = next(i for i in range(len(last)) if first[i : i + 1] != last[i])
    shared = first[:n_shared]
    # Numbers are kept whole: 0123 and 0124 are not told apart by 3 and 4 alone.
    start = max(shared.rfind(mark) for mark in " _-/:") + 1 or len(shared)
    return [short(f"\N{HORIZONTAL ELLIPSIS}{text[start:]}") for text in texts] if start else found


def scatter_by_class(ax, x, y, classes, scatter_kwargs):
    """Draw points, in the style of their classes if there are any, and return what was drawn."""
    style = {"s": 16, "alpha": 0.75, "linewidth": 0}
    if classes is None:
        return [ax.scatter(x, y, **merged({**style, "color": BLUE}, scatter_kwargs))]
    found = []
    for position, label in enumerate(np.unique(classes)):
        own = classes == label
        colour, marker = CLASS_STYLES[position % len(CLASS_STYLES)]
        drawn = {**style, "color": colour, "marker": marker, "label": short(label)}
        found.append(ax.scatter(x[own], y[own], **merged(drawn, scatter_kwargs)))
    ax.legend(title="label", fontsize="small", title_fontsize="small", framealpha=0.5)
    return found


def signed_bars(ax, values, labels, hurts, bar_kwargs):
    """Draw horizontal bars with their names, the first on top, red where the row hurts."""
    values = np.asarray(values, dtype=float)
    place = np.arange(len(values))
    colours = [RED if bad else BLUE for bad in hurts]
    bars = ax.barh(place, np.nan_to_num(values), **merged({"color": colours}, bar_kwargs))
    ax.set_yticks(place, labels, fontsize="small")
    ax.set_ylim(max(len(values), 3) - 0.4, -0.6)
    ax.axvline(0.0, color=GREY, linewidth=1.0)
    return bars
