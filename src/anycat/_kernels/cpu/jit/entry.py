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
    """Numba's cache on disk, with the sources of the package as a part of the key."""

    def _index_key(self, *args):
        return (*super()._index_key(*args), DIGEST)


def entry(function=None, **options):
    """Compile a function that Python calls, which lets other threads run; keep it on disk.

    It is not kept if a future Numba does not let us extend the key.
    """
    if function is None:
        return functools.partial(entry, **options)
    dispatcher = njit(nogil=True, **options)(function)
    if hasattr(FunctionCache, "_index_key") and hasattr(dispatcher, "_cache"):
        dispatcher._cache = PackageCache(function)
    return dispatcher


inner = njit(nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
