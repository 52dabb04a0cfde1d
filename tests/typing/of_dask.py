"""Types of distributions over Dask's arrays."""

from __future__ import annotations

from typing import assert_type

import dask.array as da

from anycat import Categorical


def arrays(x: da.Array) -> None:
    dist = Categorical(x)
    assert_type(dist, Categorical[da.Array])
    assert_type(dist.sample(3, rng=0), da.Array)
    assert_type(dist.log_prob(dist.sample()), da.Array)
    assert_type(dist.probs, da.Array)
    assert_type(dist.mode, da.Array)
    assert_type(Categorical(logits=x)[0], Categorical[da.Array])


def wrong(x: da.Array) -> None:
    Categorical(x, x)  # type: ignore[call-overload]
    Categorical(x).sample(rng="0")  # type: ignore[arg-type]
