"""The floating-point mode in which kernels run: that of a new process.

XLA calls back in a mode of the CPU in which subnormal numbers are zero; `torch.set_flush_denormal`
sets it too. Other libraries change the direction of rounding. New threads inherit the mode, so none
may be started in another than the default.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_NO_CHANGE = contextlib.nullcontext()

# No constants, which Python would compute with once and for all.
_one, _smallest_normal, _half = 1.0, sys.float_info.min, 0.5


def is_default_float_env() -> bool:
    """Tell whether subnormal numbers are not zero now, and sums are rounded to the nearest."""
    tiny = _smallest_normal * _half
    return _one - tiny == _one + tiny and tiny > 0


def default_float_env() -> contextlib.AbstractContextManager[None]:
    """Restore the default: in other modes, draws and checks would differ."""
    return _NO_CHANGE if is_default_float_env() else _default_float_env()


@contextlib.contextmanager
def _default_float_env() -> Iterator[None]:
    libc, saved = ctypes.CDLL(None), ctypes.create_string_buffer(64)
    default = ctypes.c_void_p(-1)  # FE_DFL_ENV of <fenv.h>
    if sys.platform == "darwin":
        default = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.in_dll(libc, "_FE_DFL_ENV")))
    libc.fegetenv(saved)
    libc.fesetenv(default)
    try:
        yield
    finally:
        libc.fesetenv(saved)
