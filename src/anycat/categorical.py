"""The categorical distribution."""

from __future__ import annotations

import math
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from . import (
    _arguments,
    _display,
    _keywords,
    _parameters,
    _pickling,
    _shapes,
    _truncation,
    _validation,
)
from ._backends import registry
from ._backends.base import cached, is_number
from ._kernels.layout import COUNTS, DISTINCT, SAMPLE, Block
from ._parameters import LOGITS, PROBS
from ._random import RandomBits, RowSeeds
from ._typing import ArrayT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import ClassVar, Never, NoReturn, Self, SupportsIndex, Unpack

    from matplotlib.axes import Axes

    from ._backends.base import Backend, Traits
    from ._parameters import Array, Form, Namespace, Normalizer
    from ._typing import (
        RNG,
        Draws,
        FloatList,
        FloatT,
        IntDType,
        Integers,
        IntegersOrNone,
        Nothing,
        Numbers,
        NumbersOrNone,
        NumPyArray,
        NumPyFloat64,
        NumPyFloats,
        NumPyInt64,
        NumPyT,
        Options,
        Shape,
        Source,
        ToNumPy,
    )

    Method = TypeVar("Method", bound=Callable[..., Any])

    # For type checkers, the first of several signatures that are alike may take `Never`: it is
    # chosen for an array of unknown type, Any, and the result is Any too.

T = TypeVar("T")


class cached_parameter(cached_property[T]):
    """A read-only cached property that does not cache values such as tracers."""

    @overload
    def __get__(self, dist: None, owner: Any = None) -> Self: ...
    @overload
    def __get__(self, dist: object, owner: Any = None) -> T: ...
    def __get__(self, dist: Any, owner: Any = None) -> Any:
        if dist is None:
            return self
        known = dist.__dict__
        if self.attrname in known:
            return known[self.attrname]
        value = self.func(dist)
        if dist._backend.can_cache(value, dist._param):
            vars(dist)[self.attrname] = value
        return value

    def __set__(self, dist: Any, value: Any) -> NoReturn:
        drop_in = dist._backend.library.drop_in
        hint = f", or use {drop_in}" if drop_in else ""
        raise AttributeError(f"{self.attrname} is read-only: make a new distribution instead{hint}")

    def __delete__(self, dist: Any) -> NoReturn:
        self.__set__(dist, None)


if TYPE_CHECKING:

    class index_property:
        """A property whose value is an array of categories."""

        def __init__(self, fget: Callable[[Any], Any]) -> None: ...
        @overload
        def __get__(self, dist: None, owner: Any = None) -> Self: ...
        @overload
        def __get__(self, dist: Categorical[Never], owner: Any = None) -> Any: ...
        @overload
        def __get__(self, dist: Categorical[NumPyArray], owner: Any = None) -> NumPyInt64: ...
        @overload
        def __get__(self, dist: Categorical[ArrayT], owner: Any = None) -> ArrayT: ...
        def __get__(self, dist: Any, owner: Any = None) -> Any: ...

else:
    index_property = property


def rowwise(method: Method) -> Method:
    """Mark a method that does the same to each row, so that a backend may map it over blocks.

    Its arguments are arrays that belong to the batch, or other distributions. It computes without
    warnings of overflow and the like: its results are defined for all parameters.
    """

    @wraps(method)
    def mapped(dist: Categorical, *args: Any) -> Array:
        with dist._backend.errstate():
            return dist._backend.map_rows(method, dist, *args)

    return mapped  # type: ignore[return-value]


class Categorical(Generic[ArrayT]):
    """Categorical distributions over 0 to K - 1, one for each row of an array.

    Parameters
    ----------
    probs : array of shape (..., K), optional
        Probabilities, or weights that need not sum to one. They must be real, finite and
        non-negative, with a positive and finite sum in each row. For integers and booleans, results
        have the library's default floating-point dtype. Lists become NumPy arrays.
    logits : array of shape (..., K), optional
        Log-probabilities in nats, up to an additive constant per row. They must be less than
        infinity. ``-inf`` is a probability of zero; a row must not consist of ``-inf`` only.
    validate_args : bool, optional
        Whether to check the values of parameters and arguments. The default, None, means True, or
        False under ``python -O``. Without these checks, draws, counts, modes and quantiles of
        invalid rows are -1, and all other results for them are NaN. Values that JAX traces are
        never checked; constants in the traced function are. In functions that PyTorch compiles,
        exports or maps, tensors on the CPU are checked when the function runs.
    clamp_probs : bool, default True
        Whether to clamp probabilities to ``[eps, 1 - eps]`` before taking their logarithm, as
        PyTorch does. ``eps`` is the machine epsilon of the dtype, or of float32 for narrower
        dtypes. So `logits` and `log_prob` are at least log(eps): about -15.94, or -36.04 in
        float64. If False, they are ``-inf`` for a probability of zero. Has no effect if ``logits``
        are given.

    Raises
    ------
    TypeError
        If the parameter is not an array or list of real numbers.
    ValueError
        If ``probs`` and ``logits`` are both given or both missing, if there are no categories, or
        if a row is invalid; the message names the position of the first invalid value or row.

    Notes
    -----
    The distribution shares memory with its parameter, like `numpy.asarray`; do not modify the
    parameter. Parameters are normalised only when needed, for example by `probs` or `log_prob`.
    Draws never depend on the rounding of normalised values.

    Objects of a subclass keep their attributes when they are expanded, indexed, copied, pickled, or
    flattened by JAX, which treats the attributes as static data.

    Examples
    --------
    >>> from anycat import Categorical
    >>> dist = Categorical([[0.25, 0.25, 0.25, 0.25], [0.33, 0.33, 0.33, 0.01]])
    >>> dist.batch_shape
    (2,)
    >>> dist.logits.round(4)
    array([[-1.3863, -1.3863, -1.3863, -1.3863],
           [-1.1087, -1.1087, -1.1087, -4.6052]])
    >>> dist.sample((3,), rng=0).shape
    (3, 2)
    """

    # What `_set` sets.
    _form: Form
    _param: Array
    _batch_shape: tuple[int, ...]
    _validate: bool
    _clamp_probs: bool
    _rows_validated: bool
    _cache: dict[str, Any]
    _backend: Backend
    _small: Array | None

    _known: ClassVar[frozenset[str]]
    """The names of what `_set` sets, and of cached properties."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._known = _derived(cls) | _SET

    @overload
    def __init__(
        self: Categorical[Any], probs: Never, logits: None = None, **options: Unpack[Options]
    ) -> None: ...
    @overload
    def __init__(
        self: Categorical[NumPyFloats[FloatT]],
        probs: NumPyFloats[FloatT],
        logits: None = None,
        **options: Unpack[Options],
    ) -> None: ...
    @overload
    def __init__(
        self: Categorical[NumPyFloat64],
        probs: FloatList,
        logits: None = None,
        **options: Unpack[Options],
    ) -> None: ...
    @overload
    def __init__(
        self: Categorical[NumPyArray],
        probs: ToNumPy,
        logits: None = None,
        **options: Unpack[Options],
    ) -> None: ...
    @overload
    def __init__(self, probs: ArrayT, logits: None = None, **options: Unpack[Options]) -> None: ...
    @overload
    def __init__(
        self: Categorical[Any], probs: None = None, *, logits: Never, **options: Unpack[Options]
    ) -> None: ...
    @overload
    def __init__(
        self: Categorical[NumPyFloats[FloatT]],
        probs: None = None,
        *,
        logits: NumPyFloats[FloatT],
        **options: Unpack[Options],
    ) -> None: ...
    @overload
    def __init__(
        self: Categorical[NumPyFloat64],
        probs: None = None,
        *,
        logits: FloatList,
        **options: Unpack[Options],
    ) -> None: ...
    @overload
    def __init__(
        self: Categorical[NumPyArray],
        probs: None = None,
        *,
        logits: ToNumPy,
        **options: Unpack[Options],
    ) -> None: ...
    @overload
    def __init__(
        self, probs: None = None, *, logits: ArrayT, **options: Unpack[Options]
    ) -> None: ...
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
        if (probs is None) == (logits is None):
            got = "neither" if probs is None else "both (a second argument by position is logits)"
            raise ValueError(f"give either probs or logits; got {got}")
        param: Any
        form, param = (PROBS, probs) if logits is None else (LOGITS, logits)
        validate = __debug__ if validate_args is None else validate_args
        if validate is not True or clamp_probs is not True:
            validate = _arguments.as_bool("validate_args", validate)
            clamp_probs = _arguments.as_bool("clamp_probs", clamp_probs)
        cache: dict[str, Any] = {}
        backend = registry.find_backend(param)
        if backend is None:
            param = _arguments.as_array(form.name, param)
            backend = registry.backend_of(param)
        small, valid = backend.small(param), False
        if small is None:
            _arguments.as_array(form.name, param)
            _shapes.check_parameters(form.name, param)
        elif validate:
            valid = backend.cpu.small.rows_valid(small, param.shape[-1], form is LOGITS, cache)
        if validate and not valid:
            param = backend.validate_rows(form.name, param, cache)
            valid = not backend.is_traced(param)
        batch = tuple(param.shape[:-1])
        self._set(form, param, batch, validate, clamp_probs, valid, cache, backend, small)

    def _set(
        self,
        form: Form,
        param: Array,
        batch_shape: tuple[int, ...],
        validate: bool,
        clamp_probs: bool,
        rows_validated: bool,
        cache: dict[str, Any] | None = None,
        backend: Backend | None = None,
        small: Array | None = None,
    ) -> Self:
        """Set the attributes from which all others are derived.

        The batch of ``param`` broadcasts to ``batch_shape``. ``rows_validated`` tells that no row
        is invalid, and ``cache`` belongs to the kernels. The last two are looked up if not given.
        """
        if hasattr(self, "_form"):  # it is initialised again: forget what was cached
            self.__dict__ = self._own
        if backend is None:
            backend = registry.find_backend(param)
            # The leaf of a pytree need not be an array: see `_unflatten`.
            if backend is not None and _batch_of(param) == batch_shape:
                small = backend.small(param)
        self._form = form
        self._param = param
        self._batch_shape = batch_shape
        self._validate = validate
        self._clamp_probs = clamp_probs and form is PROBS  # pytrees of logits look the same
        self._rows_validated = rows_validated
        self._cache = {} if cache is None else cache
        self._backend = backend  # type: ignore[assignment]
        self._small = small
        registry.register(type(self))
        return self

    @property
    def _xp(self) -> Namespace:
        return self._backend.xp

    @property
    def _traits(self) -> Traits:
        return self._backend.traits(self._param)

    @property
    def _options(self) -> tuple[bool, bool, bool]:
        return self._validate, self._clamp_probs, self._rows_validated

    @property
    def _own(self) -> dict[str, Any]:
        """What a subclass has added to the object, if it does not follow from the parameters."""
        return {name: value for name, value in vars(self).items() if name not in self._known}

    def _with_params(
        self, param: Array, batch_shape: tuple[int, ...], cache: dict[str, Any] | None = None
    ) -> Self:
        new = Categorical.__new__(type(self))
        if own := self._own:
            vars(new).update(own)
        return new._set(self._form, param, batch_shape, *self._options, cache)

    def _block_of(self, param: Array) -> Categorical:
        """Return the same kind of distribution for a computed block of the parameter."""
        new = Categorical.__new__(Categorical)
        return new._set(self._form, param, _batch_of(param), *self._options)

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self._backend is None:  # see `_unflatten`
            children, options = self._flatten()
            return self._unflatten, (options, children)
        return super().__reduce_ex__(protocol)

    def __getstate__(self) -> dict[str, Any]:
        state = self._form.name, self._param, self._batch_shape, *self._options
        return _pickling.to_pickle(*state, self._own)

    def __setstate__(self, pickled: Any) -> None:
        form, *state, own = _pickling.from_pickle(pickled)
        self._set(_parameters.FORMS[form], *state)
        vars(self).update(own)

    def _flatten(self) -> tuple[tuple[Array], tuple[Any, ...]]:
        """Return the leaf of the pytree, broadcast to the whole batch, and the static data."""
        param = self._param
        if self._batch_shape != _batch_of(param):
            param = self._xp.broadcast_to(param, self.param_shape)
        own = tuple(sorted(self._own.items()))
        return (param,), (self._form.name, self._validate, self._clamp_probs, own)

    @classmethod
    def _unflatten(cls, options: tuple[Any, ...], children: tuple[Any]) -> Categorical:
        """Rebuild the distribution from a transformed parameter, without checks."""
        form, validate, clamp, own = options
        new, batch = cls.__new__(cls), _batch_of(*children)
        new._set(_parameters.FORMS[form], *children, batch, validate, clamp, False)
        vars(new).update(own)
        return new

    def __repr__(self) -> str:
        return _display.text(self)

    def _repr_html_(self) -> str:
        return _display.html(self)

    # --- shapes ---------------------------------------------------------------------------------

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """Shape of the batch of distributions: the parameter's shape without the last axis."""
        return self._batch_shape

    @property
    def event_shape(self) -> tuple[()]:
        """Shape of one event: always ``()``."""
        return ()

    @property
    def param_shape(self) -> tuple[int, ...]:
        """Shape of `probs` and `logits`: ``batch_shape + (num_categories,)``."""
        return (*self._batch_shape, self.num_categories)

    @property
    def num_categories(self) -> int:
        """Number of categories, K."""
        return self._param.shape[-1]

    @property
    def support(self) -> range:
        """The categories: ``range(K)``."""
        return range(self.num_categories)

    @property
    def dtype(self) -> Any:
        """Floating-point dtype of `probs` and `logits`."""
        return self._traits.real

    @property
    def device(self) -> Any:
        """Device of the parameter."""
        return self._backend.device(self._param)

    def expand(self, batch_shape: Shape) -> Self:
        """Return the distribution with its batch broadcast to a larger shape; nothing is copied.

        Parameters
        ----------
        batch_shape : int or tuple of ints
            New batch shape. The current `batch_shape` must broadcast to it.

        Returns
        -------
        Categorical

        Examples
        --------
        >>> Categorical([0.5, 0.5]).expand((3, 2)).sample(rng=1).shape
        (3, 2)
        """
        shape = _arguments.shape_tuple("batch_shape", batch_shape)
        _shapes.check_expansion(self._batch_shape, shape)
        if self._backend.has_values(self._param):  # else its sizes may be unknown
            _shapes.check_size("batch_shape", shape, 8 * self.num_categories)
        new = self._with_params(self._param, shape, self._cache)
        for name in _CACHED:
            known = vars(self).get(name)
            if name.startswith("_") and known is not None:
                vars(new)[name] = known
            elif known is not None and self._backend.has_views:
                vars(new)[name] = self._xp.broadcast_to(known, new.param_shape)
        return new

    def __bool__(self) -> bool:
        return True  # also without a batch, or with an empty one

    def __len__(self) -> int:
        """Return the length of the first axis of the batch."""
        _shapes.check_batch(self._batch_shape, "has no length")
        return self._batch_shape[0]

    def __iter__(self) -> Iterator[Self]:
        """Iterate over the first axis of the batch."""
        _shapes.check_batch(self._batch_shape, "cannot be iterated over")
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, index: Any) -> Self:
        """Return part of the batch, selected as by indexing an array of shape `batch_shape`.

        If the array library returns a view for this index, the parameters are not copied.

        Examples
        --------
        >>> Categorical([[1, 3], [3, 1]])[1].probs
        array([0.75, 0.25])
        """
        axes = index if isinstance(index, tuple) else (index,)
        rest = () if any(i is Ellipsis for i in axes) else (...,)
        param, batch = self._param, self._batch_shape
        try:
            if found := _shapes.index_repeated(axes, _batch_of(param), batch):
                param = self._xp.reshape(param, (1,) * (len(batch) + 1 - param.ndim) + param.shape)
                return self._with_params(param[(*found[0], slice(None))], found[1])
            param = self._xp.broadcast_to(param, self.param_shape)
            part = self._backend.select(param, (*axes, *rest, slice(None)))
        except (IndexError, TypeError, ValueError) as error:
            _arguments.report_index(index, self._batch_shape, param, error)
        _shapes.check_known(part.shape[:-1])
        return self._with_params(part, tuple(part.shape[:-1]))

    # --- parameters -----------------------------------------------------------------------------

    @cached_parameter
    @rowwise
    def probs(self) -> ArrayT:
        """Normalised probabilities, of shape `param_shape`: ``probs / sum``, or softmax.

        The array is kept: copy it before you modify it.

        Examples
        --------
        >>> Categorical([1, 3]).probs
        array([0.25, 0.75])
        """
        found = self._compute("normalized", False, None)
        if found is None:
            found = self._probs_of(self._wide_param, self._normalizer)
        return self._to_param(found)

    @cached_parameter
    @rowwise
    def logits(self) -> ArrayT:
        """Normalised log-probabilities in nats, of shape `param_shape`.

        ``logits - logsumexp(logits)``, or the logarithm of `probs`, clamped unless
        ``clamp_probs`` is False. The array is kept: copy it before you modify it.

        Examples
        --------
        >>> Categorical([1, 3]).logits.round(3)
        array([-1.386, -0.288])
        """
        found = self._compute("normalized", True, self._clamp_eps)
        if found is None:
            found = self._logits_of(self._wide_param, self._normalizer)
        return self._to_param(found)

    def _compute(self, name: str, *args: Any) -> Array | None:
        """Call a kernel: see `Backend.compute`."""
        return self._backend.compute(name, *self._kernel_args, *args)

    @cached
    def _kernel_args(self) -> tuple[Array, bool, dict[str, Any]]:
        """Return what kernels that compute values take first.

        Integers are converted beforehand, as all else is computed from the result. Draws are not.
        """
        if self._param.dtype == self._traits.real:
            return self._param, self._form is LOGITS, self._cache
        return self._wide_param, self._form is LOGITS, {}

    @property
    def _clamp_eps(self) -> float | None:
        """The ``eps`` of clamping, if there is any."""
        return self._traits.eps if self._clamp_probs and self._form is PROBS else None

    @cached_parameter
    def _normalizer(self) -> Normalizer:
        if stats := self._row_stats:
            top, total, log_total = (stat[..., None] for stat in stats[:3])
            return (top, total, log_total) if self._form is LOGITS else (total,)
        return self._form.normalizer(self._xp, self._wide_param)

    @cached_parameter
    def _row_stats(self) -> tuple[Array, ...]:
        return self._backend.row_stats(self._wide_param, self._form is LOGITS)

    def _probs_of(self, x: Array, normalizer: Normalizer) -> Array:
        return self._form.prob(self._xp, x, normalizer)

    def _logits_of(self, x: Array, normalizer: Normalizer) -> Array:
        if (eps := self._clamp_eps) is not None:
            p = self._form.prob(self._xp, x, normalizer)
            return _parameters.clamped_log(self._xp, p, eps)
        return self._form.log_prob(self._xp, x, normalizer)

    @property
    def _wide_param(self) -> Array:
        return self._to_compute_dtype(self._param)

    def _to_compute_dtype(self, x: Array) -> Array:
        return self._astype(x, self._traits.compute)

    def _to_dtype(self, x: Array) -> Array:
        return x if x.dtype == self._param.dtype else self._astype(x, self._traits.real)

    def _astype(self, x: Array, dtype: Any) -> Array:
        return x if x.dtype == dtype else self._xp.astype(x, dtype)

    def _to_param(self, x: Array) -> Array:
        """Convert an elementwise result to the dtype and shape of `probs`."""
        return self._broadcast(self._to_dtype(x), self.param_shape)

    def _broadcast(self, x: Array, shape: tuple[int, ...]) -> Array:
        x = x if tuple(x.shape) == shape else self._xp.broadcast_to(x, shape)
        return self._backend.result(x)

    # --- draws ----------------------------------------------------------------------------------

    @overload
    def sample(
        self: Categorical[Never],
        sample_shape: Shape = (),
        *,
        dtype: IntDType | None = None,
        **source: Unpack[Draws],
    ) -> Any: ...
    @overload
    def sample(
        self: Categorical[NumPyArray],
        sample_shape: Shape = (),
        *,
        dtype: None = None,
        **source: Unpack[Draws],
    ) -> NumPyInt64: ...
    @overload
    def sample(
        self: Categorical[NumPyArray],
        sample_shape: Shape = (),
        *,
        dtype: IntDType,
        **source: Unpack[Draws],
    ) -> NumPyArray: ...
    @overload
    def sample(
        self, sample_shape: Shape = (), *, dtype: IntDType | None = None, **source: Unpack[Draws]
    ) -> ArrayT: ...
    @_keywords.hide_unknown
    def sample(
        self,
        sample_shape: Shape = (),
        *more: Never,
        replace: bool = True,
        rng: RNG = None,
        seeds: Integers | None = None,
        start: Integers = 0,
        dtype: IntDType | None = None,
        **unknown: Unpack[Nothing],
    ) -> Any:
        """Draw categories.

        Parameters
        ----------
        sample_shape : int or tuple of ints
            Shape of the draws from each row; an int is the length of one axis.
        replace : bool, default True
            Whether a category may be drawn more than once. If False, the n draws of a row are
            different categories: after each draw, the probability of its category becomes 0.
            ``sample_shape`` must then be an int or a tuple of one int, and each row needs n
            categories of positive probability. The first draw is the same in both cases.
        rng : None, int, SeedSequence, BitGenerator or Generator, optional
            Source of randomness: see the documentation's page "Reproducibility". A
            `torch.Generator`, a `jax.random` key or a `cupy.random.Generator` also works. Each call
            advances a generator by 128 bits, regardless of the number of draws. The same ``rng``
            gives the same draws in every library, on every device and for any number of threads;
            ``sample(n)`` returns the first n draws of ``sample(m)``, n <= m. With None, draws from
            tensors follow `torch.manual_seed`; other draws are not reproducible.
        seeds : array of integers from 0 to 2**64 - 1, or int, optional
            A seed for each row, instead of ``rng``. Must broadcast to `batch_shape`. The draws of
            a row then depend only on its seed, position and parameters, not on the rest of the
            batch. Give each row a different seed: rows with equal seeds use equal random words.
        start : int, or array of integers, default 0
            The position of the first draw: ``sample(n, start=m)`` returns the last n draws
            of ``sample(m + n)``. With ``seeds``, this may be an array that broadcasts to
            `batch_shape`, a position for each row. With ``replace=False``, categories drawn before
            ``start`` may be drawn again.
        dtype : integer dtype, optional
            Dtype of the result; with ``replace=False``, a signed one. The default is the library's
            index dtype.

        Returns
        -------
        array of shape ``sample_shape + batch_shape``
            Categories from 0 to K - 1, never one of probability zero. Draws from invalid rows are
            -1, and so are draws without replacement from a row with no categories left. Both
            occur only with ``validate_args=False``, if values are traced, as under `jax.jit`, or if
            the parameter was modified after its check.

        Raises
        ------
        TypeError
            If ``replace``, ``rng`` or ``dtype`` has an unsupported type, or if ``seeds`` or
            ``start`` are not integers, or are arrays of another library, except NumPy's.
        ValueError
            If ``sample_shape`` is negative or too large, or if ``dtype`` cannot represent all
            categories, or -1 where it may occur; if both ``rng`` and ``seeds`` are given; if
            ``seeds`` or ``start`` do not broadcast, are negative or too large; or, with
            ``replace=False``, if ``sample_shape`` does not have exactly one axis, or a row has too
            few categories of positive probability.

        Notes
        -----
        The documentation's page "Draw specification" specifies draws bit for bit.

        Examples
        --------
        >>> dist = Categorical([0.1, 0.2, 0.7])
        >>> a = dist.sample((5,), rng=7)
        >>> bool((a == dist.sample((1000,), rng=7)[:5]).all())
        True
        >>> bool((a[2:] == dist.sample((3,), rng=7, start=2)).all())
        True

        With its own seed, a row gets the same draws in any batch:

        >>> dist = Categorical([[0.1, 0.2, 0.7], [0.5, 0.5, 0.0]])
        >>> both, second = dist.sample((5,), seeds=[7, 8]), dist[1].sample((5,), seeds=8)
        >>> bool((both[:, 1] == second).all())
        True

        Different categories, in the order in which they are drawn:

        >>> Categorical([0.1, 0.2, 0.7, 0.0]).sample(3, replace=False, rng=0)
        array([2, 0, 1])
        """
        if more or unknown:
            _keywords.report_unknown(Categorical.sample, unknown, more)
        shape = _arguments.shape_tuple("sample_shape", sample_shape)
        if replace is not True and not _arguments.as_bool("replace", replace):
            return self._sample_distinct(shape, rng, seeds, start, dtype)
        shape += self._batch_shape
        backend, small, logits = self._backend, self._small, self._form is LOGITS
        reader = backend if rng is None else registry.reader_of(rng)
        if seeds is None and type(start) is not int:
            start = _arguments.start_index(start)
        if small is not None and dtype is None and (seeds is not None or not start):
            param = self._param
            if not backend.keeps_memory:
                small = backend.small(param)
            size = param.shape[-1]
            source: tuple[Any, ...] = reader, rng
            if seeds is not None:
                source += (self._random_bits(rng, reader, seeds, start, shape),)
            draws = backend.cpu.small.draw(small, size, logits, self._cache, shape, *source)
            if draws is not None:
                return backend.from_kernel(draws, param)
        dtype = self._dtype_of_draws(dtype, rng)
        _arguments.check_dtype(dtype, self.num_categories - 1, self._rows_validated)
        return self._draw(SAMPLE, shape, rng, seeds, start, dtype)

    @overload
    def sample_counts(
        self: Categorical[Never],
        n: SupportsIndex,
        *,
        dtype: IntDType | None = None,
        **source: Unpack[Source],
    ) -> Any: ...
    @overload
    def sample_counts(
        self: Categorical[NumPyArray],
        n: SupportsIndex,
        *,
        dtype: None = None,
        **source: Unpack[Source],
    ) -> NumPyInt64: ...
    @overload
    def sample_counts(
        self: Categorical[NumPyArray],
        n: SupportsIndex,
        *,
        dtype: IntDType,
        **source: Unpack[Source],
    ) -> NumPyArray: ...
    @overload
    def sample_counts(
        self, n: SupportsIndex, *, dtype: IntDType | None = None, **source: Unpack[Source]
    ) -> ArrayT: ...
    @_keywords.hide_unknown
    def sample_counts(
        self,
        n: SupportsIndex = _keywords.REQUIRED,
        *,
        rng: RNG = None,
        seeds: Integers | None = None,
        start: Integers = 0,
        dtype: IntDType | None = None,
        **unknown: Unpack[Nothing],
    ) -> Any:
        """Count how often each category occurs in n draws, without storing the draws.

        Parameters
        ----------
        n : int
            Number of draws from each row. It does not change the memory that is needed.
        rng, seeds, start
            See `sample`.
        dtype : integer dtype, optional
            Dtype of the result. The default is int64, or the library's widest integer dtype.

        Returns
        -------
        array of shape ``param_shape``
            For each row, the counts of the draws of ``sample(n, ...)`` with the same arguments,
            which sum to n. Counts of invalid rows are -1, which occurs only with
            ``validate_args=False``, if values are traced, as under `jax.jit`, or if the parameter
            was modified after its check.

        Raises
        ------
        TypeError
            As for `sample`, or if ``n`` is not an integer.
        ValueError
            As for `sample`, or if ``n`` is negative, or larger than ``dtype`` can represent.

        Examples
        --------
        >>> dist = Categorical([0.1, 0.2, 0.7])
        >>> dist.sample_counts(1_000_000, rng=0)
        array([100051, 199870, 700079])
        """
        if unknown:
            _keywords.report_unknown(Categorical.sample_counts, unknown)
        n = _arguments.number_of_draws(n)
        dtype = self._dtype_of_draws(dtype, rng, "int64")
        _arguments.check_dtype(dtype, n, self._rows_validated, "n = ")
        return self._draw(COUNTS, (n, *self._batch_shape), rng, seeds, start, dtype)

    def _sample_distinct(
        self, sample_shape: tuple[int, ...], rng: RNG, seeds: Any, start: Any, dtype: Any
    ) -> Array:
        """Draw without replacement."""
        batch, size = self._batch_shape, self.num_categories
        dtype = self._dtype_of_draws(dtype, rng)
        _validation.check_distinct(sample_shape, size if self._validate else None, dtype)
        _arguments.check_dtype(dtype, size - 1, True)
        draws = self._draw(DISTINCT, sample_shape + batch, rng, seeds, start, dtype)
        if not self._validate:
            return draws
        return registry.backend_of(draws).validate("replace", draws, len(batch), {})

    def _dtype_of_draws(self, dtype: Any, rng: RNG, default: Any = None) -> Any:
        """Return NumPy's dtype for the draws, which a traced key makes arrays of its library."""
        reader = self._backend if rng is None else registry.reader_of(rng)
        backend = reader if reader.is_traced(rng) else self._backend
        if dtype is None:
            return backend.integer_dtype(self._backend.integer_dtype(default or self._traits.index))
        return backend.requested_dtype(dtype)

    def _draw(
        self, kind: str, shape: tuple[int, ...], rng: RNG, seeds: Any, start: Any, dtype: Any
    ) -> Array:
        """Return what is made of draws of the given shape."""
        backend, block = self._backend, Block.all_of(shape, kind=kind)
        if backend.has_values(self._param):  # else its sizes may be unknown too
            size = self.num_categories
            _shapes.check_size("sample_shape", block.output_shape(size), dtype.itemsize)
            if kind == COUNTS:  # which are not limited by memory
                _arguments.check_first(0, math.prod(self._batch_shape), math.prod(shape))
        elif not backend.is_traced(self._param):  # an axis of the batch may have no size yet
            known = tuple(n for n in shape if type(n) is int)
            _shapes.check_size("sample_shape", known, dtype.itemsize)
        reader = backend if rng is None else registry.reader_of(rng)
        bits = self._random_bits(rng, reader, seeds, start, shape)
        block = block._replace(first=bits.first)
        backend = bits.reader if bits.is_traced else backend
        return backend.sample(self._param, self._form is LOGITS, block, bits, dtype, self._cache)

    def _random_bits(
        self, rng: RNG, reader: Backend, seeds: Any, start: Any, shape: tuple[int, ...]
    ) -> RandomBits | RowSeeds:
        """Return what makes the draws of an output random."""
        batch = self._batch_shape
        if seeds is None:
            if type(start) is not int or start:
                start = _arguments.start_index(start)
                _arguments.check_first(start, math.prod(batch), math.prod(shape))
                start *= math.prod(batch)
            return RandomBits(rng, reader, start)
        if rng is not None:
            raise ValueError("give either rng or seeds; got both")
        count = max(1, math.prod(shape[: len(shape) - len(batch)]))
        rest = self._param, batch, self._validate
        seeds = _arguments.row_numbers("seeds", seeds, 1, *rest)
        start = _arguments.row_numbers("start", start, count, *rest)
        return RowSeeds((seeds, start), self._backend, batch)

    @overload
    def sample_and_log_prob(
        self: Categorical[Never],
        sample_shape: Shape = (),
        *,
        dtype: IntDType | None = None,
        **source: Unpack[Source],
    ) -> tuple[Any, Any]: ...
    @overload
    def sample_and_log_prob(
        self: Categorical[NumPyT],
        sample_shape: Shape = (),
        *,
        dtype: None = None,
        **source: Unpack[Source],
    ) -> tuple[NumPyInt64, NumPyT]: ...
    @overload
    def sample_and_log_prob(
        self: Categorical[NumPyT],
        sample_shape: Shape = (),
        *,
        dtype: IntDType,
        **source: Unpack[Source],
    ) -> tuple[NumPyArray, NumPyT]: ...
    @overload
    def sample_and_log_prob(
        self, sample_shape: Shape = (), *, dtype: IntDType | None = None, **source: Unpack[Source]
    ) -> tuple[ArrayT, ArrayT]: ...
    @_keywords.hide_unknown
    def sample_and_log_prob(
        self,
        sample_shape: Shape = (),
        *,
        rng: RNG = None,
        seeds: Integers | None = None,
        start: Integers = 0,
        dtype: IntDType | None = None,
        **unknown: Unpack[Nothing],
    ) -> Any:
        """Draw categories, and return them with their log-probabilities.

        Parameters
        ----------
        sample_shape, rng, seeds, start, dtype
            See `sample`.

        Returns
        -------
        value, log_prob : arrays of shape ``sample_shape + batch_shape``
            The draws of `sample`, and their `log_prob`.

        Examples
        --------
        >>> value, log_prob = Categorical([0.25, 0.75]).sample_and_log_prob(3, rng=0)
        >>> value, log_prob.round(4)
        (array([1, 0, 0]), array([-0.2877, -1.3863, -1.3863]))
        """
        if unknown:
            _keywords.report_unknown(Categorical.sample_and_log_prob, unknown)
        options: dict[str, Any] = {"rng": rng, "seeds": seeds, "dtype": dtype}
        given = {name: x for name, x in options.items() if x is not None}
        if type(start) is not int or start:
            given["start"] = start
        value = self.sample(sample_shape, **given)  # a subclass may have no options
        return value, self.log_prob(value)

    @overload
    def enumerate_support(self: Categorical[Never], expand: bool = True) -> Any: ...
    @overload
    def enumerate_support(self: Categorical[NumPyArray], expand: bool = True) -> NumPyInt64: ...
    @overload
    def enumerate_support(self, expand: bool = True) -> ArrayT: ...
    def enumerate_support(self, expand: bool = True) -> Any:
        """Return all categories along a new first axis.

        Parameters
        ----------
        expand : bool, default True
            Whether to broadcast along the batch.

        Returns
        -------
        array of shape ``(K,) + batch_shape``, or ``(K,) + (1,) * len(batch_shape)``

        Examples
        --------
        >>> Categorical([1, 2, 3]).enumerate_support()
        array([0, 1, 2])
        """
        batch = self._batch_shape
        categories = self._backend.arange(self.num_categories, self._param)
        column = self._xp.reshape(categories, (-1, *(1 for _ in batch)))
        return self._broadcast(column, (self.num_categories, *batch)) if expand else column

    # --- truncation -----------------------------------------------------------------------------

    @_keywords.hide_unknown
    def truncate(
        self,
        *,
        mask: Numbers | None = None,
        temperature: NumbersOrNone = None,
        top_k: IntegersOrNone = None,
        top_p: NumbersOrNone = None,
        min_p: NumbersOrNone = None,
        **unknown: Unpack[Nothing],
    ) -> Self:
        """Return a distribution over fewer categories, as in sampling from language models.

        The arguments apply in this order, each to the result of the one before. For another order,
        chain calls. Categories rank by probability, and equal ones by index. Each argument except
        the mask keeps at least one category. For the same numbers, the same categories remain in
        every library and on every device. (JAX rounds the numbers of a list to float32, unless its
        64-bit types are enabled.) In a list of numbers, None is for rows to which an argument does
        not apply.

        Parameters
        ----------
        mask : array of bool, or of int32 or uint32, optional
            Which categories are allowed: bools of shape ``(..., K)``, or packed words of shape
            ``(..., ceil(K / 32))``, where category k is bit ``k % 32`` of word ``k // 32``.
        temperature : number or array of numbers, optional
            Divides the logits. 0 keeps only the most probable category. Only for a distribution
            given by ``logits``.
        top_k : int or array of ints, optional
            Keeps the ``top_k`` most probable categories.
        top_p : number or array of numbers in (0, 1], optional
            Keeps the smallest number of most probable categories whose probabilities sum to
            ``top_p - 2**-20`` or more.
        min_p : number or array of numbers in [0, 1], optional
            Keeps categories with at least ``min_p * (1 - 2**-20)`` times the largest probability.

        Returns
        -------
        Categorical
            Its parameters are 0, or ``-inf`` for logits, for removed categories. For the others,
            they are unchanged, or ``(logits - max) / temperature``. Integer logits become float64,
            or float32 if the library has no float64. Probabilities are not clamped.

        Raises
        ------
        TypeError
            If an argument has an unsupported type, or is an array of another library.
        ValueError
            If an argument does not broadcast to `batch_shape`, or a number is out of its range, or
            a mask allows no category of positive probability. (Without checks, the row is invalid.)

        Notes
        -----
        The documentation's page "Draw specification" specifies which categories remain.

        Examples
        --------
        >>> dist = Categorical([0.15, 0.3, 0.3, 0.25])
        >>> dist.truncate(top_k=2).probs
        array([0. , 0.5, 0.5, 0. ])
        >>> dist.truncate(top_p=0.8).probs.round(3)
        array([0.   , 0.353, 0.353, 0.294])
        """
        if unknown:
            _keywords.report_unknown(Categorical.truncate, unknown)
        dist = self
        if mask is not None:
            dist = self._truncated(_truncation.masked(self, mask), {}, False)
        given = temperature, top_k, top_p, min_p
        if all(x is None for x in given):
            return dist._truncated(dist._param, dist._cache, True) if dist is self else dist
        args = [
            _truncation.read_argument(name, x, dist)
            for name, x in zip(_truncation.NAMES, given, strict=True)
        ]
        cache: dict[str, Any] = {}
        param = _truncation.truncated(dist, args, cache)
        return dist._truncated(param, cache, all(map(is_number, args)))

    def _truncated(self, param: Array, cache: dict[str, Any], stays_valid: bool) -> Self:
        """Return the distribution of a parameter without some of the categories.

        Arguments without values are not checked, and may make rows invalid.
        """
        dist = self._with_params(param, self._batch_shape, cache)
        dist._clamp_probs = False
        dist._rows_validated &= stays_valid or self._backend.has_values(param)
        return dist

    # --- probabilities of values ----------------------------------------------------------------

    def log_prob(self, value: Numbers) -> ArrayT:
        """Return the log-probability of categories, in nats.

        Parameters
        ----------
        value : array of integers, or of integer-valued floating-point numbers
            Must broadcast with `batch_shape`.

        Returns
        -------
        array of the broadcast shape, in `dtype`

        Raises
        ------
        TypeError
            If ``value`` is an array of another library.
        ValueError
            If ``value`` does not broadcast, or contains a number that is not a category. (Without
            checks, the log-probability of such a number is ``-inf``.)

        Examples
        --------
        >>> float(Categorical([0.25, 0.75]).log_prob(1).round(4))
        -0.2877
        """
        if self._small is not None:
            rest = self._form is LOGITS, self._cache, value, self._clamp_eps
            found = self._backend.small_log_prob(self._param, self._small, *rest)
            if found is not None:
                return found
        return self._at("value", value, self._log_prob_at)

    def prob(self, value: Numbers) -> ArrayT:
        """Return the probability of categories; see `log_prob`.

        Parameters
        ----------
        value : array of integers, or of integer-valued floating-point numbers
            Must broadcast with `batch_shape`.

        Returns
        -------
        array of the broadcast shape, in `dtype`

        Examples
        --------
        >>> Categorical([0.25, 0.75]).prob([0, 1])
        array([0.25, 0.75])
        """
        return self._at("value", value, self._prob_at)

    def _at(self, name: str, x: Any, function: Callable[[Array], Array]) -> Array:
        """Evaluate a function of the batch at an argument that broadcasts with the batch."""
        x = _arguments.as_array(name, x, self._param)
        shape = _shapes.broadcast_shapes(name, tuple(x.shape), self._batch_shape)
        return self._broadcast(function(x), shape)

    @rowwise
    def _log_prob_at(self, value: Array) -> Array:
        return self._of_value(value, True)

    @rowwise
    def _prob_at(self, value: Array) -> Array:
        return self._of_value(value, False)

    def _of_value(self, value: Array, log: bool) -> Array:
        """Return the probabilities of values, or their logarithms."""
        backend, inside = self._backend, True
        found = self._look_up(value, log)
        if found is None:
            validate = self._checks_now("value", value)
            index, inside = _validation.categories_of(backend, value, self.num_categories, validate)
            found = self._look_up(index, log)
            if found is None:
                found = self._gather_and_normalize(index, log)
        if inside is not True:
            inside = inside | self._xp.isnan(found)
            found = self._xp.where(inside, found, -math.inf if log else 0.0)
        return self._to_dtype(found)

    def _checks_now(self, name: str, x: Array) -> bool:
        """Return whether to check an argument now; if it has no values yet, check it later."""
        if not self._validate or self._backend.has_values(x):
            return self._validate
        self._backend.check_later(name, x, self.num_categories)
        return False

    def _look_up(self, index: Array, log: bool) -> Array | None:
        x, logits, cache = self._kernel_args
        eps = self._clamp_eps if log else None
        return self._backend.look_up(x, logits, cache, index, log, eps)

    def _gather_and_normalize(self, index: Array, log: bool) -> Array:
        """Gather the parameter at categories, then convert the gathered entries.

        The logarithm, for example, is computed only for the entries needed, not for all of them.
        """
        floating = self._backend.isdtype(self._param.dtype, "real floating")
        entries = self._backend.gather(self._param if floating else self._wide_param, index)
        normalizer = tuple(n[..., 0] for n in self._normalizer)
        function = self._logits_of if log else self._probs_of
        return function(self._to_compute_dtype(entries), normalizer)

    @cached_parameter
    def _cumulative(self) -> Array:
        """Return the CDF at each category, accumulated in the widest dtype."""
        if (found := self._compute("cumulative")) is not None:
            return self._to_dtype(found)
        sums = self._backend.cumulative_sum(self._probs_of(self._wide_param, self._normalizer))
        return self._to_dtype(sums / sums[..., -1:])

    def cdf(self, value: Numbers) -> ArrayT:
        """Return the cumulative distribution function: the probability of ``category <= value``.

        Parameters
        ----------
        value : array of real numbers
            Must broadcast with `batch_shape`. The result is 0 for ``value < 0``, and 1 for
            ``value >= K - 1``.

        Returns
        -------
        array of the broadcast shape, in `dtype`

        Examples
        --------
        >>> Categorical([0.25, 0.25, 0.5]).cdf([0, 1, 2])
        array([0.25, 0.5 , 1.  ])
        """
        return self._at("value", value, self._cdf_at)

    @rowwise
    def _cdf_at(self, value: Array) -> Array:
        xp, backend, last = self._xp, self._backend, self.num_categories - 1
        index_dtype, floating = self._traits.index, backend.isdtype(value.dtype, "real floating")
        if floating:
            value = xp.astype(value, backend.traits(value).compute, copy=False)
        else:
            unsigned = backend.isdtype(value.dtype, "unsigned integer")
            value = xp.astype(value, index_dtype)
            if unsigned:  # what has become negative was large
                value = xp.where(value < 0, last, value)
        between = (value >= 0) & (value < last)
        index = xp.floor(xp.where(between, value, xp.zeros_like(value)))
        found = self._backend.gather(self._cumulative, xp.astype(index, index_dtype))
        result = self._to_compute_dtype(found)
        known = between | xp.isnan(result)
        result = xp.where(known, result, xp.astype(value >= last, result.dtype))
        if floating:
            result = xp.where(xp.isnan(value), xp.nan, result)
        return self._to_dtype(result)

    @overload
    def icdf(self: Categorical[Never], q: Numbers) -> Any: ...
    @overload
    def icdf(self: Categorical[NumPyArray], q: Numbers) -> NumPyInt64: ...
    @overload
    def icdf(self, q: Numbers) -> ArrayT: ...
    def icdf(self, q: Numbers) -> Any:
        """Return the inverse of `cdf`: the smallest category whose `cdf` is at least ``q``.

        Parameters
        ----------
        q : array of real numbers from 0 to 1
            Must broadcast with `batch_shape`.

        Returns
        -------
        array of the broadcast shape, in the library's index dtype
            Without checks, -1 where ``q`` is NaN or outside [0, 1], or the row is invalid. For 0,
            the first category, even if its probability is zero.

        Examples
        --------
        >>> Categorical([0.25, 0.25, 0.5]).icdf([0.1, 0.5, 0.9])
        array([0, 1, 2])
        """
        return self._at("q", q, self._icdf_at)

    @rowwise
    def _icdf_at(self, q: Array) -> Array:
        xp, backend, cdf = self._xp, self._backend, self._cumulative
        if not backend.isdtype(q.dtype, "real floating"):
            q = xp.astype(q, cdf.dtype)
        if self._checks_now("q", q):
            _validation.check_quantile(backend, q)
        valid = ~xp.isnan(cdf[..., -1])
        return xp.where((q >= 0) & (q <= 1) & valid, backend.search(cdf, q), -1)

    # --- summaries ------------------------------------------------------------------------------

    def entropy(self) -> ArrayT:
        """Return the entropy of each distribution, in nats.

        Returns
        -------
        array of shape `batch_shape`, in `dtype`
            ``-sum(p * log(p))``, with ``0 * log(0) = 0``.

        Examples
        --------
        >>> Categorical([0.5, 0.5]).entropy().round(4)
        np.float64(0.6931)
        """
        if self._small is not None:
            rest = self._form is LOGITS, self._cache
            found = self._backend.small_entropy(self._param, self._small, *rest)
            if found is not None:
                return found
        return self._entropy_of_rows()

    @rowwise
    def _entropy_of_rows(self) -> Array:
        return self._broadcast(self._to_dtype(self._entropy), self._batch_shape)

    @property
    def _entropy(self) -> Array:
        found = self._backend.entropy(*self._kernel_args)
        return self._tracked_entropy if found is None else found

    @cached_parameter
    def _tracked_entropy(self) -> Array:
        if self._row_stats:
            return self._row_stats[3]
        return _parameters.entropy(self._xp, *self._exact())

    @rowwise
    def perplexity(self) -> ArrayT:
        """Return the perplexity, ``exp(entropy)``: from 1 (deterministic) to K (uniform).

        Returns
        -------
        array of shape `batch_shape`, in `dtype`

        Examples
        --------
        >>> Categorical([1, 1, 1, 1]).perplexity().round(4)
        np.float64(4.0)
        """
        return self._broadcast(self._to_dtype(self._xp.exp(self._entropy)), self._batch_shape)

    def _exact(self) -> tuple[Array, Array]:
        """Return p and log(p) in the compute dtype, neither clamped nor broadcast."""
        xp, x, normalizer = self._xp, self._wide_param, self._normalizer
        return self._form.prob(xp, x, normalizer), self._form.log_prob(xp, x, normalizer)

    def _kl_divergence(self, other: Categorical) -> Array:
        """Return KL(self || other): see `kl_divergence`."""
        _arguments.as_array("the parameter of q", other._param, self._param)
        if self.num_categories != other.num_categories:
            raise ValueError(
                "p and q must have the same number of categories; got "
                f"{self.num_categories} and {other.num_categories}"
            )
        shape = _shapes.broadcast_shapes("the batch of q", other._batch_shape, self._batch_shape)
        return self._broadcast(self._divergence(other), shape)

    @rowwise
    def _divergence(self, other: Categorical) -> Array:
        xp = self._xp
        (p, log_p), (_, log_q) = self._exact(), other._exact()
        result = _parameters.relative_entropy(xp, p, log_p, log_q)
        return xp.astype(result, self._backend.promoted(self.dtype, other.dtype), copy=False)

    @index_property
    @rowwise
    def mode(self) -> ArrayT:
        """Most probable category of each distribution, the first one in case of ties.

        Without checks, the mode of an invalid row is -1.

        Examples
        --------
        >>> Categorical([[1, 3], [3, 1]]).mode
        array([1, 0])
        """
        first = self._compute("mode")
        if first is None:
            first = _parameters.mode(self._xp, self._wide_param, self._form)
        return self._broadcast(first, self._batch_shape)

    @property
    @rowwise
    def mean(self) -> ArrayT:
        """Array of NaN of shape `batch_shape`, because categories are not numeric."""
        device = self._backend.creation_device(self._param)
        nans = self._xp.full(self._batch_shape, math.nan, dtype=self.dtype, device=device)
        return self._backend.result(nans)

    @property
    def variance(self) -> ArrayT:
        """Array of NaN of shape `batch_shape`, because categories are not numeric."""
        return self.mean

    def plot(self, ax: Axes | None = None, **style: Any) -> Axes:
        """Plot the probabilities with matplotlib: bars for one row, a heat map for a batch.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to plot. The default is a new figure.
        **style
            Options of `matplotlib.axes.Axes.bar` for one row of up to 64 categories, of
            `matplotlib.axes.Axes.stairs` for a longer row, or of `matplotlib.axes.Axes.imshow` for
            a batch.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        ImportError
            If matplotlib is not installed.

        Notes
        -----
        Arrays on other devices are copied to the CPU, and lazy arrays are computed. The rows of a
        batch are in C order. A heat map has up to 256 cells along each axis: with more rows or
        categories, each cell shows the largest of several probabilities.

        Examples
        --------
        >>> ax = Categorical([0.1, 0.2, 0.7]).plot(color="tab:orange")
        >>> ax.get_xlabel(), ax.get_ylabel()
        ('category', 'probability')
        """
        return _display.plot(self, ax, **style)


def _derived(cls: type) -> frozenset[str]:
    """Return the names of the cached properties of a class."""
    members = [item for base in cls.__mro__ for item in vars(base).items()]
    return frozenset(name for name, member in members if isinstance(member, cached_property))


_CACHED = _derived(Categorical)
_SET = frozenset(name for name in Categorical.__annotations__ if name[0] == "_")
_SET |= {"__orig_class__"}  # which `typing` adds to what Categorical[...] makes
Categorical._known = _CACHED | _SET


def _batch_of(param: Any) -> tuple[int, ...]:
    return tuple(getattr(param, "shape", ())[:-1])  # the leaf of a pytree need not be an array


def kl_divergence(p: Categorical[ArrayT], q: Categorical[ArrayT]) -> ArrayT:
    """Return the Kullback-Leibler divergence KL(p || q), in nats.

    Parameters
    ----------
    p, q : Categorical
        Distributions of the same library, on the same device, with the same number of categories.
        Their batch shapes must broadcast.

    Returns
    -------
    array of the broadcast batch shape
        ``sum(p * log(p / q))``. Categories with ``p = 0`` contribute nothing. The result is
        infinite if ``q = 0`` and ``p > 0`` for any category.

    Examples
    --------
    >>> p, q = Categorical([0.5, 0.5]), Categorical([0.25, 0.75])
    >>> float(kl_divergence(p, q).round(4))
    0.1438
    """
    for name, dist in (("p", p), ("q", q)):
        if not isinstance(dist, Categorical):
            _arguments.report_distribution(name, dist)
    return p._kl_divergence(q)
