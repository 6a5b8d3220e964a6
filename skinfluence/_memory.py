"""How much memory there is, of the machine or of the container: asked before much of it is taken.

A process in a container is ended without a word when it takes more than its control group has, and
one that asks the operating system for more than there is may get a promise that is not kept. So
what is large is compared with what is left, and the error says how to need less.
"""

import os
from functools import cache
from pathlib import Path

# Where the system does not say.
UNKNOWN = 8 * 2**30
# What takes less is not worth the question.
SMALL = 2**27
# Name of the controller, directory and files of the two kinds of control groups.
CONTROL_GROUPS = (
    ("", "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    (
        "memory",
        "sys/fs/cgroup/memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
)


@cache
def memory_limit(root="/"):
    """Bytes that this process may ever have: the machine's memory, or its control group's limit."""
    meminfo = _numbers(Path(root, "proc/meminfo"))
    total = 1024 * meminfo["MemTotal"] if "MemTotal" in meminfo else _physical_memory()
    return min([total, *(limit for limit, _ in _groups(root))])


def free_memory(root="/"):
    """Bytes that may still be taken now; the cache of files counts as free, and so does swap."""
    meminfo = _numbers(Path(root, "proc/meminfo"))
    free = memory_limit(root)
    if "MemAvailable" in meminfo:
        free = 1024 * (meminfo["MemAvailable"] + meminfo.get("SwapFree", 0))
    return max(0, min([free, *(limit - used for limit, used in _groups(root))]))


def memory_budget():
    """Bytes that a factorisation may take where there are others: half of what there is in all.

    Not of what is free: the same question is to be answered in the same way a minute later.
    """
    return memory_limit() // 2


def fits(n_bytes):
    """Whether so many bytes may be taken now."""
    return n_bytes < SMALL or n_bytes <= free_memory()


def check_memory(n_bytes, what, advice):
    """Raise MemoryError where so many bytes are more than there are.

    Parameters
    ----------
    n_bytes : float
        About to be taken.
    what : str
        What takes them, as the subject of a sentence.
    advice : str
        What the caller can do to need less, as an order.
    """
    if not fits(n_bytes):
        raise MemoryError(
            f"{what} would take {_gib(n_bytes)} of memory, and {_gib(free_memory())} are free: "
            f"{advice}."
        )


def _groups(root):
    """(limit, bytes used and not given back on demand) of each control group above the process."""
    found = []
    for controller, directory, limit, usage, cached in CONTROL_GROUPS:
        for path in _paths(root, controller):
            group = Path(root, directory, path)
            most, used = _number(group / limit), _number(group / usage)
            if most is not None and used is not None:
                stat = _numbers(group / "memory.stat")
                found.append((most, used - stat.get(cached, 0)))
    return found


def _paths(root, controller):
    """Path of the process's control group and of all above it; in a container often only "."."""
    paths = {Path()}
    for line in _lines(Path(root, "proc/self/cgroup")):
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            own = Path(path.lstrip("/"))
            paths |= {own, *own.parents}
    return paths


def _lines(path):
    """Lines of a file; none where it cannot be read."""
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _number(path):
    """Number in a file; None where there is none, as for "max"."""
    lines = _lines(path)
    return int(lines[0]) if lines and lines[0].isdigit() else None


def _numbers(path):
    """Numbers in a file of lines "name number", by their names."""
    fields = [line.replace(":", " ").split() for line in _lines(path)]
    return {field[0]: int(field[1]) for field in fields if len(field) > 1 and field[1].isdigit()}


def _physical_memory():
    """Bytes of memory as POSIX knows them."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return UNKNOWN


def _gib(n_bytes):
    """Bytes in a unit that is read at a glance."""
    return f"{n_bytes / 2**30:,.1f} GiB"
