"""Types of distributions over NumPy's arrays, and of what is wrong whatever the array.

Type checkers read these files; nothing runs them. On a line with ``type: ignore``, they must find
an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Generic, assert_type

import numpy as np
from numpy.typing import NDArray

import anycat.numba
from anycat import Categorical, kl_divergence
from anycat._typing import ArrayT

Single = NDArray[np.float32]
Double = NDArray[np.float64]
Indices = NDArray[np.int64]

single = np.ones((2, 3), np.float32)
counts = np.bincount([0, 1, 1])
literal = np.array([0.1, 0.9])
dist = Categorical(single)


def parameters() -> None:
    assert_type(dist, Categorical[Single])
    assert_type(Categorical(np.ones(3)), Categorical[Double])
    assert_type(Categorical(logits=single), Categorical[Single])
    assert_type(Categorical(probs=None, logits=single), Categorical[Single])
    assert_type(Categorical([0.5, 0.5]), Categorical[Double])
    assert_type(Categorical([1, 3]), Categorical[Double])
    assert_type(Categorical(logits=[[0.0, 1.0], [2, 3]]), Categorical[Double])
    assert_type(Categorical(((0.5, 0.5), (True, False))), Categorical[Double])
    assert_type(Categorical([single, single]), Categorical[NDArray[Any]])
    assert_type(Categorical(counts), Categorical[NDArray[Any]])  # which become floats
    assert_type(Categorical(literal), Categorical[NDArray[Any]])
    assert_type(Categorical(single, validate_args=False, clamp_probs=False), Categorical[Single])


def functions_for_numba(rng: np.random.Generator) -> None:
    key = anycat.numba.key(rng)
    assert_type(anycat.numba.draw(np.ones(3), key, 0), int)
    assert_type(anycat.numba.draw_logits(np.ones(3, np.float32), key, np.uint64(1)), int)
    assert_type(anycat.numba.draw_prepared(anycat.numba.prepare(np.ones(3)), key, np.int8(2)), int)
    anycat.numba.draw(np.ones(3), key, 0.5)  # type: ignore[arg-type]


def draws(rng: np.random.Generator) -> None:
    assert_type(dist.sample(), Indices)
    assert_type(dist.sample(3, rng=0), Indices)
    assert_type(dist.sample((2, 3), rng=rng), Indices)
    assert_type(dist.sample([2, np.int32(3)], rng=np.int64(1)), Indices)
    assert_type(dist.sample(rng=rng.bit_generator), Indices)
    assert_type(dist.sample(rng=np.random.SeedSequence(1)), Indices)
    assert_type(dist.sample(seeds=[1, 2], start=[0, 5]), Indices)
    assert_type(dist.sample(seeds=np.arange(2), start=7), Indices)
    assert_type(dist.sample(dtype=np.int8), NDArray[Any])
    assert_type(dist.sample(dtype="int8"), NDArray[Any])
    assert_type(dist.sample(dtype=np.dtype(np.uint16)), NDArray[Any])
    assert_type(dist.sample_and_log_prob(3, rng=0), tuple[Indices, Single])
    assert_type(dist.sample_and_log_prob(3, rng=0, dtype=np.int8), tuple[NDArray[Any], Single])
    assert_type(dist.sample(2, replace=False, rng=0), Indices)
    assert_type(dist.sample_counts(10**9, rng=0), Indices)
    assert_type(dist.sample_counts(5, seeds=[1, 2], dtype=np.int8), NDArray[Any])
    assert_type(dist.enumerate_support(), Indices)
    assert_type(Categorical([0.5, 0.5]).sample(), Indices)
    assert_type(Categorical(literal).sample(), Indices)


def values() -> None:
    assert_type(dist.probs, Single)
    assert_type(dist.logits, Single)
    assert_type(dist.log_prob(1), Single)
    assert_type(dist.log_prob(dist.sample(5)), Single)
    assert_type(dist.prob([[0], [1]]), Single)
    assert_type(dist.cdf(0.5), Single)
    assert_type(dist.icdf(dist.cdf(1)), Indices)
    assert_type(dist.entropy(), Single)
    assert_type(dist.perplexity(), Single)
    assert_type(dist.mode, Indices)
    assert_type(dist.mean, Single)
    assert_type(dist.variance, Single)
    assert_type(kl_divergence(dist, dist), Single)


def shapes() -> None:
    assert_type(dist.batch_shape, tuple[int, ...])
    assert_type(dist.param_shape, tuple[int, ...])
    assert_type(dist.event_shape, tuple[()])
    assert_type(dist.num_categories, int)
    assert_type(dist.support, range)
    assert_type(len(dist), int)


def distributions(limits: dict[str, int]) -> None:
    assert_type(dist[0], Categorical[Single])
    assert_type(iter(dist), Iterator[Categorical[Single]])
    assert_type(dist.expand(2), Categorical[Single])
    assert_type(dist.expand((2, 3)), Categorical[Single])
    assert_type(dist.truncate(top_k=5, top_p=0.9, min_p=[0.1, 0.2]), Categorical[Single])
    assert_type(dist.truncate(mask=single > 0), Categorical[Single])
    assert_type(dist.truncate(**limits), Categorical[Single])


class Named(Categorical[ArrayT], Generic[ArrayT]):
    """A generic subclass."""


class Doubles(Categorical[Double]):
    """A subclass for one kind of array."""


def subclasses(named: Named[Single], doubles: Doubles) -> None:
    assert_type(named.expand(3), Named[Single])
    assert_type(named.sample(), Indices)
    assert_type(doubles.truncate(top_k=1), Doubles)
    assert_type(doubles[0].entropy(), Double)


def unknown(x: Any, bare: Categorical) -> None:
    """What is not known stays so, rather than become NumPy's."""
    assert_type(Categorical(x), Categorical[Any])
    assert_type(Categorical(logits=x), Categorical[Any])
    assert_type(Categorical(x).sample(), Any)
    assert_type(Categorical(x).mode, Any)
    assert_type(bare.sample(3), Any)
    assert_type(bare.sample_counts(3), Any)
    assert_type(bare.icdf(0.5), Any)
    assert_type(bare.probs, Any)
    assert_type(bare[0], Categorical[Any])


def accepts(given: Categorical[NDArray[np.floating[Any]]]) -> None: ...


def wrong() -> None:
    accepts(dist)
    Categorical()  # type: ignore[call-overload]
    Categorical(single, single)  # type: ignore[call-overload]
    Categorical(probs=single, logits=single)  # type: ignore[call-overload]
    Categorical("probs")  # type: ignore[arg-type]
    Categorical(["a", "b"])  # type: ignore[list-item]
    Categorical(0.5)  # type: ignore[call-overload]
    Categorical({0: 0.5, 1: 0.5})  # type: ignore[call-overload]
    Categorical(single, validate=False)  # type: ignore[call-overload]
    dist.sample(2, 3)  # type: ignore[call-overload]
    dist.sample(0.5)  # type: ignore[call-overload]
    dist.sample("3")  # type: ignore[arg-type]
    dist.sample(seed=0)  # type: ignore[call-overload]
    dist.sample(replace="no")  # type: ignore[call-overload]
    dist.sample_counts()  # type: ignore[call-overload]
    dist.sample_counts(1.5)  # type: ignore[call-overload]
    dist.sample_counts(3, replace=False)  # type: ignore[call-overload]
    dist.sample_counts(size=3)  # type: ignore[call-overload]
    dist.sample(rng="0")  # type: ignore[call-overload]
    dist.sample(rng=0.5)  # type: ignore[call-overload]
    dist.sample(rng=np.random.RandomState(0))  # type: ignore[call-overload]
    dist.sample(rng=np.random)  # type: ignore[arg-type]
    dist.sample(rng=[1, 2])  # type: ignore[call-overload]
    dist.sample(seeds="0")  # type: ignore[arg-type]
    dist.sample(seeds=0.5)  # type: ignore[call-overload]
    dist.sample(seeds=[0.5, 1.5])  # type: ignore[list-item]
    dist.sample(start=None)  # type: ignore[call-overload]
    dist.sample(dtype=np.float32)  # type: ignore[arg-type]
    dist.sample(dtype=float)  # type: ignore[arg-type]
    dist.sample(dtype="float32")  # type: ignore[call-overload]
    dist.sample(dtype=np.dtype(np.float64))  # type: ignore[arg-type]
    dist.sample_and_log_prob(rng="0")  # type: ignore[call-overload]
    dist.expand("3")  # type: ignore[arg-type]
    dist.log_prob("0")  # type: ignore[arg-type]
    dist.log_prob(None)  # type: ignore[arg-type]
    dist.truncate(5)  # type: ignore[call-arg]
    dist.truncate(k=5)  # type: ignore[call-arg]
    dist.truncate(top_k=0.5)  # type: ignore[arg-type]
    dist.truncate(top_p="0.9")  # type: ignore[arg-type]
    kl_divergence(dist, single)  # type: ignore[arg-type]
    dist.batch_shape = (3,)  # type: ignore[misc]
    accepts(Categorical([[True]]).sample())  # type: ignore[arg-type]
