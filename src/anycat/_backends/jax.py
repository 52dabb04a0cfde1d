"""JAX: tracing, keys, pytrees, and arrays that are not bound to a device."""

from __future__ import annotations

import contextlib
import functools
import math
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from anycat import _kernels
from anycat._kernels.keys import KEY_WORDS, key_of_flat
from anycat._kernels.warn import warn
from anycat._messages import type_name
from anycat._random import RandomBits

from .base import Backend, put_arrays, take_arrays
from .mapped import draw_each, draw_rows, draw_small

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence
    from contextlib import AbstractContextManager

    from anycat._kernels.layout import Block
    from anycat._random import RowSeeds

    Array = Any

F = TypeVar("F", bound="Callable[..., Any]")


def _eagerly(function: F) -> F:
    """Let a function of constants compute at once, even while JAX traces.

    Where its arguments may be traced, older releases of JAX may take them for constants.
    """
    return jax.ensure_compile_time_eval()(function)  # type: ignore[no-any-return]


_as_constant = _eagerly(jnp.asarray)


class JAXBackend(Backend):
    """JAX."""

    has_views = False

    # --- dtypes: they change with `jax_enable_x64`, not with the device -------------------------

    def _traits_key(self, x: Array) -> tuple[Hashable, ...]:
        return None, jax.config.jax_enable_x64

    def integer_dtype(self, dtype: Any) -> np.dtype[Any]:
        """Return NumPy's dtype for an integer dtype, of which JAX may have none of 64 bits."""
        return _canonical(super().integer_dtype(dtype))

    def requested_dtype(self, dtype: Any) -> np.dtype[Any]:
        """Warn of a narrower dtype than was asked for, as JAX does; int may have any width."""
        found, asked = self.integer_dtype(dtype), super().integer_dtype(dtype)
        if found != asked and dtype is not int:
            warn(
                f"dtype {asked} becomes {found}: JAX has 64-bit integers only if jax_enable_x64 is "
                f"set. Set it, or pass dtype={found.name!r}",
                UserWarning,
            )
        return found

    # --- arrays ---------------------------------------------------------------------------------

    def check_supported(self, name: str, x: Array) -> None:
        """Refuse keys, and dtypes of too few bits."""
        if _is_typed(x):
            raise TypeError(f"{name} must hold numbers; got a key of jax.random")
        super().check_supported(name, x)

    def is_traced(self, x: Any) -> bool:
        """Tell whether an array is traced. One that only ``grad`` follows has its values."""
        return isinstance(self.detach(x), jax.core.Tracer)

    def detach(self, x: Array) -> Array:
        """Return what ``grad`` and the like follow: an array with values, unless it is traced."""
        if not isinstance(x, jax.core.Tracer):
            return x
        while isinstance(x, jax.core.Tracer) and hasattr(x, "primal"):
            x = x.primal
        return x if isinstance(x, jax.Array) else _as_constant(x)  # of NumPy, or a float

    def eagerly(self) -> AbstractContextManager[Any]:
        """Return a context in which JAX does not trace operations on constants."""
        return jax.ensure_compile_time_eval()  # type: ignore[no-any-return]

    def untracked(self, x: Array) -> Any:
        """View an array as one of NumPy, unless JAX traces it, be it for a gradient."""
        return None if isinstance(x, jax.core.Tracer) else self.on_cpu(x)

    def can_cache(self, values: Array | tuple[Array, ...], param: Array) -> bool:
        """Tell whether no value is traced."""
        values = values if isinstance(values, tuple) else (values,)
        return not any(isinstance(x, jax.core.Tracer) for x in values)

    def creation_device(self, x: Array) -> Any:
        """Return the device to which ``x`` is bound; None if it may meet arrays on any other."""
        x = self.detach(x)
        bound = not self.is_traced(x) and x.committed and len(x.devices()) == 1
        return x.device if bound else None

    def same_device(self, x: Array, y: Array) -> bool:
        """Tell whether the arrays are not bound to different devices."""
        placed = [z for z in map(self.detach, (x, y)) if not self.is_traced(z) and z.committed]
        return len(placed) < 2 or bool(placed[0].devices() == placed[1].devices())

    def place_and_remedy(self, x: Array) -> tuple[str, str]:
        """Tell how an array on several devices can be read."""
        if (n := len(x.devices())) == 1:
            return super().place_and_remedy(x)
        remedy = (
            "draw under jax.jit or jax.shard_map, or move it to one of them first, by "
            "jax.device_put(x, jax.devices()[0])"
        )
        return f"{n} devices", remedy

    @_eagerly
    def asarray(self, values: Any, like: Array | None = None) -> Array:
        """Return numbers as an array that has values, so that these are checked."""
        return super().asarray(values, like)

    @_eagerly
    def arange(self, n: int, like: Array) -> Array:
        """Return the first indices."""
        return super().arange(n, like)

    def gather(self, table: Array, index: Array, tracked: bool = True) -> Array:
        """Return the entries of ``table`` at ``index``, without an axis that would unite others.

        So each axis may have its own sharding.
        """
        batch = table.shape[:-1]
        if index.ndim < len(batch):
            index = jnp.broadcast_to(index, batch)
        table = jnp.expand_dims(table, tuple(range(index.ndim - len(batch))))
        return jnp.take_along_axis(table, index[..., None], -1, mode="clip")[..., 0]

    def register(self, cls: type) -> None:
        """Make a class of distributions a pytree."""
        _register(cls)

    # --- rows -----------------------------------------------------------------------------------

    @_eagerly
    def validate_rows(self, name: str, x: Array, cache: dict[str, Any]) -> Array:
        """Return ``x`` once its rows have passed a check, unless they are traced."""
        super().validate_rows(name, self.detach(x), cache)
        return x

    def map_rows(self, method: Callable[..., Array], dist: Any, *args: Any) -> Array:
        """Call a method. What it computes from constants alone is constant, and so can be kept.

        This does not go for arrays on several devices, which JAX may then take for those on one.
        """
        constant = all(_is_constant(x) and not _is_spread(x) for x in (dist, *args))
        with self.eagerly() if constant else contextlib.nullcontext():
            return super().map_rows(method, dist, *args)

    # --- draws ----------------------------------------------------------------------------------

    def sample(
        self,
        params: Array,
        logits: bool,
        block: Block,
        bits: RandomBits | RowSeeds,
        dtype: np.dtype[Any],
        cache: dict[str, Any],
    ) -> Array:
        """Draw as other libraries do, or when the compiled function runs if JAX traces."""
        if isinstance(bits, RandomBits) and not bits.is_stateless:
            if self.is_traced(jax.lax.stop_gradient(params)):  # as it also is of a constant
                given = "None" if bits.rng is None else type_name(bits.rng)
                raise TypeError(
                    f"rng must be a key of jax.random or a seed where JAX traces; got {given}, "
                    "whose bits would be the same in each call: pass a key, as in sample(rng=key)"
                )
        elif self.is_traced(params) or bits.is_traced:
            return _sample_later(params, logits, block, bits, dtype)
        return super().sample(params, logits, block, bits, dtype, cache)

    def truncate(
        self, x: Array, logits: bool, arguments: Sequence[Any], cache: dict[str, Any]
    ) -> Array:
        """Truncate as other libraries do, or when the compiled function runs if JAX traces."""
        if not any(map(self.is_traced, (x, *arguments))):
            return super().truncate(x, logits, arguments, cache)
        numbers, arrays = take_arrays(arguments)
        host = _Keep(logits, numbers)
        keep = _on_host(host, x.shape, np.dtype(bool), "broadcast_all", (x, *arrays))
        return self.kept(x, logits, keep, arguments)

    def divide(self, x: Array, y: Array) -> Array:
        """Return x / y. XLA would multiply by 1 / y if it could tell that y is that of a row."""
        return x / jax.lax.optimization_barrier(jnp.broadcast_to(y, x.shape))

    def to_kernel(self, x: Array, module: Any) -> Any:
        """Return an array in the same memory. NumPy has JAX's dtypes, DLPack not all of them."""
        return np.asarray(x) if module is np else super().to_kernel(x, module)

    def empty(self, module: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """Return an output for kernels, on the CPU aligned so that JAX needs no copy of it."""
        if module is not np:
            return super().empty(module, shape, dtype)
        size, line = math.prod(shape) * dtype.itemsize, 64
        buffer = np.empty(size + line, np.uint8)
        start = -buffer.ctypes.data % line
        return buffer[start : start + size].view(dtype).reshape(shape)

    @_eagerly
    def from_kernel(self, out: Array, params: Array) -> Array:
        """Return draws that are as free to meet other arrays as the parameters are."""
        if isinstance(out, np.ndarray):  # DLPack would bind them to the CPU
            return jax.device_put(out, params.device if params.committed else None)
        return super().from_kernel(out, params)

    # --- random bits ----------------------------------------------------------------------------

    def reads(self, rng: Any) -> bool:
        """Tell whether ``rng`` is a key of `jax.random`, typed or raw, and maybe traced.

        It may be many, which `random_words` refuses.
        """
        return isinstance(rng, jax.Array) and (
            _is_typed(rng) or (rng.ndim > 0 and rng.dtype == "uint32")
        )

    def is_stateless(self, rng: Any) -> bool:
        """Return True: a key stays as it is."""
        return True

    def random_words(self, rng: Any) -> Array:
        """Return 128 bits of a key, traced if it is."""
        keys = rng.shape if _is_typed(rng) else rng.shape[:-1]
        if keys:
            raise TypeError(f"rng must be one key; got keys of shape {keys}: use jax.vmap")
        with self.eagerly() if _is_constant(rng) else contextlib.nullcontext():
            return jax.random.bits(rng, (4,), "uint32")

    def traced_key(self, numbers: tuple[Any, ...], batch: tuple[int, ...]) -> Any:
        """Return two arrays of the shape of the batch, in halves of 32 bits along a last axis.

        JAX need not have integers of 64 bits. The arrays may be spread over devices in two ways.
        """
        return tuple(jnp.broadcast_to(_halves(x), (*batch, 2)) for x in numbers)

    # --- the way in and out ---------------------------------------------------------------------

    def unavailable_reason(self, memory: str) -> str | None:
        """Tell why JAX finds no device with such memory."""
        try:
            jax.devices(memory.lower())
        except RuntimeError as error:
            return str(error)
        return None

    def from_numpy(self, x: Any, memory: str) -> Array:
        """Return an array on the first device with such memory."""
        return jax.device_put(x, jax.devices(memory.lower())[0])


def _is_constant(x: Any) -> bool:
    """Tell whether JAX follows neither an array nor, of a distribution, the parameter."""
    return not isinstance(getattr(x, "_param", x), jax.core.Tracer)


def _is_spread(x: Any) -> bool:
    """Tell whether a constant, or the parameter of a distribution, is on several devices."""
    x = getattr(x, "_param", x)
    return isinstance(x, jax.Array) and len(x.sharding.device_set) > 1


def _canonical(dtype: np.dtype[Any]) -> np.dtype[Any]:
    found: np.dtype[Any] = np.dtype(jax.dtypes.canonicalize_dtype(dtype))
    return found


def _is_typed(rng: Any) -> bool:
    return bool(jnp.issubdtype(rng.dtype, jax.dtypes.prng_key))


@functools.cache
def _register(cls: Any) -> None:
    with contextlib.suppress(ValueError):  # it is one already
        jax.tree_util.register_pytree_node(cls, cls._flatten, cls._unflatten)


# --- draws while JAX traces ---------------------------------------------------------------------


class _Draw(NamedTuple):
    """A draw on the host. JAX compiles the call of it, once for all that are equal."""

    logits: bool
    ndim: int
    """Of the parameters of one element of ``vmap``, whose axes come first."""
    block: Block
    dtype: np.dtype[Any]
    batch_ndim: int
    """Of the seeds of rows, if they have any."""

    def __call__(self, params: Array, *arrays: Array) -> Array:
        """Draw for each element of ``vmap`` as for one alone.

        This uses NumPy only: JAX waits for it, so a call of JAX might wait for ever.
        """
        params, words = np.asarray(params), self._words([np.asarray(x) for x in arrays])
        with _kernels.load("cpu").default_float_env():  # XLA calls back with another
            draws = draw_small(params, words, self.ndim, self.logits, self.block, self.dtype)
            if draws is None:
                draws = draw_rows(self._draw, np, params, words, self.ndim, self.block)
            if draws is not None:
                return np.asarray(draws, self.dtype)
            mapped, each = draw_each(self._draw, params, words, self.ndim, self.block)
        shape = mapped + self.block.output_shape(params.shape[-1])
        return np.asarray(each, self.dtype).reshape(shape) if mapped else each[0]

    def _words(self, arrays: list[Array]) -> Array:
        """Return the random words of each element, or the key of its rows: see `key_of_flat`."""
        if len(arrays) == 1:
            return arrays[0]
        seeds, starts = np.broadcast_arrays(*arrays)
        mapped = seeds.shape[: seeds.ndim - self.batch_ndim - 1]
        whole = *mapped, math.prod(seeds.shape[len(mapped) :])
        head = np.zeros((*mapped, 2 * KEY_WORDS), np.uint32)
        return np.concatenate([head, seeds.reshape(whole), starts.reshape(whole)], -1)

    def _draw(self, params: Array, words: Array, block: Block, cache: dict[str, Any]) -> Array:
        cpu, key = _kernels.load("cpu"), key_of_flat(words)
        return _kernels.draw(cpu, params, self.logits, block, lambda _: key, self.dtype, cache)


def _halves(x: Any) -> Array:
    """Return the lower and the upper 32 bits of integers, along a new last axis."""
    if not isinstance(x, jax.Array):
        return np.asarray(x).astype("<u8")[..., None].view("<u4")
    high = x >> 32 if x.dtype.itemsize == 8 else -(x < 0).astype(jnp.uint32)
    return jnp.stack([x.astype(jnp.uint32), high.astype(jnp.uint32)], -1)


class _Keep(NamedTuple):
    """A truncation on the host, which tells what is kept."""

    logits: bool
    arguments: tuple[Any, ...]

    def __call__(self, params: Array, *arrays: Array) -> Array:
        """Truncate all rows, also those of elements of ``vmap``."""
        cpu = _kernels.load("cpu")
        arguments = put_arrays(self.arguments, [np.asarray(x) for x in arrays])
        with cpu.default_float_env():  # XLA calls back with another
            found = cpu.truncate(np.asarray(params), self.logits, arguments, {})
            return cpu.keeps(found, self.logits)


def _sample_later(
    params: Array,
    logits: bool,
    block: Block,
    bits: RandomBits | RowSeeds,
    dtype: np.dtype[Any],
) -> Array:
    if not isinstance(params, np.ndarray | jax.Array):
        raise TypeError(
            f"rng is a key that JAX traces, but the parameters are a {type_name(params)}: convert "
            "them to an array of JAX first"
        )
    words, batch_ndim = bits.words(), 0
    if isinstance(words, tuple):
        batch_ndim = words[0].ndim - 1
    else:
        words = (jnp.asarray(words, jnp.uint32),)
    host = _Draw(logits, params.ndim, block, dtype, batch_ndim)
    shape = block.output_shape(params.shape[-1])
    return _on_host(host, shape, dtype, "expand_dims", (jnp.asarray(params), *words))


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _on_host(
    function: Callable[..., Array],
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    vmap_method: str,
    arrays: tuple[Array, ...],
) -> Array:
    """Call a function of NumPy's arrays on the host, when the compiled function runs.

    If an argument is on several devices, XLA gives the result of the callback a sharding that JAX
    cannot read. It does not give that to the result of a barrier in the same compiled function,
    which this is for `vmap` without `jit`.
    """
    result = jax.pure_callback(
        function,
        jax.ShapeDtypeStruct(shape, dtype),
        *map(jax.lax.stop_gradient, arrays),
        vmap_method=vmap_method,
    )
    return _varying_like(jax.lax.optimization_barrier(result), arrays)


def _varying_like(x: Array, arrays: tuple[Array, ...]) -> Array:
    """Return ``x`` with the type of what depends on arrays: in `shard_map`, it varies with them.

    The result of a callback has the type of what is the same on all devices. The operations here
    do nothing but change that, and the compiler removes them.
    """
    for y in arrays:
        x ^= (jnp.any(y != y) & False).astype(x.dtype)
    return x
