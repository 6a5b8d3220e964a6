"""Textbook thresholds for influential rows, by name."""

import numpy as np
from scipy.special import fdtr

from skinfluence._validation import check_choice

# name: (quantity, threshold of (n, p)); a row is flagged where the size is larger.
RULES = {
    "leverage": ("leverage", lambda n, p: 2.0 * p / n),
    "high_leverage": ("leverage", lambda n, p: 3.0 * p / n),
    "cooks": ("cooks_distance", lambda n, p: 4.0 / n),
    "dffits": ("dffits", lambda n, p: 2.0 * np.sqrt(p / n)),
    "dfbetas": ("dfbetas", lambda n, p: 2.0 / np.sqrt(n)),
    "covratio": ("covratio", lambda n, p: 3.0 * p / n),
}
NAMES = (*RULES, "R", "outlier")


def flags(diagnostics, rule, level):
    """Flags (n, m) of a rule, one column for each of its quantities."""
    check_choice("rule", rule, NAMES)
    n, p = diagnostics.n_used, diagnostics.n_effective_parameters
    if rule == "R":
        found = _measures(diagnostics, n, p)
    elif rule == "outlier":
        with np.errstate(invalid="ignore"):
            found = (diagnostics.outlier_p_value < level)[:, None]
    else:
        name, threshold = RULES[rule]
        size = getattr(diagnostics, name)
        size = np.abs(size - 1.0) if rule == "covratio" else np.abs(size)
        found = size.reshape(len(size), -1) > threshold(n, p)
    return found & (diagnostics.weight > 0)[:, None]


def _measures(diagnostics, n, p):
    """Return the columns of R's influence.measures, with its thresholds."""
    degrees = n - p if n > p else np.nan  # comparisons with NaN flag nothing
    columns = [
        np.abs(diagnostics.dfbetas) > 1.0,
        np.abs(diagnostics.dffits) > 3.0 * np.sqrt(p / degrees),
        np.abs(1.0 - diagnostics.covratio) > 3.0 * p / degrees,
        fdtr(p, degrees, diagnostics.cooks_distance) > 0.5,
        diagnostics.leverage > 3.0 * p / n,
    ]
    return np.column_stack(columns)
