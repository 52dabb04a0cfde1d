"""`sample`: which kernels draw, and from which pieces of the input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from anycat._kernels.grid import DrawGrid
from anycat._progress import ignore

from .costs import Costs
from .launch import Output, grid_struct, launch
from .rows import RowType, pieces
from .strategy import STRATEGIES, select_strategy
from .table import cached_table, draw_from_table, guide_bits, make_table

if TYPE_CHECKING:
    from anycat._kernels.grid import DrawRange
    from anycat._kernels.keys import Key
    from anycat._progress import Done

    from .strategy import Strategy

    Array = Any

PIECE_ELEMENTS = 1 << 23  # that are converted at once, or prepared in tables at once


def sample(
    params: Array,
    logits: bool,
    key: Key,
    draws: DrawRange,
    out: Array,
    cache: dict[str, Any],
    done: Done = ignore,
) -> None:
    """Draw from each row of ``params``: see the docstring of `anycat._kernels`.

    All draws are reported as done once their kernels are launched.
    """
    with params.device:
        # The longer axis is the inner one: threads of `draw_table` share its draws.
        grid = DrawGrid.of(draws, samples_inside=draws.samples > draws.repeats)
        row_type, output = RowType.of(params, logits), Output(out.reshape(-1), out.itemsize)
        draw_grid(row_type, params, draws, grid, key, output, cache)
    done(out.size)


def draw_grid(
    row_type: RowType,
    params: Array,
    draws: DrawRange,
    grid: DrawGrid,
    key: Key,
    out: Output,
    cache: dict[str, Any],
) -> None:
    """Make the draws of a range, by tables if these pay off."""
    costs = _costs(row_type, draws)
    if draws.rows > 1 and costs.table < costs.direct:
        bits = guide_bits(min(2 * row_type.size, grid.runs * grid.draws))
        _draw_from_tables(row_type, params, bits, grid, key, out)
    elif draws.rows == 1 and (table := cached_table(row_type, params, costs, cache)):
        draw_from_table(row_type, table, 1, grid, key, out)
    else:
        draw_directly(row_type, params, select_strategy(row_type, STRATEGIES), grid, key, out)


def _costs(row_type: RowType, draws: DrawRange) -> Costs:
    strategy = select_strategy(row_type, STRATEGIES)
    rows_in_progress = strategy.rows_in_progress(row_type)
    n = draws.samples * draws.repeats
    return Costs.of(row_type.size, draws.rows, n, strategy.ns_per_draw, rows_in_progress)


def _draw_from_tables(
    row_type: RowType, params: Array, bits: int, grid: DrawGrid, key: Key, out: Output
) -> None:
    for begin, piece in pieces(params, PIECE_ELEMENTS):
        x = row_type.contiguous(piece)
        table, rows = make_table(row_type, x, bits), x.size // row_type.size
        draw_from_table(row_type, table, rows, grid.from_row(begin), key, out)


def draw_directly(
    row_type: RowType, params: Array, strategy: Strategy, grid: DrawGrid, key: Key, out: Output
) -> None:
    """Draw without tables; what must be converted is converted piece by piece."""
    zero_copy = row_type.is_zero_copy(params)
    for begin, piece in [(0, params)] if zero_copy else pieces(params, PIECE_ELEMENTS):
        x = row_type.contiguous(piece)
        rows = x.size // row_type.size
        blocks, shared_bytes, args = strategy.geometry(row_type, x, rows)
        launch(
            *(strategy.kernel, (blocks,), row_type, x, rows),
            *(grid_struct(grid.from_row(begin), key), out.array, np.uint32(out.itemsize), *args),
            threads=strategy.threads,
            shared_bytes=shared_bytes,
        )
