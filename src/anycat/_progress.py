"""The progress of long draws, shown by a bar such as tqdm's."""

from __future__ import annotations

import contextlib
import threading
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeAlias

from ._messages import PIP, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Done: TypeAlias = "Callable[[int], None]"

DELAY = 0.5  # seconds after which a bar appears: shorter draws need none

_bar: ContextVar[Callable[..., Any] | None] = ContextVar("anycat.progress", default=None)


@contextlib.contextmanager
def progress(bar: Callable[..., Any] | None = None) -> Iterator[None]:
    """Show a progress bar for each call of `sample` or `sample_counts` that takes over 0.5 s.

    Parameters
    ----------
    bar : callable, optional
        Called as ``bar(total=n, unit="draw", unit_scale=True)``; the default is `tqdm.auto.tqdm`.
        The bar that it returns needs the methods ``update(n)``, which is called after n more draws,
        and ``close()``.

    Raises
    ------
    ImportError
        If ``bar`` is not given and tqdm is not installed.
    TypeError
        If ``bar`` is not callable.

    Notes
    -----
    The context applies to draws in CPU memory by the thread that entered it. For Dask, use
    ``dask.diagnostics.ProgressBar``.

    Examples
    --------
    >>> import anycat
    >>> with anycat.progress():
    ...     draws = anycat.Categorical([0.1, 0.2, 0.7]).sample(1_000_000)
    """
    if not (bar is None or callable(bar)):
        raise TypeError(f"bar must be callable, as tqdm.tqdm is; got {shown(bar)}")
    token = _bar.set(_tqdm() if bar is None else bar)
    try:
        yield
    finally:
        _bar.reset(token)


def _tqdm() -> Callable[..., Any]:
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise ImportError(f"progress() needs tqdm: {PIP} install tqdm, or give a bar") from error
    return tqdm  # type: ignore[no-any-return]


def ignore(n: int) -> None:
    """Report no draws."""


@contextlib.contextmanager
def report(total: int) -> Iterator[Done]:
    """Return a function to call with each number of new draws, from any thread."""
    make = _bar.get()
    if make is None:
        yield ignore
        return
    start, lock = time.monotonic(), threading.Lock()
    shown: Any = None
    waiting = 0

    def done(n: int) -> None:
        nonlocal shown, waiting
        with lock:  # bars need not be thread-safe
            waiting += n
            if shown is None and time.monotonic() - start > DELAY:
                shown = make(total=total, unit="draw", unit_scale=True)
            if shown is not None:
                shown.update(waiting)
                waiting = 0

    try:
        yield done
    finally:
        if shown is not None:
            shown.close()
