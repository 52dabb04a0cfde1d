"""Work on several threads.

These are plain threads, and kernels that release the GIL: Numba's own threading layers do not
survive fork(), or abort when two threads call them at once.
"""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from numba import config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

NS_PER_THREAD = 1.5e5  # of work that is worth a thread of its own: to wake one costs 1e5

_pool: ThreadPoolExecutor | None = None


def _forget_pool() -> None:
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def thread_count() -> int:
    """Return the largest number of threads to use."""
    return int(config.NUMBA_NUM_THREADS)


def split(begin: int, end: int, parts: int) -> Iterable[tuple[int, int]]:
    """Split a range into parts whose lengths differ by one at most."""
    ends = [begin + (end - begin) * i // parts for i in range(parts + 1)]
    return itertools.pairwise(ends)


def parallel_for(task: Callable[[int, int], None], n: int, cost: float, min_part: int = 1) -> None:
    """Call ``task(begin, end)`` for parts of ``range(n)``, each of ``min_part`` or more.

    ``cost`` is that of the whole range in nanoseconds.
    """
    parts = min(int(cost / NS_PER_THREAD), n // min_part, thread_count())
    if parts < 2:
        task(0, n)
    else:
        _run(task, *split(0, n, parts))


def _run(
    task: Callable[[int, int], None], first: tuple[int, int], *others: tuple[int, int]
) -> None:
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(thread_count(), thread_name_prefix="anycat")
    running = [_pool.submit(task, *part) for part in others]
    try:
        task(*first)
    finally:  # the others write into an array that must outlive them
        errors = [error for future in running if (error := future.exception())]
    if errors:
        raise errors[0]
