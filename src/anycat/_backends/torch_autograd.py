"""Statistics of the rows of a tensor, with gradients.

For plain tensors on the CPU, one kernel computes them and another their gradient. All else that
PyTorch can do with a tensor, such as derivatives of gradients and transforms, is left to its own
operations.
"""

from __future__ import annotations

import types
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.autograd import forward_ad
from torch.utils.dlpack import to_dlpack

from anycat import _kernels

if TYPE_CHECKING:
    from collections.abc import Callable

    Tensor = Any
    Array = np.ndarray[Any, Any]

_TYPES = torch.Tensor, torch.nn.Parameter
_DTYPES = torch.float32, torch.float64
_CPU = 1, 0  # DLPack's device type, and index

_is_compiling: Callable[[], bool] = torch.compiler.is_compiling

# What PyTorch has no public name for. If one is gone, no tensor is plain any more.
_is_tracing: Callable[[], bool] = getattr(torch._C, "_is_tracing", torch.jit.is_tracing)
_function_modes: Callable[[], int] = getattr(torch._C, "_len_torch_function_stack", lambda: 1)
_dispatch_modes: Callable[[], int] = getattr(torch._C, "_len_torch_dispatch_stack", lambda: 1)
_transforms: Callable[[], Any] = getattr(
    getattr(torch._C, "_functorch", None), "peek_interpreter_stack", lambda: 1
)
_has_storage: Callable[[Tensor], bool] = getattr(torch._C, "_has_storage", lambda _: False)


def is_plain(x: Tensor) -> bool:
    """Tell whether kernels can take a tensor: numbers in CPU memory, while nothing watches.

    PyTorch watches operations where it compiles or traces, in its modes and transforms, and in
    forward-mode differentiation. A tensor may need a gradient.
    """
    return (
        not _is_compiling()  # first, since the compiler does not know the others
        and type(x) in _TYPES
        and not _function_modes()  # before any attribute, since they watch these too
        and not _dispatch_modes()
        and not _transforms()
        and not _is_tracing()
        and getattr(forward_ad, "_current_level", 0) < 0
        and x.is_cpu
        and x.dtype in _DTYPES  # neither complex nor quantized
        and _has_storage(x)  # neither sparse nor mapped by an older vmap, which autograd uses
        and not x.is_nested
        and not x.is_neg()
        and not x._is_zerotensor()
    )


def row_stats(x: Tensor, logits: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return of each row the maximum, the sum, the log of that, and the entropy.

    Logits are summed as exponentials relative to the maximum, which has no gradient: ``x - maximum
    - log`` is the log-probability, and has its gradient. The others all have theirs. Each result
    has the shape of the batch; the entropy of an invalid row is NaN.

    Parameters
    ----------
    x
        A tensor of float32 or float64, else PyTorch's operations round as they do.
    logits
        Whether it is one of logits, or else of weights.
    """
    if not is_plain(x):
        return _by_operations(x, logits)
    if x.requires_grad:
        return _RowStats.apply(x, logits)  # type: ignore[no-any-return]
    return _as_tensors(_by_kernel("row_stats", x, logits), x)


class _RowStats(torch.autograd.Function):  # type: ignore[misc]
    """`row_stats` by kernels, of a tensor that needs a gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, logits: bool) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x)
        ctx.logits, ctx.stats = logits, _by_kernel("row_stats", x, logits)
        results = _as_tensors((stat.copy() for stat in ctx.stats), x)  # users may change them
        ctx.mark_non_differentiable(results[0])
        return results

    @staticmethod
    def backward(ctx: Any, _: None, *grads: Tensor | None) -> tuple[Tensor | None, None]:
        (x,) = ctx.saved_tensors
        given = [g for g in grads if g is not None]
        if not given:
            return None, None
        if torch.is_grad_enabled() or not all(map(is_plain, given)):
            return _gradient_by_operations(x, ctx.logits, grads), None
        g_total, g_log, g_entropy = (None if g is None else _view(g).reshape(-1) for g in grads)
        if g_total is not None:  # by the chain rule it is one of the logarithm
            g_total = g_total * ctx.stats.total
            g_log = g_total if g_log is None else g_log + g_total
        out = _by_kernel("gradient", x, ctx.logits, ctx.stats, g_log, g_entropy)
        return torch.from_numpy(out), None


def _by_kernel(name: str, x: Tensor, *args: Any) -> Any:
    cpu = _kernels.load("cpu")
    with cpu.default_float_env():
        return getattr(cpu.values, name)(_view(x), *args)


def _view(x: Tensor) -> Array:
    """Return a plain tensor as a read-only array.

    `Tensor.numpy` would forbid PyTorch to resize the memory ever again. `Tensor.__dlpack__` takes
    longer, and refuses tensors that need a gradient.
    """
    protocol = types.SimpleNamespace(
        __dlpack__=lambda **_: to_dlpack(x), __dlpack_device__=lambda: _CPU
    )
    return np.from_dlpack(protocol)


def _as_tensors(stats: Any, x: Tensor) -> tuple[Tensor, ...]:
    batch = x.shape[:-1]
    return tuple(torch.from_numpy(stat.reshape(batch)) for stat in stats)


def _gradient_by_operations(x: Tensor, logits: bool, grads: tuple[Tensor | None, ...]) -> Tensor:
    """Return a gradient that can itself be differentiated and mapped."""
    create_graph = torch.is_grad_enabled()
    with torch.enable_grad():
        _, *results = _by_operations(x, logits)
    used = [(y, g) for y, g in zip(results, grads, strict=True) if g is not None]
    ys, gs = zip(*used, strict=True)
    return torch.autograd.grad(ys, x, gs, create_graph=create_graph)[0]


def _by_operations(x: Tensor, logits: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Do what `row_stats` does.

    Logarithms of zero are masked before they are used: neither 0 * inf nor its gradient is zero.
    """
    top = x.detach().amax(-1)
    if logits:
        log_total = torch.logsumexp(x - top[..., None], -1)
        total, log_p = log_total.exp(), torch.log_softmax(x, -1)
        p = log_p.exp()
        log_p = log_p.masked_fill(p == 0, 0)
    else:
        total = x.sum(-1)
        log_total, p = total.log(), x / total[..., None]
        log_p = p.masked_fill(p == 0, 1).log()
    return top, total, log_total, -(p * log_p).sum(-1)
