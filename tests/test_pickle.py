"""Pickling and copying."""

import copy
import functools
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from anycat import Categorical, kl_divergence

COPIERS: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{
        f"pickle {n}": lambda x, n=n: pickle.loads(pickle.dumps(x, n))
        for n in range(2, pickle.HIGHEST_PROTOCOL + 1)
    },
}

each_copier = pytest.mark.parametrize("copier", COPIERS)
each_form = pytest.mark.parametrize("form", ["probs", "logits"])


class Mine(Categorical):
    """A subclass, at module level so that pickle finds it."""


@each_copier
@each_form
def test_a_copy_is_the_same_distribution(form: str, copier: str, array: Any, host: Any) -> None:
    params = array([[1.0, 2.0, 4.0], [1.0, 0.0, 1.0]], "float32")
    dist = Categorical(**{form: params}).expand((5, 2))
    before = dist.probs
    twin = COPIERS[copier](dist)
    assert repr(twin) == repr(dist)
    assert not {"probs", "logits"} & vars(twin).keys()
    assert_array_equal(host(twin.probs), host(before))
    assert_array_equal(host(twin.logits), host(dist.logits))
    assert_array_equal(host(twin.sample(9, rng=1)), host(dist.sample(9, rng=1)))


@each_copier
def test_options_and_class_are_kept(copier: str) -> None:
    twin = COPIERS[copier](Mine([0.0, 1.0], validate_args=False, clamp_probs=False))
    assert type(twin) is Mine
    assert_array_equal(twin.log_prob([0, 5]), [-np.inf, -np.inf])
    with pytest.raises(ValueError, match="value must hold"):
        COPIERS[copier](Mine([0.0, 1.0], validate_args=True)).log_prob(5)


def test_a_copy_shares_memory_and_a_deep_copy_does_not() -> None:
    params = np.ones((2, 3))
    dist = Categorical(params)
    assert np.shares_memory(copy.copy(dist)._param, params)
    assert not np.shares_memory(copy.deepcopy(dist)._param, params)


def test_what_is_kept_for_speed_is_not_pickled() -> None:
    dist = Categorical(np.random.default_rng(0).random(10_000))
    fresh = len(pickle.dumps(dist))
    dist.sample(1_000_000, rng=0)
    dist.icdf(dist.cdf(dist.mode))
    assert dist.probs.shape == dist.logits.shape
    assert dist.entropy() > 0
    assert len(pickle.dumps(dist)) == fresh < 8 * 10_000 + 1000


def test_an_expanded_batch_is_not_pickled() -> None:
    assert len(pickle.dumps(Categorical([0.5, 0.5]).expand((10**9, 10**9)))) < 1000


# --- what a subclass adds


class Named(Categorical):
    """A subclass with attributes of its own, and a cached property."""

    def __init__(self, *args: Any, name: Any = "first", **options: Any) -> None:
        super().__init__(*args, **options)
        self.name = name
        self._hidden = 7

    @functools.cached_property
    def squares(self) -> Any:
        return self.probs**2


KEEPERS: dict[str, Callable[[Any], Any]] = {
    **COPIERS,
    "expand": lambda dist: dist.expand((3, 2)),
    "expand twice": lambda dist: dist.expand((3, 2)).expand((4, 3, 2)),
    "index": lambda dist: dist[0],
    "slice": lambda dist: dist[:1, None],
    "iterate": lambda dist: list(dist)[1],
}


@pytest.mark.parametrize("keeper", KEEPERS)
def test_a_subclass_keeps_its_attributes(keeper: str, array: Any, host: Any) -> None:
    dist = Named(array([[1.0, 3.0], [1.0, 1.0]]), name=["a", "b"])
    assert dist.squares.shape == (2, 2)
    assert dist.entropy().shape == (2,)
    twin = KEEPERS[keeper](dist)
    assert type(twin) is Named
    assert (twin.name, twin._hidden) == (["a", "b"], 7)
    assert (twin.name is dist.name) == (keeper == "copy" or keeper not in COPIERS)
    assert tuple(twin.squares.shape) == twin.param_shape
    assert_array_equal(host(twin.squares), host(twin.probs) ** 2)


def test_there_is_nothing_to_keep_of_a_plain_distribution(array: Any) -> None:
    dist = Categorical(array([[1.0, 3.0], [1.0, 1.0]]))
    results = [dist.probs, dist.logits, dist.icdf(0.5), dist.entropy(), dist.log_prob(1), dist.mode]
    assert all(x.shape[0] == 2 for x in [*results, dist.perplexity(), kl_divergence(dist, dist)])
    assert dist._own == {}
