"""The decorators of compiled functions: `entry` for what Python calls, `inner` for the others.

They use a few names that Numba does not document. A Numba without them compiles all the same.
"""

import contextlib
import functools

from numba import config, njit

from anycat._kernels import fork

if config.DISABLE_JIT:
    raise RuntimeError(
        "anycat's kernels are functions that Numba compiles, but Numba's compiler is turned off: "
        "unset the environment variable NUMBA_DISABLE_JIT"
    )

with contextlib.suppress(ImportError, AttributeError):
    from llvmlite.binding import ffi
    from numba.core.compiler_lock import global_compiler_lock

    # The first is held while a function is compiled or loaded, the second by each call of LLVM.
    fork.LOCKS += [global_compiler_lock, ffi.lib._lock]


# Else functions would take fastmath over from the first that calls them, which may be a user's.
_EXACT = {"fastmath": False}


def entry(function=None, **options):
    """Compile a function that Python calls; keep it on disk.

    By default it lets other threads run. With ``nogil=False`` it does not, which suits work of some
    microseconds: to get the lock back from a busy thread may take longer than that.
    """
    if function is None:
        return functools.partial(entry, **options)
    options = {"nogil": True, **_EXACT, **options}
    dispatcher = njit(**options)(function)
    if hasattr(dispatcher, "_cache"):
        with contextlib.suppress(ImportError):
            from .disk import DiskCache

            dispatcher._cache = DiskCache(function, options)
    return dispatcher


_INNER = {"nogil": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True, **_EXACT}
inner = njit(**_INNER)


def uncounted(function=None, **options):
    """Compile what `inner` does, without counts of references to arrays, and so without new arrays.

    Where a function has several exits, Numba leaves some of these atomic operations in it.
    """
    options = {**_INNER, "_nrt": False, **options}
    return njit(**options)(function) if function else njit(**options)
