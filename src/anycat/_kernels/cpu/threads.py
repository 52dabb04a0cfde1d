"""Work in pieces, on several threads.

These are plain threads, and kernels that release the GIL: Numba's own threading layers do not
survive fork(), or abort when two threads call them at once.

The calling thread works too, and takes all pieces that no other thread has taken. So work ends
where no thread can be started, as when the interpreter shuts down. A piece is short, since the
interpreter can raise KeyboardInterrupt only between two of them.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections import deque
from concurrent.futures import CancelledError, Future, wait
from contextvars import copy_context
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

from numba import config

from anycat._kernels.grid import split
from anycat._kernels.warn import waiting_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")

NS_PER_THREAD = 1.5e5  # of work that is worth a thread of its own: to wake one costs 1e5
NS_PER_PIECE = 1e7  # of work that is done without a break

SECONDS_BETWEEN_CHECKS = 0.1  # of whether a result is still wanted

_jobs: SimpleQueue[_Job] = SimpleQueue()
_threads: list[threading.Thread] = []
_of_thread = threading.local()  # `job`: what a thread of the pool helps with


def _forget_threads() -> None:
    global _jobs
    _jobs = SimpleQueue()
    _threads.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)


def thread_count() -> int:
    """Return the largest number of threads to use."""
    return int(config.NUMBA_NUM_THREADS)


def parallel_for(task: Callable[[int, int], None], n: int, cost: float, min_part: int = 1) -> None:
    """Call ``task(begin, end)`` for parts of ``range(n)``, each of ``min_part`` or more.

    ``cost`` is that of the whole range in nanoseconds.
    """
    most = n // min_part
    threads = min(int(cost / NS_PER_THREAD), most, thread_count())
    pieces = min(max(threads, int(cost / NS_PER_PIECE)), most)
    if pieces < 2:
        task(0, n)
    else:
        _Job(task, split(0, n, pieces)).run(threads - 1)


class _Job:
    """Pieces of work that threads take one by one."""

    def __init__(self, task: Callable[[int, int], None], pieces: Iterable[tuple[int, int]]) -> None:
        self.task = task
        self.pieces = deque(pieces)
        self.error: BaseException | None = None
        self.helpers = 0
        self.is_open = True
        self.is_given_up = False
        self.changed = threading.Condition()

    def run(self, helpers: int) -> None:
        """Do all the work, with other threads if there are any."""
        try:
            _start_threads(helpers)
            for _ in range(min(helpers, len(_threads))):
                _jobs.put(self)
            self._work()
        except BaseException:  # an error or an interrupt, which the other pieces must not delay
            self.is_given_up = True
            self.pieces.clear()
            raise
        finally:
            with self.changed:
                self.is_open = False
                self.changed.wait_for(lambda: not self.helpers)
        if self.error:
            raise self.error

    def help(self) -> None:
        """Take pieces as long as there are any, in a thread of the pool."""
        with self.changed:
            if not self.is_open:
                return
            self.helpers += 1
        _of_thread.job = self
        try:
            self._work()
        except BaseException as error:
            self.error = error
            self.pieces.clear()
        _of_thread.job = None
        with self.changed:
            self.helpers -= 1
            self.changed.notify_all()

    def _work(self) -> None:
        while self.pieces:
            try:
                piece = self.pieces.popleft()
            except IndexError:  # another thread has taken the last one
                return
            self.task(*piece)


def interruptible(function: Callable[..., T], *args: Any) -> T:
    """Call a function in a new thread, and wait for it only while its result is wanted.

    In the main thread that is until Ctrl-C, in a thread of the pool until its job is given up; no
    other thread is interrupted. The new thread ends its work, also before the interpreter exits.
    """
    job = getattr(_of_thread, "job", None)
    if not job and threading.current_thread() is not threading.main_thread():
        return function(*args)
    future: Future[T] = Future()
    context = copy_context()
    context.run(waiting_frame.set, sys._getframe())
    work = functools.partial(context.run, _fulfil, future, function, *args)
    try:
        threading.Thread(target=work, name="anycat", daemon=False).start()
    except RuntimeError:  # no thread can be started
        return function(*args)
    while not wait([future], SECONDS_BETWEEN_CHECKS).done:
        if job and job.is_given_up:
            raise CancelledError
    return future.result()


def _fulfil(future: Future[T], function: Callable[..., T], *args: Any) -> None:
    try:
        future.set_result(function(*args))
    except BaseException as error:
        future.set_exception(error)


def _start_threads(count: int) -> None:
    """Start threads until there are so many, or no more can be started."""
    while len(_threads) < count:
        thread = threading.Thread(target=_serve, args=(_jobs,), name="anycat", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return
        _threads.append(thread)


def _serve(jobs: SimpleQueue[_Job]) -> None:
    """Help with one job after the other."""
    while True:
        jobs.get().help()
