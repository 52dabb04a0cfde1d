"""The decorators of compiled functions: `entry` for what Python calls, `inner` for the others.

Numba keeps compiled functions on disk until the source file of the function changes. But kernels
are compiled from several files, so here they are kept until any file of this package changes.
"""

import functools
import hashlib
from importlib import resources

from numba import njit

try:
    from numba.core.caching import FunctionCache
except ImportError:
    FunctionCache = object


def _digest_sources():
    files = sorted(resources.files(__package__).iterdir(), key=lambda file: file.name)
    sources = [file.read_bytes() for file in files if file.name.endswith(".py")]
    return hashlib.sha256(b"\0".join(sources)).hexdigest()


DIGEST = _digest_sources()  # now, since the files may change before kernels are compiled


class PackageCache(FunctionCache):  # type: ignore[misc]
    """Numba's cache on disk, with the sources of the package and options as parts of the key."""

    def __init__(self, function, options):
        super().__init__(function)
        self.options = repr(sorted(options.items()))

    def _index_key(self, *args):
        return (*super()._index_key(*args), DIGEST, self.options)


def entry(function=None, **options):
    """Compile a function that Python calls; keep it on disk.

    By default it lets other threads run. With ``nogil=False`` it does not, which suits work of some
    microseconds: to get the lock back from a busy thread may take longer than that. It is not kept
    if a future Numba does not let us extend the key.
    """
    if function is None:
        return functools.partial(entry, **options)
    options = {"nogil": True, **options}
    dispatcher = njit(**options)(function)
    if hasattr(FunctionCache, "_index_key") and hasattr(dispatcher, "_cache"):
        dispatcher._cache = PackageCache(function, options)
    return dispatcher


inner = njit(nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
