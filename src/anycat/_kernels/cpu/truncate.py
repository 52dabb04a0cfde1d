"""Truncation of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from anycat._kernels.truncation import ARGUMENTS, clipped

from .jit.truncate import truncate_rows
from .rows import Rows, read_only
from .sizes import BLOCK, TILE
from .tiles import TileStats

if TYPE_CHECKING:
    from collections.abc import Iterable

    Array = np.ndarray[Any, Any]

NS_PER_ELEMENT = 1.0
NS_PER_ELEMENT_OF_FEW = 0.2  # to keep few of them


def _vector(x: Any, dtype: Any) -> Array:
    return read_only(np.ascontiguousarray(x, dtype).reshape(-1))


ABSENT = [_vector(x, dtype) for dtype, x in ARGUMENTS]


def truncate(params: Array, logits: bool, arguments: Iterable[Any], cache: dict[str, Any]) -> Array:
    """Return truncated parameters, of a narrow dtype in that dtype unless there is a temperature.

    The arguments are temperature, top_k, top_p and min_p: None, numbers, or arrays of the shape of
    the batch. ``cache`` takes the tile statistics of the result.
    """
    temperature, top_k, *others = arguments
    given = list(map(_argument, (temperature, top_k, *others), ARGUMENTS, ABSENT))
    rows, dtype = Rows(params), params.dtype
    half, narrow = dtype.kind == "f", dtype.itemsize == 2 and dtype.kind in "fV"
    if temperature is not None or not narrow or not dtype.isnative:
        dtype = rows.dtype
    stats = TileStats.empty(rows.count, rows.size)
    out = np.empty(params.shape, dtype)
    flat = out.reshape(-1) if dtype == rows.dtype else out.reshape(-1).view(np.uint16)
    # All of two blocks, at most, may be listed for each of the first entries.
    most = top_k if isinstance(top_k, int) else int(given[1].max(initial=1))
    listed = min(rows.size, 2 * BLOCK * max(most, 1))

    def task(x: Array, row: int) -> None:
        part = flat[row * rows.size : row * rows.size + x.size]
        of_result = stats.part(row, row + x.size // rows.size)
        truncate_rows(x, rows.size, logits, row, *given, half, listed, part, *of_result)

    cost = NS_PER_ELEMENT_OF_FEW if listed < rows.size else NS_PER_ELEMENT
    rows.each_block(task, cost * rows.size, 1)
    if rows.size > TILE:
        cache["tile stats"] = stats
    return out


def _argument(x: Any, kind: tuple[Any, Any], absent: Array) -> Array:
    """Return an argument with an entry for each row, or one for all."""
    return absent if x is None else _vector(clipped(x, 0), kind[0])


def keeps(params: Array, logits: bool) -> Array:
    """Tell which categories truncated parameters have left: none, if the row is invalid."""
    if params.dtype.kind == "V":  # bfloat16, maybe without a name
        params = (params.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return params > (-np.inf if logits else 0)
