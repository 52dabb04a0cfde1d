"""Rows of parameters that are hard in one way or another, for every test of draws."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from anycat._kernels import cpu

if TYPE_CHECKING:
    from anycat._kernels.grid import DrawRange

Array = np.ndarray[Any, Any]

KEY = np.array([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], np.uint64)
SIZES = (1, 2, 31, 32, 33, 48, 49, 63, 64, 65, 1000, 4095, 4096, 4097, 3 * 4096 - 1)


def weights(kind: str, shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Array:
    """Return rows of weights of some kind, each with a positive one."""
    rng = np.random.default_rng(seed)
    info = np.finfo(dtype)
    x = rng.random(shape) + 0.01
    if kind == "wide":  # float64 spans 60 orders of magnitude, the others what they can
        orders = min(60.0, -np.log10(float(info.tiny)))
        x = 10.0 ** (-orders * rng.random(shape))
    elif kind == "sparse":
        x = np.where(rng.random(shape) < 0.9, rng.choice([0.0, -0.0], shape), x)
        x[..., rng.integers(shape[-1])] = 1.0
    elif kind == "single":
        x = np.zeros(shape)
        x[..., rng.integers(shape[-1])] = 0.3
    elif kind == "subnormal":
        x = rng.integers(0, 9, shape) * float(info.smallest_subnormal)
        x[..., -1] = float(info.smallest_subnormal)
    elif kind == "huge":
        x *= float(info.max) / 1.1
    return x.astype(dtype)


def logits(kind: str, shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Array:
    """Return rows of logits of some kind, each with a finite one."""
    rng = np.random.default_rng(seed)
    largest = float(np.finfo(dtype).max)
    x = 3 * rng.standard_normal(shape)
    if kind == "wide":
        x *= 50
    elif kind == "masked":
        masks = np.array([-np.inf, -largest, max(-1e9, -largest)])
        x = np.where(rng.random(shape) < 0.7, rng.choice(masks, shape), x)
        x[..., rng.integers(shape[-1])] = 1.0
    elif kind == "single":
        x = np.full(shape, -np.inf)
        x[..., rng.integers(shape[-1])] = -7.0
    elif kind == "high":
        x += min(3e6, largest / 2)
    elif kind == "low":
        x -= min(3e6, largest / 2)
    elif kind == "huge":
        x = rng.choice([largest, -largest, 0.0], shape)
    return x.astype(dtype)


KINDS = [("probs", k) for k in ("plain", "wide", "sparse", "single", "subnormal", "huge")] + [
    ("logits", k) for k in ("plain", "wide", "masked", "single", "high", "low", "huge")
]


def make(form: str, kind: str, shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Array:
    """Return rows of ``form``, "probs" or "logits"."""
    if dtype != "bfloat16":
        return (weights if form == "probs" else logits)(kind, shape, dtype, seed)
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    bits = make(form, kind, shape, np.float32, seed).view(np.uint32)
    return (bits if kind == "subnormal" else bits >> 16).astype(np.uint16).view(bfloat16)


def draw(
    x: Array,
    form: str,
    draws: DrawRange,
    dtype: Any = np.int64,
    cache: dict[str, Any] | None = None,
) -> Array:
    """Draw by the CPU kernels; nothing of the result is left as it was."""
    out = np.full(draws[:3], 99, dtype)
    cpu.sample(x, form == "logits", KEY, draws, out, {} if cache is None else cache)
    return out
