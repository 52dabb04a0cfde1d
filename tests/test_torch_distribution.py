"""`anycat.torch.Categorical` in the place of `torch.distributions.Categorical`."""

import copy
import doctest
import inspect
import pickle
import pydoc
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import anycat

torch = pytest.importorskip("torch")

import anycat.torch  # noqa: E402
from anycat.torch import Categorical  # noqa: E402

Peer = torch.distributions.Categorical

FORMS = ["probs", "logits"]
X = torch.tensor([[1.0, 2.0, 0.5, 3.0], [0.25, 0.25, 0.125, 0.375]], dtype=torch.float64)
BAD = torch.where(X == 2, torch.nan, X)
MASK = torch.tensor([[True, True, False, True], [False, True, True, True]])
VALUE = torch.tensor([[3, 1], [0, 2], [0, 1]])
MEMBERS = ["probs", "logits", "log_prob", "entropy", "mode", "perplexity"]

each_form = pytest.mark.parametrize("form", FORMS)


@pytest.fixture(autouse=True)
def default_validation() -> Iterator[None]:
    """Check arguments by default, which PyTorch's compiler ends where it has been used."""
    before = torch.distributions.Distribution._validate_args
    torch.distributions.Distribution.set_default_validate_args(True)
    yield
    torch.distributions.Distribution.set_default_validate_args(before)


def read(dist: Any, name: str) -> Any:
    member = getattr(dist, name)
    if not callable(member):
        return member
    return member(VALUE) if name == "log_prob" else member()


def assert_same(ours: Any, peer: Any, members: list[str] = MEMBERS) -> None:
    for name in members:
        torch.testing.assert_close(read(ours, name), read(peer, name), msg=name)


def assert_draws(dist: Any, probs: Any) -> None:
    """Check that draws, and what limits them, follow probabilities."""
    expected = anycat.Categorical(probs)
    assert torch.equal(dist.sample((50,), rng=3), expected.sample((50,), rng=3))
    mask = torch.arange(probs.shape[-1]) % 3 != 1
    every: list[Any] = [{"mask": mask}, {"top_k": 2}, {"top_p": 0.5, "mask": mask}]
    if dist._differs and dist._form.name == "logits":
        every.append({"temperature": 0.5, "top_k": 3})
    for limits in every:
        if "temperature" in limits:
            expected = anycat.Categorical(logits=probs.log())
        limited, whole = dist.truncate(**limits), expected.truncate(**limits)
        assert torch.equal(limited.sample((50,), rng=3), whole.sample((50,), rng=3))
        torch.testing.assert_close(limited.probs, whole.probs)
        torch.testing.assert_close(limited.entropy(), whole.entropy())
        torch.testing.assert_close(limited.log_prob(limited.mode), whole.log_prob(whole.mode))
        assert "mask" not in limits or (limited.probs[..., 1] == 0).all()


# --- the module


def test_anycat_does_not_import_pytorch() -> None:
    code = "import sys, anycat; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_pytorch_the_error_is_that_of_pytorch() -> None:
    code = "import sys; sys.modules['torch'] = None; import anycat.torch"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "ModuleNotFoundError: import of torch halted" in found.stderr


def test_both_ways_to_import_it() -> None:
    from anycat import torch as module

    assert module is anycat.torch
    assert module.__all__ == ["Categorical"]


def test_the_examples_run() -> None:
    found = doctest.testmod(anycat.torch)
    assert found.attempted > 4
    assert not found.failed


# --- what PyTorch asks of a distribution


@each_form
def test_it_is_both(form: str) -> None:
    dist = Categorical(**{form: X})
    assert isinstance(dist, anycat.Categorical)
    assert isinstance(dist, Peer)
    assert_same(dist, Peer(**{form: X}))
    assert torch.equal(
        dist.sample((9,), rng=1), anycat.Categorical(**{form: X}).sample((9,), rng=1)
    )


def test_attributes_of_the_class() -> None:
    assert Categorical.arg_constraints == Peer.arg_constraints
    assert Categorical.has_enumerate_support is True
    assert Categorical.has_rsample is False
    assert Categorical.support.is_discrete
    assert Categorical.support.event_dim == 0


def test_shapes_are_sizes() -> None:
    dist = Categorical(X).expand((3, 2))
    shapes = dist.batch_shape, dist.event_shape, dist.param_shape
    assert all(type(shape) is torch.Size for shape in shapes)
    assert shapes == ((3, 2), (), (3, 2, 4))
    assert dist.batch_shape + dist.event_shape == torch.Size([3, 2])


def test_support_is_a_constraint() -> None:
    support = Categorical(X).support
    assert (support.lower_bound, support.upper_bound) == (0, 3)
    assert support.check(torch.arange(-1, 5)).tolist() == [False, True, True, True, True, False]


@each_form
def test_parameters_satisfy_their_constraints(form: str) -> None:
    dist = Categorical(**{form: X})
    for name, constraint in dist.arg_constraints.items():
        assert constraint.check(getattr(dist, name)).all()


def test_names_that_other_libraries_use() -> None:
    """See `test_messages`; the signatures are those of `anycat.Categorical` too."""
    with pytest.raises(TypeError, match=r"^Categorical has no argument 'p': did you mean probs"):
        Categorical(p=X)
    for name in ("sample", "sample_counts", "truncate"):
        with pytest.raises(TypeError, match=f"^{name} has no argument 'abc'$"):
            getattr(Categorical(X), name)(abc=1)
    for name in ("__init__", "sample", "sample_counts"):
        mine, base = (getattr(x, name) for x in (Categorical, anycat.Categorical))
        assert [*inspect.signature(mine).parameters] == [*inspect.signature(base).parameters]


def test_no_reparameterized_draws() -> None:
    with pytest.raises(NotImplementedError):
        Categorical(X).rsample()


def test_moments_are_undefined() -> None:
    dist = Categorical(X)
    for x in (dist.mean, dist.variance, dist.stddev):
        assert x.shape == (2,)
        assert x.isnan().all()


def test_sample_n() -> None:
    with pytest.warns(FutureWarning, match="sample_n"):
        assert Categorical(X).sample_n(5).shape == (5, 2)


@pytest.mark.parametrize("shape", [(), (3,), [3], torch.Size([3, 2])])
def test_sample_shapes(shape: Any) -> None:
    draws = Categorical(X.clone().requires_grad_()).sample(shape)
    assert draws.shape == (*shape, 2)
    assert draws.dtype == torch.int64
    assert not draws.requires_grad


@pytest.mark.parametrize("expand", [False, True])
def test_enumerate_support(expand: bool) -> None:
    assert torch.equal(Categorical(X).enumerate_support(expand), Peer(X).enumerate_support(expand))


@pytest.mark.parametrize("shape", [(), (1,), (2,), (5, 1), (3, 1, 2)])
@pytest.mark.parametrize("dtype", [torch.int64, torch.float32])
def test_values_broadcast_as_in_pytorch(shape: tuple[int, ...], dtype: Any) -> None:
    value = torch.ones(shape, dtype=dtype)
    torch.testing.assert_close(Categorical(X).log_prob(value), Peer(X).log_prob(value))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"probs": X, "logits": X},
        {"probs": torch.tensor(0.5)},
        {"probs": 0.5},
        {"probs": -X},
        {"probs": torch.zeros(3)},
        {"probs": torch.tensor([1.0, torch.nan])},
        {"logits": torch.tensor([1.0, torch.inf])},
        {"logits": torch.tensor([1.0, torch.nan])},
        {"logits": torch.full((3,), -torch.inf)},
    ],
)
def test_invalid_parameters(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"probs|logits"):
        Categorical(**options)


@pytest.mark.parametrize("value", [-1.0, 4.0, 0.5, torch.nan])
def test_invalid_values(value: float) -> None:
    with pytest.raises(ValueError, match="value"):
        Categorical(X).log_prob(torch.full((2,), value))
    Categorical(X, validate_args=False).log_prob(torch.full((2,), value))


def test_values_of_the_wrong_shape() -> None:
    with pytest.raises(ValueError, match="value"):
        Categorical(X).log_prob(torch.zeros(3))


@pytest.mark.parametrize("x", [[1, 3], [0.25, 0.75], np.array([0.25, 0.75])])
def test_parameters_become_tensors(x: Any) -> None:
    dist = Categorical(x)
    assert isinstance(dist.probs, torch.Tensor)
    assert dist.dtype == (torch.float64 if isinstance(x, np.ndarray) else torch.float32)
    assert dist.probs.tolist() == [0.25, 0.75]
    assert isinstance(dist.sample(), torch.Tensor)


def test_read_only_arrays() -> None:
    x = np.array([0.25, 0.75])
    x.flags.writeable = False
    assert Categorical(logits=x).num_categories == 2  # PyTorch would warn


@pytest.mark.parametrize("x", ["a", {"a": 1}, [["a"]], torch.tensor([1j, 2j])])
def test_what_is_no_parameter(x: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        Categorical(x)


@pytest.mark.parametrize("again", [pickle.dumps, copy.copy, copy.deepcopy])
@each_form
def test_copies(form: str, again: Any) -> None:
    found = again(Categorical(**{form: X}, validate_args=False))
    dist = pickle.loads(found) if isinstance(found, bytes) else found
    assert type(dist) is Categorical
    assert dist._validate_args is False
    assert_same(dist, Peer(**{form: X}))


@each_form
def test_gradients(form: str) -> None:
    def gradients(cls: Any) -> Any:
        x = X.clone().requires_grad_()
        dist = cls(**{form: x})
        return torch.autograd.grad((dist.log_prob(VALUE).sum() + dist.entropy().sum()), x)[0]

    torch.testing.assert_close(gradients(Categorical), gradients(Peer))


# --- parameters that change

AT_STEP = {
    "parameter": lambda x: x,
    "row of it": lambda x: x[1],
    "several views": lambda x: x.T.T[None],
}


@each_form
@pytest.mark.parametrize("view", AT_STEP.values(), ids=AT_STEP)
@pytest.mark.parametrize("grad", [True, False])
def test_a_step_of_an_optimizer_changes_no_distribution(form: str, view: Any, grad: bool) -> None:
    weights = torch.nn.Parameter(X.clone())
    with torch.set_grad_enabled(grad):
        peer, dist = Peer(**{form: view(weights)}), Categorical(**{form: view(weights)})
    before = dist.sample((50,), rng=0)
    optimizer = torch.optim.SGD([weights], lr=0.1)
    weights.sum().backward()
    optimizer.step()
    assert torch.equal(dist.sample((50,), rng=0), before)
    assert_same(dist, peer, ["probs", "logits", "entropy", "mode"])


SHARED = {
    "detached": lambda x: x.detach(),
    "data": lambda x: x.data,
    "row": lambda x: x.detach()[1],
    "detached row": lambda x: x[1].detach(),
    "expanded": lambda x: x.detach().expand(4, *x.shape),
    "computed": lambda x: x * 1.0,
    "view of what is computed": lambda x: (x * 1.0)[1],
}


@each_form
@pytest.mark.parametrize("share", SHARED.values(), ids=SHARED)
def test_later_changes_in_place_change_no_distribution(form: str, share: Any) -> None:
    weights = X.clone().requires_grad_()
    x = share(weights)
    peer, dist = Peer(**{form: x}), Categorical(**{form: x})
    before = dist.sample((50,), rng=0), dist.log_prob(torch.tensor(1)), dist.entropy()
    with torch.no_grad():
        weights[:, 0] += 3
        if not share(weights).is_leaf:
            x[..., 0] += 3
    after = dist.sample((50,), rng=0), dist.log_prob(torch.tensor(1)), dist.entropy()
    assert all(map(torch.equal, after, before))
    assert_same(dist, peer, ["probs", "logits", "entropy", "mode"])


LARGE = torch.zeros(2, 2**15)
READS: dict[str, Any] = {
    **dict.fromkeys(("sample", "entropy"), ()),
    **dict.fromkeys(("log_prob", "prob", "cdf", "__getitem__"), (0,)),
    "sample_counts": (9,),
    "icdf": (0.5,),
    "expand": ((4, 2),),
    "__getstate__": (),
}
SAME = {
    "itself": lambda dist: dist,
    "part": lambda dist: dist[1:],
    "expanded": lambda dist: dist.expand((4, 2)),
}


FOREIGN: dict[str, Callable[[], Any]] = {
    "NumPy's": lambda: torch.from_numpy(np.zeros((2, 2**15), np.float32)),
    "shared": lambda: LARGE.clone().share_memory_(),
}


@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN)
def test_what_others_may_change_is_copied(make: Callable[[], Any]) -> None:
    """PyTorch counts only its own changes."""
    logits = make()
    for given in (logits, logits[:1], logits.detach()):
        dist = Categorical(logits=given)
        before = dist.log_prob(torch.tensor(0))
        given.numpy()[..., 0] = 50
        assert torch.equal(dist.log_prob(torch.tensor(0)), before)
        given.numpy()[..., 0] = 0


@each_form
@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("grad", [False, True])
def test_what_has_been_read_may_be_changed_in_place(form: str, name: str, grad: bool) -> None:
    """As in PyTorch, as if it had been assigned."""
    dists = [cls(**{form: X.clone().requires_grad_(grad)}) for cls in (Categorical, Peer)]
    for dist in dists:
        x = getattr(dist, name)
        with torch.no_grad():
            x[:, 0] = -1e8 if name == "logits" else 0
    ours, peer = dists
    assert_same(ours, peer, [x for x in MEMBERS if x != "mode"])
    assert_draws(ours, peer.probs.detach())


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("part", SAME.values(), ids=SAME)
def test_what_is_too_large_to_be_copied_must_not_change(part: Any, name: str) -> None:
    logits = LARGE.clone()
    dist = part(Categorical(logits=logits.detach()))
    method = getattr(dist, name)
    method(*READS[name])
    logits[:, 0] = 9
    with pytest.raises(RuntimeError, match=re.escape("give it logits.clone() instead")):
        method(*READS[name])


@pytest.mark.parametrize("part", [lambda x: x[0], lambda x: x[0].detach(), lambda x: x[1, :, :-1]])
@pytest.mark.parametrize("name", READS)
def test_a_part_of_a_larger_tensor_is_copied(part: Any, name: str) -> None:
    """PyTorch counts a change of another part as one of this."""
    buffer = LARGE.new_zeros(2, *LARGE.shape)
    dist = Categorical(logits=part(buffer))
    buffer[..., 0] = 9
    getattr(dist, name)(*READS[name])
    same = Peer(logits=part(torch.zeros_like(buffer)))
    torch.testing.assert_close(dist.entropy(), same.entropy())


def test_what_is_large_is_not_copied() -> None:
    dist = Categorical(logits=LARGE)
    assert dist._param.data_ptr() == LARGE.data_ptr()
    assert dist.expand((4, 2))._param.data_ptr() == LARGE.data_ptr()
    again = pickle.loads(pickle.dumps(dist))
    assert torch.equal(again.sample(rng=0), dist.sample(rng=0))
    weights = torch.nn.Parameter(LARGE.clone())
    assert Categorical(logits=weights[0])._param.data_ptr() != weights.data_ptr()
    with torch.inference_mode():
        logits = LARGE.clone()
        assert Categorical(logits=logits)._param.data_ptr() == logits.data_ptr()


@each_form
@pytest.mark.parametrize("members", [("log_prob",), ("entropy",), ("log_prob", "entropy")])
def test_a_second_step_with_the_same_distribution_is_an_error(form: str, members: Any) -> None:
    weights = torch.nn.Parameter(X.clone())
    for dist in (Peer(**{form: weights}), Categorical(**{form: weights})):
        sum(read(dist, name).sum() for name in members).backward()
        with pytest.raises(RuntimeError, match="second time"):
            sum(read(dist, name).sum() for name in members).backward()


# --- validation


def test_the_default_of_pytorch_holds() -> None:
    torch.distributions.Distribution.set_default_validate_args(False)
    with pytest.raises(ValueError, match="probs"):
        Categorical(-X, validate_args=True)
    anycat.Categorical([1.0])
    with pytest.raises(ValueError, match="probs"):
        anycat.Categorical([-1.0])  # it has a default of its own


def test_a_subclass_has_a_default() -> None:
    class Unchecked(Categorical):
        _validate_args = False

    assert Unchecked(-X).entropy().isnan().all()


@pytest.mark.parametrize("draw", [lambda x: x.sample(), lambda x: x[0].sample_counts(3)])
def test_draws_are_checked_where_the_default_is_off(draw: Any) -> None:
    """PyTorch's class draws from no invalid row either."""
    torch.distributions.Distribution.set_default_validate_args(False)
    peer, dist = Peer(BAD), Categorical(BAD)
    with pytest.raises(RuntimeError):
        peer.sample()
    for invalid in (dist, dist.expand((3, 2)), copy.deepcopy(dist)):
        with pytest.raises(ValueError, match="probs must not be NaN"):
            draw(invalid)
    dist.__init__(X)
    draw(dist)
    dist.sample()
    assert dist._rows_validated
    dist.__init__(BAD, validate_args=False)
    assert dist.sample()[0] == -1
    dist.__init__(X)
    dist.probs = BAD
    with pytest.raises(ValueError, match="probs must not be NaN"):
        draw(dist)


@each_form
@pytest.mark.parametrize("n", [2, 20_000])
@pytest.mark.parametrize("value", [-1, 4])
def test_values_are_checked_where_the_default_is_off(form: str, n: int, value: int) -> None:
    """PyTorch's class raises an error for them, but for another reason."""
    torch.distributions.Distribution.set_default_validate_args(False)
    x, values = torch.ones(n, 4), torch.zeros(n, dtype=torch.int64)
    values[n // 2] = value
    with pytest.raises(RuntimeError, match="out of bounds"):
        Peer(**{form: x}).log_prob(values)
    for grad in (False, True):
        with pytest.raises(ValueError, match=rf"value\[{n // 2}\] is {value}"):
            Categorical(**{form: x.clone().requires_grad_(grad)}).log_prob(values)
    unchecked = Categorical(**{form: x}, validate_args=False)
    assert unchecked.log_prob(values).isneginf().sum() == 1


def test_draws_are_checked_in_compiled_functions() -> None:
    torch.distributions.Distribution.set_default_validate_args(False)
    sample = torch.compile(lambda x: Categorical(x).sample(), backend="eager", fullgraph=True)
    assert sample(X).shape == (2,)
    with pytest.raises(ValueError, match="probs must not be NaN"):
        sample(BAD)


def test_validation_is_switched_later() -> None:
    dist = Categorical(X)
    assert dist._validate_args is True
    dist._validate_args = False
    assert dist.log_prob(torch.tensor(7)).isneginf().all()
    assert dist.expand((3, 2))._validate_args is False


# --- other distributions


def test_mixture() -> None:
    normal = torch.distributions.Normal(torch.arange(4.0), 0.5)
    ours = torch.distributions.MixtureSameFamily(Categorical(X[0]), normal)
    peer = torch.distributions.MixtureSameFamily(Peer(X[0]), normal)
    x = torch.linspace(-1, 5, 7)
    for a, b in ((ours, peer), (ours.expand((3, 1)), peer.expand((3, 1)))):
        torch.testing.assert_close(a.log_prob(x), b.log_prob(x))
        torch.testing.assert_close(a.cdf(x), b.cdf(x))
        torch.testing.assert_close(a.mean, b.mean)
        torch.testing.assert_close(a.variance, b.variance)
        assert a.sample((6,)).shape == b.sample((6,)).shape


def test_independent() -> None:
    ours = torch.distributions.Independent(Categorical(X), 1)
    peer = torch.distributions.Independent(Peer(X), 1)
    for a, b in ((ours, peer), (ours.expand((3,)), peer.expand((3,)))):
        assert a.event_shape == torch.Size([2])
        assert a.sample((6,)).shape == b.sample((6,)).shape
        torch.testing.assert_close(a.log_prob(VALUE), b.log_prob(VALUE))
        torch.testing.assert_close(a.entropy(), b.entropy())
        assert repr(a.support) == repr(b.support)
        assert a.support.check(VALUE).tolist() == b.support.check(VALUE).tolist()
    torch.testing.assert_close(
        torch.distributions.kl_divergence(ours, ours.expand((3,))), torch.zeros(3).double()
    )


class Derived(Categorical):
    pass


class PeerDerived(Peer):
    pass


PAIRS = [
    (p, q)
    for p in (Categorical, Derived, Peer, PeerDerived, anycat.Categorical)
    for q in (Categorical, Derived, Peer, PeerDerived, anycat.Categorical)
    if {p, q} & {Categorical, Derived} or (p, q) == (anycat.Categorical, anycat.Categorical)
    if not ({p, q} & {Peer, PeerDerived} and anycat.Categorical in (p, q))
]


@pytest.mark.parametrize(("p", "q"), PAIRS)
@each_form
def test_kl_divergence(form: str, p: Any, q: Any) -> None:
    """Without a warning that two entries of PyTorch's registry fit."""
    expected = torch.distributions.kl_divergence(Peer(**{form: X}), Peer(X[:1]))
    found = torch.distributions.kl_divergence(p(**{form: X}), q(X[:1]))
    torch.testing.assert_close(found, expected)


def test_kl_divergence_of_ours_is_that_of_anycat() -> None:
    p, q = torch.tensor([0.5, 0.5, 0.0]), torch.tensor([1.0, 0.0, 0.0])
    for cls in (Categorical, anycat.Categorical):
        found = torch.distributions.kl_divergence(cls(q), cls(p))
        assert torch.equal(found, anycat.kl_divergence(cls(q), cls(p)))
        assert torch.distributions.kl_divergence(cls(p), cls(q)).isposinf()
    with pytest.raises(ValueError, match="same number of categories"):
        torch.distributions.kl_divergence(Categorical(p), Categorical(X))


def test_kl_divergence_of_a_subclass_may_be_registered_before_its_use() -> None:
    class Own(Categorical):
        pass

    class OwnOfAnycat(anycat.Categorical):
        pass

    for cls in (Own, OwnOfAnycat):
        torch.distributions.register_kl(cls, cls)(lambda p, q: "own")
        assert torch.distributions.kl_divergence(cls(X), cls(X)) == "own"


# --- expand


class Masked(Categorical):
    """It sets an attribute first, and fills an instance as PyTorch's classes do."""

    def __init__(self, logits: Any, mask: Any) -> None:
        self.mask = mask
        super().__init__(logits=logits.masked_fill(~mask, -torch.inf))

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._get_checked_instance(Masked, _instance)
        new.mask = self.mask.expand((*batch_shape, 4))
        return super().expand(batch_shape, _instance=new)


@pytest.mark.parametrize("more", [3, Peer(X)], ids=type)
def test_expand_takes_one_shape(more: Any) -> None:
    with pytest.raises(TypeError, match=re.escape("expand takes one shape, as in expand((2, 3))")):
        Categorical(X[0]).expand(2, more)


def test_expand_fills_an_instance() -> None:
    dist = Masked(X, MASK)
    new = dist.expand(torch.Size([3, 2]))
    assert type(new) is Masked
    assert new.mask.shape == (3, 2, 4)
    assert_same(new, Peer(logits=X.masked_fill(~MASK, -torch.inf)).expand((3, 2)))


def test_a_filled_instance_is_checked_as_the_first() -> None:
    new = Categorical.__new__(Categorical)
    assert Categorical(X, validate_args=False).expand((3, 2), _instance=new) is new
    assert new._validate_args is False
    assert new.batch_shape == (3, 2)


def test_expanding_a_subclass_without_the_protocol() -> None:
    class Temperature(Categorical):
        def __init__(self, logits: Any, temperature: float) -> None:
            super().__init__(logits=logits / temperature)
            self.temperature = temperature

    new = Temperature(X, 2.0).expand([3, 2])
    assert type(new) is Temperature
    assert new.temperature == 2.0
    assert_same(new, Peer(logits=X / 2).expand([3, 2]))


# --- subclasses


def test_the_policy_that_initialises_itself_again() -> None:
    """It keeps the logits, masks them in a second call, and assigns `probs`."""

    def policy(base: Any) -> Any:
        class Policy(base):  # type: ignore[misc]
            def __init__(self, logits: Any) -> None:
                self.mask = None
                super().__init__(None, logits, None)
                self.original = self.logits

            def apply(self, mask: Any) -> None:
                self.mask = mask
                logits = self.original
                if mask is not None:
                    logits = torch.where(mask, logits, torch.tensor(-1e8, dtype=logits.dtype))
                super().__init__(logits=logits)
                self.probs = torch.softmax(self.logits, -1)

            def entropy(self) -> Any:
                if self.mask is None:
                    return super().entropy()
                terms = self.logits * self.probs
                return -terms.where(self.mask, torch.zeros_like(terms)).sum(-1)

        return Policy

    ours, peer = policy(Categorical)(X), policy(Peer)(X)
    assert_same(ours, peer)
    for mask in (MASK, ~MASK, None):
        ours.apply(mask)
        peer.apply(mask)
        assert_same(ours, peer)
        assert_draws(ours, ours.probs)


def test_initialising_again_forgets_everything() -> None:
    dist = Categorical(X)
    for name in MEMBERS:
        read(dist, name)
    dist.probs = X.flip(-1)
    dist.__init__(logits=-X)  # type: ignore[misc]
    assert_same(dist, Peer(logits=-X))
    assert not dist._overridden
    assert_draws(dist, torch.softmax(-X, -1))


def test_the_policy_that_masks_before() -> None:
    """It also sets `device` itself, as no other attribute of PyTorch's class has that name."""

    class Policy(Categorical):
        def __init__(self, probs: Any = None, logits: Any = None, masks: Any = None) -> None:
            self.device = torch.device("cpu", 0)
            self.dtype = torch.int32
            self.masks = masks
            super().__init__(probs, torch.where(masks, logits, torch.tensor(-1e8)), None)

        def entropy(self) -> Any:
            terms = self.logits * self.probs
            return -torch.where(self.masks, terms, torch.tensor(0.0)).sum(-1)

    dist, alone = Policy(logits=X, masks=MASK), Peer(logits=X.masked_fill(~MASK, -torch.inf))
    assert dist.device == torch.device("cpu", 0)
    assert dist.dtype == torch.int32
    torch.testing.assert_close(dist.entropy(), alone.entropy())
    torch.testing.assert_close(dist.perplexity(), alone.perplexity())
    assert MASK.gather(-1, dist.sample((100,)).T).all()


def test_methods_in_the_place_of_properties() -> None:
    class Fixed(Categorical):
        def sample(self) -> Any:
            return super().sample().unsqueeze(-1)

        def log_probs(self, actions: Any) -> Any:
            return super().log_prob(actions.squeeze(-1)).unsqueeze(-1)

        def mode(self) -> Any:
            return self.probs.argmax(dim=-1, keepdim=True)

        @property
        def mean(self) -> Any:
            return self.probs @ torch.arange(4.0).double()

    dist = Fixed(logits=X)
    assert dist.sample().shape == dist.log_probs(dist.sample()).shape == dist.mode().shape == (2, 1)
    assert dist.mean.shape == (2,)
    assert dist.stddev.isnan().all()


def test_a_sample_with_the_signature_of_pytorch() -> None:
    """Options reach it only if they are given."""

    class Narrow(Categorical):
        def sample(self, sample_shape: Any = ()) -> Any:
            return super().sample(sample_shape)

    torch.manual_seed(0)
    draws, log_prob = Narrow(X).sample_and_log_prob((5,))
    torch.manual_seed(0)
    assert torch.equal(draws, Categorical(X).sample((5,)))
    assert torch.equal(log_prob, Categorical(X).log_prob(draws))
    with pytest.raises(TypeError, match="start"):
        Narrow(X).sample_and_log_prob((5,), start=1)


def test_other_base_classes_are_initialised() -> None:
    class Mixin:
        def __init__(self) -> None:
            self.extra = 1

    class Both(Categorical, Mixin):
        pass

    assert Both(X).extra == 1


# --- `probs` and `logits` that a subclass defines, or that are assigned


def subclass(base: Any, name: str, decorate: Any) -> Any:
    """Return a class that masks a parameter: by PyTorch's own value if it is lazy, as that is."""

    def masked(dist: Any) -> Any:
        if decorate is lazy:
            return getattr(super(cls, dist), name).masked_fill(~MASK, LEAST[name])
        if name == "probs":
            return dist.logits.masked_fill(~MASK, -1e8).softmax(-1)
        return dist.probs.log().masked_fill(~MASK, -1e8)

    masked.__name__ = name
    cls = type("Masked", (base,), {name: decorate(masked)})
    return cls


LEAST = {"probs": 0.0, "logits": -1e8}
lazy = torch.distributions.utils.lazy_property
DEFINITIONS = [
    (form, name, decorate)
    for form in FORMS
    for name in FORMS
    for decorate in (property, lazy)
    if decorate is lazy or form != name  # PyTorch assigns the one that is given
]


@pytest.mark.parametrize(("form", "name", "decorate"), DEFINITIONS)
def test_a_subclass_defines_one(form: str, name: str, decorate: Any) -> None:
    ours = subclass(Categorical, name, decorate)(**{form: X})
    peer = subclass(Peer, name, decorate)(**{form: X})
    assert_same(ours, peer)
    assert_draws(ours, peer.probs)
    for again in (copy.copy(ours), pickle_by_value(ours)):
        assert_same(again, peer)
        assert_draws(again, peer.probs)
    kl = torch.distributions.kl_divergence
    torch.testing.assert_close(kl(ours, Categorical(X)), kl(peer, Peer(X)))
    torch.testing.assert_close(kl(Categorical(X), ours), kl(Peer(X), peer))


def pickle_by_value(dist: Any) -> Any:
    """Do what pickle does, for a class that it cannot find by name."""
    function, args, state, *_ = dist.__reduce_ex__(pickle.DEFAULT_PROTOCOL)
    new = function(*args)
    new.__setstate__(state)
    return new


RESULTS: dict[str, Callable[[Any], Any]] = {
    "log_prob": lambda d: d.log_prob(torch.tensor([0, 1])),
    "log_prob of many": lambda d: d.log_prob(torch.tensor([[2], [1]])),
    "entropy": lambda d: d.entropy(),
    "perplexity": lambda d: d.perplexity(),
    "kl_divergence": lambda d: torch.distributions.kl_divergence(d, type(d)(torch.ones(2, 3))),
    "its reverse": lambda d: torch.distributions.kl_divergence(type(d)(torch.ones(2, 3)), d),
    "all": lambda d: d.log_prob(torch.tensor(1)) + d.entropy() + (d.probs * d.logits).sum(-1),
}


@each_form
@pytest.mark.parametrize("read", ["probs", "logits"])
@pytest.mark.parametrize("result", RESULTS)
def test_gradients_by_what_has_been_read(form: str, read: str, result: str) -> None:
    """As in PyTorch, results follow from `probs` and `logits`, which may be differentiated by."""
    found = []
    for cls in (Categorical, Peer):
        x = torch.tensor([[0.5, 1.5, 1.0], [2.0, 0.25, 1.0]], dtype=torch.float64)
        x.requires_grad_()
        dist = cls(**{form: x})
        y = getattr(dist, read)
        y.retain_grad()
        total = RESULTS[result](dist).sum()
        total.backward()
        found.append((total.detach(), x.grad, torch.zeros(2, 3) if y.grad is None else y.grad))
    for ours, expected in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected, check_dtype=False)


@each_form
def test_an_infinite_divergence_has_the_gradient_of_its_finite_terms(form: str) -> None:
    """The logit that a mask has removed gets none."""
    found = []
    for cls in (Categorical, Peer):
        x = torch.tensor([0.5, 1.5, 1.0], dtype=torch.float64, requires_grad=True)
        y = x.masked_fill(torch.tensor([False, False, True]), 0 if form == "probs" else -torch.inf)
        z = torch.tensor([0.5, 1.0, 1.5], dtype=torch.float64, requires_grad=True)
        p, q = cls(z), cls(**{form: y})
        divergence = torch.distributions.kl_divergence(p, q)
        assert divergence == torch.inf
        found.append(torch.autograd.grad(divergence, (x, z)))
    (by_q, by_p), expected = found
    torch.testing.assert_close(by_q, expected[0])
    if form == "probs":  # else that of PyTorch's class is NaN
        torch.testing.assert_close(by_p, expected[1])
    assert by_p.isfinite().all()


@pytest.mark.parametrize("clamp", [False, True])
@pytest.mark.parametrize("read", [[], ["probs"], ["logits"]])
def test_what_has_been_read_changes_no_value(clamp: bool, read: list[str]) -> None:
    """Zeros are not clamped in entropies, and give no NaN in gradients."""
    x = torch.tensor([[0.0, 1.0, 0.0], [0.0, 3.0, 1.0]], requires_grad=True)
    dist = Categorical(x, clamp_probs=clamp)
    for name in read:
        assert getattr(dist, name).requires_grad
    with torch.no_grad():
        fresh = Categorical(x.detach(), clamp_probs=clamp)
    for function in RESULTS.values():
        torch.testing.assert_close(function(dist).detach(), function(fresh), equal_nan=True)
    assert dist.entropy()[0] == 0
    (dist.entropy().sum() + dist.log_prob(torch.tensor(1)).sum()).backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@each_form
def test_a_property_hides_what_is_given_as_in_pytorch(form: str) -> None:
    for base in (Categorical, Peer):
        with pytest.raises(AttributeError, match=form):
            subclass(base, form, property)(**{form: X})


def test_a_subclass_of_a_subclass_that_defines_one() -> None:
    class Own(subclass(Categorical, "logits", property)):  # type: ignore[misc]
        pass

    assert_same(Own(X), subclass(Peer, "logits", property)(X))


@pytest.mark.parametrize("name", FORMS)
@each_form
def test_assignments(form: str, name: str) -> None:
    ours, peer, base = Categorical(**{form: X}), Peer(**{form: X}), Peer(X.flip(-1))
    for dist in (ours, peer):
        setattr(dist, name, getattr(base, name))
    assert_same(ours, peer)
    assert_draws(ours, peer.probs)
    torch.testing.assert_close(
        ours.prob(VALUE), peer.probs.expand(3, 2, 4).gather(-1, VALUE[..., None])[..., 0]
    )
    torch.testing.assert_close(ours.cdf(torch.tensor(1)), peer.probs[:, :2].sum(-1))
    assert torch.equal(ours.icdf(torch.tensor(0.5)), anycat.Categorical(peer.probs).icdf(0.5))
    assert_draws(ours[1], peer.probs[1])
    kl = torch.distributions.kl_divergence
    torch.testing.assert_close(kl(ours, Categorical(X)), kl(peer, Peer(X)))


@pytest.mark.parametrize("name", FORMS)
def test_copies_keep_assignments(name: str) -> None:
    ours, peer, base = Categorical(X), Peer(X), Peer(X.flip(-1))
    for dist in (ours, peer):
        setattr(dist, name, getattr(base, name))
    for new in (copy.copy(ours), copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        assert_same(new, peer)
        assert_draws(new, peer.probs)
    assert_same(ours.expand((3, 2)), peer.expand((3, 2)))
    filled = ours.expand((3, 2), _instance=Categorical.__new__(Categorical))
    assert_same(filled, peer.expand((3, 2)))
    assert_draws(filled, peer.expand((3, 2)).probs)


def test_an_assignment_concerns_no_other() -> None:
    first, second = Categorical(X), Categorical(X)
    first.probs = X.flip(-1)
    assert_same(second, Peer(X))
    assert_same(first[0:2], Peer(X.flip(-1)))


def test_deletions() -> None:
    dist = Categorical(X)
    dist.probs = X.flip(-1)
    del dist.probs
    assert_same(dist, Peer(X))


def test_assignments_are_checked_as_parameters_are() -> None:
    for dist, expected in ((Categorical(X), None), (Categorical(X, validate_args=False), [-1, -1])):
        dist.probs = -X
        if expected:
            assert dist.sample().tolist() == expected
        else:
            with pytest.raises(ValueError, match="probs"):
                dist.sample()


def test_meta_tensors_have_shapes() -> None:
    dist = Categorical(torch.empty(2, 3, device="meta"))
    assert dist.batch_shape == (2,)
    assert dist.entropy().shape == (2,)


def test_the_help() -> None:
    shown = pydoc.render_doc(Categorical, renderer=pydoc.plaintext)
    assert "device = <property: Device of the parameter.>" in shown
    assert "hidden object" not in shown
    assert Categorical.variance.__doc__ == anycat.Categorical.variance.__doc__
