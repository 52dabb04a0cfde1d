"""Checks of numbers in arrays. Messages name the argument, the first invalid place, its value."""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any, NoReturn

from ._arguments import check_position
from ._backends import base, registry
from ._kernels.float_env import default_float_env
from ._kernels.keys import as_uint64
from ._messages import index_of
from ._parameters import FORMS, LOGITS
from ._shapes import first_place, unravel

if TYPE_CHECKING:
    from ._backends.base import Backend

    Array = Any


def check_rows(name: str, x: Array, cache: dict[str, Any]) -> None:
    """Check that each row of ``probs`` or ``logits`` is valid.

    Without kernels, the minimum, the maximum and the sum of the whole array settle most cases at
    memory bandwidth, with one synchronization of the device. NaN propagates to the sum; JAX 0.10
    leaves it out of the others. Rows are examined only if these leave a row in doubt. (No matrix
    product: BLAS threads would keep spinning on the cores that the kernels need.)
    """
    backend, form = registry.backend_of(x), FORMS[name]
    xp, logits = backend.xp, form is LOGITS
    if 0 in x.shape or backend.rows_valid(x, logits, cache):
        return
    traits = backend.traits(x)
    with default_float_env(), backend.errstate():
        x = xp.astype(x, traits.compute, copy=False)
        least, most = (-xp.inf, xp.inf) if logits else (0.0, traits.max / x.shape[-1])
        if (xp.min(x) > least) & (xp.max(x) < most) & ~xp.isnan(xp.sum(x)):
            return
        good = form.valid(xp, x)
        if not xp.all(good):
            _report_row(backend, name, x, first_place(xp, good))


def _report_row(backend: Backend, name: str, x: Array, place: tuple[int, ...]) -> NoReturn:
    xp, row = backend.xp, backend.detach(x)[(*place, slice(None))]
    bad = ~(row < xp.inf) if name == "logits" else ~((row >= 0) & (row < xp.inf))
    if xp.any(bad):
        k = int(xp.argmax(xp.astype(bad, xp.int8)))
        _report_entry(name, index_of((*place, k)), float(row[k]))
    if name == "logits":
        problem = (
            f"logits must not all be -inf in a row; all of logits{index_of(place)} are: a mask "
            "must leave a category"
        )
    elif not xp.any(row > 0):
        problem = (
            f"probs must not all be zero in a row; all of probs{index_of(place)} are: remove or "
            "replace such rows; if they are exp(x), pass logits=x instead"
        )
    else:
        raise ValueError(
            f"probs must have a finite sum in each row; that of probs{index_of(place)} is infinite "
            f"in {x.dtype}: divide them by their maximum"
        )
    raise ValueError(
        f"{problem}. With validate_args=False, draws from such a row are -1, which as an index is "
        "the last entry"
    )


def _report_entry(name: str, index: str, number: float) -> NoReturn:
    if math.isnan(number):
        raise ValueError(f"{name} must not be NaN; {name}{index} is nan")
    if name == "logits":
        raise ValueError(f"logits must be less than infinity; logits{index} is {number}")
    hint = ": did you mean logits=?" if number < 0 else ""
    raise ValueError(f"probs must be finite and not negative; probs{index} is {number}{hint}")


def categories_of(
    backend: Backend, value: Array, num_categories: int, validate: bool
) -> tuple[Array, Array | bool]:
    """Return ``value`` as indices, and a mask of the entries that are categories.

    The index is 0 where the mask is False. With ``validate``, any such entry raises ValueError.
    """
    if validate:
        with backend.eagerly():
            return _checked_categories(backend, backend.detach(value), num_categories), True
    index, good = _as_index(backend, value, num_categories)
    return backend.xp.where(good, index, backend.xp.zeros_like(index)), good


def _checked_categories(backend: Backend, value: Array, num_categories: int) -> Array:
    xp, index_dtype = backend.xp, backend.traits(value).index
    if backend.isdtype(value.dtype, "integral") and 0 not in value.shape:
        index = xp.astype(value, index_dtype, copy=False)
        if 0 <= int(xp.min(index)) <= int(xp.max(index)) < num_categories:
            return index  # two passes instead of six
    index, good = _as_index(backend, value, num_categories)
    if not xp.all(good):
        place = first_place(xp, good)
        raise ValueError(
            f"value must hold whole numbers from 0 to {num_categories - 1}; "
            f"value{index_of(place)} is {_number(backend, value[place])}"
        )
    return index


def _as_index(backend: Backend, value: Array, num_categories: int) -> tuple[Array, Array]:
    """Return ``value`` as indices, and a mask of the entries that are categories.

    Integers are compared with K: a narrow floating-point dtype may not represent it.
    """
    xp, traits = backend.xp, backend.traits(value)
    good = xp.ones(value.shape, dtype=xp.bool, device=backend.creation_device(value))
    if backend.isdtype(value.dtype, "real floating"):
        value = xp.astype(value, traits.compute, copy=False)
        good = (value == xp.floor(value)) & (value >= 0) & (value <= float(num_categories))
        value = xp.where(good, value, xp.zeros_like(value))
    index = xp.astype(value, traits.index)
    return index, good & (index >= 0) & (index < num_categories)


def check_quantile(backend: Backend, q: Array) -> None:
    """Check that all of ``q`` is in [0, 1]."""
    with backend.eagerly():
        q = backend.detach(q)
        good = (q >= 0) & (q <= 1)
        if backend.xp.all(good):
            return
        report_number("q must be in [0, 1]", "q", backend, q, good)


def report_number(problem: str, name: str, backend: Backend, x: Array, good: Array) -> NoReturn:
    """Raise for the first number that is not good."""
    place = first_place(backend.xp, good)
    raise ValueError(f"{problem}; {name}{index_of(place)} is {_number(backend, x[place])}")


def _number(backend: Backend, x: Array) -> float:
    if backend.isdtype(x.dtype, "real floating"):
        number = float(x)
        return int(number) if number.is_integer() else number
    return operator.index(x.item()) if hasattr(x, "item") else int(x)


def check_positions(name: str, x: Array, count: int) -> None:
    """Check an array of integers: see `row_numbers`."""
    backend = registry.backend_of(x)
    limit = 2**63 if backend.isdtype(x.dtype, "signed integer") else 2**64  # negative ones are more
    highest = min(limit - 1, 2**64 - count)
    if highest == 2**64 - 1:
        return
    numbers = as_uint64(backend.integers(x, name))
    if numbers.size and int(numbers.max()) > highest:
        flat = int((numbers > highest).argmax())
        number = int(numbers.reshape(-1)[flat])
        number -= 2**64 if number >= limit else 0
        check_position(name, unravel(flat, x.shape), number, count)


def check_distinct(sample_shape: tuple[int, ...], size: int | None, dtype: Any) -> None:
    """Check what is asked of draws without replacement, from ``size`` categories if given."""
    if len(sample_shape) != 1:
        raise ValueError(
            f"sample_shape must be an int or a tuple of one with replace=False; got {sample_shape}"
        )
    if dtype.kind == "u":
        raise ValueError(
            "dtype must be signed with replace=False, because rows with too few categories give "
            f"-1; got {dtype}"
        )
    if size is not None and sample_shape[0] > size:
        _report_too_few(sample_shape[0], f"there are {size}")


def check_draws_are_distinct(draws: Array, ndim: int) -> None:
    """Check that draws without replacement, from a batch of ``ndim`` axes, have found enough."""
    backend, axis = registry.backend_of(draws), draws.ndim - 1 - ndim
    if 0 in draws.shape:
        return
    xp, before = backend.xp, (slice(None),) * axis
    with backend.eagerly():
        draws = backend.detach(draws)
        good = draws[(*before, -1, ...)] >= 0
        if xp.all(good):
            return
        place = first_place(xp, good)
        found = draws[(*place[:axis], slice(None), *place[axis:])] >= 0
        row = f"row {index_of(place)}" if place else "the row"
        count = int(xp.sum(xp.astype(found, xp.int32)))
        _report_too_few(draws.shape[axis], f"{row} has {count} of positive probability")


def _report_too_few(n: int, problem: str) -> NoReturn:
    raise ValueError(
        f"replace=False draws {n} different categories from each row; {problem}. With "
        "validate_args=False, the missing draws are -1"
    )


base.CHECKS.update(
    probs=lambda x, _, cache: check_rows("probs", x, cache),
    logits=lambda x, _, cache: check_rows("logits", x, cache),
    value=lambda x, n, _: categories_of(registry.backend_of(x), x, n, True),
    q=lambda x, _, __: check_quantile(registry.backend_of(x), x),
    seeds=lambda x, n, _: check_positions("seeds", x, n),
    start=lambda x, n, _: check_positions("start", x, n),
    replace=lambda x, ndim, _: check_draws_are_distinct(x, ndim),
)
