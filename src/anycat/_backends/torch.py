"""PyTorch: gradients, `torch.func`, its generators, and CUDA on its own streams and memory."""

from __future__ import annotations

import contextlib
import functools
import threading
import types
from typing import TYPE_CHECKING, Any

import array_api_compat.torch
import numpy as np
import torch

from anycat import _kernels
from anycat._random import split_words

from . import torch_ops
from .base import Backend, Traits
from .torch_autograd import log_prob_and_entropy, row_stats
from .torch_memory import (
    DTYPES,
    FLOATS,
    INTEGERS,
    as_numpy,
    detached,
    find_obstacle,
    has_numbers,
    is_compiling,
    is_plain,
    is_recording,
    is_tracing,
    is_transforming,
    unwrap,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from anycat._kernels.layout import Block
    from anycat._random import RandomBits, RowSeeds

    Array = Any


_buffer = threading.local()  # for 128 random bits: a new tensor takes as long as they do


def _bits_and_words() -> tuple[Any, Any]:
    """Return the buffer of the thread, as a tensor and as NumPy's array of words.

    It is made when PyTorch watches nothing, which it might when this file is imported.
    """
    if not hasattr(_buffer, "words"):
        with torch.inference_mode(False):  # else it could not be changed outside of that mode
            _buffer.bits = torch.empty(2, dtype=torch.int64, device="cpu")
        _buffer.words = as_numpy(_buffer.bits).view("<u4")
    return _buffer.bits, _buffer.words


def _traits(real: Any, compute: Any) -> Traits:
    eps, highest = torch.finfo(compute).eps, torch.finfo(compute).max
    return Traits(real, compute, torch.int64, eps, highest)


_TRAITS = {
    torch.float16: _traits(torch.float16, torch.float32),
    torch.bfloat16: _traits(torch.bfloat16, torch.float32),
    torch.float32: _traits(torch.float32, torch.float32),
    torch.float64: _traits(torch.float64, torch.float64),
}


class TorchBackend(Backend):
    """PyTorch. Where others cache, so that it takes no time, PyTorch could not compile it."""

    xp = array_api_compat.torch

    # --- dtypes ---------------------------------------------------------------------------------

    def traits(self, x: Array) -> Traits:
        """Return what follows from the dtype of a tensor."""
        real = x.dtype if x.dtype.is_floating_point else torch.get_default_dtype()
        return _TRAITS[real]

    def isdtype(self, dtype: Any, kind: str | tuple[str, ...]) -> bool:
        """Tell whether a dtype is of a kind."""
        kinds = (kind,) if isinstance(kind, str) else kind
        return any(kind in kinds for kind in _kinds(dtype))

    def integer_dtype(self, dtype: Any) -> np.dtype[Any]:
        """Return NumPy's dtype for an integer dtype."""
        return INTEGERS.get(dtype) or super().integer_dtype(dtype)

    # --- tensors --------------------------------------------------------------------------------

    def device(self, x: Array) -> Any:
        """Return the device of a tensor."""
        return x.device

    def creation_device(self, x: Array) -> Any:
        """Return the device of a tensor."""
        return x.device

    def asarray(self, values: Any, like: Array | None = None) -> Array:
        """Return numbers as a tensor, with all digits, which PyTorch's default dtype may lack."""
        device = None if like is None else like.device
        x = torch.asarray(values, device=device)
        if x.dtype.is_floating_point:
            x = torch.asarray(values, dtype=self.widest_float(x), device=device)
        return x

    def gather(self, table: Array, index: Array, tracked: bool = True) -> Array:
        """Return the entries of ``table`` at ``index``, in compiled functions as sums with zeros.

        The compiler may read the gradient of a gather before it is complete (PyTorch 2.13, on the
        CPU). It fuses these sums, so that they take no memory.
        """
        tracked = tracked and table.requires_grad and torch.is_grad_enabled()
        if not (tracked and is_compiling()):
            return super().gather(table, index)
        here = index[..., None] == self.arange(table.shape[-1], table)
        return table.where(here, 0).sum(-1)

    def search(self, rows: Array, x: Array) -> Array:
        """Search each row by PyTorch."""
        batch = rows.shape[:-1]
        if not is_plain(rows) or not is_plain(x) or x.shape[x.ndim - len(batch) :] != batch:
            return super().search(rows, x)
        dtype = torch.promote_types(self.traits(rows).compute, x.dtype)
        n, k = batch.numel(), rows.shape[-1]
        each = x.shape[: x.ndim - len(batch)].numel()
        sought = x.to(dtype).reshape(each, n).T.contiguous()
        found = torch.searchsorted(rows.detach().to(dtype).reshape(n, k).contiguous(), sought)
        return found.clamp_(max=k - 1).T.reshape(x.shape)

    def cumulative_sum(self, x: Array) -> Array:
        """Return the sums along the last axis, in the widest floating-point dtype."""
        return x.cumsum(-1, dtype=self.widest_float(x))

    def widest_float(self, x: Array) -> Any:
        """Return the widest floating-point dtype on the device of a tensor."""
        return torch.float64 if x.device.type in ("cpu", "cuda") else torch.float32

    def errstate(self) -> AbstractContextManager[Any]:
        """Return a context that does nothing, as PyTorch does not warn."""
        return contextlib.nullcontext()

    def same_device(self, x: Array, y: Array) -> bool:
        """Tell whether both tensors are on one device."""
        return bool(x.device == y.device)

    def promoted(self, dtype: Any, other: Any) -> Any:
        """Return the dtype of what two tensors give together, which compiled functions can find."""
        return torch.promote_types(dtype, other)

    def _numpy_name(self, dtype: Any) -> Any:
        return str(dtype).split(".")[-1]

    def check_supported(self, name: str, x: Array) -> None:
        """Refuse tensors that must be converted first, or cannot be read."""
        if not is_tracing() and (obstacle := find_obstacle(x)):
            raise TypeError(f"{name} {obstacle}")

    def is_traced(self, x: Any) -> bool:
        """Tell whether a tensor has no numbers, or PyTorch records or transforms what is done.

        None stands for the default generator, which may give each element of a `vmap` other bits.
        """
        if is_recording() or is_transforming():
            return x is None or isinstance(x, torch.Tensor)
        return isinstance(x, torch.Tensor) and not has_numbers(x)

    def check_later(self, name: str, x: Array, limit: int) -> Array:
        """Make the check an operation of what is recorded, unless a device would wait for it."""
        if x.is_cpu:
            torch_ops.check(x.detach(), name, limit)
        return x

    def detach(self, x: Array) -> Array:
        """Return a tensor without its gradient, and without the wrappers of `torch.func`."""
        return detached(x)

    def can_cache(self, values: Array | tuple[Array, ...], param: Array) -> bool:
        """Tell whether values have the gradient of the parameter, and outlive a transform."""
        if is_recording():
            return False
        values = values if isinstance(values, tuple) else (values,)
        return all(
            x.requires_grad == param.requires_grad
            and x.is_inference() == param.is_inference()
            and unwrap(x) is x
            for x in values
        )

    def on_cpu(self, x: Array) -> Array | None:
        """View a tensor as an array of NumPy, but not while PyTorch compiles."""
        if is_plain(x):
            return as_numpy(x)
        return None if is_compiling() else super().on_cpu(x)

    def untracked(self, x: Array) -> Array | None:
        """View a plain tensor that needs no gradient now as an array of NumPy."""
        view = as_numpy(x) if is_plain(x) else None
        return None if x.requires_grad and torch.is_grad_enabled() else view

    def look_up(
        self,
        x: Array,
        logits: bool,
        cache: dict[str, Any],
        value: Array,
        log: bool,
        eps: float | None,
    ) -> Array | None:
        """Return the (log-)probabilities of values, with the gradient of logits if it is needed.

        The entropy has its gradient from the same operation, and so is kept for later.
        """
        if (
            not (logits and log and x.requires_grad and torch.is_grad_enabled())
            or x.dtype not in FLOATS
            or value.dtype != torch.int64
            or value.shape[value.ndim - x.ndim + 1 :] != x.shape[:-1]
            or not (is_plain(x) and is_plain(value))
        ):
            return super().look_up(x, logits, cache, value, log, eps)
        view, index = as_numpy(x), as_numpy(value)
        with self.cpu.default_float_env():
            log_prob = self.cpu.look_up(view, logits, cache, index, log, eps)
            if log_prob is None:
                return None
            self.cpu.row_stats(view, logits, cache)
        return self._with_gradient(x, cache, value, log_prob, cache["row stats"])

    def _with_gradient(
        self, x: Array, cache: dict[str, Any], value: Array, log_prob: Any, stats: Any
    ) -> Array:
        result, cache["tracked entropy"] = log_prob_and_entropy(x, value, log_prob, stats)
        return result

    def entropy(self, x: Array, logits: bool, cache: dict[str, Any]) -> Array | None:
        """Return the entropies; if a gradient is needed, only those from `look_up`."""
        if x.requires_grad and torch.is_grad_enabled():
            return cache.get("tracked entropy")
        return super().entropy(x, logits, cache)

    def row_stats(self, x: Array, logits: bool) -> tuple[Array, ...]:
        """Return the statistics of rows, with their gradients."""
        return row_stats(x, logits)

    keeps_memory = False

    def small(self, x: Array) -> Array | None:
        """Return the numbers of a small, plain tensor, in one axis."""
        if x.dtype not in FLOATS or not x.ndim or not is_plain(x) or not x.data_ptr():
            return None  # without memory, it has been freed, which others will tell
        view = as_numpy(x)
        if not 0 < view.size <= _kernels.SMALL_MAX_SIZE and not _kernels.is_small(view.shape):
            return None
        return view if view.ndim == 1 else view.ravel()

    def small_index(self, value: Any) -> Array | None:
        """Return a plain tensor of int64 as an array."""
        plain = type(value) is torch.Tensor and value.dtype is torch.int64 and is_plain(value)
        return as_numpy(value) if plain else None

    def small_log_prob(
        self,
        x: Array,
        small: Array,
        logits: bool,
        cache: dict[str, Any],
        value: Any,
        eps: float | None,
    ) -> Array | None:
        """Return the log-probabilities of values, as `look_up` does."""
        if not (x.requires_grad and torch.is_grad_enabled()):
            return super().small_log_prob(x, small, logits, cache, value, eps)
        found = self._small_log_prob(x, small, logits, cache, value, eps) if logits else None
        if found is None:
            return None
        return self._with_gradient(x, cache, value, found, cache["row stats"])

    def small_entropy(
        self, x: Array, small: Array, logits: bool, cache: dict[str, Any]
    ) -> Array | None:
        """Return the entropies, as `entropy` does."""
        if x.requires_grad and torch.is_grad_enabled():
            return cache.get("tracked entropy")
        return super().small_entropy(x, small, logits, cache)

    def sample(
        self,
        params: Array,
        logits: bool,
        block: Block,
        bits: RandomBits | RowSeeds,
        dtype: np.dtype[Any],
        cache: dict[str, Any],
    ) -> Array:
        """Draw as other libraries do, or by an operation of what PyTorch records."""
        self.check_supported("logits" if logits else "probs", params)  # memory may have been freed
        if not (self.is_traced(params) or bits.is_traced):
            return super().sample(params, logits, block, bits, dtype, cache)
        shape = tuple(map(int, block.shape)) if torch.jit.is_tracing() else block.shape
        words, own_dtype = torch_ops.random_bits(bits), getattr(torch, dtype.name)
        first = torch_ops.as_int64(block.first)
        args = logits, params.ndim, shape, own_dtype, first, block.kind
        return torch_ops.sample(params.detach(), words, *args)

    def truncate(
        self, x: Array, logits: bool, arguments: Sequence[Any], cache: dict[str, Any]
    ) -> Array:
        """Truncate as other libraries do, or by an operation of what PyTorch records."""
        if not any(map(self.is_traced, (x, *arguments))):
            return super().truncate(x, logits, arguments, cache)
        keep = torch_ops.keep(x.detach(), logits, *map(torch_ops.as_tensor, arguments))
        return self.kept(x, logits, keep, arguments)

    def to_kernel(self, x: Array, module: Any) -> Array:
        """Return a tensor as an array in the same memory; NumPy knows bfloat16 as two bytes."""
        if module is np and x.dtype == torch.bfloat16:
            return super().to_kernel(unwrap(x.view(torch.int16)), np).view(DTYPES[x.dtype])
        return super().to_kernel(x, module)

    def from_kernel(self, out: Array, params: Array) -> Array:
        """Return draws or values as a tensor."""
        if type(out) is not np.ndarray:
            return super().from_kernel(out, params)
        if out.dtype == DTYPES[torch.bfloat16]:
            return torch.from_numpy(out.view(np.int16)).view(torch.bfloat16)
        return torch.from_numpy(out)

    def context(self, kernels: Any, index: int, x: Array) -> AbstractContextManager[Any]:
        """Work where PyTorch works: on a GPU, on its current stream, with its memory."""
        if x.is_cuda:
            return _current_stream(kernels.array_module(), index)
        return super().context(kernels, index, x)

    def register(self, cls: type) -> None:
        """Let PyTorch's own ``kl_divergence`` take distributions of a class.

        It looks for base classes too, and is told only the one that knows how. So it finds first
        what others register for classes of their own.
        """
        _register_divergence(next(c for c in cls.__mro__ if "_kl_divergence" in vars(c)))

    # --- random bits ----------------------------------------------------------------------------

    def reads(self, rng: Any) -> bool:
        """Tell whether ``rng`` is a `torch.Generator`."""
        return isinstance(rng, torch.Generator)

    def random_words(self, rng: Any) -> list[int]:
        """Return the next two 64-bit numbers of a generator on any device."""
        numbers = torch.empty(2, dtype=torch.int64, device=rng.device)
        numbers.random_(-(2**63), None, generator=rng)  # all of an int64
        low, high = (n % 2**64 for n in numbers.tolist())
        return split_words(low, high)

    def default_words(self) -> Any:
        """Take the next 128 bits of PyTorch's default generator on the CPU."""
        bits, words = _bits_and_words()
        bits.random_(-(2**63), None)
        return words

    def traced_key(self, numbers: tuple[Any, ...], batch: tuple[int, ...]) -> Array:
        """Return a key as int64, on the device of the seeds."""
        return torch_ops.traced_key(numbers, batch)

    # --- the way in and out ---------------------------------------------------------------------

    def unavailable_reason(self, memory: str) -> str | None:
        """Tell whether PyTorch finds no GPU."""
        return "finds no GPU" if memory == "CUDA" and not torch.cuda.is_available() else None

    def from_numpy(self, x: Any, memory: str) -> Array:
        """Return an array as a tensor."""
        return torch.asarray(x, device=memory.lower())

    def to_numpy(self, x: Array) -> Any:
        """Return a tensor as an array on the CPU. NumPy has no bfloat16."""
        return (x.float() if x.dtype == torch.bfloat16 else x).numpy(force=True)


@functools.cache  # since PyTorch forgets what it has found for other classes
def _register_divergence(base: Any) -> None:
    with contextlib.suppress(TypeError):  # it may come to refuse classes that are not PyTorch's
        torch.distributions.register_kl(base, base)(base._kl_divergence)


def _kinds(dtype: Any) -> tuple[str, ...]:
    """Return what the array API calls a dtype."""
    if dtype is torch.bool:
        return ("bool",)
    if dtype.is_complex:
        return ("complex floating",)
    if dtype.is_floating_point:
        return ("real floating",)
    return "integral", "signed integer" if dtype.is_signed else "unsigned integer"


@contextlib.contextmanager
def _current_stream(cupy: Any, index: int) -> Iterator[None]:
    """Let CuPy work on PyTorch's current stream, and allocate memory from PyTorch.

    DLPack lets streams wait for each other, so that any would do. But on PyTorch's own nothing
    waits, and a CUDA graph that is captured there holds the draws. PyTorch's memory is at hand
    while it captures, and is left to the graph.
    """
    stream = torch.cuda.current_stream(index).cuda_stream
    # PyTorch's streams have not always had CUDA's protocol for them.
    protocol = types.SimpleNamespace(__cuda_stream__=lambda: (0, stream))
    memory = cupy.cuda.PythonFunctionAllocator(
        torch.cuda.caching_allocator_alloc,  # (size, device), on the current stream
        lambda pointer, _: torch.cuda.caching_allocator_delete(pointer),
    )
    with (
        cupy.cuda.Device(index),
        cupy.cuda.Stream.from_external(protocol),
        cupy.cuda.using_allocator(memory.malloc),
    ):
        yield
