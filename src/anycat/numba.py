"""Draws inside functions that users compile with Numba.

Importing this module loads Numba. All functions except `key` work inside functions that
`numba.njit` compiles, with any of its options; all functions work in Python.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import typeof, types
from numba.core.errors import NumbaError, TypingError
from numba.extending import overload

from . import _keywords
from ._backends import registry
from ._kernels.cpu.jit import single
from ._kernels.cpu.jit.single import Table

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import SupportsIndex, Unpack

    from numpy.typing import NDArray

    from ._random import RNG
    from ._typing import Nothing

    Row = NDArray[np.float32] | NDArray[np.float64]
    Key = NDArray[np.uint64]

__all__ = ["Table", "draw", "draw_logits", "draw_prepared", "key", "prepare", "prepare_logits"]


@_keywords.hide_unknown
def key(rng: RNG = None, **unknown: Unpack[Nothing]) -> Key:
    """Return the key of a stream of draws: the bits that ``Categorical.sample(rng=rng)`` uses.

    Make it in Python, and pass it to the compiled function.

    Parameters
    ----------
    rng : None, int, SeedSequence, BitGenerator or Generator, optional
        As in `Categorical.sample`: a generator advances by 128 bits, and None takes bits from the
        operating system. The generators and keys of other libraries are accepted too.

    Returns
    -------
    numpy.ndarray
        Four words, of dtype uint64.

    Raises
    ------
    TypeError
        If ``rng`` has an unsupported type, or is traced.

    Examples
    --------
    >>> import anycat.numba
    >>> anycat.numba.key(7).shape
    (4,)
    """
    if unknown:
        _keywords.report_unknown(key, unknown)
    reader = registry.default() if rng is None else registry.reader_of(rng)
    if reader.is_traced(rng):
        raise TypeError(
            "rng is traced and has no value yet: call anycat.numba.key outside the traced function"
        )
    words: Key = reader.random_key(rng)
    return words


def draw(probs: Row, key: Key, i: SupportsIndex) -> int:
    """Draw from one row of probabilities.

    Parameters
    ----------
    probs : array of shape (K,), float32 or float64
        Probabilities, or weights that need not sum to one; a view with any strides.
    key : array of shape (4,), uint64
        From `key`.
    i : int
        The draw index, an integer of 64 bits at most; -1 stands for ``2**64 - 1``, and so on.
        Different draws need different indices.

    Returns
    -------
    int
        The category, from 0 to K - 1, or -1 if the row is invalid. It equals
        ``Categorical(probs).sample(n, rng=rng)[i]`` for the ``rng`` of the key and any ``n > i``.

    Examples
    --------
    A random walk, where each step depends on the one before:

    >>> import anycat.numba
    >>> import numba
    >>> import numpy as np
    >>> @numba.njit
    ... def walk(transitions, key, steps):
    ...     state = 0
    ...     for i in range(steps):
    ...         state = anycat.numba.draw(transitions[state], key, i)
    ...     return state
    >>> transitions = np.array([[0.0, 1.0, 0.0], [0.5, 0.0, 0.5], [0.0, 0.9, 0.1]])
    >>> walk(transitions, anycat.numba.key(1), 1000)
    1
    """
    _check_values(probs=probs, key=key, i=i)
    return int(single.draw_from_row(_plain(probs), False, _word(key, i)))


def draw_logits(logits: Row, key: Key, i: SupportsIndex) -> int:
    """Draw from one row of logits.

    Parameters
    ----------
    logits : array of shape (K,), float32 or float64
        Log-probabilities in nats, up to an additive constant; a view with any strides.
    key : array of shape (4,), uint64
        From `key`.
    i : int
        The draw index, an integer of 64 bits at most; -1 stands for ``2**64 - 1``, and so on.
        Different draws need different indices.

    Returns
    -------
    int
        The category, from 0 to K - 1, or -1 if the row is invalid. It equals
        ``Categorical(logits=logits).sample(n, rng=rng)[i]`` for the ``rng`` of the key and any
        ``n > i``.

    Examples
    --------
    >>> import anycat.numba
    >>> import numpy as np
    >>> logits = np.array([0.0, -np.inf, 1.0], np.float32)
    >>> key = anycat.numba.key(1)
    >>> [anycat.numba.draw_logits(logits, key, i) for i in range(8)]
    [2, 2, 2, 2, 2, 2, 2, 0]
    """
    _check_values(logits=logits, key=key, i=i)
    return int(single.draw_from_row(_plain(logits), True, _word(key, i)))


def prepare(probs: Row) -> Table:
    """Prepare one row of probabilities for many draws.

    This takes as long as about ten calls of `draw` for a short row, and a few dozen for a long one.
    The table takes 12 to 16 bytes per category, or more for fewer than 100 categories. A draw from
    it takes about the same short time for any K up to thousands, and more for larger tables, which
    do not fit into the caches of the CPU.

    Parameters
    ----------
    probs : array of shape (K,), float32 or float64
        Probabilities, or weights that need not sum to one.

    Returns
    -------
    Table
        The argument of `draw_prepared`, a named tuple of arrays. Later changes of the row do not
        affect it.

    Examples
    --------
    >>> import anycat.numba
    >>> import numba
    >>> import numpy as np
    >>> @numba.njit
    ... def count(probs, key, n):
    ...     table = anycat.numba.prepare(probs)
    ...     counts = np.zeros(len(probs), np.int64)
    ...     for i in range(n):
    ...         counts[anycat.numba.draw_prepared(table, key, i)] += 1
    ...     return counts
    >>> count(np.array([1.0, 2.0, 5.0]), anycat.numba.key(1), 8000)
    array([ 980, 1996, 5024])
    """
    _check_values(probs=probs)
    table: Table = single.prepare_row(_plain(probs), False)
    return table


def prepare_logits(logits: Row) -> Table:
    """Prepare one row of logits for many draws.

    Parameters
    ----------
    logits : array of shape (K,), float32 or float64
        Log-probabilities in nats, up to an additive constant.

    Returns
    -------
    Table
        The argument of `draw_prepared`: see `prepare`.

    Examples
    --------
    >>> import anycat.numba
    >>> import numpy as np
    >>> table = anycat.numba.prepare_logits(np.array([0.0, -np.inf, 1.0]))
    >>> anycat.numba.draw_prepared(table, anycat.numba.key(1), 0)
    2
    """
    _check_values(logits=logits)
    table: Table = single.prepare_row(_plain(logits), True)
    return table


def draw_prepared(table: Table, key: Key, i: SupportsIndex) -> int:
    """Draw from a prepared row.

    Parameters
    ----------
    table : Table
        From `prepare` or `prepare_logits`.
    key : array of shape (4,), uint64
        From `key`.
    i : int
        The draw index, an integer of 64 bits at most; -1 stands for ``2**64 - 1``, and so on.
        Different draws need different indices.

    Returns
    -------
    int
        The same category that `draw` or `draw_logits` returns for the row.

    Examples
    --------
    >>> import anycat.numba
    >>> import numpy as np
    >>> probs, key = np.array([1.0, 2.0, 5.0]), anycat.numba.key(1)
    >>> table = anycat.numba.prepare(probs)
    >>> anycat.numba.draw_prepared(table, key, 4) == anycat.numba.draw(probs, key, 4)
    True
    """
    _check_values(table=table, key=key, i=i)
    return int(single.draw_from_table(*map(_plain, table), _word(key, i)))


def _plain(x: Any) -> Any:
    """Return an array as one of the kind that kernels are compiled for."""
    return np.require(x, requirements=["C", "W"])


def _word(key: Key, i: SupportsIndex) -> np.uint64:
    """Return the random word of a draw index."""
    return np.uint64(single.random_word(_plain(key), np.uint64(int(i) % 2**64)))


# --- types of arguments ---------------------------------------------------------------------------


def _is_vector(*dtypes: Any) -> Callable[[Any], bool]:
    return lambda found: (
        isinstance(found, types.Array) and found.ndim == 1 and found.dtype in dtypes
    )


_ROW = "a one-dimensional array of float32 or float64", _is_vector(types.float32, types.float64)
_WANTED: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "probs": _ROW,
    "logits": _ROW,
    "table": (
        "what anycat.numba.prepare returns",
        lambda found: getattr(found, "instance_class", None) is Table,
    ),
    "key": ("what anycat.numba.key returns, an array of uint64", _is_vector(types.uint64)),
    "i": ("an integer", lambda found: isinstance(found, types.Integer)),
}


def _check_types(error: type[Exception], arguments: dict[str, Any]) -> None:
    """Raise an error that names the first argument of a wrong type."""
    for name, found in arguments.items():
        wanted, is_right = _WANTED[name]
        if not is_right(found):
            message = f"{name} must be {wanted}; got {found}"
            if error is TypingError and name == "i" and isinstance(found, types.Float):
                message += ": Numba unifies int64 and uint64 as floats, so convert one of them"
            raise error(message)


def _check_values(**arguments: Any) -> None:
    _check_types(TypeError, {name: _type_of(x) for name, x in arguments.items()})


def _type_of(x: Any) -> Any:
    try:
        return typeof(x)
    except (NumbaError, ValueError):
        size = " of more than 64 bits" if isinstance(x, int) else ""
        return f"{type(x).__name__}{size}"


# --- what is compiled in place of calls -----------------------------------------------------------


def _refuse_key(rng: Any = None) -> None:
    raise TypingError("anycat.numba.key works in Python only: call it there, and pass its result")


def _if_valid(function: Any, **arguments: Any) -> Any:
    _check_types(TypingError, arguments)
    return function


overload(key)(_refuse_key)
overload(draw)(lambda probs, key, i: _if_valid(single.draw, probs=probs, key=key, i=i))
overload(draw_logits)(
    lambda logits, key, i: _if_valid(single.draw_logits, logits=logits, key=key, i=i)
)
overload(prepare)(lambda probs: _if_valid(single.prepare, probs=probs))
overload(prepare_logits)(lambda logits: _if_valid(single.prepare_logits, logits=logits))
overload(draw_prepared)(
    lambda table, key, i: _if_valid(single.draw_prepared, table=table, key=key, i=i)
)
