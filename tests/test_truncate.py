"""Truncation: the same categories are kept in every library, as docs/draw.md defines them."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import oracle
import pytest
import rows
from hypothesis import given, settings
from hypothesis import strategies as st
from libraries import each_library, get, put

from anycat import Categorical
from anycat._kernels.cpu import truncate
from anycat._kernels.cpu.tiles import TileStats, compute_tile_stats

if TYPE_CHECKING:
    from collections.abc import Callable

Array = np.ndarray[Any, Any]

VECTORS = [
    *rows.TRUNCATIONS,
    ([1, 2, 3, 4], {"mask": [True, True, False, False]}, [1, 2, 0, 0]),
    ([1, 2, 3, 4], {"mask": [True, True, True, False], "top_k": 1}, [0, 0, 1, 0]),
]
DTYPES = [np.float16, np.float32, np.float64]


@each_library
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", ["probs", "logits"])
@pytest.mark.parametrize(("weights", "arguments", "left"), VECTORS)
def test_vectors(
    weights: Any, arguments: dict[str, Any], left: Any, form: str, dtype: Any, library: str
) -> None:
    if library == "array_api_strict" and dtype == np.float16:
        pytest.skip("the standard has no float16")
    if form == "logits" and dtype == np.float16:
        pytest.skip("logarithms are rounded by more than the slack of a share")
    x = np.asarray(weights, dtype)
    param = put(np.log(x) if form == "logits" else x, library)
    if "mask" in arguments:
        arguments = {**arguments, "mask": put(np.array(arguments["mask"]), library)}
    if "temperature" in arguments and form == "probs":
        with pytest.raises(ValueError, match="temperature applies to logits"):
            Categorical(**{form: param}).truncate(**arguments)
        return
    dist = Categorical(**{form: param}).truncate(**arguments)
    probs = get(dist.probs)
    assert ((probs > 0) == (np.array(left) > 0)).all()
    np.testing.assert_allclose(probs, np.array(left) / sum(left), rtol=4e-3)
    assert np.isneginf(get(dist.logits)).tolist() == [x == 0 for x in left]
    expected = oracle.draw(get(dist._param), form, KEY, (30,))
    np.testing.assert_array_equal(get(dist.sample(30, rng=KEY_SEED)), expected)


KEY_SEED = 5
KEY = [
    half
    for word in map(int, np.random.PCG64(KEY_SEED).random_raw(2))
    for half in (word % 2**32, word >> 32)
]


SIZES = [1, 2, 3, 7, 31, 63, 64, 65, 127, 129, 300, 1000, 4095, 4096, 4097, 5000, 8192, 8193]


def hard_row(form: str, kind: str, size: int, dtype: Any, seed: int, ties: str) -> Array:
    """Return a row, in which values may repeat."""
    x = rows.make(form, kind, (size,), dtype, seed)
    rng = np.random.default_rng(seed)
    with np.errstate(all="ignore"):
        if ties == "rounded":
            x = (np.round(x * 4) / 4).astype(dtype)
        elif ties == "repeated":
            x[rng.integers(size, size=size // 2)] = x[rng.integers(size)]
    return x


@st.composite
def cases(draw: Callable[..., Any], sizes: Any) -> tuple[Array, str, dict[str, Any]]:
    form, kind = draw(st.sampled_from(rows.KINDS))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    ties = draw(st.sampled_from(["", "rounded", "repeated"]))
    size = draw(sizes)
    x = hard_row(form, kind, size, dtype, draw(st.integers(0, 2**32)), ties)
    share = st.floats(0, 1, exclude_min=True)
    heat = st.sampled_from([0.0, 0.5, 1.0, 2.0, 1e-3, 0.7, 1e3, 1e-60])
    given = {
        "temperature": draw(st.none() | heat) if form == "logits" else None,
        "top_k": draw(st.none() | st.sampled_from([1, 2, 3, 50, max(size - 1, 1), size, 2**70])),
        "top_p": draw(st.none() | share | st.sampled_from([1e-9, 0.5, 0.9, 1 - 1e-12, 1])),
        "min_p": draw(st.none() | share | st.sampled_from([0, 1e-9, 0.1, 1])),
    }
    return x, form, {name: value for name, value in given.items() if value is not None}


def check(x: Array, form: str, arguments: dict[str, Any]) -> None:
    """Check what is kept, and what is learnt of its tiles, by the definition."""
    dist = Categorical(**{form: x}, validate_args=False).truncate(**arguments)
    expected = oracle.truncated(x, form, **arguments) if arguments else x
    np.testing.assert_array_equal(dist._param, expected)
    stats = dist._cache.get("tile stats")
    if stats is None or x is dist._param:
        return
    anew = TileStats.empty(1, x.size)
    compute_tile_stats(dist._param, x.size, form == "logits", anew.part(0, 1))
    if anew.tile_offset[0, -1]:
        for found, wanted in zip(stats, anew, strict=True):
            np.testing.assert_array_equal(found, wanted)
    else:
        assert not stats.tile_offset[0, -1]


@given(cases(st.integers(1, 300)))
@settings(max_examples=300)
def test_what_is_kept(case: Any) -> None:
    check(*case)


@pytest.mark.slow
@given(cases(st.sampled_from(SIZES)))
@settings(max_examples=150)
def test_what_is_kept_of_long_rows(case: Any) -> None:
    check(*case)


@pytest.mark.parametrize("form", ["probs", "logits"])
def test_lists_of_many_entries(form: str) -> None:
    size = 20_000
    for seed, ties in enumerate(["", "rounded", "repeated"]):
        x = hard_row(form, "plain", size, np.float32, seed, ties)
        for top_p in (1e-3, 0.5, 0.999):
            check(x, form, {"top_p": top_p})
        check(x, form, {"top_k": 5000})


LONG = 3 * 4096 + 70  # some tiles, and a block that is not full
SAMPLES = LONG // 64
STEP = LONG // SAMPLES
SAMPLED = np.arange(SAMPLES) * STEP + np.arange(SAMPLES) * 37 % STEP


def long_row(kind: str) -> Array:
    """Return long logits on which a bound may fail, if it is one of the wrong entries."""
    x = np.random.default_rng(7).standard_normal(LONG).astype(np.float32)
    if kind == "all equal":
        x[:] = 3
    elif kind == "zeros of both signs":
        x = np.where(x < 1, np.float32(-0.0), np.float32(0))
        x[::64] = -0.0
    elif kind == "a sample far below":
        x[SAMPLED] = -60
        x[SAMPLED[5]] = x.max()
    elif kind == "a sample far above":
        x[SAMPLED] += 9
    elif kind == "one tile that dominates":
        x[4096:8192] += 12
    elif kind == "ascending":
        x = np.sort(x)
    elif kind == "distant logits":
        x = np.round(x * 4) * 4 + np.float32(2**25)
    elif kind == "a few":
        x[np.argsort(x)[:-9]] = -np.inf
    return x


KINDS_OF_LONG_ROWS = (
    "all equal",
    "zeros of both signs",
    "a sample far below",
    "a sample far above",
    "one tile that dominates",
    "ascending",
    "distant logits",
    "a few",
)
CUTS: list[dict[str, Any]] = [
    {"top_k": 3},
    {"top_k": SAMPLES, "top_p": 0.5},
    {"top_k": 4000},
    {"top_p": 0.9},
    {"top_p": 0.01, "min_p": 0.5},
    {"min_p": 0.02},
    {"min_p": 1},
    {"temperature": 0.6},
    {"temperature": 1.7, "top_p": 0.6},
]


@pytest.mark.parametrize("kind", KINDS_OF_LONG_ROWS)
def test_bounds_that_fail(kind: str) -> None:
    """What is listed by a bound is enough, or else all is listed."""
    x = long_row(kind)
    for arguments in CUTS:
        check(x, "logits", arguments)


def test_a_share_that_is_met_exactly_in_a_long_row() -> None:
    x = np.ones(8192)  # whose mass is one for each entry, in units of the tiles' exponents
    for n in (1, 64, 5000, 8191):
        top_p = n / 8192 + 2**-20
        for p in (math.nextafter(top_p, 0), top_p, math.nextafter(top_p, 1)):
            check(x, "probs", {"top_p": p})


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_every_narrow_number_stays_as_it_is(dtype: str) -> None:
    bits = np.arange(2**16, dtype=np.uint16)
    of_dtype = np.float16 if dtype == "float16" else np.dtype("V2")
    good = bits[~np.isnan(widened(bits, dtype)) & (widened(bits, dtype) != np.inf)]
    found = truncate(good.view(of_dtype)[None], True, [None, len(good), None, None], {})
    np.testing.assert_array_equal(found.view(np.uint16)[0], good)
    for k in (1, 9000):
        found = truncate(good.view(of_dtype)[None], True, [None, k, None, None], {})
        expected = oracle.truncated(widened(good, dtype), "logits", top_k=k)
        np.testing.assert_array_equal(widened(found.view(np.uint16)[0], dtype), expected)


def widened(bits: Array, dtype: str) -> Array:
    """Return the numbers that bits stand for as float32."""
    if dtype == "float16":
        return bits.view(np.float16).astype(np.float32)
    return (bits.astype(np.uint32) << 16).view(np.float32)


@pytest.mark.parametrize("top_p", [2**-20, 2**-20 * (1 + 2**-52), 0.5, 1 - 2**-53, 5e-324, 0.3])
def test_a_share_is_exact(top_p: float) -> None:
    for weights in ([2**48 + 1, 2**48 - 1, 3], [1, 1, 1, 1], [3, 2, 1], [2**30, 1, 1]):
        check(np.array(weights, np.float64), "probs", {"top_p": top_p})
        check(np.array(weights, np.float64), "probs", {"min_p": top_p})


def random_arguments(shape: tuple[int, ...]) -> dict[str, Array]:
    rng = np.random.default_rng(1)
    return {
        "temperature": rng.choice([0, 0.5, 0.7, 1, 2], shape).astype(np.float32),
        "top_k": rng.integers(1, 60, shape),
        "top_p": rng.choice(np.array([0.3, 0.9, 1], np.float32), shape),
        "min_p": rng.choice(np.array([0, 0.01, 0.2], np.float32), shape),
    }


@each_library
@pytest.mark.parametrize("shape", [(4, 3), (3,), (4, 1), ()])
def test_arguments_of_rows(shape: Any, library: str) -> None:
    x = 3 * np.random.default_rng(0).standard_normal((4, 3, 50)).astype(np.float32)
    arguments = random_arguments(shape)
    given = {name: put(a, library) for name, a in arguments.items()}
    found = get(Categorical(logits=put(x, library)).truncate(**given)._param)
    whole = {name: np.broadcast_to(a, (4, 3)) for name, a in arguments.items()}
    for place in np.ndindex(4, 3):
        of_row = {name: a[place].item() for name, a in whole.items()}
        np.testing.assert_array_equal(found[place], oracle.truncated(x[place], "logits", **of_row))


def test_an_expanded_batch() -> None:
    dist = Categorical([0.1, 0.2, 0.3, 0.4]).expand((2, 3))
    same = dist.truncate(top_k=2)
    assert same.batch_shape == (2, 3)
    assert same._param.shape == (4,)
    each = dist.truncate(top_k=[1, 2, 3])
    assert (each.probs > 0).sum(-1).tolist() == [[1, 2, 3]] * 2
    np.testing.assert_array_equal(each[1, 1].probs, same[0, 0].probs)


def test_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).standard_normal((70, 5000))
    expected = Categorical(logits=x).truncate(top_k=40, top_p=0.8)
    with rows.threads(3):
        dist = Categorical(logits=x).truncate(top_k=40, top_p=0.8)
    np.testing.assert_array_equal(dist._param, expected._param)
    np.testing.assert_array_equal(dist.sample(rng=1), expected.sample(rng=1))


@pytest.mark.parametrize("shape", [(3, 50), (3, 5000), (300, 500)])
def test_draws_are_those_of_what_is_left(shape: Any) -> None:
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    dist = Categorical(logits=x).truncate(temperature=0.7, top_k=20, top_p=0.95)
    anew = Categorical(logits=dist._param)
    for n in (1, 40):
        np.testing.assert_array_equal(dist.sample(n, rng=1), anew.sample(n, rng=1))
    value = dist.mode
    np.testing.assert_allclose(dist.log_prob(value), anew.log_prob(value), rtol=1e-5)
    np.testing.assert_allclose(dist.entropy(), anew.entropy(), rtol=1e-5)


def test_chained_calls() -> None:
    dist = Categorical([0.4, 0.3, 0.2, 0.1])
    assert dist.truncate(top_k=2, top_p=0.55).probs.tolist() == [1, 0, 0, 0]
    assert (dist.truncate(top_p=0.55).truncate(top_k=2).probs > 0).tolist() == [1, 1, 0, 0]
    assert (dist.probs > 0).all()  # it has not been changed


@each_library
def test_masks(library: str) -> None:
    rng = np.random.default_rng(0)
    x, mask = rng.standard_normal((4, 70)).astype(np.float32), rng.random((4, 70)) < 0.5
    mask[:, [31, 32, 63]] = True, True, False
    bits = np.pad(mask, ((0, 0), (0, 26))).reshape(4, 3, 32)
    words = np.packbits(bits, -1, "little").view(np.uint32)[..., 0]
    expected = np.where(mask, x, -np.inf)
    for packed in (mask, words.view(np.int32), words):
        if library == "torch" and packed.dtype == np.uint32:
            continue  # it has no shifts of them
        dist = Categorical(logits=put(x, library)).truncate(mask=put(packed, library))
        np.testing.assert_array_equal(get(dist._param), expected)
    dist = Categorical(logits=put(x, library)).truncate(mask=put(mask[0], library))
    np.testing.assert_array_equal(get(dist._param), np.where(mask[0], x, -np.inf))


def test_integers_and_narrow_dtypes() -> None:
    dist = Categorical(np.array([1, 2, 3])).truncate(top_k=2)
    assert (dist._param.dtype, dist._param.tolist()) == (np.int64, [0, 2, 3])
    dist = Categorical(np.array([True, False, True])).truncate(top_k=1)
    assert dist._param.tolist() == [True, False, False]
    dist = Categorical(logits=np.array([1, 2, 3])).truncate(top_k=2)
    assert (dist.dtype, dist._param.tolist()) == (np.float64, [-math.inf, 2, 3])
    dist = Categorical(logits=np.array([1, 2, 3])).truncate(mask=[True, False, True])
    assert dist._param.tolist() == [1, -math.inf, 3]
    half = Categorical(logits=np.array([1, 2, 3], np.float16))
    assert half.truncate(top_k=2).dtype == np.float16
    assert half.truncate(temperature=0.3).dtype == np.float32


@each_library
def test_integer_logits_are_drawn_as_they_are_read(library: str) -> None:
    """PyTorch's float32 would round them."""
    x = np.array([[2**24 + 1, 2**24, 5], [7, 3, 5]], np.int32)
    if library == "jax":
        pytest.skip("JAX has no float64 by default")
    dist = Categorical(logits=put(x, library))
    for arguments in ({"top_k": 2}, {"mask": put(np.ones(x.shape, bool), library)}):
        left = dist.truncate(**arguments)
        assert get(left._param).dtype == np.float64
        np.testing.assert_array_equal(get(left._param)[0, :2], [2**24 + 1, 2**24])
        np.testing.assert_array_equal(get(left.sample(50, rng=3)), get(dist.sample(50, rng=3)))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i4"])
@pytest.mark.parametrize("form", ["probs", "logits"])
def test_byte_order(form: str, dtype: str) -> None:
    x = np.array([[4, 1, 3, 2], [1, 5, 2, 5]], dtype)
    dist, swapped = (Categorical(**{form: y}).truncate(top_k=2) for y in (x, x.astype(f">{dtype}")))
    np.testing.assert_array_equal(swapped.probs, dist.probs)
    np.testing.assert_array_equal(swapped.probs > 0, [[1, 0, 1, 0], [0, 1, 0, 1]])


def test_unchecked_arguments_and_unsigned_draws() -> None:
    jax = pytest.importorskip("jax")
    x = np.ones((2, 3), np.float32)
    assert Categorical(x).truncate(top_k=2).sample(rng=0, dtype="uint8").dtype == np.uint8

    def draw(k: Any) -> Any:
        return Categorical(jax.numpy.asarray(x)).truncate(top_k=k).sample(rng=0, dtype="uint8")

    with pytest.raises(ValueError, match="dtype must be signed"):
        jax.jit(draw)(2)


@pytest.mark.parametrize("how", ["NumPy", "widened", "JAX", "PyTorch"])
def test_invalid_rows(how: str) -> None:
    x = [[1.0, np.nan], [np.nan, 1.0], [0.0, 0.0], [-1.0, 2.0], [1.0, np.inf], [1.0, 2.0]]

    def draw(x: Any) -> Any:
        dist = Categorical(x, validate_args=False)
        return dist.truncate(top_k=1, top_p=0.5, min_p=0.1).sample(rng=0)

    if how == "JAX":
        jax = pytest.importorskip("jax")
        draws = jax.jit(draw)(jax.numpy.asarray(x))
    elif how == "PyTorch":
        torch = pytest.importorskip("torch")
        draws = draw(torch.tensor(x, requires_grad=True))
    else:
        draws = draw(np.array(x, np.float16 if how == "widened" else np.float32))
    assert draws.tolist() == [-1, -1, -1, -1, -1, 1]


def test_arguments_out_of_range() -> None:
    bad = {"top_k": [0, 1, 1, 1], "top_p": [1, 0, 1, 1], "min_p": [0, 0, 1.5, 0]}
    dist = Categorical(np.ones((4, 2)), validate_args=False).truncate(**bad)
    assert dist.sample(rng=0).tolist()[:3] == [-1, -1, -1]
    assert np.isnan(dist.entropy()).tolist() == [True, True, True, False]


LEAVES_NONE = (
    "mask must allow a category of positive probability in each row; it allows none in row"
)


@pytest.mark.parametrize("form", ["probs", "logits"])
def test_dask_checks_masks_when_it_computes(form: str) -> None:
    da = pytest.importorskip("dask.array")
    x, mask = np.ones((6, 4)), np.ones((6, 4), bool)
    mask[4] = False
    dist = Categorical(**{form: da.from_array(x, chunks=(2, 2))})
    for lazy in (mask.tolist(), da.from_array(mask, chunks=(3, 4))):
        with pytest.raises(ValueError, match=rf"{LEAVES_NONE} \[0\](?s:.)*begins at \(4,\)"):
            dist.truncate(mask=lazy, top_k=2).sample(rng=0).compute()


@pytest.mark.parametrize("form", ["probs", "logits"])
def test_pytorch_checks_masks_where_it_compiles_and_maps(form: str) -> None:
    torch = pytest.importorskip("torch")

    def draw(x: Any, mask: Any) -> Any:
        return Categorical(**{form: x}).truncate(mask=mask).sample(rng=0)

    x, mask = torch.ones(2, 3), torch.tensor([[True, True, False], [False, False, False]])
    compiled = torch.compile(draw, fullgraph=True, backend="eager")
    for function in (compiled, torch.func.vmap(draw, randomness="different")):
        assert function(x, mask[:1].expand(2, 3)).max() < 2
        with pytest.raises(ValueError, match=LEAVES_NONE):
            function(x, mask)


@each_library
def test_none_in_a_list_is_for_rows_without_an_argument(library: str) -> None:
    x = np.random.default_rng(0).standard_normal((4, 50), np.float32)
    lists = {
        "temperature": [None, 2, 0.5, None],
        "top_k": [40, None, 3, None],
        "top_p": [None, 0.5, None, None],
        "min_p": [0.1, None, None, None],
    }
    found = Categorical(logits=put(x, library)).truncate(**lists)
    for row, kept in enumerate(get(found.logits > -np.inf)):
        given = {name: values[row] for name, values in lists.items()}
        one = Categorical(logits=x[row]).truncate(**given)
        np.testing.assert_array_equal(kept, one.logits > -np.inf)


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"top_k": 0}, ValueError, "top_k must be 1 or more; got 0"),
    ({"top_k": [1, -2]}, ValueError, r"top_k must be 1 or more; top_k\[1\] is -2"),
    ({"top_k": 1.5}, TypeError, "top_k must hold integers; got float"),
    ({"top_k": [1.5, 2]}, TypeError, "top_k must hold integers; got float64"),
    ({"top_k": True}, TypeError, "top_k must hold integers; got bool"),
    ({"top_k": [1, 2, 3]}, ValueError, r"top_k of shape \(3,\) does not broadcast"),
    ({"top_k": [[1], [2]]}, ValueError, r"top_k of shape \(2, 1\) does not broadcast to"),
    ({"top_p": 0}, ValueError, r"top_p must be in \(0, 1\]; got 0"),
    ({"top_p": 1.5}, ValueError, r"top_p must be in \(0, 1\]; got 1.5"),
    ({"top_p": [0.5, math.nan]}, ValueError, r"top_p must be in \(0, 1\]; top_p\[1\] is nan"),
    ({"min_p": -0.5}, ValueError, r"min_p must be in \[0, 1\]; got -0.5"),
    ({"min_p": [0, 2]}, ValueError, r"min_p must be in \[0, 1\]; min_p\[1\] is 2"),
    ({"temperature": -1}, ValueError, "temperature must be 0 or more, and finite; got -1"),
    ({"temperature": math.inf}, ValueError, "temperature must be 0 or more, and finite; got inf"),
    ({"temperature": math.nan}, ValueError, "temperature must be 0 or more, and finite; got nan"),
    ({"temperature": "hot"}, TypeError, "temperature must be an array or a list of numbers"),
    ({"mask": [[True] * 3, [False] * 3]}, ValueError, r"none in row \[1\]"),
    ({"mask": [True]}, ValueError, r"mask must have a last axis of 3 .* shape \(1,\)"),
    ({"mask": [True, False]}, ValueError, r"mask must have a last axis of 3 .* shape \(2,\)"),
    ({"mask": [1.0, 0.0, 1.0]}, ValueError, "mask must be bool.*: compare it with 0 to make it"),
    ({"mask": np.array([1, 2], np.int32)}, ValueError, "last axis of 1; got int32"),
    ({"mask": np.ones((3, 3), bool)}, ValueError, "mask of shape .* does not broadcast"),
]


def test_a_temperature_must_be_finite_in_float32() -> None:
    x = np.array([1, -np.inf, 2], np.float32)
    with pytest.raises(ValueError, match="temperature must be 0 or more, and finite; got inf"):
        Categorical(logits=x).truncate(temperature=1e39)
    assert np.isfinite(Categorical(logits=x.astype(float)).truncate(temperature=1e39).entropy())
    given = np.array(1e39)  # its dtype is wider than that of the row
    assert Categorical(logits=x).truncate(temperature=given).sample(rng=0) == -1


@pytest.mark.parametrize(("arguments", "error", "message"), WRONG)
def test_wrong_arguments(arguments: dict[str, Any], error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        Categorical(logits=np.zeros((2, 3))).truncate(**arguments)


def test_the_slack_of_a_share() -> None:
    weights = [0.5, 0.3, 0.2]  # whose sums meet 0.8 by rounding only
    for dtype in (np.float32, np.float64):
        for form in ("probs", "logits"):
            x = np.asarray(weights, dtype)
            dist = Categorical(**{form: np.log(x) if form == "logits" else x})
            assert (dist.truncate(top_p=0.8).probs > 0).tolist() == [True, True, False]
            beyond = float(Fraction(4, 5) + Fraction(1, 2**19))
            assert (dist.truncate(top_p=beyond).probs > 0).all()


# --- where values are traced, differentiated or compiled


LOGITS = 3 * np.random.default_rng(3).standard_normal((4, 3, 40)).astype(np.float32)


def expected_of(arguments: dict[str, Any]) -> Array:
    return Categorical(logits=LOGITS).truncate(**arguments)._param


def test_jax() -> None:
    jax = pytest.importorskip("jax")
    arguments = random_arguments((4, 3))
    given = {name: jax.numpy.asarray(a) for name, a in arguments.items()}

    def truncate(x: Any, arguments: dict[str, Any]) -> Any:
        return Categorical(logits=x).truncate(**arguments)._param

    expected, x = expected_of(arguments), jax.numpy.asarray(LOGITS)
    for function in (jax.jit(truncate), jax.vmap(truncate), jax.vmap(jax.vmap(truncate))):
        np.testing.assert_array_equal(function(x, given), expected)
    by_k = jax.vmap(lambda k: Categorical(logits=x[0, 0]).truncate(top_k=k)._param)
    assert np.isfinite(by_k(jax.numpy.arange(1, 5))).sum(-1).tolist() == [1, 2, 3, 4]
    bad = jax.jit(lambda k: Categorical(logits=x[0, 0]).truncate(top_k=k).sample(rng=0))
    assert (bad(3) >= 0, bad(0)) == (True, -1)

    def loss(x: Any) -> Any:
        dist = Categorical(logits=x).truncate(top_k=5, temperature=0.5)
        return dist.log_prob(dist.mode).sum()

    for gradient in (jax.grad(loss)(x), jax.jit(jax.grad(loss))(x)):
        assert ((np.asarray(gradient) != 0).sum(-1) == 5).all()
        np.testing.assert_allclose(np.asarray(gradient).sum(-1), 0, atol=1e-5)


@pytest.mark.parametrize("shape", [None, (), (3,), (4, 3)])
def test_jax_divides_as_others_do(shape: Any) -> None:
    jax = pytest.importorskip("jax")
    heat = 0.7 if shape is None else np.full(shape, 0.7, np.float32)
    expected = expected_of({"temperature": heat})
    heat = heat if shape is None else jax.numpy.asarray(heat)
    found = jax.jit(lambda x: Categorical(logits=x).truncate(temperature=heat)._param)(LOGITS)
    np.testing.assert_array_equal(found, expected)


def test_torch_gradients() -> None:
    torch = pytest.importorskip("torch")
    x = torch.tensor(LOGITS, dtype=torch.float64, requires_grad=True)
    arguments = {name: torch.tensor(a) for name, a in random_arguments((4, 3)).items()}
    dist = Categorical(logits=x).truncate(**arguments)
    kept = torch.isfinite(dist.logits)
    heat = arguments["temperature"].double()[..., None]
    same = (heat == 0) | (heat == 1)
    scaled = torch.where(same, x, (x - x.amax(-1, True)) / torch.where(same, 1, heat))
    expected = torch.where(kept, scaled, -torch.inf).log_softmax(-1)
    value = dist.mode
    torch.testing.assert_close(
        torch.autograd.grad(dist.log_prob(value).sum(), x)[0],
        torch.autograd.grad(expected.gather(-1, value[..., None]).sum(), x)[0],
    )


HEATS = np.array([0.5, 1.0, 1.5])  # at 1, parameters stay as they are
HEAT_LOGITS = np.where(LOGITS[0] == LOGITS[0].min(), -np.inf, LOGITS[0]).astype(np.float64)


def heat_gradient(slope: float = 1e-5) -> Any:
    """Return the derivatives of `log_prob` by the temperatures of rows, by differences."""

    def log_prob(heat: Any) -> Any:
        dist = Categorical(logits=HEAT_LOGITS).truncate(temperature=heat, min_p=1e-3)
        return dist.log_prob(dist.mode)

    return (log_prob(HEATS + slope) - log_prob(HEATS - slope)) / (2 * slope)


@pytest.mark.parametrize("of_logits", [False, True])
def test_gradients_of_temperatures_in_torch(of_logits: bool) -> None:
    torch = pytest.importorskip("torch")
    heat = torch.tensor(HEATS, requires_grad=True)
    x = torch.tensor(HEAT_LOGITS, requires_grad=of_logits)
    dist = Categorical(logits=x).truncate(temperature=heat, min_p=1e-3)
    dist.log_prob(dist.mode).sum().backward()
    np.testing.assert_allclose(heat.grad, heat_gradient(), rtol=1e-7)
    if of_logits:
        assert x.grad.isfinite().all()


def test_gradients_of_temperatures_in_jax() -> None:
    jax = pytest.importorskip("jax")

    def loss(heat: Any, x: Any) -> Any:
        dist = Categorical(logits=x).truncate(temperature=heat, min_p=1e-3)
        return dist.log_prob(dist.mode).sum()

    x = jax.numpy.asarray(HEAT_LOGITS, np.float32)
    gradient = jax.grad(loss)
    for found in (gradient(HEATS, x), jax.jit(gradient)(HEATS, x)):
        np.testing.assert_allclose(found, heat_gradient(), rtol=1e-4)
    one = gradient(1.5, x[2])  # a float
    np.testing.assert_allclose(one, heat_gradient()[2], rtol=1e-4)


@pytest.mark.slow
def test_compiled_torch() -> None:
    torch = pytest.importorskip("torch")
    arguments = random_arguments((4, 3))

    @torch.compile(fullgraph=True, backend="eager")
    def truncate(x: Any, arguments: dict[str, Any]) -> Any:
        return Categorical(logits=x).truncate(**arguments).logits

    given = {name: torch.tensor(a) for name, a in arguments.items()}
    found = truncate(torch.tensor(LOGITS), given)
    expected = expected_of(arguments)
    assert np.array_equal(np.isneginf(found.numpy()), np.isneginf(expected))
    given["top_k"][0, 1] = 0
    with pytest.raises(ValueError, match=r"top_k must be 1 or more; top_k\[0, 1\] is 0"):
        truncate(torch.tensor(LOGITS), given)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("temperature", [None, 0.7])
def test_narrow_tensors(dtype: str, gradient: bool, temperature: float | None) -> None:
    torch = pytest.importorskip("torch")
    x = torch.tensor(LOGITS).to(getattr(torch, dtype))
    wide = Categorical(logits=x.float()).truncate(temperature=temperature, top_k=9, top_p=0.9)
    x.requires_grad_(gradient)
    dist = Categorical(logits=x).truncate(temperature=temperature, top_k=9, top_p=0.9)
    assert dist.dtype == (x.dtype if temperature is None else torch.float32)
    assert dist._param.requires_grad == gradient
    assert torch.equal(dist._param.float(), wide._param)
    assert torch.equal(dist.sample(5, rng=1), wide.sample(5, rng=1))


def test_vmap_of_torch() -> None:
    torch = pytest.importorskip("torch")
    x, k = torch.tensor(LOGITS), torch.arange(1, 13).reshape(4, 3)
    found = torch.func.vmap(lambda x, k: Categorical(logits=x).truncate(top_k=k).probs)(x, k)
    assert (found > 0).sum(-1).tolist() == k.tolist()
    found = torch.func.vmap(lambda k: Categorical(logits=x).truncate(top_k=k).probs)(k[:, 0])
    assert [set(counts.flatten().tolist()) for counts in (found > 0).sum(-1)] == [
        {1},
        {4},
        {7},
        {10},
    ]


def test_dask_arguments_in_other_chunks() -> None:
    da = pytest.importorskip("dask.array")
    arguments = random_arguments((4, 3))
    given = {
        name: da.from_array(a, chunks=chunks)
        for (name, a), chunks in zip(arguments.items(), [(3, 1), (2, 2), 4, (1, 3)], strict=True)
    }
    dist = Categorical(logits=da.from_array(LOGITS, chunks=(2, 2, 20))).truncate(**given)
    np.testing.assert_array_equal(dist._param.compute(), expected_of(arguments))
    wrong = da.from_array(np.array([[1], [1], [0], [1]]), chunks=2)
    with pytest.raises(ValueError, match=r"top_k must be 1 or more; top_k\[0, 0\] is 0"):
        Categorical(logits=da.from_array(LOGITS)).truncate(top_k=wrong).probs.compute()
    np.testing.assert_array_equal(
        dist.sample(3, rng=1).compute(),
        Categorical(logits=LOGITS).truncate(**arguments).sample(3, rng=1),
    )
