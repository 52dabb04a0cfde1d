"""Masks by kernels are those by array operations, bit for bit."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import rows
from libraries import each_library, get, put

from anycat import Categorical
from anycat._backends.base import Backend
from anycat._kernels import cpu
from anycat._kernels.cpu import rows as cpu_rows

if TYPE_CHECKING:
    from collections.abc import Callable

Array = np.ndarray[Any, Any]

FLOATS = "float16", "bfloat16", "float32", "float64"
OTHERS = "bool", "uint8", "int16", "int32", "uint32", "int64", "uint64"
CASES = [
    *(("logits", dtype) for dtype in FLOATS),
    *(("probs", dtype) for dtype in (*FLOATS, *OTHERS)),
]
SIZES = 1, 2, 18, 31, 32, 33, 63, 64, 65, 100, 4095, 4096, 4097, 4128, 8192, 8197


def make(form: str, name: str, shape: tuple[int, ...], seed: int = 0) -> Array:
    """Return parameters of each sign, subnormals, and many of probability zero."""
    rng, bfloat16 = np.random.default_rng(seed), name == "bfloat16"
    dtype = np.dtype(pytest.importorskip("ml_dtypes").bfloat16 if bfloat16 else name)
    x = rng.integers(1, 100, shape).astype(dtype)
    if name in FLOATS:
        x = rng.standard_normal(shape).astype(dtype)
        tiny = np.ones(1, f"u{dtype.itemsize}").view(dtype)
        x = np.where(rng.random(shape) < 0.1, tiny, x if form == "logits" else abs(x))
        x = np.where(rng.random(shape) < 0.2, np.asarray(-0.0, dtype), x)
    return np.where(rng.random(shape) < 0.5, np.asarray(lowest(form), dtype), x)


def lowest(form: str) -> float:
    return -np.inf if form == "logits" else 0.0


def same(found: Array, expected: Array) -> bool:
    """Tell whether arrays have the same dtype and the same bits."""
    return found.dtype == expected.dtype and found.tobytes() == expected.tobytes()


def masked(x: Array, mask: Array, logits: bool) -> tuple[Array, Array]:
    return cpu.masked(x, mask, logits, lambda module, *spec: module.empty(*spec))


def check(x: Array, mask: Array, form: str) -> None:
    """Compare kernels with the definition, for bools and for words."""
    expected = np.where(mask, x, np.asarray(lowest(form), x.dtype))
    left = (expected.astype(np.float64) > lowest(form)).any(-1)
    for given in (mask, rows.packed(mask), rows.packed(mask).view(np.uint32)):
        found, rows_left = masked(x, given, form == "logits")
        assert same(found, expected), (x.shape, x.dtype, given.dtype, given.shape)
        np.testing.assert_array_equal(rows_left, left)


@pytest.mark.parametrize(("form", "dtype"), CASES)
@pytest.mark.parametrize("threads", [1, 2])
def test_sizes(threads: int, form: str, dtype: Any) -> None:
    for size in SIZES:
        rng = np.random.default_rng(size)
        x, mask = make(form, dtype, (5, size), size), rng.random((5, size)) < 0.5
        x[1], mask[2] = lowest(form), False
        mask[3], mask[4] = np.arange(size) == size - 1, ~(x[4].astype(float) > lowest(form))
        with rows.threads(threads):
            for given in (mask, *mask):  # for each row, and for all
                check(x, given, form)


@pytest.mark.parametrize("size", [7, 70, 4100])
def test_each_category_alone(size: int) -> None:
    """A row is left if any of its categories is, also in the last bits and words."""
    x = np.ones((size, size), np.float32)
    check(x, np.eye(size, dtype=bool), "probs")
    check(np.diag(x[0]), np.ones(size, bool), "probs")


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "Fortran": np.asfortranarray,
    "reversed": lambda x: x[::-1, :, ::-1].copy()[::-1, :, ::-1],
    "transposed batch": lambda x: x.swapaxes(0, 1).copy().swapaxes(0, 1),
    "broadcast": lambda x: np.broadcast_to(x[:1], x.shape),
    "stepped": lambda x: np.repeat(x, 2, -1)[..., ::2],
    "read-only": lambda x: np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape),
    "unaligned": lambda x: np.frombuffer(b"-" + x.tobytes(), x.dtype, offset=1).reshape(x.shape),
}


@pytest.mark.parametrize("of_mask", LAYOUTS)
@pytest.mark.parametrize("of_params", LAYOUTS)
def test_layouts(of_params: str, of_mask: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_rows, "CONVERTED_ELEMENTS", 300)  # so that there are several blocks
    x = LAYOUTS[of_params](make("logits", "float32", (4, 3, 70)))
    mask = LAYOUTS[of_mask](np.random.default_rng(1).random((4, 3, 70)) < 0.5)
    words = LAYOUTS[of_mask](rows.packed(mask))
    expected = np.where(mask, x, np.float32(-np.inf))
    for count in (1, 2):
        with rows.threads(count):
            for given in (mask, words):
                assert same(masked(x, given, True)[0], expected)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (4, 1), (1, 3), (1, 1), (4, 3)])
def test_masks_of_batches(shape: tuple[int, ...]) -> None:
    x, rng = make("logits", "float32", (4, 3, 70)), np.random.default_rng(1)
    check(x, rng.random((*shape, 70)) < 0.5, "logits")


def test_no_batch_and_no_rows() -> None:
    x, mask = make("logits", "float32", (3, 70)), np.arange(70) % 3 == 0
    check(x[0], mask, "logits")
    check(x[:0], mask, "logits")
    check(x[:0], np.ones((0, 70), bool), "logits")


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i4"])
def test_byte_order(dtype: str) -> None:
    x = make("probs", np.dtype(dtype).name, (3, 40))
    mask = np.random.default_rng(1).random((3, 40)) < 0.5
    found, _ = masked(x.astype(f">{dtype}"), mask, False)
    assert same(found, np.where(mask, x, np.asarray(0, dtype)))


def test_numbers_stay_as_they_are() -> None:
    """Those that are invalid too, with all bits of a NaN."""
    bits = np.arange(2**16, dtype=np.uint16)
    for dtype in (np.dtype(np.float16), np.dtype("V2")):  # kernels know bfloat16 as two bytes
        for form in ("probs", "logits"):
            found, _ = masked(bits.view(dtype), np.ones(2**16, bool), form == "logits")
            assert same(found, bits.view(dtype))


def test_an_expanded_batch() -> None:
    mask = np.array([[True, True, False], [False, True, True]])
    dist = Categorical([0.2, 0.3, 0.5]).expand((4, 2))
    assert dist.truncate(mask=mask[0])._param.shape == (3,)
    each = dist.truncate(mask=mask)
    assert each.batch_shape == (4, 2)
    assert each._param.tolist() == [[0.2, 0.3, 0], [0, 0.3, 0.5]]
    assert (each.sample(50, rng=0) > 0)[..., 1].all()


def by_array_operations(self: Any, *args: Any) -> None:
    """Stand for `Backend.masked` where no kernel can do it."""


@pytest.mark.parametrize("by", ["kernels", "array operations"])
@pytest.mark.parametrize("dtype", [np.float16, np.int64])
def test_sums_that_overflow_in_the_dtype(
    dtype: Any, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by != "kernels":
        monkeypatch.setattr(Backend, "masked", by_array_operations)
    largest = np.finfo(dtype).max if dtype is np.float16 else np.iinfo(dtype).max
    dist = Categorical(np.full((2, 40), largest, dtype))
    for mask in (np.ones(40, bool), rows.packed(np.ones((2, 40), bool))):
        assert same(dist.truncate(mask=mask)._param, dist._param)
        assert dist[:0].truncate(mask=mask[..., :0, :] if mask.ndim > 1 else mask)._param.shape == (
            0,
            40,
        )


LEAVES_NONE = "mask must allow a category of positive probability in each row; it allows none"


@each_library
@pytest.mark.parametrize("by", ["kernels", "array operations"])
@pytest.mark.parametrize("form", ["probs", "logits"])
@pytest.mark.parametrize("words", [False, True])
def test_rows_of_which_nothing_is_left(
    words: bool, form: str, by: str, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by != "kernels":
        monkeypatch.setattr(Backend, "masked", by_array_operations)
    x, mask = np.ones((2, 2, 40), np.float32), np.ones((2, 2, 40), bool)
    mask[1, 0, 5:], x[1, 0, :5] = False, lowest(form)
    given, param = put(rows.packed(mask) if words else mask, library), put(x, library)
    dist = Categorical(**{form: param})
    place = r"\[1, 0\]" if library != "dask" else ""
    with pytest.raises(ValueError, match=f"{LEAVES_NONE} in row {place}"):
        get(dist.truncate(mask=given).sample(rng=0))
    dist = Categorical(**{form: param}, validate_args=False).truncate(mask=given)
    draws = get(dist.sample(rng=0))
    assert draws[1, 0] == -1
    assert np.count_nonzero(draws < 0) == 1
    one = Categorical(**{form: put(np.ones(40), library)})
    with pytest.raises(ValueError, match=f"{LEAVES_NONE}$"):
        get(one.truncate(mask=put(np.zeros(40, bool), library)).sample(rng=0))


@pytest.mark.parametrize("library", ["numpy", "torch", "jax", "array_api_strict"])
def test_libraries_use_kernels(library: str) -> None:
    x = put(make("logits", "float32", (3, 40)), library)
    mask, cache = put(np.ones((3, 40), bool), library), dict[str, Any]()
    backend = Categorical(logits=x)._backend
    found = backend.masked(x, mask, True, cache)
    assert type(found) is type(x)
    np.testing.assert_array_equal(get(found), get(x))
    assert get(cache["rows left"]).tolist() == [True] * 3


def test_pytorch() -> None:
    torch = pytest.importorskip("torch")
    x = torch.tensor(make("logits", "float32", (3, 40)))
    mask = torch.rand(3, 40) < 0.5
    expected = x.masked_fill(~mask, -torch.inf)
    x.requires_grad_()
    tracked = Categorical(logits=x).truncate(mask=mask).logits
    assert tracked.requires_grad
    with torch.no_grad():
        for y in (x, x.detach(), x.detach().bfloat16()):
            left = Categorical(logits=y).truncate(mask=mask)._param
            assert (left.dtype, left.requires_grad) == (y.dtype, False)
            assert torch.equal(left, expected.to(y.dtype))


def test_jax() -> None:
    jax = pytest.importorskip("jax")
    x = make("logits", "float32", (3, 40))
    x[:, 0], mask = 1, np.random.default_rng(1).random((3, 40)) < 0.5
    mask[:, 0] = True
    expected = np.where(mask, x, -np.inf)

    def truncate(x: Any, mask: Any) -> Any:
        return Categorical(logits=jax.numpy.asarray(x)).truncate(mask=mask)._param

    for given in map(jax.numpy.asarray, (mask, rows.packed(mask))):
        for found in (
            jax.jit(truncate)(x, given),
            jax.vmap(truncate)(x, given),
            jax.jit(partial(truncate, x))(given),
            jax.jit(partial(truncate, mask=given))(x),
            jax.jit(partial(truncate, x, given))(),
        ):
            np.testing.assert_array_equal(found, expected)
