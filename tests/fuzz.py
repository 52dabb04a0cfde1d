"""Fuzz the public API: ``python tests/fuzz.py --cases 100000``, or ``--seconds 60``.

A case is a distribution with hostile parameters and a few checks of it, all chosen by the seed and
the number of the case alone. `hostile.py` makes parameters; `oracle.py` and `reference.py` tell
draws and values. Nothing but what `anycat` itself raises for a wrong argument, and no warning, may
leave a call. A failure prints the command that repeats it.
"""

from __future__ import annotations

import argparse
import copy
import faulthandler
import functools
import importlib.metadata
import itertools
import json
import math
import pickle
import platform
import re
import sys
import time
import traceback
import warnings
from collections import Counter, deque
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor
from functools import cached_property
from multiprocessing import get_context
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

import hostile
import numpy as np
import oracle
from reference import Bounded, Reference

import anycat.numba
from anycat import Categorical, _progress, kl_divergence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Array = np.ndarray[Any, Any]
Shape = tuple[int, ...]
Errors = type[Exception] | tuple[type[Exception], ...]

SOURCE = str(Path(anycat.__file__).parent)
RESULTS = Path(__file__).parents[1] / "benchmarks" / "results" / "fuzz.json"
MAX_DRAWS = 1 << 14
CHECKS_PER_CASE = 2
ORACLE_ENTRIES = {"probs": 60, "logits": 8}  # that a case asks the oracle for, on average
CHUNK = 500  # cases


# --- sources of random bits ---------------------------------------------------------------------


def halves(*words: int) -> list[int]:
    return [half for word in words for half in (word & 0xFFFFFFFF, word >> 32)]


def raw_words(bits: np.random.BitGenerator) -> list[int]:
    """Return what docs/reproducibility.md says that a call takes."""
    if isinstance(bits, np.random.MT19937):  # two outputs make a number, the high half first
        a, b, c, d = map(int, bits.random_raw(4))
        return [b, a, d, c]
    return halves(*map(int, bits.random_raw(2)))


def torch_generator(seed: int) -> Any:
    import torch

    return torch.Generator().manual_seed(seed % 2**63)


def torch_words(seed: int) -> list[int]:
    import torch

    words = torch.empty(2, dtype=torch.int64)
    words.random_(-(2**63), None, generator=torch_generator(seed))
    return halves(*words.numpy().view(np.uint64).tolist())


class Source(NamedTuple):
    """How to make an ``rng`` of a seed, and the four words that a call takes from it."""

    rng: Callable[[int], Any]
    words: Callable[[int], list[int]]


def bit_source(cls: Any, wrap: Callable[[Any], Any]) -> Source:
    return Source(lambda seed: wrap(cls(seed)), lambda seed: raw_words(cls(seed)))


def seed_words(seed: int) -> list[int]:
    return raw_words(np.random.PCG64(seed))


BIT_GENERATORS = ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64")
RNGS: dict[str, Source] = {
    "int": Source(int, seed_words),
    "NumPy's int": Source(lambda seed: np.uint64(seed % 2**64), lambda s: seed_words(s % 2**64)),
    "SeedSequence": Source(np.random.SeedSequence, seed_words),
    **{name: bit_source(getattr(np.random, name), lambda x: x) for name in BIT_GENERATORS},
    **{
        f"Generator of {name}": bit_source(getattr(np.random, name), np.random.Generator)
        for name in BIT_GENERATORS
    },
    "torch.Generator": Source(torch_generator, torch_words),
}
SEEDS: tuple[Callable[[Random], int], ...] = (
    lambda random: random.randrange(10),
    lambda random: random.getrandbits(32),
    lambda random: random.getrandbits(64),
    lambda random: random.getrandbits(200),
)


# --- a case -------------------------------------------------------------------------------------


class Case:
    """One distribution, and what is expected of it."""

    def __init__(self, seed: int, index: int, libraries: tuple[str, ...]) -> None:
        self.random = random = Random(f"{seed}/{index}")
        self.libraries = libraries
        self.counts: Counter[str] = Counter()
        self.params = hostile.params(random, libraries)
        self.form, self.plain = self.params.form, self.params.plain
        self.batch: Shape = self.plain.shape[:-1]
        self.size: int = self.plain.shape[-1]
        self.validate = random.random() < 0.6
        self.options = {"clamp_probs": random.random() < 0.5}
        self.rng_kind = random.choice([n for n in RNGS if "torch" in libraries or "torch" not in n])
        self.seed = random.choice(SEEDS)(random)
        self.sample_shape = random.choice(hostile.SAMPLE_SHAPES)
        if math.prod(self.shape_of_samples) * math.prod(self.batch) > MAX_DRAWS:
            self.sample_shape = ()

    def describe(self) -> str:
        p = self.params
        return (
            f"{p.library}, {p.form}: {p.kind}, {p.dtype}, shape {self.plain.shape}, {p.layout}, "
            f"validate_args={self.validate}, {self.options}, sample_shape={self.sample_shape}, "
            f"rng: {self.rng_kind} of {self.seed}"
        )

    # --- what the dtype and the library imply

    @property
    def shape_of_samples(self) -> Shape:
        shape = self.sample_shape
        return (shape,) if isinstance(shape, int) else tuple(shape)

    @cached_property
    def dtype(self) -> str:
        """The name of the dtype of results."""
        floating = self.params.dtype in hostile.FLOATS
        default = "float32" if self.params.library == "torch" else "float64"
        return self.params.dtype if floating else default

    @cached_property
    def rounding(self) -> tuple[float, float, float]:
        """The eps, the smallest and the largest number of that dtype."""
        return _rounding(self.dtype)

    @cached_property
    def drawn(self) -> Array:
        """The rows in the dtype in which draws are computed."""
        narrow = self.params.dtype in ("float16", "bfloat16", "float32")
        return self.plain.astype(np.float32 if narrow else np.float64)

    @cached_property
    def expected(self) -> Reference:
        dtype = np.float64 if self.dtype == "float64" else np.float32
        with np.errstate(over="ignore"):
            x = self.plain.astype(dtype)
        return Reference(x, self.form == "logits", self.options["clamp_probs"])

    @property
    def whole(self) -> bool:
        """Whether all rows are valid."""
        return bool(self.expected.valid.all())

    # --- distributions

    def new(self, x: Any, **options: Any) -> Categorical:
        options = {"validate_args": False, **self.options, **options}
        return Categorical(**{self.form: x}, **options)

    @cached_property
    def dist(self) -> Categorical:
        """The distribution, without checks if its rows are refused."""
        if not self.validate or self.expected.unclear:
            return self.new(self.params.given)
        if self.whole:
            return self.new(self.params.given, validate_args=True)
        refuse(
            lambda: self.new(self.params.given, validate_args=True), ValueError, self._first_bad()
        )
        return self.new(self.params.given)

    def _first_bad(self) -> str:
        """Return what the message about the first invalid row must match."""
        place = np.unravel_index(int(np.argmin(self.expected.valid)), self.batch)
        return re.escape(self.form + f"[{', '.join(map(str, place))}"[: None if place else 0])

    def rng(self) -> Any:
        return RNGS[self.rng_kind].rng(self.seed)

    @cached_property
    def draws(self) -> Array:
        return hostile.get(self.dist.sample(self.sample_shape, rng=self.rng()))

    def array(self, x: Any, dtype: str | None = None) -> Any:
        """Return an array in the library of the parameters."""
        x = np.asarray(x, dtype)
        return hostile.IN.get(self.params.library, np.asarray)(x)

    def library_dtype(self, name: str) -> Any:
        if self.params.library in ("numpy", "dask"):
            return self.random.choice((name, np.dtype(name)))
        return getattr(sys.modules[self.params.library], name)


def name_of(dtype: Any) -> str:
    """Return the name of a dtype of any library, whatever its byte order."""
    if isinstance(dtype, np.dtype):
        return dtype.newbyteorder("=").name
    return str(dtype).rpartition(".")[2]


@functools.cache
def _rounding(dtype: str) -> tuple[float, float, float]:
    info = hostile.finfo(hostile.numpy_dtype(dtype))
    return float(info.eps), float(info.smallest_subnormal), float(info.max)


# --- comparisons --------------------------------------------------------------------------------


def equal(found: Any, expected: Any, what: str) -> None:
    found, expected = hostile.get(found), np.asarray(expected)
    assert found.shape == expected.shape, f"{what} has shape {found.shape}, not {expected.shape}"
    same = (found == expected) | ((found != found) & (expected != expected))
    if not same.all():
        at = tuple(map(int, np.unravel_index(int(np.argmin(same)), same.shape)))
        raise AssertionError(f"{what} at {at} is {found[at]!r}, not {expected[at]!r}")


def close(case: Case, found: Any, expected: Bounded, valid: Array, what: str) -> None:
    """Compare results, which are NaN where a row is invalid."""
    dtype = name_of(found.dtype)
    assert dtype == case.dtype, f"{what} has dtype {dtype}, not {case.dtype}"
    found, value = hostile.get(found), expected.value
    assert found.shape == value.shape, f"{what} has shape {found.shape}, not {value.shape}"
    eps, least, most = case.rounding
    with np.errstate(all="ignore"):
        bound = expected.error + eps * abs(value) + least
        good = np.where(np.isfinite(value), abs(found - value) <= bound, found == value)
        too_large = abs(value) > most * (1 - 4 * eps)
        good |= too_large & (found == np.copysign(np.inf, value))
    good = np.where(valid, good, found != found)
    if not good.all():
        at = tuple(map(int, np.unravel_index(int(np.argmin(good)), good.shape)))
        wanted = value[at] if np.broadcast_to(valid, good.shape)[at] else np.nan
        raise AssertionError(f"{what} at {at} is {found[at]!r}, not {wanted!r}")


def refuse(call: Callable[[], Any], kinds: Errors, pattern: str) -> None:
    """Check that a call raises an error of anycat's own."""
    try:
        found = call()
    except kinds as raised:
        error = raised
    else:
        raise AssertionError(f"accepted, with the result {found!r}; expected {pattern!r}")
    source = traceback.extract_tb(error.__traceback__)[-1].filename
    assert source.startswith(SOURCE), f"raised in {source}: {error!r}"
    assert re.search(pattern, str(error)), f"{error!r} does not match {pattern!r}"


# --- checks of draws ----------------------------------------------------------------------------


def check_draws(case: Case) -> None:
    """Draws are categories of positive probability, and -1 in invalid rows alone."""
    draws, valid = case.draws, case.expected.draws
    shape = case.shape_of_samples + case.batch
    assert draws.dtype == np.int64
    assert draws.shape == shape, f"draws have shape {draws.shape}, not {shape}"
    equal((draws >= 0) & (draws < case.size), np.broadcast_to(valid, shape), "being a category")
    equal(draws == -1, np.broadcast_to(~valid, shape), "being -1")
    rows, flat = max(1, math.prod(case.batch)), draws.reshape(-1)
    x = case.drawn.reshape(-1)[np.arange(flat.size) % rows * case.size + flat]
    least = 0 if case.form == "probs" else -math.inf
    assert ((x > least) | (flat == -1)).all(), "a category of probability zero"
    case.counts["draws"] += draws.size


def is_quick(case: Case) -> bool:
    """Tell whether the oracle may read a row of this case: it reads few long ones."""
    rows = math.prod(case.batch)
    return bool(rows) and case.random.random() * case.size <= ORACLE_ENTRIES[case.form]


def check_oracle(case: Case) -> None:
    """Some draws from a row are those of docs/draw.md."""
    if not case.draws.size or not is_quick(case):
        return
    rows, flat = math.prod(case.batch), case.draws.reshape(-1)
    r = case.random.randrange(rows)
    ends = oracle.boundaries(case.drawn.reshape(-1, case.size)[r], case.form)
    words = RNGS[case.rng_kind].words(case.seed)
    last = (flat.size - 1 - r) // rows
    for j in {0, last, case.random.randint(0, last)}:
        i = r + j * rows
        expected = oracle.outcome(ends, oracle.word(words, i))
        assert flat[i] == expected, f"draw {i} is {flat[i]}, not {expected}"
        case.counts["draws that the oracle makes"] += 1


def check_generator(case: Case) -> None:
    """A call advances a generator by two numbers, a seed not at all."""
    rng, twin = case.rng(), case.rng()
    equal(case.dist.sample(case.sample_shape, rng=rng), case.draws, "the same sample")
    bits, other = (getattr(x, "bit_generator", x) for x in (rng, twin))
    if isinstance(bits, np.random.BitGenerator):
        raw_words(other)
        assert bits.random_raw() == other.random_raw(), "the generator has advanced otherwise"
    elif case.rng_kind != "torch.Generator":
        equal(case.dist.sample(case.sample_shape, rng=rng), case.draws, "the sample of a seed")


def as_other_dtype(case: Case) -> Any:
    names = [x for x in hostile.INTEGERS if np.iinfo(x).max >= case.size - 1]
    signed = [x for x in names if x.startswith("int")]
    name = case.random.choice(names if case.dist._validate else signed)
    dtype = case.library_dtype(name)
    found = hostile.get(case.dist.sample(case.sample_shape, rng=case.rng(), dtype=dtype))
    assert found.dtype == name
    return found.astype(np.int64)


def as_copies(case: Case) -> Any:
    """Sample once from a copy of the rows for each sample."""
    if case.draws.size * case.size > 4 * hostile.MAX_ENTRIES:
        return case.draws
    shape = case.shape_of_samples + case.plain.shape
    return case.new(np.broadcast_to(case.plain, shape).copy()).sample(rng=case.rng())


def as_more(case: Case) -> Any:
    if not case.shape_of_samples:
        return case.draws
    n, *rest = case.shape_of_samples
    more = case.random.choice((1, 64, 700 if len(case.batch) == 0 else 2))
    return case.dist.sample((n + more, *rest), rng=case.rng())[:n, ...]


def as_pickled(case: Case) -> Any:
    if case.params.library == "torch" and case.params.dtype in ("uint16", "uint32", "uint64"):
        return case.draws  # PyTorch cannot pickle them
    copy = pickle.loads(pickle.dumps(case.dist))
    assert (copy.param_shape, copy._form) == (case.dist.param_shape, case.dist._form)
    return copy.sample(case.sample_shape, rng=case.rng())


def as_repeated_calls(case: Case) -> Any:
    """Sample until a table pays off, if there is one row."""
    for _ in range(3):
        case.dist.sample(case.sample_shape, rng=0, dtype=case.library_dtype("int64"))
    return case.dist.sample(case.sample_shape, rng=case.rng())


def as_tensor(case: Case) -> Any:
    if "torch" not in case.libraries:
        return case.draws
    return case.new(hostile.in_torch(case.plain)).sample(case.sample_shape, rng=case.rng())


WAYS: dict[str, Callable[[Case], Any]] = {
    "in another dtype": as_other_dtype,
    "from a plain array": lambda c: c.new(c.plain).sample(c.sample_shape, rng=c.rng()),
    "in a wide dtype": lambda c: c.new(c.drawn).sample(c.sample_shape, rng=c.rng()),
    "from tensors": as_tensor,
    "from copies of rows": as_copies,
    "expanded": lambda c: c.dist.expand(c.shape_of_samples + c.batch).sample(rng=c.rng()),
    "as the first of more": as_more,
    "flat": lambda c: hostile.get(
        c.dist.sample(math.prod(c.shape_of_samples), rng=c.rng())
    ).reshape(c.draws.shape),
    "pickled": as_pickled,
    "in repeated calls": as_repeated_calls,
}


def check_ways(case: Case) -> None:
    """Draws are the same in whatever way they are made."""
    for name in case.random.sample(list(WAYS), 2):
        equal(WAYS[name](case), case.draws, f"a sample {name}")
        case.counts[f"draws {name}"] += case.draws.size


def check_parts(case: Case) -> None:
    """A part of the batch is a distribution like any other."""
    random = case.random
    index = tuple(
        random.choice((slice(None), slice(None, None, -1), slice(1, None), random.randrange(n)))
        if n
        else slice(None)
        for n in case.batch[: random.randint(0, min(len(case.batch), 20))]
    )
    if case.params.library != "numpy":  # PyTorch has no negative steps, array-api-strict few axes
        index = tuple(i if isinstance(i, int) else slice(None) for i in index)
    if not case.batch:
        return
    part = case.dist[random.choice((index, (*index, ...)))]
    expected = case.plain[(*index, ..., slice(None))]
    assert part.batch_shape == expected.shape[:-1]
    found = part.sample(3, rng=case.seed)
    equal(found, case.new(expected.copy()).sample(3, rng=case.seed), "a sample of a part")


def check_seeds(case: Case) -> None:
    """Draws of rows that have seeds and positions are those of docs/draw.md."""
    if not is_quick(case):
        return
    random, rows, count = case.random, math.prod(case.batch), math.prod(case.shape_of_samples)
    seeds, start = (
        [random.choice((0, 1, most, random.randint(0, most))) for _ in range(rows)]
        for most in (2**63 - 1, 2**63 - 1 - count)
    )
    given: dict[str, Any] = {}
    for name, numbers, one in (("seeds", seeds, 2**64 - 1), ("start", start, 2**64 - 1 - count)):
        if random.random() < 0.5:
            numbers[:] = [random.choice((0, one, random.randint(0, one)))] * rows
            given[name] = numbers[0]
        else:
            given[name] = case.array(np.array(numbers, np.int64).reshape(case.batch))
    draws = hostile.get(case.dist.sample(case.sample_shape, **given)).reshape(count, rows)
    if count:
        r, j = random.randrange(rows), random.randrange(count)
        ends = oracle.boundaries(case.drawn.reshape(rows, case.size)[r], case.form)
        expected = oracle.outcome(ends, oracle.seeded_word(seeds[r], start[r] + j))
        assert draws[j, r] == expected, f"draw {j} of row {r} is {draws[j, r]}, not {expected}"
        case.counts["draws by seeds"] += 1


TRUNCATIONS: dict[str, Callable[[Case], Any]] = {
    "temperature": lambda c: c.random.choice((0.0, 1.0, 0.5, 1e-3, 1e3, c.random.random())),
    "top_k": lambda c: c.random.choice((1, 2, c.size, c.size + 5, c.random.randint(1, c.size))),
    "top_p": lambda c: c.random.choice((1.0, 0.9, 1e-9, 1 - 1e-9, 1 - c.random.random())),
    "min_p": lambda c: c.random.choice((0.0, 1.0, 0.1, 1e-6, c.random.random())),
}


def check_truncate(case: Case) -> None:
    """A truncated row has the categories that docs/draw.md leaves it."""
    if not is_quick(case):
        return
    random, rows = case.random, math.prod(case.batch)
    names = list(TRUNCATIONS)[case.form == "probs" :]
    given: dict[str, Any] = {}
    of_row: dict[str, Any] = {}
    r = random.randrange(rows)
    for name in random.sample(names, random.randint(1, len(names))):
        if random.random() < 0.7:
            given[name] = of_row[name] = TRUNCATIONS[name](case)
        else:
            numbers = np.array([TRUNCATIONS[name](case) for _ in range(rows)])
            given[name], of_row[name] = case.array(numbers.reshape(case.batch)), numbers[r].item()
    row = case.drawn.reshape(rows, case.size)[r]
    expected = oracle.truncated(row, case.form, **of_row)
    dist = case.dist.truncate(**given)
    found = hostile.get(dist._param).astype(row.dtype).reshape(rows, case.size)[r]
    if np.isnan(expected).all():
        assert case.form == "probs" or not (found > -np.inf).any() or np.isnan(found).any()
    else:
        equal(found, expected, f"row {r} truncated by {of_row}")
    draws = hostile.get(dist.sample(3, rng=case.seed)).reshape(3, rows)[:, r]
    ends, words = oracle.boundaries(expected, case.form), seed_words(case.seed)
    for j, draw in enumerate(draws):
        wanted = oracle.outcome(ends, oracle.word(words, j * rows + r))
        assert draw == wanted, f"draw {j} of row {r} truncated by {of_row} is {draw}, not {wanted}"
    case.counts["truncated rows"] += 1


def check_distinct(case: Case) -> None:
    """Each draw without replacement is that of a row that has lost those before."""
    n = case.random.choice((1, 2, 3, min(case.size, 12) + 1))
    if n * case.plain.size > 4 * hostile.MAX_ENTRIES:
        return
    dist, left = case.new(case.params.given), case.drawn.copy()
    found = hostile.get(dist.sample(n, replace=False, rng=case.rng()))
    rows = left.reshape(-1, case.size)
    for j in range(n):
        expected = np.asarray(case.new(left).sample(rng=case.rng(), start=j))
        equal(found[j], expected, f"draw {j} without replacement")
        (drawn,) = np.nonzero(expected.reshape(-1) >= 0)
        rows[drawn, expected.reshape(-1)[drawn]] = 0 if case.form == "probs" else -np.inf


def check_counts(case: Case) -> None:
    """Counts are those of the draws."""
    n, rows = case.random.choice((0, 1, 5, 300)), math.prod(case.batch)
    if n * rows > MAX_DRAWS:
        return
    draws = hostile.get(case.dist.sample(n, rng=case.rng())).reshape(n, rows)
    place = np.where(draws < 0, 0, draws) + np.arange(rows) * case.size
    counts = np.bincount(place.reshape(-1), minlength=case.plain.size).reshape(case.plain.shape)
    expected = np.where(case.expected.draws[..., None], counts, -1)
    equal(case.dist.sample_counts(n, rng=case.rng()), expected, "the counts")


class Bar:
    """What shows the progress of a call: it counts the draws."""

    def __init__(self, total: int, **_: Any) -> None:
        self.left = total
        self.closed = 0

    def update(self, n: int) -> None:
        assert n >= 0
        self.left -= n

    def close(self) -> None:
        self.closed += 1


def check_progress(case: Case) -> None:
    """A bar counts all draws, and does not change them."""
    bars: list[Bar] = []
    delay, _progress.DELAY = _progress.DELAY, -1.0  # show bars of short draws too
    try:
        with anycat.progress(lambda **options: bars.append(Bar(**options)) or bars[-1]):
            draws = case.dist.sample(case.sample_shape, rng=case.rng())
    finally:
        _progress.DELAY = delay
    equal(draws, case.draws, "a sample with a bar")
    for bar in bars:  # a few draws have none
        assert (bar.left, bar.closed) == (0, 1), f"{bar.left} draws left, closed {bar.closed} times"
    case.counts["bars"] += len(bars)


def check_numba(case: Case) -> None:
    """The functions for compiled code draw the same."""
    if not case.draws.size:
        return
    rows, flat = math.prod(case.batch), case.draws.reshape(-1)
    r, key = case.random.randrange(rows), anycat.numba.key(case.rng())
    row = case.drawn.reshape(rows, case.size)[r].copy()  # of one layout, to compile less
    logits = case.form == "logits"
    draw = anycat.numba.draw_logits if logits else anycat.numba.draw
    prepare = anycat.numba.prepare_logits if logits else anycat.numba.prepare
    table = prepare(row)
    for i in case.random.choices(range(r, flat.size, rows), k=3):
        for found in (draw(row, key, i), anycat.numba.draw_prepared(table, key, i)):
            assert found == flat[i], f"draw {i} by Numba is {found}, not {flat[i]}"


# --- checks of other libraries ------------------------------------------------------------------


def check_dask(case: Case) -> None:
    """Another check holds for chunks too."""
    other_dtype = case.params.library == "torch" and case.params.dtype not in hostile.FLOATS
    if "dask" not in case.libraries or other_dtype or len(case.batch) > 30:  # Dask's limit is 32
        return
    import dask
    import dask.array as da

    random, left, chunks = case.random, 8, []
    for n in case.plain.shape:
        size = random.randint(-(-n // left), n) if n else 0
        left //= -(-n // max(1, size)) or 1
        chunks.append(size)
    x = da.from_array(case.plain, tuple(chunks))
    twin = copy.copy(case)
    twin.params = case.params._replace(library="dask", layout=f"chunks {chunks}", given=x)
    vars(twin)["dist"] = case.new(x, validate_args=case.dist._validate)
    name = random.choice([x for x in IN_CHUNKS if x not in OF_VALUES or not case.expected.unclear])
    try:
        with dask.config.set(scheduler="synchronous"):
            IN_CHUNKS[name](twin)
            if case.validate and not case.whole and not case.expected.unclear:
                invalid = case.new(x, validate_args=True)
                refuse(lambda: hostile.get(invalid.mode), ValueError, f"^{case.form} must ")
    except Exception as error:
        error.add_note(f"in {name}, in chunks {chunks}")
        raise


# Few, as JAX compiles for each.
JAX_SHAPES = ((3,), "float32"), ((2, 65), "float64"), ((70, 7), "float32")
JAX_DRAWS: dict[str, Callable[[Categorical, Any], Any]] = {
    "sample": lambda d, seeds: d.sample(5, seeds=seeds),
    "sample without replacement": lambda d, seeds: d.sample(2, replace=False, seeds=seeds),
    "sample_counts": lambda d, seeds: d.sample_counts(9, seeds=seeds),
    "truncate": lambda d, seeds: d.truncate(top_k=2).sample(5, seeds=seeds),
}
JAX_VALUES: dict[str, Callable[[Categorical, Any], Any]] = {
    "log_prob": lambda d, _: d.log_prob(d.num_categories - 1),
    "prob": lambda d, _: d.prob(0),
    "probs": lambda d, _: d.probs,
    "logits": lambda d, _: d.logits,
    "entropy": lambda d, _: d.entropy(),
    "mode": lambda d, _: d.mode,
}


@functools.cache
def jitted(form: str, name: str) -> Any:
    import jax

    return jax.jit(lambda x, n: JAX_DRAWS[name](Categorical(**{form: x}, validate_args=False), n))


def check_jax(case: Case) -> None:
    """Draws are NumPy's in compiled functions, and all results are outside of them."""
    if "jax" not in case.libraries or not case.plain.size:
        return
    import jax

    random, (shape, dtype) = case.random, case.random.choice(JAX_SHAPES)
    with np.errstate(all="ignore"):
        x = np.resize(case.plain.astype(dtype), shape)
    seed, compiled = np.uint32(case.seed % 2**32), random.random() < 0.5
    members = JAX_DRAWS if compiled else JAX_DRAWS | JAX_VALUES
    with jax.enable_x64(dtype == "float64"):
        for name in random.sample(list(members), 2):
            expected = members[name](case.new(x), seed)
            if compiled:
                found = jitted(case.form, name)(x, seed)
            else:
                found = members[name](case.new(jax.numpy.asarray(x)), seed)
            equal(found, expected, f"{name} of {dtype} in JAX, {shape=}, {compiled=}")


# --- checks of values ---------------------------------------------------------------------------


def broadcast(shape: Shape, batch: Shape) -> Shape:
    """Return the shape to which two broadcast; NumPy's function has a limit of 32 axes."""
    pairs = itertools.zip_longest(reversed(shape), reversed(batch), fillvalue=1)
    return tuple(n if m == 1 else m for m, n in pairs)[::-1]


def categories(case: Case) -> tuple[Array, Array]:
    """Return categories whose shape broadcasts with the batch, and their full shape."""
    first = case.random.choice(((), (), (2,), (3, 1)))
    shape = first + tuple(1 if case.random.random() < 0.2 else n for n in case.batch)
    shape = shape[case.random.choice((0, 0, len(shape))) :]
    n = math.prod(shape)
    picks = [case.random.choice((0, case.size - 1, case.random.randrange(case.size)))] * 5
    value = np.resize([case.random.randrange(case.size) for _ in range(min(n, 20))] + picks, n)
    value = value.reshape(shape)
    return value, np.broadcast_to(value, broadcast(shape, case.batch))


def value_of(case: Case, value: Array) -> Any:
    """Return categories in a random dtype, as an array or a list."""
    names = [x for x in hostile.INTEGERS if np.iinfo(x).max >= case.size - 1]
    names += ["float32", "float64"] + ["float16"] * (case.size <= 2048)
    names = [x for x in names if x in hostile.DTYPES[case.params.library]]
    if value.size and case.random.random() < 0.2:
        return value.tolist()
    return case.array(value, case.random.choice(names))


def look_up(table: Bounded, index: Array) -> Bounded:
    def take(x: Any) -> Array:
        x = np.broadcast_to(x, table.value.shape)
        x = np.broadcast_to(x, (*index.shape, x.shape[-1]))
        ones = tuple(a for a, n in enumerate(index.shape) if n == 1)  # NumPy takes from 62 axes
        found = np.take_along_axis(x.squeeze(ones), index.squeeze(ones)[..., None], -1)
        return found.reshape(index.shape)

    return Bounded(take(table.value), take(table.error))


def check_log_prob(case: Case) -> None:
    value, whole = categories(case)
    found = case.dist.log_prob(value_of(case, value))
    valid = np.broadcast_to(case.expected.valid, whole.shape)
    close(case, found, look_up(case.expected.log_probs, whole), valid, "log_prob")


def check_sample_and_log_prob(case: Case) -> None:
    draws, logs = case.dist.sample_and_log_prob(case.sample_shape, rng=case.rng())
    equal(draws, case.draws, "the sample")
    value = np.maximum(case.draws, 0)
    valid = np.broadcast_to(case.expected.valid, value.shape)
    close(case, logs, look_up(case.expected.log_probs, value), valid, "its log_prob")


def check_prob(case: Case) -> None:
    value, whole = categories(case)
    found = case.dist.prob(value_of(case, value))
    valid = np.broadcast_to(case.expected.valid, whole.shape)
    close(case, found, look_up(case.expected.probs, whole), valid, "prob")


def check_cdf(case: Case) -> None:
    value, whole = categories(case)
    valid = np.broadcast_to(case.expected.valid, whole.shape)
    found = case.dist.cdf(value_of(case, value))
    close(case, found, look_up(case.expected.cdf, whole), valid, "cdf")
    for value, answer in ((-1, 0.0), (case.size - 1, 1.0), (case.size + 0.5, 1.0)):
        answers = np.where(case.expected.valid, answer, np.nan)
        equal(case.dist.cdf(value), answers, f"cdf({value})")


def check_icdf(case: Case) -> None:
    """The inverse is the first category whose cdf is not below the argument."""
    rows = math.prod(case.batch)
    if rows * case.size > 2000 or len(case.batch) > 20:
        return
    column = np.arange(case.size).reshape(-1, *(1 for _ in case.batch))
    cdf = hostile.get(case.dist.cdf(case.array(column)))
    q = [0.0, 1.0, case.random.random(), 0.5, 1e-9]
    q += [float(x) for x in cdf.reshape(-1)[:: max(1, cdf.size // 3)] if 0 <= x <= 1]
    level = np.array(q).reshape(-1, *(1 for _ in case.batch))
    found = hostile.get(case.dist.icdf(case.array(level)))
    expected = (cdf[None] < level[:, None]).sum(1)
    equal(found, np.where(case.expected.valid, expected, -1), "icdf")


def check_probs(case: Case) -> None:
    valid = case.expected.valid[..., None]
    close(case, case.dist.probs, case.expected.probs, valid, "probs")


def check_logits(case: Case) -> None:
    valid = case.expected.valid[..., None]
    close(case, case.dist.logits, case.expected.log_probs, valid, "logits")


def check_entropy(case: Case) -> None:
    close(case, case.dist.entropy(), case.expected.entropy, case.expected.valid, "entropy")


def check_perplexity(case: Case) -> None:
    close(case, case.dist.perplexity(), case.expected.perplexity, case.expected.valid, "perplexity")


def check_mode(case: Case) -> None:
    equal(case.dist.mode, case.expected.mode, "mode")


def check_divergence(case: Case) -> None:
    """The divergence from the categories in reverse order."""
    y = case.plain[..., ::-1]
    other = case.new(y.copy() if case.params.library == "numpy" else case.array(y))
    with np.errstate(over="ignore"):
        reverse = Reference(case.expected.x[..., ::-1], case.form == "logits", False)
    expected, unclear = case.expected.divergence(reverse)
    found = kl_divergence(case.dist, other)
    known = np.where(unclear, hostile.get(found), expected.value)
    close(case, found, Bounded(known, expected.error), case.expected.valid, "kl_divergence")


def check_attributes(case: Case) -> None:
    dist = case.dist
    assert dist.batch_shape == case.batch
    assert dist.param_shape == case.plain.shape
    assert dist.num_categories == case.size == len(dist.support)
    assert name_of(dist.dtype) == case.dtype
    assert repr(dist).startswith(f"Categorical({case.form}")
    assert len(repr(dist)) < 400
    assert dist._repr_html_().startswith("<div>")
    column = np.arange(case.size).reshape(-1, *(1 for _ in case.batch))
    equal(dist.enumerate_support(expand=False), column, "the support")
    if case.plain.size <= 4000:
        everything = np.broadcast_to(column, (case.size, *case.batch))
        equal(dist.enumerate_support(), everything, "the expanded support")
    equal(dist.mean, np.full(case.batch, np.nan), "mean")
    if case.batch and case.batch[0] < 8 and len(case.batch) < 20:
        assert len(list(dist)) == len(dist) == case.batch[0]


# --- wrong arguments ----------------------------------------------------------------------------


class Wrong(NamedTuple):
    """A call that must be refused, if it applies."""

    call: Callable[[Case], Any]
    error: Errors
    pattern: str
    applies: Callable[[Case], bool] = lambda _: True


def sampled(*args: Any, **options: Any) -> Callable[[Case], Any]:
    return lambda case: case.dist.sample(*args, **options)


def made(make: Callable[[], Any]) -> Callable[[Case], Any]:
    return lambda case: case.new(make(), validate_args=case.validate)


def is_checked(case: Case) -> bool:
    return case.dist._validate


def looks_up(case: Case) -> bool:
    return case.dist._validate and 0 not in case.batch


def has_batch(case: Case) -> bool:
    return bool(case.batch)


WRONG: dict[str, Wrong] = {
    "negative shape": Wrong(sampled(-1), ValueError, "sample_shape must not be negative"),
    "negative axis": Wrong(sampled((2, -3)), ValueError, "sample_shape must not be negative"),
    "shape of a string": Wrong(sampled("3"), TypeError, "sample_shape must be an integer"),
    "shape of a float": Wrong(sampled(2.0), TypeError, "sample_shape must be an integer"),
    "shape of floats": Wrong(sampled((1, 2.5)), TypeError, "sample_shape must be an integer"),
    "no shape": Wrong(sampled(None), TypeError, "sample_shape must be an integer"),
    "generator as shape": Wrong(
        sampled(np.random.PCG64(0)), TypeError, "sample_shape must be .*: did you mean rng="
    ),
    "too many draws": Wrong(sampled((2**40, 2**40)), ValueError, "sample_shape asks for more"),
    "too many bytes": Wrong(sampled(2**62, rng=0), ValueError, "sample_shape asks for more"),
    "too many axes": Wrong(sampled((1,) * 70, rng=0), ValueError, r"asks for an array of \d+ axes"),
    "negative seed": Wrong(sampled(2, rng=-1), ValueError, "rng must not be negative"),
    "seed of a string": Wrong(sampled(2, rng="a"), TypeError, "rng must be"),
    "seed of a float": Wrong(sampled(2, rng=1.5), TypeError, "rng must be"),
    "seed of a bool": Wrong(sampled(2, rng=True), TypeError, "rng must be"),
    "legacy generator": Wrong(sampled(2, rng=np.random.RandomState(0)), TypeError, "rng must be"),
    "floating dtype": Wrong(sampled(2, rng=0, dtype="float32"), TypeError, "dtype must be an int"),
    "dtype of a name": Wrong(sampled(2, rng=0, dtype="abc"), TypeError, "dtype must be an int"),
    "dtype bool": Wrong(sampled(2, rng=0, dtype=bool), TypeError, "dtype must be an int"),
    "narrow dtype": Wrong(
        lambda case: case.dist.sample(2, rng=0, dtype=case.library_dtype("int8")),
        ValueError,
        "dtype must hold numbers up to",
        lambda case: case.size > 128,
    ),
    "unsigned dtype": Wrong(
        lambda case: case.dist.sample(2, rng=0, dtype=case.library_dtype("uint8")),
        ValueError,
        "dtype must be signed",
        lambda case: case.size <= 256 and not case.dist._validate and not case.dist._rows_validated,
    ),
    "size": Wrong(sampled(size=3), TypeError, "'size': did you mean sample_shape"),
    "seed": Wrong(sampled(seed=3), TypeError, "'seed': did you mean rng"),
    "unknown argument": Wrong(sampled(abc=3), TypeError, "sample has no argument 'abc'"),
    "category K": Wrong(lambda c: c.dist.log_prob(c.size), ValueError, "value must hold", looks_up),
    "category -1": Wrong(lambda c: c.dist.prob(-1), ValueError, "value must hold", looks_up),
    "category 0.5": Wrong(lambda c: c.dist.log_prob(0.5), ValueError, "value must hold", looks_up),
    "category NaN": Wrong(
        lambda c: c.dist.log_prob([math.nan]), ValueError, "value must hold", is_checked
    ),
    "category of a string": Wrong(lambda c: c.dist.log_prob("a"), TypeError, "value must be"),
    "categories of strings": Wrong(
        lambda c: c.dist.log_prob(["a"]), (TypeError, ValueError), "value must"
    ),
    "complex category": Wrong(
        lambda c: c.dist.log_prob(np.array(1j)),
        TypeError,
        "value",
        lambda c: c.params.library == "numpy",
    ),
    "ragged categories": Wrong(
        lambda c: c.dist.log_prob([[0], [0, 0]]), ValueError, "value must be a rectangular list"
    ),
    "shape of categories": Wrong(
        lambda c: c.dist.cdf(c.array(np.zeros(c.batch[-1] + 1, int))),
        ValueError,
        "value of shape .* does not broadcast",
        lambda c: bool(c.batch) and c.batch[-1] > 1,
    ),
    "quantile above 1": Wrong(lambda c: c.dist.icdf(1.5), ValueError, "q must be in", is_checked),
    "quantile below 0": Wrong(
        lambda c: c.dist.icdf([-0.1]), ValueError, "q must be in", is_checked
    ),
    "quantile NaN": Wrong(lambda c: c.dist.icdf(math.nan), ValueError, "q must be in", is_checked),
    "expanded too little": Wrong(
        lambda c: c.dist.expand(()), ValueError, "cannot expand", has_batch
    ),
    "expanded otherwise": Wrong(
        lambda c: c.dist.expand((*c.batch[:-1], c.batch[-1] + 2)),
        ValueError,
        "cannot expand",
        lambda c: bool(c.batch) and c.batch[-1] != 1,
    ),
    "expanded to a string": Wrong(lambda c: c.dist.expand("a"), TypeError, "batch_shape must be"),
    "index of no batch": Wrong(
        lambda c: c.dist[0], IndexError, "without a batch", lambda c: not c.batch
    ),
    "index beyond": Wrong(lambda c: c.dist[c.batch[0]], IndexError, "index must fit", has_batch),
    "too many indices": Wrong(
        lambda c: c.dist[(0,) * (len(c.batch) + 1)],
        IndexError,
        "index must fit",
        has_batch,
    ),
    "other number of categories": Wrong(
        lambda c: kl_divergence(c.dist, c.new(c.array(np.ones(c.size + 1)))),
        ValueError,
        "same number of categories",
    ),
    "divergence from a number": Wrong(
        lambda c: kl_divergence(c.dist, 1),
        TypeError,
        "q must be an anycat.Categorical",  # type: ignore[arg-type]
    ),
    "no parameters": Wrong(lambda c: Categorical(), ValueError, "give either probs or logits"),
    "both parameters": Wrong(
        lambda c: Categorical(c.plain, c.plain), ValueError, "give either probs or logits"
    ),
    "a number": Wrong(made(lambda: 0.5), ValueError, "last axis of categories"),
    "no categories": Wrong(made(lambda: np.empty((2, 0))), ValueError, "one category or more"),
    "an empty list": Wrong(made(list), ValueError, "one category or more"),
    "a string": Wrong(made(lambda: "abc"), TypeError, "must be an array"),
    "strings": Wrong(made(lambda: np.array(["a", "b"])), TypeError, "must hold real numbers"),
    "objects": Wrong(made(lambda: np.array([None, 1])), TypeError, "must hold real numbers"),
    "complex numbers": Wrong(made(lambda: np.array([1j, 1])), TypeError, "must hold real numbers"),
    "a ragged list": Wrong(made(lambda: [[1.0], [1.0, 2.0]]), ValueError, "rectangular list"),
    "dates": Wrong(made(lambda: np.zeros(2, "M8[s]")), TypeError, "must hold real numbers"),
    "long double": Wrong(
        made(lambda: np.ones(2, np.longdouble)),
        TypeError,
        "convert it to float64",
        lambda c: np.dtype(np.longdouble).itemsize > 8,
    ),
    "a masked array": Wrong(made(lambda: np.ma.ones(3)), TypeError, "MaskedArray: call its filled"),
}


def check_wrong_arguments(case: Case) -> None:
    """Errors are anycat's own, and name the argument."""
    for name in case.random.sample(list(WRONG), 3):
        wrong = WRONG[name]
        if wrong.applies(case):
            try:
                refuse(lambda w=wrong: w.call(case), wrong.error, wrong.pattern)  # type: ignore[misc]
            except Exception as error:
                error.add_note(f"in the call with {name}")
                raise
            case.counts["refused calls"] += 1


# --- the run ------------------------------------------------------------------------------------

ALWAYS = {"construct": lambda case: case.dist, "draws": check_draws, "oracle": check_oracle}
CHECKS: dict[str, tuple[int, Callable[[Case], None]]] = {  # how often, and the check
    "ways": (6, check_ways),
    "generator": (2, check_generator),
    "parts": (2, check_parts),
    "seeds": (2, check_seeds),
    "truncate": (4, check_truncate),
    "distinct": (2, check_distinct),
    "counts": (2, check_counts),
    "progress": (1, check_progress),
    "numba": (1, check_numba),
    "dask": (1, check_dask),
    "jax": (1, check_jax),
    "sample_and_log_prob": (2, check_sample_and_log_prob),
    "log_prob": (4, check_log_prob),
    "prob": (2, check_prob),
    "cdf": (2, check_cdf),
    "icdf": (2, check_icdf),
    "probs": (2, check_probs),
    "logits": (2, check_logits),
    "entropy": (2, check_entropy),
    "perplexity": (1, check_perplexity),
    "mode": (2, check_mode),
    "kl_divergence": (2, check_divergence),
    "attributes": (1, check_attributes),
    "wrong arguments": (3, check_wrong_arguments),
}
OF_VALUES = (
    "sample_and_log_prob",
    "log_prob",
    "prob",
    "cdf",
    "icdf",
    "probs",
    "logits",
    "entropy",
    "perplexity",
    "mode",
    "kl_divergence",
)
IN_CHUNKS = {
    name: CHECKS[name][1] for name in ("seeds", "truncate", "distinct", "counts", *OF_VALUES)
}


class Failure(NamedTuple):
    """A case that failed, and why."""

    index: int
    check: str
    case: str
    error: str


def run_case(
    seed: int, index: int, libraries: tuple[str, ...], counts: Counter[str]
) -> Failure | None:
    """Run a case; add what it checks to the counts."""
    case, name = None, "generate"
    try:
        case = Case(seed, index, libraries)
        weights = [weight for weight, _ in CHECKS.values()]
        chosen = dict.fromkeys(case.random.choices(list(CHECKS), weights, k=CHECKS_PER_CASE))
        for name in (*ALWAYS, *chosen):
            if name in OF_VALUES and case.expected.unclear:
                continue
            (ALWAYS.get(name) or CHECKS[name][1])(case)
            counts[name] += 1
    except Exception:
        what = case.describe() if case else ""
        return Failure(index, name, what, traceback.format_exc())
    counts.update(case.counts)
    counts[f"library: {case.params.library}"] += 1
    counts[f"dtype: {case.params.dtype}"] += 1
    counts[f"layout: {case.params.layout}"] += 1
    counts["refused parameters"] += case.validate and not case.whole
    return None


def run_cases(
    seed: int, indices: range, libraries: tuple[str, ...]
) -> tuple[int, Counter[str], list[Failure]]:
    """Run cases, and return their number, counts and failures."""
    counts: Counter[str] = Counter()
    if "torch" in libraries:
        import torch

        torch.set_num_threads(1)  # they would only wait for each other
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        failures = [run_case(seed, i, libraries, counts) for i in indices]
    return len(indices), counts, [x for x in failures if x]


def chunks(first: int, cases: float) -> Iterator[range]:
    end = first + cases
    while first < end:
        yield range(first, int(min(first + CHUNK, end)))
        first += CHUNK


def run_all(
    seed: int, first: int, cases: float, seconds: float, processes: int, libraries: tuple[str, ...]
) -> Iterable[tuple[int, Counter[str], list[Failure]]]:
    """Run chunks of cases until there are enough, or the time is over."""
    end = time.monotonic() + seconds
    parts = chunks(first, cases)
    if processes == 1:
        for part in parts:
            yield run_cases(seed, part, libraries)
            if time.monotonic() > end:
                return
        return
    with ProcessPoolExecutor(processes, get_context("spawn"), faulthandler.enable) as pool:
        waiting: deque[tuple[range, Future[Any]]] = deque()
        for part in parts:
            waiting.append((part, pool.submit(run_cases, seed, part, libraries)))
            if len(waiting) > 2 * processes:
                yield result_of(*waiting.popleft())
            if time.monotonic() > end:
                break
        while waiting:
            yield result_of(*waiting.popleft())


def result_of(part: range, future: Future[Any]) -> Any:
    try:
        return future.result()
    except BrokenExecutor as error:
        error.add_note(f"in {part}, or in one of the next chunks")
        raise


def command(seed: int, libraries: tuple[str, ...], index: int) -> str:
    return f"python tests/fuzz.py --seed {seed} --libraries {','.join(libraries)} --only {index}"


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("anycat", "numpy", "numba", "ml_dtypes", *hostile.installed()[1:]):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    add = parser.add_argument
    add("--cases", type=float, default=math.inf, help="how many cases (default: no limit)")
    add("--seconds", type=float, default=math.inf, help="how long (default: no limit)")
    add("--seed", type=int, default=0)
    add("--first", type=int, default=0, help="the first case")
    add("--only", type=int, help="a single case")
    add("--processes", type=int, default=1)
    add("--libraries", default=",".join(hostile.installed()), help="default: those installed")
    add("--max-failures", type=int, default=20)
    add("--record", action="store_true", help=f"write {RESULTS.name}, or go on with its run")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    libraries = tuple(options.libraries.split(","))
    if options.only is not None:
        options.first, options.cases = options.only, 1
    counts: Counter[str] = Counter()
    failures: list[Failure] = []
    start = shown = time.monotonic()
    cases = 0
    chosen = options.seed, options.first, options.cases, options.seconds
    for done, more, failed in run_all(*chosen, options.processes, libraries):
        cases, now = cases + done, time.monotonic()
        counts.update(more)
        failures += failed
        for failure in failed:
            print(f"\nFAILED {failure.check}: {failure.case}\n{failure.error}", end="")
            print(command(options.seed, libraries, failure.index), flush=True)
        if now - shown > 10:
            shown, rate = now, cases / (now - start)
            print(f"{cases} cases, {rate:.0f} a second, {len(failures)} failures", flush=True)
        if len(failures) >= options.max_failures:
            break
    seconds = time.monotonic() - start
    print(f"{cases} cases in {seconds:.0f} s, {len(failures)} failures")
    if options.record:
        record(
            {
                "date": time.strftime("%Y-%m-%d"),
                "cases": cases,
                "first": options.first,
                "seed": options.seed,
                "seconds": round(seconds),
                "processes": options.processes,
                "libraries": list(libraries),
                "versions": versions(),
                "failures": [command(options.seed, libraries, x.index) for x in failures],
                "counts": dict(sorted(counts.items())),
            }
        )
    return bool(failures)


def record(run: dict[str, Any]) -> None:
    """Record a run, together with the recorded one if it goes on with that."""
    known = json.loads(RESULTS.read_text()) if RESULTS.exists() else run
    same = all(known[x] == run[x] for x in ("seed", "processes", "libraries", "versions"))
    if same and run["first"] == known["first"] + known["cases"]:
        counts = Counter(known["counts"])
        counts.update(run["counts"])
        both = {name: known[name] + run[name] for name in ("cases", "seconds", "failures")}
        run |= {**both, "first": known["first"], "counts": dict(sorted(counts.items()))}
    RESULTS.write_text(json.dumps(run, indent=1) + "\n")


if __name__ == "__main__":
    faulthandler.enable()
    sys.exit(main())
