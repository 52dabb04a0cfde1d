"""What is known of the tiles of long rows, computed once and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .cache import kept
from .costs import NS_PER_ELEMENT
from .jit import tiles as kernels
from .sizes import TILE
from .threads import parallel_for
from .workspace import allocate

if TYPE_CHECKING:
    from collections.abc import Callable

    from .rows import Rows

    Array = np.ndarray[Any, Any]


class TileStats(NamedTuple):
    """For each row, an entry for each tile, and one for the row: see `scan_tiles`."""

    tile_max: Array
    tile_shift: Array
    tile_offset: Array

    @classmethod
    def empty(cls, rows: int, size: int) -> TileStats:
        shape = rows, -(-size // TILE) + 1
        return cls(np.zeros(shape), np.empty(shape, np.int64), np.empty(shape, np.uint64))

    def part(self, begin: int, end: int) -> TileStats:
        """Return those of some rows, as kernels take them."""
        return TileStats(*[x[begin:end].reshape(-1) for x in self])


NO_TILE_STATS = TileStats(np.empty(0), np.empty(0, np.int64), np.empty(0, np.uint64))


def tile_stats(rows: Rows, logits: bool, cache: dict[str, Any]) -> TileStats:
    """Return the tile statistics of rows, which ``cache`` keeps."""
    return each_block(rows, logits, cache, lambda *_: None, 0.0)


def each_block(
    rows: Rows,
    logits: bool,
    cache: dict[str, Any],
    task: Callable[[Array, int, TileStats], None],
    cost: float,
    min_rows: int = 1,
) -> TileStats:
    """Call ``task(block, first row, tile statistics)`` as `Rows.each_block` does.

    The statistics of rows that must be converted are computed block by block, to convert no row
    twice. Short rows have none.
    """
    if rows.size <= TILE:
        rows.each_block(lambda x, row: task(x, row, NO_TILE_STATS), cost, min_rows)
        return NO_TILE_STATS
    stats_cost = NS_PER_ELEMENT * rows.size

    def of_all() -> TileStats:  # threads may share a row
        stats = TileStats.empty(rows.count, rows.size)
        whole = rows.block(0, rows.count), rows.size, logits, stats.part(0, rows.count)
        compute_tile_stats(*whole, stats_cost * rows.count)
        return stats

    known = kept(cache, "tile stats", of_all) if rows.is_zero_copy else cache.get("tile stats")
    stats = known or TileStats.empty(rows.count, rows.size)

    def with_stats(x: Array, row: int) -> None:
        part = stats.part(row, row + x.size // rows.size)
        if known is None:
            compute_tile_stats(x, rows.size, logits, part)
        task(x, row, part)

    rows.each_block(with_stats, cost if rows.is_zero_copy else cost + stats_cost, min_rows)
    cache["tile stats"] = stats
    return stats


def compute_tile_stats(
    x: Array, size: int, logits: bool, stats: TileStats, cost: float = 0.0
) -> None:
    """Fill the statistics of a block of rows, on several threads if that pays for ``cost``."""
    tiles = x.size // size * -(-size // TILE)

    def reduce(begin: int, end: int) -> None:
        (weights,) = allocate(size, x.dtype, "weights")
        part = np.uint64(begin), np.uint64(end)
        kernels.reduce_tiles(x, np.uint64(size), logits, *part, weights, *stats)

    parallel_for(reduce, tiles, cost)
    if not kernels.scan_tiles(np.uint64(size), logits, *stats):
        parallel_for(reduce, tiles, cost)
        kernels.scan_tiles(np.uint64(size), logits, *stats)
