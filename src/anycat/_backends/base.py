"""`Backend`: what anycat asks of an array library, with answers that fit most of them.

The answers here fit any library that follows the array API standard and exports DLPack. The file of
a library overrides what differs.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import math
import os
from typing import TYPE_CHECKING, Any, NamedTuple

import array_api_compat as compat
import array_api_extra as xpx
import numpy as np

from anycat import _kernels, _parameters
from anycat._kernels.keys import key_of_rows
from anycat._messages import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence
    from contextlib import AbstractContextManager

    from anycat._kernels.keys import Key
    from anycat._kernels.layout import Block
    from anycat._random import RNG, RandomBits, RowSeeds

    Array = Any
    Namespace = Any


CHECKS: dict[str, Callable[[Any, int, dict[str, Any]], Any]] = {}
"""What checks an argument, by its name: filled by `_validation`.

It takes the array, a number that tells which values are allowed, as K does, and a cache for what
kernels learn of rows.
"""


class cached(functools.cached_property):  # type: ignore[type-arg]
    """A cached property without the lock of Python 3.11: PyTorch cannot compile it.

    And if another thread has it during a fork, the child waits for ever.
    """

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        value = self.func(instance)
        setattr(instance, str(self.attrname), value)
        return value


class Library(NamedTuple):
    """A row of the table of libraries: see `registry.LIBRARIES`.

    The tests, ``python -m anycat``, the documentation and error messages all read that table.
    """

    name: str
    """The name of its package, and of its file here."""
    title: str
    namespace: str
    """The module with its array API functions."""
    backend: str
    """The class in its file."""
    memory: tuple[str, ...]
    """The kinds of memory from which anycat draws."""
    to_cpu: str
    """How users move an array ``x`` to the CPU."""
    gradients: bool = False
    """Whether `log_prob` and the like are differentiable."""
    traced: str = ""
    """When values are traced, and so are not checked."""
    rng: str = ""
    """The library's own generators or keys that ``rng`` takes."""
    drop_in: str = ""
    """A class for the library whose `probs` and `logits` may be assigned."""
    registers: bool = False
    """Whether its own functions must know of classes of distributions."""
    requirement: str = ""
    """What `pip` installs it by. This also works where anycat itself is on no index."""

    def owns(self, xp: Namespace) -> bool:
        """Tell whether a namespace is that of the library."""
        return bool(getattr(compat, f"is_{self.name}_namespace")(xp))


class Traits(NamedTuple):
    """What follows from the dtype and the device of an array."""

    real: Any
    """The floating-point dtype of results."""
    compute: Any
    """The dtype to compute in: ``real``, but float32 or wider."""
    index: Any
    """The default dtype of indices."""
    eps: float
    """Of ``compute``, as ``max`` is."""
    max: float


class Backend:
    """An array library as anycat sees it.

    Parameters
    ----------
    library
        Its row in the table.
    xp
        Its array API namespace, if the row does not name it.
    """

    def __init__(self, library: Library, xp: Namespace | None = None) -> None:
        self.library = library
        if xp is not None:
            self.xp = xp

    @cached
    def xp(self) -> Namespace:
        """Import the array API namespace of the library, when it is needed first.

        NumPy's takes longer to import than all of anycat.
        """
        return importlib.import_module(self.library.namespace)

    @property
    def name(self) -> str:
        """The name of the library in messages."""
        return self.library.name or str(self.xp.__name__)

    has_views = True
    """Whether broadcasting copies nothing."""

    # --- dtypes ---------------------------------------------------------------------------------

    def traits(self, x: Array) -> Traits:
        """Return what follows from the dtype and the device of an array."""
        return _traits(self, x.dtype, *self._traits_key(x))

    def _traits_key(self, x: Array) -> tuple[Hashable, ...]:
        """Return the device, and then whatever settings of the library matter too."""
        return (self.device(x),)

    def isdtype(self, dtype: Any, kind: str | tuple[str, ...]) -> bool:
        """Tell whether a dtype is of a kind, as the array API defines it, or is bfloat16.

        NumPy, and so CuPy and Dask, have bfloat16 from ml_dtypes, and do not know its kind.
        """
        return isdtype(self.xp, dtype, kind)

    def finfo(self, dtype: Any) -> Any:
        """Return what the array API's ``finfo`` does, for bfloat16 too."""
        if str(dtype) == "bfloat16":
            import ml_dtypes  # the dtype is from there

            return ml_dtypes.finfo(dtype)
        return self.xp.finfo(dtype)

    def integer_dtype(self, dtype: Any) -> np.dtype[Any]:
        """Return NumPy's dtype for an integer dtype of the library."""
        found: np.dtype[Any] | None
        try:
            found = np.dtype(self._numpy_name(dtype))
        except (TypeError, ValueError):
            found = None
        if found is None or found.kind not in "iu" or not found.isnative:
            raise TypeError(f"dtype must be an integer dtype of {self.name}; got {shown(dtype)}")
        return found

    def requested_dtype(self, dtype: Any) -> np.dtype[Any]:
        """Return NumPy's dtype for an integer dtype that users ask for."""
        return self.integer_dtype(dtype)

    def promoted(self, dtype: Any, other: Any) -> Any:
        """Return the dtype of what two arrays give together."""
        return self.xp.result_type(dtype, other)

    def _numpy_name(self, dtype: Any) -> Any:
        """Return what `numpy.dtype` knows a dtype by."""
        return dtype

    # --- arrays ---------------------------------------------------------------------------------

    def device(self, x: Array) -> Any:
        """Return the device of an array."""
        return compat.device(x)

    def check_supported(self, name: str, x: Array) -> None:
        """Raise if an array of the library cannot be used, whatever its values."""
        if wider := _wider_dtype(x.dtype):
            raise TypeError(f"{name} is of {x.dtype}: convert it to {wider} first")

    def is_traced(self, x: Any) -> bool:
        """Tell whether an array has no values yet, or stands for many at once."""
        return False

    def has_values(self, x: Array) -> bool:
        """Tell whether the values of an array can be read now."""
        return not self.is_traced(x)

    def detach(self, x: Array) -> Array:
        """Return an array without its gradient, which draws do not have."""
        return x

    def can_cache(self, values: Array | tuple[Array, ...], param: Array) -> bool:
        """Tell whether values computed from a parameter are as good for later calls."""
        return True

    def creation_device(self, x: Array) -> Any:
        """Return the device on which to make an array that is to meet ``x``."""
        return self.device(x)

    def same_device(self, x: Array, y: Array) -> bool:
        """Tell whether the library can compute with both arrays where they are."""
        return bool(self.device(x) == self.device(y))

    def asarray(self, values: Any, like: Array | None = None) -> Array:
        """Return numbers as an array that can meet ``like``."""
        return self.xp.asarray(values, device=None if like is None else self.creation_device(like))

    def arange(self, n: int, like: Array) -> Array:
        """Return the first ``n`` indices as an array that can meet ``like``."""
        device = self.creation_device(like)
        return self.xp.arange(n, dtype=self.traits(like).index, device=device)

    def select(self, x: Array, index: tuple[Any, ...]) -> Array:
        """Return part of an array."""
        return x[index]

    def gather(self, table: Array, index: Array, tracked: bool = True) -> Array:
        """Return the entries of ``table``, of shape (..., K), at ``index`` along the last axis.

        The shape of ``index`` ends with that of the batch. If not ``tracked``, no gradient is
        taken.
        """
        xp, batch = self.xp, tuple(table.shape[:-1])
        rows = math.prod(batch)
        if rows != 1:
            row = xp.reshape(self.arange(rows, table), batch)
            index = index + row * table.shape[-1]
        flat = xp.reshape(table, (math.prod(table.shape),))
        found = xp.take(flat, xp.reshape(index, (math.prod(index.shape),)), axis=0)
        return xp.reshape(found, index.shape)

    def search(self, rows: Array, x: Array) -> Array:
        """Return the first place in a sorted row whose entry is at least ``x``, or else the last.

        ``rows`` is of shape (..., K). That of ``x`` ends with their batch. No more memory is needed
        than for the result.
        """
        xp, traits, k = self.xp, self.traits(rows), rows.shape[-1]
        low = xp.zeros(x.shape, dtype=traits.index, device=self.creation_device(rows))
        high = low + (k - 1)
        for _ in range((k - 1).bit_length()):
            middle = (low + high) // 2
            entry = xp.astype(self.gather(rows, middle, tracked=False), traits.compute, copy=False)
            below = entry < x
            low, high = xp.where(below, middle + 1, low), xp.where(below, high, middle)
        return low

    def cumulative_sum(self, x: Array) -> Array:
        """Return the sums along the last axis, in the widest floating-point dtype."""
        return self.xp.cumulative_sum(x, axis=-1, dtype=self.widest_float(x))

    def widest_float(self, x: Array) -> Any:
        """Return the widest floating-point dtype on the device of an array."""
        dtypes = self.xp.__array_namespace_info__().dtypes(
            device=self.creation_device(x), kind="real floating"
        )
        return dtypes.get("float64", self.xp.float32)

    def errstate(self) -> AbstractContextManager[Any]:
        """Return a context without warnings of overflow and the like: many libraries use NumPy."""
        return np.errstate(all="ignore")

    def result(self, x: Array) -> Array:
        """Return a result as the functions of the library do."""
        return x

    def eagerly(self) -> AbstractContextManager[Any]:
        """Return a context in which operations on arrays that have values give such arrays."""
        return contextlib.nullcontext()

    def register(self, cls: type) -> None:
        """Make a class of distributions known to the library."""

    # --- rows -----------------------------------------------------------------------------------

    def validate_rows(self, name: str, x: Array, cache: dict[str, Any]) -> Array:
        """Return ``x``, of the given name, once its rows have passed their check.

        Traced rows do so later, or never. ``cache`` takes what kernels learn of the rows.
        """
        return self.validate(name, x, x.shape[-1], cache)

    def validate(self, name: str, x: Array, limit: int, cache: dict[str, Any]) -> Array:
        """Return an argument whose values are checked, now or later: see `CHECKS`."""
        if not self.has_values(x):
            return self.check_later(name, x, limit)
        CHECKS[name](x, limit, cache)
        return x

    def check_later(self, name: str, x: Array, limit: int) -> Array:
        """Return an argument that is checked once it has values, if the library can do it."""
        return x

    def map_rows(self, method: Callable[..., Array], dist: Any, *args: Any) -> Array:
        """Call a method of a distribution that does the same to each row."""
        return method(dist, *args)

    # --- rows in CPU memory: kernels do in one pass what array operations do in several ---------

    def on_cpu(self, x: Array) -> Array | None:
        """View an array in CPU memory as one of NumPy; None if it is elsewhere or has no values."""
        if self.is_traced(x):
            return None
        x = self.detach(x)
        try:
            memory, _ = _kernels.memory_of(x)
            return self.to_kernel(x, np) if memory == "cpu" else None
        except _kernels.UNREADABLE:
            return None

    def untracked(self, x: Array) -> Array | None:
        """Do what `on_cpu` does, unless the library must see what is computed, as for gradients."""
        return self.on_cpu(x)

    @cached
    def cpu(self) -> Any:
        """Load the kernels for CPU memory, when they are needed first."""
        return _kernels.load("cpu")

    def compute(self, name: str, x: Array, logits: bool, *args: Any) -> Array | None:
        """Call a function of `anycat._kernels.cpu` for the rows of an array.

        Returns None where it cannot be done so: the array operations, which are the reference, are
        to do it.
        """
        view = self.untracked(x)
        if view is None:
            return None
        function = getattr(self.cpu, name)
        if self.cpu.is_default_float_env():
            result = function(view, logits, *args)
        else:
            with self.cpu.default_float_env():
                result = function(view, logits, *args)
        return None if result is None else self.from_kernel(result, x)

    def rows_valid(self, x: Array, logits: bool, cache: dict[str, Any]) -> bool:
        """Tell whether a kernel has found all rows to be valid. If not, they may still be."""
        if (small := self.small(x)) is not None:
            return bool(self.cpu.small.rows_valid(small, x.shape[-1], logits, cache))
        view = self.on_cpu(x)
        if view is None:
            return False
        with self.cpu.default_float_env():
            return bool(self.cpu.rows_valid(view, logits, cache))

    def look_up(
        self,
        x: Array,
        logits: bool,
        cache: dict[str, Any],
        value: Array,
        log: bool,
        eps: float | None,
    ) -> Array | None:
        """Return the (log-)probabilities of values, if `compute` can do it, and all are categories.

        With ``eps``, probabilities are clamped before taking the logarithm.
        """
        index = self.on_cpu(value)
        if index is None:
            return None
        if index.dtype != np.int64:
            values = index
            if values.dtype.kind not in "biuf":  # bfloat16, which is converted first
                return None
            with np.errstate(invalid="ignore"):
                index = values.astype(np.int64)
            if values.dtype.kind == "f" and not np.array_equal(index, values):
                return None
        return self.compute("look_up", x, logits, cache, index, log, eps)

    def entropy(self, x: Array, logits: bool, cache: dict[str, Any]) -> Array | None:
        """Return the entropy of each row, if `compute` can do it."""
        return self.compute("entropy", x, logits, cache)

    def row_stats(self, x: Array, logits: bool) -> tuple[Array, ...]:
        """Return a library's own statistics of rows, if any, where its operations compute values.

        These are the maximum; the sum, of logits as exponentials relative to the maximum; the
        logarithm of that; and the entropy.
        """
        return ()

    # --- small batches in CPU memory: see `anycat._kernels.cpu.small` ----------------------------

    keeps_memory = True
    """Whether an array stays where it is in memory."""

    def small(self, x: Array) -> Array | None:
        """Return the numbers of a small array as kernels take them, in one axis, if it is one.

        It is not if this takes long, or if more matters of it than its numbers. Integers are
        converted as the draw specification has it.
        """
        return None

    def small_index(self, value: Any) -> Any:
        """Return an array of int64 of the library as one of NumPy, if this is quick."""
        return None

    def small_log_prob(
        self,
        x: Array,
        small: Array,
        logits: bool,
        cache: dict[str, Any],
        value: Any,
        eps: float | None,
    ) -> Array | None:
        """Return the log-probabilities of values, clamped if there is an ``eps``.

        ``small`` is what the method `small` has returned for ``x``. Returns None where this takes
        the general path: also if a value is no category.
        """
        found = self._small_log_prob(x, small, logits, cache, value, eps)
        return None if found is None else self.from_kernel(found, x)

    def _small_log_prob(
        self,
        x: Array,
        small: Array,
        logits: bool,
        cache: dict[str, Any],
        value: Any,
        eps: float | None,
    ) -> Any:
        flat = small if self.keeps_memory else self.small(x)
        index, batch = self.small_index(value), x.shape[:-1]
        if flat is None or index is None or index.shape[index.ndim - len(batch) :] != batch:
            return None
        return self.cpu.small.log_prob(flat, x.shape[-1], logits, cache, index, eps)

    def small_entropy(
        self, x: Array, small: Array, logits: bool, cache: dict[str, Any]
    ) -> Array | None:
        """Return the entropy of each row; None where this takes the general path."""
        flat = small if self.keeps_memory else self.small(x)
        if flat is None:
            return None
        found = self.cpu.small.entropy(flat, x.shape[-1], logits, cache)
        return None if found is None else self.from_kernel(found.reshape(x.shape[:-1]), x)

    # --- draws ----------------------------------------------------------------------------------

    def sample(
        self,
        params: Array,
        logits: bool,
        block: Block,
        bits: RandomBits | RowSeeds,
        dtype: np.dtype[Any],
        cache: dict[str, Any],
    ) -> Array:
        """Make all draws of a call, to whose last axes the batch of ``params`` broadcasts.

        ``bits`` are read when nothing can fail any more.
        """
        return self.draw(params, logits, block, bits.key, dtype, cache)

    def draw(
        self,
        params: Array,
        logits: bool,
        block: Block,
        key: Callable[[Any], Key],
        dtype: np.dtype[Any],
        cache: dict[str, Any],
    ) -> Array:
        """Make a block of the draws of a call, from the parameters of that block."""
        view = self.on_cpu(params)
        memory, index = ("cpu", 0) if view is not None else self._memory_of(params)
        kernels, params = _kernels.load(memory), self.detach(params)
        with self.context(kernels, index, params):
            if view is None:
                view = self.to_kernel(params, kernels.array_module())
            out = _kernels.draw(kernels, view, logits, block, key, dtype, cache, self.empty)
            return self.from_kernel(out, params)

    def _memory_of(self, x: Array, name: str = "") -> tuple[str, int]:
        x = self.detach(x)
        try:
            return _kernels.memory_of(x)
        except _kernels.UNREADABLE:
            title = self.library.title if self.library.name else self.name
            place, remedy = self.place_and_remedy(x)
            raise TypeError(
                "anycat draws from arrays in the memory of one CPU or CUDA device; "
                f"{name or f'this {title} array'} is on {place}: {remedy}"
            ) from None

    def place_and_remedy(self, x: Array) -> tuple[str, str]:
        """Tell where an array is that no kernel can read, and what to do about it."""
        return f"device {self.device(x)}", f"move it to the CPU first, by {self.library.to_cpu}"

    def context(self, kernels: Any, index: int, x: Array) -> AbstractContextManager[Any]:
        """Return the context in which kernels may read ``x`` and write what is made of it."""
        return kernels.context(index, x)  # type: ignore[no-any-return]

    def to_kernel(self, x: Array, module: Any) -> Array:
        """Return an array as one of the kernels' array module, in the same memory.

        NumPy's DLPack has no bfloat16, which is widened to float32, exactly, in a copy.
        """
        if module is np and str(x.dtype).endswith("bfloat16"):
            x = self.detach(self.xp.astype(x, self.xp.float32))
        return module.from_dlpack(x)

    def empty(self, module: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
        """Return an output for kernels, as an array of their array module."""
        return module.empty(shape, dtype)

    def from_kernel(self, out: Array, params: Array) -> Array:
        """Return draws or values as an array of the library, on the device of the parameters."""
        return compat.to_device(self.xp.from_dlpack(out), self.device(params))

    # --- truncation -----------------------------------------------------------------------------

    def masked(self, x: Array, mask: Array, logits: bool, cache: dict[str, Any]) -> Array | None:
        """Return parameters without the categories that a mask does not allow.

        The mask, of bools or packed, broadcasts to the batch. ``cache`` takes which rows have a
        positive probability left. Returns None where array operations are to do it.
        """
        views = self.untracked(x), self.on_cpu(mask)
        on_cpu = not any(view is None for view in views)
        index = 0 if on_cpu else self._cuda_device(x, mask)
        if index is None:
            return None
        kernels = self.cpu if on_cpu else _kernels.load("cuda")
        with self.context(kernels, index, x), self.context(kernels, index, mask):
            if not on_cpu:
                module = kernels.array_module()
                views = tuple(self.to_kernel(self.detach(y), module) for y in (x, mask))
            found = kernels.masked(*views, logits, self.empty)
            if found is None:
                return None
            result, cache["rows left"] = (self.from_kernel(y, x) for y in found)
        return result

    def _cuda_device(self, x: Array, mask: Array) -> int | None:
        """Return the number of the CUDA device that both arrays are on, if nothing tracks them."""
        tracked = self.is_traced(x) or self.is_traced(mask)
        if tracked or not self.can_cache((x, self.detach(x)), x):
            return None
        try:
            ((memory, index),) = {_kernels.memory_of(self.detach(y)) for y in (x, mask)}
        except _kernels.UNREADABLE:  # or the arrays are in different memory
            return None
        return index if memory == "cuda" else None

    def truncate(
        self, x: Array, logits: bool, arguments: Sequence[Any], cache: dict[str, Any]
    ) -> Array:
        """Return truncated parameters: see `Categorical.truncate`.

        The arguments are None, numbers, or arrays of the shape of the batch. ``cache`` takes what
        kernels learn of the rows of the result.
        """
        view = self.on_cpu(x)
        memory, index = ("cpu", 0) if view is not None else self._memory_of(x)
        kernels, like = _kernels.load(memory), self.detach(x)
        with contextlib.ExitStack() as stack:
            for y in (x, *arguments):
                if not is_number(y):
                    stack.enter_context(self.context(kernels, index, y))
            module = kernels.array_module()
            view = self.to_kernel(like, module) if view is None else view
            given = [
                y if is_number(y) else self.to_kernel(self.detach(y), module) for y in arguments
            ]
            found = kernels.truncate(view, logits, given, cache)
            floating = self.isdtype(x.dtype, "real floating")
            if floating and (found.dtype == view.dtype or arguments[0] is not None):
                result = self.from_kernel(found, like)
                sources = [y for y in (x, arguments[0]) if not is_number(y)]
                on_device = memory != "cpu" and self.can_cache((*sources, result), x)
                if on_device or all(self.untracked(y) is not None for y in sources):
                    return result
            keep = self.from_kernel(kernels.keeps(found, logits), like)
        return self.kept(x, logits, keep, arguments)

    def kept(self, x: Array, logits: bool, keep: Array, arguments: Sequence[Any]) -> Array:
        """Return parameters that are truncated to the categories that a mask keeps.

        The temperature has been applied to narrow dtypes in float32, which the result then has.
        """
        xp, (temperature, *_) = self.xp, arguments
        with self.errstate():
            if temperature is not None:
                x = xp.astype(x, self.traits(x).compute, copy=False)
                if is_number(temperature):
                    device = self.creation_device(x)
                    temperature = xp.asarray(temperature, dtype=x.dtype, device=device)
                x = _parameters.tempered(xp, x, temperature, self.divide)
            return xp.where(keep, x, xp.asarray(-np.inf if logits else 0, dtype=x.dtype))

    def divide(self, x: Array, y: Array) -> Array:
        """Return x / y, correctly rounded also where the library compiles."""
        return x / y

    # --- random bits ----------------------------------------------------------------------------

    def reads(self, rng: Any) -> bool:
        """Tell whether ``rng`` is a generator or key of the library."""
        return False

    def is_stateless(self, rng: Any) -> bool:
        """Tell whether such an ``rng`` gives the same bits each time it is read."""
        return False

    def random_words(self, rng: RNG) -> Any:
        """Take 128 bits from such an ``rng``, as four 32-bit words."""
        raise NotImplementedError

    def default_words(self) -> Any:
        """Take such words for ``rng=None``, from the library's own default generator if it has one.

        The default is fresh entropy.
        """
        return np.frombuffer(os.urandom(16), np.uint32)

    def random_source(self, rng: RNG) -> tuple[Any, int, int] | None:
        """Return what compiled code can take those words from, if ``rng`` has it.

        That is a lock to hold, and the addresses of a function, which returns the next 64 bits, and
        of its argument.
        """
        return None

    def random_key(self, rng: RNG) -> Array:
        """Take words as kernels want them, in a new array."""
        words = self.default_words() if rng is None else self.random_words(rng)
        return np.asarray(words, np.uint64)

    def integers(self, x: Any, name: str = "") -> Any:
        """Return integers as an array of the kernels for their memory, without a copy if possible.

        Constants, which are Python's ints and NumPy's arrays, are returned as they are.
        """
        if isinstance(x, (int, np.ndarray, np.generic)):
            return x
        view = self.on_cpu(x)
        if view is not None:
            return view
        memory, index = self._memory_of(x, name)
        kernels, x = _kernels.load(memory), self.detach(x)
        with self.context(kernels, index, x):
            return self.to_kernel(x, kernels.array_module())

    def key_of_rows(self, numbers: tuple[Any, Any], batch: tuple[int, ...], module: Any) -> Key:
        """Return the key of the seeds and positions of rows, in arrays of the kernels' module."""
        seeds, start = map(self.integers, numbers, ("seeds", "start"))
        return key_of_rows(module, (seeds, start), batch)

    def traced_key(self, numbers: tuple[Any, ...], batch: tuple[int, ...]) -> Array:
        """Return that key in the form in which the library traces random words."""
        raise NotImplementedError

    # --- the way in and out, for ``python -m anycat`` and the tests -----------------------------

    def unavailable_reason(self, memory: str) -> str | None:
        """Tell why the library has no arrays in a kind of memory here; None if it has."""
        return None

    def from_numpy(self, x: Any, memory: str) -> Array:
        """Return an array of NumPy as one of the library, in a kind of memory."""
        return self.xp.asarray(x)

    def to_numpy(self, x: Array) -> Any:
        """Return an array of the library as one of NumPy."""
        return np.asarray(x)


def is_number(x: Any) -> bool:
    """Tell whether an argument is a number, or None, and not an array."""
    return x is None or isinstance(x, (int, float))  # PyTorch 2.8 cannot compile a union


ARRAY = "an array"  # stands for one among arguments


def take_arrays(arguments: Sequence[Any]) -> tuple[tuple[Any, ...], list[Array]]:
    """Return arguments with their arrays replaced, and these."""
    numbers = tuple(x if is_number(x) else ARRAY for x in arguments)
    return numbers, [x for x in arguments if not is_number(x)]


def put_arrays(arguments: Sequence[Any], arrays: Sequence[Array]) -> list[Any]:
    """Return arguments with their arrays in place."""
    given = iter(arrays)
    return [x if is_number(x) else next(given) for x in arguments]


@functools.cache
def _traits(backend: Backend, dtype: Any, device: Any, *_: Any) -> Traits:
    xp = backend.xp
    floating = backend.isdtype(dtype, "real floating")
    real = dtype if floating else xpx.default_dtype(xp)
    compute = xp.float32 if backend.finfo(real).bits < 32 else real
    return Traits(
        real,
        compute,
        xpx.default_dtype(xp, "indexing", device=device),
        float(backend.finfo(compute).eps),
        float(backend.finfo(compute).max),
    )


# Dtypes of a few bits, and what has all their numbers. Libraries support them in part only.
_WIDER = {
    **dict.fromkeys(("float4", "float6", "float8"), "float32"),
    **dict.fromkeys(("int1", "int2", "int4"), "int8"),
    **dict.fromkeys(("uint1", "uint2", "uint4"), "uint8"),
}


@functools.lru_cache(None, typed=True)  # dtypes of two libraries may be equal
def _wider_dtype(dtype: Any) -> str | None:
    """Return what to convert a dtype of too few bits to, if it is one."""
    return _WIDER.get(str(dtype).split("_")[0])  # float8_e4m3fn and the like


@functools.cache
def isdtype(xp: Namespace, dtype: Any, kind: str | tuple[str, ...]) -> bool:
    """Do what `Backend.isdtype` does, with a namespace."""
    if getattr(dtype, "names", None):  # of which NumPy refuses some
        return False
    return "real floating" in kind if str(dtype) == "bfloat16" else bool(xp.isdtype(dtype, kind))
