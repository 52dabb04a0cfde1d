"""Truncation of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .jit.truncate import truncate_rows
from .rows import Rows
from .sizes import TILE
from .tiles import TileStats
from .workspace import allocate

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]

NS_PER_ELEMENT = 1.0
WORKSPACE = (
    "values indices keys rest block_keys integers weights"
    " exponents before above equal tile_max tile_shift tile_offset"
)


def truncate(
    params: Array,
    logits: bool,
    temperature: Array,
    top_k: Array,
    top_p: Array,
    min_p: Array,
    cache: dict[str, Any],
) -> Array:
    """Return truncated parameters; ``cache`` takes what is learnt of their tiles.

    The arguments have an entry for each row, or one for all: see `truncate_rows`.
    """
    rows = Rows(params)
    out, stats = np.empty(params.shape, rows.dtype), TileStats.empty(rows.count, rows.size)

    def truncate(x: Array, row: int) -> None:
        workspace = allocate(rows.size, rows.dtype, WORKSPACE)
        flat = out.reshape(-1), *stats.part(0, rows.count)
        truncate_rows(x, rows.size, logits, row, temperature, top_k, top_p, min_p, *flat, *workspace)

    rows.each_block(truncate, NS_PER_ELEMENT * rows.size, 1)
    if rows.size > TILE:
        cache["tile stats"] = stats
    return out
