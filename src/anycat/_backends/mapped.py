"""Draws for each element of a `vmap`, whose axes come first."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from anycat import _kernels
from anycat._kernels.keys import KEY_WORDS
from anycat._kernels.layout import COUNTS, Block

if TYPE_CHECKING:
    from collections.abc import Callable

    Array = Any


def draw_small(
    params: Array, words: Array, ndim: int, logits: bool, block: Block, dtype: np.dtype[Any]
) -> Array | None:
    """Draw for all elements in few calls, if they are small and have a key each: of `vmap`, or one.

    ``params`` and ``words`` are arrays of NumPy: see `draw_each`. The result has the mapped shape
    in front of that of the block.
    """
    mapped, sizes, own, samples = _shapes(params, words, ndim, block)
    n, shape = math.prod(mapped), (math.prod(own[:-1]), own[-1])
    if dtype.kind == "u":  # it cannot hold -1: see `_kernels.draw`
        return None
    if words.shape[-1] != KEY_WORDS:  # they hold seeds of rows too
        return None
    if not n or block != Block.all_of(samples + own[:-1]):
        return None
    if math.prod(sizes) not in (1, n) or words.size not in (KEY_WORDS, n * KEY_WORDS):
        return None
    x, keys = params.reshape(math.prod(sizes), *shape), words.reshape(-1, KEY_WORDS)
    if n > 1:
        x, keys = np.broadcast_to(x, (n, *shape)), np.broadcast_to(keys, (n, KEY_WORDS))
    draws = _kernels.load("cpu").small.draw_each(x, logits, math.prod(samples), keys)
    return None if draws is None else draws.astype(dtype, copy=False).reshape(mapped + block.shape)


def draw_rows(
    draw: Callable[[Array, Array, Block, dict[str, Any]], Array],
    xp: Any,
    params: Array,
    words: Array,
    ndim: int,
    block: Block,
) -> Array | None:
    """Draw for all elements in one call, if their rows have seeds: each draws as it does alone.

    The arguments are those of `draw_each`, and the namespace of both arrays.
    """
    mapped, sizes, own, samples = _shapes(params, words, ndim, block)
    rows = own[:-1]
    each = 8 // words.dtype.itemsize  # words for an integer of 64 bits
    head, n = KEY_WORDS * each, math.prod(rows) * each
    if not mapped or 0 in mapped or words.shape[-1] != head + 2 * n:
        return None
    if block != Block.all_of(samples + rows, kind=block.kind):
        return None
    numbers = xp.broadcast_to(words[..., head:].reshape(*words.shape[:-1], 2, n), (*mapped, 2, n))
    key = xp.concatenate([words.reshape(-1)[:head], xp.moveaxis(numbers, -2, 0).reshape(-1)])
    params = params.reshape(*(1,) * (len(mapped) - len(sizes)), *sizes, *own)
    draws = draw(params, key, Block.all_of(samples + mapped + rows, kind=block.kind), {})
    first = len(samples) - (block.kind == COUNTS)  # which leaves out the axis of the draws
    axes = range(len(mapped))
    return xp.moveaxis(draws, tuple(first + i for i in axes), tuple(axes))


def draw_each(
    draw: Callable[[Array, Array, Block, dict[str, Any]], Array],
    params: Array,
    words: Array,
    ndim: int,
    block: Block,
) -> tuple[tuple[int, ...], list[Array]]:
    """Draw for each element as for one alone.

    Parameters
    ----------
    draw
        ``draw(params, words, block, cache)``, for one element.
    params, words
        The parameters and the random words of all elements. The mapped axes of both broadcast.
    ndim
        The number of axes of the parameters of one element. Its words have one.
    block
        The draws of one element.

    Returns
    -------
    The mapped shape, and the draws of its elements in C order.
    """
    mapped, sizes, _, _ = _shapes(params, words, ndim, block)
    others = words.shape[:-1]
    shared: dict[str, Any] | None = {} if math.prod(sizes) == 1 else None
    return mapped, [
        draw(params[_at(i, sizes)], words[_at(i, others)], block, {} if shared is None else shared)
        for i in np.ndindex(mapped)
    ]


def _shapes(params: Array, words: Array, ndim: int, block: Block) -> list[tuple[int, ...]]:
    """Return the mapped shape, that of the parameters' own, one element's, and that of samples."""
    sizes, own = params.shape[: params.ndim - ndim], params.shape[params.ndim - ndim :]
    samples, keys = block.shape[: len(block.shape) - ndim + 1], words.shape[:-1]
    mapped = map(int, np.broadcast_shapes(sizes, keys)) if sizes or keys else ()
    return [tuple(mapped), tuple(sizes), tuple(own), samples]


def _at(index: tuple[int, ...], sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Return where an element is in an array that broadcasts to the mapped shape."""
    return tuple(i if n > 1 else 0 for i, n in zip(index[-len(sizes) :], sizes, strict=True))
