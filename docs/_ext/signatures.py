"""Types in the signatures of the API page."""

from __future__ import annotations

import inspect
import typing
from typing import Any

from sphinx.pycode import ModuleAnalyzer


def leave_out_overloads(*event: Any) -> None:
    """Show one signature of each method; overloads only add what it returns for NumPy arrays."""
    analyzer = ModuleAnalyzer.for_module("anycat.categorical")
    analyzer.analyze()
    analyzer.overloads.clear()


def returned_by(*event: Any) -> tuple[str, str] | None:
    """Return the signature of a function whose own annotation does not say what callers get."""
    _, _, _, found, _, arguments, returned = event
    if callable(found) and returned.endswith("Any") and (known := typing.get_overloads(found)):
        return arguments, known[-1].__annotations__["return"]  # the general one
    if inspect.isgeneratorfunction(getattr(found, "__wrapped__", None)):
        return arguments, "ContextManager[None]"
    return None
