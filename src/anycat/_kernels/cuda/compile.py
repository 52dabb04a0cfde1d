"""The CUDA source as one text, and the kernels that are compiled from it."""

from __future__ import annotations

import functools
import itertools
import re
from importlib.resources import files
from typing import TYPE_CHECKING

from .diagnose import array_module, unavailable_reason

if TYPE_CHECKING:
    from collections.abc import Callable

C_TYPES = {"float16": "float16", "bfloat16": "bfloat16", "float32": "float", "float64": "double"}


def source() -> str:
    """Return the CUDA source as one text: CuPy's cache on disk ignores included files."""
    return _with_includes("categorical.cu", set())


def device_source() -> str:
    """Return the source of functions that draw inside kernels of users.

    What they share with the kernels here is compiled for one type and form of parameters, so each
    has a namespace of its own.
    """
    parts = [
        f"#define PARAM {c_type}\n#define LOGITS {logits}\n"
        f"namespace anycat_detail {{\nnamespace {form}_{c_type} {{\n"
        f"{_with_includes('single.cuh', set())}"
        "}\n}\n#undef PARAM\n#undef LOGITS\n"
        for (logits, form), c_type in itertools.product(
            enumerate(("probs", "logits")), ("float", "double")
        )
    ]
    return "".join(parts) + _with_includes("device.cuh", set())


def _with_includes(name: str, included: set[str]) -> str:
    """Return a file with each of our own headers in place of its first include."""
    text = files(__package__).joinpath("source", name).read_text(encoding="utf-8")

    def include(found: re.Match[str]) -> str:
        header = found[1]
        if header in included:
            return ""
        included.add(header)
        return _with_includes(header, included)

    return re.sub(r'#include "(\w+\.cuh)"\n', include, text)


def options(c_type: str, logits: bool, *kernels: str) -> tuple[str, ...]:
    """Return the compiler options for kernels that take parameters of a type."""
    macros = f"PARAM={c_type}", f"LOGITS={int(logits)}", *map(str.upper, kernels)
    return ("-std=c++17", *map("-D{}".format, macros))


@functools.cache
def kernel(name: str, c_type: str, logits: bool) -> Callable[..., None]:
    """Return a compiled kernel by its name."""
    module = array_module().RawModule(code=source(), options=options(c_type, logits, name))
    try:
        function: Callable[..., None] = module.get_function(name)
    except Exception as error:
        if reason := unavailable_reason():
            raise RuntimeError(reason) from error
        raise
    return function
