"""Normalisation, and the way between probabilities and logits, in array-API operations.

A distribution is given in one of two *forms*. Each form knows three things about its parameters
``x``: what normalises a row, and the probabilities and the log-probabilities that ``x`` stands for
once that is known. The last two work on single entries too, so that a log-probability that is
looked up needs no more of the row than its entry and the normaliser.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import array_api_extra as xpx

from . import _dispatch

if TYPE_CHECKING:
    from collections.abc import Callable

    Array = Any
    Namespace = Any
    Normalizer = tuple[Array, ...]


@dataclass(frozen=True)
class Form:
    """How parameters are to be read."""

    name: str
    normalizer: Callable[[Namespace, Array], Normalizer]
    """(xp, x) -> arrays with a last axis of length 1"""
    prob: Callable[[Namespace, Array, Normalizer], Array]
    """(xp, x, normalizer) -> probabilities of the entries"""
    log_prob: Callable[[Namespace, Array, Normalizer], Array]
    """(xp, x, normalizer) -> log-probabilities of the entries, -inf where they are zero"""


def _log_of_share(xp: Namespace, x: Array, n: Normalizer) -> Array:
    """Return log(x / n), -inf for 0, without a warning and with a gradient free of NaN.

    The quotient is exact to a rounding where it is near 1, the difference of logarithms where the
    quotient would be subnormal.
    """
    positive = x > 0
    x = xp.where(positive, x, 1.0)
    share = x / n[0]
    normal = share >= xp.finfo(share.dtype).smallest_normal
    log = xp.where(normal, xp.log(xp.where(normal, share, 1.0)), xp.log(x) - xp.log(n[0]))
    return xp.where(positive, log, -xp.inf)


PROBS = Form(
    "probs",
    normalizer=lambda xp, x: (xp.sum(x, axis=-1, keepdims=True),),
    prob=lambda xp, x, n: x / n[0],
    log_prob=_log_of_share,
)


def _max_and_sum(xp: Namespace, x: Array) -> Normalizer:
    """Return max(x), sum(exp(x - max(x))), and the logarithm of the sum.

    They are kept apart, since their log-sum-exp loses digits where the maximum is large.
    """
    highest = xp.max(x, axis=-1, keepdims=True)
    total = xp.sum(xp.exp(x - highest), axis=-1, keepdims=True)
    return highest, total, xp.log(total)


LOGITS = Form(
    "logits",
    normalizer=_max_and_sum,
    prob=lambda xp, x, n: xp.exp(x - n[0]) / n[1],
    log_prob=lambda _, x, n: x - n[0] - n[2],
)


def widened(xp: Namespace, x: Array, dtype: Any) -> Array:
    """Return ``x`` in the dtype to compute in: ``dtype`` itself, or float32 if that is narrower."""
    narrow = _dispatch.finfo(xp, dtype).bits < 32
    return xp.astype(x, xp.float32 if narrow else dtype, copy=False)


def real_dtype(xp: Namespace, x: Array) -> Any:
    """Return the floating-point dtype of a distribution with parameters ``x``."""
    if _dispatch.isdtype(xp, x.dtype, "real floating"):
        return x.dtype
    return xpx.default_dtype(xp)


def widest_dtype(xp: Namespace, device: Any) -> Any:
    """Return the widest floating-point dtype that the library has."""
    dtypes = xp.__array_namespace_info__().dtypes(device=device, kind="real floating")
    return dtypes.get("float64", xp.float32)


def clamped_log(xp: Namespace, p: Array, dtype: Any) -> Array:
    """Return log(p) for ``p`` moved into [eps, 1 - eps], eps being that of ``dtype``."""
    eps = float(_dispatch.finfo(xp, dtype).eps)
    return xp.log(xp.clip(p, eps, 1 - eps))


def entropy(xp: Namespace, p: Array, log_p: Array) -> Array:
    """Return -sum(p * log_p), where p = 0 adds nothing."""
    return xp.sum(xp.where(p > 0, -p * xp.where(p > 0, log_p, 0.0), 0.0), axis=-1)


def relative_entropy(xp: Namespace, p: Array, log_p: Array, log_q: Array) -> Array:
    """Return sum(p * (log_p - log_q)): p = 0 adds nothing, q = 0 elsewhere makes it infinite."""
    positive = p > 0
    log_ratio = xp.where(positive, log_p, 0.0) - xp.where(positive, log_q, 0.0)
    return xp.sum(p * log_ratio, axis=-1)
