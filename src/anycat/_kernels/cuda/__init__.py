"""The CUDA kernels and their launches: the twin of ``cpu``.

Everything is queued on the current stream of the array's own device, and nothing waits for it. Each
kernel is compiled when it is first needed for a type of parameters, and CuPy keeps it on disk.
"""

from .counts import sample_counts
from .diagnose import array_module, unavailable_reason
from .distinct import sample_distinct
from .draw import sample
from .mask import masked
from .streams import context
from .truncate import keeps, truncate

__all__ = [
    "array_module",
    "context",
    "keeps",
    "masked",
    "sample",
    "sample_counts",
    "sample_distinct",
    "truncate",
    "unavailable_reason",
]
