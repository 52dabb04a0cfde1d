"""Masks of rows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from anycat._kernels.truncation import rows_of_mask

from .compile import C_TYPES
from .diagnose import array_module
from .launch import launch
from .rows import TILE, RowType

if TYPE_CHECKING:
    from collections.abc import Callable

    Array = Any


def masked(
    params: Array, mask: Array, logits: bool, empty: Callable[..., Array]
) -> tuple[Array, Array] | None:
    """Return masked parameters, and whether each row has a positive probability left.

    The mask, of bools or of words, broadcasts to the batch. None if the dtype has no kernels.
    """
    if params.dtype.name not in C_TYPES:
        return None
    module, batch = array_module(), params.shape[:-1]
    with params.device:
        row_type = RowType.of(params, logits)
        out, left = empty(module, params.shape, params.dtype), module.zeros(batch, bool)
        if out.size:
            blocks, packed = -(-out.size // TILE), mask.dtype != bool
            words, x = rows_of_mask(module, mask, batch), row_type.contiguous(params)
            stride = mask.shape[-1] if words.size > mask.shape[-1] else 0
            args = words, np.uint32(packed), np.uint64(stride), out, left
            launch("mask_rows", (blocks,), row_type, x, math.prod(batch), *args)
    return out, left
