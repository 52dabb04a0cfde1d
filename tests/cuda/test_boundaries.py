"""Whole CUDA kernels at exact boundaries, by random states with the words there."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import cases
import numpy as np
import oracle
import pytest
import rows
from philox_inverse import find_words

from anycat._kernels.cuda import launch, table
from anycat._kernels.grid import DrawRange

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("cupy")]

Array = np.ndarray[Any, Any]
TABLE = "scan_tiles fill_cdf fill_guide draw_table"


class Path(NamedTuple):
    """A way to draw, and rows that take it."""

    kernels: str
    strategy: str
    rows: int
    row_bytes: int = 0
    size: int = 0
    """Instead of their bytes, if the number of categories is the same for every dtype."""
    limits: tuple[tuple[str, int], ...] = ()
    """Limits of `table`, lowered."""


PATHS = {
    "a thread for each row": Path("draw_short_rows", "direct", 131, row_bytes=128),
    "2 lanes for each row": Path("draw_rows", "direct", 131, row_bytes=248),
    "8 lanes for each row": Path("draw_rows", "direct", 3, row_bytes=1016),
    "32 lanes for each row": Path("draw_rows", "direct", 3, row_bytes=4088),
    "a block for a tile": Path("draw_long_rows", "direct", 2, size=4096),
    "a block for tiles": Path("draw_long_rows", "a block for each row", 2, size=4096 + 5),
    "blocks for tiles": Path("reduce_tiles draw_long_rows", "direct", 2, size=4096 + 5),
    "table": Path(TABLE, "table", 1, size=300),
    "table that is not staged": Path(TABLE, "table", 1, size=300, limits=(("SHARED_BYTES", 0),)),
    "table of tiles": Path("reduce_tiles " + TABLE, "table", 1, size=4096 + 5),
    "tables": Path(TABLE, "table", 5, size=30, limits=(("MAX_GRID_Y", 2),)),
}

# Logits on either side of the largest from which nothing is subtracted: of categories in turn, or
# of the tiles.
TOP = 2.0**20
BORDERS = {
    "at the upper border": [TOP, TOP - 1, TOP - 2.5],
    "above the upper border": [TOP + 0.125, TOP - 1, TOP - 2.5],
    "at the lower border": [-TOP, -TOP - 1, -TOP - 2.5],
    "below the lower border": [-TOP - 0.125, -TOP - 1, -TOP - 2.5],
    "one category at the upper border": [TOP, -1, -2.5],
    "one category at the lower border": [-TOP, -1, -2.5],
}
TILES = {
    "first tile above the upper border": [TOP + 16, TOP],
    "last tile above the upper border": [TOP, TOP + 16],
    "first tile below the lower border": [-TOP - 16, -TOP],
    "last tile below the lower border": [-TOP, -TOP - 16],
}
KINDS = [k for k in rows.KINDS if k[1] not in ("single", "subnormal")]
KINDS += [("logits", k) for k in (*BORDERS, *TILES)]
CASES = [
    pytest.param(path, form, kind, id=f"{name}-{form}-{kind}")
    for name, path in PATHS.items()
    for form, kind in KINDS
    if kind not in TILES or path.size > 4096
]


def make(form: str, kind: str, shape: tuple[int, int], dtype: str) -> Array:
    if kind in BORDERS:
        return np.resize(np.array(BORDERS[kind], dtype), shape)
    if kind in TILES:
        tile = np.arange(shape[1]) // 4096
        return np.tile(np.array(TILES[kind], dtype)[tile], (shape[0], 1))
    return rows.make(form, kind, shape, dtype)


@cache
def boundaries(row: bytes, dtype: str, form: str) -> list[int]:
    ends = oracle.boundaries(np.frombuffer(row, dtype), form)
    assert ends is not None
    return ends


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("path", "form", "kind"), CASES)
def test_words_at_boundaries(
    path: Path, form: str, kind: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = path.size or path.row_bytes // np.dtype(dtype).itemsize
    cases.force(path.strategy, monkeypatch)
    for name, limit in path.limits:
        monkeypatch.setattr(table, name, limit)
    launched, kernel = set(), launch.kernel
    monkeypatch.setattr(launch, "kernel", lambda *a: launched.add(a[0]) or kernel(*a))
    x = make(form, kind, (path.rows, size), dtype)
    kept: dict[str, Any] = {}
    for r in {0, path.rows - 1}:
        ends = boundaries(x[r].tobytes(), dtype, form)
        for n, (*categories, below, at) in enumerate(cases.neighbours(ends, 12)):
            turn = 1 if n % 2 else -1  # which word is that of the even draw
            state, index = find_words(*(below, at)[::turn])
            # Of each row, the first draw and the next: the words are those of row r.
            draws = DrawRange(1, path.rows, 2, index - 2 * r, 2 * path.rows, 2)
            found = cases.draw(x, form, draws, cache=kept, key=np.array(state, np.uint64))
            assert found[0, r].tolist() == categories[::turn]
    assert launched == set(path.kernels.split())
