"""Statistics of the rows of a tensor: the kernels' values and gradients are PyTorch's."""

from __future__ import annotations

import contextlib
import math
import runpy
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch._subclasses import FakeTensorMode  # noqa: E402
from torch.autograd import forward_ad  # noqa: E402
from torch.overrides import TorchFunctionMode  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from anycat import Categorical  # noqa: E402
from anycat._backends import torch_autograd, torch_memory  # noqa: E402
from anycat._backends.torch_autograd import row_stats  # noqa: E402
from anycat._backends.torch_memory import is_plain  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

by_operations = torch_autograd._by_operations
each_form = pytest.mark.parametrize("logits", [True, False], ids=["logits", "probs"])

Stats = tuple[Any, ...]


def log_prob(x: Any, logits: bool, stats: Stats) -> Any:
    top, total, log_total, _ = (y[..., None] for y in stats)
    return x - top - log_total if logits else (x / total).log()


def prob(x: Any, logits: bool, stats: Stats) -> Any:
    top, total, _, _ = (y[..., None] for y in stats)
    return (x - top).exp() / total if logits else x / total


# What is made of statistics, one by one and jointly.
PARTS: dict[str, Callable[[Any, bool, Stats], Any]] = {
    "prob": prob,
    "log_prob": log_prob,
    "entropy": lambda x, logits, stats: stats[3],
    "all": lambda *args: log_prob(*args) * prob(*args).cos() * args[2][3][..., None],
}
each_part = pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)


def rows(logits: bool, *shape: int, dtype: Any = torch.float64) -> Any:
    """Return a leaf that needs a gradient."""
    x = 2 * torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return (x if logits else x.exp()).to(dtype).requires_grad_()


def gradient(result: Any, x: Any, **options: Any) -> Any:
    """Return the gradient of a sum with a weight for each row."""
    weights = torch.linspace(1, 2, result.numel(), dtype=result.dtype).reshape(result.shape)
    return torch.autograd.grad(result, x, weights, **options)[0]


@contextlib.contextmanager
def calls_of(name: str) -> Iterator[list[Any]]:
    """Record the calls of a function of the module."""
    calls = []

    def recorded(*args: Any) -> Any:
        calls.append(args)
        return function(*args)

    with pytest.MonkeyPatch.context() as patch:
        function = getattr(torch_autograd, name)
        patch.setattr(torch_autograd, name, recorded)
        yield calls


def assert_operations(function: Callable[..., Any], *args: Any) -> Any:
    """Return what a function returns, without any call of kernels."""
    with calls_of("_by_kernel") as kernels, calls_of("_by_operations") as operations:
        result = function(*args)
    assert operations
    assert not kernels
    return result


# --- values and gradients of plain tensors


@pytest.mark.parametrize("shape", [(5,), (3, 1), (4, 5), (2, 3, 5), (0, 5), (40, 18), (2, 5000)])
@each_form
def test_agrees_with_operations(logits: bool, shape: tuple[int, ...]) -> None:
    x = rows(logits, *shape)
    with calls_of("_by_operations") as operations:
        ours = row_stats(x, logits)
        grads = [gradient(result, x, retain_graph=True) for result in ours[1:]]
    assert not operations
    desired = by_operations(x, logits)
    assert not ours[0].requires_grad
    for result, peer in zip(ours, desired, strict=True):
        torch.testing.assert_close(result, peer)
    for grad, peer in zip(grads, desired[1:], strict=True):
        torch.testing.assert_close(grad, gradient(peer, x, retain_graph=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@each_form
def test_without_gradient(logits: bool, dtype: Any) -> None:
    x = rows(logits, 4, 5, dtype=dtype)
    with torch.no_grad(), calls_of("_by_operations") as operations:
        ours = row_stats(x, logits)
        assert not operations
        for result, peer in zip(ours, by_operations(x, logits), strict=True):
            torch.testing.assert_close(result, peer)
            assert not result.requires_grad


@each_part
@each_form
def test_gradients(logits: bool, part: Callable[..., Any]) -> None:
    def function(x: Any) -> Any:
        return part(x, logits, row_stats(x, logits))

    x = rows(logits, 2, 3, 4)
    assert torch.autograd.gradcheck(function, x)
    assert torch.autograd.gradgradcheck(function, x)
    desired = gradient(part(x, logits, by_operations(x, logits)), x)
    torch.testing.assert_close(gradient(function(x), x), desired)


@pytest.mark.parametrize("index", [1, 2, 3])
@each_form
def test_gradients_of_gradients(logits: bool, index: int) -> None:
    x = rows(logits, 3, 4)

    def second(function: Callable[..., Any]) -> Any:
        first = gradient(function(x, logits)[index] ** 2, x, create_graph=True)
        return gradient(first, x)

    torch.testing.assert_close(second(row_stats), second(by_operations))


@pytest.mark.parametrize("size", [18, 100, 1000, 9000])
@each_form
def test_precision(logits: bool, size: int) -> None:
    """In float32, values and the entropy's gradient are as good as PyTorch's."""
    x = rows(logits, 400, size, dtype=torch.float32)
    value = torch.arange(400)[:, None] % size

    def ours(x: Any) -> tuple[Any, Any]:
        stats = row_stats(x, logits)
        return log_prob(x.gather(-1, value), logits, stats)[:, 0], stats[3]

    def peer(x: Any) -> tuple[Any, Any]:
        params = {"logits" if logits else "probs": x}
        dist = torch.distributions.Categorical(**params, validate_args=False)
        return dist.log_prob(value[:, 0]), dist.entropy()

    def results(function: Callable[..., Any], x: Any) -> tuple[Any, Any]:
        scores, entropy = function(x)
        return (scores + entropy).detach(), gradient(entropy, x)

    exact = results(peer, x.detach().double().requires_grad_())
    for result, other, reference in zip(results(ours, x), results(peer, x), exact, strict=True):
        assert (result - reference).abs().mean() <= (other - reference).abs().mean()


def test_gradients_of_categories_without_weight() -> None:
    for logits, nothing in [(True, -torch.inf), (False, 0.0)]:
        x = rows(logits, 40, 5).detach()
        x[:, 1::2] = nothing
        x.requires_grad_()
        ours, desired = row_stats(x, logits), by_operations(x, logits)
        for result, peer in zip(ours[1:], desired[1:], strict=True):
            grad = gradient(result, x, retain_graph=True)
            assert grad.isfinite().all()
            torch.testing.assert_close(grad, gradient(peer, x, retain_graph=True))


@pytest.mark.parametrize("nothing", [-torch.inf, torch.nan, torch.inf])
@pytest.mark.parametrize("function", [row_stats, by_operations])
def test_invalid_logits(function: Callable[..., Any], nothing: float) -> None:
    check_invalid(function, torch.tensor([[1.0, 2.0], [nothing, nothing]]), True)


@pytest.mark.parametrize("nothing", [0.0, torch.nan, torch.inf])
@pytest.mark.parametrize("function", [row_stats, by_operations])
def test_invalid_weights(function: Callable[..., Any], nothing: float) -> None:
    check_invalid(function, torch.tensor([[1.0, 2.0], [nothing, nothing]]), False)


def check_invalid(function: Callable[..., Any], x: Any, logits: bool) -> None:
    """Check that an invalid row has NaN, and its neighbour does not."""
    x.requires_grad_()
    entropy = function(x, logits)[3]
    assert entropy.isnan().tolist() == [False, True]
    entropy.sum().backward()
    assert x.grad.isnan().any(-1).tolist() == [False, True]


# --- the ways of autograd


@each_form
def test_incoming_gradients_of_any_stride(logits: bool) -> None:
    x = rows(logits, 2, 3, 4)
    _, _, log_total, entropy = row_stats(x, logits)
    for g in (
        torch.ones(1, 1).expand(2, 3),
        torch.ones(3, 4)[:, ::2].T,
        torch.ones(3).expand(2, 3),
    ):
        g = g.double()
        ours = torch.autograd.grad((log_total, entropy), x, (g, g), retain_graph=True)
        desired = torch.autograd.grad(by_operations(x, logits)[2:], x, (g, g))
        torch.testing.assert_close(ours, desired)


@each_form
def test_gradient_is_repeated_and_accumulated(logits: bool) -> None:
    x = rows(logits, 3, 4)
    loss = (row_stats(x, logits)[2] + row_stats(x, logits)[3]).sum()
    loss.backward(retain_graph=True)
    once = x.grad.clone()
    assert type(x.grad) is torch.Tensor
    assert x.grad.is_contiguous()
    loss.backward()
    torch.testing.assert_close(x.grad, 2 * once)
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


@pytest.mark.parametrize("create_graph", [False, True])
def test_no_gradient_comes_in(create_graph: bool) -> None:
    class Stop(torch.autograd.Function):
        forward = staticmethod(lambda ctx, x: x.clone())
        backward = staticmethod(lambda ctx, g: None)

    x = rows(True, 3, 4)
    loss = Stop.apply(row_stats(x, True)[3]).sum() + x.sum()
    (grad,) = torch.autograd.grad(loss, x, create_graph=create_graph)
    assert (grad == 1).all()


@pytest.mark.parametrize("index", [1, 2, 3])
def test_only_gradients_that_come_in_are_computed(index: int) -> None:
    x = rows(True, 3, 4)
    with calls_of("_by_kernel") as calls:
        row_stats(x, True)[index].sum().backward()
    *_, g_log_total, g_entropy, _ = calls[-1]
    assert (g_log_total is None) == (index == 3)
    assert (g_entropy is None) == (index != 3)


def test_change_of_the_parameter_in_place() -> None:
    x = rows(True, 3, 4)
    y = x * 1
    entropy = row_stats(y, True)[3]
    y += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        entropy.sum().backward()


@each_form
def test_change_of_results_in_place(logits: bool) -> None:
    x = rows(logits, 3, 4)
    results = row_stats(x, logits)
    for result in results:
        result.mul_(2)
    desired = sum(by_operations(x, logits)[1:])
    torch.testing.assert_close(gradient(sum(results[1:]), x), 2 * gradient(desired, x))


@each_form
def test_memory_stays_resizable(logits: bool) -> None:
    x, g = rows(logits, 3, 4), torch.ones(3, dtype=torch.float64)
    for part in row_stats(x, logits)[1:]:
        part.backward(g, retain_graph=True)
    assert x.untyped_storage().resizable()
    assert g.untyped_storage().resizable()


LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "transposed": lambda x: x.T.contiguous().T,
    "every other": lambda x: x.repeat_interleave(2, -1)[:, ::2],
    "expanded": lambda x: x[:1].expand(3, 4),
    "part": lambda x: torch.cat([x, x])[2:, 1:],
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@each_form
def test_layouts(logits: bool, layout: Callable[[Any], Any]) -> None:
    x = layout(rows(logits, 3, 4).detach()).requires_grad_()
    with calls_of("_by_operations") as operations:
        ours = torch.autograd.grad(sum(row_stats(x, logits)[1:]).sum(), x)
    assert not operations
    desired = torch.autograd.grad(sum(by_operations(x, logits)[1:]).sum(), x)
    torch.testing.assert_close(ours, desired)


def test_parameter_of_a_module() -> None:
    x = torch.nn.Parameter(rows(True, 3, 4).detach())
    row_stats(x, True)[3].sum().backward()
    torch.testing.assert_close(x.grad, torch.autograd.grad(by_operations(x, True)[3].sum(), x)[0])


# --- what is left to PyTorch's operations


# By PyTorch itself, once, when it first differentiates forward.
of_pytorch = pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")


@of_pytorch
@each_part
@each_form
def test_forward_mode(logits: bool, part: Callable[..., Any]) -> None:
    def function(x: Any) -> Any:
        return part(x, logits, row_stats(x, logits))

    def derivative(x: Any) -> Any:
        with forward_ad.dual_level():
            dual = function(forward_ad.make_dual(x, tangent))
            return forward_ad.unpack_dual(dual)

    x, tangent = rows(logits, 3, 4), rows(True, 3, 4).detach()
    jacobian = torch.autograd.functional.jacobian(function, x)
    desired = function(x).detach(), (jacobian * tangent).sum((-2, -1))
    x = x.detach()
    torch.testing.assert_close(tuple(assert_operations(derivative, x)), desired)
    torch.testing.assert_close(
        assert_operations(torch.func.jvp, function, (x,), (tangent,)), desired
    )


@of_pytorch
@each_part
@each_form
def test_transforms(logits: bool, part: Callable[..., Any]) -> None:
    def function(x: Any) -> Any:
        return part(x, logits, row_stats(x, logits)).sum()

    x = rows(logits, 3, 4)
    (desired,) = torch.autograd.grad(function(x), x)
    hessian = torch.autograd.functional.hessian(function, x)
    x = x.detach()
    grad = torch.func.grad(function)
    torch.testing.assert_close(assert_operations(grad, x), desired)
    torch.testing.assert_close(assert_operations(torch.func.vmap(grad), x), desired)
    torch.testing.assert_close(assert_operations(torch.func.hessian(function), x), hessian)


@each_form
def test_batched_gradients(logits: bool) -> None:
    """A transform may come when the gradient is asked for."""
    x = rows(logits, 3, 4)

    def jacobian(vectorize: bool) -> Any:
        function = torch.autograd.functional.jacobian
        return function(lambda x: row_stats(x, logits)[1:], x, vectorize=vectorize)

    torch.testing.assert_close(jacobian(True), jacobian(False))


@of_pytorch
@each_form
def test_incoming_gradient_with_a_tangent(logits: bool) -> None:
    x, g = rows(logits, 3, 4), torch.ones(3, dtype=torch.float64)
    entropy = row_stats(x, logits)[3]
    with forward_ad.dual_level():
        (grad,) = torch.autograd.grad(entropy, x, forward_ad.make_dual(g, 2 * g))
        primal, tangent = forward_ad.unpack_dual(grad)
    torch.testing.assert_close(tangent, 2 * primal)
    assert not grad.requires_grad


@each_form
def test_checkpoint(logits: bool) -> None:
    def function(x: Any) -> Any:
        return row_stats(x.clone(), logits)[3].sum()

    x = rows(logits, 3, 4)
    again = torch.utils.checkpoint.checkpoint(function, x, use_reentrant=False)
    torch.testing.assert_close(torch.autograd.grad(again, x), torch.autograd.grad(function(x), x))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@each_form
def test_narrow_dtypes(logits: bool, dtype: Any) -> None:
    x = rows(logits, 3, 4, dtype=dtype)
    results = assert_operations(row_stats, x, logits)
    assert {result.dtype for result in results} == {dtype}
    wide = row_stats(x.float(), logits)
    torch.testing.assert_close([r.float() for r in results], [*wide], rtol=2e-2, atol=2e-2)


@each_form
def test_compiled(logits: bool) -> None:
    def function(x: Any) -> Any:
        return row_stats(x, logits)[1:]

    x = rows(logits, 3, 4)
    try:
        compiled = torch.compile(function, backend="eager", fullgraph=True)
    except RuntimeError as error:
        pytest.skip(str(error))
    ours, desired = compiled(x), function(x)
    torch.testing.assert_close(ours, desired)
    torch.testing.assert_close(gradient(sum(ours), x), gradient(sum(desired), x))


# --- which tensors are plain

PLAIN: dict[str, Callable[[], Any]] = {
    "float32": lambda: torch.ones(2, 3),
    "float64": lambda: torch.ones(2, 3, dtype=torch.float64),
    "with gradient": lambda: torch.ones(2, 3, requires_grad=True) * 2,
    "parameter": lambda: torch.nn.Parameter(torch.ones(2, 3)),
    "strided": lambda: torch.ones(3, 4)[:, ::2].T,
    "real part": lambda: torch.ones(2, 3, dtype=torch.complex64).real,
}


class Subclass(torch.Tensor):
    pass


EXOTIC: dict[str, Callable[[], Any]] = {
    "conjugate": lambda: torch.ones(2, 3, dtype=torch.complex64).conj(),
    "negative bit": lambda: torch.ones(2, 3, dtype=torch.complex64).conj().imag,
    "sparse": lambda: torch.ones(2, 3).to_sparse(),
    "quantized": lambda: torch.quantize_per_tensor(torch.ones(2, 3), 0.1, 0, torch.quint8),
    "nested": lambda: torch.nested.nested_tensor([torch.ones(3), torch.ones(2)]),
    "meta": lambda: torch.ones(2, 3, device="meta"),
    "fake": lambda: FakeTensorMode().from_tensor(torch.ones(2, 3)),
    "zero": lambda: torch._efficientzerotensor(2, 3),
    "subclass": lambda: torch.ones(2, 3).as_subclass(Subclass),
}


@pytest.mark.parametrize("make", PLAIN.values(), ids=PLAIN)
def test_plain(make: Callable[[], Any]) -> None:
    assert is_plain(make())


@pytest.mark.filterwarnings("ignore")  # of what PyTorch means to change
@pytest.mark.parametrize("make", EXOTIC.values(), ids=EXOTIC)
def test_exotic(make: Callable[[], Any]) -> None:
    assert not is_plain(make())


class FunctionMode(TorchFunctionMode):
    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        pytest.fail("an operation is watched")


MODES: dict[str, Callable[[], Any]] = {
    "function mode": FunctionMode,
    "default device": lambda: torch.device("cpu"),
    "dispatch mode": TorchDispatchMode,
    "fake tensors": FakeTensorMode,
    "forward mode": forward_ad.dual_level,
}


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_modes(mode: Callable[[], Any]) -> None:
    x = torch.ones(2, 3)
    with mode():
        assert not is_plain(x)
    assert is_plain(x)


@pytest.mark.parametrize("transform", [torch.func.vmap, torch.func.grad])
def test_wrappers(transform: Callable[..., Any]) -> None:
    found = []

    def function(x: Any) -> Any:
        found.extend([is_plain(x), is_plain(outside)])
        return x.sum()

    outside = torch.ones(3)
    transform(function)(torch.ones(3))
    assert found == [False, False]


@pytest.mark.filterwarnings("ignore")
def test_tracing() -> None:
    found = []

    def function(x: Any) -> Any:
        found.append(is_plain(x))
        return x + 1

    torch.jit.trace(function, torch.ones(3), check_trace=False)
    assert found == [False]


PRIVATE = {
    "_len_torch_function_stack": torch._C,
    "_len_torch_dispatch_stack": torch._C,
    "_has_storage": torch._C,
    "_functorch": torch._C,
    "peek_interpreter_stack": torch._C._functorch,
    "_current_level": forward_ad,
}


@pytest.mark.parametrize("name", PRIVATE)
def test_another_pytorch(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Without a private function of PyTorch, its operations do all."""
    monkeypatch.delattr(PRIVATE[name], name)
    module = runpy.run_path(torch_memory.__file__)
    assert not module["is_plain"](torch.ones(2, 3))


# --- log_prob and entropy of a distribution: one operation ------------------------------------


def ask(x: Any, value: Any, entropy_first: bool = False) -> tuple[Any, Any]:
    dist = Categorical(logits=x)
    if entropy_first:
        entropy = dist.entropy()
        return dist.log_prob(value), entropy
    return dist.log_prob(value), dist.entropy()


@pytest.mark.parametrize("shape", [(4,), (1, 4), (2, 3, 4)])
@pytest.mark.parametrize("samples", [(), (2,), (0,)])
def test_joint_gradients(shape: tuple[int, ...], samples: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    value = torch.randint(4, (*samples, *shape[:-1]))
    torch.autograd.gradcheck(lambda x: ask(x, value), x)
    torch.autograd.gradgradcheck(lambda x: ask(x, value), x)
    for result, other in zip(ask(x, value), ask(x, value, True), strict=True):
        torch.testing.assert_close(slope(result, x), slope(other, x))


def slope(result: Any, x: Any) -> Any:
    weights = torch.linspace(-1, 2, result.numel(), dtype=result.dtype).reshape(result.shape)
    return torch.autograd.grad(result, x, weights, retain_graph=True)[0]


def test_the_joint_operation_is_used_and_differentiated_in_one_pass() -> None:
    x, value = rows(True, 3, 4).detach().requires_grad_(), torch.tensor([0, 1, 3])
    with calls_of("_by_kernel") as calls:
        log_prob, entropy = ask(x, value)
        (log_prob.sum() + entropy.sum()).backward()
    assert [name for name, *_ in calls] == ["log_prob_gradient"]
    assert x.grad.untyped_storage().resizable()


def test_values_are_the_same_with_and_without_gradient() -> None:
    for k in (5, 5000):
        x, value = torch.randn(3, k), torch.tensor([0, 1, 3])
        expected = [y.numpy() for y in ask(x, value)]
        found = [y.detach().numpy() for y in ask(x.clone().requires_grad_(), value)]
        np.testing.assert_array_equal(found, expected)


def test_changes_in_place_before_backward_are_noticed() -> None:
    x, value = torch.randn(3, 4, requires_grad=True), torch.tensor([0, 1, 3])
    log_prob, _entropy = ask(x, value)
    value += 0
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        log_prob.sum().backward()


def test_values_that_are_no_categories_under_gradient() -> None:
    x = torch.randn(2, 3, requires_grad=True)
    with pytest.raises(ValueError, match=r"value\[1\] is 3"):
        Categorical(logits=x).log_prob(torch.tensor([0, 3]))
    log_prob = Categorical(logits=x, validate_args=False).log_prob(torch.tensor([0, 3]))
    assert log_prob[1] == -math.inf
    log_prob[0].backward()
    assert x.grad[0].isfinite().all()
    assert (x.grad[1] == 0).all()


@pytest.mark.parametrize("k", [18, 100, 1000, 9000])
def test_joint_precision(k: int) -> None:
    """Errors against float64 are no larger than those of PyTorch's own distribution."""
    torch.manual_seed(k)
    wide = 3 * torch.randn(200, k, dtype=torch.float64)
    value = torch.randint(k, (200,))

    def errors(make: Any) -> list[float]:
        results = []
        for x in (wide.float(), wide.float().double()):
            x.requires_grad_()
            dist = make(x)
            log_prob, entropy = dist.log_prob(value), dist.entropy()
            (log_prob.sum() + entropy.sum()).backward()
            results.append((log_prob.detach(), entropy.detach(), x.grad))
        return [
            (a.double() - b).square().mean().sqrt().item()
            for a, b in zip(results[0], results[1], strict=True)
        ]

    ours = errors(lambda x: Categorical(logits=x))
    theirs = errors(lambda x: torch.distributions.Categorical(logits=x, validate_args=False))
    assert all(a <= b for a, b in zip(ours, theirs, strict=True)), (ours, theirs)
