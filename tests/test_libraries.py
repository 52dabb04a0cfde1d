"""What holds for every library that is served, and the table of them."""

import copy
import itertools
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import array_api_compat as compat
import numpy as np
import pytest
import rows
from libraries import BY_NAME, GPU, each_library, get, put
from numpy.testing import assert_allclose, assert_array_equal

from anycat import Categorical, _parameters, kl_divergence
from anycat._backends import registry
from anycat._backends.registry import ANY_OTHER, LIBRARIES, library_of

X = rows.make("probs", "plain", (2, 3, 5), np.float32)
VALUE = np.array([[[4, 0, 2]], [[1, 1, 3]]])
Q = np.float32([[0.0], [0.3], [1.0]]).reshape(3, 1, 1)

MEMBERS: dict[str, Callable[[Categorical, Callable[..., Any]], Any]] = {
    "probs": lambda d, _: d.probs,
    "logits": lambda d, _: d.logits,
    "log_prob": lambda d, array: d.log_prob(array(VALUE)),
    "log_prob of a list": lambda d, _: d.log_prob([0, 1, 4]),
    "prob": lambda d, _: d.prob(2),
    "cdf": lambda d, array: d.cdf(array(VALUE)),
    "icdf": lambda d, array: d.icdf(array(Q)),
    "entropy": lambda d, _: d.entropy(),
    "perplexity": lambda d, _: d.perplexity(),
    "mode": lambda d, _: d.mode,
    "mean": lambda d, _: d.mean,
    "variance": lambda d, _: d.variance,
    "enumerate_support": lambda d, _: d.enumerate_support(),
    "kl_divergence": lambda d, _: kl_divergence(d, d[:, :1]),
    "a part": lambda d, _: d[1, 1:].logits,
    "expanded": lambda d, _: d.expand((4, 2, 3)).entropy(),
    "sample": lambda d, _: d.sample((4, 2), rng=5),
    "sample of a part": lambda d, _: d[..., ::2].sample(9, rng=5),
    "sample of an expanded batch": lambda d, _: d[:, :1].expand((2, 2, 7)).sample(9, rng=5),
}

each_form = pytest.mark.parametrize("form", ["probs", "logits"])


def name_of(x: Any) -> str:
    return library_of(compat.array_namespace(x)).name


@each_library
@each_form
def test_every_library_gives_the_same(form: str, library: str) -> None:
    dist, expected = Categorical(**{form: put(X, library)}), Categorical(**{form: X})
    assert str(dist.dtype).endswith("float32")
    for name, member in MEMBERS.items():
        found, desired = member(dist, lambda x: put(x, library)), member(expected, np.asarray)
        assert name_of(found) == library, name
        if desired.dtype.kind == "i":
            assert_array_equal(get(found), desired, name)
        else:
            assert get(found).dtype == np.float32
            assert_allclose(get(found), desired, 1e-5, 1e-6, err_msg=name)


# --- dtypes of a few bits

NARROW = {
    **dict.fromkeys(("float8_e4m3fn", "float8_e5m2", "float8_e4m3b11fnuz"), "float32"),
    **dict.fromkeys(("int2", "int4"), "int8"),
    "float4_e2m1fn": "float32",
    "uint4": "uint8",
}


@pytest.mark.parametrize("library", ["numpy", "jax", "dask"])
@pytest.mark.parametrize(("dtype", "wider"), NARROW.items())
def test_dtypes_of_a_few_bits(dtype: str, wider: str, library: str) -> None:
    kind = getattr(pytest.importorskip("ml_dtypes"), dtype, None)
    if kind is None:
        pytest.skip("this release has no such dtype")
    x = put(np.ones(2, kind), library)
    advice = f"is of {dtype}: convert it to {wider} first"
    for form in ("probs", "logits"):
        with pytest.raises(TypeError, match=f"{form} {advice}"):
            Categorical(**{form: x})
    dist = Categorical(put(np.ones(2, np.float32), library))
    with pytest.raises(TypeError, match=f"value {advice}"):
        dist.log_prob(x)
    with pytest.raises(TypeError, match=f"q {advice}"):
        dist.icdf(x)
    Categorical(x.astype(wider))


# --- bfloat16, which NumPy has from ml_dtypes, and those have that take their dtypes from NumPy

each_with_bfloat16 = pytest.mark.parametrize(
    "library", ["numpy", "jax", "dask", pytest.param("cupy", marks=GPU)]
)


@each_with_bfloat16
@each_form
def test_bfloat16(form: str, library: str) -> None:
    """All is that of the same numbers in float32, rounded, and draws are the same."""
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    x = np.stack([np.roll([1, 2, 1, 4, 8], n) for n in range(6)]).reshape(2, 3, 5) / 8
    x = x.astype(bfloat16)  # all that is not a logarithm is exact
    dist, expected = Categorical(**{form: put(x, library)}), Categorical(**{form: np.float32(x)})
    assert dist.dtype == bfloat16
    for name, member in MEMBERS.items():
        found = get(member(dist, lambda x: put(x, library)))
        desired = member(expected, np.asarray)
        if desired.dtype.kind == "i":
            assert_array_equal(found, desired, name)
        else:
            assert found.dtype == bfloat16, name
            assert_allclose(np.float32(found), desired, 2**-8, err_msg=name)
    for name in ("log_prob", "cdf", "icdf"):
        value = (Q if name == "icdf" else VALUE).astype(bfloat16)
        found = getattr(dist, name)(put(value, library))
        assert_array_equal(get(found), get(getattr(dist, name)(put(np.float32(value), library))))


@each_with_bfloat16
@pytest.mark.parametrize(("form", "kind"), rows.KINDS)
def test_draws_from_bfloat16(form: str, kind: str, library: str) -> None:
    for shape, samples in (((200, 30), 5), ((50,), 20_001), ((4, 5000), ()), ((4000, 5), 2)):
        x = rows.make(form, kind, shape, "bfloat16")
        on_any, wide = put(x[..., ::-1], library), np.float32(x[..., ::-1])
        found = Categorical(**{form: on_any}, validate_args=False).sample(samples, rng=1)
        desired = Categorical(**{form: wide}, validate_args=False).sample(samples, rng=1)
        assert_array_equal(get(found), desired)


def test_kernels_beside_the_array_api_take_bfloat16() -> None:
    """As they do for large arrays of NumPy."""
    x = rows.make("probs", "plain", (40, 500), "bfloat16")
    assert_array_equal(
        Categorical(x).entropy(), Categorical(np.float32(x)).entropy().astype(x.dtype)
    )
    x[20, 300] = -1
    with pytest.raises(ValueError, match=r"probs must be finite .* probs\[20, 300\] is -1\.0"):
        Categorical(x)


COPIERS = [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]


@pytest.mark.parametrize("size", [2, 5000])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@each_library
def test_the_lowest_logarithm_of_a_probability(library: str, dtype: str, size: int) -> None:
    """It is that of the dtype that is computed in, and the same wherever it is computed."""
    if library == "array_api_strict" and dtype.endswith("float16"):
        pytest.skip("the standard has no float16")
    narrow = pytest.importorskip("ml_dtypes").bfloat16 if dtype == "bfloat16" else dtype
    probs = np.zeros(size)
    probs[1] = 1
    torch = library == "torch"  # which takes no bfloat16 of NumPy, nor gives one
    x = put(probs if torch else probs.astype(narrow), library)
    x = x.to(getattr(compat.array_namespace(x), dtype)) if torch else x
    eps = np.finfo("float64" if str(x.dtype).endswith("float64") else "float32").eps
    floor = np.float64(np.log(eps).astype(narrow))
    dist, exact = Categorical(x), Categorical(x, clamp_probs=False)
    for one in (dist, dist[None], dist.expand(3)):
        for lowest in (one.log_prob(0), one.logits[..., 0]):
            found = get(lowest.double() if torch else lowest)
            assert_allclose(np.float64(found), np.full(found.shape, floor), rtol=1e-7)
    assert float(exact.log_prob(0)) == -np.inf
    assert float(dist.prob(0)) == 0


@each_library
@pytest.mark.parametrize("copier", COPIERS, ids=["copy", "deepcopy", "pickle"])
def test_copies(copier: Callable[[Any], Any], library: str) -> None:
    dist = Categorical(logits=put(X, library), validate_args=False).expand((4, 2, 3))
    assert get(dist.probs).shape == (4, 2, 3, 5)
    twin = copier(dist)
    assert name_of(twin.probs) == library
    assert repr(twin) == repr(dist)
    assert_array_equal(get(twin.sample(9, rng=1)), get(dist.sample(9, rng=1)))
    assert_array_equal(get(twin.log_prob(9)), np.full((4, 2, 3), -np.inf))


@each_library
def test_what_is_kept_for_speed_is_not_pickled(library: str) -> None:
    dist = Categorical(put(rows.make("probs", "plain", (4000,), np.float32), library))
    fresh = len(pickle.dumps(dist))
    get(dist.sample(100_000, rng=0))
    get(dist.probs)
    get(dist.icdf(0.5))
    assert library == "dask" or dist._cache  # Dask keeps tables where it computes
    assert len(pickle.dumps(dist)) < fresh + 100 < 4 * 4000 + 10_000


def test_two_libraries_do_not_mix() -> None:
    arrays = {}
    for name in BY_NAME:
        try:
            arrays[name] = put(X[0, 0], name)
        except pytest.skip.Exception:
            continue
    reason = registry.unavailable_reason
    assert arrays.keys() == {x.name for x in LIBRARIES if not reason(x, x.memory[0])}
    assert {"numpy", "array_api_strict"} <= arrays.keys()
    for one, other in itertools.permutations(arrays, 2):
        dist = Categorical(arrays[one])
        message = rf"is an array of {other}, the distribution one of {one}: convert one of them"
        with pytest.raises(TypeError, match=f"value {message}"):
            dist.log_prob(arrays[other])
        with pytest.raises(TypeError, match=f"q {message}"):
            kl_divergence(dist, Categorical(arrays[other]))


@pytest.mark.gpu
class TestCuPyGenerator:
    pytestmark = GPU

    def test_it_is_taken_from_and_moves_on(self) -> None:
        import cupy

        dist = Categorical(X)
        rng, twin = (cupy.random.Generator(cupy.random.XORWOW(5)) for _ in range(2))
        first, second = dist.sample(50, rng=rng), dist.sample(50, rng=rng)
        assert (first != second).any()
        dist.sample((), rng=twin)
        assert_array_equal(dist.sample(50, rng=twin), second)


# --- the table


def test_every_library_is_found_by_its_namespace() -> None:
    for name in BY_NAME:
        try:
            x = put(X, name)
        except pytest.skip.Exception:
            continue
        xp = compat.array_namespace(x)
        assert library_of(xp) is BY_NAME[name]
        assert [library.name for library in LIBRARIES if library.owns(xp)] == [name]
    assert library_of(itertools) is ANY_OTHER


PAGE = Path(__file__).parents[1] / "docs" / "libraries.md"


def test_the_documentation_shows_the_table() -> None:
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    shown = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line[:1] == "|"]
    assert shown[2:] == [
        [x.title, ", ".join(x.memory), "yes" if x.gradients else "no", x.traced or "never", x.rng]
        for x in (*LIBRARIES, ANY_OTHER)
    ]


@pytest.mark.parametrize("shape", [(3, 5), (70, 90)])
@pytest.mark.parametrize("form", ["probs", "logits"])
@each_library
def test_values_in_cpu_memory_come_from_kernels(
    library: str, form: str, shape: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    x = put(np.random.default_rng(0).random(shape) + 0.1, library)
    if "CPU" not in BY_NAME[library].memory:
        pytest.skip("no array is in CPU memory")

    def refuse(*_: Any) -> None:
        raise AssertionError("array operations were used")

    for name in ("_probs_of", "_logits_of", "_gather_and_normalize", "_exact"):
        monkeypatch.setattr(Categorical, name, refuse)
    monkeypatch.setattr(_parameters, "mode", refuse)
    dist = Categorical(**{form: x})
    value = put(np.zeros(shape[0], np.int64), library)
    results = [dist.log_prob(value), dist.prob(value), dist.entropy(), dist.perplexity()]
    for result in (*results, dist.probs, dist.logits, dist.mode, dist.cdf(value)):
        assert np.isfinite(get(result)).all()
