"""Seeds of rows in CUDA kernels: they draw what the CPU kernels draw, and stay on the device."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import golden
import numpy as np
import pytest
import rows
from cases import STRATEGIES, force, make

from anycat import Categorical
from anycat._kernels import cpu, cuda, draw
from anycat._kernels.cuda import launch
from anycat._kernels.grid import DrawGrid, DrawRange
from anycat._kernels.keys import key_of_rows
from anycat._kernels.layout import Block

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

Array = np.ndarray[Any, Any]


def numbers(shape: tuple[int, ...]) -> tuple[Array, Array]:
    rng = np.random.default_rng(1)
    return rng.integers(0, 2**64, shape, np.uint64), rng.integers(0, 2**60, shape, np.uint64)


def key(batch: tuple[int, ...]) -> Callable[[Any], Any]:
    return lambda module: key_of_rows(module, tuple(map(module.asarray, numbers(batch))), batch)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("form", ["probs", "logits"])
@pytest.mark.parametrize(
    ("shape", "batch"),
    [
        ((3, 5), (3,)),
        ((40, 70), (40,)),
        ((1, 5), (1,)),
        ((2, 4100), (2,)),
        ((4, 1, 33), (4, 6)),
        ((33,), (2, 3)),
        ((2, 1, 3, 7), (2, 4, 3)),
    ],
)
def test_draws_equal_those_on_the_cpu(
    shape: tuple[int, ...],
    batch: tuple[int, ...],
    form: str,
    strategy: str,
    cupy: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    force(strategy, monkeypatch)
    x, dtype = make(form, "plain", shape, "float32"), np.dtype(np.int64)
    for samples in ((), (3,), (2, 50)):
        block = Block.all_of(samples + batch)
        expected = draw(cpu, x, form == "logits", block, key(batch), dtype, {})
        actual = draw(cuda, cupy.asarray(x), form == "logits", block, key(batch), dtype, {})
        np.testing.assert_array_equal(cupy.asnumpy(actual), expected)


def test_golden_vectors(on_cpu: ModuleType) -> None:
    for case in json.loads(golden.SEEDS_PATH.read_text())["cases"]:
        x = on_cpu.asarray(golden.params(case["params"], case["dtype"]))
        dist = Categorical(**{case["form"]: x}, validate_args=False)
        draws = dist.sample(case["sample_shape"], seeds=case["seeds"], start=case["start"])
        assert np.asarray(draws).tolist() == case["draws"]


def test_arrays_on_the_device(on_cpu: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read by kernels alone: what launches pass of them is their address."""
    x, (seeds, start) = make("probs", "plain", (6, 70), "float32"), numbers((6,))
    expected = Categorical(x).sample(4, seeds=seeds, start=start)
    structs: list[Array] = []
    made = launch.grid_struct

    def grid_struct(grid: Any, key: Any) -> Array:
        structs.append(made(grid, key))
        assert all(type(x) is on_cpu.ndarray for x in key[1:])
        return structs[-1]

    monkeypatch.setattr(cuda.draw, "grid_struct", grid_struct)
    dist = Categorical(on_cpu.asarray(x), validate_args=False)
    for s, t in ((seeds, start), (on_cpu.asarray(seeds), on_cpu.asarray(start))):
        draws = dist.sample(4, seeds=s, start=t)
        assert type(draws) is on_cpu.ndarray
        np.testing.assert_array_equal(np.asarray(draws), expected)
    for struct in structs:
        *_, seeds_address, starts_address, batch = struct.reshape(1).view(np.uint64).tolist()
        assert seeds_address
        assert starts_address
        assert batch == 6


def test_start_with_rng(on_cpu: ModuleType) -> None:
    x = make("probs", "plain", (6, 70), "float32")
    expected = Categorical(x).sample(9, rng=3)[5:]
    draws = Categorical(on_cpu.asarray(x), validate_args=False).sample(4, rng=3, start=5)
    np.testing.assert_array_equal(np.asarray(draws), expected)


def test_a_struct_without_seeds_has_none() -> None:
    struct = launch.grid_struct(
        DrawGrid.of(DrawRange(1, 3, 1, 0, 3, 1), samples_inside=False), rows.BITS
    )
    assert struct.reshape(1).view(np.uint64)[-3:].tolist() == [0, 0, 0]
