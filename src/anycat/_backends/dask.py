"""Dask: everything is done to blocks of rows, when the result is computed.

A row is never cut: chunks of the categories are merged first.
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

from anycat._kernels.layout import COUNTS, DISTINCT, SAMPLE, Block
from anycat._parameters import FORMS
from anycat._random import RowSeeds

from .base import CHECKS, Backend, put_arrays, take_arrays
from .registry import backend_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from anycat._kernels.keys import Key
    from anycat._random import RandomBits

    Array = Any
    Shape = tuple[int, ...]
    Chunks = tuple[tuple[int, ...], ...]


LEAST_DRAWS_OF_PART = 1 << 26  # draws to be counted, of some tenths of a second
MOST_PARTS = 256


class DaskBackend(Backend):
    """Dask."""

    def check_supported(self, name: str, x: Array) -> None:
        """Refuse arrays of unknown shape, and dtypes of too few bits."""
        if any(map(math.isnan, x.shape)):
            raise ValueError(
                f"{name} is a Dask array with chunks of unknown sizes, and so of shape {x.shape}: "
                "call its compute_chunk_sizes() first"
            )
        if isinstance(x._meta, np.ma.MaskedArray):
            raise TypeError(
                f"{name} has blocks that are masked arrays: call dask.array.ma.filled first"
            )
        super().check_supported(name, x)

    def has_values(self, x: Array) -> bool:
        """Return False: blocks have values when they are computed."""
        return False

    def asarray(self, values: Any, like: Array | None = None) -> Array:
        """Return an array whose blocks are of the kind that those of ``like`` are."""
        return _with_blocks_like(super().asarray(values, like), like)

    def arange(self, n: int, like: Array) -> Array:
        """Return indices in blocks of the kind that those of ``like`` are."""
        return _with_blocks_like(super().arange(n, like), like)

    def select(self, x: Array, index: tuple[Any, ...]) -> Array:
        """Return part of an array, also by NumPy's mask of several axes, which Dask does not take.

        It takes its own, but what that selects has an unknown shape.
        """
        mask, *rest = index
        if isinstance(mask, np.ndarray) and mask.dtype == bool and mask.ndim > 1:
            n = mask.ndim
            if mask.shape == x.shape[:n]:
                return x.reshape(mask.size, *x.shape[n:])[(np.flatnonzero(mask), *rest)]
        return x[index]

    def validate_rows(self, name: str, x: Array, cache: dict[str, Any]) -> Array:
        """Return an array whose rows are checked when its blocks are computed."""
        return self.check_later(name, _whole_rows(x), x.shape[-1])

    def check_later(self, name: str, x: Array, limit: int) -> Array:
        """Return an array whose values are checked when its blocks are computed."""
        task = functools.partial(_check, name, limit)
        return _map_blocks("checked", task, x.chunks, x._meta, (x, range(x.ndim)))

    def map_rows(self, method: Callable[..., Array], dist: Any, *args: Any) -> Array:
        """Return what the method, or property, gives for each block.

        Other arguments are distributions, or arrays that belong to the batch.
        """
        return _map_rows(method.__name__, dist, *args)

    def sample(
        self,
        params: Array,
        logits: bool,
        block: Block,
        bits: RandomBits | RowSeeds,
        dtype: np.dtype[Any],
        cache: dict[str, Any],
    ) -> Array:
        """Return draws that are made when they are computed. The bits are taken now."""
        return _sample(params, logits, block, bits, dtype)

    def truncate(
        self, x: Array, logits: bool, arguments: Sequence[Any], cache: dict[str, Any]
    ) -> Array:
        """Return parameters that are truncated block by block. Arguments may be Dask arrays."""
        x, end = _whole_rows(x), x.ndim - 1
        numbers, arrays = take_arrays(arguments)
        indexed = ((y, range(y.ndim)) for y in (x, *arrays))
        sizes, (x, *arrays) = unify_chunks(*itertools.chain(*indexed))
        task = functools.partial(_truncate, logits, numbers)
        ones = np.ones_like(x._meta, shape=(1,) * x.ndim)
        example = _truncate(logits, [None if y is None else 1 for y in arguments], None, ones)
        chunks = tuple(sizes[a] for a in range(x.ndim))
        sources = [(x, range(end + 1)), *((y, range(end)) for y in arrays)]
        return _map_blocks("truncated", task, chunks, meta_from_array(example), *sources)

    def from_numpy(self, x: Any, memory: str) -> Array:
        """Return a Dask array of one block."""
        if memory == "CUDA":
            import cupy

            x = cupy.asarray(x)
        return da.asarray(x)

    def to_numpy(self, x: Array) -> Any:
        """Compute an array."""
        block = x.compute()
        return backend_of(block).to_numpy(block)


def _with_blocks_like(x: Array, like: Array | None) -> Array:
    if like is None or type(x._meta) is type(like._meta):
        return x
    return x.map_blocks(np.asarray, like=like._meta)


def _whole_rows(x: Array) -> Array:
    return x.rechunk({x.ndim - 1: -1})


def _map_blocks(
    name: str,
    task: Callable[..., Any],
    chunks: Chunks,
    meta: Array,
    *sources: tuple[Array, Sequence[int]],
) -> Array:
    """Return an array of the given chunks, each made by a call of the task.

    The task takes the `Block` to make, and the corresponding block of each source. A source is an
    array, and the axes of the result that its own axes correspond to. An axis that the result lacks
    must be in one chunk, and so must an axis of length 1, which broadcasts.
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
    """Return chunks for an array of ``shape``, to which an array of the given chunks broadcasts.

    Axes that repeat are cut as Dask is configured to, the last axis into the largest chunks.
    """
    given = ((1,),) * (len(shape) - len(given)) + given
    budget = parse_bytes(dask.config.get("array.chunk-size")) // dtype.itemsize
    budget //= math.prod(max(1, *sizes) for sizes in given)
    chunks = []
    for n, sizes in zip(reversed(shape), reversed(given), strict=True):
        if sum(sizes) != n:
            most = min(max(budget, 1), n)
            (sizes,) = normalize_chunks((most,), (n,))
            budget //= max(most, 1)
        chunks.append(sizes)
    return tuple(reversed(chunks))


# --- functions of rows --------------------------------------------------------------------------


def _check(name: str, limit: int, block: Block, x: Array) -> Array:
    start = block.start
    with _located(
        start[:-1] if name.endswith(tuple(FORMS)) else start[1:] if name == "replace" else start
    ):
        backend_of(x).check_supported(name, x)  # a block may be of another kind than Dask knows
        CHECKS[name](x, limit, {})
    return x


def _map_rows(name: str, *args: Any) -> Array:
    """Return the result of a method or property of distributions, block by block.

    Parameters
    ----------
    name
        The method or property, which does the same to each row.
    args
        The distribution, and the arguments: other distributions, or arrays for the batch.
    """
    shapes = (x.shape if compat.is_dask_array(x) else x.batch_shape for x in args)
    shape = np.broadcast_shapes(*shapes)
    end = len(shape)  # the axis of the categories, where there is one
    sources: list[tuple[Array, range]] = []
    makers: list[Callable[[Array], Any]] = []  # from blocks to arguments
    examples: list[Any] = []  # arguments for a batch of one: they show what the result is like
    for x in args:
        if compat.is_dask_array(x):
            sources.append((x, range(end - x.ndim, end)))
            makers.append(_itself)
            examples.append(np.zeros_like(x._meta, shape=(1,) * end))
        else:
            params = _whole_rows(x._param)
            sources.append((params, range(end + 1 - params.ndim, end + 1)))
            examples.append(x._block_of(np.ones_like(params._meta, shape=(1,) * (end + 1))))
            makers.append(examples[-1]._block_of)
    like = _get(name, examples)
    sizes, arrays = unify_chunks(*itertools.chain(*sources))
    result = _map_blocks(
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
    """Add to errors where the block begins from which they count."""
    try:
        yield
    except ValueError as error:
        if any(start):
            error.args = (f"{error} (counted within the block that begins at {start})",)
        raise


# --- truncation ---------------------------------------------------------------------------------


def _truncate(
    logits: bool, arguments: Sequence[Any], _: Block | None, params: Array, *arrays: Array
) -> Array:
    return backend_of(params).truncate(params, logits, put_arrays(arguments, arrays), {})


# --- draws --------------------------------------------------------------------------------------


class CachedRows:
    """A block of parameters, with the cache of the kernels as long as it is in memory."""

    def __init__(self, params: Array) -> None:
        self.params = params
        self.cache: dict[str, Any] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return CachedRows, (self.params,)

    def __sizeof__(self) -> int:
        """Return the size by which Dask decides what to move and what to keep."""
        return int(self.params.nbytes)


def _sample(
    params: Array, logits: bool, draws: Block, bits: RandomBits | RowSeeds, dtype: np.dtype[Any]
) -> Array:
    """Return draws, or counts of them, that are made when they are computed.

    Each block of parameters is one node of the graph, and all blocks of its draws depend on it. So
    each worker makes a table for many draws from one row only once.
    """
    params = _whole_rows(params)
    batch, counts = params.chunks[:-1], draws.kind == COUNTS
    meta = np.empty((0,) * len(batch), object)
    rows = _map_blocks("rows", _keep, batch, meta, (params, range(params.ndim)))
    chunks = _chunks_of_draws(draws, params.chunks, dtype)
    kept = np.dtype(np.int64) if counts else dtype
    meta = np.empty_like(params._meta, shape=(0,) * len(chunks), dtype=kept)
    ndim = len(draws.shape)
    axes = range(ndim - len(batch), ndim)
    if isinstance(bits, RowSeeds):
        task = functools.partial(_draw_by_seeds, logits, kept, draws, len(bits.batch))
        sources = [(rows, axes), *_seed_blocks(bits, chunks[:ndim])]
    else:
        task = functools.partial(_draw, logits, kept, draws, bits.key())
        sources = [(rows, axes)]
    result = _map_blocks(draws.kind, task, chunks, meta, *sources)
    # The parts of counts have -1 for invalid rows.
    return da.maximum(result.sum(0), -1).astype(dtype) if counts else result


def _chunks_of_draws(draws: Block, rows: Chunks, dtype: np.dtype[Any]) -> Chunks:
    """Return the chunks of draws from rows of the given chunks.

    Counts have one more axis, the first: parts of the draws, to be computed in parallel and added.
    """
    batch, shape = rows[:-1], draws.output_shape(sum(rows[-1]))
    if draws.kind == DISTINCT:  # the draws of a row depend on each other
        once = ((1,),) * (len(shape) - 1 - len(batch))
        return _chunks((shape[:1], *once, *batch), shape, dtype)
    if draws.kind == SAMPLE:
        return _chunks(batch, shape, dtype)
    chunks = _chunks(rows, shape, dtype)
    largest = math.prod(max(sizes, default=0) for sizes in chunks)
    least = max(LEAST_DRAWS_OF_PART, 32 * largest)
    most = MOST_PARTS // max(1, math.prod(map(len, chunks)))
    parts = min(draws.shape[0] * largest // shape[-1] // least, most)
    return (1,) * max(1, parts), *chunks


def _draws_of(block: Block, draws: Block) -> Block:
    """Return which of all draws a block of the result is made of."""
    if draws.kind != COUNTS:
        return block._replace(first=draws.first, kind=draws.kind)
    n, parts, part = draws.shape[0], block.whole[0], block.start[0]
    begin, end = n * part // parts, n * (part + 1) // parts
    shape, start = (end - begin, *block.shape[1:-1]), (begin, *block.start[1:-1])
    return draws._replace(shape=shape, start=start)


def _seed_blocks(bits: RowSeeds, chunks: Chunks) -> Iterator[tuple[Array, range]]:
    """Return the seeds and positions of rows in the chunks of the draws, and their axes."""
    for x in bits.numbers:
        y = x if compat.is_dask_array(x) else da.asarray(np.asarray(x))
        axes = range(len(chunks) - y.ndim, len(chunks))
        sizes = [chunks[a] if n > 1 else (n,) for a, n in zip(axes, y.shape, strict=True)]
        yield y.rechunk(sizes), axes


def _keep(_: Block, params: Array) -> CachedRows:
    return CachedRows(params)


def _draw(
    logits: bool, dtype: np.dtype[Any], draws: Block, key: Key, block: Block, rows: CachedRows
) -> Array:
    backend, part = backend_of(rows.params), _draws_of(block, draws)
    out = backend.draw(rows.params, logits, part, lambda _: key, dtype, rows.cache)
    return out if part.kind != COUNTS else out[None]


def _draw_by_seeds(
    logits: bool,
    dtype: np.dtype[Any],
    draws: Block,
    ndim: int,
    block: Block,
    rows: CachedRows,
    seeds: Array,
    start: Array,
) -> Array:
    """Draw from rows of a batch of ``ndim`` axes, each of which has its own draws."""
    backend, part = backend_of(rows.params), _draws_of(block, draws).of_whole_rows(ndim)
    bits = RowSeeds((seeds, start), backend, part.shape[len(part.shape) - ndim :])
    out = backend.draw(rows.params, logits, part, bits.key, dtype, rows.cache)
    return out if part.kind != COUNTS else out[None]
