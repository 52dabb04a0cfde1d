"""Generate text from a language model, for requests that come and go.

The model is fitted in a second to text that comes with Python: its language reference. Requests
wait until there is room in the batch, and leave it as soon as they are complete. Each has its own
seed, temperature, top_k and top_p. Its text is the same in any batch, and in every library::

    python examples/generate.py --slots 4 --length 60 --seed 1
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import textwrap
from collections import Counter, defaultdict, deque
from pydoc_data import topics
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from anycat import Categorical

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    AsArray = Callable[[NDArray[Any]], Any]

ORDER = 3  # a token depends on up to two tokens before it
WORD = re.compile(r" ?\w+| ?[^\w\s]+")


class Request(NamedTuple):
    """What to generate. Different requests have different seeds."""

    prompt: str
    seed: int
    length: int
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0


class Model:
    """An n-gram model with interpolated probabilities (Witten and Bell)."""

    def __init__(self, text: str) -> None:
        words = WORD.findall(text)
        self.vocabulary = sorted(set(words))
        self.numbers = {word: number for number, word in enumerate(self.vocabulary)}
        tokens = self.encode(text)
        counts: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
        for n in range(ORDER):
            for i in range(n, len(tokens)):
                counts[tuple(tokens[i - n : i])][tokens[i]] += 1
        self.followers = {
            context: (np.array(list(found)), np.array(list(found.values())))
            for context, found in counts.items()
        }

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text; -1 stands for a word that the model has not seen."""
        return [self.numbers.get(word, -1) for word in WORD.findall(text)]

    def decode(self, tokens: Iterable[int]) -> str:
        """Return the text of tokens."""
        return "".join(self.vocabulary[token] for token in tokens)

    def logits(self, texts: Sequence[list[int]]) -> NDArray[np.float32]:
        """Return the logits of the token after each text, an array of shape (texts, vocabulary).

        Each row is computed by itself, so that it does not depend on the others either.
        """
        out = np.empty((len(texts), len(self.vocabulary)), np.float32)
        for row, text in zip(out, texts, strict=True):
            probs = np.full(len(self.vocabulary), 1 / len(self.vocabulary))
            for n in range(min(ORDER, len(text) + 1)):
                context = tuple(text[len(text) - n :])
                if context in self.followers:
                    tokens, counts = self.followers[context]
                    total = len(tokens) + counts.sum()
                    probs *= len(tokens) / total
                    probs[tokens] += counts / total
            row[:] = np.log(probs)
        return out


def generate(
    model: Model, requests: Iterable[Request], slots: int, asarray: AsArray = np.asarray
) -> dict[Request, str]:
    """Return the text for each request, in batches of up to ``slots`` of them.

    ``asarray`` puts arrays into the library that draws.
    """
    waiting, running = deque(requests), list[Request]()
    written: dict[Request, list[int]] = {request: [] for request in waiting}
    while waiting or running:
        while waiting and len(running) < slots:
            running.append(waiting.popleft())
        logits = model.logits([model.encode(r.prompt) + written[r] for r in running])
        dist = Categorical(logits=asarray(logits)).truncate(
            temperature=asarray(np.array([r.temperature for r in running], np.float32)),
            top_k=[r.top_k for r in running],  # None is for no limit
            top_p=asarray(np.array([r.top_p for r in running], np.float32)),
        )
        positions = [len(written[r]) for r in running]
        tokens = dist.sample(seeds=[r.seed for r in running], start=positions)
        for request, token in zip(running, tokens, strict=True):
            written[request].append(int(token))
        running = [r for r in running if len(written[r]) < r.length]
    return {r: r.prompt + model.decode(tokens) for r, tokens in written.items()}


def libraries() -> dict[str, AsArray]:
    """Return a function for each library that is installed, which makes an array of it."""
    found: dict[str, AsArray] = {"NumPy": np.asarray}
    if importlib.util.find_spec("torch"):
        import torch

        found["PyTorch"] = torch.from_numpy
    if importlib.util.find_spec("jax"):
        import jax.numpy as jnp

        found["JAX"] = jnp.asarray
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the text for six requests, and whether it is the same in other batches."""
    parser = argparse.ArgumentParser(description="Generate text for requests that share a batch.")
    parser.add_argument("--slots", type=int, default=4, help="number of requests in a batch")
    parser.add_argument("--length", type=int, default=60, help="tokens of the longest request")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first request")
    options = parser.parse_args(arguments)

    model = Model(" ".join(" ".join(topics.topics.values()).split()))
    print(f"{len(model.vocabulary):,} tokens, {len(model.followers):,} contexts\n")
    seed, length = options.seed, options.length
    requests = [
        Request("A function", seed, length, temperature=0.7, top_k=40),
        Request("If the class", seed + 1, length // 2, top_p=0.8),
        Request("The value of", seed + 2, length // 3, temperature=1.2, top_k=20, top_p=0.9),
        Request("An expression", seed + 3, length, temperature=0.5),
        Request("Note that", seed + 4, length // 2, temperature=0),
        Request("A function", seed + 5, length, temperature=0.7, top_k=40),
    ]
    texts = generate(model, requests, options.slots)
    for request, text in texts.items():
        print(f"{request}\n{textwrap.fill(text)}\n")

    alone = {r: text for request in requests for r, text in generate(model, [request], 1).items()}
    print("the same one by one:", alone == texts)
    for library, asarray in libraries().items():
        others = generate(model, requests[::-1], options.slots + 1, asarray)
        print(f"the same in other batches, in {library}:", others == texts)


if __name__ == "__main__":
    main()
