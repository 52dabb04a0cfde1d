"""Find the topics of a text by Gibbs sampling: one draw for each word, from a row that changes.

A topic model (latent Dirichlet allocation) is fitted to the language reference that comes with
Python, by a collapsed Gibbs sampler. In each sweep, every word draws its topic anew, given the
topics of all other words. So no two draws can be made at once, and the loop is compiled by Numba::

    python examples/topics.py --topics 10 --sweeps 200 --seed 1

The same sampler is timed with the lines that are usually written for such a draw.
"""

from __future__ import annotations

import argparse
import re
import time
from collections import Counter
from pydoc_data import topics as reference
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numba import njit

import anycat.numba

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

ALPHA, BETA = 0.1, 0.01  # Dirichlet priors of the topics of a document, and the words of a topic
COMMON = 60  # the most frequent words, which tell nothing of the topic


class Corpus(NamedTuple):
    """Words as numbers, one after the other, and the document of each."""

    vocabulary: list[str]
    words: Integers
    documents: Integers


class Model(NamedTuple):
    """The topic of each word, and how often each topic has been given to what."""

    assigned: Integers
    of_documents: Integers
    of_words: Integers
    totals: Integers


def read(texts: Iterable[str]) -> Corpus:
    """Return the words of texts, but for the most frequent, the rare and the short."""
    found = [re.findall(r"\b[a-z]{4,}\b", text.lower()) for text in texts]
    counts = Counter(word for words in found for word in words)
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    vocabulary = [word for word in ranked[COMMON:] if counts[word] >= 5]
    numbers = {word: i for i, word in enumerate(vocabulary)}
    pairs = [(numbers[x], d) for d, words in enumerate(found) for x in words if x in numbers]
    words, documents = np.array(pairs, np.int64).T.copy()
    return Corpus(vocabulary, words, documents)


def start(corpus: Corpus, topics: int) -> Model:
    """Return the state before the first sweep, in which no word has a topic."""
    documents = int(corpus.documents.max()) + 1
    shapes = (documents, topics), (len(corpus.vocabulary), topics), topics
    return Model(np.full(corpus.words.size, -1), *(np.zeros(shape, np.int64) for shape in shapes))


def sampler(choose: Callable[..., int]) -> Any:
    """Return a compiled sweep, which draws by ``choose(weights, key, i)``."""

    def sweep(words: Integers, documents: Integers, model: Model, key: Any, first: int) -> None:
        assigned, of_documents, of_words, totals = model
        weights, vocabulary = np.empty(totals.size), of_words.shape[0]
        for i in range(words.size):
            word, document, topic = words[i], documents[i], assigned[i]
            if topic >= 0:
                of_documents[document, topic] -= 1
                of_words[word, topic] -= 1
                totals[topic] -= 1
            for t in range(totals.size):
                share = (of_words[word, t] + BETA) / (totals[t] + vocabulary * BETA)
                weights[t] = (of_documents[document, t] + ALPHA) * share
            topic = choose(weights, key, first + i)
            of_documents[document, topic] += 1
            of_words[word, topic] += 1
            totals[topic] += 1
            assigned[i] = topic

    return njit(sweep)


def by_cumsum(weights: NDArray[np.float64], key: Any, i: int) -> int:
    """Draw in the usual way: from Numba's own generator, whatever the key is."""
    cumulative = np.cumsum(weights)
    u = np.random.random() * cumulative[-1]  # noqa: NPY002, the only one that Numba seeds by itself
    return int(np.searchsorted(cumulative, u, side="right"))


def fit(sweep: Any, corpus: Corpus, topics: int, sweeps: int, seed: int) -> tuple[Model, float]:
    """Return the model after some sweeps, and the seconds that they took."""
    words, documents, key = corpus.words, corpus.documents, anycat.numba.key(seed)
    sweep(words[:1], documents[:1], start(corpus, topics), key, 0)  # compiles it
    model, begin = start(corpus, topics), time.perf_counter()
    for n in range(sweeps):
        sweep(words, documents, model, key, n * words.size)
    return model, time.perf_counter() - begin


def top_words(model: Model, corpus: Corpus, n: int = 8) -> list[str]:
    """Return the most frequent words of each topic, the largest topic first."""
    return [
        " ".join(corpus.vocabulary[w] for w in np.argsort(-model.of_words[:, t], kind="stable")[:n])
        for t in np.argsort(-model.totals, kind="stable")
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the topics of the reference, and what the draws cost."""
    parser = argparse.ArgumentParser(description="Find the topics of Python's language reference.")
    parser.add_argument("--topics", type=int, default=20, help="number of topics")
    parser.add_argument("--sweeps", type=int, default=100, help="number of sweeps over the text")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same topics")
    options = parser.parse_args(arguments)

    corpus = read(reference.topics.values())
    print(f"{corpus.words.size:,} words, {len(corpus.vocabulary):,} different ones")
    run = corpus, options.topics, options.sweeps, options.seed
    model, seconds = fit(sampler(anycat.numba.draw), *run)
    print(*top_words(model, corpus), sep="\n")
    _, usual = fit(sampler(njit(by_cumsum)), *run)
    print(f"{seconds:.2f} s; {usual:.2f} s by cumsum and searchsorted: {usual / seconds:.2f} times")


if __name__ == "__main__":
    main()
