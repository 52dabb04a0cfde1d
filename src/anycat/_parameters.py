"""Normalization, and conversion between probabilities and logits, in array API operations.

A distribution is given in one of two *forms*. Each form has functions of its parameters
``x``: the normalizer of each row, and the probabilities and log-probabilities of entries, given the
normalizer. These two work on single entries, so that looking up a log-probability needs no more of
the row than its entry and its normalizer. That of an invalid row makes them NaN.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Array = Any
    Namespace = Any
    Normalizer = tuple[Array, ...]


@dataclass(frozen=True)
class Form:
    """How to read parameters."""

    name: str
    normalizer: Callable[[Namespace, Array], Normalizer]
    """(xp, x) -> arrays with a last axis of length 1"""
    prob: Callable[[Namespace, Array, Normalizer], Array]
    """(xp, x, normalizer) -> probabilities of the entries"""
    log_prob: Callable[[Namespace, Array, Normalizer], Array]
    """(xp, x, normalizer) -> log-probabilities of the entries, -inf where they are zero"""
    valid: Callable[[Namespace, Array], Array]
    """(xp, x) -> whether each row is valid"""


def _log_of_share(xp: Namespace, x: Array, n: Normalizer) -> Array:
    """Return log(x / n), -inf for 0, without NaN in the gradient of a valid row.

    The quotient is accurate near 1, the difference of logarithms where the quotient would be
    subnormal.
    """
    nonzero = (x > 0) | xp.isnan(n[0])
    x = xp.where(nonzero, x, 1.0)
    share = x / n[0]
    normal = share >= xp.finfo(share.dtype).smallest_normal
    log = xp.where(normal, xp.log(xp.where(normal, share, 1.0)), xp.log(x) - xp.log(n[0]))
    return xp.where(nonzero, log, -xp.inf)


def _sum_if_valid(xp: Namespace, x: Array) -> Array:
    """Return the sum of each row, NaN if it is invalid."""
    total = xp.sum(x, axis=-1, keepdims=True)
    valid = (xp.min(x, axis=-1, keepdims=True) >= 0) & (total > 0) & (total < xp.inf)
    return xp.where(valid, total, xp.nan)


PROBS = Form(
    "probs",
    normalizer=lambda xp, x: (_sum_if_valid(xp, x),),
    prob=lambda xp, x, n: x / n[0],
    log_prob=_log_of_share,
    valid=lambda xp, x: ~xp.isnan(_sum_if_valid(xp, x)[..., 0]),
)


def _max_and_sum(xp: Namespace, x: Array) -> Normalizer:
    """Return max(x), sum(exp(x - max(x))), and the logarithm of the sum.

    They are kept apart because the log-sum-exp, their sum, loses digits if the maximum is large.
    """
    highest = xp.max(x, axis=-1, keepdims=True)
    total = xp.sum(xp.exp(x - highest), axis=-1, keepdims=True)
    return highest, total, xp.log(total)


LOGITS = Form(
    "logits",
    normalizer=_max_and_sum,
    prob=lambda xp, x, n: xp.exp(x - n[0]) / n[1],
    log_prob=lambda _, x, n: x - n[0] - n[2],
    # JAX 0.10 leaves NaN out of maxima.
    valid=lambda xp, x: xp.isfinite(xp.max(x, axis=-1)) & ~xp.any(xp.isnan(x), axis=-1),
)


FORMS = {form.name: form for form in (PROBS, LOGITS)}


def tempered(
    xp: Namespace, x: Array, temperature: Array, divide: Callable[[Array, Array], Array]
) -> Array:
    """Return logits, less the largest of each row, divided by its temperature, if not 0 or 1."""
    heat = xp.astype(temperature[..., None], x.dtype, copy=False)
    same = (heat == 0) | (heat == 1)
    shifted = x - xp.max(x, axis=-1, keepdims=True)
    lowest = shifted == -xp.inf  # which has no derivative by the temperature
    shifted = xp.where(lowest, 0.0, shifted)
    # At a temperature of 1 this adds 0, whose derivatives are those of the quotient.
    unchanged = x + shifted * (1 / xp.where(heat == 1, heat, 1.0) - 1)
    quotient = divide(shifted, xp.where(same, 1.0, heat))
    return xp.where(lowest, x, xp.where(same, unchanged, quotient))


def clamped_log(xp: Namespace, p: Array, eps: float) -> Array:
    """Return log(p) for ``p`` clamped to [eps, 1 - eps]."""
    return xp.log(xp.where(p < eps, eps, xp.where(p > 1 - eps, 1 - eps, p)))


def mode(xp: Namespace, x: Array, form: Form) -> Array:
    """Return the first largest entry of each row, -1 where it is invalid."""
    return xp.where(form.valid(xp, x), xp.argmax(x, axis=-1), -1)


def entropy(xp: Namespace, p: Array, log_p: Array) -> Array:
    """Return -sum(p * log_p), where a term with p = 0 is 0."""
    return xp.sum(-p * xp.where(p == 0, 0.0, log_p), axis=-1)


def relative_entropy(xp: Namespace, p: Array, log_p: Array, log_q: Array) -> Array:
    """Return sum(p * (log_p - log_q)), where a term is 0 if p = 0 and else infinite if q = 0."""
    positive = p > 0
    infinite = positive & (log_q == -xp.inf)
    finite = positive & ~infinite
    log_ratio = xp.where(finite, log_p, 0.0) - xp.where(finite, log_q, 0.0)
    # Infinite terms are constants: they have no gradient.
    return xp.sum(xp.where(infinite, xp.inf, p * log_ratio), axis=-1)
