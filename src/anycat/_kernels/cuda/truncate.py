"""Truncation of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from anycat._kernels.truncation import ARGUMENTS, clipped

from .diagnose import array_module
from .launch import launch
from .rows import RowType, pieces

if TYPE_CHECKING:
    from collections.abc import Iterable

    Array = Any

PIECE_ELEMENTS = 1 << 23  # that are converted at once
MAX_BLOCKS = 1 << 14  # each has a workspace


def truncate(params: Array, logits: bool, arguments: Iterable[Any], cache: dict[str, Any]) -> Array:
    """Return truncated parameters in the dtype in which kernels compute.

    The arguments are temperature, top_k, top_p and min_p: None, numbers, or arrays of the shape of
    the batch, on the device of the parameters. Nothing waits for them.
    """
    with params.device:
        row_type = RowType.of(params, logits)
        given = [_argument(x, *kind) for x, kind in zip(arguments, ARGUMENTS, strict=True)]
        out = array_module().empty(params.shape, f"f{row_type.weight_bytes}")
        if not out.size:
            return out
        flat, zero_copy = out.reshape(-1), row_type.is_zero_copy(params)
        for begin, piece in [(0, params)] if zero_copy else pieces(params, PIECE_ELEMENTS):
            x = row_type.contiguous(piece)
            rows = x.size // row_type.size
            args = [
                part for numbers, number in given for part in (_pointer(numbers, begin), number)
            ]
            _launch(row_type, x, rows, args, flat[begin * row_type.size :])
    return out


def _launch(row_type: RowType, x: Array, rows: int, args: Iterable[Any], out: Array) -> None:
    blocks = min(rows, MAX_BLOCKS)
    workspace = array_module().empty(blocks * (2 * row_type.tiles + 3), np.uint64)
    launch("truncate_rows", (blocks,), row_type, x, rows, *args, out, workspace)


def _argument(x: Any, dtype: Any, absent: float) -> tuple[Any, Any]:
    """Return an argument for each row, and for all rows; kernels take the one that is there."""
    x = clipped(x, absent)
    if isinstance(x, int | float):
        return None, dtype(x)
    return array_module().ascontiguousarray(x, dtype).reshape(-1), dtype(absent)


def _pointer(numbers: Array | None, begin: int) -> Any:
    return np.uint64(0) if numbers is None else numbers[begin:]


def keeps(params: Array, logits: bool) -> Array:
    """Tell which categories truncated parameters have left.

    CuPy's own comparisons take subnormals for zero, those of their bits do not. The kernel writes
    NaN with a sign.
    """
    return params > -np.inf if logits else params.view(f"i{params.itemsize}") > 0
