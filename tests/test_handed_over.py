"""What users of NumPy hand over, besides its arrays, and the scalars that they get back."""

import importlib
from typing import Any

import numpy as np
import pytest
from libraries import each_library, get, put
from numpy.testing import assert_array_equal

from anycat import Categorical, kl_divergence

FUNCTIONS = ["log_prob", "prob", "cdf", "icdf"]

each_form = pytest.mark.parametrize("form", ["probs", "logits"])
each_function = pytest.mark.parametrize("function", FUNCTIONS)
no_gpu = pytest.mark.parametrize("library", ["torch", "jax", "dask", "array_api_strict"])


def name_of(function: str) -> str:
    return "q" if function == "icdf" else "value"


# --- tables, which are converted to arrays of NumPy


class Table:
    """What pandas' objects look like from here: no array, but convertible to one."""

    def __init__(self, values: Any) -> None:
        self.values = np.asarray(values)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.values


TABLES = {
    Table: lambda x: Table(x),
    "pandas.Series": lambda x: [importlib.import_module("pandas").Series(row) for row in x],
    "pandas": lambda x: importlib.import_module("pandas").DataFrame(x, index=["b", "a"]),
    "xarray": lambda x: importlib.import_module("xarray").DataArray(x, dims=["row", "category"]),
    "polars": lambda x: importlib.import_module("polars").DataFrame(x),
}
ROWS = np.array([[1.0, 2.0, 1.0], [0.0, 3.0, 1.0]])


@pytest.fixture(params=TABLES)
def table(request: pytest.FixtureRequest) -> Any:
    if isinstance(request.param, str):
        pytest.importorskip(request.param.split(".")[0])
    return TABLES[request.param]


@each_form
def test_tables_become_arrays(form: str, table: Any) -> None:
    dist = Categorical(**{form: table(ROWS)})
    expected = Categorical(**{form: ROWS})
    assert type(dist.probs) is np.ndarray
    assert_array_equal(dist.probs, expected.probs)
    assert_array_equal(dist.sample(5, rng=1), expected.sample(5, rng=1))


@each_function
def test_tables_of_values(function: str, table: Any) -> None:
    values, dist = np.array([[0, 1], [1, 0]]), Categorical([[0.5, 0.5], [0.25, 0.75]])
    found = getattr(dist, function)(table(values))
    assert_array_equal(found, getattr(dist, function)(values))


def test_tables_are_not_copied() -> None:
    assert np.shares_memory(Categorical(Table(ROWS))._param, ROWS)


NO_NUMBERS: list[Any] = [["a", "b"], [0.5, None], np.array([1, 2], object), [0.5, 0.5j]]


@pytest.mark.parametrize("values", NO_NUMBERS, ids=repr)
def test_tables_of_no_numbers(values: Any) -> None:
    with pytest.raises(TypeError, match=r"^probs must hold real numbers; got dtype "):
        Categorical(Table(values))
    with pytest.raises(TypeError, match=r"^value must hold real numbers; got dtype "):
        Categorical([0.5, 0.5]).log_prob(Table(values))


@each_function
def test_tables_beside_other_libraries(function: str) -> None:
    strict = pytest.importorskip("array_api_strict")
    message = f"^{name_of(function)} is an array of numpy .from a Table., .*: convert"
    with pytest.raises(TypeError, match=message):
        getattr(Categorical(strict.ones(2)), function)(Table([0, 1]))


def test_a_class_of_tables_is_no_table() -> None:
    with pytest.raises(TypeError, match=r"^probs must be an array or a list of numbers; got type$"):
        Categorical(Table)


# --- sparse matrices, which are refused


@pytest.mark.parametrize("kind", ["csr_array", "coo_matrix"])
def test_sparse_matrices(kind: str) -> None:
    given = getattr(pytest.importorskip("scipy.sparse"), kind)(ROWS)
    with pytest.raises(TypeError, match=rf"^probs .*got {kind}: call its toarray\(\) first$"):
        Categorical(given)
    with pytest.raises(TypeError, match=rf"^value .*got {kind}: call its toarray\(\) first$"):
        Categorical([0.5, 0.5]).log_prob(given)


def test_sparse_tensors() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(TypeError, match=r"^probs .*sparse.*to_dense\(\) first"):
        Categorical(torch.ones(2, 3).to_sparse())


# --- lists of other arrays, which are refused

STACKS = {
    "torch": r"torch\.stack",
    "jax": r"jax\.numpy\.stack",
    "dask": r"dask\.array\.stack",
    "array_api_strict": r"array_api_strict\.stack",
}
NESTED = {
    "list": lambda x: [x, x],
    "tuple": lambda x: (x, x),
    "deep": lambda x: [([x, x],)],
    "not first": lambda x: [[0.5, 0.5], x],
    "numbers": lambda x: [x[0], x[1]],
}


@pytest.mark.parametrize("nested", NESTED)
@no_gpu
@each_form
def test_lists_of_arrays(form: str, library: str, nested: str) -> None:
    given = NESTED[nested](put(np.array([0.5, 0.5]), library))
    with pytest.raises(TypeError, match=f"^{form} is a list of arrays .*: call {STACKS[library]} "):
        Categorical(**{form: given}, validate_args=False)


@pytest.mark.parametrize("whose", ["numpy", "its own"])
@no_gpu
@each_function
def test_lists_of_arrays_as_values(function: str, library: str, whose: str) -> None:
    ones = np.ones(2)
    dist = Categorical(ones if whose == "numpy" else put(ones, library))
    message = f"^{name_of(function)} is a list of arrays .*: call {STACKS[library]} first$"
    with pytest.raises(TypeError, match=message):
        getattr(dist, function)([put(ones, library), put(ones, library)])


def test_lists_of_numpy_arrays_are_fine() -> None:
    assert Categorical([[np.ones(2)], (np.array([1, 3]),)]).param_shape == (2, 1, 2)
    assert_array_equal(Categorical([np.float32(1), np.array(3)]).probs, [0.25, 0.75])


@each_library
def test_lists_of_numpy_arrays_meet_every_library(library: str) -> None:
    """Without a warning that this is slow, as PyTorch has it."""
    mask = np.array([True, False, True])
    dist = Categorical(put(np.ones((2, 3)), library)).truncate(mask=[mask, ~mask])
    assert_array_equal(get(dist.probs), [[0.5, 0, 0.5], [0, 1, 0]])


# --- numbers of NumPy, which meet arrays of any library as Python's do

NUMBERS: list[Any] = [np.int64(1), np.uint8(1), np.float32(1), np.bool_(True), np.array(1)]
NUMBERS += [np.array(1.0), np.array(1, "uint64")]


@pytest.mark.parametrize("number", NUMBERS, ids=repr)
@each_function
@each_library
def test_numbers_of_numpy(library: str, function: str, number: Any) -> None:
    method = getattr(Categorical(put(ROWS.astype("float32"), library)), function)
    found, expected = method(number), method(number.item())
    assert type(found) is type(expected)
    assert found.dtype == expected.dtype
    assert_array_equal(get(found), get(expected))


@no_gpu
def test_numbers_of_numpy_that_do_not_fit(library: str) -> None:
    dist = Categorical(put(ROWS, library))
    with pytest.raises(TypeError, match=r"^value is an array of numpy"):
        dist.log_prob(np.array([1]))
    with pytest.raises(TypeError, match=r"^value must hold real numbers"):
        dist.log_prob(np.complex64(1))
    if library != "dask":
        with pytest.raises(ValueError, match=r"^value must hold whole numbers .*value is 3$"):
            dist.log_prob(np.int8(3))


# --- scalars of NumPy

MEMBERS: dict[str, Any] = {
    "sample": lambda d: d.sample(rng=0),
    "sample of a dtype": lambda d: d.sample(rng=0, dtype="int16"),
    "mode": lambda d: d.mode,
    "mean": lambda d: d.mean,
    "variance": lambda d: d.variance,
    "entropy": lambda d: d.entropy(),
    "perplexity": lambda d: d.perplexity(),
    "log_prob": lambda d: d.log_prob(1),
    "log_prob of a scalar": lambda d: d.log_prob(np.int64(1)),
    "log_prob of an array": lambda d: d.log_prob(np.array(1)),
    "prob": lambda d: d.prob(1),
    "cdf": lambda d: d.cdf(1),
    "icdf": lambda d: d.icdf(0.4),
    "kl_divergence": lambda d: kl_divergence(d, d),
}
INTEGERS = {"sample": np.int64, "sample of a dtype": np.int16, "mode": np.int64, "icdf": np.int64}
SIZES = [3, 5000, 30_000]  # of the fast path: few categories, many; and of no fast path


@pytest.mark.parametrize("member", MEMBERS)
@pytest.mark.parametrize("validate", [True, False])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "bool", ">f8"])
@each_form
def test_scalars_of_numpy(form: str, dtype: str, size: int, validate: bool, member: str) -> None:
    dist = Categorical(**{form: np.ones(size, dtype)}, validate_args=validate)
    found = MEMBERS[member](dist)
    plain = np.dtype(dtype).newbyteorder("=")
    real = plain.type if plain.kind == "f" else np.float64
    assert type(found) is INTEGERS.get(member, real)
    hash(found)


@pytest.mark.parametrize("member", ["log_prob", "prob"])
def test_scalars_of_numpy_for_what_is_no_category(member: str) -> None:
    dist = Categorical(np.ones(3), validate_args=False)
    assert type(getattr(dist, member)(7)) is np.float64


def test_scalars_of_numpy_of_a_part() -> None:
    assert {type(row.sample()) for row in Categorical(ROWS)} == {np.int64}


@pytest.mark.parametrize("member", MEMBERS)
@no_gpu
def test_arrays_without_axes_of_other_libraries(library: str, member: str) -> None:
    params = put(np.ones(3, "float32"), library)
    found = MEMBERS[member](Categorical(params))
    assert type(found) is type(params)
    assert tuple(found.shape) == ()


# --- dtypes that would be converted after their check

wide = pytest.mark.skipif(np.dtype("longdouble").itemsize == 8, reason="longdouble is float64")
REFUSED = rf"has dtype {np.dtype('longdouble')}: convert it to float64 first$"


@wide
@pytest.mark.parametrize("validate", [True, False])
@pytest.mark.parametrize("library", ["numpy", "dask"])
@each_form
def test_long_doubles_are_refused(form: str, library: str, validate: bool) -> None:
    tiny = np.full(2, np.finfo("longdouble").smallest_normal)  # zeros in float64
    with pytest.raises(TypeError, match=f"^{form} {REFUSED}"):
        Categorical(**{form: put(tiny, library)}, validate_args=validate)
    with pytest.raises(TypeError, match=f"^{form} {REFUSED}"):
        Categorical(**{form: list(tiny)}, validate_args=validate)


@wide
@each_function
def test_long_doubles_as_values_are_refused(function: str) -> None:
    given = [np.longdouble(1), np.ones(2, "longdouble")]
    for library, values in (("numpy", [*given, given[:1]]), ("array_api_strict", given)):
        dist = Categorical(put(np.ones(2), library))
        for value in values:
            with pytest.raises(TypeError, match=f"^{name_of(function)} {REFUSED}"):
                getattr(dist, function)(value)


EXTREMES: list[tuple[str, list[float]]] = [
    ("bool", [0, 1]),
    ("int64", [0, 1, 2**53 + 1, 2**63 - 1]),
    ("uint64", [0, 1, 2**63, 2**64 - 1]),
    ("float16", [0, 6e-8, 65504]),
    (">f4", [0, 1e-45, 1e37]),
    (">f8", [0, 5e-324, 1e307]),
    ("float32", [0, 1e-45, 1e37]),
    ("float64", [0, 5e-324, 1e307]),
]


@pytest.mark.parametrize("size", [1, 9, 5000])
@pytest.mark.parametrize(("dtype", "numbers"), EXTREMES)
def test_checked_rows_never_give_a_draw_of_minus_one(
    dtype: str, numbers: list[float], size: int
) -> None:
    rows = np.zeros((len(numbers), len(numbers), size), dtype)
    for i, a in enumerate(numbers):
        for j, b in enumerate(numbers):
            rows[i, j, 0], rows[i, j, -1] = a, b or a
    rows = rows[(rows > 0).any(-1)]
    for params in (rows, rows[:, ::-1], rows[:1]):
        draws = Categorical(params).sample(3, rng=0)
        weights = np.broadcast_to(params, (*draws.shape, size))
        assert (np.take_along_axis(weights, draws[..., None], -1) > 0).all()
