"""Hostile parameters: values, shapes and layouts, all chosen by a `random.Random`.

Values are cut from pools, at random places, because a case of `fuzz.py` must not take long.
"""

from __future__ import annotations

import functools
import math
import tempfile
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]

POOL = 1 << 17  # entries
MAX_ENTRIES = 1 << 15  # of parameters
FLOATS = ("float16", "float32", "float64", "bfloat16")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


class Params(NamedTuple):
    """Parameters, as a distribution gets them and as an ordinary array of NumPy."""

    form: str
    kind: str
    dtype: str
    library: str
    layout: str
    plain: Array
    given: Any


# --- values -------------------------------------------------------------------------------------


def numpy_dtype(name: str) -> np.dtype[Any]:
    if name == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


def finfo(dtype: np.dtype[Any]) -> Any:
    if dtype.kind == "V":
        import ml_dtypes

        return ml_dtypes.finfo(dtype)
    return np.finfo(dtype)


def bits(rng: np.random.Generator, dtype: np.dtype[Any]) -> Array:
    """Return finite numbers with all exponents, subnormal ones and zeros among them."""
    x = rng.integers(0, 256, POOL * dtype.itemsize, np.uint8).view(dtype)
    return np.where(np.isfinite(x), x, x.dtype.type(0))


def whole(rng: np.random.Generator, dtype: np.dtype[Any]) -> Array:
    """Return integers of all sizes."""
    x = rng.integers(0, 256, POOL * dtype.itemsize, np.uint8).view(dtype)
    return x >> rng.integers(0, 8 * dtype.itemsize, POOL).astype(dtype)


Maker = dict[str, "Callable[[np.random.Generator, Any, np.dtype[Any]], Array]"]

PROBS: Maker = {
    "uniform": lambda rng, info, _: rng.random(POOL),
    "all exponents": lambda rng, info, dtype: np.abs(bits(rng, dtype)),
    "wide": lambda rng, info, _: np.exp2(rng.uniform(-60, 0, POOL)),
    "ties": lambda rng, info, _: rng.integers(0, 4, POOL),
    "equal": lambda rng, info, _: np.full(POOL, 0.3),
    "sparse": lambda rng, info, _: rng.choice([0.0, -0.0, 0.0, -0.0, 1.0], POOL),
    "zeros": lambda rng, info, _: rng.choice([0.0, -0.0], POOL),
    "subnormal": lambda rng, info, _: rng.integers(0, 9, POOL) * float(info.smallest_subnormal),
    "large": lambda rng, info, _: rng.random(POOL) * (float(info.max) / 2**16),
    "overflowing": lambda rng, info, _: rng.random(POOL) * float(info.max),
    "below a power of 2": lambda rng, info, _: 1 - rng.integers(0, 3, POOL) * float(info.eps) / 2,
    "beside 1": lambda rng, info, _: np.where(
        rng.random(POOL) < 0.02, 1.0, np.exp2(-rng.integers(0, 70, POOL).astype(float))
    ),
}
LOGITS: Maker = {
    "normal": lambda rng, info, _: 3 * rng.standard_normal(POOL),
    "wide": lambda rng, info, _: 100 * rng.standard_normal(POOL),
    "all exponents": lambda rng, info, dtype: bits(rng, dtype),
    "masked": lambda rng, info, _: rng.choice(
        [-np.inf, -float(info.max), max(-1e9, -float(info.max)), 0.0, 1.0], POOL
    ),
    "minus infinity": lambda rng, info, _: np.full(POOL, -np.inf),
    "ties": lambda rng, info, _: rng.integers(-2, 3, POOL),
    "high": lambda rng, info, _: rng.random(POOL) + min(3e6, float(info.max) / 2),
    "low": lambda rng, info, _: rng.random(POOL) - min(3e6, float(info.max) / 2),
    "borders": lambda rng, info, _: np.clip(
        rng.choice([2.0**20, -(2.0**20), -(2.0**21)], POOL) + rng.integers(-2, 3, POOL) / 4,
        -float(info.max),
        float(info.max),
    ),
    "80 below": lambda rng, info, _: rng.choice([0.0, -80.0], POOL) + rng.integers(-2, 3, POOL) / 8,
    "half of log(2)": lambda rng, info, _: (rng.integers(-40, 41, POOL) + 0.5) * math.log(2),
    "subnormal": lambda rng, info, _: rng.integers(-9, 9, POOL) * float(info.smallest_subnormal),
    "largest": lambda rng, info, _: rng.choice([1.0, -1.0, 0.0], POOL) * float(info.max),
}
WHOLE: Maker = {
    "all sizes": lambda rng, info, dtype: whole(rng, dtype),
    "few": lambda rng, info, _: rng.integers(0, 4, POOL),
    "ones": lambda rng, info, _: np.ones(POOL),
}
KINDS = {"probs": PROBS, "logits": LOGITS}
SPECIALS = ["nan", "-nan", "inf", "-inf", "-0.0", "0", "-1", "max", "-max", "least", "-least"]


def kinds(form: str, dtype: np.dtype[Any]) -> Maker:
    return KINDS[form] if dtype.kind in "fV" else WHOLE


@functools.cache
def pool(form: str, kind: str, name: str) -> Array:
    """Return numbers of a kind; those of integers and probabilities are not negative."""
    dtype, rng = numpy_dtype(name), np.random.default_rng(20261128)
    with np.errstate(all="ignore"):
        info = finfo(dtype) if dtype.kind in "fV" else None
        x = kinds(form, dtype)[kind](rng, info, dtype).astype(dtype)
        return np.abs(x) if form == "probs" and dtype.kind == "i" else x


def special(name: str, dtype: np.dtype[Any]) -> Any:
    """Return a special number; for integers, one of their own."""
    sign = -1.0 if name[0] == "-" else 1.0
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return {"max": info.max, "-max": info.min, "-1": max(-1, int(info.min))}.get(name, 0)
    if dtype.kind == "b":
        return name == "max"
    info = finfo(dtype)
    numbers = {"max": float(info.max), "least": float(info.smallest_subnormal)}
    number = name.lstrip("-")
    return math.copysign(numbers.get(number) or float(number), sign)


# --- shapes -------------------------------------------------------------------------------------

SIZES: dict[int, Sequence[int]] = {  # how often, and numbers of categories
    60: (1, 2, 3, 4, 5, 7, 8, 10, 18),
    30: (31, 32, 33, 48, 49, 63, 64, 65, 127, 128, 129, 130, 256, 257),
    7: range(1, 400),
    3: (1000, 4095, 4096, 4097, 5000, 8191, 8192, 8193, 12289, 20000),
}
BATCHES: dict[int, tuple[Shape, ...]] = {  # how often, and shapes
    40: ((),),
    30: ((1,), (2,), (3,), (7,), (2, 3), (3, 1), (1, 5), (2, 1, 3)),
    20: ((16,), (31,), (63,), (64,), (65,), (4, 16), (5, 13), (2, 2, 2, 2)),
    5: ((0,), (0, 3), (2, 0), (1, 0, 1)),
    4: ((1,) * 40, (*(1,) * 20, 2, *(1,) * 20), (1,) * 60),
    1: ((130,), (1000,), (40, 50), (8000,)),
}
SAMPLE_SHAPES: tuple[int | Shape, ...] = (
    *((), 1, 2, 3, 5, (1,), (2,), (4, 3), (1, 1, 2), [2, 2]),
    *(0, (0,), (2, 0), 16, 17, 63, 64, 100, (8, 16), (), 1, (2,), 1000, 3000),
)


def pick(random: Random, weighted: dict[int, Any]) -> Any:
    return random.choices(list(weighted.values()), list(weighted))[0]


def shape(random: Random) -> Shape:
    """Return a shape of parameters, with no more than MAX_ENTRIES."""
    size = random.choice(pick(random, SIZES))
    batch = random.choice(pick(random, BATCHES))
    if math.prod(batch) * size > MAX_ENTRIES:
        batch = tuple(min(n, max(1, MAX_ENTRIES // size // 4)) for n in batch)
    return (*batch, size) if math.prod(batch) * size <= MAX_ENTRIES else (size,)


# --- layouts ------------------------------------------------------------------------------------


class Plain(np.ndarray):  # type: ignore[type-arg]
    """A class of arrays from which values are computed by NumPy's operations."""


def transposed(x: Array, random: Random) -> Array:
    order = random.sample(range(x.ndim), x.ndim)
    return np.ascontiguousarray(x.transpose(order)).transpose(np.argsort(order))


def backwards(x: Array, random: Random) -> Array:
    axes = tuple(a for a in range(x.ndim) if random.random() < 0.6)
    return np.flip(np.flip(x, axes).copy(), axes)


def stepped(x: Array, random: Random) -> Array:
    axis, step = random.randrange(x.ndim), random.choice((2, 3))
    wide = np.full([n * step if a == axis else n for a, n in enumerate(x.shape)], 77, x.dtype)
    view = wide[(slice(None),) * axis + (slice(step - 1, None, step),)]
    view[...] = x
    return view


def repeated(x: Array, random: Random) -> Array:
    axis = random.randrange(x.ndim)
    return np.broadcast_to(x[(slice(None),) * axis + (slice(0, 1),)], x.shape)


def unaligned(x: Array, random: Random) -> Array:
    y = np.empty(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    y[...] = x
    return y


def field(x: Array, random: Random) -> Array:
    records = np.zeros(x.shape, [("flag", "u1"), ("x", x.dtype)])
    records["x"] = x
    return records["x"]


def swapped(x: Array, random: Random) -> Array:
    return x if x.dtype.kind == "V" else x.astype(x.dtype.newbyteorder())


def read_only(x: Array, random: Random) -> Array:
    x.flags.writeable = False
    return x


def mapped(x: Array, random: Random) -> Array:
    if not x.size or x.size > 1000:
        return x
    with tempfile.TemporaryFile() as file:
        y = np.memmap(file, x.dtype, "w+", shape=x.shape)
    y[...] = x
    return y


def nested(x: Array, random: Random) -> Any:
    """Return lists, where these become an array of the same dtype."""
    return x.tolist() if x.dtype in (np.float64, np.bool) and x.size else x


def in_torch(x: Array) -> Any:
    import torch

    x = np.array(x, order="C")
    if x.dtype.kind == "V":
        return torch.from_numpy(x.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(x)


def torch_transposed(x: Array, random: Random) -> Any:
    order = random.sample(range(x.ndim), x.ndim)
    return in_torch(x.transpose(order)).permute(tuple(np.argsort(order).tolist()))


def torch_stepped(x: Array, random: Random) -> Any:
    y = in_torch(np.repeat(x, 2, axis=-1))
    y[..., 1::2] = 77 if x.dtype.kind != "b" else True
    return y[..., ::2]


def torch_repeated(x: Array, random: Random) -> Any:
    axis = random.randrange(x.ndim)
    return in_torch(x[(slice(None),) * axis + (slice(0, 1),)]).expand(x.shape)


def torch_negative(x: Array, random: Random) -> Any:
    """Return a view whose memory has the negated numbers."""
    import torch

    return torch._neg_view(-in_torch(x)) if x.dtype.kind in "ifV" else in_torch(x)


def torch_gradient(x: Array, random: Random) -> Any:
    return in_torch(x).requires_grad_(x.dtype.kind in "fV")


def in_strict(x: Array) -> Any:
    import array_api_strict

    return array_api_strict.asarray(x)


def in_dask(x: Array) -> Any:
    import dask.array as da

    return da.from_array(x, tuple(-(-n // 2) for n in x.shape))


IN = {"torch": in_torch, "array_api_strict": in_strict, "dask": in_dask}
Layouts = dict[str, "Callable[[Array, Random], Any]"]
LAYOUTS: dict[str, Layouts] = {
    "numpy": {
        "C": lambda x, random: x,
        "F": lambda x, random: np.asfortranarray(x),
        "transposed": transposed,
        "backwards": backwards,
        "stepped": stepped,
        "repeated": repeated,
        "unaligned": unaligned,
        "field": field,
        "byte-swapped": swapped,
        "read-only": read_only,
        "memory-mapped": mapped,
        "lists": nested,
        "subclass": lambda x, random: x.view(Plain),
    },
    "torch": {
        "C": lambda x, random: in_torch(x),
        "transposed": torch_transposed,
        "stepped": torch_stepped,
        "repeated": torch_repeated,
        "negative": torch_negative,
        "gradient": torch_gradient,
    },
    "array_api_strict": {"C": lambda x, random: in_strict(x)},
}
LIBRARIES = {"numpy": 30, "torch": 9, "array_api_strict": 1}  # how often
OTHERS = ("dask", "jax")  # which take long for each call, or for each shape
DTYPES = dict.fromkeys(LIBRARIES, (*FLOATS, *INTEGERS, "bool"))
DTYPES["dask"] = DTYPES["numpy"]
DTYPES["array_api_strict"] = ("float32", "float64", *INTEGERS, "bool")


def installed() -> tuple[str, ...]:
    return tuple(name for name in (*LIBRARIES, *OTHERS) if find_spec(name))


def get(x: Any) -> Array:
    """Return an array of any library as one of NumPy; bfloat16 becomes float32."""
    if hasattr(x, "detach"):
        x = x.detach().resolve_neg()
        x = (x.float() if str(x.dtype) == "torch.bfloat16" else x).numpy()
    x = np.asarray(x)
    return x.astype(np.float32) if x.dtype.kind == "V" else x


def contiguous(x: Any, dtype: np.dtype[Any]) -> Array:
    """Return parameters, given in any way, as an ordinary array."""
    if hasattr(x, "detach"):
        x = get(x)
    with np.errstate(invalid="ignore"):
        return np.array(x, dtype, order="C", subok=False)


def params(random: Random, libraries: tuple[str, ...]) -> Params:
    """Return parameters that a random number generator chooses."""
    frequent = [name for name in libraries if name in LIBRARIES]
    library = random.choices(frequent, [LIBRARIES[name] for name in frequent])[0]
    names = DTYPES[library]
    if not find_spec_cached("ml_dtypes"):
        names = tuple(name for name in names if name != "bfloat16")
    name = random.choice(names[:4] if random.random() < 0.75 else names)
    dtype, form = numpy_dtype(name), random.choice(("probs", "logits"))
    kind, whole = random.choice(list(kinds(form, dtype))), shape(random)
    n = math.prod(whole)
    begin = random.randrange(POOL - n)
    x = pool(form, kind, name)[begin : begin + n].copy()
    if n and random.random() < 0.3:
        for _ in range(random.choice((1, 1, 2, 5))):
            x[random.randrange(n)] = special(random.choice(SPECIALS), dtype)
    layout = random.choice(list(LAYOUTS[library]))
    given = LAYOUTS[library][layout](x.reshape(whole), random)
    return Params(form, kind, name, library, layout, contiguous(given, dtype), given)


find_spec_cached = functools.cache(find_spec)
