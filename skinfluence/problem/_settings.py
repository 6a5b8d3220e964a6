"""The settings of a model, by which a changed one is noticed."""

import numpy as np


def model_settings(model):
    """Public attributes of a model that may change its objective, by name.

    Arrays are kept by reference: a refit replaces them.
    """
    return {name: value for name, value in vars(model).items() if not name.startswith("_")}


def same_settings(one, other):
    """Whether two models have the same settings: equal numbers and strings, identical objects."""
    if one is None or one.keys() != other.keys():
        return False
    for name, value in one.items():
        if value is other[name]:
            continue
        simple = isinstance(value, int | float | str | np.number)
        if not simple or type(value) is not type(other[name]) or value != other[name]:
            return False
    return True
