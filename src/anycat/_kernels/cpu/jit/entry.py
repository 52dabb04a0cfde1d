"""The decorators of compiled functions: `entry` for what Python calls, `inner` for the others.

They use a few names that Numba does not document. A Numba without them compiles all the same.
"""

import contextlib
import functools

from numba import config, njit

from anycat._kernels import fork
from anycat._kernels.cpu.threads import interruptible

if config.DISABLE_JIT:
    raise RuntimeError(
        "anycat's kernels are functions that Numba compiles, but Numba's compiler is turned off: "
        "unset the environment variable NUMBA_DISABLE_JIT"
    )

_compiles = None  # tells whether this thread compiles a function

with contextlib.suppress(ImportError, AttributeError):
    from llvmlite.binding import ffi
    from numba.core.compiler_lock import global_compiler_lock

    # The first is held while a function is compiled or loaded, the second by each call of LLVM.
    fork.LOCKS += [global_compiler_lock, ffi.lib._lock]
    _compiles = global_compiler_lock.is_locked


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
    if _compiles and hasattr(dispatcher, "_compile_for_args"):
        dispatcher._compile_for_args = functools.partial(_compile, dispatcher._compile_for_args)
    return dispatcher


def _compile(compile_for_args, *args):
    """Compile a function so that Ctrl-C need not wait for LLVM, which takes seconds."""
    if _compiles():  # another thread would wait for the lock of this one
        return compile_for_args(*args)
    return interruptible(compile_for_args, *args)


_INNER = {"nogil": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True, **_EXACT}
inner = njit(**_INNER)


def uncounted(function=None, **options):
    """Compile what `inner` does, without counts of references to arrays, and so without new arrays.

    Where a function has several exits, Numba leaves some of these atomic operations in it.
    """
    options = {**_INNER, "_nrt": False, **options}
    return njit(**options)(function) if function else njit(**options)
