"""PyTorch's ways to record a function: compiling, exporting, tracing, and `torch.func.vmap`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import anycat
from anycat import Categorical, _kernels, kl_divergence
from anycat._backends import registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Tensor = Any

torch = pytest.importorskip("torch")
from torch.fx.experimental.proxy_tensor import make_fx  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

import anycat.torch  # noqa: E402

X = torch.tensor(np.random.default_rng(0).normal(size=(4, 6)), dtype=torch.float32)
VALUE = torch.tensor([0, 5, 2, 3])
INVALID = X.index_put((torch.tensor(2), torch.tensor(1)), torch.tensor(torch.nan))
EFFECTS = hasattr(torch.library.CustomOpDef, "register_effect")

MEMBERS: dict[str, Callable[[Any], Any]] = {
    "probs": lambda d: d.probs,
    "logits": lambda d: d.logits,
    "log_prob": lambda d: d.log_prob(VALUE),
    "log_prob of one": lambda d: d.log_prob(1),
    "log_prob of many": lambda d: d.log_prob(VALUE.expand(3, 4)),
    "log_prob of floats": lambda d: d.log_prob(VALUE.float()),
    "prob": lambda d: d.prob(VALUE),
    "cdf": lambda d: d.cdf(VALUE - 0.5),
    "icdf": lambda d: d.icdf(0.75),
    "entropy": lambda d: d.entropy(),
    "perplexity": lambda d: d.perplexity(),
    "mode": lambda d: d.mode,
    "variance": lambda d: d.variance,
    "enumerate_support": lambda d: d.enumerate_support(),
    "expand": lambda d: d.expand((3, 4)).entropy(),
    "index": lambda d: d[1:].entropy(),
    "kl_divergence": lambda d: kl_divergence(d, d[0]),
    "shapes": lambda d: d.probs * (d.num_categories + d.batch_shape[0]),
    "sample": lambda d: d.sample((3, 1), rng=3),
    "sample of a dtype": lambda d: d.sample(2, rng=3, dtype=torch.int32),
}

each_form = pytest.mark.parametrize("form", ["probs", "logits"])


def make(form: str, x: Tensor, cls: type[Categorical] = Categorical) -> Categorical:
    return cls(**{form: x.exp() if form == "probs" else x})


def same(found: Any, expected: Any) -> None:
    torch.testing.assert_close(found, expected, equal_nan=True)


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    torch.compiler.reset()
    with torch.random.fork_rng(devices=[]):
        yield


def compiled(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """Compile a function as a whole, but for the machine code."""
    return torch.compile(function, **{"backend": "aot_eager", "fullgraph": True, **options})


# --- torch.compile


def members(dist: Categorical) -> list[Any]:
    return [member(dist) for member in MEMBERS.values()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("form", "cls"),
    [
        ("probs", Categorical),
        ("logits", Categorical),
        ("logits", anycat.torch.Categorical),
    ],
)
def test_compiled(form: str, cls: type[Categorical]) -> None:
    """Without a warning, as these are errors here."""

    def function(x: Tensor) -> Any:
        return members(make(form, x, cls))

    same(compiled(function)(X), function(X))


@pytest.mark.slow
def test_a_distribution_is_an_argument() -> None:
    dist = make("logits", X)
    same(compiled(members)(dist), members(dist))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int32])
def test_compiled_dtypes(dtype: Any) -> None:
    def function(x: Tensor) -> Any:
        dist, other = Categorical(x), Categorical(x.float())
        divergences = kl_divergence(dist, dist[0]), kl_divergence(dist[0], other)
        return dist.sample(9, rng=1), dist.log_prob(VALUE), dist.entropy(), divergences

    x = (X.abs() * 9 + 1).to(dtype)
    same(compiled(function)(x), function(x))


@pytest.mark.slow
def test_the_first_call_of_a_process_can_be_compiled() -> None:
    """It loads the backend and the kernels."""
    code = """
import warnings; warnings.simplefilter("error")
import torch
from anycat import Categorical
def function(x):
    dist = Categorical(x)
    return dist.sample(9, rng=1), dist.entropy()
x = torch.rand(3, 4)
found = torch.compile(function, backend="aot_eager", fullgraph=True)(x)
torch.testing.assert_close(found, function(x))
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_a_divergence_of_the_drop_in_can_be_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    # As PyTorch's compiler does once in a process: another test may have turned them on again.
    monkeypatch.setattr(torch.distributions.Distribution, "_validate_args", False)

    class Policy(anycat.torch.Categorical):
        pass

    peer = torch.distributions.Categorical
    for p, q in [(Policy, Policy), (Policy, peer), (peer, anycat.torch.Categorical)]:

        def divergence(x: Tensor, y: Tensor, p: Any = p, q: Any = q) -> Tensor:
            return torch.distributions.kl_divergence(p(logits=x), q(logits=y))

        same(compiled(divergence)(X, X.flip(-1)), divergence(X, X.flip(-1)))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="PyTorch compiles C++ with g++")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # PyTorch's own
def test_machine_code() -> None:
    def function(x: Tensor) -> Any:
        dist = Categorical(logits=x)
        draws = dist.sample(5, rng=2)
        return draws, dist.log_prob(draws), dist.entropy(), dist.sample(50), dist.sample(50)

    machine = torch.compile(function, fullgraph=True)
    torch.manual_seed(0)
    found = machine(X)
    torch.manual_seed(0)
    same(found, function(X))
    assert (found[3] != found[4]).any()
    assert (found[3] != machine(X)[3]).any()
    torch.manual_seed(0)
    same(machine(X), found)
    if EFFECTS:
        with pytest.raises(ValueError, match=r"logits\[2, 1\] is nan"):
            machine(INVALID)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="PyTorch compiles C++ with g++")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")  # PyTorch's own
@pytest.mark.parametrize("drop_in", [False, True])
@pytest.mark.parametrize("samples", [(), (3,)])
def test_gradients_of_machine_code(samples: tuple[int, ...], drop_in: bool) -> None:
    """PyTorch 2.13 may fuse the gradients of a gather with others, and read them too early."""
    torch.manual_seed(0)
    layers = torch.nn.Linear(25, 32), torch.nn.Tanh(), torch.nn.Linear(32, 5)
    policy, seen = torch.nn.Sequential(*layers), torch.randn(64, 25)
    actions, advantage = torch.randint(5, (*samples, 64)), torch.randn(*samples, 64)

    def loss() -> Any:
        dist = (anycat.torch.Categorical if drop_in else Categorical)(logits=policy(seen))
        return (dist.log_prob(actions) * advantage).mean() - 0.01 * dist.entropy().mean()

    found = []
    for function in (loss, torch.compile(loss, fullgraph=True)):
        policy.zero_grad()
        function().backward()
        found.append(torch.cat([parameter.grad.flatten() for parameter in policy.parameters()]))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-6)


def test_sizes_that_change() -> None:
    def function(x: Tensor) -> Any:
        dist = Categorical(logits=x)
        return dist.sample(3, rng=2), dist.entropy()

    dynamic = compiled(function, dynamic=True)
    for shape in ((4, 6), (5, 7), (1, 1), (2, 5000)):
        x = torch.rand(shape)
        same(dynamic(x), function(x))


@each_form
def test_compiled_gradients(form: str) -> None:
    def loss(x: Tensor) -> Any:
        dist = make(form, x)
        return dist.log_prob(dist.sample(9, rng=1)).sum() + dist.entropy().sum()

    gradients = []
    for function in (loss, compiled(loss)):
        x = X.clone().requires_grad_()
        function(x).backward()
        gradients.append(x.grad)
    same(*gradients)


@pytest.mark.skipif(not EFFECTS, reason="this PyTorch drops operations without a result")
def test_compiled_checks() -> None:
    def function(x: Tensor, value: Tensor, q: Tensor) -> Any:
        dist = Categorical(logits=x)
        return dist.log_prob(value), dist.icdf(q)

    run, q = compiled(function), torch.tensor(0.5)
    run(X, VALUE, q)
    with pytest.raises(ValueError, match=r"logits must not be NaN; logits\[2, 1\] is nan"):
        run(INVALID, VALUE, q)
    with pytest.raises(ValueError, match=r"value must .* from 0 to 5; value\[1\] is 6"):
        run(X, VALUE + 1, q)
    with pytest.raises(ValueError, match=r"q must be in \[0, 1\]; q is 1.5"):
        run(X, VALUE, q + 1)


def test_unchecked() -> None:
    def function(x: Tensor) -> Any:
        dist = Categorical(logits=x, validate_args=False)
        return dist.sample(rng=1), dist.log_prob(VALUE + 1), dist.icdf(1.5), dist.mode

    found = compiled(function)(INVALID)
    assert found[0][2] == found[3][2] == -1
    assert found[1][1] == -torch.inf
    assert (found[2] == -1).all()


# --- rng


def draw(x: Tensor, rng: Any = None) -> Tensor:
    return Categorical(logits=x).sample((50,), rng=rng)


def test_seeds_that_change() -> None:
    """A loop over seeds is compiled twice: for the first one, and for all."""
    run = compiled(draw)
    for seed in (0, 1, 2, 3, 2**62, 2**63 - 1, *range(10, 20)):
        same(run(X, seed), draw(X, seed))
    with pytest.raises(ValueError, match="rng must not be negative; got -1"):
        run(X, -1)


LIBRARIES: dict[str, Callable[[], Any]] = {
    "Generator": lambda: np.random.default_rng(3),
    "PCG64": lambda: np.random.PCG64(3),
    "SeedSequence": lambda: np.random.SeedSequence(3),
    "torch.Generator": lambda: torch.Generator().manual_seed(3),
    "long seed": lambda: 2**100 + 1,
}


@pytest.mark.slow
@pytest.mark.parametrize("source", LIBRARIES.values(), ids=LIBRARIES)
def test_generators_are_read_between_compiled_functions(source: Callable[[], Any]) -> None:
    run, rng, twin = compiled(draw, fullgraph=False), source(), source()
    for _ in range(3):
        same(run(X, rng), draw(X, twin))


@pytest.mark.parametrize("source", LIBRARIES.values(), ids=LIBRARIES)
def test_a_function_that_is_compiled_as_a_whole_reads_no_generator(
    source: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # PyTorch 2.13 cannot look up the class of its generators once that is a key.
    monkeypatch.setattr(registry, "_READERS", {int: registry.default()})
    run = compiled(draw)
    with pytest.raises(torch._dynamo.exc.Unsupported, match="rng must be None or an int below 2"):
        run(X, source())


def test_none_draws_anew_and_follows_manual_seed() -> None:
    def twice(x: Tensor) -> tuple[Tensor, Tensor]:
        return draw(x), draw(x)

    run = compiled(twice)
    torch.manual_seed(1)
    first, second = run(X)
    assert (first != second).any()
    assert (first != run(X)[0]).any()
    torch.manual_seed(1)
    same(run(X), (first, second))
    torch.manual_seed(1)
    same(twice(X), (first, second))


def test_constants() -> None:
    """What is not an argument of the compiled function is drawn from as it is."""
    dist = Categorical(logits=X)
    run = compiled(lambda x: (x.sum() + dist.sample(50), dist.sample(rng=1), dist.entropy()))
    first = run(X)
    assert (first[0] != run(X)[0]).any()
    same(first[1:], (dist.sample(rng=1), dist.entropy()))


# --- torch.export and other traces


class Model(torch.nn.Module):  # type: ignore[misc, name-defined]
    """A policy."""

    def __init__(self, rng: Any = None) -> None:
        super().__init__()
        self.rng = rng

    def forward(self, x: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        dist = Categorical(logits=x)
        draws = dist.sample(50, rng=self.rng)
        return draws, dist.log_prob(value), dist.entropy(), dist.probs, dist.mode


@pytest.mark.parametrize("strict", [False, True])
def test_exported(strict: bool) -> None:
    n = {0: torch.export.Dim("n")}
    exported = torch.export.export(
        Model(), (X, VALUE), strict=strict, dynamic_shapes={"x": n, "value": n}
    ).module()
    x, value = torch.rand(9, 6), torch.arange(9) % 6
    torch.manual_seed(0)
    found = exported(x, value)
    assert (exported(x, value)[0] != found[0]).any()
    torch.manual_seed(0)
    same(found, Model()(x, value))
    with pytest.raises(ValueError, match=r"logits\[2, 1\] is nan"):
        exported(INVALID, VALUE)


@pytest.mark.parametrize("mode", ["real", "fake"])
def test_make_fx(mode: str) -> None:
    model = Model(rng=1)
    traced = make_fx(lambda *args: model(*args), tracing_mode=mode)(X, VALUE)
    same(traced(-X, VALUE), model(-X, VALUE))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # of sizes, which are constants
def test_torch_jit_trace() -> None:
    traced = torch.jit.trace(Model(), (X, VALUE), check_trace=False)
    torch.manual_seed(0)
    found = traced(-X, VALUE)
    assert (traced(-X, VALUE)[0] != found[0]).any()
    torch.manual_seed(0)
    same(found, Model()(-X, VALUE))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_bits_of_a_generator_do_not_become_constants() -> None:
    model = Model(rng=np.random.default_rng(0))
    for trace in (
        lambda: torch.export.export(model, (X, VALUE), strict=False),
        lambda: make_fx(lambda x: model(x, VALUE))(X),
        lambda: torch.jit.trace(model, (X, VALUE), check_trace=False),
    ):
        with pytest.raises(TypeError, match="rng must be None or an int where PyTorch exports"):
            trace()


def test_modes_that_record_nothing() -> None:
    expected = Model(rng=np.random.default_rng(0))(X, VALUE)
    with FlopCounterMode(display=False):
        same(Model(rng=np.random.default_rng(0))(X, VALUE), expected)
        with pytest.raises(ValueError, match=r"logits\[2, 1\] is nan"):
            Categorical(logits=INVALID)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("sample", (X, torch.tensor([1, 2]), True, 2, [3, 4], torch.int64)),
        ("sample", (X.expand(3, 4, 6), torch.ones(3, 2).long(), True, 2, [4], torch.int8)),
        ("sample", (X, torch.arange(4 + 2 * len(X)), True, 2, [3, len(X)], torch.int64)),
        ("sample", (X, torch.tensor([1, 2]), True, 2, [3, len(X)], torch.int64, 7)),
        ("seed_bits", (5,)),
        ("check", (X, "logits", 6)),
    ],
)
def test_operations_are_well_defined(name: str, args: Any) -> None:
    torch.library.opcheck(getattr(torch.ops.anycat, name).default, args)


# --- torch.func.vmap

STACK = torch.stack([X, X.flip(-1), X / 2])


@pytest.mark.parametrize("axis", [0, 1, 2])
@each_form
def test_vmap(form: str, axis: int) -> None:
    """Each element gets the draws that it would get alone, wherever its axis is."""

    def function(x: Tensor) -> Tensor:
        return make(form, x).sample((2,), rng=3)

    expected = torch.stack([function(x) for x in STACK], 1)
    mapped = torch.func.vmap(function, in_dims=axis, out_dims=1)
    same(mapped(STACK.movedim(0, axis)), expected)
    same(compiled(mapped)(STACK.movedim(0, axis)), expected)


@each_form
def test_vmap_draws_from_many_small_elements_at_once(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = torch.tensor(np.random.default_rng(0).normal(size=(130, 2, 6)))

    def function(x: Tensor, options: dict[str, Any]) -> Tensor:
        return make(form, x).sample(3, **options)

    torch.manual_seed(0)
    each: list[dict[str, Any]] = [{"rng": 3}, {"rng": 3, "dtype": torch.int32}, {}]
    alone = [torch.stack([function(x, options) for x in stack]) for options in each]
    monkeypatch.setattr(_kernels, "draw", None)  # which takes one element
    torch.manual_seed(0)
    for options, expected in zip(each, alone, strict=True):
        mapped = torch.func.vmap(function, (0, None), randomness="different")
        same(mapped(stack, options), expected)


def test_nested_vmap() -> None:
    def function(x: Tensor) -> Tensor:
        return Categorical(logits=x).sample((2,), rng=3)

    vmap = torch.func.vmap
    expected = torch.stack([torch.stack([function(row) for row in x]) for x in STACK])
    same(vmap(vmap(function))(STACK), expected)
    same(vmap(vmap(function, in_dims=1))(STACK.mT), expected)


def test_vmap_checks() -> None:
    stack = torch.stack([X, INVALID])
    for axis in (0, 1, 2):
        with pytest.raises(ValueError, match=r"logits\[1, 2, 1\] is nan"):
            torch.func.vmap(lambda x: Categorical(logits=x).mode, axis)(stack.movedim(0, axis))


@pytest.mark.parametrize("constant", [False, True])
def test_vmap_with_the_default_generator(constant: bool) -> None:
    """The argument ``randomness`` says whether elements draw the same."""
    row = X[0].expand(3, 6)

    def function(x: Tensor) -> Tensor:
        return draw(X[0] if constant else x) + 0 * x[0].long()

    vmap = torch.func.vmap
    with pytest.raises(RuntimeError, match="randomness"):
        vmap(function)(row)
    torch.manual_seed(0)
    expected = draw(X[0])
    torch.manual_seed(0)
    for draws in vmap(function, randomness="same")(row):
        same(draws, expected)
    first, second, third = vmap(function, randomness="different")(row)
    assert (first != second).any()
    assert (second != third).any()


@pytest.mark.parametrize("constant", [False, True])
def test_vmap_with_a_generator_of_numpy(constant: bool) -> None:
    rng = np.random.default_rng(0)
    before = rng.bit_generator.state

    def function(x: Tensor) -> Tensor:
        return Categorical(logits=X[0] if constant else x).sample(rng=rng) + 0 * x[0].long()

    vmap = torch.func.vmap
    with pytest.raises(TypeError, match=r"under torch\.func\.vmap; got numpy\.random\.Generator"):
        vmap(vmap(function), randomness="different")(STACK)
    assert rng.bit_generator.state == before
    x = torch.ones(6, dtype=torch.float64)
    torch.func.grad(lambda x: Categorical(logits=x).sample(rng=rng) * x.sum())(x)
