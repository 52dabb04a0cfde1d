"""Checks of shapes, and places in arrays as messages show them."""

from __future__ import annotations

import math
from numbers import Integral
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Array = Any
    Namespace = Any


def check_parameters(name: str, x: Array) -> None:
    """Check the shape of ``probs`` or ``logits``."""
    if x.ndim == 0:
        raise ValueError(f"{name} must have a last axis of categories; got a 0-D array")
    if x.shape[-1] == 0:
        raise ValueError(f"{name} must have one category or more; got shape {tuple(x.shape)}")


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


def index_repeated(
    index: tuple[Any, ...], shape: tuple[int, ...], batch: tuple[int, ...]
) -> tuple[list[Any], tuple[int, ...]] | None:
    """Return an index of parameters that repeat along axes of a batch, and the batch it selects.

    ``shape`` is the batch of the parameters themselves. Before they are indexed, they must have as
    many axes as ``batch``. None stands for parameters that repeat along no axis, and for an index
    that does not fit, or that has arrays.
    """
    places = [x for x in index if x is not None and x is not Ellipsis]
    missing = len(batch) - len(places)
    if shape == batch or missing < 0 or not all(map(_is_plain, (*places, *batch))):
        return None
    at = index.index(Ellipsis) if Ellipsis in index else len(index)
    axes = zip((1,) * (len(batch) - len(shape)) + shape, batch, strict=True)
    own: list[Any] = []
    selected = []
    for place in (*index[:at], *(slice(None),) * missing, *index[at + 1 :]):
        if place is None:
            own.append(None)
            selected.append(1)
            continue
        size, n = next(axes)
        if isinstance(place, slice):
            own.append(place if size == n else slice(None))
            selected.append(len(range(*place.indices(n))))
        elif -n <= place < n:
            own.append(place if size == n else 0)
        else:
            return None
    return own, tuple(selected)


def _is_plain(x: Any) -> bool:
    return isinstance(x, (Integral, slice)) and not isinstance(x, bool)


def check_batch(batch: tuple[int, ...], problem: str, error: type[Exception] = TypeError) -> None:
    """Raise with a problem that distributions without a batch have, if it is one."""
    if not batch:
        raise error(
            f"a distribution without a batch {problem}: it is a single row. For its categories, "
            "use probs"
        ) from None


def check_known(batch: tuple[Any, ...]) -> None:
    """Check the shape of part of a batch, which may be unknown if the index is lazy."""
    if any(isinstance(n, float) for n in batch):  # NaN
        raise ValueError(
            f"the index gives a batch of unknown shape {batch}: compute it first, as in "
            "d[index.compute()]"
        )


def check_size(name: str, shape: tuple[int, ...], itemsize: int) -> None:
    """Check that an array of a shape can exist. Every draw index is then below 2**64."""
    _check_axes(name, len(shape))
    if math.prod(max(n, 1) for n in shape) * itemsize >= 2**63:
        raise ValueError(f"{name} asks for more than an array can hold: {shape}")


def _check_axes(name: str, n: int) -> None:
    if n > _MAX_AXES:
        raise ValueError(f"{name} asks for an array of {n} axes; it may have {_MAX_AXES}")


_MAX_AXES = 64  # of NumPy's arrays, and so for kernels


def first_place(xp: Namespace, good: Array) -> tuple[int, ...]:
    """Return the index of the first false entry."""
    return unravel(int(xp.argmax(xp.astype(xp.reshape(~good, (-1,)), xp.int8))), good.shape)


def unravel(flat: int, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the index of an entry, given its place in the array made flat."""
    index = []
    for n in reversed(shape):
        flat, i = divmod(flat, n)
        index.append(i)
    return tuple(reversed(index))
