"""Masks of rows."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np

from anycat._kernels.truncation import rows_of_mask

from .jit.mask import mask_rows
from .rows import Rows, is_bfloat16, read_only

if TYPE_CHECKING:
    from collections.abc import Callable

    Array = np.ndarray[Any, Any]

NS_PER_ROW, NS_PER_ELEMENT = 10, 0.3
BFLOAT16_MINUS_INFINITY = 0xFF80


def masked(
    params: Array, mask: Array, logits: bool, empty: Callable[..., Array]
) -> tuple[Array, Array]:
    """Return masked parameters, and whether each row has a positive probability left.

    The mask, of bools or of words, broadcasts to the batch.
    """
    params = np.asarray(params, params.dtype.newbyteorder("="))
    bits = params.view(f"u{params.itemsize}")
    rows, words = Rows(bits, bits.dtype), rows_of_mask(np, mask, params.shape[:-1])
    words = read_only(np.require(words, None, "A").view("u1" if mask.dtype == bool else "u4"))
    none, counted = _none_and_counted(params.dtype, logits)
    out, left = empty(np, params.shape, params.dtype), np.empty(params.shape[:-1], bool)
    flat, of_rows = out.reshape(-1).view(bits.dtype), left.reshape(-1)

    def task(x: Array, row: int) -> None:
        begin, end = row * rows.size, row + x.size // rows.size
        part = flat[begin : begin + x.size]
        mask_rows(x, rows.size, words, row, none, counted, part, of_rows[row:end])

    rows.each_block(task, NS_PER_ROW + NS_PER_ELEMENT * rows.size, 1)
    return out, left


@functools.cache
def _none_and_counted(dtype: np.dtype[Any], logits: bool) -> tuple[Any, Any]:
    """Return the bits of a probability of zero, and those in which all others differ from it."""
    bits = np.dtype(f"u{dtype.itemsize}").type
    if not logits:
        signed = dtype.kind == "f" or is_bfloat16(dtype)  # -0.0 is zero too
        return bits(0), bits(np.iinfo(bits).max >> signed)
    none = BFLOAT16_MINUS_INFINITY if is_bfloat16(dtype) else np.array(-np.inf, dtype).view(bits)
    return bits(none), bits(np.iinfo(bits).max)
