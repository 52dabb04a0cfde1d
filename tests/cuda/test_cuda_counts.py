"""Counts of draws by CUDA kernels are those of the draws that `sample` makes."""

from __future__ import annotations

import tracemalloc
from itertools import product
from typing import TYPE_CHECKING, Any

import cases
import numpy as np
import pytest
import rows
from cases import DTYPES, LAYOUTS, force, make, one_after_another, widened

from anycat import Categorical
from anycat._kernels import cuda
from anycat._kernels.cuda import draw, launch, table
from anycat._kernels.grid import DrawRange
from anycat._kernels.keys import key_of_rows

if TYPE_CHECKING:
    from types import ModuleType

Array = np.ndarray[Any, Any]

each_strategy = pytest.mark.parametrize("strategy", ["direct", "table", "a block for each row"])


def counted(
    cupy: ModuleType,
    x: Any,
    form: str,
    draws: DrawRange,
    cache: dict[str, Any] | None = None,
    key: Any = rows.KEY,
) -> Array:
    """Count by the CUDA kernels; nothing of the result is left as it was."""
    x = cupy.asarray(x)
    out = cupy.asarray(np.full((draws.rows, x.shape[-1]), 99))
    done: list[int] = []
    kept = {} if cache is None else cache
    cuda.sample_counts(x, form == "logits", rows.as_key(key), draws, out, kept, done.append)
    assert sum(done) == np.prod(draws[:3])
    return cupy.asnumpy(out)


def expected(x: Array, form: str, draws: DrawRange, key: Any = rows.KEY) -> Array:
    drawn = rows.draw(widened(x), form, draws, key=key).swapaxes(0, 1).reshape(draws.rows, -1)
    size = x.shape[-1]
    counts = [np.bincount(d, minlength=size) if d[0] >= 0 else np.full(size, -1) for d in drawn]
    return np.array(counts)


def check(cupy: ModuleType, x: Array, form: str, draws: DrawRange, **given: Any) -> None:
    """Compare with the draws of the CPU kernels."""
    found = counted(cupy, x, form, draws, **given)
    np.testing.assert_array_equal(found, expected(x, form, draws, **given), f"shape {x.shape}")


@pytest.mark.parametrize(
    ("strategy", "dtype"),
    [("direct", d) for d in DTYPES] + [("table", "float32"), ("a block for each row", "float64")],
)
@pytest.mark.parametrize("form", ["probs", "logits"])
def test_every_size(
    form: str, dtype: str, strategy: str, cupy: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    force(strategy, monkeypatch)
    kinds = [kind for of, kind in rows.KINDS if of == form]
    for i, size in enumerate((1, 32, 33, 300, 1025, 4096, 4097)):
        for n in (1, 3):
            x = make(form, kinds[(i + n) % len(kinds)], (n, size), dtype)
            check(cupy, x, form, one_after_another(x, 3, 5, first=1))


@each_strategy
@pytest.mark.parametrize(("n", "size"), [(1, 5), (3, 70), (40, 5), (3, 5000)])
def test_several_draws(
    n: int, size: int, strategy: str, cupy: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    force(strategy, monkeypatch)
    x = make("probs", "plain", (n, size), "float32")
    for samples, repeats in ((4, 3), (80 // n, 1), (1, 80 // n)):
        for first in (0, 2**32 - 3, 2**64 - 2**14):
            check(cupy, x, "probs", one_after_another(x, samples, repeats, first))


@each_strategy
@pytest.mark.parametrize("form", ["probs", "logits"])
def test_invalid_rows(
    form: str, strategy: str, cupy: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All their counts are -1, and those of rows beside them are not."""
    force(strategy, monkeypatch)
    for size in (1, 3, 33, 5000):
        x = make(form, "plain", (6, size), "float32")
        x[[0, 3], -1] = np.nan, np.inf
        x[5] = 0 if form == "probs" else -np.inf
        found = counted(cupy, x, form, one_after_another(x, 4))
        np.testing.assert_array_equal(found, expected(x, form, one_after_another(x, 4)))
        assert (found[[0, 3, 5]] == -1).all()
        assert (found.sum(-1)[[1, 2, 4]] == 4).all()
        assert (counted(cupy, x[5:], form, DrawRange(1, 1, 99, 0, 99, 99)) == -1).all()


def test_rows_with_seeds(cupy: ModuleType) -> None:
    rng = np.random.default_rng(1)
    for size in (5, 70, 5000):
        x = make("logits", "plain", (6, size), "float32")
        numbers = rng.integers(0, 2**64, 6, np.uint64), rng.integers(0, 2**60, 6, np.uint64)
        key, draws = key_of_rows(np, numbers, (6,)), one_after_another(x, 30)
        words, *of_rows = key
        found = counted(cupy, x, "logits", draws, key=(words, *map(cupy.asarray, of_rows)))
        np.testing.assert_array_equal(found, expected(x, "logits", draws, key=key))


@pytest.mark.parametrize("strategy", ["direct", "table"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(
    layout: str, strategy: str, cupy: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    force(strategy, monkeypatch)
    change = LAYOUTS[layout]
    for piece, dtype in product((50, 10**6), ("float32", "i1")):
        monkeypatch.setattr(draw, "PIECE_ELEMENTS", piece)
        x = (9 * make("probs", "plain", (3, 7, 60), "float32")).astype(dtype)
        changed = change(x)
        draws = one_after_another(changed, 8)
        found = counted(cupy, change(cupy.asarray(x)), "probs", draws)
        np.testing.assert_array_equal(found, expected(changed, "probs", draws))


# --- tables -------------------------------------------------------------------------------------


@pytest.mark.parametrize("limits", [{}, {"SHARED_BYTES": 0, "MAX_GATHERED": 0}, {"MAX_COUNTED": 7}])
def test_counts_by_table(
    limits: dict[str, int], cupy: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In shared memory or not, and in parts."""
    force("table", monkeypatch)
    for name, limit in limits.items():
        monkeypatch.setattr(table, name, limit)
    for n, size in product((1, 3), (6, 550, 2100)):
        x = make("probs", "plain", (n, size), "float32")
        x[-1, 0] = 1 if n == 1 else -1
        for samples, repeats in ((1, 50), (50, 1), (6, 9), (9, 6), (600, 1)):
            check(cupy, x, "probs", one_after_another(x, samples, repeats, 3))


def test_parts_of_many_draws(on_cpu: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """2**40 draws and more are counted in parts: together they are all, each less than 2**32."""
    force("table", monkeypatch)
    x = on_cpu.asarray(make("probs", "plain", (1, 30), "float32"))
    for samples, repeats in ((1, 2**40), (2**40, 1), (2**18 + 1, 2**22 + 3)):
        parts = []

        def kernel(*args: Any, launched: list[Any] = parts, **_: Any) -> None:
            grids = [a for a in args[2] if getattr(a, "dtype", None) == launch.GRID_STRUCT]
            launched += [g.view(np.uint64).astype(object) for g in grids]

        monkeypatch.setattr(launch, "kernel", lambda *_: kernel)
        out = on_cpu.asarray(np.zeros((1, 30), np.int64))
        draws = DrawRange(samples, 1, repeats, 5, repeats, 0)
        cuda.sample_counts(x, False, rows.BITS, draws, out, {})
        assert sum(runs * draws for *_, runs, draws, _, _, _ in parts) == samples * repeats
        assert max(runs * draws for *_, runs, draws, _, _, _ in parts) < 2**32
        assert [p[2] for p in parts] == sorted({p[2] for p in parts})


def test_the_total_decides_on_a_table(cupy: ModuleType) -> None:
    x = make("probs", "plain", (1, 3000), "float32")
    kept: dict[str, Any] = {}
    for _ in range(2):
        check_kept = kept.get("table")
        draws = DrawRange(1, 1, 2000, 5, 1, 1)
        np.testing.assert_array_equal(
            counted(cupy, x, "probs", draws, kept), expected(x, "probs", draws)
        )
        assert kept["table"] is not None
        assert check_kept is None or kept["table"][0] is check_kept[0]
    few: dict[str, Any] = {}
    counted(cupy, x, "probs", DrawRange(1, 1, 1, 5, 1, 1), few)
    assert "table" not in few


@pytest.mark.parametrize("strategy", ["direct", "table"])
def test_memory(strategy: str, on_cpu: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not grow with the number of draws."""
    force(strategy, monkeypatch)
    x = on_cpu.asarray(make("probs", "plain", (1, 2000), "float32"))
    out = on_cpu.asarray(np.empty((1, 2000), np.int64))
    peaks = []
    for n in (10, 3000):
        tracemalloc.start()
        try:
            cuda.sample_counts(x, False, rows.BITS, DrawRange(1, 1, n, 0, n, n), out, {})
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        assert out.sum() == n
    assert peaks[1] < peaks[0] + 3000


@pytest.mark.parametrize("batch", [(), (4,), (3, 2)])
def test_the_class(batch: tuple[int, ...], on_cpu: ModuleType) -> None:
    x = make("logits", "plain", (*batch, 60), "float32")
    expected = Categorical(logits=x).sample_counts(500, rng=5)
    dist = Categorical(logits=on_cpu.asarray(x), validate_args=False)
    found = dist.sample_counts(500, rng=5)
    assert type(found) is on_cpu.ndarray
    np.testing.assert_array_equal(found, expected)


# --- on a GPU -----------------------------------------------------------------------------------


@pytest.mark.gpu
@each_strategy
@pytest.mark.parametrize(("form", "kind"), rows.KINDS)
def test_many_blocks(
    form: str, kind: str, strategy: str, device: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks that count at once lose nothing."""
    force(strategy, monkeypatch)
    for n, size in ((20_011, 10), (3001, 200), (300, 4096), (20, 50257), (3, 128256)):
        n = n if strategy != "table" else min(n, 50)
        x = make(form, kind, (n, size), "float32")
        check(device, x, form, one_after_another(x, 3, first=3))


@pytest.mark.gpu
@pytest.mark.parametrize("size", [6, 1000, 5000, 10**6])
def test_many_draws(size: int, device: ModuleType) -> None:
    for n, samples, repeats in ((1, 1, 10**7), (1, 10**7, 1), (3, 10, 10**5)):
        x = make("probs", "plain", (n, size), "float32")
        check(device, x, "probs", one_after_another(x, samples, repeats, 2**32 - 3))


@pytest.mark.gpu
def test_more_draws_than_32_bits(device: ModuleType) -> None:
    """Of 2**34 draws, the counts are within seven standard deviations, and sum up."""
    n, p = 2**34, np.array([0.5, 0.25, 0.125, 0.125])
    (found,) = counted(device, p[None].astype(np.float32), "probs", DrawRange(1, 1, n, 0, n, n))
    assert found.sum() == n
    assert (np.abs(found - n * p) < 7 * np.sqrt(n * p * (1 - p))).all()


@pytest.mark.gpu
@pytest.mark.parametrize(("shape", "n"), [((40, 10), 5), ((9, 9000), 3), ((1, 1000), 10**6)])
def test_a_graph_counts_again(shape: tuple[int, int], n: int, device: ModuleType) -> None:
    """Each run of a graph counts from zero, and nothing in it waits."""
    x = make("probs", "plain", shape, "float32")
    x[0, 0] = -1 if shape[0] > 1 else 1
    y, draws = device.asarray(x), cases.one_after_another(x, n)
    out = device.asarray(np.full(shape, 99))

    def call() -> Any:
        cuda.sample_counts(y, False, rows.BITS, draws, out, {})

    call()  # compiles kernels
    device.cuda.get_current_stream().synchronize()
    stream = device.cuda.Stream(non_blocking=True)
    with stream:
        call()
        stream.begin_capture()
        call()
        graph = stream.end_capture()
        for _ in range(2):
            out[...] = 99
            graph.launch()
            np.testing.assert_array_equal(out.get(), expected(x, "probs", draws))
