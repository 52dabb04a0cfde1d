"""How messages show what users gave, and the command by which they install packages."""

from __future__ import annotations

import shlex
import sys
from typing import Any

PIP = f"{shlex.quote(sys.executable or 'python')} -m pip"
"""It finds the Python that runs."""

_LONGEST = 80


def shown(x: Any) -> str:
    """Return the repr of a value, or its type and size if that is long."""
    if is_short(text := repr(x)):
        return text
    size = f" of shape {tuple(x.shape)}" if hasattr(x, "shape") else ""
    if isinstance(x, (list, tuple)):
        size = f" of length {len(x)}"
    return f"a {type_name(x)}{size}"


def is_short(text: str) -> bool:
    """Tell whether a text fits in a message."""
    return len(text) <= _LONGEST and "\n" not in text


def type_name(x: Any) -> str:
    """Return the full name of a type, without private modules: ``numpy.random.Generator``."""
    modules = [part for part in type(x).__module__.split(".") if not part.startswith("_")]
    return ".".join([*modules, type(x).__qualname__]).removeprefix("builtins.")


def index_of(index: tuple[int, ...]) -> str:
    """Return a place, to follow the name of an array."""
    return f"[{', '.join(map(str, index))}]" if index else ""
