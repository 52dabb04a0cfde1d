"""The statistics of the tiles of long rows, which `draw_long_rows` and tables start from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .diagnose import array_module
from .launch import launch

if TYPE_CHECKING:
    from .rows import RowType

    Array = Any

MANY_TILES = 8  # of a row, from which on each is worth a block of its own


def reduce_tiles(row_type: RowType, x: Array, rows: int) -> tuple[Array, np.uint32]:
    """Return the workspace for tile statistics, and whether the tiles are reduced.

    If they are not, the block that reads a row reduces its tiles one after the other.
    """
    tiles = row_type.tiles
    workspace = array_module().empty(rows * (2 * tiles + 3), np.uint64)
    in_parallel = tiles >= MANY_TILES or (tiles > 1 and rows < 4 * row_type.multiprocessors)
    if in_parallel:
        launch("reduce_tiles", (rows * tiles,), row_type, x, rows, workspace)
    return workspace, np.uint32(in_parallel)
