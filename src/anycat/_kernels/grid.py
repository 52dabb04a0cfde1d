"""Which draws a kernel makes and where they go: index arithmetic shared by CPU and CUDA."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

Strides = tuple[int, int, int, int]


class DrawRange(NamedTuple):
    """The draws [sample, row, repeat] of a part of an output, and their draw indices.

    The first draw has the index ``first``. The index grows by one from repeat to repeat, by
    ``row_stride`` from row to row, and by ``sample_stride`` from sample to sample.
    """

    samples: int
    rows: int
    repeats: int
    first: int
    sample_stride: int
    row_stride: int


class DrawGrid(NamedTuple):
    """A `DrawRange` as kernels take it: draws [row, run, draw] of an output in C order.

    Both tuples hold an origin and the strides of the three axes: draw ``i`` of run ``j`` of row
    ``r`` is at ``origin + r * row + j * run + i * draw``.
    """

    counter_strides: Strides
    """Of the draw index."""
    out_strides: Strides
    """Of the position in the output."""
    runs: int
    draws: int

    @classmethod
    def of(cls, d: DrawRange, *, samples_inside: bool) -> DrawGrid:
        """Return the grid of a range, with the samples or the repeats as the inner axis."""
        samples, repeats = (d.sample_stride, d.rows * d.repeats), (1, 1)
        run, draw = (repeats, samples) if samples_inside else (samples, repeats)
        runs, draws = (d.repeats, d.samples) if samples_inside else (d.samples, d.repeats)
        return cls(
            (d.first, d.row_stride, run[0], draw[0]), (0, d.repeats, run[1], draw[1]), runs, draws
        )

    def from_row(self, row: int) -> DrawGrid:
        """Return what is left from a row on."""
        return self._from(1, row)

    def part(self, begin: int, end: int) -> DrawGrid:
        """Return a part of the longer of the two inner axes."""
        if self.runs > self.draws:
            return self._from(2, begin)._replace(runs=end - begin)
        return self._from(3, begin)._replace(draws=end - begin)

    def pieces(self, most: int) -> Iterable[DrawGrid]:
        """Yield parts of at most so many draws of each row, or of one."""
        n, longer = self.runs * self.draws, max(self.runs, self.draws)
        if n <= most or n == 1:
            yield self
            return
        for begin, end in split(0, longer, min(longer, -(-n // most))):
            yield from self.part(begin, end).pieces(most)

    def _from(self, axis: int, begin: int) -> DrawGrid:
        if begin == 0:
            return self
        counter, out = (
            (strides[0] + begin * strides[axis], *strides[1:])
            for strides in (self.counter_strides, self.out_strides)
        )
        return self._replace(counter_strides=counter, out_strides=out)


def split(begin: int, end: int, parts: int) -> Iterable[tuple[int, int]]:
    """Split a range into parts whose lengths differ by one at most."""
    ends = [begin + (end - begin) * i // parts for i in range(parts + 1)]
    return itertools.pairwise(ends)


def table_pays_off(cache: dict[str, Any], cost: float, setup_cost: float) -> bool:
    """Tell whether the draws made so far would have paid for a table.

    ``cache`` accumulates ``cost``, that of the draws at hand without a table.
    """
    cache["accumulated cost"] = cache.get("accumulated cost", 0.0) + cost
    return bool(cache["accumulated cost"] > setup_cost)
