"""Time the draw of a token for each row of logits, with top_k = 50 and top_p = 0.9.

``python benchmarks/language_models.py`` compares anycat with what language models do by sorting:
PyTorch's filters in the way of Hugging Face's `generate`, NumPy, and jitted JAX, which sorts no
more than it keeps. Writes ``language-models.json`` and ``.md`` to ``benchmarks/results``. All
times are medians; quote ratios.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import record
from regimes import optional
from run import Times, compete

from anycat import Categorical

if TYPE_CHECKING:
    from collections.abc import Callable

    Case = dict[str, Callable[[], Any]]

SHAPES = (1, 128_256), (64, 128_256), (64, 32_000)
DTYPES = "float32", "bfloat16"
K, P = 50, 0.9
PLAIN, OURS, SEEDED, TENSOR = "anycat, plain draw", "anycat", "anycat, seeds", "anycat, tensor"


def cases(shape: tuple[int, int], dtype: str) -> Case:
    """Return what draws one token for each row."""
    logits = 3 * np.random.default_rng(0).standard_normal(shape, np.float32)
    rng, seeds = np.random.default_rng(1), np.arange(shape[0], dtype=np.uint64)
    mask = np.random.default_rng(2).random(shape) < 0.5
    torch, jax = optional("torch"), optional("jax")
    found: Case = {}
    if dtype == "float32":
        found[PLAIN] = lambda: Categorical(logits=logits).sample(rng=rng)
        found[OURS] = lambda: truncated(logits).sample(rng=rng)
        found[SEEDED] = lambda: truncated(logits).sample(seeds=seeds, start=seeds)
        found["anycat, top_p alone"] = lambda: alone(logits, top_p=P).sample(rng=rng)
        found["anycat, min_p alone"] = lambda: alone(logits, min_p=0.02).sample(rng=rng)
        found["anycat, mask alone"] = lambda: alone(logits, mask=mask).sample(rng=rng)
        found["numpy, sorted"] = lambda: by_numpy(logits, rng)
    if torch:
        x = torch.tensor(logits, dtype=getattr(torch, dtype))
        if dtype == "bfloat16":
            found[PLAIN] = lambda: Categorical(logits=x).sample(rng=rng)
        found[TENSOR] = lambda: truncated(x).sample(rng=rng)
        found["torch, warpers"] = lambda: by_torch(torch, x)
    if jax:
        y, draw = jax.numpy.asarray(logits, dtype), by_jax(jax)
        key = jax.random.key(0)
        found["jax, lax.top_k, jitted"] = lambda: draw(y, key).block_until_ready()
    return found


def truncated(logits: Any) -> Categorical:
    return Categorical(logits=logits).truncate(top_k=K, top_p=P)


def alone(logits: Any, **argument: Any) -> Categorical:
    return Categorical(logits=logits).truncate(**argument)


def by_torch(torch: Any, logits: Any) -> Any:
    """Filter as Hugging Face's `generate` does, and draw."""
    least = torch.topk(logits, K).values[..., -1, None]
    logits = logits.masked_fill(logits < least, -torch.inf)
    ascending, order = torch.sort(logits)
    removed = ascending.softmax(-1).cumsum(-1) <= 1 - P
    removed[..., -1:] = False
    logits = logits.masked_fill(removed.scatter(1, order, removed), -torch.inf)
    return torch.multinomial(logits.softmax(-1), 1)


def by_numpy(logits: Any, rng: np.random.Generator) -> Any:
    """Sort each row, and draw by the cumulative sum."""
    order = np.argsort(-logits, -1)[:, :K]
    top = np.take_along_axis(logits, order, -1).astype(np.float64)
    cumulative = np.exp(top - top[:, :1]).cumsum(-1)
    cumulative /= cumulative[:, -1:]
    last = (cumulative < P).sum(-1, keepdims=True)
    u = rng.random((len(logits), 1)) * np.take_along_axis(cumulative, last, -1)
    return np.take_along_axis(order, (cumulative <= u).sum(-1, keepdims=True), -1)


def by_jax(jax: Any) -> Any:
    """Return a function that finds the largest by `lax.top_k`, and draws among them."""

    @jax.jit
    def draw(logits: Any, key: Any) -> Any:
        top, order = jax.lax.top_k(logits.astype("float32"), K)
        before = jax.nn.softmax(top).cumsum(-1) - jax.nn.softmax(top)
        top = jax.numpy.where(before < P, top, -jax.numpy.inf)
        place = jax.random.categorical(key, top)
        return jax.numpy.take_along_axis(order, place[:, None], -1)

    return draw


def table(results: dict[str, Times]) -> str:
    """Return the ratios of all times to the time of anycat, or anycat's tensors."""
    return record.ratios(results, ("rows x tokens", "anycat, ms"), (OURS, TENSOR))


def main() -> None:
    seconds = record.seconds_for_each_case(__doc__)
    results = {
        f"{shape[0]} x {shape[1]} {dtype}": compete(cases(shape, dtype), seconds)
        for dtype in DTYPES
        for shape in SHAPES
    }
    record.write("language-models", results, table(results), top_k=K, top_p=P)


if __name__ == "__main__":
    main()
