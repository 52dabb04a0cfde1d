"""Types of distributions over PyTorch's tensors, and of the one in place of PyTorch's own."""

from __future__ import annotations

from typing import assert_type

import torch

import anycat.torch
from anycat import Categorical, kl_divergence

x = torch.ones(2, 3)
dist = Categorical(x)
own = anycat.torch.Categorical(logits=x)


def tensors(generator: torch.Generator) -> None:
    assert_type(dist, Categorical[torch.Tensor])
    assert_type(Categorical(logits=x), Categorical[torch.Tensor])
    assert_type(dist.sample(3, rng=generator), torch.Tensor)
    assert_type(dist.sample(dtype=torch.int32), torch.Tensor)
    assert_type(dist.sample(x.shape, seeds=torch.arange(2)), torch.Tensor)
    assert_type(dist.sample_and_log_prob(), tuple[torch.Tensor, torch.Tensor])
    assert_type(dist.sample(2, replace=False), torch.Tensor)
    assert_type(dist.sample_counts(9), torch.Tensor)
    assert_type(dist.probs, torch.Tensor)
    assert_type(dist.logits, torch.Tensor)
    assert_type(dist.log_prob(dist.sample()), torch.Tensor)
    assert_type(dist.entropy(), torch.Tensor)
    assert_type(dist.mode, torch.Tensor)
    assert_type(dist.icdf(0.5), torch.Tensor)
    assert_type(dist.enumerate_support(), torch.Tensor)
    assert_type(dist[0], Categorical[torch.Tensor])
    assert_type(kl_divergence(dist, dist), torch.Tensor)


def in_place_of_pytorch(generator: torch.Generator, maybe: torch.Tensor | None) -> None:
    pytorch: torch.distributions.Categorical = own
    anycats: Categorical[torch.Tensor] = own
    anycat.torch.Categorical(maybe, maybe, None)
    anycat.torch.Categorical([0.5, 0.5])
    assert_type(own.sample((3,), rng=generator), torch.Tensor)
    assert_type(own.sample(2, replace=False), torch.Tensor)
    assert_type(own.sample_counts(9), torch.Tensor)
    assert_type(own.prob(0), torch.Tensor)
    assert_type(own.icdf(0.5), torch.Tensor)
    assert_type(own.probs, torch.Tensor)
    assert_type(own.log_prob(own.sample()), torch.Tensor)
    assert_type(own.entropy(), torch.Tensor)
    assert_type(own.mode, torch.Tensor)
    assert_type(own.truncate(top_k=2), anycat.torch.Categorical)
    assert_type(own.batch_shape, torch.Size)
    assert_type(pytorch.mode, torch.Tensor)
    assert_type(anycats.sample(), torch.Tensor)


def wrong() -> None:
    Categorical(x, x)  # type: ignore[call-overload]
    dist.sample(rng="0")  # type: ignore[arg-type]
    dist.sample(dtype="float32")  # type: ignore[arg-type]
    own.sample(rng="0")  # type: ignore[arg-type]
    own.sample(seed=1)  # type: ignore[call-arg]
    own.sample_counts()  # type: ignore[call-arg]
    anycat.torch.Categorical("probs")  # type: ignore[arg-type]
    anycat.torch.Categorical(p=x)  # type: ignore[call-arg]
