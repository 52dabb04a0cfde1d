"""Frequencies fit probabilities. Seeds are fixed, so a failure is a change, not bad luck.

A correct library would fail some test of this file for one choice of seeds in a thousand: FAMILY,
shared out evenly among the tests.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
import rows
from scipy import stats

from anycat import Categorical

FAMILY = 1e-3
CASES = [
    # name, form, kind, size, batch, draws
    ("coin", "probs", "plain", 2, (), 1_000_000),
    ("die", "probs", "plain", 6, (), 1_000_000),
    ("sparse", "probs", "sparse", 50, (), 500_000),
    ("wide", "logits", "wide", 300, (), 500_000),
    ("masked", "logits", "masked", 1000, (), 500_000),
    ("tiles", "logits", "plain", 10_000, (), 1_000_000),
    ("short rows", "logits", "plain", 10, (40,), 5_000),
    ("rows", "probs", "plain", 200, (40,), 5_000),
    ("long rows", "logits", "plain", 5_000, (3,), 60),
    ("single draws", "probs", "plain", 12, (300_000,), 1),
]
pytestmark = pytest.mark.statistical


def p_value(observed: np.ndarray, p: np.ndarray) -> float:
    """Return the p-value of a chi-square test, with rare categories taken together."""
    expected = p * observed.sum()
    order = np.argsort(expected)
    rare = int(np.searchsorted(np.cumsum(expected[order]), 10.0)) + 1
    pooled = [np.add.reduceat(x[order], np.r_[0, rare : len(p)]) for x in (observed, expected)]
    if len(pooled[0]) < 2:
        return 1.0
    return float(stats.chisquare(*pooled).pvalue)


@pytest.mark.parametrize(
    ("form", "kind", "size", "batch", "draws"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_frequencies(form: str, kind: str, size: int, batch: tuple[int, ...], draws: int) -> None:
    row_batch = batch if draws > 1 else ()
    x = rows.make(form, kind, (*row_batch, size), np.float64, seed=1)
    dist = Categorical(**{form: x}).expand(batch)
    sample = dist.sample((draws,), rng=20261123).reshape(-1, math.prod(row_batch))
    p = Categorical(**{form: x}).probs.reshape(-1, size)
    values = [
        p_value(np.bincount(column, minlength=size), row)
        for column, row in zip(sample.T, p, strict=True)
    ]
    assert min(values) > FAMILY / len(CASES) / len(values)
    assert stats.kstest(values, "uniform").pvalue > FAMILY / len(CASES) if len(values) > 5 else True


def test_neighbours_are_independent() -> None:
    """Pairs of draws with neighbouring numbers, which share a block of random bits."""
    draws = Categorical([0.1, 0.2, 0.3, 0.4]).sample((2_000_000,), rng=1)
    pairs = np.bincount(draws[0::2] * 4 + draws[1::2], minlength=16).reshape(4, 4)
    assert stats.chi2_contingency(pairs).pvalue > FAMILY / len(CASES)


def test_seeds_are_independent() -> None:
    dist = Categorical([0.1, 0.2, 0.3, 0.4])
    one, other = (dist.sample((1_000_000,), rng=seed) for seed in (0, 1))
    pairs = np.bincount(one * 4 + other, minlength=16).reshape(4, 4)
    assert stats.chi2_contingency(pairs).pvalue > FAMILY / len(CASES)


def test_the_test_has_power() -> None:
    """A bias of two percent in one category of six is seen."""
    p = np.full(6, 1 / 6)
    biased = p * [1.02, 1, 1, 1, 1, 1]
    observed = np.bincount(Categorical(biased).sample((1_000_000,), rng=3), minlength=6)
    assert p_value(observed, p) < FAMILY
