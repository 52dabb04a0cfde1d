"""Argument checks. Messages name the argument, the first invalid position and its value."""

from __future__ import annotations

import difflib
import inspect
import itertools
import math
import numbers
import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import array_api_compat as compat

from ._backends import base, registry
from ._kernels.float_env import default_float_env
from ._kernels.keys import as_uint64
from ._parameters import FORMS, LOGITS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ._backends.base import Backend

    Array = Any
    Namespace = Any

F = TypeVar("F", bound="Callable[..., Any]")


def as_array(name: str, x: Any, like: Array | None = None) -> Array:
    """Return ``x`` as a real array; numbers and lists become arrays that can meet ``like``.

    Numbers may be NumPy's. Objects with ``__array__``, such as those of pandas, become arrays of
    NumPy. Nothing else is moved between libraries or devices.
    """
    backend, given = registry.find_backend(x), x
    if backend is None:
        x = _from_object(name, x, like)
        backend = registry.backend_of(x)
    backend.check_supported(name, x)
    if not backend.isdtype(x.dtype, ("bool", "integral", "real floating")):
        hint = _not_real(name, given) if isinstance(given, LISTS) else ""
        if str(x.dtype) == "object":
            hint = hint or _object_hint(name, x)
        if name == "value" and (getattr(x.dtype, "kind", "") in "UT" or hint.endswith("'")):  # text
            hint += ": convert labels to categories, from 0 to K - 1"
        raise TypeError(f"{name} must hold real numbers; got dtype {x.dtype}{hint}")
    if getattr(x.dtype, "itemsize", 0) > 8:  # kernels round to float64, after the checks
        raise TypeError(f"{name} has dtype {x.dtype}: convert it to float64 first")
    if like is None:
        return x
    if x.ndim == 0 and backend is registry.default() is not registry.backend_of(like):
        return as_array(name, x.item(), like)
    _check_like(backend, name, x, like, given)
    return x


def _not_real(name: str, x: Any) -> str:
    """Return which entry of a list is no number, if NumPy does not take it for an array."""
    for place, item in _entries(x):
        if not isinstance(item, numbers.Real) and registry.find_backend(item) is None:
            return f": {name}{index_of(place)} is {item!r}"
    return ""


def _object_hint(name: str, x: Array) -> str:
    """Return which entry of an array of objects is no number."""
    for index in itertools.product(*map(range, x.shape)):
        if not isinstance(x[index], numbers.Real):
            is_missing = x[index] is None or repr(x[index]) == "<NA>"  # of pandas
            hint = _CONVERT if is_missing else ""
            return f": {name}{index_of(index)} is {x[index]!r}{hint}"
    return _CONVERT


_CONVERT = ": convert it to float64 first"


def _from_object(name: str, x: Any, like: Array | None) -> Array:
    if isinstance(x, _NUMBERS_OR_LISTS):
        return _from_numbers(name, x, like)
    if registry.is_lazy(x):
        kind, remedy = type(x).__name__, _remedy(x, _LAZY_REMEDIES)
        raise TypeError(f"{name} is a {kind} of Dask: convert it to a Dask array{remedy}")
    if hasattr(type(x), "__array__"):
        registry.default().check_supported(name, x)  # it may be a matrix
        return registry.default().asarray(x)
    got = f"{type(x).__name__}{_remedy(x, _REMEDIES)}"
    raise TypeError(f"{name} must be an array or a list of numbers; got {got}")


def _remedy(x: Any, remedies: dict[str, str]) -> str:
    """Return what to do with an object, by the first member of a table that it has."""
    return next((remedies[member] for member in remedies if hasattr(x, member)), "")


def _from_numbers(name: str, x: Any, like: Array | None) -> Array:
    has_arrays = isinstance(x, LISTS) and _check_items(name, x)
    backend = registry.default() if like is None else registry.backend_of(like)
    try:
        with backend.errstate():  # a number may be too large for the dtype
            # PyTorch and JAX take long to read arrays one by one, and PyTorch warns.
            return backend.asarray(registry.default().asarray(x) if has_arrays else x, like)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        reason = _not_real(name, x) or f": {error}"
        raise ValueError(f"{name} must be a rectangular list of real numbers{reason}") from None


def _check_items(name: str, items: Sequence[Any]) -> bool:
    """Tell whether a list holds arrays of NumPy. Refuse others, whose gradients would get lost."""
    if _NUMBERS.issuperset(map(type, items)):
        return False
    found = False
    for item in items:
        if isinstance(item, LISTS):
            found |= _check_items(name, item)
        elif (backend := registry.find_backend(item)) is registry.default():
            found = True
        elif backend is not None:
            stack = f"{backend.xp.__name__.removeprefix('array_api_compat.')}.stack"
            raise TypeError(f"{name} is a list of arrays of {backend.name}: call {stack} first")
    return found


_NUMBERS = frozenset((bool, int, float))
LISTS = list, tuple, range
"""What is read as a list of numbers."""
_NUMBERS_OR_LISTS = (*_NUMBERS, *LISTS)  # PyTorch 2.8 cannot compile a union
_REMEDIES = {
    "toarray": ": call its toarray() first",
    "values": ": pass its values, as in list(d.values())",
}
_LAZY_REMEDIES = {
    "to_dask_array": ", as in x.to_dask_array(lengths=True)",
    "data": ", as in x.data",
}


def _check_like(backend: Backend, name: str, x: Array, like: Array, given: Any) -> None:
    expected = registry.backend_of(like)
    if backend is not expected:
        source = "" if x is given else f" (from a {type(given).__name__})"
        which = "the parameters" if backend.is_traced(x) else "one of them"
        raise TypeError(
            f"{name} is an array of {backend.name}{source}, the distribution one of "
            f"{expected.name}: convert {which} first"
        )
    if not backend.same_device(x, like):
        raise ValueError(
            f"{name} is on device {backend.device(x)}, the distribution on {backend.device(like)}: "
            "move one of them first"
        )


def check_parameters(name: str, x: Array) -> None:
    """Check the shape of ``probs`` or ``logits``."""
    if x.ndim == 0:
        raise ValueError(f"{name} must have a last axis of categories; got a 0-D array")
    if x.shape[-1] == 0:
        raise ValueError(f"{name} must have one category or more; got shape {tuple(x.shape)}")


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
            f"probs must not all be zero in a row; all of probs{index_of(place)} are: if they are "
            "exp(x), pass logits=x instead"
        )
    else:
        raise ValueError(
            f"probs must have a finite sum in each row; that of probs{index_of(place)} is infinite "
            f"in {x.dtype}: divide them by their maximum"
        )
    raise ValueError(f"{problem}. With validate_args=False, draws from such a row are -1")


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


base.CHECKS.update(
    probs=lambda x, _, cache: check_rows("probs", x, cache),
    logits=lambda x, _, cache: check_rows("logits", x, cache),
    value=lambda x, n, _: categories_of(registry.backend_of(x), x, n, True),
    q=lambda x, _, __: check_quantile(registry.backend_of(x), x),
    seeds=lambda x, n, _: check_positions("seeds", x, n),
    start=lambda x, n, _: check_positions("start", x, n),
    replace=lambda x, ndim, _: check_draws_are_distinct(x, ndim),
)


def shape_tuple(name: str, shape: Any) -> tuple[int, ...]:
    """Return a shape as a tuple; an integer stands for one axis."""
    if type(shape) is tuple and not shape:  # the most frequent case
        return shape
    axes: tuple[int, ...] = shape if type(shape) is tuple else (shape,)
    if not _INT.issuperset(map(type, axes)):
        axes = _axes(name, shape)
    if axes and min(axes) < 0:
        raise ValueError(f"{name} must not be negative; got {axes}")
    return axes


_INT = frozenset((int,))


def _axes(name: str, shape: Any) -> tuple[int, ...]:
    """Return integers of any kind but bool."""
    axes = shape if _is_sequence(shape) else (shape,)
    try:
        if any(map(_is_bool, axes)) or registry.is_rng(axes):  # a raw key of JAX is an array
            raise TypeError
        return tuple(map(operator.index, axes))
    except TypeError:
        is_rng = registry.is_rng(shape)
        axes = shape if isinstance(shape, Sequence) else (shape,)
        if not is_rng and any(map(registry.is_traced, axes)):
            raise TypeError(
                f"{name} must be known when JAX traces; got {shape!r}: see jax.jit's static_argnums"
            ) from None
        got = _shown(shape)
        raise TypeError(f"{name} must be an integer or a tuple of them; got {got}") from None


def _shown(x: Any) -> str:
    """Return what was given in place of a number, as a message shows it."""
    return f"{type(x).__name__}: did you mean rng=?" if registry.is_rng(x) else repr(x)


def as_bool(name: str, x: Any) -> bool:
    """Return a truth value, which may be one of NumPy's."""
    if type(x) is bool:
        return x
    if registry.find_backend(x) is registry.default() and x.ndim == 0 and x.dtype == bool:
        return bool(x)
    raise TypeError(f"{name} must be True or False; got {x!r}")


def number_of_draws(n: Any) -> int:
    """Return ``n`` as an int."""
    if n is REQUIRED:
        raise TypeError("sample_counts needs n, the number of draws")
    if not _is_integer(n):
        are_several = _is_sequence(n) and not registry.is_rng(n)
        hint = ": for several vectors of counts, call expand first" if are_several else ""
        raise TypeError(f"n must be an integer; got {_shown(n)}{hint}")
    if n < 0:
        raise ValueError(f"n must not be negative; got {n}")
    return operator.index(n)


def start_index(start: Any) -> int:
    """Return ``start`` as the draws of ``rng`` have it."""
    if not _is_integer(start):
        raise TypeError(f"start must be an int where no seeds are given; got {start!r}")
    _check_position("start", (), index := operator.index(start), 1)
    return index


def _is_integer(x: Any) -> bool:
    if _is_bool(x):
        return False
    try:
        operator.index(x)
    except TypeError:
        return False
    return True


def _is_bool(x: Any) -> bool:
    """Tell whether ``x`` is a bool, or one of NumPy, which older versions take for an integer."""
    return type(x).__name__ == "bool"


def check_first(start: int, rows: int, draws: int) -> None:
    """Check that there are draw indices for all draws."""
    if start * rows + draws > 2**64:
        name, number = ("start", start) if start else ("n", draws // rows)
        raise ValueError(f"{name} is too large: draw indices end at 2**64; got {number}")


def row_numbers(
    name: str, x: Any, count: int, like: Array, batch: tuple[int, ...], validate: bool
) -> Any:
    """Return ``seeds`` or ``start``: integers that broadcast to the batch.

    From each of them on, ``count`` numbers must be below 2**64. They are arrays that can meet
    ``like``, or constants: an int or an array of NumPy.
    """
    if type(x) is int:
        _check_position(name, (), x, count)
        return x
    if isinstance(x, LISTS):
        _check_items(name, x)
        x = _list_of_integers(name, x, count)
    backend = registry.find_backend(x)
    x = as_array(name, x, None if backend in (None, registry.default()) else like)
    backend = registry.backend_of(x)
    if not backend.isdtype(x.dtype, "integral"):
        raise TypeError(f"{name} must hold integers; got dtype {x.dtype}")
    check_broadcast(name, tuple(x.shape), batch)
    return backend.validate(name, x, count, {}) if validate else x


def _list_of_integers(name: str, items: Any, count: int) -> Array:
    """Return a list as an array of uint64: without a dtype, NumPy may round it."""
    for place, number in _entries(items):
        if _is_integer(number):
            _check_position(name, place, operator.index(number), count)
        else:
            got = repr(number)
            if registry.is_rng(number):
                got = (
                    f"a {type(number).__name__}: for an array of seeds, call the method "
                    "generate_state(n, np.uint64) of a SeedSequence"
                )
            raise TypeError(f"{name} must hold integers; {name}{index_of(place)} is {got}")
    backend = registry.default()
    try:
        return backend.xp.asarray(items, dtype=backend.xp.uint64)
    except ValueError as error:
        raise ValueError(f"{name} must be a rectangular list of integers: {error}") from None


def _entries(x: Any, place: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], Any]]:
    if isinstance(x, LISTS):
        for i, item in enumerate(x):
            yield from _entries(item, (*place, i))
    else:
        yield place, x


def check_positions(name: str, x: Array, count: int) -> None:
    """Check an array of integers: see `row_numbers`."""
    backend = registry.backend_of(x)
    limit = 2**63 if backend.isdtype(x.dtype, "signed integer") else 2**64  # negative ones are more
    highest = min(limit - 1, 2**64 - count)
    if highest == 2**64 - 1:
        return
    numbers = as_uint64(backend.integers(x))
    if numbers.size and int(numbers.max()) > highest:
        flat = int((numbers > highest).argmax())
        number = int(numbers.reshape(-1)[flat])
        number -= 2**64 if number >= limit else 0
        _check_position(name, _unravel(flat, x.shape), number, count)


def _check_position(name: str, place: tuple[int, ...], number: int, count: int) -> None:
    if not 0 <= number <= 2**64 - count:
        most = f"{2**64 - count}, for {count} draws" if count > 1 else f"{2**64 - 1}"
        hint = ": take them modulo 2**64" if number < 0 and name == "seeds" else ""
        raise ValueError(
            f"{name} must hold whole numbers from 0 to {most}; {name}{index_of(place)} is "
            f"{number}{hint}"
        )


REQUIRED: Any = inspect.Parameter.empty
"""The default of an argument that must be given: signatures show none."""

_DRAWS = "num_samples n_samples num_draws draws k"
# What to suggest, which begins with an argument, and what other libraries call that.
_MEANT = {
    "probs": "p pk prob pvals probabilities weights",
    "logits": "logit logit_p log_p log_prob log_probs logprobs log_weights scores",
    "validate_args": "validate check check_args",
    "clamp_probs": "clamp",
    "sample_shape": f"{_DRAWS} size shape n",
    "n": f"{_DRAWS} count trials n_trials num_trials total_count",
    "n for the number of draws, or expand for several vectors of counts": "size shape sample_shape",
    "replace": "replacement with_replacement",
    "rng": "seed key generator random_state rng_key random_seed",
    "seeds for one of each row": "seed",
    "start": "offset skip",
    "mask": "masks bitmask action_mask action_masks allowed where",
    "temperature": "temp tau t T",
    "top_k": "k topk",
    "top_p": "p topp nucleus",
    "min_p": "minp",
}


def hide_unknown(function: F) -> F:
    """Leave what only serves `report_unknown` out of the signature that users see."""
    shown = inspect.signature(function)
    known = [p for p in shown.parameters.values() if p.name not in ("more", "unknown")]
    function.__signature__ = shown.replace(parameters=known)  # type: ignore[attr-defined]
    return function


def report_unknown(function: Any, names: Iterable[str], more: Sequence[Any] = ()) -> NoReturn:
    """Raise for arguments that a function or class does not have: ``more`` are by position."""
    if more:
        raise TypeError(
            f"sample takes one argument by position, sample_shape; got {1 + len(more)}: name the "
            "others, as in sample((2, 3), rng=0)"
        )
    name, known = next(iter(names)), inspect.signature(function).parameters
    meant = [x for x in _MEANT if x.split()[0] in known and name in _MEANT[x].split()]
    meant = meant or difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.8)
    hint = f": did you mean {', or '.join(meant)}?" if meant else ""
    raise TypeError(f"{function.__name__} has no argument {name!r}{hint}")


def _is_sequence(shape: Any) -> bool:
    if isinstance(shape, tuple):
        return True
    if isinstance(shape, Sequence):
        return not isinstance(shape, (str, bytes))
    return bool(compat.is_array_api_obj(shape)) and shape.ndim == 1


def check_broadcast(
    name: str, shape: tuple[int, ...], expected: tuple[int, ...], what: str = "batch shape"
) -> None:
    """Check that an argument broadcasts to a shape, which is that of the batch if not stated."""
    if _broadcast(shape, expected) != expected:
        raise ValueError(f"{name} of shape {shape} does not broadcast to the {what} {expected}")


def broadcast_shapes(name: str, shape: tuple[int, ...], batch: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape to which ``name`` and the batch broadcast."""
    found = _broadcast(shape, batch)
    if found is None:
        raise ValueError(f"{name} of shape {shape} does not broadcast with the batch shape {batch}")
    return found


def _broadcast(shape: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return the shape to which two shapes broadcast, if there is one."""
    if shape == other:
        return other
    ndim = max(len(shape), len(other))
    longer = ((1,) * (ndim - len(x)) + x for x in (shape, other))
    pairs = list(zip(*longer, strict=True))
    if any(n != m and 1 not in (n, m) for n, m in pairs):
        return None
    return tuple(m if n == 1 else n for n, m in pairs)


def check_expansion(batch: tuple[int, ...], shape: tuple[int, ...]) -> None:
    """Check that a batch shape can be expanded to another."""
    n = len(shape) - len(batch)
    if n < 0 or any(old not in (1, new) for old, new in zip(batch, shape[n:], strict=True)):
        raise ValueError(f"cannot expand the batch shape {batch} to {shape}")
    _check_axes("batch_shape", len(shape) + 1)


_LINE = 80  # characters of an index that a message shows


def report_index(index: Any, batch: tuple[int, ...], like: Array, error: Exception) -> NoReturn:
    """Raise for an index that the batch does not have, given the error of the library."""
    kind = TypeError if isinstance(error, TypeError) else IndexError
    check_batch(batch, "cannot be indexed", kind)
    for part in index if isinstance(index, tuple) else (index,):
        backend = registry.find_backend(part)
        if backend not in (None, registry.default()):  # every library takes indices of NumPy
            _check_like(backend, "index", part, like, part)
    hint = ": integers, slices or masks select rows; for categories, index probs"
    if _is_integer(index):
        hint = ""
    elif (number := _out_of_range(index, batch)) is not None:
        hint = f": {number} is out of range"
    shown = repr(index)
    if len(shown) > _LINE or "\n" in shown:
        shown = f"of type {type(index).__name__}"
    raise kind(f"index {shown} does not fit the batch shape {batch}{hint}") from error


def check_known(batch: tuple[Any, ...]) -> None:
    """Check the shape of part of a batch, which may be unknown if the index is lazy."""
    if any(isinstance(n, float) for n in batch):  # NaN
        raise ValueError(
            f"the index gives a batch of unknown shape {batch}: compute it first, as in "
            "d[index.compute()]"
        )


def _out_of_range(index: Any, batch: tuple[int, ...]) -> int | None:
    """Return the first integer of an index that its axis does not have, if it is easy to find."""
    for part, n in zip(index if isinstance(index, tuple) else (index,), batch, strict=False):
        if isinstance(part, slice):
            continue
        backend = registry.find_backend(part) or registry.default()
        try:
            x = backend.on_cpu(backend.xp.asarray(part))
        except (TypeError, ValueError):
            return None
        if x is None or x.dtype.kind not in "iu":  # a mask may be for several axes
            return None
        for number in x[(x < -n) | (x >= n)]:
            return int(number)
    return None


def check_batch(batch: tuple[int, ...], problem: str, error: type[Exception] = TypeError) -> None:
    """Raise with a problem that distributions without a batch have, if it is one."""
    if not batch:
        raise error(
            f"a distribution without a batch {problem}: it is a single row. For its categories, "
            "use probs"
        ) from None


def report_distribution(name: str, x: Any) -> NoReturn:
    """Raise for what is no `Categorical`, though another library may call it so."""
    got, hint = registry.type_name(x), ""
    if got.startswith("torch.distributions.categorical."):
        hint = ": use torch.distributions.kl_divergence, with anycat.torch.Categorical"
    raise TypeError(f"{name} must be an anycat.Categorical; got {got}{hint}")


def check_size(name: str, shape: tuple[int, ...], itemsize: int) -> None:
    """Check that an array of a shape can exist. Every draw index is then below 2**64."""
    _check_axes(name, len(shape))
    if math.prod(max(n, 1) for n in shape) * itemsize >= 2**63:
        raise ValueError(f"{name} asks for more than an array can hold: {shape}")


def _check_axes(name: str, n: int) -> None:
    if n > _MAX_AXES:
        raise ValueError(f"{name} asks for an array of {n} axes; it may have {_MAX_AXES}")


_MAX_AXES = 64  # of NumPy's arrays, and so for kernels


def check_dtype(dtype: Any, most: int, rows_validated: bool, name: str = "") -> None:
    """Check that a dtype can represent numbers up to ``most``, and -1 if needed."""
    highest = 2 ** (8 * dtype.itemsize - (dtype.kind == "i")) - 1
    if (name or highest < 2**63 - 1) and most > highest:  # no row has so many categories
        raise ValueError(f"dtype must hold numbers up to {name}{most}; got {dtype}")
    if not rows_validated and dtype.kind == "u":
        raise ValueError(
            "dtype must be signed if rows are not checked, because invalid rows give -1; "
            f"got {dtype}"
        )


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


def first_place(xp: Namespace, good: Array) -> tuple[int, ...]:
    """Return the index of the first false entry."""
    return _unravel(int(xp.argmax(xp.astype(xp.reshape(~good, (-1,)), xp.int8))), good.shape)


def _unravel(flat: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    index = []
    for n in reversed(shape):
        flat, i = divmod(flat, n)
        index.append(i)
    return tuple(reversed(index))


def index_of(index: tuple[int, ...]) -> str:
    return f"[{', '.join(map(str, index))}]" if index else ""


def _number(backend: Backend, x: Array) -> float:
    if backend.isdtype(x.dtype, "real floating"):
        number = float(x)
        return int(number) if number.is_integer() else number
    return operator.index(x.item()) if hasattr(x, "item") else int(x)
