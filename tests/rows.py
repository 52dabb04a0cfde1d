"""Rows of parameters that are hard in one way or another, for every test of draws."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from anycat._kernels import cpu
from anycat._kernels.cpu import counts, small, stats, table, tiles, values
from anycat._kernels.cpu import draw as cpu_draw
from anycat._kernels.cpu import rows as cpu_rows
from anycat._kernels.cpu import threads as cpu_threads
from anycat._kernels.cpu.costs import Costs
from anycat._kernels.cpu.sizes import LANES, TILE
from anycat._kernels.keys import key_of_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from anycat._kernels.grid import DrawRange

Array = np.ndarray[Any, Any]

KEY = np.array([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], np.uint64)
BITS = key_of_words(KEY)
SIZES = (1, 2, 31, 32, 33, 48, 49, 63, 64, 65, 1000, 4095, 4096, 4097, 3 * 4096 - 1)

LAUNCHERS = [  # modules and the kernels that they launch, but for those in a `Strategy`
    (small, "draw_small draw_long_small"),
    (table, "draw_table fill_cdf fill_guide"),
    (counts, "count_draws count_table"),
    (tiles.kernels, "reduce_tiles"),
    (stats, "first_suspect_row"),
    (cpu_rows, "widen"),
    (values.kernels, "short_row_stats row_stats"),
    (values.lookups, "look_up find_short_mode find_mode"),
    (values.elementwise, "fill_log_probs fill_probs accumulate"),
    (values.gradients, "fill_gradient"),
]


# Weights, arguments, and the probabilities that remain.
TRUNCATIONS: list[tuple[list[int], dict[str, Any], list[int]]] = [
    ([1, 2, 3, 4], {"top_k": 3}, [0, 2, 3, 4]),
    ([4, 3, 3, 2], {"top_k": 2}, [4, 3, 0, 0]),
    ([2, 5, 5, 1], {"temperature": 0}, [0, 1, 0, 0]),
    ([1, 2, 3, 4], {"top_p": 0.7}, [0, 0, 3, 4]),
    ([15, 30, 30, 25], {"top_p": 0.8}, [0, 30, 30, 25]),
    ([4, 3, 2, 1], {"top_k": 2, "top_p": 0.55}, [1, 0, 0, 0]),
    ([8, 4, 2, 1], {"min_p": 0.5}, [8, 4, 0, 0]),
    ([5, 3, 2], {"top_p": 0.6, "min_p": 0.5}, [5, 3, 0]),
    ([1, 2, 4], {"temperature": 0.5, "top_p": 0.75}, [0, 0, 1]),
    ([1, 2, 3, 4], {}, [1, 2, 3, 4]),
    ([1, 2, 3, 4], {"top_k": 9, "top_p": 1, "min_p": 0}, [1, 2, 3, 4]),
]


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


def as_key(key: Any) -> Any:
    """Return a key as kernels take it; it may be given as its words."""
    return key if isinstance(key, tuple) else key_of_words(key)


def draw(
    x: Array,
    form: str,
    draws: DrawRange,
    dtype: Any = np.int64,
    cache: dict[str, Any] | None = None,
    key: Array = KEY,
) -> Array:
    """Draw by the CPU kernels; nothing of the result is left as it was."""
    out = np.full(draws[:3], 99, dtype)
    cpu.sample(x, form == "logits", as_key(key), draws, out, {} if cache is None else cache)
    return out


@contextmanager
def forced(strategy: str, cost: float = 0.0) -> Iterator[None]:
    """Draw by a strategy, a field of `Costs`, at a cost for each row, whatever the others cost."""
    costs = Costs(*[1e18] * 5)._replace(**{strategy: cost})
    setup = 0.0 if strategy == "table" else 1e30
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Costs, "of", lambda *_: costs)
        patch.setattr(Costs, "table_setup", lambda *_: setup)
        yield


def kernel_of(strategy: str, shape: tuple[int, int]) -> str:
    """Return the kernel by which a strategy draws, or one in its stead where it cannot."""
    count, size = shape
    lanes = count >= LANES and size <= cpu_draw.SHORT_ROW_MAX_K
    return {
        "find": "draw_rows" if size <= TILE else "draw_long_rows",
        "rank": "draw_summed_rows",
        "table": "draw_table",
        "guide": "draw_guided_rows" if count > 1 else "draw_summed_rows",
        "lanes": "draw_short_rows" if lanes else "draw_summed_rows",
    }[strategy]


@contextmanager
def recorded() -> Iterator[list[tuple[str, Any]]]:
    """Record the launches of kernels, by name, with the arguments of each."""
    launches: list[tuple[str, Any]] = []

    def spy(kernel: Callable[..., Any]) -> Callable[..., Any]:
        def launch(*args: Any) -> Any:
            launches.append((kernel.__name__.removeprefix("_"), args))
            return kernel(*args)

        return launch

    with pytest.MonkeyPatch.context() as patch:
        for name in ("SHORT_ROWS", "ROWS", "LONG_ROWS", "SUMMED_ROWS", "GUIDED_ROWS"):
            strategy = getattr(cpu_draw, name)
            patch.setattr(cpu_draw, name, strategy._replace(kernel=spy(strategy.kernel)))
        for module, names in LAUNCHERS:
            for name in names.split():
                patch.setattr(module, name, spy(getattr(module, name)))
        yield launches


def draw_kernels(launches: list[tuple[str, Any]]) -> Counter[str]:
    """Count the launches of each kernel that draws."""
    return Counter(name for name, _ in launches if name.startswith("draw"))


def packed(mask: Array) -> Array:
    """Return a mask as words of int32; the bits beyond the last category are set."""
    rest = np.ones((*mask.shape[:-1], -mask.shape[-1] % 32), bool)
    bits = np.concatenate([mask, rest], -1)
    return np.packbits(bits, -1, "little").view(np.int32)


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Use so many threads, however little there is to do, for one piece of work each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cpu_threads, "NS_PER_PIECE", 1e300)
        patch.setattr(cpu_threads.config, "NUMBA_NUM_THREADS", count)
        for module in (cpu_threads, values):
            patch.setattr(module, "NS_PER_THREAD", 1e-6)
        yield
