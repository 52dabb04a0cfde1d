"""Truncation of rows."""

from __future__ import annotations

import itertools
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
    """Return truncated parameters in the dtype in which kernels compute.

    The arguments are temperature, top_k, top_p and min_p: None, numbers, or arrays of the shape of
    the batch. ``cache`` takes the tile statistics of the result.
    """
    rows = Rows(params)
    out, stats = np.empty(params.shape, rows.dtype), TileStats.empty(rows.count, rows.size)
    written = out.reshape(-1)
    written.flags.writeable = False
    flat = out.reshape(-1), written, *stats.part(0, rows.count)
    given = list(itertools.starmap(_argument, zip(arguments, ARGUMENTS, strict=True)))

    def task(x: Array, row: int) -> None:
        workspace = allocate(rows.size, rows.dtype, WORKSPACE)
        truncate_rows(x, rows.size, logits, row, *given, *flat, *workspace)

    rows.each_block(task, NS_PER_ELEMENT * rows.size, 1)
    if rows.size > TILE:
        cache["tile stats"] = stats
    return out


def _argument(x: Any, kind: tuple[Any, Any]) -> Array:
    """Return an argument with an entry for each row, or one for all."""
    dtype, absent = kind
    return np.ascontiguousarray(clipped(x, absent), dtype).reshape(-1)


def keeps(params: Array, logits: bool) -> Array:
    """Tell which categories truncated parameters have left."""
    return params > (-np.inf if logits else 0)
