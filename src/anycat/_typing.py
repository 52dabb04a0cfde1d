"""Types of the public interface. All but `ArrayT` are for type checkers alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal, Protocol, SupportsIndex, TypeAlias, TypedDict

    import numpy as np
    from numpy.typing import NDArray
    from typing_extensions import TypeVar

    # --- arrays and numbers: protocols, as no library need be installed --------------------------

    class Array(Protocol):
        """An array of any library."""

        # Not its shape: mypy may look at it before it has inferred the type that it has in Dask.
        @property
        def dtype(self) -> Any: ...
        def __getitem__(self, key: Any, /) -> Any: ...

    class Table(Protocol):
        """An object of pandas, polars or xarray."""

        def to_numpy(self) -> Any: ...

    Integer: TypeAlias = int | np.integer[Any]
    Number: TypeAlias = float | np.number[Any] | np.bool_
    # Of some depth: if they were recursive, a string would be a list of lists.
    IntegerList: TypeAlias = "Sequence[Integer | Sequence[Integer | Sequence[Integer]]]"
    NumberList: TypeAlias = "Sequence[Item | Sequence[Item]]"
    Item: TypeAlias = Number | NDArray[Any]
    FloatList: TypeAlias = "Sequence[float | Sequence[float | Sequence[float | Sequence[float]]]]"

    Integers: TypeAlias = Integer | IntegerList | Array | Table
    Numbers: TypeAlias = Number | FloatList | NumberList | Array | Table
    # Of each row, or None for rows that go without.
    IntegersOrNone: TypeAlias = Integers | Sequence[int | None] | None
    NumbersOrNone: TypeAlias = Numbers | Sequence[float | None] | None
    ToNumPy: TypeAlias = NDArray[Any] | NumberList | Table
    """A NumPy array, or what is converted to one."""

    ArrayT = TypeVar("ArrayT", bound=Array, covariant=True, default=Any)
    NumPyT = TypeVar("NumPyT", bound=NDArray[Any])
    FloatT = TypeVar("FloatT", bound=np.floating[Any])

    NumPyArray: TypeAlias = NDArray[Any]
    NumPyFloats: TypeAlias = NDArray[FloatT]
    NumPyFloat64: TypeAlias = NDArray[np.float64]
    NumPyInt64: TypeAlias = NDArray[np.int64]

    # --- arguments ------------------------------------------------------------------------------

    class TorchGenerator(Protocol):
        """A `torch.Generator`."""

        def initial_seed(self) -> int: ...

    class TorchDType(Protocol):
        """A `torch.dtype`."""

        @property
        def is_floating_point(self) -> bool: ...

    # CuPy has no types, so that its generators are Any.
    RNG: TypeAlias = (
        SupportsIndex  # an int, or a key of JAX: its arrays have that method
        | np.random.SeedSequence
        | np.random.BitGenerator
        | np.random.Generator
        | TorchGenerator
        | None
    )
    Shape: TypeAlias = SupportsIndex | Sequence[SupportsIndex]
    IntDType: TypeAlias = (
        type[int]
        | type[np.integer[Any]]
        | np.dtype[np.integer[Any]]
        | TorchDType
        | Literal["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
    )

    class Nothing(TypedDict):
        """No more arguments: what is left for `_keywords.report_unknown`."""

    class Options(TypedDict, total=False):
        """Options of the constructor."""

        validate_args: bool | None
        clamp_probs: bool

    class Source(TypedDict, total=False):
        """The random numbers of a call."""

        rng: RNG
        seeds: Integers | None
        start: Integers

    class Draws(Source, total=False):
        """The random numbers of `sample`, and whether to draw with replacement."""

        replace: bool

else:
    from typing import TypeVar

    ArrayT = TypeVar("ArrayT", covariant=True)
