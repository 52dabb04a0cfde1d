"""Kernels, a package for each kind of memory, behind one interface.

Each of ``cpu`` and ``cuda`` has these functions:

``sample(params, logits, key, draws, out, cache, done)``
    Draw from each row of ``params``, an array of shape (..., K) and a real dtype: logits, or else
    probabilities. ``key`` is the random bits: see `keys`. Seeds and positions of rows are in the
    memory of ``params``. ``out``, which is not empty, takes the
    draws: a C-contiguous array of integers of shape (samples, rows, repeats), the shape of the
    `DrawRange` ``draws``. ``cache`` is a dict that the caller keeps with these parameters.
    ``done(n)`` is called, in any thread, when n more draws are made.
``sample_distinct(params, logits, key, draws, out, cache, done)``
    The same, but the draws of each row are without replacement, in the order of their indices: the
    categories drawn before have probability 0. Where nothing is left to draw, or the row is
    invalid, the draw is -1. One at least of ``draws.samples`` and ``draws.repeats`` is 1.
``sample_counts(params, logits, key, draws, out, cache, done)``
    Count the draws of each row that ``sample`` would make. ``out``, a C-contiguous array of int64
    of shape (rows, K), takes the counts; those of an invalid row are -1. One at least of
    ``draws.samples`` and ``draws.repeats`` is 1, and neither is 0.
``truncate(params, logits, arguments, cache)``
    Return truncated parameters, in the dtype in which kernels compute or in their own. The
    arguments, temperature, top_k, top_p and min_p, are None, numbers, or arrays of the shape of the
    batch.
``masked(params, mask, logits, empty)``
    Return parameters without the categories that a mask does not allow, and whether each row has a
    positive probability left; None if there is no kernel for the dtype. The mask, of bools or
    packed, broadcasts to the batch. ``empty`` makes the first result: see `draw`.
``keeps(params, logits)``
    Tell which categories truncated parameters have left.
``context(index, x)``
    A context in which the kernels can work on an array ``x`` of some library on device ``index``.
``array_module()``
    The module of the arrays that ``sample`` takes: NumPy or CuPy.
``unavailable_reason()``
    Why the kernels cannot run on this machine, and what to do about it; None if they can.

``cpu`` has more, since array operations would make several passes over memory: ``rows_valid``
checks parameters; ``look_up``, ``normalized``, ``cumulative``, ``entropy`` and ``mode`` compute
values of a distribution; and ``row_stats`` what these need of each row. They take the parameters,
whether these are logits, and the cache, and want ``default_float_env()``. The module ``values``
has what computes them without a cache, and their gradients. ``small`` is the fast path of small
batches.
"""

from __future__ import annotations

import functools
import importlib
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from anycat import _progress

from . import fork
from .keys import key_of_part
from .layout import COUNTS, SAMPLE, plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from .layout import Block

    Array = Any

# Of a small batch, which `cpu.small` takes. Up to here, what the fast path saves is more than other
# strategies gain, and the GIL is kept for some 50 us at most.
SMALL_MAX_SIZE = 1 << 14  # elements
SMALL_MAX_DRAWS = 1 << 10
SMALL_MAX_SIZE_OF_LONG_ROWS = 1 << 18  # of rows of more than a tile; too few for two threads
SMALL_MAX_DRAWS_OF_LONG_ROWS = 1 << 4
TILE = 1 << 12  # categories: see `cpu.jit.constants`
COPIED_ELEMENTS = 1 << 22  # elements that are copied at once

# DLPack's device types; the last of each is memory that CPU and GPU share.
_MEMORY = {1: "cpu", 3: "cpu", 11: "cpu", 2: "cuda", 13: "cuda"}


UNREADABLE = AttributeError, BufferError, KeyError, RuntimeError, TypeError, ValueError


def is_small(shape: tuple[int, ...]) -> bool:
    """Tell whether parameters of a shape are those of a small batch."""
    long = shape[-1] > TILE
    return 0 < math.prod(shape) <= (SMALL_MAX_SIZE_OF_LONG_ROWS if long else SMALL_MAX_SIZE)


@functools.cache
def load(memory: str) -> Any:
    """Import the kernels for "cpu" or "cuda" memory."""
    with fork.importing:
        return importlib.import_module(f"{__name__}.{memory}")


def memory_of(x: Array) -> tuple[str, int]:
    """Return the memory of an array, and the number of its device.

    Raises one of ``UNREADABLE`` if the array is in other memory or exports none.
    """
    device_type, index = x.__dlpack_device__()
    return _MEMORY[int(device_type)], index


def draw(
    kernels: Any,
    params: Array,
    logits: bool,
    block: Block,
    key: Callable[[Any], Any],
    dtype: Any,
    cache: dict[str, Any],
    empty: Callable[..., Array] | None = None,
) -> Array:
    """Return what is made of a block of draws from the parameters of that block.

    Parameters
    ----------
    kernels
        The kernels for the memory of ``params``.
    params
        An array of the kernels' array module, whose batch broadcasts to the block.
    key
        Returns the key from the array module. It is called once, after everything that can fail.
    dtype
        That of the output.
    empty
        Makes the output from the array module, a shape and a dtype. Default: that of the module.
    """
    module, size = kernels.array_module(), params.shape[-1]
    counts = block.kind == COUNTS
    if counts and block.shape[0] == 0:  # one draw of each row tells which are invalid
        one = block._replace(shape=(1, *block.shape[1:]), first=0)
        out = draw(kernels, params, logits, one, key, dtype, cache, empty)
        return module.minimum(out, 0, out=out)
    if block.kind != SAMPLE:  # a row that repeats in the batch has other draws each time
        repeated = module.broadcast_to(params, (*block.shape[1:], size))
        params, cache = repeated, cache if repeated.size == params.size else {}
    cuts, whole = plan(block._replace(first=0), batch := params.shape[:-1]), block
    if in_part := module is np and any(run.varies for run in cuts.loops):  # a call for each is slow
        block = block.of_whole_rows(len(batch))._replace(first=0)
        cuts = plan(block, batch)
    if cuts.batch != params.shape[:-1]:
        params = module.broadcast_to(params, (*cuts.batch, size))
    shape, written = block.output_shape(size), np.dtype(np.int64) if counts else dtype
    out = empty(module, shape, dtype) if empty else module.empty(shape, dtype)
    words = key_of_part(key(module), whole, len(batch)) if in_part else key(module)
    with _progress.report(math.prod(block.shape)) as done:
        for place, rows, draws in cuts.parts(block.first) if out.size else ():
            if counts:
                part = out[rows].reshape(draws.rows, size)
            else:
                part = out[place].transpose(cuts.order).reshape(draws[:3])
            direct = part.flags.c_contiguous and part.dtype == written
            flat = part if direct else module.empty(part.shape, written)
            kept = cache if cuts.whole else {}
            make = getattr(kernels, block.kind)
            make(params[rows], logits, words, draws, flat, kept, done)
            if flat is not part:
                _copy(flat, part)
    if module is np and out.dtype.kind == "u" and not counts and out.size and out.max() >= size:
        raise ValueError(
            f"the parameters have changed since they were checked: {dtype} cannot hold the draw "
            "of an invalid row, which is -1"
        )
    return out


def _copy(source: Array, target: Array) -> None:
    """Copy an array in steps, between which the interpreter can raise KeyboardInterrupt."""
    axis = max(range(source.ndim), key=source.shape.__getitem__)
    source, target = source.swapaxes(0, axis), target.swapaxes(0, axis)
    step = max(1, COPIED_ELEMENTS * len(source) // source.size)
    for begin in range(0, len(source), step):
        target[begin : begin + step] = source[begin : begin + step]
