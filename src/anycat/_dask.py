"""Dask: what is done to blocks of rows, when somebody computes the result.

A row is never cut: where the categories of an array are in chunks, they are put together first.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import math
from typing import TYPE_CHECKING, Any

import array_api_compat as compat
import dask
import dask.array as da
import numpy as np
from dask.array.core import normalize_chunks, unify_chunks
from dask.array.utils import meta_from_array
from dask.base import tokenize
from dask.highlevelgraph import HighLevelGraph
from dask.utils import parse_bytes

from . import _dispatch
from ._kernels.layout import Block

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ._random import Key

    Array = Any
    Shape = tuple[int, ...]
    Chunks = tuple[tuple[int, ...], ...]


def _whole_rows(x: Array) -> Array:
    return x.rechunk({x.ndim - 1: -1})


def _by_blocks(
    name: str,
    task: Callable[..., Any],
    chunks: Chunks,
    meta: Array,
    *sources: tuple[Array, Sequence[int]],
) -> Array:
    """Return an array of the given chunks that are made by a task each.

    The task takes the block that it is to make and, of each source, the one that belongs there. A
    source is an array and the axes of the result to which its own correspond; one that the result
    lacks must be in one chunk, as must one of length 1, which stands for any length.
    """
    name = f"categorical-{name.strip('_')}-{tokenize(task, chunks, *(x.name for x, _ in sources))}"
    whole = tuple(map(sum, chunks))
    starts = [list(itertools.accumulate(sizes, initial=0)) for sizes in chunks]
    graph = {}
    for index in itertools.product(*(range(len(sizes)) for sizes in chunks)):
        shape = tuple(sizes[i] for sizes, i in zip(chunks, index, strict=True))
        start = tuple(ends[i] for ends, i in zip(starts, index, strict=True))
        blocks = (
            (x.name, *(index[a] if n > 1 else 0 for a, n in zip(axes, x.numblocks, strict=True)))
            for x, axes in sources
        )
        graph[name, *index] = (functools.partial(task, Block(shape, start, whole)), *blocks)
    layers = HighLevelGraph.from_collections(name, graph, dependencies=[x for x, _ in sources])
    return da.Array(layers, name, chunks, meta=meta)


def _chunks(given: Chunks, shape: Shape, dtype: np.dtype[Any]) -> Chunks:
    """Return chunks for an array of the given shape, to which one of the given chunks broadcasts.

    Where that repeats, chunks are as long as Dask is configured to make them, the last axes first.
    """
    given = ((1,),) * (len(shape) - len(given)) + given
    room = parse_bytes(dask.config.get("array.chunk-size")) // dtype.itemsize
    room //= math.prod(max(1, *sizes) for sizes in given)
    chunks = []
    for n, sizes in zip(reversed(shape), reversed(given), strict=True):
        if sum(sizes) != n:
            most = min(max(room, 1), n)
            (sizes,) = normalize_chunks((most,), (n,))
            room //= max(most, 1)
        chunks.append(sizes)
    return tuple(reversed(chunks))


# --- functions of rows --------------------------------------------------------------------------


def checked(check: Callable[[Array, dict[str, Any]], None], x: Array) -> Array:
    """Return an array whose blocks go through a check of their rows when they are computed."""
    x, task = _whole_rows(x), functools.partial(_check, check)
    return _by_blocks("checked", task, x.chunks, x._meta, (x, range(x.ndim)))


def _check(check: Callable[[Array, dict[str, Any]], None], block: Block, rows: Array) -> Array:
    with _located(block.start[:-1]):
        check(rows, {})
    return rows


def by_rows(name: str, *args: Any) -> Array:
    """Return what a method of distributions gives, or a property, block by block.

    Parameters
    ----------
    name
        Of the method or property, which does the same to each row.
    args
        The distribution, and what the method takes: other distributions, or arrays for the batch.
    """
    shapes = (x.shape if compat.is_dask_array(x) else x.batch_shape for x in args)
    shape = _dispatch.broadcast_shapes(*shapes)
    end = len(shape)  # the axis of the categories, where there is one
    sources: list[tuple[Array, range]] = []
    makers: list[Callable[[Array], Any]] = []  # from blocks to arguments
    sure: list[Any] = []  # arguments, for one sure thing: they show what the result is like
    for x in args:
        if compat.is_dask_array(x):
            sources.append((x, range(end - x.ndim, end)))
            makers.append(_itself)
            sure.append(np.zeros_like(x._meta, shape=(1,) * end))
        else:
            params = _whole_rows(x._param)
            sources.append((params, range(end + 1 - params.ndim, end + 1)))
            sure.append(x._block(np.ones_like(params._meta, shape=(1,) * (end + 1))))
            makers.append(sure[-1]._block)
    like = _get(name, sure)
    sizes, arrays = unify_chunks(*itertools.chain(*sources))
    result = _by_blocks(
        name,
        functools.partial(_rows, name, makers),
        tuple(sizes.get(a, (1,)) for a in range(like.ndim)),
        meta_from_array(like),
        *((x, axes) for x, (_, axes) in zip(arrays, sources, strict=True)),
    )
    shape += result.shape[end:]
    return da.broadcast_to(result, shape, chunks=_chunks(result.chunks, shape, result.dtype))


def _rows(name: str, makers: list[Callable[[Array], Any]], block: Block, *sources: Array) -> Array:
    with _located(block.start):
        args = [make(x) for make, x in zip(makers, sources, strict=True)]
        result = _get(name, args)
    return result if result.shape == block.shape else np.broadcast_to(result, block.shape)


def _get(name: str, args: list[Any]) -> Array:
    dist, *others = args
    member = getattr(dist, name)
    return member(*others) if callable(member) else member


def _itself(x: Array) -> Array:
    return x


@contextlib.contextmanager
def _located(start: Shape) -> Iterator[None]:
    """Let errors tell from where they count places."""
    try:
        yield
    except ValueError as error:
        if any(start):
            error.add_note(f"Places are counted within the block that begins at {start}.")
        raise


# --- draws --------------------------------------------------------------------------------------


class Rows:
    """A block of parameters, and what kernels keep for it as long as it is in memory."""

    def __init__(self, params: Array) -> None:
        self.params = params
        self.cache: dict[str, Any] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return Rows, (self.params,)

    def __sizeof__(self) -> int:
        """Return what Dask is to know when it decides where to move and to keep what."""
        return int(self.params.nbytes)


def sample(params: Array, logits: bool, shape: Shape, key: Key, dtype: np.dtype[Any]) -> Array:
    """Return draws of the given shape, which are made when they are computed.

    Each block of parameters is a node of the graph, from which all blocks of its draws are made: a
    table for many draws from one row is made once by each worker.
    """
    params = _whole_rows(params)
    batch = params.chunks[:-1]
    meta = np.empty((0,) * len(batch), object)
    rows = _by_blocks("rows", _keep, batch, meta, (params, range(params.ndim)))
    task = functools.partial(_draw, logits, key, dtype)
    meta = np.empty_like(params._meta, shape=(0,) * len(shape), dtype=dtype)
    axes = range(len(shape) - len(batch), len(shape))
    return _by_blocks("sample", task, _chunks(batch, shape, dtype), meta, (rows, axes))


def _keep(_: Block, params: Array) -> Rows:
    return Rows(params)


def _draw(logits: bool, key: Key, dtype: np.dtype[Any], block: Block, rows: Rows) -> Array:
    xp = compat.array_namespace(rows.params)
    return _dispatch.draw(xp, rows.params, logits, block, lambda: key, dtype, rows.cache)
