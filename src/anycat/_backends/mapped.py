"""Draws for each element of a `vmap`, whose axes come first."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    Array = Any


def draw_each(
    draw: Callable[[Array, Array, dict[str, Any]], Array], params: Array, words: Array, ndim: int
) -> tuple[tuple[int, ...], list[Array]]:
    """Draw for each element as for one alone.

    Parameters
    ----------
    draw
        ``draw(params, words, cache)``, for one element.
    params, words
        The parameters and the random words of all elements. The mapped axes of both broadcast.
    ndim
        The number of axes of the parameters of one element. Its words have one.

    Returns
    -------
    The mapped shape, and the draws of its elements in C order.
    """
    sizes, others = params.shape[: params.ndim - ndim], words.shape[:-1]
    mapped = tuple(map(int, np.broadcast_shapes(sizes, others)))
    shared: dict[str, Any] | None = {} if math.prod(sizes) == 1 else None
    return mapped, [
        draw(params[_at(i, sizes)], words[_at(i, others)], {} if shared is None else shared)
        for i in np.ndindex(mapped)
    ]


def _at(index: tuple[int, ...], sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Return where an element is in an array that broadcasts to the mapped shape."""
    return tuple(i if n > 1 else 0 for i, n in zip(index[-len(sizes) :], sizes, strict=True))
