"""Statistics of the rows of a tensor, with gradients.

For plain tensors on the CPU, one kernel computes them and another their gradient. All else that
PyTorch can do with a tensor, such as derivatives of gradients and transforms, is left to its own
operations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from anycat import _kernels

from .torch_memory import DTYPES, FLOATS, as_numpy, is_plain

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    Tensor = Any
    Array = np.ndarray[Any, Any]


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
    if not is_plain(x) or x.dtype not in FLOATS:
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
        results = _as_tensors(ctx.stats, x)
        ctx.mark_non_differentiable(results[0])
        return results

    @staticmethod
    def backward(ctx: Any, _: None, *grads: Tensor | None) -> tuple[Tensor | None, None]:
        (x,) = ctx.saved_tensors
        if _needs_operations(*grads):
            return _differentiate(lambda: _by_operations(x, ctx.logits)[1:], x, grads), None
        g_total, g_log, g_entropy = map(_flat, grads)
        if g_total is not None:  # by the chain rule it is one of the logarithm
            g_total = g_total * ctx.stats.total
            g_log = g_total if g_log is None else g_log + g_total
        if g_log is None and g_entropy is None:
            return None, None
        out = torch.empty(x.shape, dtype=x.dtype, device="cpu")
        _by_kernel("gradient", x, ctx.logits, ctx.stats, g_log, g_entropy, as_numpy(out))
        return out, None


def log_prob_and_entropy(
    x: Tensor, value: Tensor, log_prob: Array, stats: Any
) -> tuple[Tensor, Tensor]:
    """Return the log-probabilities of values and the entropies, given logits, as one operation.

    Their gradient takes one pass, to which that of the values adds single entries.

    Parameters
    ----------
    x
        A plain tensor of logits that needs a gradient.
    value
        A plain tensor of int64, whose shape ends with that of the batch.
    log_prob, stats
        The results, as kernels have computed them.
    """
    return _LogProbAndEntropy.apply(x, value, log_prob, stats)  # type: ignore[no-any-return]


class _LogProbAndEntropy(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, value: Tensor, log_prob: Array, stats: Any
    ) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, value)
        ctx.stats = _kernels.load("cpu").values.RowStats.of(stats)
        return torch.from_numpy(log_prob), *_as_tensors([ctx.stats.entropy], x)

    @staticmethod
    def backward(
        ctx: Any, by_log_prob: Tensor | None, by_entropy: Tensor | None
    ) -> tuple[Tensor | None, None, None, None]:
        x, value = ctx.saved_tensors
        grads = by_log_prob, by_entropy
        if _needs_operations(value, *grads):
            found = _differentiate(lambda: _both_by_operations(x, value), x, grads)
            return found, None, None, None
        g, g_entropy = map(_flat, grads)
        out = torch.empty(x.shape, dtype=x.dtype, device="cpu")
        _by_kernel("log_prob_gradient", x, ctx.stats, as_numpy(value), g, g_entropy, as_numpy(out))
        return out, None, None, None


def _both_by_operations(x: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    log_p = torch.log_softmax(x, -1).expand(*value.shape, -1)
    return log_p.gather(-1, value[..., None]).squeeze(-1), _by_operations(x, True)[3]


def _needs_operations(*tensors: Tensor | None) -> bool:
    """Tell whether a gradient must itself be differentiable, or any tensor is not plain."""
    return torch.is_grad_enabled() or not all(x is None or is_plain(x) for x in tensors)


def _differentiate(
    function: Callable[[], Any], x: Tensor, grads: tuple[Tensor | None, ...]
) -> Tensor | None:
    """Return the gradient of PyTorch's own operations, which can be differentiated and mapped."""
    create_graph = torch.is_grad_enabled()
    with torch.enable_grad():
        results = function()
    used = [(y, g) for y, g in zip(results, grads, strict=True) if g is not None]
    if not used:
        return None
    ys, gs = zip(*used, strict=True)
    return torch.autograd.grad(ys, x, gs, create_graph=create_graph)[0]


def _flat(x: Tensor | None) -> Any:
    return None if x is None else as_numpy(x).reshape(-1)


def _by_kernel(name: str, x: Tensor, *args: Any) -> Any:
    cpu = _kernels.load("cpu")
    with cpu.default_float_env():
        return getattr(cpu.values, name)(as_numpy(x), *args)


def _as_tensors(stats: Any, x: Tensor) -> tuple[Tensor, ...]:
    """Return copies, since users may change them."""
    dtype, batch = DTYPES[x.dtype], x.shape[:-1]
    return tuple(torch.from_numpy(stat.astype(dtype).reshape(batch)) for stat in stats)


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
        valid = (x.amin(-1) >= 0) & (total > 0) & total.isfinite()
        total = total.where(valid, torch.nan)
        log_total, p = total.log(), x / total[..., None]
        log_p = p.masked_fill(p == 0, 1).log()
    return top, total, log_total, -(p * log_p).sum(-1)
