"""The cost model: rough nanoseconds. It chooses the strategy of a draw, never the outcome."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

from .sizes import BLOCK, TILE

NS_PER_ELEMENT = 0.7  # to reduce tiles
NS_PER_ELEMENT_CHECKED = 0.08
NS_PER_ELEMENT_OF_CDF = 2
NS_PER_ELEMENT_OF_GUIDE = 3
NS_PER_TABLE_DRAW = 4
NS_PER_GATHER = 2


class Costs(NamedTuple):
    """What each strategy costs for some draws from one row, with all that it must prepare."""

    find: float
    rank: float
    table: float
    lanes: float
    guide: float

    @classmethod
    @functools.lru_cache
    def of(cls, size: int, draws: int, itemsize: int) -> Costs:
        """Return the costs for a row of ``size`` categories, each of ``itemsize`` bytes."""
        again = 0 if size <= TILE else 0.5 * TILE
        tile = min(size, TILE)
        return cls(
            find=NS_PER_ELEMENT * size
            + draws * (30 + 0.6 * min(size, BLOCK) + tile / BLOCK + again),
            rank=80 + 1.5 * size + draws * (20 + 0.6 * math.sqrt(size)),
            table=60_000 + 5.5 * size + draws * NS_PER_TABLE_DRAW,  # of many rows, one by one
            guide=200 + 16 * size + draws * 6,
            lanes=5 + (0.52 + 0.06 * itemsize) * size + draws * (3.8 + 0.17 * size),
        )

    @staticmethod
    def table_setup(size: int) -> float:
        """Return what it costs to prepare the table of one row."""
        return 20_000 + 5 * size
