"""The memory of the CPU, as `anycat._kernels` asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from anycat._kernels.float_env import default_float_env

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


def array_module() -> Any:
    """Return NumPy."""
    return np


def context(index: int, x: Any) -> AbstractContextManager[None]:
    """Run kernels in the default floating-point mode."""
    return default_float_env()


def unavailable_reason() -> None:
    """Return None: there always is CPU memory."""
