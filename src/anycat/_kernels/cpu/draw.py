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
from .jit.draw import draw_long_rows, draw_rows, draw_summed_rows
from .jit.short_rows import draw_short_rows
from .rows import Rows
from .sizes import LANES, TILE
from .table import Table
from .tiles import each_block
from .workspace import allocate

if TYPE_CHECKING:
    from collections.abc import Callable

    from anycat._kernels.grid import DrawGrid, DrawRange
    from anycat._progress import Done

    from .tiles import TileStats

    Array = np.ndarray[Any, Any]

SHORT_ROW_MAX_K = 128  # categories up to which LANES rows may be drawn from together
GUIDE_MAX_K = (1 << 32) - 1  # categories that an entry of a guide table can tell apart


class Strategy(NamedTuple):
    """How to draw from a block of rows."""

    kernel: Callable[..., None]
    workspace: str
    """The names of what the kernel writes into."""
    min_rows: int = 1
    reads_tile_stats: bool = False


SHORT_ROWS = Strategy(draw_short_rows, "", LANES)
ROWS = Strategy(draw_rows, "random_words weights block_sums")
LONG_ROWS = Strategy(draw_long_rows, "random_words weights block_sums", reads_tile_stats=True)
SUMMED_ROWS = Strategy(
    draw_summed_rows, "random_words weights padded_cdf group_cdf", reads_tile_stats=True
)


def sample(
    params: Array,
    logits: bool,
    key: Array,
    draws: DrawRange,
    out: Array,
    cache: dict[str, Any],
    done: Done = ignore,
) -> None:
    """Draw from each row of ``params``: see the docstring of `anycat._kernels`."""
    out = out.reshape(-1)
    rows, grid = Rows(params), grid_of(draws)
    costs = Costs.of(rows.size, draws.samples * draws.repeats, rows.dtype.itemsize)
    strategy, cost = _cheapest(costs, rows)
    if rows.count == 1:
        table = _table(rows, logits, cost, cache)
        if table is not None:
            table.draw(key, grid, out, done)
            return
    elif costs.table < cost:
        for r in range(rows.count):
            Table.prepare(rows.block(r, r + 1), logits, {}).draw(key, grid.from_row(r), out, done)
        return
    if rows.size > TILE:
        cost -= NS_PER_ELEMENT * rows.size  # of the tile statistics
    for group in rows.groups():
        kept, part = cache if group is rows else {}, grid.from_row(group.first)
        _draw_group(group, strategy, logits, key, part, out, kept, cost, done)


def _cheapest(costs: Costs, rows: Rows) -> tuple[Strategy, float]:
    """Return the strategy of least cost without a table, and that cost for a row."""
    lanes = costs.lanes if rows.size <= SHORT_ROW_MAX_K and rows.count >= LANES else math.inf
    least = min(costs.find, costs.rank, lanes)
    if lanes == least:
        return SHORT_ROWS, least
    if costs.rank == least:
        return SUMMED_ROWS, least
    return LONG_ROWS if rows.size > TILE else ROWS, least


def _table(rows: Rows, logits: bool, cost: float, cache: dict[str, Any]) -> Table | None:
    """Return the table of one row, if there is one in the cache or it is worth it now."""
    if "table" in cache or (
        rows.size <= GUIDE_MAX_K and table_pays_off(cache, cost, Costs.table_setup(rows.size))
    ):
        return kept(cache, "table", lambda: Table.prepare(rows.block(0, 1), logits, cache))
    return None


def _draw_group(
    rows: Rows,
    strategy: Strategy,
    logits: bool,
    key: Array,
    grid: DrawGrid,
    out: Array,
    cache: dict[str, Any],
    cost: float,
    done: Done,
) -> None:
    """Draw from rows whose first is the first of the grid; ``cost`` is that of a row."""
    size = np.uint64(rows.size)

    def draw(x: Array, row: int, stats: TileStats) -> None:
        workspace = allocate(rows.size, rows.dtype, strategy.workspace)
        if strategy.reads_tile_stats:
            workspace += stats
        strategy.kernel(x, size, logits, key, *grid_args(grid.from_row(row)), out, *workspace)
        done(x.size // rows.size * grid.runs * grid.draws)

    each_block(rows, logits, cache, draw, cost, strategy.min_rows)
