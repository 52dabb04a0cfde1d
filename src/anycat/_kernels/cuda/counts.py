"""`sample_counts`: how often each category is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from anycat._kernels.grid import DrawGrid
from anycat._progress import ignore

from .draw import draw_grid
from .launch import Output
from .rows import RowType

if TYPE_CHECKING:
    from anycat._kernels.grid import DrawRange
    from anycat._kernels.keys import Key
    from anycat._progress import Done

    Array = Any


def sample_counts(
    params: Array,
    logits: bool,
    key: Key,
    draws: DrawRange,
    out: Array,
    cache: dict[str, Any],
    done: Done = ignore,
) -> None:
    """Count the draws from each row: see the docstring of `anycat._kernels`.

    All draws are reported as done once their kernels are launched.
    """
    with params.device:
        row_type = RowType.of(params, logits)
        grid = DrawGrid.of(draws, samples_inside=draws.samples > draws.repeats)
        grid = grid._replace(out_strides=(0, row_type.size, 0, 0))
        out.fill(0)
        draw_grid(row_type, params, draws, grid, key, Output(out.reshape(-1), 0), cache)
        out[:, 1:] -= out[:, :1] < 0  # kernels mark invalid rows by their first count
    done(draws.samples * draws.rows * draws.repeats)
