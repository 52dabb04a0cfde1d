"""The short way of small batches: one compiled call, on one thread, which keeps the GIL.

Where `draw` chooses a strategy, cuts rows into blocks and allocates what kernels write into, these
functions do little more than to call a kernel. They take the numbers of the rows as kernels do, and
the number of categories.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from anycat._kernels import SMALL_MAX_DRAWS, SMALL_MAX_SIZE

from .float_env import is_default_float_env
from .jit.check import first_suspect_row_small
from .jit.small import draw_small

if TYPE_CHECKING:
    from anycat._random import RNG

    Array = np.ndarray[Any, Any]

_INT64 = np.dtype(np.int64)
_WORKSPACE_SIZE = SMALL_MAX_SIZE + SMALL_MAX_DRAWS + 4  # for a cdf, random words and a key
_workspace = np.empty(_WORKSPACE_SIZE, np.uint64)  # one for all threads, since the GIL is kept


def rows_valid(x: Array, size: int, logits: bool) -> bool:
    """Tell whether all rows are certainly valid."""
    return first_suspect_row_small(x, size, logits) * size == x.size  # type: ignore[no-any-return]


def draw(
    x: Array | None, size: int, logits: bool, shape: tuple[int, ...], reader: Any, rng: RNG
) -> Array | None:
    """Draw an output of the given shape, which ends with that of the batch, if all is small.

    ``reader`` is the backend that reads ``rng``.
    """
    if x is None or math.prod(shape) > SMALL_MAX_DRAWS or not is_default_float_env():
        return None
    source = reader.random_source(rng)
    if not source and reader.is_traced(rng):
        return None
    out = np.empty(shape, _INT64)
    flat = out if out.ndim == 1 else out.reshape(-1)
    if source:
        lock, function, state = source
        lock.acquire()
        try:
            draw_small(x, size, logits, function, state, _workspace, flat)
        finally:
            lock.release()
    else:
        workspace = np.empty(_WORKSPACE_SIZE, np.uint64)
        workspace[-4:] = reader.random_key(rng)
        draw_small(x, size, logits, 0, 0, workspace, flat)
    return out
