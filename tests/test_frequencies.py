"""A small run of `frequencies.py`, and faults that its tests must find."""

from __future__ import annotations

import frequencies
import numpy as np
import pytest

from anycat import Categorical

SLOW = ("small, long rows", "long rows", "long rows, float64")
P = frequencies.probabilities(frequencies.WEIGHTS, "probs")


@pytest.mark.statistical
@pytest.mark.parametrize("name", frequencies.every_run())
def test_draws_of_each_path_and_pairs(name: str) -> None:
    """The kernel is the one named, whose draws fit: a test at frequencies.THRESHOLD."""
    draws = 20_000 if name in SLOW else 1_000_000
    values = dict(frequencies.every_run()[name](draws, 1))
    assert len(values) == (frequencies.SETUPS[name].rows if name in frequencies.SETUPS else 1)
    assert min(values.values()) > frequencies.THRESHOLD


def test_every_test_is_counted() -> None:
    rows = sum(setup.rows for setup in frequencies.SETUPS.values())
    assert rows + len(frequencies.NEIGHBOURS) == frequencies.TESTS


def test_a_bias_is_found() -> None:
    """One draw in a hundred of a category goes to the next one."""
    draws = Categorical(frequencies.WEIGHTS).sample(10_000_000, rng=1)
    counts = np.bincount(draws, minlength=P.size)
    assert frequencies.g_test(counts, P) > frequencies.THRESHOLD
    moved = counts[5] // 100
    counts[5] -= moved
    counts[6] += moved
    assert frequencies.g_test(counts, P) < frequencies.THRESHOLD


def test_a_rare_category_that_is_never_drawn_is_found() -> None:
    p = np.array([0.5, 0.5 - 1e-4, 1e-4])
    assert frequencies.g_test(np.array([500_000, 500_000, 0]), p) < frequencies.THRESHOLD


def test_dependence_is_found() -> None:
    """One second draw in a hundred repeats the first."""

    def repeating(i: int) -> frequencies.Pairs:
        first, second = (x.copy() for x in frequencies.in_block(i))
        second[::100] = first[::100]
        return first, second

    assert frequencies.independence(repeating, 4_000_000, 0) < frequencies.THRESHOLD


@pytest.mark.parametrize("draw", [-1, 16, 10**9])
def test_a_draw_that_is_no_category_is_found(draw: int) -> None:
    counts = np.zeros((2, 16), np.int64)
    with pytest.raises(ValueError, match="no category"):
        frequencies.count(np.array([3, draw]), counts)
    assert counts.sum() == 1


def test_another_kernel_is_noticed() -> None:
    setup = frequencies.SETUPS["rows"]._replace(copies=1)
    with pytest.raises(AssertionError, match="draw_small"):
        dict(frequencies.frequencies(setup, 1000, [0]))
