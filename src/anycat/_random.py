"""The random bits from which a call of ``sample`` makes all its draws.

Kernels take them as a key: see `anycat._kernels.keys`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from ._kernels.keys import key_of_words

if TYPE_CHECKING:
    from ._kernels.keys import Key

RNG: TypeAlias = Any


class RandomBits:
    """The 128 bits of one call, which are taken from ``rng`` only when they are asked for.

    Parameters
    ----------
    rng
        A seed, generator or key; None stands for the default generator of the parameters' library.
    reader
        The backend of the library that it belongs to.
    first
        The draw index of the first draw.
    """

    def __init__(self, rng: RNG, reader: Any, first: int = 0) -> None:
        self.rng = rng
        self.reader = reader
        self.first = first

    @property
    def is_stateless(self) -> bool:
        """Whether ``rng`` gives the same bits each time: a seed or a key."""
        return self.rng is not None and bool(self.reader.is_stateless(self.rng))

    @property
    def is_traced(self) -> bool:
        """Whether the bits have no values yet: those of a traced key, or of None while tracing."""
        return bool(self.reader.is_traced(self.rng))

    def words(self) -> Any:
        """Take four 32-bit words: k0, k1 (Philox's key), s0, s1 (the upper half of its counter).

        Traced words are an array of their library.
        """
        return self.reader.random_words(self.rng)

    def key(self, module: Any = None) -> Key:
        """Take the words as kernels want them, whatever the module of their arrays."""
        return key_of_words(self.reader.random_key(self.rng))


class RowSeeds:
    """The seeds of the rows of one call, which stand in place of its random bits.

    Parameters
    ----------
    numbers
        The seed of each row, and the position of its first draw: integers that broadcast to the
        batch. They are arrays of the parameters' library or else constants, Python's ints or
        NumPy's arrays.
    reader
        The backend of the parameters.
    batch
        The batch shape.
    """

    first = 0

    def __init__(self, numbers: tuple[Any, Any], reader: Any, batch: tuple[int, ...]) -> None:
        self.numbers = numbers
        self.reader = reader
        self.batch = batch

    @property
    def is_traced(self) -> bool:
        """Whether a number has no value yet."""
        return any(map(self.reader.is_traced, self.numbers))

    def words(self) -> Any:
        """Return the key as one array of the library, in the form in which it traces words."""
        return self.reader.traced_key(self.numbers, self.batch)

    def key(self, module: Any) -> Key:
        """Return the key in arrays of the kernels' module."""
        key: Key = self.reader.key_of_rows(self.numbers, self.batch, module)
        return key


def split_words(low: int, high: int) -> list[int]:
    """Return the four 32-bit words of two 64-bit ones, the low half of each first."""
    return [low & 0xFFFFFFFF, low >> 32, high & 0xFFFFFFFF, high >> 32]
