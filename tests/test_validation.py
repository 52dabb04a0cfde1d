"""Bad input: the error, and that its message names the argument, the place and what was expected.

The messages of two cases, say, differ in the place alone, so each is matched to its end.
"""

import re
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from anycat import Categorical, kl_divergence

INF, NAN = np.inf, np.nan
FUNCTIONS = ["log_prob", "prob", "cdf", "icdf"]

each_form = pytest.mark.parametrize("form", ["probs", "logits"])
each_function = pytest.mark.parametrize("function", FUNCTIONS)


def name_of(function: str) -> str:
    return "q" if function == "icdf" else "value"


# --- the parameters

NOT_NEGATIVE = "probs must be finite and not negative; "
BELOW_INFINITY = "logits must be less than infinity; "
NAN_PROBS = "probs must not be NaN; "
NAN_LOGITS = "logits must not be NaN; "
NO_WEIGHT = "probs must not all be zero in a row; "
NO_SUM = "probs must have a finite sum in each row; "
VOID = "logits must not all be -inf in a row; "

BAD_ROWS: list[tuple[str, Any, str, str]] = [
    ("probs", [0.5, -0.5], NOT_NEGATIVE, r"probs\[1\] is -0.5"),
    ("probs", [-1.0, -1.0], NOT_NEGATIVE, r"probs\[0\] is -1.0"),
    ("probs", [[1.0, 1.0], [-1.0, -1.0]], NOT_NEGATIVE, r"probs\[1, 0\] is -1.0"),
    ("probs", [-1e-30, 1.0], NOT_NEGATIVE, r"probs\[0\] is -1.*e-30"),
    ("probs", [1.0, NAN], NAN_PROBS, r"probs\[1\] is nan"),
    ("probs", [-NAN, 1.0], NAN_PROBS, r"probs\[0\] is nan"),
    ("probs", [1.0, INF], NOT_NEGATIVE, r"probs\[1\] is inf"),
    ("probs", [1.0, -INF], NOT_NEGATIVE, r"probs\[1\] is -inf"),
    ("probs", [[1.0, 1.0], [-INF, INF]], NOT_NEGATIVE, r"probs\[1, 0\] is -inf"),
    (
        "probs",
        [[[1.0, 2.0]], [[3.0, NAN]], [[-1.0, 4.0]]],
        NAN_PROBS,
        r"probs\[1, 0, 1\] is nan",
    ),
    ("probs", [0.0, 0.0], NO_WEIGHT, r"all of probs\b"),
    ("probs", [[1.0, 0.0], [0.0, -0.0]], NO_WEIGHT, r"all of probs\[1\]"),
    ("probs", [[1e38, 0.0], [3e38, 3e38]], NO_SUM, r"that of probs\[1\] is infinite"),
    ("logits", [0.0, NAN], NAN_LOGITS, r"logits\[1\] is nan"),
    ("logits", [NAN, INF], NAN_LOGITS, r"logits\[0\] is nan"),
    ("logits", [0.0, INF], BELOW_INFINITY, r"logits\[1\] is inf"),
    ("logits", [-INF, INF], BELOW_INFINITY, r"logits\[1\] is inf"),
    ("logits", [[0.0, -INF], [-INF, NAN]], NAN_LOGITS, r"logits\[1, 1\] is nan"),
    ("logits", [[[0.0, 1.0], [INF, NAN]]], BELOW_INFINITY, r"logits\[0, 1, 0\] is inf"),
    ("logits", [-INF, -INF], VOID, r"all of logits\b"),
    ("logits", [[0.0, -INF], [-INF, -INF]], VOID, r"all of logits\[1\]"),
    ("logits", [[[0.0, 1.0]], [[-INF, -INF]]], VOID, r"all of logits\[1, 0\]"),
]


@pytest.mark.parametrize(("form", "params", "rule", "place"), BAD_ROWS, ids=str)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_rows_that_are_no_distribution(
    dtype: str, form: str, params: Any, rule: str, place: str, array: Any, host: Any
) -> None:
    if np.abs(params).max() > 1e30 and np.isfinite(params).all():
        dtype = "float32"  # the one in which the sum overflows, but no term of it
    if "e-30" in place and dtype == "float16":
        params = [-6e-8, 1.0]
        place = r"probs\[0\] is -5.96.*e-08"
    given = array(params, dtype)
    before = host(given).copy()
    with pytest.raises(ValueError, match=f"^{re.escape(rule)}.*{place}"):
        Categorical(**{form: given})
    assert_array_equal(host(given), before)
    assert Categorical(**{form: given}, validate_args=False).batch_shape == before.shape[:-1]


def test_only_the_first_bad_row_is_named(array: Any) -> None:
    params = np.ones((20, 30, 5))
    params[7, 11, 3] = -2
    params[7, 12] = params[8:] = NAN
    with pytest.raises(ValueError, match=r"probs\[7, 11, 3\] is -2.0: did"):
        Categorical(array(params))


def test_negative_integers(array: Any) -> None:
    with pytest.raises(ValueError, match=r"not negative; probs\[1, 0\] is -1.0"):
        Categorical(array([[1, 2], [-1, 3]], "int8"))


@pytest.mark.parametrize("arguments", [{}, {"probs": [1.0], "logits": [1.0]}], ids=str)
@pytest.mark.parametrize("validate", [None, True, False])
def test_exactly_one_parameter(arguments: Any, validate: bool | None) -> None:
    got = "both" if arguments else "neither"
    with pytest.raises(ValueError, match=f"give either probs or logits; got {got}"):
        Categorical(**arguments, validate_args=validate)


@pytest.mark.parametrize("validate", [True, False])
@each_form
def test_shapes_without_categories(form: str, validate: bool, array: Any) -> None:
    with pytest.raises(ValueError, match=f"^{form} must have a last axis .* 0-D"):
        Categorical(**{form: array(1.0)}, validate_args=validate)
    for shape in [(0,), (3, 0), (0, 0)]:
        message = rf"^{form} must have one category or more; got shape {re.escape(str(shape))}"
        with pytest.raises(ValueError, match=message):
            Categorical(**{form: array(np.ones(shape))}, validate_args=validate)


@pytest.mark.parametrize("value", [1, 0.5, True, np.float64(1)])
@each_form
def test_numbers_have_no_categories(form: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{form} must have a last axis .* 0-D"):
        Categorical(**{form: value})


NO_ARRAYS: list[Any] = ["ab", b"ab", {0: 0.5}, {0.5}, iter([1.0]), object(), 1j]


@pytest.mark.parametrize("params", NO_ARRAYS, ids=lambda x: type(x).__name__)
@each_form
def test_parameters_that_are_no_array(form: str, params: Any) -> None:
    message = f"^{form} must be an array or a list of numbers; got {type(params).__name__}($|: )"
    with pytest.raises(TypeError, match=message):
        Categorical(**{form: params}, validate_args=False)


NO_NUMBERS: list[Any] = [
    np.array([0.5, 0.5], complex),
    np.array([0.5, 0.5], object),
    np.array(["0.5", "0.5"]),
    np.array([b"0.5"]),
    np.array(["2020-01-01"], "M8[D]"),
    np.array([1], "m8[s]"),
    np.zeros(2, "f8,f8"),
    [0.5, 0.5j],
    ["0.5", "0.5"],
    [0.5, None],
    [0.5, {}],
    [2**70, 1],
]


@pytest.mark.parametrize("params", NO_NUMBERS, ids=repr)
@each_form
def test_parameters_that_are_no_real_numbers(form: str, params: Any) -> None:
    with pytest.raises(TypeError, match=rf"^{form} must hold real numbers; got dtype "):
        Categorical(**{form: params}, validate_args=False)


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@each_form
def test_complex_parameters(form: str, dtype: str, array: Any) -> None:
    with pytest.raises(TypeError, match=rf"^{form} must hold real numbers; got dtype .*{dtype}"):
        Categorical(**{form: array([0.5, 0.5], dtype)})


RAGGED: list[Any] = [[[0.5, 0.5], [1.0]], [[1.0], 1.0], [[], [1.0]]]


@pytest.mark.parametrize("params", RAGGED, ids=str)
@each_form
def test_ragged_lists(form: str, params: Any) -> None:
    with pytest.raises(ValueError, match=f"^{form} .*rectangular list"):
        Categorical(**{form: params})


def masked() -> Any:
    return np.ma.array([0.5, 0.5], mask=[False, True])


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@pytest.mark.parametrize(
    ("make", "remedy"),
    [(masked, r"filled\(\)"), (lambda: np.matrix([[0.5, 0.5]]), "numpy.asarray")],
    ids=["masked", "matrix"],
)
@each_form
def test_arrays_with_rules_of_their_own(form: str, make: Any, remedy: str) -> None:
    given = make()
    with pytest.raises(TypeError, match=f"^{form} is a {type(given).__name__}: call .*{remedy}"):
        Categorical(**{form: given})
    with pytest.raises(TypeError, match=f"^value is a {type(given).__name__}: call .*{remedy}"):
        Categorical([0.5, 0.5]).log_prob(given)


def test_memory_mapped_arrays_are_arrays(tmp_path: Any) -> None:
    params = np.memmap(tmp_path / "params", np.float32, "w+", shape=(2, 4))
    params[:] = [1, 2, 3, 2]
    dist = Categorical(params)
    assert_array_equal(dist.probs, [[0.125, 0.25, 0.375, 0.25]] * 2)
    assert dist.sample(3).shape == (3, 2)
    assert np.shares_memory(dist[1]._param, params)
    results = [dist.probs, dist.logits, dist.log_prob(1), dist.cdf(1), dist.entropy(), dist.mode]
    assert {type(x) for x in [*results, kl_divergence(dist, dist), dist.sample()]} == {np.ndarray}


# --- values

BAD_VALUES: list[tuple[Any, str]] = [
    (-1, "value is -1"),
    (3, "value is 3"),
    (0.5, "value is 0.5"),
    (NAN, "value is nan"),
    (INF, "value is inf"),
    (-INF, "value is -inf"),
    (1e30, "value is 1[0-9]{30}"),
    ([0, 1, 3, 4], r"value\[2\] is 3"),
    ([[0, 2], [2, -7]], r"value\[1, 1\] is -7"),
    ([[0, 2.0], [1.5, -7]], r"value\[1, 0\] is 1.5"),
    ([[[0.0]], [[NAN]]], r"value\[1, 0, 0\] is nan"),
    (2**53 + 1, "value is 9007199254740993"),
    (-(2**63), "value is -9223372036854775808"),
]


@pytest.mark.parametrize(("value", "place"), BAD_VALUES, ids=str)
@pytest.mark.parametrize("function", ["log_prob", "prob"])
def test_values_that_are_no_category(function: str, value: Any, place: str, array: Any) -> None:
    dist = Categorical(array([0.5, 0.25, 0.25]))
    values = np.asarray(value)
    for given in (value, array(values, str(values.dtype))):
        with pytest.raises(
            ValueError, match=f"^value must hold whole numbers from 0 to 2; {place}$"
        ):
            getattr(dist, function)(given)


@pytest.mark.parametrize("value", [2**63, 2**64 - 2**11])
def test_unsigned_values_that_are_no_category(value: int, array: Any) -> None:
    with pytest.raises(ValueError, match=rf"value\[1\] is {value}$"):
        Categorical(array([0.5, 0.5])).log_prob(array([1, value], "uint64"))


BAD_QUANTILES: list[tuple[Any, str]] = [
    (-0.1, "q is -0.1"),
    (1.5, "q is 1.5"),
    (2, "q is 2"),
    (NAN, "q is nan"),
    (INF, "q is inf"),
    ([0.5, 1.0, 1.25], r"q\[2\] is 1.25"),
    ([[0, 1], [-3, 7]], r"q\[1, 0\] is -3"),
]


@pytest.mark.parametrize(("q", "place"), BAD_QUANTILES, ids=str)
def test_quantiles_out_of_range(q: Any, place: str, array: Any) -> None:
    dist = Categorical(array([0.5, 0.25, 0.25]))
    values = np.asarray(q)
    for given in (q, array(values, str(values.dtype))):
        with pytest.raises(ValueError, match=rf"^q must be in \[0, 1\]; {place}"):
            dist.icdf(given)


@pytest.mark.parametrize("validate", [True, False])
@pytest.mark.parametrize(
    ("batch", "shape"), [((2,), (3,)), ((2, 1), (3, 1)), ((0,), (2,)), ((2, 2), (2, 3, 2))], ids=str
)
@each_function
def test_shapes_that_do_not_broadcast(
    function: str, batch: Any, shape: Any, validate: bool, array: Any
) -> None:
    dist = Categorical(array(np.ones((*batch, 2))), validate_args=validate)
    message = (
        f"{name_of(function)} of shape {shape} does not broadcast with the batch shape {batch}"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        getattr(dist, function)(array(np.zeros(shape)))


@pytest.mark.parametrize("value", [*NO_ARRAYS, None], ids=lambda x: type(x).__name__)
@each_function
def test_values_that_are_no_array(function: str, value: Any, array: Any) -> None:
    message = f"^{name_of(function)} must be an array or a list of numbers; "
    with pytest.raises(TypeError, match=f"{message}got {type(value).__name__}($|: )"):
        getattr(Categorical(array([0.5, 0.5])), function)(value)


@pytest.mark.parametrize(
    "value", [["0"], [None], [1, 1j], [[1], {}], 2**70, [[0], [0, 1]]], ids=str
)
@each_function
def test_lists_that_are_no_real_numbers(function: str, value: Any, array: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=f"^{name_of(function)} must .*real numbers"):
        getattr(Categorical(array([0.5, 0.5])), function)(value)


@each_function
def test_complex_values(function: str, array: Any) -> None:
    message = f"^{name_of(function)} must hold real numbers; got dtype .*complex64"
    with pytest.raises(TypeError, match=message):
        getattr(Categorical(array([0.5, 0.5])), function)(array([0, 1], "complex64"))


# --- two libraries, two devices


@each_function
def test_two_libraries(function: str, library: str, array: Any) -> None:
    strict = pytest.importorskip("array_api_strict")
    other = strict.zeros(2) if library == "numpy" else np.zeros(2)
    whose = "array_api_strict" if library == "numpy" else "numpy"
    message = f"^{name_of(function)} is an array of {whose}, .*of {library}: convert"
    with pytest.raises(TypeError, match=message):
        getattr(Categorical(array([0.5, 0.5])), function)(other)
    with pytest.raises(
        TypeError, match=f"^the parameter of q is an array of {whose}, .*of {library}"
    ):
        kl_divergence(Categorical(array([0.5, 0.5])), Categorical(other + 1))


@each_function
def test_two_devices(function: str) -> None:
    strict = pytest.importorskip("array_api_strict")
    dist = Categorical(strict.ones(2, device=strict.Device("device1")))
    message = f"^{name_of(function)} is on device .*CPU_DEVICE.*, .* on .*device1.*: move"
    with pytest.raises(ValueError, match=message):
        getattr(dist, function)(strict.zeros(2))
    with pytest.raises(ValueError, match=r"^the parameter of q is on device .*CPU_DEVICE"):
        kl_divergence(dist, Categorical(strict.ones(2)))


# --- kl_divergence


def test_kl_divergence_of_something_else(array: Any) -> None:
    dist = Categorical(array([0.5, 0.5]))
    with pytest.raises(TypeError, match=r"^q must be an anycat.Categorical; got list"):
        kl_divergence(dist, [0.5, 0.5])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^p must be an anycat.Categorical; got str"):
        kl_divergence("p", dist)  # type: ignore[arg-type]


def test_kl_divergence_of_shapes_that_do_not_fit(array: Any) -> None:
    def ones(*shape: int) -> Categorical:
        return Categorical(array(np.ones(shape)))

    with pytest.raises(ValueError, match=r"^p and q must have the same number .*got 3 and 1"):
        kl_divergence(ones(3), ones(1))
    with pytest.raises(ValueError, match=r"q of shape \(2,\) does not broadcast .*\(3,\)"):
        kl_divergence(ones(3, 4), ones(2, 4))


# --- expand

BAD_SHAPES: list[tuple[Any, type[Exception], str]] = [
    ((4,), ValueError, r"\(4,\)"),
    ((3, 2), ValueError, r"\(3, 2\)"),
    ((), ValueError, r"\(\)"),
    ((1,), ValueError, r"\(1,\)"),
    (0, ValueError, r"\(0,\)"),
    (-1, ValueError, r"^batch_shape must not be negative; got \(-1,\)"),
    (3.0, TypeError, "^batch_shape must be an integer or a tuple.*got 3.0"),
    ("3", TypeError, "^batch_shape must be an integer or a tuple.*got '3'"),
    (None, TypeError, "^batch_shape must be an integer or a tuple.*got None"),
]


@pytest.mark.parametrize(("shape", "error", "message"), BAD_SHAPES, ids=str)
def test_bad_shapes_to_expand_to(
    shape: Any, error: type[Exception], message: str, array: Any
) -> None:
    with pytest.raises(error, match=message):
        Categorical(array(np.ones((3, 2)))).expand(shape)


# --- without checks


@each_form
def test_rows_of_which_nothing_can_be_drawn(form: str, array: Any, host: Any) -> None:
    void = {"probs": [[0, 0], [-1, 2], [NAN, 1]], "logits": [[-INF, -INF], [INF, 0], [NAN, 1]]}
    dist = Categorical(**{form: array([*void[form], [1, 1]])}, validate_args=False)
    sample = host(dist.sample(50, rng=0))
    assert (sample[:, :3] == -1).all()
    assert set(sample[:, 3]) == {0, 1}


def test_options_may_be_those_of_numpy() -> None:
    off, on = np.False_, np.True_
    dist = Categorical([-1.0], validate_args=off, clamp_probs=on)  # type: ignore[arg-type]
    assert dist._options == (False, True, False)
    assert set(map(type, dist._options)) == {bool}
    with pytest.raises(ValueError, match="probs"):
        Categorical([-1.0], validate_args=on)  # type: ignore[arg-type]
