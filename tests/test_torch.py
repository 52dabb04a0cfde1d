"""PyTorch: gradients, transforms, generators, narrow types, and the workers of a DataLoader."""

import copy
import itertools
import os
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import rows
from libraries import GPU
from numpy.testing import assert_array_equal

from anycat import Categorical, _kernels, kl_divergence

torch = pytest.importorskip("torch")
from anycat._backends.torch_memory import unwrap  # noqa: E402

FORMS = ["probs", "logits"]
X = torch.tensor([[1.0, 2.0, 0.5, 3.0], [0.25, 0.25, 0.125, 0.375]], dtype=torch.float64)
Y = torch.tensor([[3.0, 1.0, 2.0, 1.0]], dtype=torch.float64)
VALUE = torch.tensor([[3, 0], [1, 2], [0, 0]])

MEMBERS: dict[str, Callable[[Any, Any], Any]] = {  # of a distribution, and of torch.distributions
    "probs": lambda d, _: d.probs,
    "logits": lambda d, _: d.logits,
    "log_prob": lambda d, _: d.log_prob(VALUE),
    "entropy": lambda d, _: d.entropy(),
    "kl_divergence": lambda d, kl: kl(d, type(d)(Y)),
    "kl_divergence of": lambda d, kl: kl(type(d)(Y), d),
}

each_form = pytest.mark.parametrize("form", FORMS)
each_member = pytest.mark.parametrize("member", MEMBERS.values(), ids=MEMBERS)


def make(form: str, x: Any, **options: Any) -> Categorical:
    return Categorical(**{form: x}, **options)


# --- gradients


@each_member
@each_form
def test_gradients(form: str, member: Callable[[Any, Any], Any]) -> None:
    def function(x: Any) -> Any:
        return member(make(form, x), kl_divergence)

    x = X.clone().requires_grad_()
    assert torch.autograd.gradcheck(function, x)
    assert torch.autograd.gradgradcheck(function, x)

    def gradient(result: Any) -> Any:
        weights = torch.arange(1.0, result.numel() + 1, dtype=result.dtype).reshape(result.shape)
        return torch.autograd.grad((result * weights).sum(), x)[0]

    peer = torch.distributions.Categorical(**{form: x})
    desired = member(peer, torch.distributions.kl_divergence)
    torch.testing.assert_close(function(x), desired)
    torch.testing.assert_close(gradient(function(x)), gradient(desired))


@each_form
def test_gradients_of_other_members(form: str) -> None:
    x = X.clone().requires_grad_()
    for name in ("prob", "cdf"):
        assert torch.autograd.gradcheck(lambda x, n=name: getattr(make(form, x), n)(VALUE), x)
    assert torch.autograd.gradcheck(lambda x: make(form, x).perplexity(), x)
    assert torch.autograd.gradcheck(lambda x: make(form, x).expand((3, 2)).log_prob(1), x)
    assert torch.autograd.gradcheck(lambda x: make(form, x)[1].entropy(), x)


def test_gradients_at_zero_probability_are_finite() -> None:
    """As long as what is asked for does not depend on it."""
    p = torch.tensor([0.0, 0.25, 0.75], dtype=torch.float64, requires_grad=True)
    dist = Categorical(p, clamp_probs=False)
    (
        dist.log_prob(1) + dist.entropy() + kl_divergence(dist, Categorical(torch.ones_like(p)))
    ).sum().backward()
    assert torch.isfinite(p.grad).all()
    x = torch.tensor([-torch.inf, 0.25, 0.75], dtype=torch.float64, requires_grad=True)
    dist = Categorical(logits=x)
    (dist.log_prob(1) + dist.entropy()).backward()
    assert torch.isfinite(x.grad).all()


@each_form
def test_no_grad(form: str) -> None:
    """What is computed without gradients is not kept for calls that want them, nor the reverse."""
    x = X.clone().requires_grad_()
    dist = make(form, x)
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            for member in MEMBERS.values():
                assert not member(dist, kl_divergence).requires_grad
    for member in MEMBERS.values():
        result = member(dist, kl_divergence)
        assert result.requires_grad
        torch.testing.assert_close(result, member(make(form, X), kl_divergence))
        result.sum().backward(retain_graph=True)


def test_results_are_kept_where_gradients_agree() -> None:
    for x in (X, X.clone().requires_grad_()):
        dist = Categorical(x)
        assert dist.probs is dist.probs
        assert dist.logits is dist.logits
    with torch.no_grad():
        dist = Categorical(X)
        assert dist.probs is dist.probs


@each_form
def test_draws_are_plain_integers(form: str) -> None:
    x = X.clone().requires_grad_()
    expected = make(form, X.numpy()).sample(50, rng=1)
    for draws in (
        make(form, x).sample(50, rng=1),
        make(form, x * 1).expand((2,)).sample(50, rng=1),
    ):
        assert not draws.requires_grad
        assert draws.dtype == torch.int64
        assert_array_equal(draws.numpy(), expected)


# --- torch.func


@each_member
@each_form
def test_vmap_and_grad(form: str, member: Callable[[Any, Any], Any]) -> None:
    def function(x: Any) -> Any:
        return member(make(form, x), kl_divergence)

    stack = torch.stack([X, X.flip(-1), X + 1])
    mapped = torch.func.vmap(function)(stack)
    torch.testing.assert_close(mapped, torch.stack([function(x) for x in stack]))
    gradients = torch.func.vmap(torch.func.grad(lambda x: function(x).sum()))(stack)
    for x, gradient in zip(stack, gradients, strict=True):
        y = x.clone().requires_grad_()
        torch.testing.assert_close(gradient, torch.autograd.grad(function(y).sum(), y)[0])


def test_what_is_mapped_is_not_kept() -> None:
    dist, stack = Categorical(X), torch.arange(3)
    assert torch.func.vmap(dist.log_prob)(stack).shape == (3, 2)
    torch.func.vmap(lambda x: (Categorical(X * x).probs * dist.probs).sum())(stack + 1.0)
    dist = Categorical(X)
    torch.func.grad(lambda x: (x * dist.probs).sum() + dist.entropy().sum())(X)
    for kept in (dist.probs, *dist._normalizer, dist._entropy):
        assert unwrap(kept) is kept
    assert dist.probs.shape == X.shape
    assert dist.log_prob(VALUE).shape == VALUE.shape


def test_values_outside_under_vmap() -> None:
    value, q = torch.tensor([-1, 0, 4]), torch.tensor([-1.0, 0.0, 1.0, torch.nan])
    dist = Categorical(X[0], validate_args=False)
    assert torch.isneginf(torch.func.vmap(dist.log_prob)(value)).tolist() == [True, False, True]
    assert torch.func.vmap(dist.icdf)(q).tolist() == [-1, 0, 3, -1]
    dist = Categorical(X[0])
    with pytest.raises(ValueError, match=r"value must .* to 3; value\[0\] is -1"):
        torch.func.vmap(dist.log_prob)(value)
    with pytest.raises(ValueError, match=r"q must be in \[0, 1\]; q\[0\] is -1"):
        torch.func.vmap(dist.icdf)(q)


def test_samples_under_grad() -> None:
    def loss(x: Any) -> Any:
        dist = Categorical(x)
        return dist.log_prob(dist.sample(9, rng=3)).sum()

    x = X.clone().requires_grad_()
    torch.testing.assert_close(torch.func.grad(loss)(X), torch.autograd.grad(loss(x), x)[0])
    assert torch.func.grad(loss)(X.to(torch.bfloat16)).dtype == torch.bfloat16


# --- dtypes and memory


@pytest.mark.parametrize("kind", ["plain", "wide", "subnormal"])
@each_form
def test_bfloat16_and_float16(form: str, kind: str) -> None:
    if (form, kind) not in rows.KINDS:
        pytest.skip("no such rows")
    bits = rows.make(form, kind, (200, 30), np.float32).view(np.uint32)
    bits = bits if kind == "subnormal" else bits & 0xFFFF0000
    if kind == "subnormal":
        bits = bits << 16
    wide = bits.view(np.float32)
    x = torch.from_numpy(wide)
    for dtype in (torch.bfloat16, torch.float16):
        narrow = x.to(dtype)
        exact = narrow.to(torch.float32)
        if dtype is torch.bfloat16:
            assert_array_equal(exact.numpy().view(np.uint32), bits)
        narrow, exact = (make(form, y, validate_args=False) for y in (narrow, exact.numpy()))
        assert_array_equal(narrow.sample(5, rng=1).numpy(), exact.sample(5, rng=1))
        assert narrow.probs.dtype == narrow.log_prob(0).dtype == dtype


def test_parameters_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    from anycat._kernels import cpu

    seen = []
    monkeypatch.setattr(cpu, "sample", lambda params, *_: seen.append(params))
    x = torch.rand(50, 700)[::2]
    draws = Categorical(x).sample(3, rng=0)
    assert seen[0].__array_interface__["data"][0] == x.data_ptr()
    assert seen[0].strides[-2:] == tuple(4 * s for s in x.stride())
    assert draws.shape == (3, 25)


def test_results_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    from anycat._kernels import cpu

    seen = []
    monkeypatch.setattr(cpu, "sample", lambda *args: seen.append(args[4].ctypes.data))
    assert Categorical(X).sample(1000, rng=0).data_ptr() == seen[0]


def test_other_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    from anycat._backends import torch as torch_backend

    def select(x: Any) -> Any:
        raise KeyError  # as for the kind of memory that no kernels are for

    monkeypatch.setattr(_kernels, "memory_of", select)
    monkeypatch.setattr(torch_backend, "is_plain", lambda _: False)  # as of tensors elsewhere
    with pytest.raises(TypeError, match=r"this PyTorch array is on device cpu: .*x\.cpu\(\)"):
        Categorical(torch.ones(5000), validate_args=False).sample(100)


@pytest.mark.parametrize("rows", [1, 40_000])  # in the fast path, and not
def test_gradient_of_an_unclamped_probability_that_underflows(rows: int) -> None:
    """The quotient is too small for float32, the difference of logarithms is not."""
    weights = [1e-30, 1e20]
    x = torch.tensor([weights] * rows).requires_grad_()
    log_prob = Categorical(x, clamp_probs=False).log_prob(0)
    log_prob.sum().backward()
    expected = torch.full((rows,), np.log(1e-30) - np.log(1e20), dtype=torch.float32)
    torch.testing.assert_close(log_prob.detach(), expected)
    torch.testing.assert_close(x.grad, torch.tensor([[1e30, -1e-20]] * rows))


# --- what is computed in one mode, then used in another


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
@pytest.mark.parametrize("shape", [(3, 4), (40, 300), (2, 5000)])  # small, of one tile, of two
@each_form
def test_values_first_computed_without_gradient(
    form: str, shape: tuple[int, ...], mode: Callable[[], Any]
) -> None:
    value = torch.zeros(shape[:-1], dtype=torch.int64)
    ask: dict[str, Callable[[Categorical], Any]] = {
        "probs": lambda d: d.probs,
        "logits": lambda d: d.logits,
        "log_prob": lambda d: d.log_prob(value),
        "prob": lambda d: d.prob(value),
        "cdf": lambda d: d.cdf(value),
        "entropy": lambda d: d.entropy(),
    }

    def gradients(name: str, x: Any, first: Categorical | None) -> tuple[Any, ...]:
        """Return a result and gradients, of the parameters if they have one, and of a factor."""
        found = ask[name](first or make(form, x))
        factor = torch.ones(found.shape, requires_grad=True)
        (found * factor).square().sum().backward()
        return found.detach().clone(), x.grad, factor.grad

    for name, needed in itertools.product(ask, (True, False)):
        x = torch.rand(shape, generator=torch.Generator().manual_seed(1)).requires_grad_(needed)
        y = x.detach().clone().requires_grad_(needed)
        dist = make(form, y)
        with mode():
            for function in ask.values():
                assert not function(dist).requires_grad
        torch.testing.assert_close(gradients(name, y, dist), gradients(name, x, None), msg=name)
        assert needed == (y.grad is not None)


# --- torch.Generator


def test_generator() -> None:
    def generator(seed: int = 5) -> Any:
        return torch.Generator().manual_seed(seed)

    a, b = (Categorical(x).sample(40, rng=generator()) for x in (X, X.numpy()))
    assert_array_equal(a.numpy(), b)
    assert (Categorical(X).sample(40, rng=generator(6)) != a).any()
    rng, twin = generator(), generator()
    first, second = (Categorical(X).sample(40, rng=rng) for _ in range(2))
    assert (first == a).all()
    assert (first != second).any()
    Categorical(X).sample((), rng=twin)  # moves on as far, however few draws
    assert (Categorical(X).sample(40, rng=twin) == second).all()


def test_a_call_takes_128_bits_of_a_generator() -> None:
    rng, twin = (torch.Generator().manual_seed(3) for _ in range(2))
    from libraries import key

    words = torch.empty(2, dtype=torch.int64).random_(-(2**63), None, generator=twin)
    halves = [int(w) >> shift & 0xFFFFFFFF for w in words for shift in (0, 32)]
    assert key(rng).tolist() == halves
    assert (rng.get_state() == twin.get_state()).all()
    state = rng.get_state()
    with pytest.raises(ValueError, match="dtype"):
        Categorical(torch.ones(1000)).sample(rng=rng, dtype=torch.int8)
    assert (rng.get_state() == state).all()


def test_bits_of_a_generator_are_even() -> None:
    from libraries import key

    rng = torch.Generator().manual_seed(0)
    bits = np.array([key(rng) for _ in range(2000)], np.uint64).astype("<u4").view(np.uint8)
    ones = np.unpackbits(bits.reshape(2000, -1), axis=1).mean(0)
    assert abs(ones - 0.5).max() < 5 * 0.5 / 2000**0.5  # one of 128 in 14,000 runs


# --- PyTorch's default generator, for rng=None

BATCHES = {"fast path": X, "general path": torch.ones(2000, 20), "half": X.to(torch.float16)}


@pytest.fixture(autouse=True)
def keep_default_generator() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        yield


@pytest.mark.parametrize("first", [torch.inference_mode, torch.no_grad, torch.enable_grad])
@pytest.mark.parametrize("second", [torch.inference_mode, torch.no_grad, torch.enable_grad])
def test_the_first_draw_of_a_thread_in_any_mode(first: Any, second: Any) -> None:
    dist, draws = Categorical(torch.ones(5)), []

    def draw() -> None:
        for mode in (first, second):
            torch.manual_seed(0)
            with mode():
                draws.append(dist.sample(9).tolist())

    thread = threading.Thread(target=draw)
    thread.start()
    thread.join()
    assert draws[0] == draws[1]


@pytest.mark.parametrize("x", BATCHES.values(), ids=BATCHES)
def test_none_follows_manual_seed(x: Any) -> None:
    dist = Categorical(x)
    torch.manual_seed(5)
    first, second = dist.sample(40), dist.sample(40)
    torch.manual_seed(5)
    assert (dist.sample(40) == first).all()
    assert (first != second).any()
    rng = torch.Generator().manual_seed(5)  # the same bits
    assert (dist.sample(40, rng=rng) == first).all()
    assert (dist.sample(40, rng=rng) == second).all()


def test_none_takes_128_bits() -> None:
    def state_after(draw: Callable[[], Any]) -> Any:
        torch.manual_seed(1)
        draw()
        return torch.get_rng_state()

    expected = state_after(lambda: torch.empty(2, dtype=torch.int64).random_(-(2**63), None))
    for x in BATCHES.values():
        dist = Categorical(x)
        for shape in ((), 1000):
            assert (state_after(lambda d=dist, n=shape: d.sample(n)) == expected).all()
        with pytest.raises(ValueError, match="sample_shape"):
            assert (state_after(lambda d=dist: d.sample(-1)) != expected).any()
    for x in (np.ones(4), np.ones((2000, 20))):  # not for other libraries
        state = state_after(lambda x=x: Categorical(x).sample())
        assert (state == torch.manual_seed(1).get_state()).all()


def test_none_under_fork_rng() -> None:
    dist = Categorical(X)
    torch.manual_seed(2)
    with torch.random.fork_rng(devices=[]):
        inside = dist.sample(40)
    assert (dist.sample(40) == inside).all()


def test_none_in_threads() -> None:
    """No two calls take the same bits, as they lie in one place for each thread."""
    dist = Categorical(torch.ones(2**40 // 2**20, dtype=torch.float64))
    with ThreadPoolExecutor(8) as pool:
        draws = list(pool.map(lambda _: tuple(dist.sample(16).tolist()), range(2000)))
    assert len(set(draws)) == len(draws)


# --- processes


class Draws(torch.utils.data.Dataset):  # type: ignore[misc, name-defined]
    """What a worker draws, from a distribution that the parent has drawn from."""

    def __init__(self, dist: Categorical) -> None:
        self.dist = dist

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> Any:
        return self.dist.sample(20_000, rng=index)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # by Python,
@pytest.mark.filterwarnings("ignore:.*fork:RuntimeWarning")  # and by JAX where it is imported
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
def test_workers_of_a_data_loader() -> None:
    data = Draws(Categorical(torch.rand(3, 400)))
    expected = [data[i] for i in range(len(data))]
    loader = torch.utils.data.DataLoader(
        data, batch_size=None, num_workers=2, multiprocessing_context="fork", timeout=120
    )
    for found, draws in zip(loader, expected, strict=True):
        assert (found == draws).all()


class DrawsByDefault(Draws):
    """The same with the worker's default generator, and a draw by PyTorch."""

    def __getitem__(self, index: int) -> Any:
        return torch.cat([self.dist.sample(3).flatten(), torch.rand(4)])


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*fork:RuntimeWarning")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
def test_none_in_workers_of_a_data_loader() -> None:
    """Workers differ, and follow the seed of the loader, as draws by PyTorch do."""

    def epoch() -> list[Any]:
        loader = torch.utils.data.DataLoader(
            DrawsByDefault(Categorical(torch.ones(1000))),
            batch_size=None,
            num_workers=2,
            multiprocessing_context="fork",
            timeout=120,
        )
        torch.manual_seed(3)
        return list(loader)

    first, second = epoch(), epoch()
    for a, b in zip(first, second, strict=True):
        assert (a == b).all()
    for a, b in itertools.combinations(first, 2):
        assert (a[:3] != b[:3]).any()
        assert (a[3:] != b[3:]).any()


@pytest.mark.parametrize(
    "copier", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_copies_keep_what_asks_for_gradients(copier: Callable[[Any], Any]) -> None:
    x = X.clone().requires_grad_()
    dist = Categorical(x)
    assert dist.entropy().requires_grad
    twin = copier(dist)
    assert twin.entropy().requires_grad
    assert (twin.sample(20, rng=1) == dist.sample(20, rng=1)).all()


# --- CUDA


@pytest.mark.gpu
class TestCUDA:
    pytestmark = GPU

    def test_streams(self) -> None:
        """Draws come after what is queued on the current stream, and before what follows."""
        x = torch.rand(64, 50_000)
        expected = Categorical(x.numpy()).sample(4, rng=1)
        there = x.cuda()
        for stream in (torch.cuda.current_stream(), torch.cuda.Stream()):
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                y = torch.zeros_like(there)
                torch.cuda._sleep(50_000_000)
                y.copy_(there)
                draws = Categorical(y, validate_args=False).sample(4, rng=1) + 0
            stream.synchronize()
            assert draws.device == there.device
            assert_array_equal(draws.cpu().numpy(), expected)

    @pytest.mark.parametrize(
        ("shape", "samples"), [((40, 500), 1), ((3, 50_000), 1), ((1000,), 10**6)]
    )
    def test_graph(self, shape: tuple[int, ...], samples: int) -> None:
        """A CUDA graph that torch captures holds the draws, and the memory for them."""
        x = torch.rand(shape, device="cuda")
        dist = Categorical(x, validate_args=False)
        expected = dist.sample(samples, rng=1)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            draws = dist.sample(samples, rng=1)
        others = [torch.full((n,), 7, device="cuda") for n in (100, 10_000, 10**6) for _ in "abc"]
        draws.fill_(-5)
        graph.replay()
        assert (draws == expected).all()
        assert all((other == 7).all() for other in others)

    def test_dtypes_and_gradients(self) -> None:
        for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
            x = torch.rand(30, 70).to(dtype)
            exact = (x.float() if dtype is torch.bfloat16 else x).numpy()
            draws = Categorical(x.cuda().requires_grad_()).sample(3, rng=2)
            assert_array_equal(draws.cpu().numpy(), Categorical(exact).sample(3, rng=2))

    def test_none_follows_the_generator_of_the_cpu(self) -> None:
        """So nothing waits for the device."""
        torch.manual_seed(4)
        expected = Categorical(X).sample(40)
        dist = Categorical(X.cuda())
        torch.manual_seed(4)
        torch.cuda.set_sync_debug_mode("error")
        try:
            draws = dist.sample(40)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert (draws.cpu() == expected).all()

    def test_generator(self) -> None:
        rng, twin = (torch.Generator("cuda").manual_seed(1) for _ in range(2))
        a, b = (
            Categorical(X.cuda()).sample(40, rng=rng),
            Categorical(X.numpy()).sample(40, rng=twin),
        )
        assert_array_equal(a.cpu().numpy(), b)
        assert (Categorical(X.cuda()).sample(40, rng=rng) != a).any()

    def test_two_devices(self) -> None:
        with pytest.raises(ValueError, match="value is on device cpu, the distribution on cuda"):
            Categorical(X.cuda()).log_prob(VALUE)
