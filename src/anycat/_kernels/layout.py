"""Blocks of an output, and how a block is cut into the parts that one kernel call draws."""

from __future__ import annotations

import functools
import itertools
import math
import operator
from typing import TYPE_CHECKING, NamedTuple

from .grid import DrawRange

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import EllipsisType

    Shape = tuple[int, ...]
    Index = tuple[slice | EllipsisType, ...]


# What is made of draws: the names of the functions of kernels that do it.
SAMPLE, DISTINCT, COUNTS = "sample", "sample_distinct", "sample_counts"


class Block(NamedTuple):
    """A block of draws of shape ``whole``: its own shape, and where it starts.

    Of any kind but `SAMPLE`, the first axis is that of the draws of each row.
    """

    shape: Shape
    start: Shape
    whole: Shape
    first: int = 0
    """The draw index of the first draw of the whole."""
    kind: str = SAMPLE

    @classmethod
    def all_of(cls, shape: Shape, first: int = 0, kind: str = SAMPLE) -> Block:
        """Return the block of all draws."""
        return cls(shape, (0,) * len(shape), shape, first, kind)

    def output_shape(self, size: int) -> Shape:
        """Return the shape of the output for rows of ``size`` categories."""
        return (*self.shape[1:], size) if self.kind == COUNTS else self.shape

    def of_whole_rows(self, ndim: int) -> Block:
        """Return the same block, if it is a part along other axes than the last ``ndim`` only."""
        samples = len(self.shape) - ndim
        start = self.start[:samples] + (0,) * ndim
        return self._replace(start=start, whole=self.whole[:samples] + self.shape[samples:])


class Run(NamedTuple):
    """Axes of a block that act as one axis, since draw indices grow by one stride along them."""

    varies: bool
    """Whether each position has its own row."""
    size: int
    stride: int
    axes: Shape


class Plan(NamedTuple):
    """How a block is cut into parts that a `DrawRange` can describe."""

    batch: Shape
    """The shape to which the rows are broadcast. A row repeated between others is counted again.

    It has as many axes as the rows have.
    """
    order: Shape
    """The order of each part's axes: samples, rows, repeats."""
    draws: DrawRange
    """The range of the first part."""
    loops: tuple[Run, ...]
    """The axes, one each, to loop over: each step is a part of its own."""
    whole: bool
    """Whether each part has all rows, once and in order."""

    def parts(self, origin: int = 0) -> Iterator[tuple[Index, Index, DrawRange]]:
        """Yield each part's place in the block, the place of its rows, and its draws.

        ``origin`` is added to all draw indices.
        """
        draws = self.draws._replace(first=self.draws.first + origin) if origin else self.draws
        if not self.loops:
            yield (...,), (...,), draws
            return
        everything = [slice(None)] * len(self.order)
        lacking = len(self.order) - len(self.batch)
        for at in itertools.product(*(range(run.size) for run in self.loops)):
            place, rows, first = everything.copy(), everything[lacking:], draws.first
            for run, i in zip(self.loops, at, strict=True):
                (axis,) = run.axes
                place[axis] = slice(i, i + 1)
                if run.varies:
                    rows[axis - lacking] = slice(i, i + 1)
                first += i * run.stride
            yield (*place, ...), (*rows, ...), draws._replace(first=first)


@functools.lru_cache(maxsize=256)  # most calls have the shapes of the one before
def plan(block: Block, base: Shape) -> Plan:
    """Return the plan for a block whose rows have the batch shape ``base``, which broadcasts.

    It does not depend on ``block.first``, which is left to `Plan.parts`.
    """
    ndim, lacking = len(block.shape), len(block.shape) - len(base)
    base = (1,) * lacking + base
    strides = [math.prod(block.whole[a + 1 :]) for a in range(ndim)]
    varying = [a for a in range(ndim) if base[a] != 1]
    inner = range(varying[0], varying[-1] + 1) if varying else range(0)
    axes = [Run(a in inner, block.shape[a], strides[a], (a,)) for a in range(ndim)]

    runs: list[Run] = []
    for run in axes:
        if runs and runs[-1].varies == run.varies and runs[-1].stride == run.size * run.stride:
            last = runs.pop()
            run = run._replace(size=last.size * run.size, axes=last.axes + run.axes)
        if run.size != 1:
            runs.append(run)
    rows = _longest(run for run in runs if run.varies)
    repeats = _longest(run for run in runs if not run.varies and run.stride == 1)
    samples = _longest(run for run in runs if not run.varies and run is not repeats)
    taken = samples.axes + rows.axes + repeats.axes
    batch = tuple(run.size if run.varies else 1 for run in axes)
    loops = tuple(run for run in axes if run.size != 1 and run.axes[0] not in taken)
    return Plan(
        batch=batch[lacking:],
        order=tuple(sorted(range(ndim), key=lambda a: (a in rows.axes) + 2 * (a in repeats.axes))),
        draws=DrawRange(
            samples.size,
            rows.size,
            repeats.size,
            first=sum(map(operator.mul, block.start, strides)),
            sample_stride=samples.stride,
            row_stride=rows.stride,
        ),
        loops=loops,
        whole=batch == base and not any(run.varies for run in loops),
    )


def _longest(runs: Iterable[Run]) -> Run:
    return max(runs, key=lambda run: run.size, default=Run(False, 1, 0, ()))
