"""What is computed from rows: their statistics, probabilities, modes, running sums, gradients."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .costs import NS_PER_GATHER
from .jit import elementwise
from .jit import gradient as gradients
from .jit import lookup as lookups
from .jit import values as kernels
from .rows import Rows, compute_dtype, is_zero_copy, read_only
from .sizes import FLOAT32, FLOAT64, LANES
from .threads import NS_PER_THREAD, parallel_for

if TYPE_CHECKING:
    from collections.abc import Callable

    Array = np.ndarray[Any, Any]
    Normalizer = tuple[Array, Array, Array]
    Shape = tuple[int, ...]

# Categories up to which LANES rows are taken together.
SHORT_ROW_MAX_K = {FLOAT32: 112, FLOAT64: 36}
NO_ROWS = np.empty(0, np.int64)


class RowStats(NamedTuple):
    """For each row an entry in each array, of float64; NaN for an invalid row.

    In float32 they would be as inexact as a result may be, before anything is computed from them.
    """

    top: Array
    """The largest parameter."""
    total: Array
    """The sum of ``exp(x - top)`` for logits, and of ``x`` for probabilities."""
    log_total: Array
    entropy: Array
    """In nats."""

    @classmethod
    def of(cls, stats: Array) -> RowStats:
        """Return the parts of an array as `fill_row_stats` has it."""
        n = stats.size // 4
        return cls(stats[:n], stats[n : 2 * n], stats[2 * n : 3 * n], stats[3 * n :])


def row_stats(params: Array, logits: bool) -> RowStats:
    """Return the statistics of rows."""
    return RowStats.of(fill_row_stats(params, logits))


def fill_row_stats(params: Array, logits: bool) -> Array:
    """Return the statistics of rows, one kind after the other."""
    rows = Rows(params)
    short = are_short(rows.size, rows.count, rows.dtype)
    kernel = kernels.short_row_stats if short else kernels.row_stats
    n, size = rows.count, rows.size
    out = np.empty(4 * n)

    def compute(x: Array, row: int) -> None:
        kernel(x, size, logits, row, n, out)

    _each_block(rows, compute, 20 + 0.7 * size, LANES if short else 1)
    return out


def lookup(
    params: Array,
    logits: bool,
    normalizer: Normalizer,
    values: Array,
    *,
    log: bool,
    eps: float | None = None,
) -> Array | None:
    """Return the probabilities or log-probabilities of values, which broadcast with the batch.

    With ``eps``, probabilities are clamped to ``[eps, 1 - eps]``, but not those from logits.
    Returns None if any value is no category. Only the entries at values are read.
    """
    batch = params.shape[:-1]
    shape = batch if values.shape == batch else _broadcast(values.shape, batch)
    if values.shape != shape:
        values = np.broadcast_to(values, shape)
    dtype = compute_dtype(params.dtype)
    if not is_zero_copy(params, dtype):
        return _lookup_gathered(params, logits, normalizer, values, log, eps)
    count, index = normalizer[0].size, NO_ROWS
    if count > 1 and shape[len(shape) - len(batch) :] != batch:
        index = _row_index(batch, shape)
    out = np.empty(shape, dtype)
    flat = read_only(np.ascontiguousarray(values).reshape(-1))
    rows = read_only(params.reshape(-1)), params.shape[-1], logits, log
    args = *rows, *_needed(normalizer, logits, log), *bounds(eps), flat, index
    if flat.size * NS_PER_GATHER < NS_PER_THREAD:
        return out if lookups.look_up(*args, 0, flat.size, out.reshape(-1)) else None
    entries, good = out.reshape(-1), []

    def look_up(begin: int, end: int) -> None:
        good.append(lookups.look_up(*args, begin, end, entries))

    parallel_for(look_up, flat.size, NS_PER_GATHER * flat.size)
    return out if all(good) else None


def _broadcast(shape: Shape, batch: Shape) -> Shape:
    """Return the shape to which two broadcast; NumPy's function has a limit of 32 axes."""
    pairs = itertools.zip_longest(reversed(shape), reversed(batch), fillvalue=1)
    return tuple(n if m == 1 else m for m, n in pairs)[::-1]


def _lookup_gathered(
    params: Array,
    logits: bool,
    normalizer: Normalizer,
    values: Array,
    log: bool,
    eps: float | None,
) -> Array | None:
    """Do what `lookup` does, after a copy of all that is needed of rows, for each value."""
    if not ((values >= 0) & (values < params.shape[-1])).all():
        return None
    batch = params.shape[:-1]
    index = _row_index(batch, values.shape)  # in one axis: in more, NumPy's issue 31980 matters
    rows = np.unravel_index(index, batch) if batch else ()
    entries = Rows(params[(*rows, values.reshape(-1))][:, None])
    x = entries.block(0, entries.count).reshape(*values.shape, 1)
    top, total, log_total = (n[index] for n in normalizer)
    spread = top, total, log_total
    return lookup(x, logits, spread, np.zeros(values.shape, np.int64), log=log, eps=eps)


def _row_index(batch: tuple[int, ...], shape: tuple[int, ...]) -> Array:
    """Return the number of the row of each entry of a shape to which the batch broadcasts."""
    index = np.arange(math.prod(batch)).reshape(batch)
    return np.broadcast_to(index, shape).reshape(-1)


def _needed(normalizer: Normalizer, logits: bool, log: bool) -> tuple[Array, Array]:
    """Return what entries are subtracted and divided by, or subtracted from their logarithms."""
    top, total, log_total = normalizer
    return top, log_total if logits and log else total


def bounds(eps: float | None) -> tuple[float, float]:
    """Return the bounds of probabilities; without clamping, they have none."""
    return (0.0, math.inf) if eps is None else (eps, 1 - eps)


def every(
    params: Array, logits: bool, normalizer: Normalizer, *, log: bool, eps: float | None = None
) -> Array:
    """Return the probabilities or log-probabilities of all entries; see `lookup`."""
    rows = Rows(params)
    out = np.empty(params.shape, rows.dtype)
    size, flat, needed = np.uint64(rows.size), out.reshape(-1), _needed(normalizer, logits, log)
    kernel = elementwise.fill_log_probs if log else elementwise.fill_probs
    args = (*needed, *bounds(eps), flat) if log else (*needed, flat)

    def compute(x: Array, row: int) -> None:
        kernel(x, size, logits, np.uint64(row), *args)

    _each_block(rows, compute, rows.size)
    return out


def mode(params: Array, logits: bool) -> Array:
    """Return the first largest category of each row, -1 for an invalid one."""
    rows = Rows(params)
    short = are_short(rows.size, rows.count, rows.dtype)
    kernel = lookups.find_short_mode if short else lookups.find_mode
    size, out = np.uint64(rows.size), np.empty(rows.count, np.int64)

    def compute(x: Array, row: int) -> None:
        kernel(x, size, logits, np.uint64(row), out)

    _each_block(rows, compute, 10 + 0.3 * rows.size, LANES if short else 1)
    return out


def cumulative(params: Array, logits: bool, normalizer: Normalizer) -> Array:
    """Return the cumulative probabilities of rows, added up in float64; the last is 1."""
    out = every(params, logits, normalizer, log=False)
    size, flat = out.shape[-1], out.reshape(-1)

    def add_up(begin: int, end: int) -> None:
        elementwise.accumulate(np.uint64(size), np.uint64(begin), np.uint64(end), flat)

    parallel_for(add_up, flat.size // size, 3 * flat.size)
    return out


def gradient(
    params: Array,
    logits: bool,
    stats: RowStats,
    by_log_total: Array | None,
    by_entropy: Array | None,
    out: Array | None = None,
) -> Array:
    """Return the gradient of ``sum(by_log_total * log_total) + sum(by_entropy * entropy)``.

    ``top`` counts as a constant. Factors have an entry for each row; None is zero.
    """
    rows = Rows(params)
    out = np.empty(params.shape, rows.dtype) if out is None else out
    by = _factors(by_log_total, rows.count), _factors(by_entropy, rows.count)
    _fill_gradient(rows, logits, stats, by, out)
    return out


def log_prob_gradient(
    logits: Array,
    stats: RowStats,
    values: Array,
    by_log_prob: Array | None,
    by_entropy: Array | None,
    out: Array,
) -> None:
    """Store the gradient of ``sum(by_log_prob * log_prob(values)) + sum(by_entropy * entropy)``.

    The shape of ``values`` ends with that of the batch.
    """
    rows, terms, by_log_total = Rows(logits), None, None
    if by_log_prob is not None:
        terms = read_only(np.ascontiguousarray(by_log_prob).reshape(-1))
        each = (
            terms if terms.size == rows.count else terms.reshape(-1, rows.count).sum(0, np.float64)
        )
        by_log_total = np.negative(each, dtype=np.float64)
    by = _factors(by_log_total, rows.count), _factors(by_entropy, rows.count)
    _fill_gradient(rows, True, stats, by, out)
    if terms is not None:
        x = rows.block(0, rows.count)
        flat = read_only(np.ascontiguousarray(values).reshape(-1))
        gradients.add_terms(x, rows.size, *stats, *by, flat, terms, out.reshape(-1))


def _fill_gradient(
    rows: Rows, logits: bool, stats: RowStats, by: tuple[Array, Array], out: Array
) -> None:
    size, flat = rows.size, out.reshape(-1)

    def compute(x: Array, row: int) -> None:
        gradients.fill_gradient(x, size, logits, row, *stats, *by, flat)

    _each_block(rows, compute, 2 * size)


def _factors(factors: Array | None, count: int) -> Array:
    """Return factors of rows as kernels take them."""
    if factors is None:
        return read_only(np.zeros(count))
    return read_only(np.ascontiguousarray(factors, np.float64).reshape(-1))


def _each_block(
    rows: Rows, task: Callable[[Array, int], None], cost: float, min_rows: int = 1
) -> None:
    """Do what `Rows.each_block` does, but call ``task`` at once if there is little to do."""
    if rows.is_zero_copy and cost * rows.count < NS_PER_THREAD:
        task(read_only(rows.params.reshape(-1)), 0)
    else:
        rows.each_block(task, cost, min_rows)


def are_short(size: int, count: int, dtype: Any) -> bool:
    """Tell whether LANES rows are taken together."""
    return count >= LANES and size <= SHORT_ROW_MAX_K[dtype]
