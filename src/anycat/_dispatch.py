"""The one place that knows array libraries by name: what each can do, which kernels it reaches."""

from __future__ import annotations

import contextlib
import functools
import math
import sys
import types
from typing import TYPE_CHECKING, Any, NamedTuple

import array_api_compat as compat
import array_api_extra as xpx
import numpy as np

from . import _random
from ._kernels.layout import Block, plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ._random import RNG, Key

    Array = Any
    Namespace = Any


class Library(NamedTuple):
    """What anycat does with the arrays of a library.

    Declared here once: the tests, ``python -m anycat``, the documentation and error messages all
    read `LIBRARIES`.
    """

    name: str
    title: str
    module: str
    """Where its ``asarray`` is."""
    memory: tuple[str, ...]
    """Kinds of memory from which it is served, each by a room of kernels."""
    to_cpu: str
    """How users move an array ``x`` to the CPU."""
    gradients: bool = False
    """Whether `log_prob` and the like are differentiable."""
    traced: str = ""
    """When the values of an array cannot be seen, and so are not checked."""
    rng: str = ""
    """What it has for ``rng`` beside what NumPy has."""

    def owns(self, xp: Namespace) -> bool:
        """Tell whether this is the library of a namespace."""
        return bool(getattr(compat, f"is_{self.name}_namespace")(xp))


LIBRARIES = (
    Library("numpy", "NumPy", "numpy", ("CPU",), "x"),
    Library("cupy", "CuPy", "cupy", ("CUDA",), "x.get()", rng="cupy.random.Generator"),
    Library(
        *("torch", "PyTorch", "torch", ("CPU", "CUDA"), "x.cpu()"),
        gradients=True,
        traced="under `torch.func.vmap`",
        rng="torch.Generator",
    ),
    Library(
        *("jax", "JAX", "jax.numpy", ("CPU", "CUDA"), "jax.device_put(x, jax.devices('cpu')[0])"),
        gradients=True,
        traced="under `jit`, `vmap`, `lax.scan`",
        rng="key of jax.random",
    ),
    Library(
        *("dask", "Dask", "dask.array", ("CPU", "CUDA"), "x.map_blocks(cupy.asnumpy)"),
        traced="before `compute`, which checks them",
    ),
    Library(
        *("array_api_strict", "array-api-strict", "array_api_strict", ("CPU",)),
        "x.to_device(array_api_strict.Device('CPU_DEVICE'))",
    ),
)
ANY_OTHER = Library("", "any other with DLPack", "", ("CPU", "CUDA"), "x.to_device('cpu')")

# By DLPack's numbers of devices: those of NumPy's and CuPy's `from_dlpack`.
_MEMORY = {1: "CPU", 3: "CPU", 11: "CPU", 2: "CUDA", 13: "CUDA"}

broadcast_shapes = np.broadcast_shapes  # of tuples: the same for every library
# A context, or a decorator: NumPy does not warn of overflow and the like.
silence = functools.partial(np.errstate, all="ignore")


def library_of(xp: Namespace) -> Library:
    """Return what is known of the library of a namespace."""
    return next((library for library in LIBRARIES if library.owns(xp)), ANY_OTHER)


def default_namespace() -> Namespace:
    """Return the namespace in which lists and numbers become arrays."""
    return compat.array_namespace(np.empty(0))


def is_concrete(x: Array) -> bool:
    """Tell whether the values of an array can be seen now: not if it is traced, or lazy."""
    return not is_traced(x) and not compat.is_dask_array(x)


def is_traced(x: Array) -> bool:
    """Tell whether an array stands for many, or for one that is yet to come.

    An array that ``grad`` follows has its values.
    """
    inner = _detached(x)
    # `torch.func.vmap` hides an axis.
    return _is_tracer(inner) or (inner is not x and inner.ndim != x.ndim)


def _detached(x: Array) -> Array:
    """Return an array without its gradient: draws are integers, through which none goes."""
    if "torch" in sys.modules:
        import torch

        if isinstance(x, torch.Tensor):
            unwrap = torch.func.debug_unwrap
            return unwrap(unwrap(x).detach())  # under `grad`, what detach returns is wrapped again
    if _is_tracer(x):
        import jax

        return jax.lax.stop_gradient(x)
    return x


def _is_tracer(x: Array) -> bool:
    if "jax" not in sys.modules:
        return False
    import jax

    return isinstance(x, jax.core.Tracer)


def is_lasting(value: Array | tuple[Array, ...], param: Array) -> bool:
    """Tell whether what was computed from a parameter is worth to be kept for other calls.

    Not if it was traced, or without the gradients that the parameter asks for.
    """
    values = value if isinstance(value, tuple) else (value,)
    if compat.is_torch_array(param):
        from torch.func import debug_unwrap

        return all(
            x.requires_grad == param.requires_grad
            and x.is_inference() == param.is_inference()
            and debug_unwrap(x) is x  # else a transform ends, and it with it
            for x in values
        )
    return not any(map(_is_tracer, values))


def home_of(x: Array) -> Any:
    """Return the device on which to make an array that will meet ``x``.

    None, in JAX, unless ``x`` is bound to a device: the new array is as free to meet others.
    """
    if compat.is_jax_array(x):
        x = _detached(x)
        bound = not is_traced(x) and x.committed and len(x.devices()) == 1
        return x.device if bound else None
    return compat.device(x)


def beside(x: Array, like: Array) -> Array:
    """Return a new array in memory of the kind that ``like`` has: Dask's own blocks are NumPy's."""
    if compat.is_dask_array(like) and type(x._meta) is not type(like._meta):
        return x.map_blocks(np.asarray, like=like._meta)
    return x


def share_device(x: Array, y: Array) -> bool:
    """Tell whether two arrays of a library lie where it can compute with both."""
    if compat.is_jax_array(x):
        placed = [z for z in map(_detached, (x, y)) if not is_traced(z) and z.committed]
        return len(placed) < 2 or bool(placed[0].devices() == placed[1].devices())
    return bool(compat.device(x) == compat.device(y))


def introduce(cls: type) -> None:
    """Make a class of distributions known to the library that wants to know it."""
    if "jax" in sys.modules:
        from . import _jax

        _jax.register(cls)


# --- values -------------------------------------------------------------------------------------

LARGE = 1 << 14  # numbers from which kernels are worth being called, and loaded


def _in_one_pass(name: str, xp: Namespace, params: Array, *args: Any) -> Any:
    """Call a function of the room that does in one pass what the library does in several.

    Returns None where there is no such room.
    """
    if not compat.is_numpy_namespace(xp) or params.size < LARGE:
        return None
    with _cpu().default_float_env():
        return getattr(_cpu(), name)(params, *args)


def vouch(xp: Namespace, params: Array, logits: bool, cache: dict[str, Any]) -> bool:
    """Tell whether kernels have found all rows to be distributions. If not, they may be yet."""
    return bool(_in_one_pass("rows_valid", xp, params, logits, cache))


def summarize(xp: Namespace, params: Array, logits: bool) -> tuple[Array, ...]:
    """Return of each row the largest value, a sum, the logarithm of that, and the entropy.

    The sum is that of the probabilities as shares of the largest. Results keep the last axis.
    Nothing is returned where the operations of the array API are to do it.
    """
    return _in_one_pass("row_stats", xp, params, logits) or ()


def normalizer(
    xp: Namespace, params: Array, logits: bool, cache: dict[str, Any]
) -> tuple[Array, ...]:
    """Return what normalises each row, or nothing where the array API's operations are to do it."""
    return _in_one_pass("normalizer", xp, params, logits, cache) or ()


def look_up(xp: Namespace, params: Array, values: Array) -> Array | None:
    """Return the rows' entries at values, or None where the array API's operations are to do it."""
    return _in_one_pass("gather", xp, params, values)


def checked(
    check: Callable[[Array, dict[str, Any]], None], x: Array, cache: dict[str, Any]
) -> Array:
    """Return an array of rows that have passed a check, or will when Dask computes them.

    What is traced is not checked. ``cache`` is for what kernels have learned of the rows.
    """
    if compat.is_dask_array(x):
        from . import _dask

        return _dask.checked(check, x)
    if not is_traced(x):
        check(x, cache)
    return x


def by_rows(method: Callable[..., Array]) -> Callable[..., Array]:
    """Mark a method of distributions that does the same to each row: Dask does it by blocks.

    Its arguments are arrays for the batch, or other distributions, all of the same library.
    """

    @functools.wraps(method)
    def on_any(dist: Any, *args: Any) -> Array:
        if compat.is_dask_namespace(dist._xp):
            from . import _dask

            return _dask.by_rows(method.__name__, dist, *args)
        return method(dist, *args)

    return on_any


# --- draws --------------------------------------------------------------------------------------


def sample(
    xp: Namespace,
    params: Array,
    logits: bool,
    batch_shape: tuple[int, ...],
    sample_shape: tuple[int, ...],
    rng: RNG,
    dtype: np.dtype[Any],
    cache: dict[str, Any],
) -> Array:
    """Draw an array of shape ``sample_shape + batch_shape``, as the library of ``params`` has them.

    ``params`` has the shape ``(..., K)``, of which ``...`` broadcasts to ``batch_shape``. Bits are
    taken from ``rng`` when nothing can fail any more.
    """
    shape = sample_shape + batch_shape
    if compat.is_dask_namespace(xp):
        from . import _dask

        return _dask.sample(params, logits, shape, _random.key(rng), dtype)
    if is_traced(params) or _is_tracer(rng):
        if compat.is_torch_array(params):
            raise TypeError("sample cannot be mapped by torch.func.vmap: draw from the whole batch")
        from . import _jax

        return _jax.sample(params, logits, shape, rng, dtype)
    return draw(xp, params, logits, Block.all_of(shape), lambda: _random.key(rng), dtype, cache)


def draw(
    xp: Namespace,
    params: Array,
    logits: bool,
    block: Block,
    key: Callable[[], Key],
    dtype: np.dtype[Any],
    cache: dict[str, Any],
) -> Array:
    """Draw a block of what `sample` draws, from parameters of this block whose values are there.

    ``key`` is called once, when nothing can fail any more.
    """
    params = _detached(params)
    room, module, context = _reach(xp, params)
    own = compat.is_numpy_namespace(xp) or compat.is_cupy_namespace(xp)
    with context:
        view = module.asarray(params) if own else module.from_dlpack(_known(xp, module, params))
        cuts = plan(block, view.shape[:-1])
        if cuts.batch != view.shape[:-1]:
            view = module.broadcast_to(view, (*cuts.batch, view.shape[-1]))
        empty = _empty if compat.is_jax_namespace(xp) and module is np else module.empty
        out = empty(block.shape, dtype)
        words = key()
        for place, rows, draws in cuts.parts() if out.size else ():
            part = out[place].transpose(cuts.order).reshape(draws[:3])
            flat = part if part.flags.c_contiguous else module.empty(draws[:3], dtype)
            room.sample(view[rows], logits, words, draws, flat, cache if cuts.whole else {})
            if flat is not part:
                part[...] = flat
        return out if own else _handed_over(xp, out, params)


def _reach(xp: Namespace, x: Array) -> tuple[Any, Any, Any]:
    """Return the kernel room for the memory of an array, its array module, and where to work."""
    try:
        kind, index = x.__dlpack_device__()
        memory = _MEMORY[int(kind)]
    except (AttributeError, BufferError, KeyError, RuntimeError, TypeError, ValueError):
        library = library_of(xp)
        raise TypeError(
            f"anycat draws from arrays in CPU and CUDA memory; this {library.title or xp.__name__} "
            f"array is on device {compat.device(x)}: move it to the CPU first, by {library.to_cpu}"
        ) from None
    if memory == "CPU":
        return _cpu(), np, _cpu().default_float_env()
    from ._kernels import cuda

    return cuda, cuda.array_module(), _on_device(xp, cuda.array_module(), index, x)


@functools.cache
def _cpu() -> Any:
    """Return the CPU room, which is loaded when it is first wanted."""
    from ._kernels import cpu

    return cpu


def _empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """Return an array as `numpy.empty` does, where JAX can take it over without a copy."""
    size, line = math.prod(shape) * dtype.itemsize, 64
    buffer = np.empty(size + line, np.uint8)
    start = -buffer.ctypes.data % line
    return buffer[start : start + size].view(dtype).reshape(shape)


def _handed_over(xp: Namespace, out: Array, params: Array) -> Array:
    """Return draws as an array of the library of the parameters, where these are."""
    if compat.is_jax_namespace(xp) and isinstance(out, np.ndarray):
        # As free to meet arrays elsewhere as the parameters: not so from DLPack.
        import jax

        return jax.device_put(out, params.device if params.committed else None)
    return compat.to_device(xp.from_dlpack(out), compat.device(params))


@contextlib.contextmanager
def _on_device(xp: Namespace, cupy: Any, index: int, x: Array) -> Iterator[None]:
    """Work on a CUDA device, and where the library of ``x`` works there.

    DLPack lets streams wait for each other, so that any would do; but on PyTorch's own, no one
    waits, and a CUDA graph that is captured there holds the draws. Memory is PyTorch's then too: it
    has some to give while it captures, and leaves it to the graph.
    """
    with cupy.cuda.Device(index):
        if compat.is_torch_namespace(xp):
            import torch

            stream = torch.cuda.current_stream(index).cuda_stream
            # PyTorch's streams have not always had CUDA's protocol for them.
            protocol = types.SimpleNamespace(__cuda_stream__=lambda: (0, stream))
            memory = cupy.cuda.PythonFunctionAllocator(
                torch.cuda.caching_allocator_alloc,  # (size, device), on the current stream
                lambda pointer, _: torch.cuda.caching_allocator_delete(pointer),
            )
            with (
                cupy.cuda.Stream.from_external(protocol),
                cupy.cuda.using_allocator(memory.malloc),
            ):
                yield
            return
        yield
        if not compat.is_cupy_namespace(xp):
            from ._kernels import cuda

            cuda.hold(x)


def _known(xp: Namespace, module: Any, x: Array) -> Array:
    """Return an array of a dtype that the other module knows.

    NumPy has no bfloat16: that is widened to float32, exactly, in a copy of the whole array.
    """
    unknown = module is np and str(x.dtype).endswith("bfloat16")
    return _detached(xp.astype(x, xp.float32)) if unknown else x


def refuse_incomplete(name: str, x: Array) -> None:
    """Refuse NumPy's masked arrays, whose masks would get lost, and Dask's of unknown shape."""
    if type(x).__module__.startswith("numpy.ma"):
        raise TypeError(f"{name} must be a plain array; got {type(x).__name__}: fill it first")
    if compat.is_dask_array(x) and any(map(math.isnan, x.shape)):
        raise ValueError(
            f"{name} is a Dask array with chunks of unknown sizes, and so of shape {x.shape}: "
            "call its compute_chunk_sizes() first"
        )


def index_dtype(xp: Namespace, x: Array) -> Any:
    """Return the dtype that the library of an array has for indices, in its own terms."""
    if compat.is_jax_namespace(xp):  # has two, and may change them any time
        return xpx.default_dtype(xp, "indexing")
    return _index_dtype(xp, compat.device(x))


@functools.cache
def _index_dtype(xp: Namespace, device: Any) -> Any:
    return xpx.default_dtype(xp, "indexing", device=device)


@functools.cache
def isdtype(xp: Namespace, dtype: Any, kind: str | tuple[str, ...]) -> bool:
    """Tell whether a dtype is of a kind, as the array API has it, and of bfloat16 as well.

    NumPy, and with it CuPy and Dask, has that from the package ml_dtypes, and cannot tell.
    """
    return "real floating" in kind if str(dtype) == "bfloat16" else bool(xp.isdtype(dtype, kind))


@functools.cache
def finfo(xp: Namespace, dtype: Any) -> Any:
    """Return what the array API's function of this name does, of bfloat16 as well."""
    if str(dtype) == "bfloat16":
        import ml_dtypes  # the dtype is from there

        return ml_dtypes.finfo(dtype)
    return xp.finfo(dtype)


def numpy_dtype(xp: Namespace, dtype: Any) -> np.dtype[Any]:
    """Return NumPy's name for an integer dtype."""
    try:
        by_name = compat.is_torch_namespace(xp) or compat.is_array_api_strict_namespace(xp)
        found = np.dtype(str(dtype).split(".")[-1] if by_name else dtype)
    except (TypeError, ValueError):
        found = None
    if found is None or found.kind not in "iu" or not found.isnative:
        raise TypeError(f"dtype must be an integer dtype; got {dtype!r}")
    if compat.is_jax_namespace(xp):  # may have none of 64 bits
        import jax

        found = np.dtype(jax.dtypes.canonicalize_dtype(found))
    return found
