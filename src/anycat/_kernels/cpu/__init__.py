"""Kernels for CPU memory: NumPy arrays, and what can be viewed as one.

`sample` chooses a strategy by its costs, and launches compiled kernels from plain threads. The
other functions take one pass over memory where array operations would take several.
"""

from anycat._kernels.float_env import default_float_env, is_default_float_env

from . import small, values
from .counts import sample_counts
from .distinct import sample_distinct
from .draw import sample
from .host import array_module, context, unavailable_reason
from .mask import masked
from .stats import cumulative, entropy, look_up, mode, normalized, row_stats, rows_valid
from .threads import thread_count
from .truncate import keeps, truncate

__all__ = [
    "array_module",
    "context",
    "cumulative",
    "default_float_env",
    "entropy",
    "is_default_float_env",
    "keeps",
    "look_up",
    "masked",
    "mode",
    "normalized",
    "row_stats",
    "rows_valid",
    "sample",
    "sample_counts",
    "sample_distinct",
    "small",
    "thread_count",
    "truncate",
    "unavailable_reason",
    "values",
]
