"""The arguments of `Categorical.truncate`, and what it does by array API operations."""

from __future__ import annotations

import math
from functools import partial
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from . import _arguments, _shapes, _validation
from ._backends import base, registry
from ._backends.base import is_number
from ._kernels.truncation import ARGUMENTS
from ._messages import index_of
from ._parameters import FORMS, LOGITS

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._backends.base import Backend
    from ._parameters import Form

    Array = Any

NAMES = "temperature", "top_k", "top_p", "min_p"
_WORD = 32  # bits of a packed mask

# What each argument must be, in words, and as a test of numbers or arrays.
_RANGES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "temperature": ("finite and not negative", lambda x: (x >= 0) & (x < math.inf)),
    "top_k": ("1 or more", lambda x: x >= 1),
    "top_p": ("in (0, 1]", lambda x: (x > 0) & (x <= 1)),
    "min_p": ("in [0, 1]", lambda x: (x >= 0) & (x <= 1)),
}


def read_argument(name: str, x: Any, dist: Any) -> Any:
    """Return an argument as a number, or as an array of the shape of the batch; None stays."""
    if x is None:
        return None
    if name == "temperature" and dist._form is not LOGITS:
        raise ValueError(
            "temperature applies to logits; this distribution is given by probs: "
            "use logits=log(probs)"
        )
    # A number, which keeps all of its digits. (To compare types is the faster test.)
    if type(x) in (int, float) or (isinstance(x, Real) and not isinstance(x, bool)):
        integral = type(x) is int or isinstance(x, Integral)
        _check_kind(name, integral, type(x).__name__)
        number = int(x) if integral else float(x)
        if name == "temperature" and dist._traits.max < number < math.inf:
            raise ValueError(
                "temperature must be finite in the dtype, "
                f"up to {dist._traits.max:.3g}; got {number}"
            )
        check_range(name, number)
        return number
    if isinstance(x, _arguments.LISTS):
        _, absent = ARGUMENTS[NAMES.index(name)]
        x = _without_none(x, min(absent, dist.num_categories))
    backend, is_list = dist._backend, isinstance(x, _arguments.LISTS)
    x = _arguments.as_array(name, x, dist._param)
    if name == "top_k" and is_list and 0 in x.shape:  # an empty list becomes floats
        x = backend.xp.astype(x, dist._traits.index)
    _check_kind(name, backend.isdtype(x.dtype, "integral"), x.dtype)
    _shapes.check_broadcast(name, tuple(x.shape), dist._batch_shape)
    x = _widened(name, backend, x)
    if dist._validate:
        x = backend.validate(name, x, dist.num_categories, {})
    return backend.xp.broadcast_to(x, dist._batch_shape)


def _widened(name: str, backend: Backend, x: Array) -> Array:
    """Return an argument in a dtype that libraries compare and kernels read, as not all are."""
    xp, traits = backend.xp, backend.traits(x)
    if name != "top_k":
        floating = backend.isdtype(x.dtype, "real floating")
        return xp.astype(x, traits.compute if floating else backend.widest_float(x), copy=False)
    if not backend.isdtype(x.dtype, "unsigned integer"):
        return x
    x = xp.astype(x, traits.index)
    return xp.where(x < 0, xp.iinfo(traits.index).max, x)  # what has become negative was large


def _without_none(items: Any, absent: Any) -> Any:
    """Return a list with a number that changes nothing in place of each None."""
    if isinstance(items, _arguments.LISTS):
        return [_without_none(x, absent) for x in items]
    return absent if items is None else items


def _check_kind(name: str, integral: bool, got: Any) -> None:
    if name == "top_k" and not integral:
        raise TypeError(f"top_k must hold integers; got {got}")


def check_range(name: str, x: Any) -> None:
    """Check that a number, or all numbers of an array, are in the range of an argument."""
    required, test = _RANGES[name]
    problem = f"{name} must be {required}, or None to switch it off"
    if is_number(x):
        if not test(x):
            raise ValueError(f"{problem}; got {x}")
        return
    backend = registry.backend_of(x)
    with backend.eagerly():
        x = backend.detach(x)
        if not backend.xp.all(good := test(x)):
            _validation.report_number(problem, name, backend, x, good)


def _check_of(name: str) -> Callable[[Array, int, dict[str, Any]], None]:
    return lambda x, _, __: check_range(name, x)


base.CHECKS.update({name: _check_of(name) for name in NAMES})


def masked(dist: Any, mask: Any) -> Array:
    """Return the parameter without the categories that a mask does not allow."""
    backend, form, n = dist._backend, dist._form, dist.num_categories
    xp, like, param = backend.xp, dist._param, _with_lowest(dist)
    for i, row in enumerate(mask if isinstance(mask, _arguments.LISTS) else ()):
        if row is None:
            raise TypeError(f"mask[{i}] is None: for a row without a mask, allow all categories")
    mask = _arguments.as_array("mask", mask, like)
    packed = not backend.isdtype(mask.dtype, "bool")
    if packed:
        _check_words(xp, mask, n)
    elif mask.ndim == 0 or mask.shape[-1] != n:
        raise ValueError(
            f"mask must have a last axis of {n} categories; got shape {tuple(mask.shape)}"
        )
    shape = tuple(mask.shape)
    _shapes.check_broadcast("mask", shape, (*dist._batch_shape, shape[-1]), "shape")
    batch = _shapes.broadcast_shapes("mask", shape[:-1], tuple(param.shape[:-1]))
    whole = param if batch == param.shape[:-1] else xp.broadcast_to(param, (*batch, n))
    cache: dict[str, Any] = {}
    found = backend.masked(whole, mask, form is LOGITS, cache)
    if found is None:
        mask = _unpacked(backend, mask, n, like) if packed else mask
        found = xp.where(mask, param, xp.asarray(lowest(form), dtype=param.dtype))
    return backend.validate_rows(_masked(form), found, cache) if dist._validate else found


def _masked(form: Form) -> str:
    return f"masked {form.name}"


def _check_masked(form: Form, x: Array, _: int, cache: dict[str, Any]) -> None:
    """Check that a mask has left something of each row, which a kernel may have found."""
    backend = registry.backend_of(x)
    with backend.eagerly(), backend.errstate():
        if (good := cache.get("rows left")) is None:
            x = backend.xp.astype(backend.detach(x), backend.traits(x).compute, copy=False)
            good = form.valid(backend.xp, x)  # sums overflow in float16 and integers
        if not backend.xp.all(good):
            place = _shapes.first_place(backend.xp, good)
            row = f" in row {index_of(place)}" if place else ""
            raise ValueError(
                "mask must allow a category of positive probability in each row; it allows none"
                f"{row}"
            )


base.CHECKS.update({_masked(form): partial(_check_masked, form) for form in FORMS.values()})


def _check_words(xp: Any, words: Array, n: int) -> None:
    """Check the dtype and the last axis of a packed mask."""
    count = -(-n // _WORD)
    if words.dtype not in (xp.int32, xp.uint32) or words.ndim == 0 or words.shape[-1] != count:
        hint = ": compare it with 0 to make it bool" if words.ndim and words.shape[-1] == n else ""
        raise ValueError(
            f"mask must be bool with a last axis of {n}, or packed bits: int32 or uint32 with a "
            f"last axis of {count}; got {words.dtype} of shape {tuple(words.shape)}{hint}"
        )


def _unpacked(backend: Backend, words: Array, n: int, like: Array) -> Array:
    """Return the bits of a packed mask."""
    xp = backend.xp
    bits = xp.asarray(1, dtype=words.dtype) << xp.astype(backend.arange(_WORD, like), words.dtype)
    found = xp.expand_dims(words, axis=-1) & bits != 0
    return xp.reshape(found, (*words.shape[:-1], words.shape[-1] * _WORD))[..., :n]


def lowest(form: Form) -> float:
    """Return the parameter of a category of probability zero."""
    return -math.inf if form is LOGITS else 0  # PyTorch has no uint64 of 0.0


def _with_lowest(dist: Any) -> Array:
    """Return the parameter in a dtype that has the lowest one: integers have no -inf.

    They become what draws read them as, not PyTorch's float32.
    """
    backend, param = dist._backend, dist._param
    if dist._form is not LOGITS or backend.isdtype(param.dtype, "real floating"):
        return param
    return dist._xp.astype(param, backend.widest_float(param))


def truncated(dist: Any, arguments: list[Any], cache: dict[str, Any]) -> Array:
    """Return the parameter that arguments leave; ``cache`` takes what is learnt of its rows."""
    backend, param, xp = dist._backend, _with_lowest(dist), dist._xp
    if not all(map(is_number, arguments)):
        param = xp.broadcast_to(param, dist.param_shape)
    return backend.truncate(param, dist._form is LOGITS, arguments, cache)
