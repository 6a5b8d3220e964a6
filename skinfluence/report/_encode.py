"""Arrays and texts in the form that the page reads: base64, with what is rounded and cut."""

import base64

import numpy as np

# Texts on the page are cut behind this many characters, names behind fewer.
LONGEST_TEXT, LONGEST_NAME = 600, 120

# float16 holds numbers up to 65504; below this largest one there are nine decades of normal ones.
LARGEST_HALF = 32768.0

ROUNDING = {
    "float32": "Losses, probabilities and predictions are rounded to float32 (an error of 6e-8 of "
    "the number at most)",
    "float16": "influences and the changes of what-if to float16 (5e-4 of the number at most, for "
    "numbers above 2e-9 of the largest of their table), pixels to 256 levels",
}


def single(values):
    """Pack an array as float32."""
    return _packed(np.asarray(values, dtype=np.float32), "float32")


def half(values):
    """Pack an array as float16 times a power of two, by which its largest entry becomes 2^15."""
    values = np.asarray(values, dtype=np.float64)
    finite = np.abs(values[np.isfinite(values)])
    largest = finite.max(initial=0.0)
    scale = 1.0 if largest == 0 else 2.0 ** np.floor(np.log2(LARGEST_HALF / largest))
    return _packed((values * scale).astype(np.float16), "float16") | {"scale": float(scale)}


def integers(values):
    """Pack integers from 0 as the shortest unsigned type."""
    values = np.asarray(values)
    largest = int(values.max(initial=0))
    kind = "uint8" if largest < 2**8 else "uint16" if largest < 2**16 else "uint32"
    return _packed(values.astype(kind), kind)


def _packed(values, kind):
    """Describe an array by type, shape and base64 of its little-endian bytes."""
    data = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"), copy=False)
    return {
        "dtype": kind,
        "shape": list(values.shape),
        "data": base64.b64encode(data.tobytes()).decode("ascii"),
    }


def name_text(value):
    """Return the text of a name, cut where it is long."""
    return clipped(value, LONGEST_NAME)


def clipped(value, longest=LONGEST_TEXT):
    """Return the text of a value; of a long one the beginning, and how long it is."""
    text = str(value)
    if len(text) <= longest:
        return text
    return f"{text[:longest]}… ({len(text):,} characters)"
