"""A drop-in replacement for `torch.distributions.Categorical`."""

from __future__ import annotations

import contextlib
from functools import wraps
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from torch.distributions import Categorical as TorchCategorical
from torch.distributions import Distribution, kl, register_kl
from torch.distributions.utils import logits_to_probs, probs_to_logits

from . import _arguments, _display, _keywords, categorical
from ._backends import registry
from ._backends.torch_memory import FLOATS, is_compiling
from ._messages import shown, type_name
from ._parameters import FORMS, LOGITS, PROBS, clamped_log, entropy
from .categorical import cached_parameter

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self, Unpack

    from ._typing import Nothing, Numbers, Shape

__all__ = ["Categorical"]

T = TypeVar("T")

# Functions, because PyTorch cannot compile properties of ``super()``.
Base: Any = categorical.Categorical
_base_own, _base_mode = Base._own.fget, Base.mode.fget


class parameter(cached_parameter[T]):
    """`probs` or `logits`, to which PyTorch's users may assign."""

    def __set__(self, dist: Any, value: Any) -> None:  # type: ignore[override]
        vars(dist)[self.attrname] = value
        dist._overridden = True

    def __delete__(self, dist: Any) -> None:  # type: ignore[override]
        vars(dist).pop(self.attrname, None)


class watched:
    """A parameter that is not copied, and so must not change; a copy is an attribute instead."""

    def __get__(self, dist: Any, owner: Any = None) -> Any:
        if dist is None:
            return self
        x, version = dist._cache["watched"]
        if not is_compiling() and x._version != version:
            name = dist._form.name
            raise RuntimeError(
                f"{name} were modified in place after the distribution was made: give it "
                f"{name}.clone() instead"
            )
        return x


class hidden(Generic[T]):
    """A property that PyTorch's class lacks; an attribute of the object may hide it."""

    def __init__(self, member: Any) -> None:
        self.function = member.fget
        self.__doc__ = member.__doc__

    def __get__(self, dist: Any, owner: Any = None) -> T:
        return self if dist is None else self.function(dist)  # type: ignore[return-value]

    def __repr__(self) -> str:  # as `help` shows it
        return f"<property: {self.__doc__}>"


def _choose_divergence(cls: type) -> None:
    """Let PyTorch choose its `kl_divergence` for a class now: its compiler cannot."""
    with contextlib.suppress(AttributeError):
        for pair in ((cls, cls), (cls, TorchCategorical), (TorchCategorical, cls)):
            kl._KL_MEMOIZE.update({pair: kl._dispatch_kl(*pair)})


def _of_drawn(method: Any, draws: bool = False) -> Any:
    """Return a method that follows the probabilities as they are now."""

    @wraps(method)
    def followed(dist: Any, *args: Any, **options: Any) -> Any:
        if dist._differs:
            dist = dist._drawn
        if draws and dist._checks_draws:
            dist._check_rows()
        return method(dist, *args, **options)

    return followed


class Categorical(categorical.Categorical[torch.Tensor], TorchCategorical):  # type: ignore[misc]
    """`anycat.Categorical` as a `torch.distributions.Categorical`.

    This class is a drop-in replacement for PyTorch's own class, for example in
    `torch.distributions.MixtureSameFamily`, `torch.distributions.Independent` and
    `torch.distributions.kl_divergence`, and as a base class. Draws, values and gradients are those
    of `anycat.Categorical`.

    Parameters
    ----------
    probs : tensor of shape (..., K), optional
        Probabilities, or weights that need not sum to one. Numbers, lists and NumPy arrays become
        tensors.
    logits : tensor of shape (..., K), optional
        Log-probabilities in nats, up to an additive constant per row.
    validate_args : bool, optional
        Whether to check the values of parameters and arguments. The default, None, means the
        setting of `torch.distributions.Distribution.set_default_validate_args`. If that is False,
        draws from invalid rows raise an error, as in PyTorch, and so does `log_prob` of values that
        are no category. With ``validate_args=False``, they are -1 and ``-inf``.
    clamp_probs : bool, default True
        Whether to clamp probabilities before taking their logarithm, as PyTorch does.

    Raises
    ------
    TypeError
        If the parameter does not consist of real numbers.
    ValueError
        If ``probs`` and ``logits`` are both given or both missing, if there are no categories, or
        if a row is invalid.

    Notes
    -----
    The distribution has a copy of its parameter, unless this has more than 32,768 elements, and is
    neither a parameter of a model nor a part of a larger tensor. Then it shares memory, and raises
    an error if PyTorch has counted a change in place. It counts none through ``parameter.data``:
    pass ``parameter.detach()``.

    Once `probs` or `logits` have been read with a gradient, `log_prob`, `entropy` and
    `torch.distributions.kl_divergence` are computed from them, so that they have gradients by them.

    As in PyTorch, a subclass may define `probs` or `logits`, and they may be assigned. Then draws,
    `prob`, `cdf` and `icdf` follow `probs`, and PyTorch's own code computes `log_prob`, `entropy`
    and `mode`. `truncate` follows `probs` too.

    Examples
    --------
    >>> import torch
    >>> from anycat.torch import Categorical
    >>> dist = Categorical(logits=torch.zeros(2, 3))
    >>> isinstance(dist, torch.distributions.Categorical)
    True
    >>> dist.batch_shape, dist.support
    (torch.Size([2]), IntegerInterval(lower_bound=0, upper_bound=2))
    >>> normal = torch.distributions.Normal(torch.zeros(2, 3), 1.0)
    >>> torch.distributions.MixtureSameFamily(dist, normal).sample((4,)).shape
    torch.Size([4, 2])
    """

    _overridden = False
    """Whether `probs` or `logits` may differ from those of the parameter."""

    _checks_draws = False
    """Whether only draws check the rows, as in PyTorch with its checks turned off."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._overridden = any(map(cls._redefines, FORMS))
        _choose_divergence(cls)

    @classmethod
    def _redefines(cls, name: str) -> bool:
        return getattr(cls, name) is not getattr(Categorical, name)

    @_keywords.hide_unknown
    def __init__(
        self,
        probs: Numbers | None = None,
        logits: Numbers | None = None,
        validate_args: bool | None = None,
        *,
        clamp_probs: bool = True,
        **unknown: Unpack[Nothing],
    ) -> None:
        if unknown:
            _keywords.report_unknown(Categorical, unknown)
        for name in ("_overridden", "_checks_draws"):
            if name in self.__dict__:  # it is initialised again
                delattr(self, name)
        if validate_args is None:
            validate_args = bool(self._validate_args)
            if not validate_args:
                self._checks_draws = True
        probs, logits = _as_tensor("probs", probs), _as_tensor("logits", logits)
        super().__init__(probs, logits, validate_args, clamp_probs=clamp_probs)  # type: ignore[call-overload]
        if self._checks_draws and self._small is not None:  # then draws need not check them again
            rest = self._num_events, self._form is LOGITS, self._cache
            self._rows_validated = self._backend.cpu.small.rows_valid(self._small, *rest)
        if _is_shared(self._param):
            self._watch()
        else:
            self._param = _copy(self._param)
        given = self._form.name
        if self._overridden and self._redefines(given):  # PyTorch assigns it, and so hides that
            setattr(self, given, getattr(Categorical, given).func(self))
        super(Distribution, self).__init__()  # type: ignore[call-overload]  # as PyTorch does

    # --- as PyTorch has it ----------------------------------------------------------------------

    event_shape = TorchCategorical.event_shape
    _event_shape = torch.Size()
    support = TorchCategorical.support
    variance = property(TorchCategorical.variance.fget, doc=Base.variance.__doc__)  # of any mean
    perplexity = TorchCategorical.perplexity  # of the entropy that a subclass defines

    device = hidden[torch.device](Base.device)
    dtype = hidden[torch.dtype](Base.dtype)
    num_categories = hidden[int](Base.num_categories)
    _num_events = num_categories

    @property
    def batch_shape(self) -> torch.Size:
        """Shape of the batch of distributions."""
        return torch.Size(self._batch_shape)

    @property
    def param_shape(self) -> torch.Size:
        """Shape of `probs` and `logits`: ``batch_shape + (num_categories,)``."""
        return torch.Size((*self._batch_shape, self._num_events))

    @property
    def _validate(self) -> bool:
        return self._validate_args

    @_validate.setter
    def _validate(self, validate: bool) -> None:
        self._validate_args = validate

    def expand(self, batch_shape: Shape, _instance: Any = None) -> Self:
        """Return the distribution with its batch broadcast to a larger shape; nothing is copied.

        Parameters
        ----------
        batch_shape : int or tuple of ints
            New batch shape. The current `batch_shape` must broadcast to it.

        Returns
        -------
        Categorical
        """
        new = super().expand(batch_shape)
        if _instance is None:
            return new
        if not isinstance(_instance, Categorical):
            raise TypeError(
                f"expand takes one shape, as in expand((2, 3)); got {shown(_instance)} as well"
            )
        # PyTorch's subclasses pass an object to fill, whose own attributes are kept.
        _instance.__dict__ = {**vars(new), **_instance._own}
        return _instance

    # --- parameters that a subclass defines, or that are assigned -------------------------------

    @parameter
    def probs(self) -> torch.Tensor:
        """Normalised probabilities, of shape `param_shape`."""
        if self._form is LOGITS and (self._differs or self._is_tracked):
            return logits_to_probs(self.logits)
        return Base.probs.func(self)

    @parameter
    def logits(self) -> torch.Tensor:
        """Normalised log-probabilities in nats, of shape `param_shape`."""
        if self._form is PROBS and self._differs:
            return probs_to_logits(self.probs)
        if self._form is PROBS and self._is_tracked:
            return self._log_of_probs(self.probs)
        return Base.logits.func(self)

    @property
    def _differs(self) -> bool:
        """Whether `probs` or `logits` may differ from those of the parameter.

        They do if a subclass defines them, or they have been assigned, or changed in place.
        """
        if not self._overridden and _are_changed(vars(self)):
            self._overridden = True
        return self._overridden

    @property
    def _is_tracked(self) -> bool:
        """Whether results have gradients, and can be kept and used for others without a loss."""
        x = self._param
        tracked = x.requires_grad and torch.is_grad_enabled() and x.dtype in FLOATS
        return tracked and self._backend.can_cache(x, x)

    @property
    def _follows(self) -> bool:
        """Whether `probs` or `logits` have been read, and have gradients.

        Then other results follow from them, so that they can be differentiated by them.
        """
        x = vars(self).get(self._form.name)
        return x is not None and x.requires_grad and torch.is_grad_enabled() and x.dtype in FLOATS

    def _log_of_probs(self, p: torch.Tensor) -> torch.Tensor:
        eps = self._clamp_eps
        return _exact_log(p) if eps is None else clamped_log(self._xp, p, eps)

    @property
    def _own(self) -> dict[str, Any]:
        names = FORMS if self._differs else ()
        given = {name: vars(self)[name] for name in names if name in vars(self)}
        return {**_base_own(self), **given}

    @property
    def _drawn(self) -> Categorical:
        """The distribution of the draws, by the probabilities as they are now."""
        return self._made_of(probs=self.probs)

    def _made_of(self, **param: torch.Tensor) -> Categorical:
        validate = None if self._checks_draws else self._validate_args
        return Categorical(**param, validate_args=validate)

    _param = watched()

    def _watch(self) -> None:
        """Raise an error from now on if the parameter has changed and its changes are counted."""
        if not self._param.is_inference():
            x = self.__dict__.pop("_param")
            self._cache["watched"] = x, x._version

    def _with_params(self, *args: Any) -> Self:
        new = super()._with_params(*args)
        if "_param" not in vars(self):
            new._watch()
        return new

    def _check_rows(self) -> None:
        if not self._rows_validated:
            self._backend.validate_rows(self._form.name, self._param, self._cache)
            self._rows_validated = not self._backend.is_traced(self._param)

    def __repr__(self) -> str:
        return _display.text(self, numbers=not self._differs)

    def _repr_html_(self) -> str:
        return _display.html(self, numbers=not self._differs)

    def __getitem__(self, index: Any) -> Self:
        return self._drawn[index] if self._differs else super().__getitem__(index)

    if not TYPE_CHECKING:  # the types of these are those of the base class
        sample, sample_counts = _of_drawn(Base.sample, True), _of_drawn(Base.sample_counts, True)
        prob, cdf, icdf = map(_of_drawn, (Base.prob, Base.cdf, Base.icdf))

        @wraps(Base.truncate)
        def truncate(self, **limits: Any) -> Categorical:
            """Remove categories: see `anycat.Categorical.truncate`."""
            if not self._differs:
                return super().truncate(**limits)
            dist = self._drawn
            if self._form is LOGITS and limits.get("temperature") is not None:
                dist = self._made_of(logits=_exact_log(dist._param))
            return dist.truncate(**limits)

    def log_prob(self, value: Numbers) -> torch.Tensor:
        """Return the log-probability of categories: see `anycat.Categorical.log_prob`."""
        if self._differs:
            return TorchCategorical.log_prob(self, value)
        if self._follows:
            return self._at("value", value, self._log_prob_at)
        return super().log_prob(value)

    def _checks_now(self, name: str, x: torch.Tensor) -> bool:
        # Without its checks, too, PyTorch's class raises an error for values that are no category.
        if name == "value" and self._checks_draws and self._backend.has_values(x):
            return True
        return super()._checks_now(name, x)

    def _look_up(self, index: torch.Tensor, log: bool) -> Any:
        return None if self._follows else super()._look_up(index, log)

    def _gather_and_normalize(self, index: torch.Tensor, log: bool) -> torch.Tensor:
        if not self._follows:
            return super()._gather_and_normalize(index, log)
        if log and "logits" in vars(self):
            return self._backend.gather(self.logits, index)
        p = self._to_compute_dtype(self._backend.gather(self.probs, index))
        return self._log_of_probs(p) if log else p

    def entropy(self) -> torch.Tensor:
        """Return the entropy of each distribution, in nats."""
        if self._differs:
            return TorchCategorical.entropy(self)
        if self._follows:
            return self._to_dtype(entropy(self._xp, *self._exact()))
        return super().entropy()

    @property
    def mode(self) -> torch.Tensor:
        """Most probable category of each distribution."""
        return self.probs.argmax(-1) if self._differs else _base_mode(self)

    def _exact(self) -> tuple[Any, Any]:
        if not (self._differs or self._follows):
            return super()._exact()
        probs = self._to_compute_dtype(self.probs)
        if self._differs or self._form is LOGITS:
            logits = self._to_compute_dtype(self.logits)
            return probs, logits.masked_fill(probs == 0, -torch.inf)
        if "logits" not in vars(self):
            return probs, _exact_log(probs)
        change = self.logits - self.logits.detach()  # none, but it has the gradient
        return probs, probs.detach().log() + change.masked_fill(probs == 0, 0)  # never clamped


def _are_changed(own: Mapping[str, Any]) -> bool:
    """Tell whether `probs` or `logits` have been changed in place since they were computed."""
    if "probs" not in own and "logits" not in own:  # as in most steps of a policy
        return False
    kept = (own[name] for name in FORMS if name in own)
    return not is_compiling() and any(x._version for x in kept if not x.is_inference())


def _exact_log(p: torch.Tensor) -> torch.Tensor:
    """Return log(p), -inf for 0, where the gradient is 0."""
    zero = p == 0
    return p.masked_fill(zero, 1).log().masked_fill(zero, -torch.inf)


registry.register(Categorical)
register_kl(Categorical, Categorical)(categorical.kl_divergence)
_choose_divergence(Categorical)


_MOST_COPIED = 2**15  # elements, 128 KB of float32: larger blocks of memory take longer to get


def _is_shared(x: torch.Tensor) -> bool:
    """Tell whether a tensor is not copied, because that would take as long as draws do.

    Under a compiler, which may not know the size, a copy need not take any time.
    """
    n = 0 if is_compiling() else x.numel()
    return type(n) is int and n > _MOST_COPIED and not _is_trained(x) and _has_own_memory(x)


def _has_own_memory(x: torch.Tensor) -> bool:
    """Tell whether PyTorch counts all changes of a tensor, and no others.

    It counts none by NumPy or by another process, and those of any part of the memory together.
    """
    try:
        storage = x.untyped_storage()
    except (NotImplementedError, RuntimeError):  # it has none, or is transformed
        return True
    if storage.nbytes() > x.nbytes:
        return False
    return not x.is_cpu or (storage.resizable() and not storage.is_shared())


def _is_trained(x: torch.Tensor) -> bool:
    """Tell whether a tensor is a parameter of a model, or a view of one."""
    owner = x if x._base is None else x._base
    return bool(owner.requires_grad and owner.is_leaf)


def _copy(x: torch.Tensor) -> torch.Tensor:
    """Return a copy, as PyTorch's class makes one."""
    if x.requires_grad and _is_trained(x):
        # As in PyTorch, a second backward call through the copy raises an error: clone() would have
        # nothing for which it could tell.
        return x.masked_fill(x.new_zeros((), dtype=torch.bool), 0)
    return x.clone()


def _as_tensor(name: str, x: Any) -> Any:
    if x is None or isinstance(x, torch.Tensor):
        return x
    backend = registry.find_backend(x)
    if backend is registry.default():  # NumPy
        x = torch.tensor(x)  # a copy, because PyTorch would warn of read-only memory
    elif backend is not None or hasattr(type(x), "__array__"):
        raise TypeError(
            f"{name} must be a tensor, a NumPy array or a list of numbers; got "
            f"{type_name(x)}: convert it first"
        )
    return _arguments.as_array(name, x, torch.empty(0)).to(torch.asarray(x).dtype)
