"""The generators that calls take their bits from, which other threads use at the same time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from anycat import Categorical

if TYPE_CHECKING:
    from collections.abc import Callable

GENERATORS: dict[str, Callable[[], Any]] = {
    "Generator": lambda: np.random.default_rng(3),
    "PCG64": lambda: np.random.PCG64(3),
    "MT19937": lambda: np.random.MT19937(3),  # its words of 64 bits are two of 32
}
WAYS: dict[str, tuple[tuple[int, ...], Any]] = {
    "fast path": ((3,), None),
    "general path, for the dtype": ((3,), np.int16),
    "general path, for the size": ((3000, 20), None),
}


def advance(bit_generator: Any) -> None:
    """Take an output as the holder of the lock, which a thread cannot take twice in NumPy 2.2."""
    interface = bit_generator.ctypes
    interface.next_uint64(interface.state)


@pytest.mark.parametrize(("shape", "dtype"), WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("new", GENERATORS.values(), ids=GENERATORS)
def test_a_draw_waits_for_the_lock_of_a_generator(
    new: Callable[[], Any], shape: tuple[int, ...], dtype: Any
) -> None:
    """The bits come after those that the holder of the lock takes."""
    rng, twin = new(), new()
    mine, other = (getattr(g, "bit_generator", g) for g in (rng, twin))
    dist = Categorical(np.arange(1.0, 1 + np.prod(shape)).reshape(shape))
    advance(other)
    expected = dist.sample(9, rng=twin, dtype=dtype)
    begun = threading.Event()

    def draw() -> Any:
        begun.set()
        return dist.sample(9, rng=rng, dtype=dtype)

    with ThreadPoolExecutor(1) as pool:
        with mine.lock:
            drawn = pool.submit(draw)
            begun.wait()
            with pytest.raises(TimeoutError):
                drawn.result(timeout=0.1)
            advance(mine)
        assert_array_equal(drawn.result(), expected)
