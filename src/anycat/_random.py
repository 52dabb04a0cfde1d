"""The 128 random bits from which a call of ``sample`` makes all its draws."""

from __future__ import annotations

from typing import Any, TypeAlias

RNG: TypeAlias = Any
Key: TypeAlias = Any  # the four words as an array of uint64


class RandomBits:
    """The bits of one call, which are taken from ``rng`` only when they are asked for.

    Parameters
    ----------
    rng
        A seed, generator or key; None stands for the default generator of the parameters' library.
    reader
        The backend of the library that it belongs to.
    """

    def __init__(self, rng: RNG, reader: Any) -> None:
        self.rng = rng
        self.reader = reader

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

    def key(self) -> Key:
        """Take the words as kernels want them: an array of uint64."""
        return self.reader.random_key(self.rng)


def split_words(low: int, high: int) -> list[int]:
    """Return the four 32-bit words of two 64-bit ones, the low half of each first."""
    return [low & 0xFFFFFFFF, low >> 32, high & 0xFFFFFFFF, high >> 32]
