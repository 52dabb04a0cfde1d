"""Pickling and copying."""

import copy
import functools
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from libraries import each_library, get, put
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
    dist = Categorical([0.5, 0.5]).expand((10**8, 10**8))
    assert len(pickle.dumps(dist)) < 1000
    assert len(pickle.dumps(dist[: 10**7, 1])) < 1000


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


# --- the format


def fields_of(dist: Categorical) -> dict[str, Any]:
    """Return what is pickled of a distribution."""
    _, (cls,), fields, *_ = dist.__reduce_ex__(pickle.DEFAULT_PROTOCOL)
    assert cls is Categorical
    return fields


def load(content: Any) -> Categorical:
    """Load a pickle of ``Categorical`` with the given content."""
    return pickle.loads(pickle.dumps(Pickled(content)))


def new(cls: type[Categorical]) -> Categorical:
    return cls.__new__(cls)


class Pickled:
    """What is pickled as a distribution with other content would be."""

    def __init__(self, content: Any) -> None:
        self.content = content

    def __reduce__(self) -> tuple[Any, ...]:
        return new, (Categorical,), self.content


FORMAT_1 = {
    "format": 1,
    "reader": "0.1.0",
    "form": "logits",
    "param": np.log([[1.0, 3.0]]),
    "batch_shape": (2,),
    "validate": True,
    "clamp_probs": False,
    "rows_validated": True,
    "own": {},
}


def test_the_format() -> None:
    """What is pickled today is read by later versions: a change of it is a new format."""
    written = fields_of(Categorical(logits=FORMAT_1["param"], clamp_probs=False).expand(2))
    assert written.pop("param") is FORMAT_1["param"]
    assert written == {name: value for name, value in FORMAT_1.items() if name != "param"}
    read = load(FORMAT_1)
    assert read.batch_shape == (2,)
    assert_array_equal(read.probs, [[0.25, 0.75]] * 2)


INVALID = np.array([[np.nan, 1.0], [0.0, 0.0]])
CHANGES: list[tuple[dict[str, Any], str]] = [
    (
        {"format": 2, "reader": "0.3.0"},
        "it has format 2, which anycat 0.3.0 and later can read; this version reads format 1",
    ),
    ({"format": None}, "it has no format; it is damaged, or older than anycat 0.1.0"),
    ({"params": 1, "color": 1}, "its fields are wrong: it has 'color', has 'params'"),
    ({"form": "odds"}, "form must be probs or logits; got 'odds'"),
    ({"form": ["probs"]}, "form must be a str; got list"),
    ({"validate": 1}, "validate must be a bool; got int"),
    ({"clamp_probs": None}, "clamp_probs must be a bool; got NoneType"),
    ({"own": None}, "own must be a dict; got NoneType"),
    ({"rows_validated": "yes"}, "rows_validated must be a bool; got str"),
    ({"param": [[1.0, 3.0]]}, "logits must be an array; got list"),
    ({"param": np.float64(1.0)}, "logits must have a last axis of categories; got a 0-D array"),
    ({"param": np.ones((2, 0))}, "logits must have one category or more; got shape (2, 0)"),
    ({"param": np.ones((1, 2), complex)}, "logits must hold real numbers; got dtype complex128"),
    (
        {"param": np.array([[None, 1]])},
        "logits must hold real numbers; got dtype object: logits[0, 0] is None: convert it to "
        "float64 first",
    ),
    ({"batch_shape": [2]}, "batch_shape must be a tuple; got list"),
    ({"batch_shape": (2.0,)}, "batch_shape must be an integer or a tuple of them; got (2.0,)"),
    ({"batch_shape": (-2,)}, "batch_shape must not be negative; got (-2,)"),
    ({"batch_shape": (2,), "param": np.ones((3, 2))}, "cannot expand the batch shape (3,) to (2,)"),
    ({"batch_shape": ()}, "cannot expand the batch shape (1,) to ()"),
    ({"batch_shape": (1,) * 64}, "batch_shape asks for an array of 65 axes; it may have 64"),
]


@pytest.mark.parametrize(("change", "problem"), CHANGES, ids=[x[1][:60] for x in CHANGES])
def test_what_is_not_read(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(pickle.UnpicklingError) as caught:
        load({**FORMAT_1, **change})
    assert str(caught.value) == f"cannot load a pickled distribution: {problem}"


@pytest.mark.parametrize("name", FORMAT_1)
def test_each_field_is_needed(name: str) -> None:
    fields = {key: value for key, value in FORMAT_1.items() if key != name}
    problem = "it has no format" if name == "format" else f"its fields are wrong: it lacks '{name}'"
    with pytest.raises(pickle.UnpicklingError, match=problem):
        load(fields)


@pytest.mark.parametrize(
    "content",
    [(), {}, [], ("logits", np.ones((1, 2)), (1,), True, True, True)],
    ids=["nothing", "no fields", "a list", "values without names"],
)
def test_other_content_is_not_read(content: Any) -> None:
    with pytest.raises(pickle.UnpicklingError, match="it has no format; it is damaged, or older"):
        load(content)


def test_truncated_pickles_are_not_read() -> None:
    whole = pickle.dumps(Named([[0.5, 0.5]]))
    for n in range(len(whole)):
        with pytest.raises((pickle.UnpicklingError, EOFError)):
            pickle.loads(whole[:n])


def test_rows_that_are_said_to_be_valid_and_are_not() -> None:
    """They are not checked again when they are read, and give what invalid rows give."""
    read = load({**FORMAT_1, "form": "probs", "param": INVALID})
    assert_array_equal(read.sample((3,), rng=0), np.full((3, 2), -1))
    assert_array_equal(read.mode, [-1, -1])
    assert np.isnan(read.log_prob(0)).all()


# --- libraries


@each_library
@each_copier
def test_arrays_of_each_library(copier: str, library: str) -> None:
    dist = Categorical(put(np.array([[1.0, 2.0, 4.0], [1.0, 0.0, 1.0]], np.float32), library))
    twin = COPIERS[copier](dist)
    assert type(twin._param) is type(dist._param)
    assert repr(twin) == repr(dist)
    assert_array_equal(get(twin.sample(9, rng=1)), get(dist.sample(9, rng=1)))
    assert get(twin.sample(9, rng=1, dtype="uint8")).dtype == np.uint8  # its rows are valid


@each_copier
def test_the_class_for_pytorch(copier: str) -> None:
    torch = pytest.importorskip("torch")
    module = pytest.importorskip("anycat.torch")
    dist = module.Categorical(logits=torch.zeros(2, 3)).expand((4, 2))
    twin = COPIERS[copier](dist)
    assert type(twin) is module.Categorical
    assert (twin.batch_shape, twin._validate_args) == (dist.batch_shape, dist._validate_args)
    assert torch.equal(twin.sample(rng=1), dist.sample(rng=1))


def test_pytorch_loads_a_class_that_is_named_safe(tmp_path: Path) -> None:
    """With ``weights_only``, like its own distributions."""
    torch = pytest.importorskip("torch")
    module = pytest.importorskip("anycat.torch")
    for cls in (module.Categorical, Categorical):
        dist = cls(logits=torch.zeros(2, 3)).expand((4, 2))
        torch.save({"dist": dist}, tmp_path / "x.pt")
        with pytest.raises(pickle.UnpicklingError, match="Unsupported global"):
            torch.load(tmp_path / "x.pt", weights_only=True)
        with torch.serialization.safe_globals([cls]):
            twin = torch.load(tmp_path / "x.pt", weights_only=True)["dist"]
        assert type(twin) is cls
        assert torch.equal(twin.sample(rng=1), dist.sample(rng=1))


@each_copier
def test_the_leaf_of_a_pytree_need_not_be_an_array(copier: str) -> None:
    jax = pytest.importorskip("jax")
    shapes = jax.eval_shape(lambda: Categorical(jax.numpy.ones((2, 3)), clamp_probs=False))
    twin = COPIERS[copier](shapes)
    assert repr(twin) == repr(shapes)
    assert jax.tree.structure(twin) == jax.tree.structure(shapes)
