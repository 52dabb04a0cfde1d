"""Checks of what users pass in. Messages name the argument, the first bad place and its value."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any, NoReturn

import array_api_compat as compat
import array_api_extra as xpx

from . import _dispatch

if TYPE_CHECKING:
    Array = Any
    Namespace = Any


def as_array(name: str, x: Any, like: Array | None = None) -> Array:
    """Return ``x`` as a real array: that of ``like``'s library if ``x`` is a number or a list.

    Nothing is moved from library to library or from device to device.
    """
    if not compat.is_array_api_obj(x):
        x = _from_sequence(name, x, like)
    xp = compat.array_namespace(x)
    if like is not None:
        expected = compat.array_namespace(like)
        if xp is not expected:
            raise TypeError(
                f"{name} is an array of {_library(xp)}, the distribution one of "
                f"{_library(expected)}: convert one of them first"
            )
        if compat.device(x) != compat.device(like):
            raise ValueError(
                f"{name} is on device {compat.device(x)}, the distribution on "
                f"{compat.device(like)}: move one of them first"
            )
    if not xp.isdtype(x.dtype, ("bool", "integral", "real floating")):
        raise TypeError(f"{name} must hold real numbers; got dtype {x.dtype}")
    return x


def _from_sequence(name: str, x: Any, like: Array | None) -> Array:
    if not isinstance(x, bool | int | float | list | tuple):
        raise TypeError(f"{name} must be an array or a list of numbers; got {type(x).__name__}")
    if like is not None:
        return compat.array_namespace(like).asarray(x, device=compat.device(like))
    try:
        return _dispatch.default_namespace().asarray(x)
    except ValueError as error:
        raise ValueError(f"{name} is not a rectangular list of numbers: {error}") from None


def _library(xp: Namespace) -> str:
    return str(xp.__name__).removeprefix("array_api_compat.").partition(".")[0]


def check_parameters(name: str, x: Array) -> None:
    """Check the shape of ``probs`` or ``logits``."""
    if x.ndim == 0:
        raise ValueError(f"{name} must have a last axis of categories; got a 0-D array")
    if x.shape[-1] == 0:
        raise ValueError(f"{name} must have one category or more; got shape {tuple(x.shape)}")


def check_rows(name: str, xp: Namespace, x: Array) -> None:
    """Check that each row of ``probs`` or ``logits`` is a distribution.

    First at the speed of memory: reductions of the whole array, which NaN and infinities survive,
    and sums of rows as a matrix product. Row by row only where that finds something.
    """
    if 0 in x.shape:
        return
    with _dispatch.silence():
        if name == "probs":
            sums = xp.matmul(x, xp.ones(x.shape[-1], dtype=x.dtype, device=compat.device(x)))
            if xp.min(x) >= 0 and xp.min(sums) > 0 and xp.max(sums) < xp.inf:
                return
            sums = xp.sum(x, axis=-1)
            good = (xp.min(x, axis=-1) >= 0) & (sums > 0) & (sums < xp.inf)
        else:
            if xp.max(x) < xp.inf and xp.min(x) > -xp.inf:
                return
            good = xp.isfinite(xp.max(x, axis=-1))
    if not xp.all(good):
        _report_row(name, xp, x, _first_place(xp, good))


def _report_row(name: str, xp: Namespace, x: Array, place: tuple[int, ...]) -> NoReturn:
    row = x[place]
    bad = ~(row < xp.inf) if name == "logits" else ~((row >= 0) & (row < xp.inf))
    if xp.any(bad):
        k = int(xp.argmax(xp.astype(bad, xp.int8)))
        rule = "less than infinity" if name == "logits" else "finite and not negative"
        raise ValueError(f"{name} must be {rule}; {name}{_index((*place, k))} is {float(row[k])}")
    if name == "logits":
        raise ValueError(f"logits must not all be -inf in a row; all of logits{_index(place)} are")
    raise ValueError(
        f"probs must have a sum in each row that is positive and finite in {x.dtype}; that of "
        f"probs{_index(place)} is not: multiply the row by a constant, or mend it"
    )


def check_value(xp: Namespace, value: Array, categories: int) -> None:
    """Check that all values are whole numbers in 0..K-1."""
    good = is_category(xp, value, categories)
    if xp.all(good):
        return
    place = _first_place(xp, good)
    raise ValueError(
        f"value must hold whole numbers from 0 to {categories - 1}; "
        f"value{_index(place)} is {_number(value[place])}"
    )


def is_category(xp: Namespace, value: Array, categories: int) -> Array:
    """Tell for each value whether it is a whole number in 0..K-1."""
    if xp.isdtype(value.dtype, "bool"):
        value = xp.astype(value, xpx.default_dtype(xp, "integral"))
    good = (value >= 0) & (value < categories)
    if xp.isdtype(value.dtype, "real floating"):
        good = good & (value == xp.floor(value))
    return good


def check_quantile(xp: Namespace, q: Array) -> None:
    """Check that all of ``q`` is in [0, 1]."""
    good = (q >= 0) & (q <= 1)
    if not xp.all(good):
        place = _first_place(xp, good)
        raise ValueError(f"q must be in [0, 1]; q{_index(place)} is {_number(q[place])}")


def shape_tuple(name: str, shape: Any) -> tuple[int, ...]:
    """Return a shape as a tuple; an integer stands for one axis."""
    try:
        shape = (operator.index(shape),)
    except TypeError:
        try:
            shape = tuple(operator.index(n) for n in shape)
        except TypeError:
            raise TypeError(
                f"{name} must be an integer or a tuple of them; got {shape!r}"
            ) from None
    if any(n < 0 for n in shape):
        raise ValueError(f"{name} must not be negative; got {shape}")
    return shape


def broadcast_shapes(name: str, shape: tuple[int, ...], batch: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape to which ``name`` and the batch broadcast."""
    try:
        return tuple(map(int, _dispatch.broadcast_shapes(shape, batch)))
    except ValueError:
        raise ValueError(
            f"{name} of shape {shape} does not broadcast with the batch shape {batch}"
        ) from None


def check_count(shape: tuple[int, ...]) -> None:
    """Check that all draws have a number below 2**64."""
    if math.prod(shape) > 2**64:
        raise ValueError(f"a call makes 2**64 draws at most; got shape {shape}")


def check_index_dtype(dtype: Any, categories: int, signed: bool) -> None:
    """Check that a NumPy dtype holds all categories, and -1 if that can be drawn."""
    if categories - 1 > 2 ** (8 * dtype.itemsize - (dtype.kind == "i")) - 1:
        raise ValueError(f"dtype must hold numbers up to {categories - 1}; got {dtype}")
    if signed and dtype.kind == "u":
        raise ValueError(
            f"dtype must be signed with validate_args=False, since void rows give -1; got {dtype}"
        )


def _first_place(xp: Namespace, good: Array) -> tuple[int, ...]:
    """Return the index of the first false entry."""
    flat = int(xp.argmax(xp.astype(xp.reshape(~good, (-1,)), xp.int8)))
    index = []
    for n in reversed(good.shape):
        flat, i = divmod(flat, n)
        index.append(i)
    return tuple(reversed(index))


def _index(index: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, index))}]" if index else ""


def _number(x: Array) -> float:
    number = float(x)
    return int(number) if number.is_integer() else number
