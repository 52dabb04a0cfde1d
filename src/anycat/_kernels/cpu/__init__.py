"""Kernels for CPU memory: NumPy arrays, and what can be viewed as one.

`sample` chooses a strategy by its costs, and launches compiled kernels from plain threads. The
other functions take one pass over large arrays where NumPy would take several.
"""

from .draw import sample
from .float_env import default_float_env
from .host import array_module, context, unavailable_reason
from .stats import gather, normalizer, row_stats, rows_valid
from .threads import thread_count
from .values import cumulative, every, gradient, lookup, mode

__all__ = [
    "array_module",
    "context",
    "cumulative",
    "default_float_env",
    "every",
    "gather",
    "gradient",
    "lookup",
    "mode",
    "normalizer",
    "row_stats",
    "rows_valid",
    "sample",
    "thread_count",
    "unavailable_reason",
]
