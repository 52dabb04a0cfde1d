"""Truncation of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from anycat._kernels.truncation import ARGUMENTS, clipped

from .jit.truncate import truncate_rows
from .rows import Rows
from .sizes import TILE
from .tiles import TileStats
from .workspace import allocate

if TYPE_CHECKING:
    from collections.abc import Iterable

    Array = np.ndarray[Any, Any]

NS_PER_ELEMENT = 1.0
WORKSPACE = (
    "values indices keys rest block_keys integers weights"
    " exponents before above equal tile_max tile_shift tile_offset counts masses"
)


def truncate(params: Array, logits: bool, arguments: Iterable[Any], cache: dict[str, Any]) -> Array:
    """Return truncated parameters, of a narrow dtype in that dtype unless there is a temperature.

    The arguments are temperature, top_k, top_p and min_p: None, numbers, or arrays of the shape of
    the batch. ``cache`` takes the tile statistics of the result.
    """
    temperature, *others = arguments
    given = list(map(_argument, (temperature, *others), ARGUMENTS))
    rows, dtype = Rows(params), params.dtype.newbyteorder("=")
    if temperature is not None or dtype.itemsize > 2 or dtype.kind not in "fV":
        dtype = rows.dtype
    stats = TileStats.empty(rows.count, rows.size)
    out = np.empty(params.shape, dtype)
    flat = out.reshape(-1)

    def task(x: Array, row: int) -> None:
        part = flat[row * rows.size : row * rows.size + x.size]
        found = part if dtype == rows.dtype else np.empty(x.size, rows.dtype)
        of_result = stats.part(row, row + x.size // rows.size)
        workspace = allocate(rows.size, rows.dtype, WORKSPACE)
        truncate_rows(x, rows.size, logits, row, *given, found, *of_result, *workspace)
        if found is not part:
            _narrow(found, part)

    rows.each_block(task, NS_PER_ELEMENT * rows.size, 1)
    if rows.size > TILE:
        cache["tile stats"] = stats
    return out


def _narrow(found: Array, out: Array) -> None:
    """Store float32 as float16 or bfloat16, from which they were widened."""
    if out.dtype == np.float16:
        out[...] = found
    else:
        out.view(np.uint16)[...] = found.view(np.uint32) >> 16


def _argument(x: Any, kind: tuple[Any, Any]) -> Array:
    """Return an argument with an entry for each row, or one for all."""
    dtype, absent = kind
    return np.ascontiguousarray(clipped(x, absent), dtype).reshape(-1)


def keeps(params: Array, logits: bool) -> Array:
    """Tell which categories truncated parameters have left: none, if the row is invalid."""
    if params.dtype.kind == "V":  # bfloat16, maybe without a name
        params = (params.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return params > (-np.inf if logits else 0)
