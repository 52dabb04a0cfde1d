"""The arguments of `truncate` and masks, as the kernels for the CPU and for CUDA both take them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

LARGEST = 2**63 - 1
# The dtype of temperature, top_k, top_p and min_p, and what stands for one that is not given.
ARGUMENTS = (np.float64, 1.0), (np.int64, LARGEST), (np.float64, 1.0), (np.float64, 0.0)


def clipped(x: Any, absent: float) -> Any:
    """Return an argument, whose integers are at most the largest of int64."""
    if x is None:
        return absent
    if isinstance(x, int):
        return min(x, LARGEST)
    if isinstance(x, float):
        return x
    return x.clip(max=LARGEST) if x.dtype == np.uint64 else x


def rows_of_mask(module: Any, mask: Any, batch: tuple[int, ...]) -> Any:
    """Return a mask in one axis: that of each row of the batch, or a single one for all rows."""
    if mask.shape[:-1] != batch and math.prod(mask.shape[:-1]) != 1:
        mask = module.broadcast_to(mask, (*batch, mask.shape[-1]))
    return module.ascontiguousarray(mask).reshape(-1)
