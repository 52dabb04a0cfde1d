"""What to draw and how, for every CuPy: the real one, or the harness that stands for it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import rows

from anycat._kernels import cuda
from anycat._kernels.cuda import rows as cuda_rows
from anycat._kernels.cuda import tiles
from anycat._kernels.cuda.costs import Costs
from anycat._kernels.grid import DrawRange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest

Array = np.ndarray[Any, Any]

SIZES = (*rows.SIZES, 16, 17, 128, 129, 512, 513, 1024, 1025)
DTYPES = ("float16", "bfloat16", "float32", "float64")
STRATEGIES = ("chosen", "direct", "table", "a block for each row")
LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "Fortran": lambda x: x.copy(order="F"),
    "reversed": lambda x: x[::-1, :, ::-1],
    "step": lambda x: x[:, ::2, ::3],
    "transposed batch": lambda x: x.swapaxes(0, 1),
    "transposed": lambda x: x[..., :50].transpose(2, 1, 0),
    "broadcast": lambda x: np.broadcast_to(x[:1], x.shape),
    "one row": lambda x: x[0, 0, ::2],
    "not on 16 bytes": lambda x: x.ravel()[1 : 1 + x[1:].size].reshape(x[1:].shape),
}


def force(strategy: str, patch: pytest.MonkeyPatch) -> None:
    """Use a strategy, whatever the cost model says of it."""
    if strategy != "chosen":
        costs = Costs(0.0, 1e18) if strategy != "table" else Costs(1e18, 0.0)
        patch.setattr(Costs, "of", lambda *_: costs)
    if strategy == "a block for each row":
        patch.setattr(tiles, "MANY_TILES", 10**9)
        patch.setattr(cuda_rows, "multiprocessors", lambda _: 0)


def make(form: str, kind: str, shape: tuple[int, ...], dtype: str) -> Array:
    return rows.make(form, kind, shape, dtype, shape[-1])


def widened(x: Array) -> Array:
    """Return rows as the definition has it: the oracle knows no bfloat16."""
    return x.astype(np.float32) if x.dtype.name == "bfloat16" else x


def one_after_another(x: Array, samples: int = 1, repeats: int = 1, first: int = 0) -> DrawRange:
    n = int(np.prod(x.shape[:-1]))
    return DrawRange(samples, n, repeats, first, n * repeats, repeats)


def draw(
    x: Any,
    form: str,
    draws: DrawRange,
    dtype: Any = np.int64,
    cache: dict[str, Any] | None = None,
    key: Array = rows.KEY,
) -> Array:
    """Draw by the CUDA kernels, from an array on the device or not; nothing is left as it was."""
    cupy = sys.modules["cupy"]
    out = cupy.asarray(np.full(draws[:3], 99, dtype))
    cuda.sample(
        cupy.asarray(x),
        form == "logits",
        rows.as_key(key),
        draws,
        out,
        {} if cache is None else cache,
    )
    return cupy.asnumpy(out)


def check(
    x: Array, form: str, draws: DrawRange, dtype: Any = np.int64, on_device: Any = None
) -> None:
    """Compare with the CPU kernels; ``on_device`` is ``x`` if it has to be made there."""
    expected = rows.draw(widened(x), form, draws, dtype)
    actual = draw(x if on_device is None else on_device, form, draws, dtype)
    np.testing.assert_array_equal(actual, expected, f"shape {x.shape}")


def neighbours(ends: list[int], most: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield categories that follow each other, with the last word of one and the first of the next.

    Categories without weight are left out, and so are others if there are more than ``most``. The
    last category is followed by the first, as the words are.
    """
    drawn = np.flatnonzero(np.diff(ends, prepend=0)).tolist()
    after = dict(zip(drawn, [*drawn[1:], drawn[0]], strict=True))
    at_tiles = {k for k in drawn if k % 4096 in (0, 4095)}
    for k in sorted({drawn[0], drawn[-1], *at_tiles, *drawn[:: len(drawn) // most + 1]}):
        word = -((-ends[k] << 64) // ends[-1])  # the smallest with a target of C_k or more
        yield k, after[k], word - 1, word % 2**64
