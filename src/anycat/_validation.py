"""Checks of what users pass in. Messages name the argument, the first bad place and its value."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import array_api_compat as compat

from . import _dispatch, _parameters

if TYPE_CHECKING:
    Array = Any
    Namespace = Any


def as_array(name: str, x: Any, like: Array | None = None) -> Array:
    """Return ``x`` as a real array: that of ``like``'s library if ``x`` is a number or a list.

    Nothing is moved from library to library or from device to device.
    """
    if not compat.is_array_api_obj(x):
        x = _from_sequence(name, x, like)
    _dispatch.refuse_incomplete(name, x)
    xp = compat.array_namespace(x)
    if like is not None:
        expected = compat.array_namespace(like)
        if xp is not expected:
            raise TypeError(
                f"{name} is an array of {_library(xp)}, the distribution one of "
                f"{_library(expected)}: convert one of them first"
            )
        if not _dispatch.share_device(x, like):
            raise ValueError(
                f"{name} is on device {compat.device(x)}, the distribution on "
                f"{compat.device(like)}: move one of them first"
            )
    if not _dispatch.isdtype(xp, x.dtype, ("bool", "integral", "real floating")):
        raise TypeError(f"{name} must hold real numbers; got dtype {x.dtype}")
    return x


def _from_sequence(name: str, x: Any, like: Array | None) -> Array:
    if not isinstance(x, bool | int | float | list | tuple):
        raise TypeError(f"{name} must be an array or a list of numbers; got {type(x).__name__}")
    xp = _dispatch.default_namespace() if like is None else compat.array_namespace(like)
    try:
        x = xp.asarray(x, device=None if like is None else _dispatch.home_of(like))
        return x if like is None else _dispatch.beside(x, like)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise ValueError(f"{name} must be a rectangular list of real numbers: {error}") from None


def _library(xp: Namespace) -> str:
    return str(xp.__name__).removeprefix("array_api_compat.").partition(".")[0]


def check_parameters(name: str, x: Array) -> None:
    """Check the shape of ``probs`` or ``logits``."""
    if x.ndim == 0:
        raise ValueError(f"{name} must have a last axis of categories; got a 0-D array")
    if x.shape[-1] == 0:
        raise ValueError(f"{name} must have one category or more; got shape {tuple(x.shape)}")


def check_rows(name: str, x: Array, cache: dict[str, Any]) -> None:
    """Check that each row of ``probs`` or ``logits`` is a distribution.

    First at the speed of memory: the least and the largest number of the whole array, through which
    NaN and infinities show; a device is asked for the outcome once. Row by row only where that
    leaves a doubt. (No matrix product: the threads of a BLAS go on spinning when kernels want their
    cores.)
    """
    xp = compat.array_namespace(x)
    if 0 in x.shape or _dispatch.vouch(xp, x, name == "logits", cache):
        return
    x = _parameters.widened(xp, x, _parameters.real_dtype(xp, x))
    with _dispatch.silence():
        if name == "probs":
            if (xp.min(x) > 0) & (xp.max(x) <= _dispatch.finfo(xp, x.dtype).max / x.shape[-1]):
                return
            sums = xp.sum(x, axis=-1)
            good = (xp.min(x, axis=-1) >= 0) & (sums > 0) & (sums < xp.inf)
        else:
            if (xp.max(x) < xp.inf) & (xp.min(x) > -xp.inf):
                return
            good = xp.isfinite(xp.max(x, axis=-1))
    if not xp.all(good):
        _report_row(name, xp, x, _first_place(xp, good))


def _report_row(name: str, xp: Namespace, x: Array, place: tuple[int, ...]) -> NoReturn:
    row = x[(*place, slice(None))]
    bad = ~(row < xp.inf) if name == "logits" else ~((row >= 0) & (row < xp.inf))
    if xp.any(bad):
        k = int(xp.argmax(xp.astype(bad, xp.int8)))
        rule = "less than infinity" if name == "logits" else "finite and not negative"
        raise ValueError(f"{name} must be {rule}; {name}{_index((*place, k))} is {float(row[k])}")
    if name == "logits":
        raise ValueError(f"logits must not all be -inf in a row; all of logits{_index(place)} are")
    with _dispatch.silence():
        total = float(xp.sum(row))
    raise ValueError(
        f"probs must have a sum in each row that is positive and finite in {x.dtype}; that of "
        f"probs{_index(place)} is {total}"
    )


def categories_of(
    xp: Namespace, value: Array, categories: int, validate: bool
) -> tuple[Array, Array | bool]:
    """Return ``value`` as indices, 0 where it is no whole number in 0..K-1, and where it is one.

    With ``validate`` it is one everywhere, or ValueError is raised.
    """
    index_dtype = _dispatch.index_dtype(xp, value)
    if validate and _dispatch.isdtype(xp, value.dtype, "integral") and 0 not in value.shape:
        index = xp.astype(value, index_dtype, copy=False)
        if 0 <= int(xp.min(index)) <= int(xp.max(index)) < categories:
            return index, True  # in two passes, not six
    given, whole = value, value
    good = xp.ones(value.shape, dtype=xp.bool, device=_dispatch.home_of(value))
    if _dispatch.isdtype(xp, value.dtype, "real floating"):
        # As integers they are compared with K exactly, which a narrow float may not hold.
        value = _parameters.widened(xp, value, value.dtype)
        good = (value == xp.floor(value)) & (value >= 0) & (value <= float(categories))
        whole = xp.where(good, value, xp.zeros_like(value))
    index = xp.astype(whole, index_dtype)
    good = good & (index >= 0) & (index < categories)
    if validate and xp.all(good):
        return index, True
    if validate:
        place = _first_place(xp, good)
        raise ValueError(
            f"value must hold whole numbers from 0 to {categories - 1}; "
            f"value{_index(place)} is {_number(xp, given[place])}"
        )
    return xp.where(good, index, xp.zeros_like(index)), good


def check_quantile(xp: Namespace, q: Array) -> None:
    """Check that all of ``q`` is in [0, 1]."""
    good = (q >= 0) & (q <= 1)
    if not xp.all(good):
        place = _first_place(xp, good)
        raise ValueError(f"q must be in [0, 1]; q{_index(place)} is {_number(xp, q[place])}")


def shape_tuple(name: str, shape: Any) -> tuple[int, ...]:
    """Return a shape as a tuple; an integer stands for one axis."""
    many = isinstance(shape, tuple)  # as most are
    many = many or (isinstance(shape, Sequence) and not isinstance(shape, str | bytes))
    many = many or (compat.is_array_api_obj(shape) and shape.ndim == 1)
    try:
        axes: tuple[int, ...] = tuple(map(operator.index, shape if many else (shape,)))
    except TypeError:
        if any(map(_dispatch.is_traced, shape if isinstance(shape, Sequence) else (shape,))):
            raise TypeError(
                f"{name} must be known when JAX traces; got {shape!r}: see jax.jit's static_argnums"
            ) from None
        raise TypeError(f"{name} must be an integer or a tuple of them; got {shape!r}") from None
    if axes and min(axes) < 0:
        raise ValueError(f"{name} must not be negative; got {axes}")
    return axes


def broadcast_shapes(name: str, shape: tuple[int, ...], batch: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape to which ``name`` and the batch broadcast."""
    try:
        return tuple(map(int, _dispatch.broadcast_shapes(shape, batch)))
    except ValueError:
        raise ValueError(
            f"{name} of shape {shape} does not broadcast with the batch shape {batch}"
        ) from None


@functools.lru_cache
def check_draws(shape: tuple[int, ...], dtype: Any, categories: int, signed: bool) -> None:
    """Check that an array of draws can exist, and hold all categories, and -1 if that can be drawn.

    If it can, each draw has a number below 2**64.
    """
    if math.prod(shape) * dtype.itemsize >= 2**63:
        raise ValueError(f"sample_shape asks for more than an array can hold: {shape} in {dtype}")

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


def _number(xp: Namespace, x: Array) -> float:
    number = float(x)
    if _dispatch.isdtype(xp, x.dtype, "real floating") and not number.is_integer():
        return number
    return int(x) if abs(number) < 2.0**63 else int(number)  # PyTorch has no larger int
