"""A rough model of what draws cost, with and without tables.

It chooses between kernels that make the same draws.
"""

from __future__ import annotations

from typing import NamedTuple

TABLE_SETUP_NS = 20_000
TABLE_NS_PER_ELEMENT = 0.02
TABLE_NS_PER_DRAW = 0.01


class Costs(NamedTuple):
    """Rough nanoseconds of some draws from each row."""

    direct: float
    """Without tables."""
    table: float
    """With tables, their setup included."""

    @classmethod
    def of(
        cls, size: int, rows: int, draws: int, ns_per_draw: float, rows_in_progress: int
    ) -> Costs:
        """Return the costs of so many draws from each row.

        ``ns_per_draw`` is the time from one draw of a row to the next, without tables, and
        ``rows_in_progress`` the rows that the device works on at a time.
        """
        setup = TABLE_SETUP_NS + TABLE_NS_PER_ELEMENT * rows * size
        return cls(
            draws * ns_per_draw * max(1.0, rows / rows_in_progress),
            setup + TABLE_NS_PER_DRAW * rows * draws,
        )
