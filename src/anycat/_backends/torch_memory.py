"""Which tensors have numbers, which are nothing but numbers in CPU memory, and NumPy's views."""

from __future__ import annotations

import ctypes
import functools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch._subclasses.fake_tensor import is_fake
from torch.autograd import forward_ad

if TYPE_CHECKING:
    from collections.abc import Callable

    Tensor = Any
    Array = np.ndarray[Any, Any]

_TYPES = torch.Tensor, torch.nn.Parameter
FLOATS = torch.float32, torch.float64
_NAMES = "bool uint8 int8 int16 int32 int64 float16 float32 float64"
DTYPES = {getattr(torch, name): np.dtype(name) for name in _NAMES.split()}
INTEGERS = {dtype: name for dtype, name in DTYPES.items() if name.kind in "iu"}
DTYPES[torch.bfloat16] = np.dtype("V2")  # as kernels know it

is_compiling: Callable[[], bool] = torch.compiler.is_compiling

# What PyTorch has no public name for. If one is gone, no tensor is plain any more.
_is_tracing: Callable[[], bool] = getattr(torch._C, "_is_tracing", torch.jit.is_tracing)
_function_modes: Callable[[], int] = getattr(torch._C, "_len_torch_function_stack", lambda: 1)
_dispatch_modes: Callable[[], int] = getattr(torch._C, "_len_torch_dispatch_stack", lambda: 1)
_PROXY = getattr(getattr(torch._C, "_TorchDispatchModeKey", None), "PROXY", None)
_find_mode: Callable[[Any], Any] = getattr(torch._C, "_get_dispatch_mode", lambda _: None)
_transforms: Callable[[], Any] = getattr(
    getattr(torch._C, "_functorch", None), "peek_interpreter_stack", lambda: 1
)
_all_transforms: Callable[[], Any] = getattr(
    getattr(torch._C, "_functorch", None), "get_interpreter_stack", lambda: None
)
_has_storage: Callable[[Tensor], bool] = getattr(torch._C, "_has_storage", lambda _: False)


def _unwrap(x: Tensor) -> Tensor:
    while torch._C._functorch.is_functorch_wrapped_tensor(x):
        x = torch._C._functorch.get_unwrapped(x)
    return x


unwrap: Callable[[Tensor], Tensor] = getattr(torch.func, "debug_unwrap", _unwrap)  # from 2.7 on

_NARROWEST = {x for name, x in vars(torch).items() if name.startswith(("float4", "float8"))}
_FREED = "has no memory any more: its storage was freed"

# What keeps everybody from the numbers of a tensor: how to tell, and what to say.
_OBSTACLES: tuple[tuple[Callable[[Tensor], Any], str], ...] = (
    (lambda x: x.is_nested, "is a nested tensor: call torch.nested.to_padded_tensor first"),
    (lambda x: x.layout is not torch.strided, "is of {0.layout}: call its to_dense() first"),
    (lambda x: x.is_quantized, "is a quantized tensor: call its dequantize() first"),
    (lambda x: x.dtype in _NARROWEST, "is of {0.dtype}: convert it to torch.float16 first"),
    (lambda x: type(x).__name__ == "MaskedTensor", "is a MaskedTensor: call its to_tensor first"),
    (lambda x: is_fake(x) and not _dispatch_modes(), "is a FakeTensor outside of its mode"),
    (lambda x: _is_freed(x), _FREED),
)


def find_obstacle(x: Tensor) -> str | None:
    """Tell what keeps everybody from the numbers of a tensor, if anything does."""
    if is_plain(x) and x.data_ptr():  # the usual case, in a fraction of the time
        return None
    return next((text.format(x) for found, text in _OBSTACLES if found(x)), None)


def _is_freed(x: Tensor) -> bool:
    """Tell whether a tensor has lost its memory: PyTorch's operations would crash."""
    return bool(x.numel() and not unwrap(x).untyped_storage().nbytes())


def has_numbers(x: Tensor) -> bool:
    """Tell whether a tensor is more than a shape and a dtype."""
    return not (x.is_meta or is_fake(x))


def is_tracing() -> bool:
    """Tell whether PyTorch compiles or traces, so that sizes need not be numbers."""
    return is_compiling() or _is_tracing()


def is_recording() -> bool:
    """Tell whether operations may be recorded, to be run again: also by a mode."""
    return is_tracing() or bool(_dispatch_modes())


def is_transforming() -> bool:
    """Tell whether `torch.func` transforms a function."""
    return bool(_transforms())


def is_mapping() -> bool:
    """Tell whether `torch.func.vmap` calls a function."""
    transforms = None if is_compiling() else _all_transforms()
    return any(transform.key().name == "Vmap" for transform in transforms or ())


def is_exporting() -> bool:
    """Tell whether what is computed now may be a constant of a recorded function."""
    if torch.compiler.is_dynamo_compiling():
        return False  # it runs what it cannot record
    return is_tracing() or bool(_find_mode(_PROXY))


def detached(x: Tensor) -> Tensor:
    """Return a tensor without its gradient and wrappers, whose numbers are those in its memory.

    A tensor may be stored as its negative; a tensor of zeros may have no memory.
    """
    x = unwrap(unwrap(x).detach())  # under `grad`, results are wrapped again
    if x._is_zerotensor():
        return unwrap(torch.zeros(x.shape, dtype=x.dtype, device=x.device))
    return unwrap(x.resolve_neg()) if x.is_neg() else x


def is_plain(x: Tensor) -> bool:
    """Tell whether kernels can take a tensor: numbers in CPU memory, while nothing watches.

    PyTorch watches operations where it compiles or traces, in its modes and transforms, and in
    forward-mode differentiation. A tensor may need a gradient.
    """
    return (
        not is_compiling()  # first, since the compiler does not know the others
        and type(x) in _TYPES
        and not _function_modes()  # before any attribute, since they watch these too
        and not _dispatch_modes()
        and not _transforms()
        and not _is_tracing()
        and getattr(forward_ad, "_current_level", 0) < 0
        and x.is_cpu
        and x.dtype in DTYPES  # neither complex nor quantized
        and _has_storage(x)  # neither sparse nor mapped by an older vmap, which autograd uses
        and not x.is_nested
        and not x.is_neg()
        and not x._is_zerotensor()
    )


def as_numpy(x: Tensor) -> Array:
    """View a plain tensor as an array.

    This takes a fraction of the time of DLPack. The memory can still be resized, as it can not
    after `torch.Tensor.numpy`.
    """
    address = x.data_ptr()
    if not address and x.numel():
        raise ValueError(f"the tensor {_FREED}")
    return _view(address, x.dtype, x.shape, None if x.is_contiguous() else x.stride())


@functools.lru_cache(256)
def _view(address: int, dtype: Any, shape: tuple[int, ...], strides: Any) -> Array:
    """Return an array in memory that it does not own, and so is as good for the next tensor there.

    Strides are in elements; None stands for C order.
    """
    numpy_dtype = DTYPES[dtype]
    if 0 in shape:
        return np.empty(shape, numpy_dtype)
    n = math.prod(shape)
    if strides is not None:
        n = 1 + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
        strides = [stride * numpy_dtype.itemsize for stride in strides]
    buffer = (ctypes.c_char * (n * numpy_dtype.itemsize)).from_address(address)
    return np.ndarray(shape, numpy_dtype, buffer, 0, strides)  # type: ignore[arg-type]
