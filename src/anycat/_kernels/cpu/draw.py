"""Draws: the strategy is chosen by its cost, and its kernel launched on blocks of rows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from anycat._kernels.grid import table_pays_off
from anycat._progress import ignore

from .cache import kept
from .costs import NS_PER_ELEMENT, Costs
from .grid import grid_args, grid_of
from .jit.draw import draw_guided_rows, draw_long_rows, draw_rows, draw_summed_rows
from .jit.short_rows import draw_short_rows
from .rows import Rows
from .sizes import LANES, TILE
from .table import Table
from .tiles import each_block
from .workspace import allocate

if TYPE_CHECKING:
    from collections.abc import Callable

    from anycat._kernels.grid import DrawGrid, DrawRange
    from anycat._kernels.keys import Key
    from anycat._progress import Done

    from .tiles import TileStats

    Array = np.ndarray[Any, Any]

SHORT_ROW_MAX_K = 256  # categories up to which LANES rows may be drawn from together
GUIDE_MAX_K = (1 << 32) - 1  # categories that an entry of a guide table can tell apart
DRAWS_PER_CALL = 1 << 14  # of each row: no interrupt can come before a kernel ends


class Strategy(NamedTuple):
    """How to draw from a block of rows."""

    kernel: Callable[..., None]
    workspace: str
    """The names of what the kernel writes into."""
    min_rows: int = 1
    reads_tile_stats: bool = False

    def draw(
        self, x: Array, size: int, logits: bool, key: Key, grid: DrawGrid, out: Array,
        stats: TileStats,
    ) -> None:  # fmt: skip
        """Draw from a block of rows whose first is that of the grid."""
        workspace = allocate(size, x.dtype, self.workspace)
        if self.reads_tile_stats:
            workspace += stats
        self.kernel(x, np.uint64(size), logits, key, *grid_args(grid), out, *workspace)


SHORT_ROWS = Strategy(draw_short_rows, "", LANES)
ROWS = Strategy(draw_rows, "random_words weights block_sums")
LONG_ROWS = Strategy(draw_long_rows, "random_words weights block_sums", reads_tile_stats=True)
SUMMED_ROWS = Strategy(
    draw_summed_rows, "random_words weights padded_cdf group_cdf", reads_tile_stats=True
)
GUIDED_ROWS = Strategy(
    draw_guided_rows, "random_words weights cdf small_guide found deferred", reads_tile_stats=True
)


def sample(
    params: Array,
    logits: bool,
    key: Key,
    draws: DrawRange,
    out: Array,
    cache: dict[str, Any],
    done: Done = ignore,
) -> None:
    """Draw from each row of ``params``: see the docstring of `anycat._kernels`."""
    rows, grid = Rows(params), grid_of(draws)
    out = out.reshape(-1).view(f"i{out.itemsize}")  # no kernels for unsigned dtypes
    size, n = rows.size, draws.samples * draws.repeats

    def by_table(table: Table, row: int) -> None:
        table.draw(key, grid.from_row(row), out, done)

    def by_kernel(strategy: Strategy, x: Array, row: int, stats: TileStats) -> None:
        for piece in grid.from_row(row).pieces(DRAWS_PER_CALL):
            strategy.draw(x, size, logits, key, piece, out, stats)
            done(x.size // size * piece.runs * piece.draws)

    each_part(rows, logits, Costs.of(size, n, rows.dtype.itemsize), cache, by_table, by_kernel)


def each_part(
    rows: Rows,
    logits: bool,
    costs: Costs,
    cache: dict[str, Any],
    by_table: Callable[[Table, int], None],
    by_kernel: Callable[[Strategy, Array, int, TileStats], None],
) -> None:
    """Call one of two functions for each part of the rows, as is cheapest at these costs.

    That is ``by_table(table, row)`` for a row, or ``by_kernel(strategy, block, first row, tile
    statistics)`` for a block of rows.
    """
    strategy, cost = _cheapest(costs, rows)
    if rows.count == 1:
        table = _table(rows, logits, cost, cache)
        if table is not None:
            by_table(table, 0)
            return
    elif costs.table < cost:
        for r in range(rows.count):
            by_table(Table.prepare(rows.block(r, r + 1), logits, {}), r)
        return
    if rows.size > TILE:
        cost -= NS_PER_ELEMENT * rows.size  # of the tile statistics
    for group in rows.groups():

        def task(x: Array, row: int, stats: TileStats, first: int = group.first) -> None:
            by_kernel(strategy, x, first + row, stats)

        kept = cache if group is rows else {}
        each_block(group, logits, kept, task, cost, strategy.min_rows)


def _cheapest(costs: Costs, rows: Rows) -> tuple[Strategy, float]:
    """Return the strategy of least cost without a table, and that cost for a row."""
    lanes = rows.size <= SHORT_ROW_MAX_K and rows.count >= LANES
    guide = rows.size <= GUIDE_MAX_K and rows.count > 1  # of one row, a table is kept
    strategies = {
        SHORT_ROWS: costs.lanes if lanes else math.inf,
        SUMMED_ROWS: costs.rank,
        GUIDED_ROWS: costs.guide if guide else math.inf,
        LONG_ROWS if rows.size > TILE else ROWS: costs.find,
    }
    strategy = min(strategies, key=strategies.__getitem__)
    return strategy, strategies[strategy]


def _table(rows: Rows, logits: bool, cost: float, cache: dict[str, Any]) -> Table | None:
    """Return the table of one row, if there is one in the cache or it is worth it now."""
    if "table" in cache or (
        rows.size <= GUIDE_MAX_K and table_pays_off(cache, cost, Costs.table_setup(rows.size))
    ):
        return kept(cache, "table", lambda: Table.prepare(rows.block(0, 1), logits, cache))
    return None
