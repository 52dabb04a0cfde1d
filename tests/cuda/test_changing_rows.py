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
            cuda.sample(x, form == "logits", rows.KEY, cases.one_after_another(x, 40), out, {})
        assert out.min() >= -1
        assert out.max() < size
    assert len(changed) == 8
