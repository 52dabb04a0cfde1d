"""`anycat.numba`: draws in functions that users compile are those of `Categorical`."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import TYPE_CHECKING, Any

import hostile
import numba
import numpy as np
import oracle
import pytest
import rows
from numba.core.errors import TypingError
from philox_inverse import find_word

import anycat.numba
from anycat import Categorical
from anycat.numba import draw, draw_logits, draw_prepared, key, prepare, prepare_logits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Array = np.ndarray[Any, Any]


@numba.njit
def probs_draws(row: Array, key: Array, first: Any, out: Array) -> None:
    for i in range(np.uint64(out.size)):
        out[i] = draw(row, key, first + i)


@numba.njit
def logits_draws(row: Array, key: Array, first: Any, out: Array) -> None:
    for i in range(np.uint64(out.size)):
        out[i] = anycat.numba.draw_logits(row, key, first + i)


@numba.njit
def prepared_draws(row: Array, key: Array, first: Any, out: Array) -> None:
    table = prepare(row)
    for i in range(np.uint64(out.size)):
        out[i] = draw_prepared(table, key, first + i)


@numba.njit
def prepared_logits_draws(row: Array, key: Array, first: Any, out: Array) -> None:
    table = prepare_logits(row)
    for i in range(np.uint64(out.size)):
        out[i] = draw_prepared(table, key, first + i)


FUNCTIONS = {
    ("probs", "draw"): probs_draws,
    ("logits", "draw"): logits_draws,
    ("probs", "prepared"): prepared_draws,
    ("logits", "prepared"): prepared_logits_draws,
}
each_way = pytest.mark.parametrize("way", ["draw", "prepared"])
each_form = pytest.mark.parametrize("form", ["probs", "logits"])
# Numba compiles the draw anew for each dtype.
slow_float64 = pytest.param(np.float64, marks=pytest.mark.slow)
each_dtype = pytest.mark.parametrize("dtype", [np.float32, slow_float64])


def compiled(
    row: Array, form: str, way: str, n: int, words: Any = rows.KEY, first: int = 0
) -> Array:
    out = np.full(n, 99)
    FUNCTIONS[form, way](row, np.array(words, np.uint64), np.uint64(first), out)
    return out


def expected(row: Array, form: str, n: int, words: Any = rows.KEY, first: int = 0) -> Array:
    return oracle.draw(row, form, [int(k) for k in words], (n,), first)


def spread(row: Array) -> Array:
    """Return a row with gaps in memory, whose type is that of a view with strides."""
    wide = np.full((row.size, 3), np.nan, row.dtype)
    wide[:, 1] = row
    return wide[:, 1]


# --- rows ---------------------------------------------------------------------------------------


@pytest.mark.slow
@each_way
@each_form
@each_dtype
def test_lengths(form: str, dtype: Any, way: str) -> None:
    """Blocks have 64 categories, tiles 4096."""
    for size in (*range(1, 71), 127, 128, 129, 1000, 4032, 4095, 4096, 4097, 3 * 4096 + 1):
        row = rows.make(form, "plain", (size,), dtype, size)
        want = expected(row, form, 20)
        np.testing.assert_array_equal(compiled(row, form, way, 20), want)
        if way == "draw":  # a row is copied to be prepared
            np.testing.assert_array_equal(compiled(spread(row), form, way, 20), want)


@each_way
@each_form
@each_dtype
def test_hostile_values(form: str, dtype: Any, way: str) -> None:
    random, name = Random(1), np.dtype(dtype).name
    for kind in hostile.KINDS[form]:
        for size in (1, 6, 64, 65, 200):
            begin = random.randrange(hostile.POOL - size)
            row = hostile.pool(form, kind, name)[begin : begin + size].copy()
            for special in (None, *random.sample(hostile.SPECIALS, 4)):
                if special:
                    row[random.randrange(size)] = hostile.special(special, row.dtype)
                got = compiled(row, form, way, 6)
                np.testing.assert_array_equal(got, expected(row, form, 6), f"{kind} {special}")


@each_way
@each_form
@each_dtype
@pytest.mark.parametrize("tiles", [1, 3])
def test_invalid_rows(form: str, dtype: Any, way: str, tiles: int) -> None:
    no_weight = -np.inf if form == "logits" else 0.0
    invalid = [np.nan, -np.nan, np.inf, *([-1.0, -np.inf] if form == "probs" else [])]
    for value in (*invalid, no_weight):
        row = np.full(4096 * (tiles - 1) + 65, no_weight, dtype)
        row[-1] = value
        if value is not no_weight:
            row[3] = 1
        for given in (row, row[::-1]) if way == "draw" else (row,):
            assert (compiled(given, form, way, 4) == -1).all(), value
    assert (compiled(row[:0], form, way, 4) == -1).all()


@each_way
@each_form
@pytest.mark.parametrize("size", [5, 64, 130, 9000])
def test_both_sides_of_boundaries(form: str, way: str, size: int) -> None:
    row = rows.make(form, "plain", (size,), np.float32)
    ends = oracle.boundaries(row, form)
    assert ends is not None
    for k in {0, 1, 3, 63, 64, 4095, 4096, size - 2} & {*range(size - 1)}:
        word = -(-(ends[k] << 64) // ends[-1])  # the first of the next category
        for u in (word - 1, word):
            for odd in (False, True):
                state, index = find_word(u, odd=odd)
                want = oracle.outcome(ends, u)
                assert compiled(row, form, way, 1, state, index)[0] == want
        assert (ends[k] > ends[k + 1] - 1) or oracle.outcome(ends, word) == k + 1


@numba.njit
def of_slices(x: Array, key: Array, out: Array) -> None:
    for r in range(3):
        out[0, r] = draw(x[r], key, r)
        out[1, r] = draw(x[r, :], key, r)
        out[2, r] = draw(x[:, r], key, r)
        out[3, r] = draw(x[r, 1::2], key, r)
        out[4, r] = draw(x[r, ::-1], key, r)
        out[5, r] = draw(2 * x[r], key, r)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("writeable", [True, False])
def test_slices_of_arrays(order: Any, writeable: bool) -> None:
    x = np.asarray(np.random.default_rng(0).random((70, 70)), order=order)
    x.flags.writeable = writeable
    out = np.full((6, 3), 99)
    of_slices(x, rows.KEY, out)
    slices = [x[:3], x[:3], x.T[:3], x[:3, 1::2], x[:3, ::-1], x[:3]]
    want = [[expected(s[r], "probs", 1, first=r)[0] for r in range(3)] for s in slices]
    np.testing.assert_array_equal(out, want)


def test_a_row_that_changes_from_draw_to_draw() -> None:
    @numba.njit
    def without_replacement(row: Array, key: Array) -> Array:
        out = np.empty(row.size, np.int64)
        for i in range(row.size):
            out[i] = draw(row, key, i)
            row[out[i]] = 0
        return out

    row = np.arange(1.0, 9)
    assert sorted(without_replacement(row, rows.KEY)) == list(range(8))
    assert draw(row, rows.KEY, 0) == -1  # all are drawn


# --- keys and indices ---------------------------------------------------------------------------

RNGS: dict[str, Callable[[], Any]] = {
    "int": lambda: 7,
    "large int": lambda: 2**100,
    "SeedSequence": lambda: np.random.SeedSequence(3),
    "PCG64": lambda: np.random.PCG64(3),
    "MT19937": lambda: np.random.Generator(np.random.MT19937(3)),
    "Generator": lambda: np.random.default_rng(3),
}


@pytest.mark.parametrize("name", RNGS)
def test_draws_are_those_of_categorical(name: str) -> None:
    probs = np.random.default_rng(0).random(20)
    rng, other = RNGS[name](), RNGS[name]()
    for _ in range(2):  # a generator moves on by as much
        want = Categorical(probs).sample(50, rng=rng)
        np.testing.assert_array_equal(compiled(probs, "probs", "draw", 50, key(other)), want)


def test_keys_of_other_libraries() -> None:
    jax = pytest.importorskip("jax")
    want = Categorical(np.ones(9)).sample(30, rng=jax.random.key(5))
    words = key(jax.random.key(5))
    np.testing.assert_array_equal(compiled(np.ones(9), "probs", "draw", 30, words), want)
    with pytest.raises(TypeError, match="rng is traced"):
        jax.jit(lambda k: key(k)[0])(jax.random.key(5))


def test_keys() -> None:
    assert key(1).dtype == np.uint64
    assert key(1).shape == (4,)
    assert (key() != key()).any()
    with pytest.raises(TypeError, match="rng must be"):
        key("seed")


@pytest.mark.parametrize("first", [0, 1, 2**32 - 3, 2**33 - 3, 2**63 - 3, 2**64 - 6])
def test_large_indices(first: int) -> None:
    row = np.ones(1000)
    got = compiled(row, "probs", "draw", 6, first=first)
    np.testing.assert_array_equal(got, expected(row, "probs", 6, first=first))


@numba.njit
def at(row: Array, key: Array, i: Any) -> int:
    return draw(row, key, i)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int32, np.uint32, np.int64, np.uint64])
def test_types_of_indices(kind: Any) -> None:
    row, last = np.ones(1000), int(np.iinfo(kind).max)
    for i in (0, 5, last):
        assert at(row, rows.KEY, kind(i)) == expected(row, "probs", 1, first=i)[0]
    if np.iinfo(kind).min < 0:
        assert at(row, rows.KEY, kind(-1)) == expected(row, "probs", 1, first=2**64 - 1)[0]


# --- how functions are compiled and called --------------------------------------------------------


def test_calls_from_python() -> None:
    rng = np.random.default_rng(0)
    probs = rng.random(70)
    for row in (probs, probs.astype(np.float32), probs[::3], spread(probs), probs[:0]):
        for function, prepared, form in (
            (draw, prepare, "probs"),
            (draw_logits, prepare_logits, "logits"),
        ):
            given = row.copy() if row.flags.c_contiguous else row
            given.flags.writeable = False
            table = prepared(given)
            for i in (0, 3, np.int32(4), 2**64 - 1, -1):
                number = int(i) % 2**64
                want = expected(row, form, 1, first=number)[0] if row.size else -1
                got = function(given, rows.KEY, i)
                assert (got, type(got)) == (want, int)
                assert draw_prepared(table, rows.KEY, i) == want


def test_the_table_of_an_invalid_row_is_zero() -> None:
    for row in (np.array([-1.0, 2.0]), np.zeros(3), np.array([1.0, np.nan]), np.empty(0)):
        assert not any(map(np.any, prepare(row)))


def test_tables_pass_between_python_and_compiled_code() -> None:
    @numba.njit
    def draw_one(table: Any, key: Array, i: int) -> int:
        return draw_prepared(table, key, i)

    @numba.njit
    def prepared(row: Array) -> Any:
        return prepare(row)

    row = np.random.default_rng(0).random(100)
    for table in (prepare(row), prepared(row)):
        assert type(table) is anycat.numba.Table
        assert (
            draw_one(table, rows.KEY, 8)
            == draw_prepared(table, rows.KEY, 8)
            == draw(row, rows.KEY, 8)
        )


def test_arguments_by_name() -> None:
    @numba.njit
    def by_name(row: Array, words: Array) -> int:
        return draw(i=5, key=words, probs=row)

    row = np.ones(1000)
    assert by_name(row, rows.KEY) == draw(key=rows.KEY, probs=row, i=5)


def test_parallel_loops() -> None:
    @numba.njit(parallel=True)
    def in_parallel(x: Array, key: Array, n: int) -> Array:
        out = np.empty((n, x.shape[0]), np.int64)
        for i in numba.prange(n):
            for r in range(x.shape[0]):
                out[i, r] = draw(x[r], key, i * x.shape[0] + r)
        return out

    x = np.random.default_rng(0).random((5, 30))
    threads = numba.get_num_threads()
    try:
        for count in {1, threads}:
            numba.set_num_threads(count)
            got = in_parallel(x, key(4), 1000)
            np.testing.assert_array_equal(got, Categorical(x).sample(1000, rng=4))
    finally:
        numba.set_num_threads(threads)


def test_lists_of_tables_in_parallel_loops() -> None:
    """Numba has no parallel loops over tuples of tables: these would be tuples of tuples."""

    @numba.njit(parallel=True)
    def move(tables: Any, states: Array, key: Array) -> None:
        for a in numba.prange(states.size):
            states[a] = draw_prepared(tables[states[a]], key, a)

    x = np.random.default_rng(0).random((5, 30))
    states = np.arange(200) % 5
    moved = states.copy()
    move(numba.typed.List([prepare(row) for row in x]), moved, key(4))
    np.testing.assert_array_equal(moved, Categorical(x[states]).sample(rng=4))


def test_threads() -> None:
    @numba.njit(nogil=True)
    def fill(row: Array, key: Array, first: int, out: Array) -> None:
        for i in range(out.size):
            out[i] = draw(row, key, first + i)

    row, out = np.random.default_rng(0).random(300), np.empty(40_000, np.int64)
    with ThreadPoolExecutor(4) as pool:
        parts = range(0, out.size, 1000)
        list(pool.map(lambda i: fill(row, key(4), i, out[i : i + 1000]), parts))
    np.testing.assert_array_equal(out, Categorical(row).sample(out.size, rng=4))


FASTMATH = """
import numba, numpy as np, anycat.numba, sys
sys.path.insert(0, sys.argv[1])
import rows

@numba.njit(fastmath=True, error_model="numpy")
def fast(row, key, out):
    for i in range(out.size):
        out[i] = anycat.numba.draw_logits(row, key, i)
        out[i] += 1000 * anycat.numba.draw(np.array([np.nan, 1.0]), key, i)

for kind in ("plain", "masked", "huge", "high"):
    row, out = rows.make("logits", kind, (70,), np.float32), np.empty(200, np.int64)
    fast(row, rows.KEY, out)
    print(*out + 1000)
"""


@pytest.mark.slow
def test_fastmath_does_not_reach_the_draws(tmp_path: Path) -> None:
    """In a process of its own, as functions are compiled for the first that calls them."""
    here = os.path.dirname(__file__)
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    output = subprocess.run(
        [sys.executable, "-c", FASTMATH, here],
        env=environment, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for kind, line in zip(("plain", "masked", "huge", "high"), output.splitlines(), strict=True):
        row = rows.make("logits", kind, (70,), np.float32)
        assert list(map(int, line.split())) == list(expected(row, "logits", 200))


USER = """
import numba, numpy as np
from anycat.numba import draw, draw_prepared, key, prepare

@numba.njit(cache=True)
def total(row, key, n):
    s, table = 0, prepare(row)
    for i in range(n):
        s += draw(row, key, i) + 1000 * draw_prepared(table, key, i)
    return s

if __name__ == "__main__":
    print(total(np.arange(1.0, 9), key(3), 50), sum(total.stats.cache_hits.values()))
"""


def test_cached_functions(tmp_path: Path) -> None:
    file = tmp_path / "user.py"
    file.write_text(USER)
    total = 1001 * Categorical(np.arange(1.0, 9)).sample(50, rng=3).sum()
    for hits in (0, 1):
        output = subprocess.run(
            [sys.executable, file], capture_output=True, check=True, text=True
        ).stdout
        assert output.split() == [str(total), str(hits)]


# --- errors -------------------------------------------------------------------------------------

ROW = np.ones(3)
WRONG: list[tuple[str, tuple[Any, ...]]] = [
    (r"probs must be .*float32 or float64; got array\(float64, 2d", (ROW[None], rows.KEY, 0)),
    (r"probs must be .*; got array\(int64, 1d", (np.ones(3, int), rows.KEY, 0)),
    (r"probs must be .*; got float64", (0.5, rows.KEY, 0)),
    (r"key must be what anycat.numba.key returns.*int64", (ROW, np.ones(4, np.int64), 0)),
    (r"key must be .*; got int64", (ROW, 5, 0)),
    (r"i must be an integer; got float64", (ROW, rows.KEY, 1.0)),
    (r"i must be an integer; got bool", (ROW, rows.KEY, True)),
]


@pytest.mark.parametrize(("message", "arguments"), WRONG)
def test_wrong_types(message: str, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match=f"^{message}"):
        draw(*arguments)
    with pytest.raises(TypingError, match=message):
        at(*arguments)


@pytest.mark.parametrize("i", [2**64, -(2**63) - 1])
def test_draw_indices_of_more_than_64_bits(i: int) -> None:
    with pytest.raises(TypeError, match=r"^i must be an integer; got int of more than 64 bits"):
        draw(ROW, rows.KEY, i)


@pytest.mark.parametrize("x", [np.ones(3, ">f8"), np.ones(3, object), [1.0], None, "row"])
def test_what_numba_has_no_type_for(x: Any) -> None:
    with pytest.raises(TypeError, match=r"^logits must be a one-dimensional array"):
        draw_logits(x, rows.KEY, 0)
    with pytest.raises(TypeError, match=r"^table must be what anycat\.numba\.prepare returns"):
        draw_prepared(x, rows.KEY, 0)


def test_wrong_tables() -> None:
    @numba.njit
    def draw_one(table: Any, key: Array) -> int:
        return draw_prepared(table, key, 0)

    with pytest.raises(TypingError, match=r"table must be what anycat\.numba\.prepare returns"):
        draw_one(ROW, rows.KEY)


def test_keys_of_another_length() -> None:
    for function in (draw, at):
        with pytest.raises(ValueError, match=r"key must be what anycat\.numba\.key returns"):
            function(ROW, rows.KEY[:3], 0)


def test_keys_are_made_in_python() -> None:
    with pytest.raises(TypingError, match="key works in Python only: call it there, and pass"):
        numba.njit(lambda: key(1))()


def test_a_mix_of_integers_that_is_a_float() -> None:
    @numba.njit
    def mixed(row: Array, key: Array, a: Any, b: Any) -> int:
        return draw(row, key, max(a, b))

    with pytest.raises(TypingError, match="Numba unifies int64 and uint64 as floats"):
        mixed(ROW, rows.KEY, np.uint64(1), np.int64(2))


def test_without_the_compiler() -> None:
    code = "import anycat.numba"
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode
    assert "unset the environment variable NUMBA_DISABLE_JIT" in result.stderr
