"""Types in the signatures of the API page."""

from __future__ import annotations

import inspect
import typing
from typing import Any

from sphinx.pycode import ModuleAnalyzer
from sphinx.util import inspect as sphinx_inspect


def leave_out_overloads(*event: Any) -> None:
    """Show one signature of each method; overloads only add what it returns for NumPy arrays."""
    analyzer = ModuleAnalyzer.for_module("anycat.categorical")
    analyzer.analyze()
    analyzer.overloads.clear()


def shown(*event: Any) -> tuple[str, str] | None:
    """Return a signature that Sphinx does not find, or whose result is not what callers get."""
    _, _, _, found, _, arguments, returned = event
    if inspect.isclass(found):  # not `__new__` of the base that stands for PyTorch's
        signature = sphinx_inspect.signature(found.__init__, bound_method=True)
        return sphinx_inspect.stringify_signature(signature, show_return_annotation=False), ""
    if callable(found) and returned.endswith("Any") and (known := typing.get_overloads(found)):
        return arguments, known[-1].__annotations__["return"]  # the general one
    if inspect.isgeneratorfunction(getattr(found, "__wrapped__", None)):
        return arguments, "ContextManager[None]"
    return None
