"""JAX where it traces: draws inside of compiled functions, and distributions as pytrees."""

from __future__ import annotations

import contextlib
import functools
import math
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from . import _dispatch, _random
from ._kernels.layout import Block

if TYPE_CHECKING:
    from ._random import RNG

    Array = Any


class Draw(NamedTuple):
    """A draw on the host. JAX compiles the call of it, once for all that are equal."""

    logits: bool
    axes: int
    """Of the parameters; those before them are axes of ``vmap``."""
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def __call__(self, params: Array, words: Array) -> Array:
        """Draw for each element of ``vmap`` as for one alone.

        With NumPy only: what calls this waits for it, and a call of JAX might wait for that.
        """
        params, words = np.asarray(params), np.asarray(words, np.uint64)
        elements, row = params.shape[: -self.axes], params.shape[-self.axes :]
        cache: dict[str, Any] | None = {} if math.prod(elements) == 1 else None
        mapped = np.broadcast_shapes(elements, words.shape[:-1])
        params, words = np.broadcast_to(params, mapped + row), np.broadcast_to(words, (*mapped, 4))
        draws = [
            _dispatch.draw(
                _dispatch.default_namespace(),
                params[i],
                self.logits,
                Block.all_of(self.shape),
                functools.partial(np.copy, words[i]),
                self.dtype,
                {} if cache is None else cache,
            )
            for i in np.ndindex(mapped)
        ]
        return np.asarray(draws, self.dtype).reshape(mapped + self.shape) if mapped else draws[0]


def sample(
    params: Array,
    logits: bool,
    shape: tuple[int, ...],
    rng: RNG,
    dtype: np.dtype[Any],
) -> Array:
    """Draw where the parameters or ``rng`` are traced, when the compiled function runs."""
    if not _random.is_stateless(rng):
        raise TypeError(
            "rng must be a key of jax.random or a seed where JAX traces: the bits of "
            f"{type(rng).__name__} would be taken once and for all, when it compiles"
        )
    dtype = np.dtype(jax.dtypes.canonicalize_dtype(dtype))  # of parameters of NumPy
    return jax.pure_callback(
        Draw(logits, params.ndim, shape, dtype),
        jax.ShapeDtypeStruct(shape, dtype),
        jax.lax.stop_gradient(jnp.asarray(params)),
        jnp.asarray(_random.words(rng), jnp.uint32),
        vmap_method="expand_dims",
    )


@functools.cache
def register(cls: Any) -> None:
    """Make a class of distributions a pytree, if it is none."""
    with contextlib.suppress(ValueError):
        jax.tree_util.register_pytree_node(cls, cls._flatten, cls._unflatten)
