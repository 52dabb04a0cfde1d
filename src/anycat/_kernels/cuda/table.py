"""Tables for many draws from a row: its integer cdf and a guide table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from anycat._kernels.grid import table_pays_off

from .diagnose import array_module
from .launch import BLOCK_THREADS, grid_struct, launch
from .streams import is_capturing, record_event, wait_for
from .tiles import reduce_tiles

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anycat._kernels.grid import DrawGrid
    from anycat._kernels.keys import Key

    from .costs import Costs
    from .launch import Output
    from .rows import RowType

    Array = Any

GUIDE_BITS = 13, 22  # 2**13 entries of a guide table cost nothing, 2**22 are the most
SHARED_BYTES = 48 << 10  # of shared memory that every block may have
MAX_GRID_Y = 0xFFFF
MAX_COUNTED = 1 << 31  # draws from a row in one launch, which takes some 20 ms: counts have 32 bits
MAX_GATHERED = 1 << 12  # categories whose counts a block gathers in shared memory


class Table(NamedTuple):
    """Rows prepared for many draws."""

    cdf: Array
    prefixes: Array
    """The leading 32 bits of the random words at which each category ends."""
    guide: Array
    guide_bits: int
    """Of a random word, that choose an entry of the guide table."""


def cached_table(
    row_type: RowType, params: Array, costs: Costs, cache: dict[str, Any]
) -> Table | None:
    """Return the table of the only row, if the draws made so far would have paid for it."""
    pays_off = table_pays_off(cache, costs.direct, costs.table)
    table: Table | None
    table, ready = cache.get("table", (None, None))
    if ready is None and (table or not pays_off):
        return table
    if is_capturing():
        # A graph can neither query nor await an event recorded outside, so it makes its own table.
        # That is not cached: the graph may run later, or never.
        return _row_table(row_type, params)
    if table is None:
        table = _row_table(row_type, params)
        cache["table"] = table, record_event()
    elif ready.done:
        cache["table"] = table, None  # graphs may use it from now on
    else:
        wait_for(ready)  # perhaps it is made on another stream
    return table


def _row_table(row_type: RowType, params: Array) -> Table:
    bits = max(guide_bits(2 * row_type.size), GUIDE_BITS[0])
    return make_table(row_type, row_type.contiguous(params), bits)


def guide_bits(entries: int) -> int:
    """Return the bits that choose one of so many entries, or of as many as a table may have."""
    return min(max(1, (entries - 1).bit_length()), GUIDE_BITS[1])


def guide_shift(size: int) -> np.uint32:
    """Return how many bits of a category are dropped for guide entries to have 32 bits."""
    return np.uint32(max(0, (size - 1).bit_length() - 32))


def make_table(row_type: RowType, x: Array, bits: int) -> Table:
    """Prepare rows, with guide tables of ``2**bits`` entries."""
    empty, size, rows = array_module().empty, row_type.size, x.size // row_type.size
    cdf, prefixes = empty(rows * size, np.uint64), empty(rows * size, np.uint32)
    guide = empty(rows << bits, np.uint32)
    workspace, reduced = reduce_tiles(row_type, x, rows)
    launch("scan_tiles", (rows,), row_type, x, rows, workspace, reduced)
    launch("fill_cdf", (rows * row_type.tiles,), row_type, x, rows, workspace, cdf, prefixes)
    guide_args = prefixes, np.uint32(bits), guide_shift(size), guide
    launch("fill_guide", (-(-guide.size // BLOCK_THREADS),), row_type, cdf, rows, *guide_args)
    return Table(cdf, prefixes, guide, bits)


def draw_from_table(
    row_type: RowType, table: Table, rows: int, grid: DrawGrid, key: Key, out: Output
) -> None:
    """Draw from prepared rows, or count draws."""
    for part in [grid] if out.itemsize else _parts(grid):
        _launch(row_type, table, rows, part, key, out)


def _parts(grid: DrawGrid) -> Iterator[DrawGrid]:
    """Yield parts of a grid, with no more draws from a row than are counted in one launch."""
    shorter, longer = sorted((grid.runs, grid.draws))
    step = max(1, MAX_COUNTED // shorter)
    yield from (grid.part(i, min(i + step, longer)) for i in range(0, longer, step))


def _launch(
    row_type: RowType, table: Table, rows: int, grid: DrawGrid, key: Key, out: Output
) -> None:
    """Launch a kernel that draws or counts, with two draws a thread if there is work enough."""
    args: tuple[Any, ...] = ()
    name, count_bytes, table_bytes = "draw_table", 0, 4 * (row_type.size + (1 << table.guide_bits))
    if out.itemsize == 0:
        name = "count_table"
        gathered = row_type.size <= min(MAX_GATHERED, grid.runs * grid.draws)
        count_bytes, args = 4 * row_type.size * gathered, (np.uint32(gathered),)
    staged = rows == 1 and count_bytes + table_bytes <= SHARED_BYTES
    full_blocks = -(-grid.draws // (2 * BLOCK_THREADS))
    useful_blocks = max(1, 8 * row_type.multiprocessors // rows)
    launch(
        name,
        (min(full_blocks, useful_blocks), min(rows, MAX_GRID_Y)),
        row_type,
        *(table.cdf, rows, table.prefixes),
        *(np.uint32(table.guide_bits), guide_shift(row_type.size), table.guide),
        *(grid_struct(grid, key), out.array, np.uint32(out.itemsize), np.uint32(staged), *args),
        shared_bytes=count_bytes + staged * table_bytes,
    )
