"""The values of distributions by their definitions, in a wider dtype, with bounds of rounding."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

Array = np.ndarray[Any, Any]


def lazily(function: Callable[[Any], Any]) -> Any:
    """Make a property that is computed when it is asked for, without floating-point warnings."""
    return cached_property(np.errstate(all="ignore")(function))


class Bounded:
    """Expected values, and how far a result may be off before it is rounded to its dtype."""

    def __init__(self, value: Array, error: Array | float) -> None:
        self.value = value
        self.error = error


class Reference:
    """The definitions of all values of rows.

    Parameters
    ----------
    x
        The rows, in the dtype in which results are computed: float32 or float64.
    logits
        Their form.
    clamp
        Whether probabilities are clamped before their logarithm is taken.
    """

    def __init__(self, x: Array, logits: bool, clamp: bool) -> None:
        self.x = x
        self.logits = logits
        self.info = np.finfo(x.dtype)
        self.eps = float(self.info.eps)
        self.clamp = clamp and not logits
        self.size = x.shape[-1]

    @lazily
    def draws(self) -> Array:
        """Whether each row can be drawn from, as docs/draw.md defines it."""
        least = -math.inf if self.logits else 0.0
        inside = (self.x >= least) & (self.x < math.inf)
        return inside.all(-1) & (self.x > least).any(-1)

    @lazily
    def wide(self) -> Array:
        """The rows in a wider dtype, 1 where they are invalid."""
        wide = np.longdouble if self.x.dtype == np.float64 else np.float64
        return np.where(self.draws[..., None], self.x, self.x.dtype.type(1)).astype(wide)

    @lazily
    def load(self) -> Array:
        """The sum of each row of probabilities, as a multiple of the largest number."""
        return self.wide.sum(-1) / float(self.info.max)

    @lazily
    def valid(self) -> Array:
        """Whether each row has values: in the dtype, the sum of probabilities must be finite."""
        return self.draws if self.logits else self.draws & (self.load <= 1)

    @lazily
    def unclear(self) -> bool:
        """Whether rounding decides if a sum is finite."""
        return not self.logits and bool((abs(self.load - 1) < self.size * self.eps).any())

    @lazily
    def _shares(self) -> tuple[Array, Array]:
        """Logits less the largest one, or probabilities; and the sum of what they stand for."""
        if self.logits:
            lowered = self.wide - self.wide.max(-1, keepdims=True)
            return lowered, np.exp(lowered).sum(-1, keepdims=True)
        return self.wide, self.wide.sum(-1, keepdims=True)

    @lazily
    def p(self) -> Array:
        x, total = self._shares
        return (np.exp(x) if self.logits else np.abs(x)) / total

    @lazily
    def log_p(self) -> Array:
        """The logarithms of probabilities, not clamped."""
        x, total = self._shares
        return (x if self.logits else np.log(np.abs(x))) - np.log(total)

    @lazily
    def spread(self) -> Array:
        """The largest logarithm of each row, without those of negligible probabilities."""
        return np.where(self.p > self.eps**2, abs(self.log_p), 0).max(-1, keepdims=True)

    @lazily
    def probs(self) -> Bounded:
        log = np.where(self.p > 0, abs(self.log_p), 0)
        return Bounded(self.p, self.p * self.eps * (16 + 4 * log) + self._tiny)

    @lazily
    def log_probs(self) -> Bounded:
        magnitude = 16 + 2 * abs(np.log(self._shares[1]))
        if self.clamp:
            log = np.log(np.clip(self.p, self.eps, 1 - self.eps))
            return Bounded(log, self.eps * (magnitude + 4 * abs(log)))
        log = self.log_p
        finite = np.where(np.isfinite(log), abs(log), 0)
        return Bounded(log, self.eps * (magnitude + 4 * finite))

    @lazily
    def cdf(self) -> Bounded:
        terms = self.size if self.x.dtype == np.float64 else 0  # each of which may be rounded
        cdf = self.p.cumsum(-1)
        return Bounded(cdf, self.probs.error.cumsum(-1) + self.eps * terms * cdf)

    @lazily
    def entropy(self) -> Bounded:
        terms = np.where(self.p > 0, self.p * self.log_p, 0)
        h = -terms.sum(-1)
        return Bounded(h, self.eps * (40 + 8 * (1 + self.spread[..., 0]) * h))

    @lazily
    def perplexity(self) -> Bounded:
        h = self.entropy
        return Bounded(np.exp(h.value), np.exp(h.value) * (2 * h.error + 4 * self.eps))

    @lazily
    def mode(self) -> Array:
        return np.where(self.valid, np.where(self.draws[..., None], self.x, 0).argmax(-1), -1)

    @property
    def _tiny(self) -> float:
        return 4 * float(self.info.smallest_subnormal)

    @np.errstate(all="ignore")
    def divergence(self, other: Reference) -> tuple[Bounded, Array]:
        """Return KL(self || other), and in which rows it depends on what underflows."""
        small = float(self.info.smallest_normal) * 4
        p, far = self.p, float(self.info.max) / 8
        positive = p > 0
        log_p, log_q = (np.where(positive, x.log_p, 0) for x in (self, other))
        value = np.where(positive, p * (log_p - log_q), 0).sum(-1)
        size = np.where(positive & np.isfinite(log_q), abs(log_p) + abs(log_q), 0)
        magnitude = 16 + abs(np.log(self._shares[1])) + abs(np.log(other._shares[1]))
        by_sums = 8 + self.size / 16  # a library may add the terms one after the other
        of_p = 4 * abs(log_p) if self.logits else 0  # the exponential of a rounded number
        error = self.eps * ((p * (magnitude + (by_sums + of_p) * size)).sum(-1) + 40)
        unclear = (positive & (p < small)).any(-1) | (size > far).any(-1)
        unclear |= (~np.isfinite(error)) & np.isfinite(value)
        return Bounded(value, error), unclear
