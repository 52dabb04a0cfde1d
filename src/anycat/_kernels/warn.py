"""Warnings that point at users' code."""

from __future__ import annotations

import sys
import warnings
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

_SKIPPED = {"anycat", "numba"}  # packages that a warning does not point at

# In a thread that works for another one: where the other waits for it.
waiting_frame: ContextVar[FrameType | None] = ContextVar("waiting_frame", default=None)


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the line outside of anycat and Numba that led here."""
    frame = waiting_frame.get() or sys._getframe()
    while frame.f_back and _module(frame).partition(".")[0] in _SKIPPED:
        frame = frame.f_back
    registry = frame.f_globals.setdefault("__warningregistry__", {})
    place = frame.f_code.co_filename, frame.f_lineno, _module(frame), registry
    warnings.warn_explicit(message, category, *place)


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "<string>"))
