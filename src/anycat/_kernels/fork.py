"""What a fork waits for: other threads that import kernels, compile functions or load them.

Otherwise the child would wait for ever for locks of threads that it does not have.
"""

from __future__ import annotations

import contextlib
import logging  # noqa: F401
import os
import threading
from typing import TYPE_CHECKING, Any

# A fork takes the locks of this module and of `logging` as well. They are loaded first, so that it
# takes them last: what it waits for here may need them. And when the interpreter shuts down, this
# module cannot be loaded any more, which SciPy does, and so Numba.
with contextlib.suppress(RuntimeError):
    import concurrent.futures.thread  # noqa: F401

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

importing = threading.RLock()
LOCKS: list[AbstractContextManager[Any]] = [importing]  # in the order in which they are taken
_taken = contextlib.ExitStack()


def _take_locks() -> None:
    for lock in LOCKS:  # kernels add theirs, maybe while this waits for their import
        _taken.enter_context(lock)


def _release_locks() -> None:
    _taken.pop_all().close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_take_locks, after_in_parent=_release_locks, after_in_child=_release_locks
    )
