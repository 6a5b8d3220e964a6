"""The one decorator of compiled functions: numba with a cache on disk where there can be one.

numba refuses to decorate a function whose cache it can put nowhere (an installation that is
read-only, a user without a home directory), and passes on what goes wrong when it writes (a full
disk). Neither is a reason not to compute: the function is compiled in every process then. Who wants
the cache back sets NUMBA_CACHE_DIR to a directory that can be written to.
"""

from numba import njit


class _OptionalCache:
    """numba's cache of one function, without the errors of the disk below it.

    Parameters
    ----------
    cache : numba.core.caching.FunctionCache
        The cache itself, which answers everything else.
    """

    def __init__(self, cache):
        self._cache = cache

    def __getattr__(self, name):
        return getattr(self._cache, name)

    def load_overload(self, sig, target_context):
        """Machine code of a signature; None where the files cannot be read."""
        try:
            return self._cache.load_overload(sig, target_context)
        except OSError:
            return None

    def save_overload(self, sig, data):
        """Write machine code if there is room for it; it is in memory already."""
        try:
            self._cache.save_overload(sig, data)
        except OSError:
            return


def compiled(function):
    """Compile a function, without the interpreter's lock, and keep its machine code if possible.

    Signatures are lazy, so that read-only memmaps and both index types pass.
    """
    try:
        found = njit(cache=True, nogil=True)(function)
    except RuntimeError:  # no place for a cache
        return njit(nogil=True)(function)
    # numba calls these two methods only; an attribute that it no longer reads would do no harm.
    found._cache = _OptionalCache(found._cache)
    return found
