"""Checks of arguments; an error names the argument, the value that was given, and what to do."""

import inspect
import numbers
import re
import warnings
from collections import Counter
from contextlib import contextmanager
from functools import partial
from hashlib import blake2b

import numpy as np
from sklearn.utils.validation import column_or_1d, validate_data

METHODS = ("auto", "first_order", "newton", "exact")
AGGREGATES = (None, "mean", "sum")
# Characters of a value in a message.
LONGEST = 120
PACKAGE = __name__.partition(".")[0]
# Types of labels that one array can hold as they are, each by itself.
KINDS = (str, bytes, bool | np.bool_, numbers.Number)
SORTED_LABELS = "should hold labels that sort: all numbers or all strings"


def warn(message, category):
    """Warn at the line outside of this package that led here, the caller's own.

    Parameters
    ----------
    message : str
    category : type
    """
    frame, level = inspect.currentframe().f_back, 2
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == PACKAGE:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def shown(value):
    """Text of a value for a message: numbers of NumPy as numbers, long ones cut off."""
    text = repr(value.item() if isinstance(value, np.generic) else value)
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


@contextmanager
def naming(name):
    """Let an error that a step or a check raises about its X say which argument that is."""
    try:
        yield
    except (ValueError, TypeError) as error:
        plain = type(error) in (ValueError, TypeError) and len(error.args) == 1
        if not plain or not isinstance(error.args[0], str) or name in error.args[0]:
            raise
        told = re.sub(r"^(Input )?X(?= (contains|has) )", rf"\g<1>{name}", error.args[0])
        told = told if name in told else f"{name}: {told}"
        raise type(error)(told).with_traceback(error.__traceback__) from None


# Texts of names are cut behind this many characters.
LONGEST_TEXT = 200


def check_choice(name, value, choices):
    """Raise unless `value` is one of `choices`."""
    if isinstance(value, str | None) and value in choices:
        return value
    listed = ", ".join(repr(choice) for choice in choices)
    raise ValueError(f"{name} should be one of {listed}; got {shown(value)} instead.")


def check_at_least_zero(name, value):
    """Return `value` as a float; raise unless it is a finite number of at least 0."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise TypeError(f"{name} should be a number of at least 0; got {shown(value)} instead.")
    if not 0 <= value < np.inf:
        raise ValueError(f"{name} should be a finite number of at least 0; got {shown(value)}.")
    return float(value)


def check_damping(damping):
    """Return `damping` as a float; raise unless it is a finite number of at least 0."""
    return check_at_least_zero("damping", damping)


def check_positive(name, value):
    """Raise unless `value` is a finite positive number."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        raise TypeError(f"{name} should be a positive number; got {shown(value)} instead.")
    if not 0 < value < np.inf:
        raise ValueError(f"{name} should be a finite positive number; got {shown(value)}.")


def check_count(name, value):
    """Raise unless `value` is an integer of at least 1."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} should be a positive integer; got {shown(value)}.")


def check_k(k, n_rows):
    """Raise where k is no number of rows out of those asked about."""
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 1 <= k <= n_rows:
        raise ValueError(
            f"k should be an integer from 1 to the {n_rows} training rows asked about; "
            f"got {shown(k)} instead."
        )


def check_same_length(**given):
    """Raise unless all given arguments that are not None have as many rows as the first."""
    sizes = {name: _n_rows(name, values) for name, values in given.items() if values is not None}
    if len(set(sizes.values())) > 1:
        (first, n), *others = sizes.items()
        listed_sizes = ", ".join(f"{name} {size}" for name, size in others)
        raise ValueError(
            "Found input variables with inconsistent numbers of samples: "
            f"{first} has {n} rows, {listed_sizes}."
        )


def _n_rows(name, values):
    """Number of rows of an argument; raise where it has none."""
    shape = values.shape if hasattr(values, "shape") else np.shape(values)
    if not len(shape):
        raise ValueError(f"{name} should hold one entry for each row; got {shown(values)}.")
    return shape[0]


def check_flag(name, value):
    """Raise unless `value` is True or False, or as good as one."""
    if not isinstance(value, bool | np.bool_ | int):
        raise TypeError(f"{name} should be True or False; got {shown(value)} instead.")


def as_numbers(name, values):
    """Return values as a float64 array; raise on strings, objects and complex numbers."""
    try:
        values = np.asarray(values)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"{name} should hold numbers in one shape: {error}") from error
    try:
        if values.dtype.kind not in "biufO":
            raise TypeError
        return values.astype(np.float64)
    except (TypeError, ValueError) as error:
        what = "Complex data not supported: " if values.dtype.kind == "c" else ""
        raise ValueError(f"{what}{name} should hold numbers; got dtype {values.dtype}.") from error


def check_resolution(y, temperature):
    """Raise where responses are so large that float64 does not resolve the temperature beside them.

    Every residual would be rounded by more than the width of the kinks, and no row have a
    curvature that means anything.
    """
    largest = float(np.abs(y).max(initial=0.0))
    if largest * np.finfo(np.float64).eps > temperature:
        raise ValueError(
            f"temperature={temperature:g} is below the rounding of y, which goes up to "
            f"{largest:.2g}. Scale y, or raise the temperature to its units."
        )


def validate_rows(estimator, X, **accepted):
    """Return test rows checked like the X of predict, by `validate_data`.

    A finite float64 array of the right width passes at once: the general check takes as long as
    the influence of a hundred rows.
    """
    plain = type(X) is np.ndarray and X.dtype == np.float64 and X.ndim == 2 and len(X) > 0
    if plain and not hasattr(estimator, "feature_names_in_"):
        with np.errstate(all="ignore"):
            finite = np.isfinite(X.sum())  # what overflows is looked at by the general check
        if finite and X.shape[1] == getattr(estimator, "n_features_in_", None):
            return X
    return validate_data(estimator, X, reset=False, **accepted)


def check_aggregate(aggregate, test_sample_weight=None):
    """Raise for an unknown aggregate, and for weights of test rows that nothing sums up."""
    check_choice("aggregate", aggregate, AGGREGATES)
    if aggregate is None and test_sample_weight is not None:
        raise ValueError(
            "test_sample_weight are weights of the test rows in their sum or mean, and there is "
            "none: pass aggregate='mean' or 'sum', or leave it out."
        )


def check_sample_weight(sample_weight, n_samples, name="sample_weight"):
    """Return float64 weights (n_samples,); raise on negative, non-finite or all-zero ones."""
    if sample_weight is None:
        return np.ones(n_samples)
    weight = np.asarray(sample_weight)
    if weight.ndim == 0 and weight.dtype.kind in "iufb":
        weight = np.full(n_samples, weight)
    if weight.ndim > 1:
        raise ValueError(
            f"Sample weights must be 1D array or scalar; got {name} of shape "
            f"{weight.shape}. Pass one weight a row."
        )
    weight = as_numbers(name, weight)
    if weight.shape != (n_samples,):
        raise ValueError(f"{name} should have shape ({n_samples},); got {weight.shape} instead.")
    if not np.isfinite(weight).all():
        raise ValueError(f"{name} should be finite; it contains NaN or infinity.")
    if (weight < 0).any():
        row = int(np.argmin(weight))
        raise ValueError(
            f"Negative values in {name}: rows should have weights of at least 0; "
            f"got {weight[row]:g} at row {row}."
        )
    if not (weight > 0).any():
        raise ValueError(f"{name} should have a positive entry; all are zero.")
    return weight


def check_test_weight(test_sample_weight, n_test):
    """Return the weights of test rows (n_test,); None for None."""
    if test_sample_weight is None:
        return None
    return check_sample_weight(test_sample_weight, n_test, "test_sample_weight")


def as_index(train_indices, n_train, name="train_indices", *, distinct=False):
    """Check `train_indices` and return them as non-negative positions; None means all rows.

    With `distinct` no row may be named twice, as in a group or a ranking.
    """
    if train_indices is None:
        return np.arange(n_train)
    index = np.asarray(train_indices)
    if index.dtype == bool and index.shape == (n_train,):
        return np.flatnonzero(index)
    if index.size == 0 and index.ndim == 1:
        return np.zeros(0, dtype=np.intp)
    if index.ndim != 1 or index.dtype.kind not in "iu":
        raise ValueError(
            f"{name} should be a 1-D array of integer positions or a boolean mask of "
            f"length {n_train}; got an array of shape {index.shape} and dtype {index.dtype}."
        )
    if index.min() < -n_train or index.max() >= n_train:
        raise ValueError(
            f"{name} should lie in [{-n_train}, {n_train - 1}]; "
            f"got values from {index.min()} to {index.max()}."
        )
    index = np.where(index < 0, index + n_train, index).astype(np.intp)
    if distinct:
        rows, counts = np.unique(index, return_counts=True)
        if len(rows) < len(index):
            raise ValueError(f"{name} names a row twice: position {rows[counts > 1][0]}.")
    return index


def encode_labels(y, classes, name):
    """Return the positions of labels in the sorted `classes`; raise on labels not among them."""
    # A plain array of numbers or strings needs no look at its values.
    if type(y) is not np.ndarray or y.ndim != 1 or y.dtype.kind not in "biufUS":
        y = column_or_1d(y, warn=False)
    if len(y) == 0:
        return np.zeros(0, dtype=np.intp)
    try:
        position = np.searchsorted(classes, y)
        position = np.minimum(position, len(classes) - 1)
        seen = classes[position] == y
    except TypeError:  # labels that do not compare with the classes
        seen = position = np.zeros(len(y), dtype=np.intp)
    if not np.all(seen):
        _refuse_labels(np.asarray(y)[~np.asarray(seen, dtype=bool)], classes, name)
    return position


def _refuse_labels(labels, classes, name):
    """Raise about labels of which some are not among the classes: those that are missing, or new.

    Labels that do not compare with the classes, such as None with strings, come with all others.
    """
    known, missing = classes.tolist(), _are_missing(labels)
    unseen = sorted({shown(label) for label in labels[~missing] if label not in known})
    what = "previously unseen labels" if unseen else "missing labels"
    found = unseen or sorted({shown(label) for label in labels[missing]})
    advice = "" if unseen else "Drop their rows. "
    raise ValueError(
        f"{name} contains {what}: {', '.join(found[:10])}. {advice}The model was fitted on {known}."
    )


def check_classes_have_weight(classes, codes, weight):
    """Raise unless each of the classes has a row of positive weight."""
    empty = np.bincount(codes, weights=weight, minlength=len(classes)) == 0
    if empty.any():
        raise ValueError(
            f"class {classes[empty].tolist()[0]!r} has no row of positive weight: the model "
            "without it is another one. Drop its rows before fitting."
        )


def label_encoder(classes, dtype):
    """Return a function `encode(y, name)` from labels to their positions in `classes`."""
    return partial(_encoded, classes=classes, dtype=dtype)


def _encoded(y, name, *, classes, dtype):
    """Positions of labels in `classes`; at the level of the module, so that it can be pickled."""
    return encode_labels(y, classes, name).astype(dtype)


def listed(values, most=10):
    """First of some values for a message, "1, 2, 3, ..." where there are more."""
    return ", ".join(map(str, values[:most])) + (", ..." if len(values) > most else "")


def check_tolerance(tol):
    """Return `tol` as a float; raise unless it is positive and finite."""
    if isinstance(tol, bool) or not isinstance(tol, int | float | np.number):
        raise TypeError(f"tol should be a positive number; got {shown(tol)} instead.")
    if not 0 < tol < np.inf:
        raise ValueError(f"tol should be a positive finite number; got {shown(tol)}.")
    return float(tol)


def missing_rows(values):
    """Positions of the rows of labels in which one is missing (None, NaN, NaT, pandas.NA)."""
    # Among strings NaN becomes the string "nan": lists are looked at before they are converted.
    given = np.asarray(values) if hasattr(values, "dtype") else np.asarray(values, dtype=object)
    missing = _are_missing(given)
    return np.flatnonzero(missing if missing.ndim == 1 else missing.any(axis=1))


def check_group_labels(groups, name="groups", *, sorts=True):
    """Return labels of groups as an array; raise where one is missing, or of another type.

    A missing label (None, NaN, pandas.NA) says nothing: rows without one are no group of their own.
    Labels of several types NumPy would make into one, and different ones into the same. Where they
    need not sort, they stay as they are.
    """
    try:
        labels = np.asarray(groups)
    except ValueError as error:  # lists of different lengths
        raise ValueError(
            f"{name} should hold one label for each training row; got lists of different lengths."
        ) from error
    # Among strings NaN becomes the string "nan": lists are looked at before they are converted.
    given = labels if hasattr(groups, "dtype") else np.asarray(groups, dtype=object)
    missing = np.ma.getmaskarray(groups) if np.ma.isMaskedArray(groups) else _are_missing(given)
    if labels.ndim == 1 and missing.any():
        rows = np.flatnonzero(missing)
        seen = "a masked value" if np.ma.isMaskedArray(groups) else shown(given[rows[0]])
        raise ValueError(
            f"{name} has {len(rows)} missing label{'s' if len(rows) > 1 else ''} ({seen}) at row "
            f"{listed(rows)}. Give every row the label of a group."
        )
    if labels.ndim != 1 or given.dtype.kind != "O":
        return labels
    if not sorts:
        return given
    _check_one_kind(given, labels, name)
    return labels


def _check_one_kind(given, labels, name):
    """Raise where labels (n,), as they were given, are not what one array makes of them."""
    types = {type(value) for value in given}
    kinds = {next((kind for kind in KINDS if issubclass(found, kind)), None) for found in types}
    seen = ""
    if len(kinds) > 1:
        seen = f"labels of the types {', '.join(sorted(found.__name__ for found in types))}"
    elif numbers.Number in kinds and labels.tolist() != [
        value.item() if isinstance(value, np.generic) else value for value in given
    ]:
        seen = "integers beside floats, which do not tell them apart"
    if seen:
        raise ValueError(f"{name} {SORTED_LABELS}; got {seen}.")


def _are_missing(values):
    """Whether each of some values is None, NaN, NaT or pandas.NA; an array of their shape."""
    if values.dtype.kind != "O":
        return values != values  # NaN and NaT, and nothing else, differ from themselves
    found = np.zeros(values.shape, dtype=bool)
    for position, value in np.ndenumerate(values):
        try:
            found[position] = value is None or bool(value != value)
        except TypeError:  # pandas.NA is neither equal to itself nor not
            found[position] = True
        except ValueError:  # an array
            continue
    return found


def as_partition(groups, n_train):
    """Return the index array of the rows of each label in `groups` (n_train,), in sorted order."""
    labels = check_group_labels(groups)
    if labels.shape != (n_train,):
        raise ValueError(
            f"groups should hold one label for each of the {n_train} training rows; got an array "
            f"of shape {labels.shape}."
        )
    try:
        _, codes = np.unique(labels, return_inverse=True)
    except TypeError as error:
        raise ValueError(f"groups {SORTED_LABELS}.") from error
    order = np.argsort(codes, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)


def as_groups(groups, n_train):
    """Return index arrays of groups given as labels, index arrays, a dict or a boolean matrix."""
    if isinstance(groups, dict):
        if not groups:
            raise ValueError("groups is an empty dict: name at least one group of rows.")
        groups = list(groups.values())
    if isinstance(groups, list | tuple) and len(groups) and np.ndim(groups[0]) == 1:
        array = None
    else:
        array = np.asarray(groups)
    if array is not None and array.ndim == 1:
        return as_partition(groups, n_train)
    if array is not None and not (array.ndim == 2 and array.dtype == bool):
        raise ValueError(
            "groups should be labels of shape (n_train,), a list of index arrays, or a boolean "
            f"matrix (n_groups, {n_train}); got shape {array.shape} and dtype {array.dtype}."
        )
    found = []
    for position, group in enumerate(groups if array is None else array):
        found.append(as_index(group, n_train, f"groups[{position}]", distinct=True))
    return found


def group_names(groups):
    """Names of groups (g,): the keys of a dict, the sorted labels of the rows, else positions."""
    if isinstance(groups, dict):
        names = np.empty(len(groups), dtype=object)
        for position, key in enumerate(groups):
            names[position] = key
        return names
    if isinstance(groups, list | tuple) and len(groups) and np.ndim(groups[0]) == 1:
        return np.arange(len(groups))
    array = np.asarray(groups)
    return np.unique(array) if array.ndim == 1 else np.arange(len(array))


def as_responses(y, name, n_outputs=None):
    """Return responses as finite float64 of shape (n,) or (n, K); raise on anything else."""
    y = as_numbers(name, y)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim not in (1, 2):
        raise ValueError(f"{name} should be one- or two-dimensional; got shape {y.shape}.")
    found = 1 if y.ndim == 1 else y.shape[1]
    if n_outputs is not None and found != n_outputs:
        raise ValueError(
            f"{name} has {found} output{'s' if found > 1 else ''}; the model was fitted on "
            f"{n_outputs}."
        )
    if not np.isfinite(y).all():
        raise ValueError(f"{name} should be finite; it contains NaN or infinity.")
    return y


def distinct_texts(values):
    """Return the values of an array (n,) as short texts, different for different values."""
    values = values.tolist()
    texts = [_shortened(str(value)) for value in values]
    count = Counter(texts)
    return np.array(
        [
            text if count[text] == 1 else _shortened(f"{type(value).__name__} {value!r}")
            for text, value in zip(texts, values, strict=True)
        ]
    )


def _shortened(text):
    """Text without NUL that is not long; where it is cut a hash keeps it apart from others."""
    if len(text) <= LONGEST_TEXT and "\0" not in text:
        return text
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{text[:LONGEST_TEXT].replace(chr(0), ' ')}... {digest}"
