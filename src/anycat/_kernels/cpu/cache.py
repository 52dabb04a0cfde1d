"""What is computed once for a distribution: the dict that the caller keeps with its parameters."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    T = TypeVar("T")


def kept(cache: dict[str, Any], name: str, make: Callable[[], T]) -> T:
    """Return what the cache has by a name, or else make it, in one thread at a time."""
    if name not in cache:
        # After a fork, the lock may be held by a thread that does not exist.
        with cache.setdefault(f"lock of {os.getpid()}", threading.RLock()):
            if name not in cache:
                cache[name] = make()
    found: T = cache[name]
    return found
