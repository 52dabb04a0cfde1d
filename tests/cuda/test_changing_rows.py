"""Rows that change between the kernels of a draw, as another stream may change them."""

from __future__ import annotations

import sys
from itertools import product
from typing import TYPE_CHECKING, Any

import cases
import numpy as np
import pytest
import rows

from anycat._kernels import cuda
from anycat._kernels.cuda import launch

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("on_cpu")]

Array = np.ndarray[Any, Any]


def set_random(x: Array) -> None:
    bits = np.random.default_rng(0).integers(0, 256, x.nbytes, np.uint8)
    x[...] = bits.view(x.dtype).reshape(x.shape)


CHANGES: dict[str, Callable[[Array], Any]] = {
    **{str(value): lambda x, v=value: x.fill(v) for value in (0, -1, 3e38, np.nan, np.inf, 1e-40)},  # type: ignore[misc]
    "last": lambda x: x[..., -1:].fill(-1),
    "random": set_random,
    "larger": lambda x: np.multiply(x, 1024, out=x),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    ("strategy", "before"), [("direct", "draw_long_rows"), ("table", "fill_cdf")]
)
def test_draws_are_categories(
    strategy: str, before: str, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cases.force(strategy, monkeypatch)
    kernel, changed = launch.kernel, []

    def changing(name: str, *args: Any) -> Any:
        if name == before:
            CHANGES[change](x)
            changed.append(name)
        return kernel(name, *args)

    monkeypatch.setattr(launch, "kernel", changing)
    for form, dtype, size in product(("probs", "logits"), ("float32", "float64"), (6401, 9001)):
        x = sys.modules["cupy"].asarray(rows.make(form, "plain", (3, size), dtype))
        x[..., -1] = 20 if form == "logits" else 1e4  # so that most draws are the last category
        out = sys.modules["cupy"].asarray(np.full((40, 3, 1), 2**40))
        with np.errstate(over="ignore"):
            cuda.sample(x, form == "logits", rows.BITS, cases.one_after_another(x, 40), out, {})
        assert out.min() >= -1
        assert out.max() < size
    assert len(changed) == 8


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("shape", [(2, 700), (2, 4096), (3, 9001)])
def test_draws_without_replacement_are_categories(
    shape: tuple[int, int], change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows change before a launch, and, as outcomes are written to them, during it."""
    kernel = launch.kernel

    def changing(name: str, *args: Any) -> Any:
        if name.startswith("draw_distinct"):
            CHANGES[change](x)
        return kernel(name, *args)

    monkeypatch.setattr(launch, "kernel", changing)
    for form, dtype in product(("probs", "logits"), ("float32", "float64")):
        x = sys.modules["cupy"].asarray(rows.make(form, "plain", shape, dtype))
        x[..., -1] = 20 if form == "logits" else 1e4
        apart = sys.modules["cupy"].asarray(np.full((40, *shape[:1], 1), 2**40))
        inside = x.reshape(-1)[: x.size // 2 * 2].view(np.int64)[: 20 * shape[0]]
        for n, out in ((40, apart), (20, inside)):
            out = out.reshape(n, -1, 1)
            with np.errstate(over="ignore"):
                draws = cases.one_after_another(x, n)
                cuda.sample_distinct(x, form == "logits", rows.BITS, draws, out, {})
            assert out.min() >= -1
            assert out.max() < shape[1]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    ("strategy", "before"), [("direct", "draw_long_rows"), ("table", "fill_cdf")]
)
def test_counts_are_of_categories(
    strategy: str, before: str, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing beside the counts is written."""
    cases.force(strategy, monkeypatch)
    kernel = launch.kernel

    def changing(name: str, *args: Any) -> Any:
        if name == before:
            CHANGES[change](x)
        return kernel(name, *args)

    monkeypatch.setattr(launch, "kernel", changing)
    for form, dtype, size in product(("probs", "logits"), ("float32", "float64"), (6401, 9001)):
        x = sys.modules["cupy"].asarray(rows.make(form, "plain", (3, size), dtype))
        x[..., -1] = 20 if form == "logits" else 1e4
        around = sys.modules["cupy"].asarray(np.full((5, size), 2**40))
        with np.errstate(over="ignore"):
            draws = cases.one_after_another(x, 40)
            cuda.sample_counts(x, form == "logits", rows.BITS, draws, around[1:4], {})
        assert (around[[0, 4]] == 2**40).all()
        assert ((around[1:4] >= -1) & (around[1:4] <= 40)).all()
