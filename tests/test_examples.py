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


def test_each_byte_is_drawn_from_the_row_of_the_byte_before(markov_text, chain):
    text = markov_text.write(chain, ord("\n"), 100, 1)
    for i, (before, byte) in enumerate(zip(b"\n" + text[:-1], text, strict=True)):
        assert Categorical(chain.probs[before]).sample(rng=1, start=i) == byte


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


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    return load("generate")


@pytest.fixture(scope="module")
def model(generate):
    return generate.Model("the cat saw the dog, and the dog saw the cat and the cat")


@pytest.fixture(scope="module")
def requests(generate):
    lengths = [9, 2, 5, 7, 1, 4]
    return [
        generate.Request("the cat", 7 + i, n, temperature=0.5 + i / 4, top_k=4 - i % 3, top_p=0.9)
        for i, n in enumerate(lengths)
    ]


def test_probabilities_of_the_next_token(model):
    # Each order leaves the share distinct / (distinct + all) to the order below.
    numbers, size = model.numbers, len(model.vocabulary)
    text = "the cat saw"
    p = 1 / size
    p = (2 + size * p) / (15 + size)  # " saw" is 2 of 15 tokens
    p = (1 + 2 * p) / (2 + 2)  # of 2 tokens after " cat", which are different, it is 1
    p = (1 + 1 * p) / (1 + 1)  # and it is the only one after "the cat"
    (logits,) = model.logits([model.encode("the cat")])
    assert np.exp(logits[numbers[" saw"]]) == pytest.approx(p, rel=1e-6)
    assert np.exp(logits).sum() == pytest.approx(1, rel=1e-6)
    assert model.decode(model.encode(text)) == text
    for short in ([], [numbers[" cat"]], [-1, -1]):
        assert np.exp(model.logits([short])).sum() == pytest.approx(1, rel=1e-6)


def test_requests_come_and_go(generate, model, requests):
    sizes = []

    def asarray(x):
        if x.ndim == 2:  # the logits
            sizes.append(len(x))
        return x

    texts = generate.generate(model, requests, 3, asarray)
    assert sizes == [3] * 9 + [1]
    for request, text in texts.items():
        assert len(model.encode(text)) == 2 + request.length


@pytest.mark.parametrize("library", ["NumPy", "PyTorch", "JAX"])
def test_texts_do_not_depend_on_the_batch(generate, model, requests, library):
    asarray = generate.libraries().get(library)
    if asarray is None:
        pytest.skip(f"{library} is not installed")
    alone = {}
    for request in requests:
        alone |= generate.generate(model, [request], 1)
    assert len(set(alone.values())) > 3
    for slots, order in [(3, requests), (4, requests[::-1]), (6, requests[2:] + requests[:2])]:
        assert generate.generate(model, order, slots, asarray) == alone


def test_each_token_has_a_position_of_its_own(generate, model):
    request = generate.Request("the dog", 3, 12)
    tokens = model.encode(request.prompt)
    for n in range(request.length):
        draws = Categorical(logits=model.logits([tokens])[0]).sample(n + 1, seeds=request.seed)
        tokens.append(int(draws[n]))
    assert generate.generate(model, [request], 1) == {request: model.decode(tokens)}


def test_a_text_is_greedy_at_temperature_0(generate, model):
    greedy = [generate.Request("the", 1, 8, temperature=0), generate.Request("the", 2, 8, top_k=1)]
    first, second = generate.generate(model, greedy, 2).values()
    assert first == second


def test_prints_that_texts_are_the_same(generate, capsys):
    generate.main(["--length", "9", "--slots", "3"])
    lines = [x for x in capsys.readouterr().out.splitlines() if x.startswith("the same ")]
    assert len(lines) == 1 + len(generate.libraries())
    assert all(line.endswith(": True") for line in lines)


@pytest.fixture(scope="module")
def topics() -> ModuleType:
    return load("topics")


def test_words_of_a_text(topics):
    common = [f"{a}{a}{b}{b}" for a in "klmnopqr" for b in "abcdefgh"][: topics.COMMON]
    texts = [" ".join(common * 20), "Four four FOUR rare the the the the", "five, four five! " * 5]
    corpus = topics.read(texts)
    assert corpus.vocabulary == ["five", "four"]
    np.testing.assert_array_equal(corpus.words, [1] * 3 + [0, 1, 0] * 5)
    np.testing.assert_array_equal(corpus.documents, [1] * 3 + [2] * 15)


def test_draws_of_a_sweep(topics):
    """They are made one by one in Python, from weights that are computed from scratch."""
    rng = np.random.default_rng(0)
    words, documents = rng.integers(0, 9, 200), rng.integers(0, 4, 200)
    corpus, sweeps, count = topics.Corpus(list("abcdefghi"), words, documents), 3, 5
    model, _ = topics.fit(topics.sampler(topics.anycat.numba.draw), corpus, count, sweeps, 7)
    assigned = np.full(200, -1)
    for n in range(sweeps * 200):
        i = n % 200
        assigned[i] = -1
        each = np.arange(count)
        of_document = (assigned[documents == documents[i], None] == each).sum(0)
        of_word = (assigned[words == words[i], None] == each).sum(0)
        share = (of_word + topics.BETA) / ((assigned[:, None] == each).sum(0) + 9 * topics.BETA)
        weights = (of_document + topics.ALPHA) * share
        assigned[i] = Categorical(weights).sample(rng=7, start=n)
    np.testing.assert_array_equal(model.assigned, assigned)


def test_prints_the_same_topics_twice(topics, capsys):
    printed = []
    for _ in range(2):
        topics.main(["--topics", "5", "--sweeps", "3", "--seed", "2"])
        printed.append(capsys.readouterr().out.splitlines())
    assert printed[0][:-1] == printed[1][:-1]
    assert len(printed[0]) == 7
    assert "by cumsum and searchsorted" in printed[0][-1]


@pytest.fixture(scope="module")
def particle_filter() -> ModuleType:
    return load("particle_filter")


def test_particles_cover_the_state(particle_filter):
    rng = np.random.default_rng(0)
    states, observed = particle_filter.simulate(1_000, rng)
    particles = particle_filter.track(observed, 1_000, rng)
    shares = [particle_filter.covered(states, particles, share) for share in (0.5, 0.9)]
    assert shares == pytest.approx([0.5, 0.9], abs=0.06)
    assert particle_filter.covered(states, particles[::-1]) < 0.6


@pytest.fixture(scope="module")
def spins() -> ModuleType:
    return load("spins")


def test_neighbours_are_counted(spins):
    grid = np.array([[[0, 1, 2, 0], [1, 1, 2, 0], [0, 0, 0, 0], [2, 2, 1, 0]]])
    logits = spins.logits(np.concatenate([grid, grid]), [1.0, 2.0])
    assert logits.shape == (2, 4, 4, 3)
    np.testing.assert_array_equal(logits[0, 1, 1], [1, 2, 1])
    np.testing.assert_array_equal(logits[1, 0, 0], [2, 4, 2])  # two of them at other edges


def test_order_grows_with_the_coupling(spins):
    grids = spins.simulate([0, 0.8, 1.2], 40, 60, 0)
    independent, low, high = spins.order(grids)
    assert independent == pytest.approx(1 / 3, abs=0.05)
    assert low < 0.7 < 0.8 < high


def test_prints_and_plots_the_grids(spins, tmp_path, capsys):
    arguments = ["--couplings", "0.5", "1.5", "--size", "8", "--sweeps", "5"]
    spins.main(arguments)
    printed = capsys.readouterr().out
    assert printed.startswith("coupling 0.5: ")
    assert printed.count("of neighbours are equal") == 2
    pytest.importorskip("matplotlib")
    spins.main([*arguments, "--plot", str(tmp_path / "spins.svg")])
    assert capsys.readouterr().out == printed
    assert (tmp_path / "spins.svg").read_text().count("<image") == 2


def test_prints_and_plots_the_particles(particle_filter, tmp_path, capsys):
    arguments = ["--particles", "500", "--steps", "20"]
    particle_filter.main(arguments)
    assert "central 90 % of the particles" in capsys.readouterr().out
    pytest.importorskip("matplotlib")
    particle_filter.main([*arguments, "--plot", str(tmp_path / "filter.svg")])
    assert (tmp_path / "filter.svg").read_text().count("<image") == 1
