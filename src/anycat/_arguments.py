"""Conversion of arguments: what users pass becomes arrays, integers and tuples."""

from __future__ import annotations

import contextlib
import itertools
import numbers
import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import array_api_compat as compat

from ._backends import registry
from ._keywords import REQUIRED
from ._messages import index_of, shown, type_name
from ._shapes import check_batch, check_broadcast, first_place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._backends.base import Backend

    Array = Any


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
        kind, hint = "real numbers", _not_real(name, given) if isinstance(given, LISTS) else ""
        if name == "seeds" and _is_text(x):
            kind, hint = "integers", _HASH
        elif name in _INTEGERS and str(x.dtype) == "object":
            kind, hint = "integers", f": convert it to {_INTEGERS[name]} first"
        elif name == "mask":
            kind, hint = "bools", ": fill missing values, and convert it to bool first"
        elif getattr(x.dtype, "names", None):
            hint = ": call numpy.lib.recfunctions.structured_to_unstructured first"
        elif str(x.dtype) == "object":
            hint = hint or (_object_hint(name, x) if backend.has_values(x) else _CONVERT)
        if name == "value" and _is_text(x):
            hint += ": convert labels to categories, from 0 to K - 1"
        raise TypeError(f"{name} must hold {kind}; got dtype {x.dtype}{hint}")
    if getattr(x.dtype, "itemsize", 0) > 8:  # kernels round to float64, after the checks
        raise TypeError(f"{name} has dtype {x.dtype}: convert it to float64 first")
    if like is None:
        return x
    if x.ndim == 0 and backend is registry.default() is not registry.backend_of(like):
        return as_array(name, x.item(), like)
    _check_like(backend, name, x, like, given)
    return x


def _is_text(x: Array) -> bool:
    """Tell whether an array holds strings, or objects of which the first is one."""
    kind = getattr(x.dtype, "kind", "")
    return kind in ("U", "T") or (kind == "O" and x.size > 0 and isinstance(x.reshape(-1)[0], str))


def _not_real(name: str, x: Any) -> str:
    """Return which entry of a list is no number, if NumPy does not take it for an array."""
    for place, item in _entries(x):
        if not isinstance(item, numbers.Real) and registry.find_backend(item) is None:
            return f": {name}{index_of(place)} is {shown(item)}"
    return ""


def _object_hint(name: str, x: Array) -> str:
    """Return which entry of an array of objects is no number."""
    for index in itertools.product(*map(range, x.shape)):
        if not isinstance(x[index], numbers.Real):
            is_missing = x[index] is None or repr(x[index]) == "<NA>"  # of pandas
            hint = _CONVERT if is_missing else ""
            return f": {name}{index_of(index)} is {shown(x[index])}{hint}"
    return _CONVERT


_CONVERT = ": convert it to float64 first"
_HASH = ": hash names to integers below 2**64 first"
_INTEGERS = {"seeds": "uint64", "start": "uint64", "top_k": "int64"}


def _from_object(name: str, x: Any, like: Array | None) -> Array:
    if isinstance(x, _NUMBERS_OR_LISTS):
        return _from_numbers(name, x, like)
    if registry.is_lazy(x):
        kind, remedy = type(x).__name__, _remedy(x, _LAZY_REMEDIES)
        raise TypeError(f"{name} is of Dask's type {kind}: convert it to a Dask array{remedy}")
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
                f"{name} must be known when JAX traces; got {shown(shape)}: "
                "see jax.jit's static_argnums"
            ) from None
        got = _given(shape)
        raise TypeError(f"{name} must be an integer or a tuple of them; got {got}") from None


def _given(x: Any) -> str:
    """Return what was given in place of a number, as a message shows it."""
    return f"{type(x).__name__}: did you mean rng=?" if registry.is_rng(x) else shown(x)


def _is_sequence(shape: Any) -> bool:
    if isinstance(shape, tuple):
        return True
    if isinstance(shape, Sequence):
        return not isinstance(shape, (str, bytes))
    return bool(compat.is_array_api_obj(shape)) and shape.ndim == 1


def as_bool(name: str, x: Any) -> bool:
    """Return a truth value, which may be one of NumPy's."""
    if type(x) is bool:
        return x
    if registry.find_backend(x) is registry.default() and x.ndim == 0 and x.dtype == bool:
        return bool(x)
    raise TypeError(f"{name} must be True or False; got {shown(x)}")


def number_of_draws(n: Any) -> int:
    """Return ``n`` as an int."""
    if n is REQUIRED:
        raise TypeError("sample_counts needs n, the number of draws")
    if not _is_integer(n):
        hint = ""
        if _is_sequence(n) and not registry.is_rng(n):
            hint = ": all rows have the same n; for others, make a call for each row"
            if isinstance(n, tuple):
                hint = ": for several vectors of counts, call expand first"
        raise TypeError(f"n must be an integer; got {_given(n)}{hint}")
    if n < 0:
        raise ValueError(f"n must not be negative; got {n}")
    return operator.index(n)


def start_index(start: Any) -> int:
    """Return ``start`` as the draws of ``rng`` have it."""
    if not _is_integer(start):
        got = shown(start)
        raise TypeError(f"start must be an int where no seeds are given; got {got}")
    check_position("start", (), index := operator.index(start), 1)
    return index


def check_first(start: int, rows: int, draws: int) -> None:
    """Check that there are draw indices for all draws."""
    if start * rows + draws > 2**64:
        name, number = ("start", start) if start else ("n", draws // rows)
        raise ValueError(f"{name} is too large: draw indices end at 2**64; got {number}")


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


def row_numbers(
    name: str, x: Any, count: int, like: Array, batch: tuple[int, ...], validate: bool
) -> Any:
    """Return ``seeds`` or ``start``: integers that broadcast to the batch.

    From each of them on, ``count`` numbers must be below 2**64. They are arrays that can meet
    ``like``, or constants: an int or an array of NumPy.
    """
    if type(x) is int:
        check_position(name, (), x, count)
        return x
    if isinstance(x, LISTS):
        _check_items(name, x)
        x = _list_of_integers(name, x, count)
    backend, own = registry.find_backend(x), registry.backend_of(like)
    if backend is own and own.same_device(x, like) and (view := own.small_index(x)) is not None:
        x = view  # a constant, which takes less time
    else:
        x = as_array(name, x, None if backend in (None, registry.default()) else like)
    backend = registry.backend_of(x)
    if not backend.isdtype(x.dtype, "integral"):
        hint = ""
        if backend is registry.default() and x.dtype.kind == "f" and not (known := x == x).all():
            hint = f": {name}{index_of(first_place(backend.xp, known))} is nan"
        raise TypeError(f"{name} must hold integers; got dtype {x.dtype}{hint}")
    check_broadcast(name, tuple(x.shape), batch)
    return backend.validate(name, x, count, {}) if validate else x


def _list_of_integers(name: str, items: Any, count: int) -> Array:
    """Return a list as an array of uint64: without a dtype, NumPy may round it."""
    backend = registry.default()
    if set(map(type, items)) == {int}:  # which NumPy converts at once
        with contextlib.suppress(OverflowError):
            x = backend.xp.asarray(items, dtype=backend.xp.uint64)
            if int(x.max()) <= 2**64 - count:
                return x
    for place, number in _entries(items):
        if _is_integer(number):
            check_position(name, place, operator.index(number), count)
        else:
            got = shown(number)
            if registry.is_rng(number):
                got = (
                    f"a {type(number).__name__}: for an array of seeds, call the method "
                    "generate_state(n, np.uint64) of a SeedSequence"
                )
            if name == "seeds" and isinstance(number, str):
                got += _HASH
            raise TypeError(f"{name} must hold integers; {name}{index_of(place)} is {got}")
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


def check_position(name: str, place: tuple[int, ...], number: int, count: int) -> None:
    if not 0 <= number <= 2**64 - count:
        most = f"{2**64 - count}, for {count} draws" if count > 1 else f"{2**64 - 1}"
        hint = ""
        if number < 0 and name == "seeds":
            hint = ": convert arrays to uint64, and ints by % 2**64"
        raise ValueError(
            f"{name} must hold whole numbers from 0 to {most}; {name}{index_of(place)} is "
            f"{number}{hint}"
        )


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


def report_index(index: Any, batch: tuple[int, ...], like: Array, error: Exception) -> NoReturn:
    """Raise for an index that the batch does not have, given the error of the library."""
    kind = TypeError if isinstance(error, TypeError) else IndexError
    check_batch(batch, "cannot be indexed", kind)
    for part in index if isinstance(index, tuple) else (index,):
        backend = registry.find_backend(part)
        if backend not in (None, registry.default()):  # every library takes indices of NumPy
            _check_like(backend, "index", part, like, part)
    hint = "" if _is_integer(index) else f": {_misfit(index, batch)}"
    raise kind(f"index must fit the batch shape {batch}; got {shown(index)}{hint}") from error


_SELECT = "integers, slices or masks select rows; for categories, index probs"


def _misfit(index: Any, batch: tuple[int, ...]) -> str:
    """Return what is wrong with an index, if that is easy to find, or else what indices may be."""
    parts = index if isinstance(index, tuple) else (index,)
    shapes = []
    for i, (part, n) in enumerate(zip(parts, batch, strict=False)):
        if isinstance(part, slice):
            continue
        backend = registry.find_backend(part) or registry.default()
        try:
            x = backend.on_cpu(backend.xp.asarray(part))
        except (TypeError, ValueError):
            return _SELECT
        if x is not None and x.ndim and x.dtype.kind == "f":
            name = f"index[{i}]" if isinstance(index, tuple) else "index"
            return f"{name} has dtype {x.dtype}; integers, slices or masks select rows"
        if x is None or x.dtype.kind not in "iu":  # a mask may be for several axes
            return _SELECT
        for number in x[(x < -n) | (x >= n)]:
            return f"{number} is out of range"
        shapes.append(x.shape)
    try:
        registry.default().xp.broadcast_shapes(*shapes)
    except ValueError:
        return f"its arrays have shapes {' and '.join(map(str, shapes))}"
    return _SELECT


def report_distribution(name: str, x: Any) -> NoReturn:
    """Raise for what is no `Categorical`, though another library may call it so."""
    got, hint = type_name(x), ""
    if got.startswith("torch.distributions.categorical."):
        hint = ": use torch.distributions.kl_divergence, with anycat.torch.Categorical"
    raise TypeError(f"{name} must be an anycat.Categorical; got {got}{hint}")
