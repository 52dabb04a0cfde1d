"""Tests of the oracle itself: published vectors, exact arithmetic, and hand-made rows."""

import math
import random
from collections import Counter
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import (
    FLOAT32,
    FLOAT64,
    TILE,
    Form,
    boundaries,
    draw,
    dyadic,
    exponential,
    fma,
    nearest,
    outcome,
    philox4x32_10,
    rint,
    word,
)
from philox_inverse import find_word, find_words, unphilox4x32_10

Array = npt.NDArray[Any]

FORMS = {"float32": FLOAT32, "float64": FLOAT64}
ONES = 2**32 - 1
KEY = (0xA4093822, 0x299F31D0, 0x13198A2E, 0x03707344)

each_form = pytest.mark.parametrize("dtype", FORMS)
each_kind = pytest.mark.parametrize("kind", ["probs", "logits"])


def ends_of(row: Array, kind: str = "probs") -> list[int]:
    """Return the boundaries of a row that is not void."""
    ends = boundaries(row, kind)
    assert ends is not None
    return ends


def tiles_of(*tiles: dict[int, float], fill: float = 0.0, dtype: str = "float64") -> Array:
    """Return a row of whole tiles, each given by the few numbers in it."""
    row = np.full((len(tiles), TILE), fill, dtype)
    for values, tile in zip(row, tiles, strict=True):
        for place, value in tile.items():
            values[place] = value
    return row.ravel()


# --- Random words


@pytest.mark.parametrize(
    "vector",
    [  # Random123, tests/kat_vectors: counter, key, output
        "00000000 00000000 00000000 00000000 00000000 00000000 6627e8d5 e169c58d bc57ac4c 9b00dbd8",
        "ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff 408f276d 41c83b0e a20bc7c6 6d5451fd",
        "243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0 d16cfe09 94fdcceb 5001e420 24126ea1",
    ],
)
def test_philox_known_answers(vector: str) -> None:
    c0, c1, c2, c3, k0, k1, *expected = (int(x, 16) for x in vector.split())
    assert list(philox4x32_10((c0, c1, c2, c3), (k0, k1))) == expected


def test_words_of_a_block() -> None:
    zero = (0, 0, 0, 0)
    assert word(zero, 0) == 0xE169C58D_6627E8D5
    assert word(zero, 1) == 0x9B00DBD8_BC57AC4C
    block = 0x05A308D3_243F6A88
    k0, k1, s0, s1 = KEY
    r0, r1, r2, r3 = philox4x32_10((0x243F6A88, 0x05A308D3, s0, s1), (k0, k1))
    assert word(KEY, 2 * block) == r0 + 2**32 * r1
    assert word(KEY, 2 * block + 1) == r2 + 2**32 * r3


def test_draw_numbers_are_64_bits() -> None:
    r = philox4x32_10((ONES, ONES >> 1, 0, 0), (0, 0))
    assert word((0, 0, 0, 0), 2**64 - 1) == r[2] + 2**32 * r[3]
    for number in (-1, 2**64):
        with pytest.raises(ValueError, match="number"):
            word(KEY, number)


WORD32, WORD64 = st.integers(0, ONES), st.integers(0, 2**64 - 1)


@given(st.tuples(*[WORD32] * 4), st.tuples(*[WORD32] * 2))
def test_the_inverse_of_philox(counter: tuple[int, int, int, int], key: tuple[int, int]) -> None:
    assert unphilox4x32_10(philox4x32_10(counter, key), key) == counter
    assert philox4x32_10(unphilox4x32_10(counter, key), key) == counter


@given(WORD64, WORD64, WORD32)
def test_a_random_state_for_given_words(first: int, second: int, k1: int) -> None:
    state, index = find_words(first, second, k1)
    assert (state[1], index % 2) == (k1, 0)
    assert [word(state, index + i) for i in range(2)] == [first, second]
    for odd in (False, True):
        state, index = find_word(first, odd=odd, free=second, k1=k1)
        assert (word(state, index), word(state, index ^ 1), index % 2) == (first, second, odd)


# --- Floating-point numbers


@given(st.fractions(min_value=-(2**20), max_value=2**20, max_denominator=64))
def test_rint(x: Fraction) -> None:
    eighths = math.floor(x * 8)
    assert rint(eighths, -3) == round(Fraction(eighths, 8))
    assert rint(eighths, 3) == eighths * 8


@given(st.integers(-(2**90), 2**90), st.integers(-1200, 900))
def test_nearest_float64_is_true_division(m: int, e: int) -> None:
    assert nearest(m, e, FLOAT64) == float(m * Fraction(2) ** e)


@given(st.floats(width=64, allow_nan=False, allow_infinity=False))
def test_nearest_float32_is_numpys(x: float) -> None:
    with np.errstate(over="ignore", under="ignore"):
        assert nearest(*dyadic(x), FLOAT32) == float(np.float32(x))


@given(st.integers(-(2**24), 2**24), st.integers(-155, 110), st.integers(1, 8))
def test_nearest_float32_of_ties_and_subnormals(m: int, e: int, extra: int) -> None:
    m = (2 * m + 1) << (extra - 1)  # half-way between two numbers of m's size
    with np.errstate(over="ignore", under="ignore"):
        assert nearest(m, e, FLOAT32) == float(np.float32(math.ldexp(m, e)))


@pytest.mark.parametrize(
    ("m", "e", "expected"),
    [
        (1, -150, 0.0),
        (3, -150, 2.0**-148),
        (2**25 + 1, -175, 2.0**-149),
        (2**24 + 1, 0, 2.0**24),
        (2**24 + 3, 0, 2.0**24 + 4),
        (-(2**24) - 3, 0, -(2.0**24) - 4),
        (2**25 - 1, 103, math.inf),
        (-(2**25) + 1, 103, -math.inf),
        (2**26 - 3, 102, float(np.finfo(np.float32).max)),
    ],
)
def test_nearest_float32_by_hand(m: int, e: int, expected: float) -> None:
    assert nearest(m, e, FLOAT32) == expected


@given(*[st.floats(-1e100, 1e100)] * 3)
def test_fma_float64_is_rounded_once(a: float, b: float, c: float) -> None:
    assert fma(a, b, c, FLOAT64) == float(Fraction(a) * Fraction(b) + Fraction(c))


@given(*[st.floats(-1e9, 1e9, width=32)] * 3)
def test_fma_float32_is_rounded_once(a: float, b: float, c: float) -> None:
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    found = np.float32(fma(a, b, c, FLOAT32))
    error = abs(Fraction(float(found)) - exact)
    neighbours = (np.nextafter(found, np.float32(x)) for x in (-np.inf, np.inf))
    rivals = [abs(Fraction(float(x)) - exact) for x in neighbours]
    assert error <= min(rivals)
    if error in rivals:
        assert found.view(np.uint32) % 2 == 0


def test_fma_differs_from_two_roundings() -> None:
    x = 1 + 2.0**-12
    assert fma(x, x, -(1 + 2.0**-11), FLOAT32) == 2.0**-24
    assert fma(1 + 2.0**-27, 1 + 2.0**-27, -(1 + 2.0**-26), FLOAT64) == 2.0**-54


# --- The exponential


def test_constants_are_those_of_the_page() -> None:
    page = Path(__file__).parents[1] / "docs" / "draw.md"
    table = [line.split("|")[2:4] for line in page.read_text("utf-8").splitlines() if "0x" in line]
    columns = zip(*(cells for cells in table if cells), strict=True)
    for column, form in zip(columns, (FLOAT32, FLOAT64), strict=True):
        numbers = tuple(float.fromhex(cell.strip(" `")) for cell in column if cell.strip())
        assert numbers == form.logarithms + form.coefficients[2:]
        assert form.coefficients[:2] == (1, 1)


@each_form
def test_constants_are_of_their_type(dtype: str) -> None:
    form = FORMS[dtype]
    constants = form.logarithms + form.coefficients
    assert all(nearest(*dyadic(c), form) == c for c in constants)
    with localcontext() as context:
        context.prec = 40
        log2e, high, low = map(Decimal, form.logarithms)
        log2 = Decimal(2).ln()
        # LOG2E is rounded to nearest; what is lost of log(2) is beyond both its parts.
        assert abs(log2e - 1 / log2) <= Decimal(2) ** -form.bits
        assert abs(high + low - log2) <= Decimal(2) ** (-2 * form.bits)


def ulps(x: float, form: Form) -> Decimal:
    """Return the error of the exponential, in units of the last place of the true one."""
    g, n = exponential(x, form)
    with localcontext() as context:
        context.prec = 40
        true = (Decimal(x) - n * Decimal(2).ln()).exp()
        return abs(Decimal(g) - true) / Decimal(2) ** (math.frexp(true)[1] - form.bits)


@each_form
@pytest.mark.parametrize("span", [0.35, 10, 90, 2**20, 2**21])
def test_exponential_is_within_an_ulp(dtype: str, span: float) -> None:
    source = random.Random(f"{dtype} {span}")
    form = FORMS[dtype]
    points = (nearest(*dyadic(source.uniform(-span, span)), form) for _ in range(400))
    assert max(ulps(x, form) for x in points) < 1


@each_form
def test_exponential_by_hand(dtype: str) -> None:
    form = FORMS[dtype]
    assert exponential(0.0, form) == (1.0, 0)
    assert exponential(-0.0, form) == (1.0, 0)
    assert exponential(2.0**form.lowest, form) == (1.0, 0)
    g, n = exponential(1.0, form)
    assert n == 1
    assert abs(g - math.e / 2) < 2.0 ** (1 - form.bits)


def test_the_multiple_of_log2_is_rounded_once() -> None:
    # A product just below n + 0.5, for an odd n: float32 would make n + 0.5 of it, then n + 1.
    log2e = FLOAT32.logarithms[0]
    logits = [(n, float(np.float32((n + 0.5) / log2e))) for n in range(1, 200, 2)]
    telling = [(n, x) for n, x in logits if x * log2e < n + 0.5 == np.float32(x * log2e)]
    assert telling
    assert all(exponential(x, FLOAT32)[1] == n for n, x in telling)


# --- Boundaries


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4", "int8", "uint64"])
def test_small_rows(dtype: str) -> None:
    def row(*values: int) -> Array:
        return np.array(values, dtype)

    assert ends_of(row(1, 1)) == [2**49, 2**50]
    assert ends_of(row(3, 1)) == [3 * 2**48, 2**50]
    assert ends_of(row(0, 2, 5, 0, 0)) == [0, 2**48, 7 * 2**47, 7 * 2**47, 7 * 2**47]
    assert ends_of(row(0, 0, 7)) == [0, 0, 7 * 2**47]
    assert ends_of(row(6)) == [3 * 2**48]
    assert ends_of(row(5, 5), "logits")[1] == 2 * ends_of(row(5, 5), "logits")[0]
    assert ends_of(row(0, 0, 0), "logits") == [2**49, 2**50, 3 * 2**49]


def test_booleans() -> None:
    assert ends_of(np.array([True, False, True])) == [2**49, 2**49, 2**50]


def test_long_integers_become_float64_first() -> None:
    # The last 1 is lost, so that a tie remains, which goes to the even integer.
    assert ends_of(np.array([2**60 + 2**10 + 1])) == [2**49]
    assert ends_of(np.array([2**63 + 2**13 + 1], np.uint64)) == [2**49]
    assert ends_of(np.array([2**60 + 2**10 + 2**8])) == [2**49 + 1]


def test_weights_are_rounded_once_ties_to_even() -> None:
    half = 2.0**-50
    row = np.array([1, half, 3 * half, 5 * half, 1.5 * half])
    assert np.diff(ends_of(row)).tolist() == [0, 2, 2, 1]
    assert ends_of(np.array([2 - 2.0**-52])) == [2**50]  # the most that q can be


def test_subnormals() -> None:
    for dtype in ("float16", "float32", "float64"):
        tiny = np.finfo(dtype).smallest_subnormal
        assert ends_of(np.array([tiny, 3 * tiny, 0], dtype)) == [2**48, 2**50, 2**50]
    assert ends_of(np.array([5e-324, 1.0]))[0] == 0


def test_minus_zero_is_zero() -> None:
    assert ends_of(np.array([-0.0, 1.0, -0.0])) == [0, 2**49, 2**49]


def test_shifts_between_tiles() -> None:
    row = tiles_of({0: 1.0}, {0: 2.0**-10, 4095: 1.5 * 2.0**-11})
    ends = ends_of(row)
    assert ends[0] == ends[4095] == 2**49
    assert ends[4096] == ends[8190] == 2**49 + 2**39
    assert ends[8191] == 2**49 + 2**39 + 3 * 2**37


def test_partial_sums_are_shifted_not_weights() -> None:
    small = 1.5 * 2.0**-50  # 0.75 of a unit
    ends = ends_of(tiles_of({0: small, 1: small, 2: small}, {7: 1.0}))
    assert ends[:4] == [0, 1, 2, 2]
    assert ends[4096 + 7] == 2 + 2**49


def test_tiles_are_rounded_down_one_by_one() -> None:
    small = 2.0**-50 * 1.75  # 0.875 of a unit
    ends = ends_of(tiles_of({0: small, 1: small}, {0: small, 1: small}, {0: 1.0}))
    assert [ends[i] for i in (0, 1, 4095, 4096, 4097, 8192)] == [0, 1, 1, 1, 2, 2 + 2**49]


def test_empty_tiles_add_nothing() -> None:
    ends = ends_of(tiles_of({}, {3: 1.0}, {}, {}, {0: 1.0}))
    assert [ends[i] for i in (0, 4098, 4099, 16383, 16384)] == [0, 0, 2**49, 2**49, 2**50]


@pytest.mark.parametrize(
    ("size", "shift"), [(4096, 0), (4097, 0), (8193, 1), (12289, 1), (65536, 4)]
)
def test_the_last_tile_may_be_short(size: int, shift: int) -> None:
    assert ends_of(np.ones(size, np.float32)) == [2 ** (49 - shift) * k for k in range(1, size + 1)]


def test_tiles_far_apart() -> None:
    alone = ends_of(np.array([1e308]))[0]
    assert set(ends_of(tiles_of({0: 1e308}, {0: 5e-324}))) == {alone}


# --- Logits


@each_form
def test_a_logit_of_one(dtype: str) -> None:
    ends = ends_of(np.array([0, 1], dtype), "logits")
    assert ends[0] == 2**48
    assert abs((ends[1] - ends[0]) / (math.e * 2**48) - 1) < 2.0 ** (1 - FORMS[dtype].bits)


@pytest.mark.parametrize("dtype", ["float16", ">f4", ">f8", "int32", "uint8"])
def test_logits_of_other_types(dtype: str) -> None:
    row = np.array([3, 1, 2, 5], dtype)
    of_float32, of_float64 = (ends_of(row.astype(d), "logits") for d in FORMS)
    assert of_float32 != of_float64
    assert ends_of(row, "logits") == (of_float32 if dtype in ("float16", ">f4") else of_float64)


@each_form
def test_logits_that_are_far_below(dtype: str) -> None:
    lowest = np.finfo(dtype).min
    row = np.array([-np.inf, lowest, -200, 0, -81, -79, -3e6, -np.inf], dtype)
    assert ends_of(row, "logits") == [0, 0, 0] + [2**49] * 5


@each_form
def test_logits_of_the_last_few_units(dtype: str) -> None:
    row = np.array([-33, -34, -35, -36, 0], dtype)  # exp(x) * 2**49: 2.6, 0.97, 0.35, 0.13
    assert ends_of(row, "logits") == [3, 4, 4, 4, 4 + 2**49]


@each_form
def test_the_cut_at_80_changes_nothing(dtype: str) -> None:
    form = FORMS[dtype]
    for top in (-3e5, -0.25, 0.0, 0.25, 3.0, 2.0**20):
        g, n = exponential(top - 80, form)
        m, e = dyadic(g)
        assert rint(m, e + n - exponential(top, form)[1] + 49) == 0


@each_form
def test_large_logits_are_lowered(dtype: str) -> None:
    plain = ends_of(np.array([0, -1, -2.5], dtype), "logits")
    for top in (2**21, -(2**21), 2**22 - 8):
        assert ends_of(np.array([top, top - 1, top - 2.5], dtype), "logits") == plain
    # 2**20 itself is not lowered: its g is not 1.
    assert ends_of(np.array([2**20], dtype), "logits") != [2**49]
    assert ends_of(np.array([-(2**20)], dtype), "logits") != [2**49]
    above = np.nextafter(np.array([2**20], dtype), np.inf, dtype=dtype)
    assert ends_of(above, "logits") == [2**49]


@each_form
def test_the_largest_numbers_as_logits(dtype: str) -> None:
    big = np.finfo(dtype).max
    assert ends_of(np.array([big, -big, big], dtype), "logits") == [2**49, 2**49, 2**50]
    assert ends_of(np.array([-big, -np.inf, -big], dtype), "logits") == [2**49, 2**49, 2**50]


@each_form
def test_tiles_of_logits(dtype: str) -> None:
    row = tiles_of({0: 0.0}, {}, {5: -1.0, 6: -1.0}, {0: -3e6}, fill=-np.inf, dtype=dtype)
    ends = ends_of(row, "logits")
    assert ends[0] == ends[2 * TILE + 4] == 2**49
    one, two = (ends[2 * TILE + k] - 2**49 for k in (5, 6))
    assert two in (2 * one, 2 * one + 1)
    assert abs(one - 2**49 / math.e) < 1 + 2.0 ** (49 - FORMS[dtype].bits)
    assert ends[2 * TILE + 6] == ends[-1]


@each_form
def test_the_lowest_tiles_that_count(dtype: str) -> None:
    top = -(2**20)
    row = tiles_of({0: top}, {0: top - 16}, {0: -(2**21) - 1}, fill=-np.inf, dtype=dtype)
    ends = ends_of(row, "logits")
    assert 0 < ends[0] < ends[TILE] == ends[-1]


# --- Void rows


@pytest.mark.parametrize(
    ("kind", "row"),
    [
        ("probs", [1, math.nan]),
        ("probs", [-math.nan, 1]),
        ("probs", [1, math.inf]),
        ("probs", [1, -math.inf]),
        ("probs", [1, -1e-40]),
        ("probs", [0, -0.0]),
        ("probs", []),
        ("logits", [1, math.nan]),
        ("logits", [math.inf, 0]),
        ("logits", [-math.inf, -math.inf]),
        ("logits", []),
    ],
)
@each_form
def test_void_rows(dtype: str, kind: str, row: list[float]) -> None:
    assert boundaries(np.array(row, dtype), kind) is None
    assert outcome(None, 2**63) == -1


def test_refusals() -> None:
    with pytest.raises(ValueError, match="odds"):
        boundaries(np.ones(2), "odds")
    with pytest.raises(TypeError, match="complex"):
        boundaries(np.ones(2, complex), "probs")


# --- Outcomes


def test_outcome_by_hand() -> None:
    ends = [0, 3, 3, 4]
    quarter = 2**62
    assert [outcome(ends, u) for u in (0, 3 * quarter - 1, 3 * quarter, 2**64 - 1)] == [1, 1, 3, 3]


NUMBERS: dict[str, st.SearchStrategy[float]] = {
    "float16": st.floats(width=16, allow_nan=False, allow_infinity=False),
    "float32": st.floats(width=32, allow_nan=False, allow_infinity=False),
    "float64": st.floats(width=64, allow_nan=False, allow_infinity=False),
}


@st.composite
def rows(draw: st.DrawFn) -> tuple[Array, str]:
    """Return a row that is not void, short or of up to five sparse tiles, and its kind."""
    kind = draw(st.sampled_from(["probs", "logits"]))
    dtype = draw(st.sampled_from(list(NUMBERS)))
    number = NUMBERS[dtype] | st.integers(-60, 60)  # the latter for logits near each other
    values = np.array(draw(st.lists(number, min_size=1, max_size=8)), dtype)
    values = abs(values) if kind == "probs" else values
    if not values.any():
        values[0] = 1
    length = draw(st.sampled_from([len(values), 4097, 5 * TILE]))
    row = np.full(length, 0 if kind == "probs" else -np.inf, dtype)
    places = draw(st.permutations(np.linspace(0, length - 1, len(values)).astype(int).tolist()))
    row[places] = values
    return row, kind


@settings(deadline=None)
@given(rows(), st.integers(0, 2**64 - 1))
def test_every_outcome_has_a_positive_weight(case: tuple[Array, str], u: int) -> None:
    row, kind = case
    ends = ends_of(row, kind)
    total = ends[-1]
    assert 0 < total <= 2**62
    assert len(ends) == len(row)
    assert all(a <= b for a, b in pairwise(ends))
    # Words at the very ends of the ranges, where an off-by-one would show.
    edges = [-(-(c << 64) // total) + d for c in {0, *ends} for d in (-1, 0)]
    for k in {outcome(ends, x) for x in (0, u, 2**64 - 1, *edges) if 0 <= x < 2**64}:
        assert ends[k] > (ends[k - 1] if k else 0)
        assert row[k] > (0 if kind == "probs" else -np.inf)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1e6, width=32), min_size=1, max_size=20).filter(any))
def test_scaling_by_a_power_of_two_changes_nothing(weights: list[float]) -> None:
    row = np.array(weights, np.float64)
    assert ends_of(row) == ends_of(row * 2.0**300) == ends_of(row * 2.0**-300)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("tiny", "error"), [(1e-12, 1e-3), (1e-6, 1e-9)])
def test_rare_categories(dtype: str, tiny: float, error: float) -> None:
    for top in (1.0, 1.3, 1.99, 512.5):
        row = np.array([top, top * tiny * (1 + 1e-6), 0.5 * top], dtype)
        ends = ends_of(row)
        realised = Fraction(ends[1] - ends[0], ends[-1])
        true = Fraction(float(row[1])) / sum(map(Fraction, row.tolist()))
        assert abs(realised / true - 1) < error


def test_a_rare_category_of_logits() -> None:
    first, last = ends_of(np.array([0, math.log(1e-12)]), "logits")
    assert abs((last - first) / last / 1e-12 - 1) < 1e-3


# --- DrawRange


@each_kind
def test_numbers_and_shapes(kind: str) -> None:
    params = np.random.default_rng(5).random((2, 3, 4))
    sample = draw(params, kind, KEY, (5,), first=7)
    assert sample.shape == (5, 2, 3)
    assert sample.dtype == np.int64
    for number, (index, found) in enumerate(np.ndenumerate(sample), start=7):
        assert found == outcome(boundaries(params[index[1:]], kind), word(KEY, number))
    assert (draw(params, kind, KEY, (4,), first=13) == sample[1:]).all()


def test_shapes_without_a_batch_or_draws() -> None:
    row = np.array([0.0, 1.0])
    assert draw(row, "probs", KEY).shape == ()
    assert draw(row, "probs", KEY) == 1
    assert draw(row, "probs", KEY, (2, 0)).shape == (2, 0)
    assert draw(np.ones((0, 2)), "probs", KEY, (3,)).shape == (3, 0)


def test_void_rows_take_their_numbers() -> None:
    params = np.ones((3, 50))
    whole = draw(params, "probs", KEY, (20,))
    params[1, 7] = -1
    sample = draw(params, "probs", KEY, (20,))
    assert (sample[:, 1] == -1).all()
    assert (sample[:, [0, 2]] == whole[:, [0, 2]]).all()


@pytest.mark.statistical
@each_kind
def test_frequencies(kind: str) -> None:
    # 4.5 standard deviations, thrice: false alarms in about 2 of 100,000 keys.
    probs = np.array([0.1, 0.0, 0.6, 0.3])
    with np.errstate(divide="ignore"):
        params = probs if kind == "probs" else np.log(probs)
    size = 4000
    counts = Counter(draw(params, kind, KEY, (size,)).tolist())
    for k, p in enumerate(probs):
        assert abs(counts[k] - size * p) <= 4.5 * math.sqrt(size * p * (1 - p))
