"""The arguments of ``sample``: sample_shape, rng, dtype."""

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from libraries import key
from numpy.random import MT19937, PCG64, PCG64DXSM, SFC64, Generator, Philox, SeedSequence
from numpy.testing import assert_array_equal

from anycat import Categorical

BIT_GENERATORS = [PCG64, PCG64DXSM, MT19937, Philox, SFC64]
DIST = Categorical(np.ones(1000))

each_bit_generator = pytest.mark.parametrize("kind", BIT_GENERATORS)


# --- sample_shape

SHAPES: list[tuple[Any, tuple[int, ...]]] = [
    ((), ()),
    (3, (3,)),
    (0, (0,)),
    (np.int64(2), (2,)),
    (np.uint8(2), (2,)),
    (np.array(2), (2,)),
    ((2, 3), (2, 3)),
    ([2, 3], (2, 3)),
    ((2, 0, 3), (2, 0, 3)),
    ((np.int32(2), 1), (2, 1)),
    (np.array([2, 3]), (2, 3)),
    (range(1, 3), (1, 2)),
]


@pytest.mark.parametrize("batch", [(), (4,), (0,), (1, 2)], ids=str)
@pytest.mark.parametrize(("shape", "expected"), SHAPES, ids=str)
def test_sample_shape(
    shape: Any, expected: tuple[int, ...], batch: tuple[int, ...], array: Any, host: Any
) -> None:
    sample = host(Categorical(array(np.ones((*batch, 5)))).sample(shape, rng=0))
    assert sample.shape == (*expected, *batch)
    assert sample.dtype == np.int64
    assert ((sample >= 0) & (sample < 5)).all()


def test_a_sample_can_be_written_to() -> None:
    first = DIST.sample(3, rng=0)
    kept = first.tolist()
    first[:] = -7
    assert DIST.sample(3, rng=0).tolist() == kept


# --- dtype

INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("draws", [1, pytest.param(40, marks=pytest.mark.slow)])
def test_dtype(dtype: str, draws: int, xp: Any, array: Any, host: Any) -> None:
    dist = Categorical(array(np.ones((3, 7))))
    asked = getattr(xp, dtype)
    sample = dist.sample(draws, rng=5, dtype=asked)
    assert sample.dtype == asked
    assert_array_equal(host(sample), host(dist.sample(draws, rng=5)))


@pytest.mark.parametrize("dtype", [int, "int16", "i2", np.dtype("u1"), np.intp])
def test_names_of_numpy_dtypes(dtype: Any) -> None:
    assert Categorical([0.5, 0.5]).sample(dtype=dtype).dtype == np.dtype(dtype)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16"])
def test_dtype_holds_the_last_category(dtype: str) -> None:
    most = np.iinfo(dtype).max + 1
    params = np.zeros(most + 1)
    params[-2] = 1
    assert Categorical(params[:-1]).sample(2, dtype=dtype).tolist() == [most - 1] * 2
    with pytest.raises(ValueError, match=f"dtype must hold numbers up to {most}; got {dtype}"):
        Categorical(params).sample(2, dtype=dtype)


@pytest.mark.parametrize("dtype", ["uint8", "uint64"])
def test_dtype_is_signed_where_rows_may_be_void(dtype: str) -> None:
    dist = Categorical([[1.0, 1.0], [0.0, 0.0]], validate_args=False)
    with pytest.raises(ValueError, match=f"dtype must be signed .*got {dtype}"):
        dist.sample(dtype=dtype)
    assert dist.sample(dtype="int8")[1] == -1


NO_INTEGERS: list[Any] = ["float32", float, bool, "bool", complex, object, "str", "m8[s]", "no", 3]


@pytest.mark.parametrize("dtype", [*NO_INTEGERS, [], "i4,i4", ("i4", -1), ">i4", ">u2"])
def test_dtype_of_the_wrong_kind(dtype: Any) -> None:
    with pytest.raises(TypeError, match=r"dtype must be an integer dtype.*; got"):
        Categorical([0.5, 0.5]).sample(dtype=dtype)


@pytest.mark.parametrize("name", ["float32", "bool"])
def test_dtype_of_the_wrong_kind_of_a_library(name: str, xp: Any, array: Any) -> None:
    with pytest.raises(TypeError, match=r"dtype must be an integer dtype.*; got"):
        Categorical(array([0.5, 0.5])).sample(dtype=getattr(xp, name))


# --- rng


def draws(rng: Any) -> list[int]:
    return DIST.sample(20, rng=rng).tolist()


EQUAL: list[tuple[int, Callable[[], Any]]] = [
    (0, lambda: np.random.default_rng(0)),
    (0, lambda: np.int64(0)),
    (7, lambda: np.uint8(7)),
    (7, lambda: np.array(7)),
    (7, lambda: SeedSequence(7)),
    (7, lambda: PCG64(7)),
    (7, lambda: Generator(PCG64(SeedSequence(7)))),
    (2**200, lambda: np.random.default_rng(2**200)),
]


@pytest.mark.parametrize(("seed", "make"), EQUAL)
def test_equal_rngs(seed: int, make: Callable[[], Any]) -> None:
    assert draws(seed) == draws(make())


def test_seeds_give_the_same_draws_again() -> None:
    sequence = SeedSequence(5)
    assert draws(sequence) == draws(sequence)
    assert sequence.n_children_spawned == 0
    assert draws(5) == draws(5) != draws(6)


def test_none_gives_fresh_draws() -> None:
    assert len({tuple(draws(None)) for _ in range(5)}) == 5


@each_bit_generator
def test_bit_generators(kind: Any) -> None:
    others = [draws(other(3)) for other in BIT_GENERATORS if other is not kind]
    assert draws(kind(3)) == draws(Generator(kind(3)))
    assert draws(kind(3)) not in others


def state(rng: Any) -> str:
    return repr(getattr(rng, "bit_generator", rng).state)


@each_bit_generator
@pytest.mark.parametrize("wrap", [Generator, lambda bits: bits], ids=["Generator", "BitGenerator"])
@pytest.mark.parametrize("shape", [(), 0, 1000, (3, 5)], ids=str)
@pytest.mark.parametrize("batch", [(), (2,), (0,)], ids=str)
def test_a_call_takes_128_bits(
    batch: tuple[int, ...], shape: Any, wrap: Callable[[Any], Any], kind: Any
) -> None:
    rng, twin = wrap(kind(3)), kind(3)
    Categorical(np.ones((*batch, 4))).sample(shape, rng=rng)
    twin.random_raw(4 if kind is MT19937 else 2)  # of 32 bits, of 64 bits
    assert state(rng) == state(twin)


@each_bit_generator
def test_the_key_is_two_words_low_half_first(kind: Any) -> None:
    words = Generator(kind(3)).integers(0, 2**64, 2, np.uint64, endpoint=False).tolist()
    expected = [half for word in words for half in (word & 0xFFFFFFFF, word >> 32)]
    assert key(kind(3)).tolist() == expected


def test_a_generator_moves_on() -> None:
    rng, twin = np.random.default_rng(1), np.random.default_rng(1)
    first, second = draws(rng), draws(rng)
    assert first != second
    DIST.sample((), rng=twin)  # as many bits as for 20 draws
    assert draws(twin) == second


def test_the_buffered_half_of_a_word_is_left() -> None:
    rng, twin = np.random.default_rng(1), np.random.default_rng(1)
    assert rng.integers(2**32, dtype=np.uint32) == twin.integers(2**32, dtype=np.uint32)
    draws(rng)
    assert rng.integers(2**32, dtype=np.uint32) == twin.integers(2**32, dtype=np.uint32)


NO_RNG: list[Any] = [1.0, True, "1", [1, 2], (1,), np.random, np.random.RandomState(0)]
NO_RNG += [np.float64(1), np.bool_(True), np.array([1]), object(), PCG64, {}]


@pytest.mark.parametrize("rng", NO_RNG, ids=lambda rng: repr(rng)[:20])
def test_rng_of_the_wrong_kind(rng: Any) -> None:
    name = f"{type(rng).__module__}.{type(rng).__qualname__}".removeprefix("builtins.")
    message = rf"rng must be None, an int.*numpy\.random\.default_rng.*got {re.escape(name)}(:|$)"
    with pytest.raises(TypeError, match=message):
        DIST.sample(rng=rng)


@pytest.mark.parametrize("rng", [-1, np.int8(-5)])
def test_rng_below_zero(rng: Any) -> None:
    with pytest.raises(ValueError, match=f"rng must not be negative; got {rng}"):
        DIST.sample(rng=rng)


# --- bad calls leave the generator as it is

BAD_CALLS: list[tuple[dict[str, Any], type[Exception], str | None]] = [
    ({"sample_shape": 1.0}, TypeError, "sample_shape must be an integer or a tuple.*got 1.0"),
    ({"sample_shape": (2, 3.0)}, TypeError, r"sample_shape .*got \(2, 3.0\)"),
    ({"sample_shape": None}, TypeError, "sample_shape .*got None"),
    ({"sample_shape": "2"}, TypeError, "sample_shape .*got '2'"),
    ({"sample_shape": ""}, TypeError, "sample_shape .*got ''"),
    ({"sample_shape": b"ab"}, TypeError, "sample_shape .*got b'ab'"),
    ({"sample_shape": {}}, TypeError, "sample_shape .*got {}"),
    ({"sample_shape": {2, 3}}, TypeError, "sample_shape .*got {2, 3}"),
    ({"sample_shape": ((2,), 3)}, TypeError, "sample_shape .*got"),
    ({"sample_shape": np.ones((1, 1), int)}, TypeError, "sample_shape .*got"),
    ({"sample_shape": np.array([1.0])}, TypeError, "sample_shape .*got"),
    ({"sample_shape": -1}, ValueError, r"sample_shape must not be negative; got \(-1,\)"),
    ({"sample_shape": (2, -3)}, ValueError, r"sample_shape must not be negative; got \(2, -3\)"),
    ({"sample_shape": 2**62}, ValueError, "sample_shape"),
    ({"sample_shape": (2**40, 2**40)}, ValueError, "sample_shape"),
    ({"sample_shape": 2**64 + 1}, ValueError, "sample_shape"),
    ({"sample_shape": 2**59}, MemoryError, None),
    ({"sample_shape": (2**59, 0, 2**59), "dtype": float}, TypeError, "dtype"),
    ({"dtype": "float64"}, TypeError, "dtype"),
    ({"dtype": "int8"}, ValueError, "dtype"),
    ({"dtype": ">i8"}, TypeError, "dtype"),
]


@pytest.mark.parametrize(("arguments", "error", "message"), BAD_CALLS, ids=str)
def test_bad_calls(arguments: dict[str, Any], error: type[Exception], message: str | None) -> None:
    rng = np.random.default_rng(0)
    before = state(rng)
    with pytest.raises(error, match=message):
        DIST.sample(**arguments, rng=rng)
    assert state(rng) == before


def test_bad_calls_of_expanded_distributions() -> None:
    rng = np.random.default_rng(0)
    before = state(rng)
    with pytest.raises(ValueError, match="sample_shape"):
        DIST.expand((2**24, 2**24)).sample(2**16, rng=rng)
    assert state(rng) == before


@pytest.mark.parametrize("where", ["another device", "no DLPack"])
def test_memory_that_is_out_of_reach(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    strict = pytest.importorskip("array_api_strict")
    params = strict.ones(3)
    if where == "no DLPack":
        monkeypatch.delattr(type(params), "__dlpack_device__")
    else:
        monkeypatch.setattr(type(params), "__dlpack_device__", lambda self: (8, 0))  # Metal
    rng = np.random.default_rng(0)
    before = state(rng)
    with pytest.raises(
        TypeError, match=r"one CPU or CUDA device.*array-api-strict.*move it to the CPU"
    ):
        Categorical(params).sample(rng=rng)
    assert state(rng) == before


def test_shapes_without_draws_cost_nothing(array: Any) -> None:
    dist = Categorical(array(np.ones(3)))
    assert math.prod(dist.sample((10**9, 0)).shape) == 0
