"""The CUDA kernels equal the oracle and the CPU kernels, by the harness and on a GPU."""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any

import cases
import numpy as np
import oracle
import pytest
import rows
from cases import DTYPES, LAYOUTS, SIZES, STRATEGIES, check, force, make, one_after_another, widened

from anycat._kernels.cpu.table import Table
from anycat._kernels.cuda import compile as compiling
from anycat._kernels.cuda import draw, table
from anycat._kernels.cuda.rows import RowType
from anycat._kernels.grid import DrawRange

if TYPE_CHECKING:
    from types import ModuleType

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("cupy")]

each_dtype = pytest.mark.parametrize("dtype", DTYPES)
each_kind = pytest.mark.parametrize(("form", "kind"), rows.KINDS)
each_strategy = pytest.mark.parametrize("strategy", STRATEGIES)


@cache
def boundaries(row: bytes, dtype: str, form: str) -> list[int] | None:
    return oracle.boundaries(np.frombuffer(row, dtype), form)


# --- against the CPU kernels and the oracle ------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "dtype"),  # the other strategies read half types as this one does
    [("direct", d) for d in DTYPES] + [(s, d) for s in STRATEGIES[2:] for d in DTYPES[2:]],
)
@each_kind
def test_every_size(
    form: str, kind: str, dtype: str, strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    force(strategy, monkeypatch)
    for size in SIZES if strategy != "a block for each row" else (4097, 3 * 4096 - 1):
        x = make(form, kind, (1 if strategy == "table" else 2, size), dtype)
        check(x, form, one_after_another(x, 3))


@each_dtype
@each_kind
def test_oracle(form: str, kind: str, dtype: str, cupy: ModuleType) -> None:
    """Boundaries and their prefixes are what the definition says, to the bit, and so are draws."""
    key = [int(k) for k in rows.KEY]
    for size in (1, 2, 31, 32, 33, 65, 1000, *((4097, 12287) if dtype == "float32" else ())):
        x = make(form, kind, (1, size), dtype)
        ends = boundaries(widened(x).tobytes(), widened(x).dtype.str, form)
        assert ends is not None
        y = cupy.asarray(x)
        made = table.make_table(RowType.of(y, form == "logits"), y, 6)
        np.testing.assert_array_equal(cupy.asnumpy(made.cdf), np.array(ends, np.uint64))
        for end, prefix in zip(ends[:300], made.prefixes.tolist(), strict=False):
            assert prefix == 0 or (prefix << 32) - 1 < -((-end << 64) // ends[-1])
            assert prefix == 2**32 - 1 or (prefix + 1 << 32) * ends[-1] >> 64 >= end
        actual = cases.draw(x, form, one_after_another(x, 20))
        expected = [oracle.outcome(ends, oracle.word(key, i)) for i in range(20)]
        np.testing.assert_array_equal(actual.ravel(), expected)


@each_strategy
@pytest.mark.parametrize("form", ["probs", "logits"])
def test_boundaries_of_many_tiles(
    form: str, strategy: str, cupy: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    force(strategy, monkeypatch)
    rng = np.random.default_rng(5)
    for size, dtype in product((2 * 4096, 37 * 4096 + 5), ("float32", "float64")):
        x = make(form, "plain", (1, size), dtype)
        tile = np.arange(size) // 4096
        scale = rng.integers(-80, 80, tile[-1] + 1)[tile]  # so that each tile has its exponent
        x = (x + scale if form == "logits" else x * 2.0**scale).astype(dtype)
        x[:, 4096:8192] = -np.inf if form == "logits" else 0.0  # and one has none
        y = cupy.asarray(x)
        made = table.make_table(RowType.of(y, form == "logits"), y, 13)
        expected = Table.prepare(x[0], form == "logits", {}).cdf
        np.testing.assert_array_equal(cupy.asnumpy(made.cdf), expected)
        check(x, form, one_after_another(x, 50))


@pytest.mark.parametrize("strategy", ["direct", "table"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@each_kind
def test_many_rows(
    form: str, kind: str, dtype: str, strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    force(strategy, monkeypatch)
    for n, size in product(
        (3,) if strategy == "table" else (33, 300), (1, 3, 10, 16, 17, 32, 33, 70)
    ):
        x = make(form, kind, (n, size), dtype)
        check(x, form, one_after_another(x))


@each_strategy
@pytest.mark.parametrize(("n", "size"), [(1, 5), (1, 70), (3, 5), (3, 70), (40, 5), (3, 5000)])
@pytest.mark.parametrize(("samples", "repeats"), [(1, 3), (4, 1), (3, 5), (600, 1), (1, 600)])
def test_several_draws(
    n: int, size: int, samples: int, repeats: int, strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    force(strategy, monkeypatch)
    if samples * repeats > 500 and n > 1:
        samples, repeats = -(-samples // 25), -(-repeats // 25)
    for form, first in product(("probs", "logits"), (0, 1, 2**32 - 3, 2**33 + 5, 2**64 - 2**14)):
        x = make(form, "plain", (n, size), "float32")
        check(x, form, one_after_another(x, samples, repeats, first))


@each_strategy
@each_dtype
@pytest.mark.parametrize("form", ["probs", "logits"])
def test_invalid_rows(
    form: str, dtype: str, strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    force(strategy, monkeypatch)
    nan, inf = np.nan, np.inf
    bad = {"probs": [nan, -nan, inf, -1.0, -inf], "logits": [nan, -nan, inf]}[form]
    for size in (3, 33, 5000):
        x = make(form, "plain", (18, size), dtype)
        for r, value in enumerate(bad):
            x[3 * r, -1 - r % 2] = value
        x[17] = 0 if form == "probs" else -inf
        check(x, form, one_after_another(x, 2))
        invalid = (cases.draw(x, form, one_after_another(x, 2)) < 0).all((0, 2))
        assert set(np.flatnonzero(invalid)) == {*range(0, 3 * len(bad), 3), 17}
        np.testing.assert_array_equal(cases.draw(x[17:], form, DrawRange(1, 1, 99, 0, 99, 99)), -1)


def test_values_alone_tell_invalid_rows() -> None:
    """A value that a sum would lose among others makes a row invalid, wherever it lies."""
    for form, value in (("probs", -1e-45), ("logits", np.nan)):
        x = make(form, "plain", (5, 9000), "float32")
        x[range(5), [4096, 8999, 8999, 0, 31]] = np.finfo("float32").max  # in another tile
        x[range(5), [0, 31, 4095, 4096, 8999]] = value
        np.testing.assert_array_equal(cases.draw(x, form, DrawRange(1, 5, 1, 0, 5, 1)), -1)


# --- what may come in and go out ---------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [*DTYPES, "?", "i1", "u4", "i8", "u8"])
def test_layouts(
    layout: str, dtype: str, cupy: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = LAYOUTS[layout]
    for piece, size in product((1, 100, 10**6), (9, 60, 5001)):
        monkeypatch.setattr(draw, "PIECE_ELEMENTS", piece)
        x = make("probs", "plain", (3, 2 if size > 99 else 7, size), "float32")
        x = make("probs", "plain", x.shape, dtype) if dtype in DTYPES else (9 * x).astype(dtype)
        changed = change(x)
        check(changed, "probs", one_after_another(changed, 2), on_device=change(cupy.asarray(x)))


@pytest.mark.parametrize("strategy", ["direct", "table"])
@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.int32, np.uint32, np.uint64])
def test_output_dtypes(dtype: Any, strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    force(strategy, monkeypatch)
    for n, size, samples in product((1, 40), (5, 100, 5000), (1, 3, 8)):
        x = make("probs", "single" if size > 127 else "plain", (n, size), "float32")
        draws = one_after_another(x, samples, first=1)
        check(x, "probs", draws, dtype)


@pytest.mark.parametrize("strategy", ["direct", "table"])
def test_samples_may_be_further_apart_than_rows(
    strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block of a larger batch has the draws that the batch has there, on any axis."""
    force(strategy, monkeypatch)
    x = make("probs", "plain", (50, 7), "float32")
    whole = rows.draw(x, "probs", one_after_another(x, 4))
    for begin, end in ((0, 3), (3, 50), (49, 50)):
        block = cases.draw(x[begin:end], "probs", DrawRange(4, end - begin, 1, begin, 50, 1))
        np.testing.assert_array_equal(block, whole[:, begin:end])
    whole = rows.draw(x, "probs", one_after_another(x, 4, repeats=9))
    block = cases.draw(x, "probs", DrawRange(4, 50, 3, 2, 9 * 50, 9))
    np.testing.assert_array_equal(block, whole[:, :, 2:5])


# --- tables ------------------------------------------------------------------------------------


def test_a_table_is_made_once_and_changes_nothing() -> None:
    x = make("probs", "plain", (1, 3000), "float32")
    draws, table_of = DrawRange(1, 1, 1, 5, 1, 1), []
    kept: dict[str, Any] = {}
    for _ in range(20):
        drawn = cases.draw(x, "probs", draws, cache=kept)
        np.testing.assert_array_equal(drawn, rows.draw(x, "probs", draws))
        table_of.append(kept.get("table"))
    assert table_of[0] is None
    assert table_of[-1] is not None
    assert len({id(t) for t in table_of if t}) == 1


@pytest.mark.parametrize("strategy", ["as it is", "not staged", "coarse guide", "coarse prefixes"])
def test_look_up(strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever guide and prefixes leave open, boundaries decide."""
    force("table", monkeypatch)
    if strategy == "not staged":
        monkeypatch.setattr(table, "SHARED_BYTES", 0)
    elif strategy == "coarse guide":
        monkeypatch.setattr(table, "guide_shift", lambda _: np.uint32(4))
    elif strategy == "coarse prefixes":
        text = compiling.source()
        for old in ("= (u32)(word >> 32)", "= end_prefix(end, scan.total)"):
            assert old in text
            text = text.replace(old, old + " & 0xFFF80000")
        monkeypatch.setattr(compiling, "source", lambda: text)
    for kind, size in product(("plain", "wide", "sparse", "single"), (1, 2, 7, 1000, 4096)):
        x = make("probs", kind, (1, size), "float32")
        check(x, "probs", one_after_another(x, 3000, first=1))
