"""A row prepared for many draws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from anycat._progress import ignore

from .costs import NS_PER_ELEMENT_OF_CDF, NS_PER_ELEMENT_OF_GUIDE, NS_PER_TABLE_DRAW
from .grid import grid_args
from .jit.cdf import fill_cdf
from .jit.guide import fill_guide
from .jit.table import draw_table
from .rows import Rows
from .sizes import TILE
from .threads import parallel_for
from .tiles import tile_stats
from .workspace import allocate

if TYPE_CHECKING:
    from anycat._kernels.grid import DrawGrid
    from anycat._kernels.keys import Key
    from anycat._progress import Done

    Array = np.ndarray[Any, Any]


class Table(NamedTuple):
    """The integer cdf of a row, and the guide table to it."""

    cdf: Array
    guide: Array

    @classmethod
    def prepare(cls, row: Array, logits: bool, cache: dict[str, Any]) -> Table:
        """Prepare a row; ``cache`` keeps its tile statistics."""
        stats = tile_stats(Rows(row), logits, cache).part(0, 1)
        table = cls(*allocate(row.size, row.dtype, "cdf guide"))

        def fill_tiles(begin: int, end: int) -> None:
            (weights,) = allocate(row.size, row.dtype, "weights")
            fill_cdf(row, logits, np.uint64(begin), np.uint64(end), weights, *stats, table.cdf)

        def fill_entries(begin: int, end: int) -> None:
            fill_guide(*table, np.uint64(begin), np.uint64(end))

        parallel_for(fill_tiles, -(-row.size // TILE), NS_PER_ELEMENT_OF_CDF * row.size)
        if table.cdf[-1]:
            parallel_for(fill_entries, table.guide.size, NS_PER_ELEMENT_OF_GUIDE * row.size)
        return table

    def draw(self, key: Key, grid: DrawGrid, out: Array, done: Done = ignore) -> None:
        """Make the draws of a grid of one row."""
        longer = max(grid.runs, grid.draws)

        def draw(begin: int, end: int) -> None:
            part = grid if end - begin == longer else grid.part(begin, end)
            workspace = allocate(0, None, "random_words found deferred")
            draw_table(*self, key, *grid_args(part), out, *workspace)
            done(part.runs * part.draws)

        parallel_for(draw, longer, NS_PER_TABLE_DRAW * grid.runs * grid.draws)
