"""Blocks of an output, and how they are cut into what kernels draw at once."""

from __future__ import annotations

import functools
import itertools
import math
import operator
from typing import TYPE_CHECKING, NamedTuple

from ._kernels import Draws

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import EllipsisType

    Shape = tuple[int, ...]
    Index = tuple[slice | EllipsisType, ...]


class Block(NamedTuple):
    """A block of an output: it has the shape ``shape``, and begins at ``start`` of ``whole``."""

    shape: Shape
    start: Shape
    whole: Shape


def whole(shape: Shape) -> Block:
    """Return the block that is all of an output."""
    return Block(shape, (0,) * len(shape), shape)


class Run(NamedTuple):
    """Axes of a block along which the numbers of draws grow by one step, as along one axis."""

    varies: bool
    """Whether each place has a row of its own."""
    size: int
    step: int
    axes: Shape


class Plan(NamedTuple):
    """How a block is cut into parts of which `Draws` can tell the numbers."""

    batch: Shape
    """To which its rows are broadcast: a row that is repeated between others counts as so many."""
    order: Shape
    """Of the axes of each part: those of samples, of rows, of repeats."""
    draws: Draws
    """Those of the first part."""
    loops: tuple[Run, ...]
    """The axes, one each, along which there is part after part."""
    whole: bool
    """Whether each part has all rows, once and in their order."""

    def parts(self) -> Iterator[tuple[Index, Index, Draws]]:
        """Return where each part is in the block, where its rows are, and its draws."""
        if not self.loops:
            yield (...,), (...,), self.draws
            return
        everything = [slice(None)] * len(self.batch)
        for at in itertools.product(*(range(run.size) for run in self.loops)):
            place, rows, first = everything.copy(), everything.copy(), self.draws.first
            for run, i in zip(self.loops, at, strict=True):
                (axis,) = run.axes
                place[axis] = slice(i, i + 1)
                if run.varies:
                    rows[axis] = slice(i, i + 1)
                first += i * run.step
            yield (*place, ...), (*rows, ...), self.draws._replace(first=first)


@functools.lru_cache(maxsize=256)  # most calls have the shapes of the one before
def plan(block: Block, base: Shape) -> Plan:
    """Return the plan for a block to whose shape the batch of its rows, ``base``, broadcasts."""
    ndim = len(block.shape)
    base = (1,) * (ndim - len(base)) + base
    steps = [math.prod(block.whole[a + 1 :]) for a in range(ndim)]
    varying = [a for a in range(ndim) if base[a] != 1]
    inner = range(varying[0], varying[-1] + 1) if varying else range(0)
    axes = [Run(a in inner, block.shape[a], steps[a], (a,)) for a in range(ndim)]

    runs: list[Run] = []
    for run in axes:
        if runs and runs[-1].varies == run.varies and runs[-1].step == run.size * run.step:
            last = runs.pop()
            run = run._replace(size=last.size * run.size, axes=last.axes + run.axes)
        if run.size != 1:
            runs.append(run)
    rows = _longest(run for run in runs if run.varies)
    repeats = _longest(run for run in runs if not run.varies and run.step == 1)
    samples = _longest(run for run in runs if not run.varies and run is not repeats)
    taken = samples.axes + rows.axes + repeats.axes
    batch = tuple(run.size if run.varies else 1 for run in axes)
    loops = tuple(run for run in axes if run.size != 1 and run.axes[0] not in taken)
    return Plan(
        batch=batch,
        order=tuple(sorted(range(ndim), key=lambda a: (a in rows.axes) + 2 * (a in repeats.axes))),
        draws=Draws(
            samples.size,
            rows.size,
            repeats.size,
            first=sum(map(operator.mul, block.start, steps)),
            stride=samples.step,
            step=rows.step,
        ),
        loops=loops,
        whole=batch == base and not any(run.varies for run in loops),
    )


def _longest(runs: Iterable[Run]) -> Run:
    return max(runs, key=lambda run: run.size, default=Run(False, 1, 0, ()))
