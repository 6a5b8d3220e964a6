"""The table: rows of Markdown, and where they are kept."""

import json
import os
import platform
from pathlib import Path

import numpy
import scipy
import sklearn

HERE = Path(__file__).parent
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
HEAD = ("problem", "who", "time", "floor", "ratio", "bar", "peak above data", "slope", "rel. RMSE")


def verdict(value, bar, unit=""):
    """The bar, and whether it is met."""
    if bar is None:
        return ""
    return f"{bar:g}{unit} {'met' if value <= bar else '**missed**'}"


def seconds(value):
    """Three digits with a unit."""
    return f"{value:.3g} s" if value >= 1 else f"{1000 * value:.3g} ms"


def _two_digits(ratio):
    """Two decimals, or two digits of what is smaller."""
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.2g}"


def cells(row):
    """A measured or skipped row as strings."""
    if "skipped" in row:
        return [row["problem"], row["who"], row["skipped"], *[""] * (len(HEAD) - 3)]
    peak = row.get("peak_bytes")
    peak = None if peak is None else peak / 1e6
    bars = [verdict(row["ratio"], row.get("bar"), " x")]
    if row.get("bar_seconds"):
        bars.append(verdict(row["seconds"], row["bar_seconds"], " s"))
    if row.get("peak_bar"):
        bars.append(verdict(peak, row["peak_bar"], " MB"))
    who = row["who"] + (f" {row['version']}" if row.get("version") else "")
    return [
        row["problem"],
        who,
        seconds(row["seconds"]),
        seconds(row["floor_seconds"]),
        _two_digits(row["ratio"]),
        ", ".join(filter(None, bars)),
        "" if peak is None else f"{peak:.0f} MB",
        f"{row['slope']:.4f}" if "slope" in row else "",
        f"{row['relative_rmse']:.2%}" if "slope" in row else "",
    ]


def table(rows):
    """Markdown, columns aligned."""
    lines = [list(HEAD), *(cells(row) for row in rows)]
    widths = [max(len(line[j]) for line in lines) for j in range(len(HEAD))]
    lines.insert(1, ["-" * width for width in widths])
    padded = [[cell.ljust(size) for cell, size in zip(line, widths, strict=True)] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)


def _processor():
    """Model name of the processor, as Linux gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def machine():
    """Facts about machine and versions, one line."""
    from threadpoolctl import threadpool_info

    blas = {
        f"{pool['internal_api']} {pool['version']}, {pool['num_threads']} threads"
        for pool in threadpool_info()
        if pool["user_api"] == "blas"
    }
    versions = [
        f"{name} {module.__version__}"
        for name, module in (("NumPy", numpy), ("SciPy", scipy), ("scikit-learn", sklearn))
    ]
    return "; ".join(
        [
            f"{os.cpu_count()} cores, {_processor()}",
            ", ".join([f"Python {platform.python_version()}", *versions]),
            *sorted(blas),
        ]
    )


def _merged(rows, problems, order):
    """Add what results.json has of other problems, in the order of all."""
    path = HERE / "results.json"
    known = json.loads(path.read_text()) if path.exists() else {"rows": [], "problems": {}}
    done = {row["problem"] for row in rows}
    rows = [*rows, *(row for row in known["rows"] if row["problem"] not in done)]
    rows = sorted(rows, key=lambda row: order.index(row["problem"]))
    problems = {**known["problems"], **problems}
    return rows, {name: problems[name] for name in order if name in problems}


def write(rows, problems, facts, order):
    """Put table and facts between the markers of README.md, and all figures into results.json.

    Rows of problems that were not asked for stay as they are.
    """
    rows, problems = _merged(rows, problems, order)
    (HERE / "results.json").write_text(
        json.dumps({"machine": facts, "problems": problems, "rows": rows}, indent=1) + "\n"
    )
    readme = HERE / "README.md"
    before, rest = readme.read_text().split(BEGIN)
    listed = "\n".join(f"- **{name}**: {shape}" for name, shape in problems.items())
    text = f"{BEGIN}\n{facts}.\n\n{listed}\n\n{table(rows)}\n{END}"
    readme.write_text(before + text + rest.split(END)[1])
