"""Unusual tensors of PyTorch give what ordinary ones give, or are refused by name."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from anycat import Categorical, kl_divergence

torch = pytest.importorskip("torch")

from torch import masked  # noqa: E402
from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: E402
from torch.autograd import forward_ad  # noqa: E402
from torch.overrides import TorchFunctionMode  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    Tensor = Any

pytestmark = pytest.mark.filterwarnings("ignore")  # of what PyTorch means to change

SHAPES = (4, 6), (50, 120), (2, 5000)  # a small batch, no small one, and long rows

each_form = pytest.mark.parametrize("form", ["probs", "logits"])
each_shape = pytest.mark.parametrize("shape", SHAPES)
checks = pytest.mark.parametrize("validate_args", [True, False])


class Subclass(torch.Tensor):
    pass


class Overriding(torch.Tensor):
    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return super().__torch_function__(function, types, args, kwargs or {})


class FunctionMode(TorchFunctionMode):
    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return function(*args, **(kwargs or {}))


class DispatchMode(TorchDispatchMode):
    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return function(*args, **(kwargs or {}))


@contextlib.contextmanager
def default_device(device: str) -> Iterator[None]:
    torch.set_default_device(device)
    try:
        yield
    finally:
        torch.set_default_device(None)


def negated(x: Tensor) -> Tensor:
    """Return a view, whose negative bit is set, of the negatives in memory."""
    return torch.complex(torch.zeros_like(x), -x).conj().imag


def freed(x: Tensor) -> Tensor:
    x = x.clone()
    x.untyped_storage().resize_(0)
    return x


def in_inference_mode(x: Tensor) -> Tensor:
    with torch.inference_mode():
        return x.clone()


EQUAL: dict[str, Callable[[Tensor], Tensor]] = {
    "negative bit": negated,
    "subclass": lambda x: x.as_subclass(Subclass),
    "overriding subclass": lambda x: x.as_subclass(Overriding),
    "parameter": torch.nn.Parameter,
    "with gradient": lambda x: x.clone().requires_grad_() * 1,
    "inference tensor": in_inference_mode,
    "float16": lambda x: x.to(torch.float16),
    "bfloat16": lambda x: x.to(torch.bfloat16),
    "strided float16": lambda x: torch.stack([x, -x], -1).to(torch.float16)[..., 0],
    "strided bfloat16": lambda x: torch.stack([x, -x], -1).to(torch.bfloat16)[..., 0],
    "float16 with gradient": lambda x: x.to(torch.float16).requires_grad_(),
    "expanded": lambda x: x[:1].expand(x.shape),
    "expanded bfloat16": lambda x: x[:1].to(torch.bfloat16).expand(x.shape),
    "expanded columns": lambda x: x[:, :1].expand(x.shape),
    "no rows": lambda x: x[:0],
    "no rows of bfloat16": lambda x: x[:0].to(torch.bfloat16),
    "float32 transposed": lambda x: x.T.contiguous().T,
}
CONTEXTS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "forward mode": forward_ad.dual_level,
    "function mode": FunctionMode,
    "dispatch mode": DispatchMode,
    "inference mode": torch.inference_mode,
    "default device": lambda: default_device("meta"),
}
REFUSED: dict[str, tuple[Callable[[Tensor], Tensor], str]] = {
    "COO": (lambda x: x.to_sparse(), r"is of torch.sparse_coo: call its to_dense\(\) first"),
    "CSR": (lambda x: x.to_sparse_csr(), r"is of torch.sparse_csr: call its to_dense\(\) first"),
    "MKL-DNN": (lambda x: x.to_mkldnn(), r"is of torch._mkldnn: call its to_dense\(\) first"),
    "quantized": (
        lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.quint8),
        r"is a quantized tensor: call its dequantize\(\) first",
    ),
    "nested": (
        lambda x: torch.nested.nested_tensor([x[:1], x[1:]]),
        "is a nested tensor: call torch.nested.to_padded_tensor first",
    ),
    "jagged": (
        lambda x: torch.nested.nested_tensor([x[:1], x[1:]], layout=torch.jagged),
        "is a nested tensor: call torch.nested.to_padded_tensor first",
    ),
    "masked": (
        lambda x: masked.masked_tensor(x, x > 1),
        "is a MaskedTensor: call its to_tensor first",
    ),
    "float8": (
        lambda x: x.to(torch.float8_e5m2),
        "is of torch.float8_e5m2: convert it to torch.float16 first",
    ),
    "fake": (lambda x: FakeTensorMode().from_tensor(x), "is a FakeTensor outside of its mode"),
    "freed": (freed, "has no memory any more: its storage was freed"),
    "complex": (lambda x: torch.complex(x, x).conj(), "must hold real numbers"),
}
MEMBERS: dict[str, Callable[[Categorical], Tensor]] = {
    "sample": lambda dist: dist.sample(3, rng=1),
    "many draws": lambda dist: dist.sample(900, rng=1),
    "log_prob": lambda dist: dist.log_prob(dist.sample(rng=2)),
    "log_prob of a number": lambda dist: dist.log_prob(1),
    "entropy": lambda dist: dist.entropy(),
    "probs": lambda dist: dist.probs,
    "logits": lambda dist: dist.logits,
    "mode": lambda dist: dist.mode,
    "cdf": lambda dist: dist.cdf(1),
}


def parameters(*shape: int) -> Tensor:
    """Return numbers that are good as probabilities and as logits."""
    return torch.rand(shape, generator=torch.Generator().manual_seed(0)) + 0.5


def ordinary(x: Tensor) -> Tensor:
    """Return a copy as a plain tensor."""
    copied = torch.empty(x.shape, dtype=x.dtype)
    return copied.copy_(x.detach().as_subclass(torch.Tensor))


def members(form: str, x: Tensor, validate_args: bool) -> dict[str, Tensor]:
    """Return all results, each from a distribution of its own and from one that has given all."""
    kept = Categorical(**{form: x}, validate_args=validate_args)
    results = {name: member(kept) for name, member in MEMBERS.items()}
    for name, member in MEMBERS.items():
        results[f"{name} alone"] = member(Categorical(**{form: x}, validate_args=validate_args))
    return results


def assert_same(results: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    for name, result in results.items():
        torch.testing.assert_close(ordinary(result), ordinary(expected[name]), msg=name)


@each_form
@checks
@each_shape
@pytest.mark.parametrize("make", EQUAL.values(), ids=EQUAL)
def test_tensor(
    make: Callable[[Tensor], Tensor], shape: tuple[int, ...], validate_args: bool, form: str
) -> None:
    x = make(parameters(*shape))
    expected = members(form, ordinary(x), validate_args)
    assert_same(members(form, x, validate_args), expected)


@each_form
@checks
@each_shape
@pytest.mark.parametrize("context", CONTEXTS.values(), ids=CONTEXTS)
def test_context(
    context: Callable[[], AbstractContextManager[Any]],
    shape: tuple[int, ...],
    validate_args: bool,
    form: str,
) -> None:
    x = parameters(*shape)
    expected = members(form, x, validate_args)
    with context():
        results = members(form, x, validate_args)
    assert_same(results, expected)


@each_form
@each_shape
def test_dual_numbers(shape: tuple[int, ...], form: str) -> None:
    x = parameters(*shape)
    with forward_ad.dual_level():
        results = members(form, forward_ad.make_dual(x, torch.ones_like(x)), True)
        tangents = [forward_ad.unpack_dual(results[name])[1] for name in ("entropy", "log_prob")]
    assert_same(results, members(form, x, True))
    for tangent in tangents if form == "logits" else ():  # the same is added to all of a row
        torch.testing.assert_close(tangent, torch.zeros_like(tangent), atol=1e-5, rtol=0)


@each_form
@each_shape
def test_zero_tensors(shape: tuple[int, ...], form: str) -> None:
    """Tangents may be tensors of zeros that have no memory."""
    x = torch._efficientzerotensor(shape)
    if form == "logits":
        assert_same(members(form, x, True), members(form, ordinary(x), True))
        return
    with pytest.raises(ValueError, match=r"must not all be zero in a row; all of probs\[0\]"):
        Categorical(x)
    assert (Categorical(x, validate_args=False).sample(3, rng=0) == -1).all()


@each_form
@checks
@each_shape
@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(
    make: Callable[[Tensor], Tensor],
    message: str,
    shape: tuple[int, ...],
    validate_args: bool,
    form: str,
) -> None:
    x = make(parameters(*shape))
    with pytest.raises(TypeError, match=f"^{form} {message}"):
        Categorical(**{form: x}, validate_args=validate_args)
    with pytest.raises(TypeError, match=f"^value {message}"):
        Categorical(torch.ones(6), validate_args=validate_args).log_prob(x)


@pytest.mark.parametrize("make", [*EQUAL.values(), torch.zeros_like], ids=[*EQUAL, "zeros"])
@each_shape
def test_values(make: Callable[[Tensor], Tensor], shape: tuple[int, ...]) -> None:
    value = make(torch.floor(4 * parameters(*shape)))
    dist = Categorical(parameters(9))
    for method in dist.log_prob, dist.prob, dist.cdf:
        result = method(value)
        assert_same({"": result}, {"": method(ordinary(value))})


@each_form
@each_shape
def test_memory_freed_later(shape: tuple[int, ...], form: str) -> None:
    x = parameters(*shape)
    dist = Categorical(**{form: x})
    x.untyped_storage().resize_(0)
    for member in MEMBERS.values():
        with pytest.raises((TypeError, ValueError), match="has no memory any more"):
            member(dist)


# --- tensors without values


@each_form
@pytest.mark.parametrize("kind", ["meta", "fake"])
def test_without_values(kind: str, form: str) -> None:
    """They are not checked, and what they give, draws too, has a shape and a dtype only."""
    x = parameters(4, 6)
    context = FakeTensorMode() if kind == "fake" else contextlib.nullcontext()
    with context:
        y = context.from_tensor(x) if kind == "fake" else x.to("meta")
        dist, same = Categorical(**{form: y}), Categorical(**{form: y.to(torch.bfloat16)})
        for name in set(MEMBERS) - {"log_prob"}:
            result = MEMBERS[name](dist)
            assert result.shape == MEMBERS[name](same).shape
            assert (type(result), result.device) == (type(y), y.device)
        for rng in (None, 7, np.random.default_rng(0), torch.Generator()):
            draws = dist.sample((3,), rng=rng, dtype=torch.int32)
            assert (draws.shape, draws.dtype, type(draws)) == ((3, 4), torch.int32, type(y))


# --- numbers


@pytest.fixture(params=[torch.bfloat16, torch.float32])
def default_dtype(request: Any) -> Iterator[Any]:
    torch.set_default_dtype(request.param)
    yield request.param
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("read", [float, lambda x: [x]], ids=["number", "list"])
def test_numbers_keep_their_digits(read: Any, default_dtype: Any) -> None:
    """They do not become numbers of PyTorch's default dtype, which has fewer of them."""
    last = 2**24 + 1
    weights = torch.zeros(last + 1, dtype=torch.float64)
    weights[-1] = 1
    dist = Categorical(weights)
    assert dist.prob(read(float(last))).item() == 1
    assert dist.log_prob(read(float(last))).item() > -1
    assert dist.cdf(read(float(last - 1))).item() == 0
    assert dist.cdf(read(last - 0.5)).item() == 0
    tenths = Categorical(torch.ones(10, dtype=torch.float64))
    assert tenths.icdf(read(0.999)).item() == 9
    assert tenths.icdf(read(0.3 + 1e-9)).item() == 3
    kept = Categorical(logits=torch.ones(1, 1000)).truncate(
        top_p=read(0.501), temperature=read(1.7)
    )
    assert (kept.probs > 0).sum() == 501


def test_parameters_have_the_default_dtype(default_dtype: Any) -> None:
    drop_in = pytest.importorskip("anycat.torch").Categorical
    assert drop_in([0.25, 0.75]).dtype == drop_in(probs=[[1, 3]]).dtype == default_dtype


@pytest.mark.parametrize("name", ["seeds", "start"])
def test_lists_of_tensors_are_no_seeds(name: str) -> None:
    given = {"seeds": 0, name: [torch.tensor(1), torch.tensor(2)]}
    with pytest.raises(TypeError, match=f"{name} is a list of arrays of torch: call torch.stack"):
        Categorical(torch.ones(2, 3)).sample(**given)


@pytest.mark.parametrize("shape", [[2], [2, 3], [1]])
def test_tensors_are_shapes(shape: list[int]) -> None:
    dist = Categorical(torch.ones(3))
    assert dist.sample(torch.tensor(shape)).shape == tuple(shape)
    with pytest.raises(TypeError, match="rng must be"):
        dist.sample(rng=torch.tensor(shape))


def test_hashes_are_seeds_modulo_two_to_the_64() -> None:
    """What the message advises works, and gives the same draws."""
    dist, hashes = Categorical(torch.ones(2, 1000)), np.array([1, -5])
    for negative in ([1, -5], hashes, torch.from_numpy(hashes)):
        with pytest.raises(ValueError, match=r"\[1\] is -5: convert arrays to uint64, and"):
            dist.sample(seeds=negative)
    draws = dist.sample(seeds=[h % 2**64 for h in hashes.tolist()])
    assert torch.equal(dist.sample(seeds=hashes.astype(np.uint64)), draws)
    assert torch.equal(dist.sample(seeds=torch.from_numpy(hashes).to(torch.uint64)), draws)


def test_a_distribution_that_nothing_compares() -> None:
    with pytest.raises(TypeError, match=r"got torch\.distributions\.normal\.Normal$"):
        kl_divergence(Categorical(torch.ones(2)), torch.distributions.Normal(0.0, 1.0))
