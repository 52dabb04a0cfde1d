"""What is asked of the current stream and its CUDA graphs."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from .diagnose import array_module

if TYPE_CHECKING:
    from collections.abc import Iterator

_in_flight: dict[Any, Any] = {}
"""The arrays that streams may still read, by an event that is done when they have been read."""


@contextlib.contextmanager
def context(index: int, x: Any) -> Iterator[None]:
    """Work on a device, on CuPy's current stream, and keep what is read there alive."""
    with array_module().cuda.Device(index):
        yield
        keep_alive(x)


def keep_alive(x: Any) -> None:
    """Keep a reference to an array until the current stream has done all work queued so far.

    A library that does not know this stream reuses the memory of an array that is deleted. What a
    graph reads must be kept by whoever captures the graph: no event tells when its runs are over.
    The references are dropped by later calls.
    """
    if is_capturing():
        return
    for event in [event for event in list(_in_flight) if event.done]:
        _in_flight.pop(event, None)
    _in_flight[record_event()] = x


def is_capturing() -> bool:
    """Tell whether the current stream captures a graph."""
    return bool(_current_stream().is_capturing())


def record_event() -> Any:
    """Return an event that is done when the current stream has done all work queued so far."""
    event = array_module().cuda.Event(disable_timing=True)
    event.record(_current_stream())
    return event


def wait_for(event: Any) -> None:
    """Let the current stream wait for an event; the host does not wait."""
    _current_stream().wait_event(event)


def _current_stream() -> Any:
    return array_module().cuda.get_current_stream()
