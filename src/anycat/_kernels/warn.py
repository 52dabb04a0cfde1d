"""Warnings that point at users' code."""

from __future__ import annotations

import sys
import warnings

_SKIPPED = {"anycat", "numba"}  # packages that a warning does not point at


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the line outside of anycat and Numba that led here."""
    frame, level = sys._getframe(), 1
    while frame.f_back and frame.f_globals["__name__"].partition(".")[0] in _SKIPPED:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
