"""The examples run, and say what is true."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from anycat import Categorical

EXAMPLES = Path(__file__).parent.parent / "examples"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def markov_text() -> ModuleType:
    return load("markov_text")


@pytest.fixture(scope="module")
def text(markov_text):
    return markov_text.read_sources(3)


@pytest.fixture(scope="module")
def counts(markov_text, text):
    return markov_text.count_pairs(text)


@pytest.fixture(scope="module")
def chain(markov_text, counts):
    return markov_text.fit(counts)


def test_counts_every_pair(markov_text):
    counts = markov_text.count_pairs(np.frombuffer(b"abab", dtype=np.uint8))
    assert counts[ord("a"), ord("b")] == 2
    assert counts[ord("b"), ord("a")] == 2  # one of them from the end to the beginning
    assert counts.sum() == 4


def test_bits_per_character_are_those_of_the_text(markov_text, text, counts, chain):
    following = np.roll(text, -1)
    p = counts[text, following] / counts.sum(axis=1)[text]
    bits = markov_text.bits_per_character(chain, counts)
    assert bits == pytest.approx(-np.log2(p).mean(), rel=1e-10)


def test_entropy_rate_is_at_most_the_bits_per_character(markov_text, counts, chain):
    # They are equal for a chain that was fitted to the text itself.
    bits = markov_text.bits_per_character(chain, counts)
    rate = markov_text.entropy_rate(chain, counts)
    assert 0 < rate <= bits + 1e-9
    assert rate == pytest.approx(bits, rel=1e-9)


def test_writes_only_pairs_of_the_text(markov_text, counts, chain):
    start = ord("\n")
    written = np.frombuffer(markov_text.write(chain, start, 2_000, 0), dtype=np.uint8)
    assert (counts[np.append(start, written[:-1]).astype(int), written] > 0).all()


def test_uniform_rows_stand_in_for_bytes_never_seen(counts, chain):
    unseen = counts.sum(axis=1) == 0
    assert unseen.any()
    np.testing.assert_array_equal(chain.probs[unseen], 1 / 256)


def test_seed_fixes_the_text(markov_text, chain):
    short, long, other = (
        markov_text.write(chain, ord("\n"), length, seed)
        for length, seed in [(50, 1), (200, 1), (50, 2)]
    )
    assert (len(short), len(long)) == (50, 200)
    assert long[:50] == short
    assert other != short


def test_generator_moves_on(markov_text, chain):
    first, second = (
        [markov_text.write(chain, ord("\n"), 50, rng) for _ in range(2)]
        for rng in (np.random.default_rng(3), np.random.default_rng(3))
    )
    assert first == second
    assert first[0] != first[1]


def test_prints_the_same_twice(markov_text, capsys):
    printed = []
    for _ in range(2):
        markov_text.main(["--files", "2", "--length", "80", "--seed", "5"])
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    assert "bits per character of the text" in printed[0]


@pytest.fixture(scope="module")
def dask_draws() -> ModuleType:
    pytest.importorskip("distributed")
    return load("dask_draws")


def test_counts_are_those_of_the_draws(dask_draws):
    draws = Categorical(dask_draws.WEIGHTS).sample(10_000, rng=4)
    counts = dask_draws.count(dask_draws.plan(4)[:10_000]).compute()
    np.testing.assert_array_equal(counts, np.bincount(draws, minlength=1000))


def test_deviations(dask_draws):
    p = dask_draws.WEIGHTS / dask_draws.WEIGHTS.sum()
    counts = 1e9 * p
    assert dask_draws.largest_deviation(counts) < 1e-3
    counts[[0, 7]] += np.array([-5, 5]) * np.sqrt(1e9 * p[7] * (1 - p[7]))
    assert dask_draws.largest_deviation(counts) == pytest.approx(5, rel=1e-6)


def test_draws_on_two_processes(dask_draws, capsys):
    dask_draws.main(["--draws", "1e5", "--seed", "3"])
    printed = capsys.readouterr().out
    assert "1e+10 draws planned" in printed
    assert "1e+05 draws made and counted" in printed
    draws = Categorical(dask_draws.WEIGHTS).sample(100_000, rng=3)
    assert " ".join(map(str, ["counts:", *np.bincount(draws)[:6], "..."])) in printed
