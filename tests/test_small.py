"""Small batches take a fast path: its draws, errors and use of ``rng`` are the general path's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rows
from hypothesis import given
from hypothesis import strategies as st
from libraries import get, put

from anycat import Categorical
from anycat._backends import registry
from anycat._backends.registry import backend_of
from anycat._kernels import (
    SMALL_MAX_DRAWS,
    SMALL_MAX_DRAWS_OF_LONG_ROWS,
    SMALL_MAX_SIZE,
    SMALL_MAX_SIZE_OF_LONG_ROWS,
    TILE,
)
from anycat._kernels.cpu import sizes, small
from anycat._kernels.cpu.jit.check import first_suspect_row_small
from anycat._kernels.cpu.jit.small import draw_small

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Array = np.ndarray[Any, Any]

LIBRARIES = ["numpy", "torch"]
FORMS = ["probs", "logits"]
DTYPES = [np.float32, np.float64]
INTEGERS = ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
CLASSES = ["MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"]


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """Return a list to which each call of the fast path's draw adds whether it drew."""
    calls: list[bool] = []

    def spy(*args: Any) -> Any:
        out = draw(*args)
        calls.append(out is not None)
        return out

    draw = small.draw
    monkeypatch.setattr(small, "draw", spy)
    return calls


def outcome(function: Callable[[], Any]) -> Any:
    """Return the draws of a function as a list, or the text of its error."""
    try:
        return get(function()).tolist()
    except (TypeError, ValueError) as error:
        return str(error)


def both(function: Callable[[], Any]) -> tuple[Any, Any]:
    """Return the outcome of a function by the fast path, and by the general one."""
    ours = outcome(function)
    with pytest.MonkeyPatch.context() as patch:
        for library in LIBRARIES:
            with suppress(ImportError):
                cls = type(registry.load(_row(library)))
                patch.setattr(cls, "small", lambda *_: None)
        return ours, outcome(function)


def _row(name: str) -> Any:
    return next(library for library in registry.LIBRARIES if library.name == name)


HARD = [0.0, -0.0, 1.0, 0.25, 5e-324, 1e-45, 1e-320, 3e38, 1e308, -1.0, np.inf, -np.inf, np.nan]
HARD += [2.0**20, -(2.0**20), 2.0**20 + 1, -(2.0**20) - 1, 2.0**21, -80.0, 88.7, -104.0]


def numbers_of(dtype: Any) -> st.SearchStrategy[Any]:
    """Return numbers that are hard, and others."""
    kind = np.dtype(dtype).kind
    if kind == "f":
        return st.sampled_from(HARD) | st.floats(0, 4, width=32)
    if kind == "b":
        return st.booleans()
    info = np.iinfo(dtype)
    hard = [0, 1, info.min, info.max, info.max - 1, 2**53 + 1, 2**62 + 513]
    few = st.integers(max(info.min, -3), 9)
    return st.sampled_from([x for x in hard if x <= info.max]) | few


@st.composite
def batches(draw: Any) -> Array:
    """Draw a batch with numbers that are hard, in any layout."""
    shape = (*tuple(draw(st.lists(st.integers(0, 4), max_size=3))), draw(st.integers(1, 9)))
    dtype = draw(st.sampled_from([*DTYPES, *INTEGERS]))
    n = int(np.prod(shape))
    numbers = draw(st.lists(numbers_of(dtype), min_size=n, max_size=n))
    with np.errstate(over="ignore"):
        x = np.array(numbers, dtype).reshape(shape)
    match draw(st.sampled_from(["C", "F", "strided", "read-only", "unaligned", "swapped"])):
        case "F":
            x = np.asfortranarray(x)
        case "strided":
            x = np.repeat(x, 2, -1)[..., ::2]
        case "read-only":
            x.flags.writeable = False
        case "unaligned":
            bytes_ = np.zeros(x.nbytes + 1, np.uint8)
            bytes_[1:] = np.frombuffer(x.tobytes(), np.uint8)
            x = bytes_[1:].view(x.dtype).reshape(shape)
        case "swapped":
            x = x.astype(x.dtype.newbyteorder())
    return x


@given(
    x=batches(),
    form=st.sampled_from(FORMS),
    validate=st.booleans(),
    sample=st.lists(st.integers(0, 5), max_size=2).map(tuple) | st.integers(0, 9),
)
def test_draws_and_errors_are_the_same(x: Array, form: str, validate: bool, sample: Any) -> None:
    def draw() -> Any:
        return Categorical(**{form: x}, validate_args=validate).sample(sample, rng=5)

    ours, expected = both(draw)
    assert ours == expected


@given(x=batches(), form=st.sampled_from(FORMS), validate=st.booleans(), data=st.data())
def test_values_are_the_same(x: Array, form: str, validate: bool, data: st.DataObject) -> None:
    value = np.array(
        data.draw(st.lists(st.integers(-1, x.shape[-1]), min_size=1, max_size=1)) * x[..., 0].size
    ).reshape(x.shape[:-1])
    clamp = data.draw(st.booleans())

    def make() -> Categorical:
        return Categorical(**{form: x}, validate_args=validate, clamp_probs=clamp)

    for ask in (
        lambda: make().log_prob(value),
        lambda: make().entropy(),
        lambda: make().probs,
        lambda: make().truncate(top_k=2).probs,
    ):
        ours, expected = both(ask)
        np.testing.assert_array_equal(ours, expected)  # NaN is NaN


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [1, 2, 6, 63, 64, 65, 128, 1000, 4096, 4097, 9000])
def test_hard_rows(taken: list[bool], library: str, form: str, dtype: Any, size: int) -> None:
    long = size > TILE
    count = 3
    most = SMALL_MAX_DRAWS_OF_LONG_ROWS if long else SMALL_MAX_DRAWS
    make = rows.weights if form == "probs" else rows.logits
    kinds = ["plain", "wide", "single"]
    kinds += ["sparse", "subnormal", "huge"] if form == "probs" else ["masked", "high", "low"]
    for kind in kinds:
        x = put(make(kind, (count, size), dtype), library)
        for samples in (1, most // count):
            new = partial(Categorical, **{form: x}, validate_args=False)  # a sum may be infinite
            ours, expected = both(lambda: new().sample(samples, rng=3))  # noqa: B023
            assert ours == expected
    assert taken.count(True) == 2 * len(kinds)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers(taken: list[bool], dtype: str, form: str) -> None:
    """Draws and values, with their dtypes, are those of the general path."""
    info = np.iinfo(dtype) if dtype != "bool" else None
    low, high = (0 if info is None or form == "probs" else info.min), info.max if info else 1
    for batch, size, n in (((3,), 7, 200), ((), 5, 9), ((2,), TILE + 3, 3)):
        x = np.random.default_rng(0).integers(low, high, (*batch, size), dtype, endpoint=True)
        x[..., 2] = 1
        small, large = (Categorical(**{form: x}) for _ in range(2))
        large = large.expand((1, *batch))
        value = np.full(batch, 2)
        for ours, theirs in (
            (small.sample(n, rng=1), large.sample(n, rng=1)[:, 0]),
            (small.log_prob(value), large.log_prob(value)[0]),
            (small.entropy(), large.entropy()[0]),
            (small.probs, large.probs[0]),
            (small.logits, large.logits[0]),
        ):
            assert (ours.dtype, ours.tolist()) == (theirs.dtype, theirs.tolist())
    assert taken == [True] * 3


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_is_small(taken: list[bool], library: str) -> None:
    def draw(shape: tuple[int, ...], *sample: int, dtype: str | None = None) -> bool:
        taken.clear()
        x = put(np.ones(shape), library)
        Categorical(x).sample(sample, rng=0, dtype=dtype and getattr(backend_of(x).xp, dtype))
        return taken == [True]

    assert draw((8, SMALL_MAX_SIZE // 8))
    assert not draw((8, SMALL_MAX_SIZE // 8 + 1))
    assert draw((2, SMALL_MAX_SIZE_OF_LONG_ROWS // 2), SMALL_MAX_DRAWS_OF_LONG_ROWS // 2)
    assert not draw((SMALL_MAX_SIZE_OF_LONG_ROWS + 1,))
    assert not draw((TILE + 1,), SMALL_MAX_DRAWS_OF_LONG_ROWS + 1)
    assert draw((2, 3), SMALL_MAX_DRAWS // 2)
    assert not draw((2, 3), SMALL_MAX_DRAWS // 2 + 1)
    assert draw((2, 3, 4), 5, 2)
    assert draw((2, 3, 4), 0)
    assert not draw((2, 0, 4), 2)
    assert not draw((3,), 2, dtype="int8")


@pytest.mark.parametrize("library", LIBRARIES)
def test_an_expanded_batch(library: str) -> None:
    x = put(np.random.default_rng(0).random((3, 1, 5)), library)
    for shape in [(3, 4), (2, 3, 1), (3, 1), (2, 3, 4)]:
        ours, expected = both(lambda: Categorical(x).expand(shape).sample(2, rng=1))  # noqa: B023
        assert ours == expected


@pytest.mark.parametrize("name", CLASSES)
def test_a_generator_gives_its_next_two_words(taken: list[bool], name: str) -> None:
    cls = getattr(np.random, name)
    ours, twin, expected = cls(3), np.random.Generator(cls(3)), cls(3)
    word = expected.ctypes.next_uint64
    words = [word(expected.ctypes.state) for _ in range(2)]
    dist = Categorical(np.ones((4, 1000)))
    assert (dist.sample(rng=ours) == dist.sample(rng=twin)).all()
    key = np.array(words, np.uint64).view(np.uint32).astype(np.uint64)
    general = Categorical(np.ones((4, 1000))).sample(300, rng=_Fixed(key))
    assert (dist.sample(rng=cls(3)) == general[0]).all()
    assert word(expected.ctypes.state) == ours.ctypes.next_uint64(ours.ctypes.state)
    assert taken.count(True) == 3


class _Fixed(np.random.PCG64):
    """A bit generator of a user's own class, whose function is not the one of its base."""

    def __init__(self, key: Array) -> None:
        super().__init__(0)
        self.words = iter(key[0::2] | key[1::2] << np.uint64(32))

    @property
    def ctypes(self) -> Any:
        return super().ctypes._replace(next_uint64=lambda _: int(next(self.words)))


@pytest.mark.parametrize("make", [lambda x: x.tolist(), lambda x: np.stack([x, x])])
def test_lists_and_parts_of_a_batch(taken: list[bool], make: Any) -> None:
    x = np.random.default_rng(0).random((3, 4))
    dist = Categorical(make(x))
    dist = dist if dist.batch_shape == (3,) else dist[1]
    assert (dist.sample(9, rng=1) == Categorical(x).sample(9, rng=1)).all()
    assert taken == [True, True]


def test_other_kinds_of_rng(taken: list[bool]) -> None:
    for rng in (7, np.random.SeedSequence(7), np.int64(7)):
        ours, expected = both(lambda: Categorical(np.ones(1000)).sample(9, rng=rng))  # noqa: B023
        assert ours == expected
    assert taken.count(True) == 3
    assert (Categorical(np.ones(4000)).sample(9) != Categorical(np.ones(4000)).sample(9)).any()


def test_nothing_is_taken_from_rng_if_arguments_are_wrong() -> None:
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state
    for arguments in ({"sample_shape": -1}, {"sample_shape": "x"}, {"dtype": float}):
        with pytest.raises((TypeError, ValueError)):
            Categorical([0.5, 0.5]).sample(rng=rng, **arguments)
    assert rng.bit_generator.state == before


def test_a_draw_waits_for_the_lock_of_its_generator() -> None:
    rng = np.random.default_rng(0)
    dist = Categorical([0.5, 0.5])
    dist.sample(rng=rng)
    with ThreadPoolExecutor(1) as pool:
        with rng.bit_generator.lock:
            draw = pool.submit(dist.sample, rng=rng)
            with pytest.raises(TimeoutError):
                draw.result(0.2)
        draw.result(10)
    assert rng.bit_generator.lock.acquire(blocking=False)  # released again
    rng.bit_generator.lock.release()


def test_long_rows_are_those_of_more_than_a_tile() -> None:
    assert TILE == sizes.TILE  # which cannot be imported without Numba


def test_kernels_keep_the_gil() -> None:
    """They share a workspace; and to get the GIL back can take longer than their work."""
    for kernel in (draw_small, first_suspect_row_small):
        assert not kernel.targetoptions["nogil"]
