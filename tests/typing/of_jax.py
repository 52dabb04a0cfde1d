"""Types of distributions over JAX's arrays."""

from __future__ import annotations

from typing import assert_type

import jax
import jax.numpy as jnp

from anycat import Categorical

x = jnp.ones((2, 3))
dist = Categorical(x)


def arrays() -> None:
    assert_type(dist, Categorical[jax.Array])
    assert_type(Categorical(logits=x), Categorical[jax.Array])
    assert_type(dist.sample(3, rng=jax.random.key(0)), jax.Array)
    assert_type(dist.sample(rng=jax.random.PRNGKey(0), dtype=jnp.int8), jax.Array)
    assert_type(dist.sample_and_log_prob(), tuple[jax.Array, jax.Array])
    assert_type(dist.probs, jax.Array)
    assert_type(dist.log_prob(dist.sample()), jax.Array)
    assert_type(dist.entropy(), jax.Array)
    assert_type(dist.mode, jax.Array)
    assert_type(dist.icdf(0.5), jax.Array)
    assert_type(dist.expand((4, 2)), Categorical[jax.Array])


def traced(x: jax.Array) -> jax.Array:
    return Categorical(logits=x).truncate(top_k=3).sample(rng=0)


def wrong() -> None:
    Categorical(x, x)  # type: ignore[call-overload]
    dist.sample(rng="0")  # type: ignore[arg-type]
