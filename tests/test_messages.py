"""What users read when an argument is wrong: its name, the place, the value, and what to do."""

from __future__ import annotations

import inspect
import re
import sys
from collections import Counter
from fractions import Fraction
from pickle import UnpicklingError
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from libraries import each_library, get, put

import anycat.numba
from anycat import Categorical, _kernels, _keywords, _pickling, kl_divergence
from anycat._backends import registry
from anycat._kernels.cpu.jit import single
from anycat._messages import PIP

if TYPE_CHECKING:
    from collections.abc import Callable

ONE, BATCH = Categorical([0.5, 0.5]), Categorical(np.ones((2, 3)))
NAN, INF = np.nan, np.inf
ZERO, TABLE = Categorical([0.5, 0.5, 0.0]), Categorical(np.ones((2, 2, 3)))
SPARSE = Categorical(np.array([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]]))
UNVALIDATED = Categorical(np.ones((2, 3)), validate_args=False)
BOTH = "give either probs or logits; got both (a second argument by position is logits)"
ROW = ": it is a single row. For its categories, use probs"
SELECT = ": integers, slices or masks select rows; for categories, index probs"
EMPTY = "remove or replace such rows; if they are exp(x), pass logits=x instead"
UNCHECKED = (
    "With validate_args=False, draws from such a row are -1, which as an index is the last entry"
)

TOO_FEW = (
    "replace=False draws {} different categories from each row; {}. With validate_args=False, the "
    "missing draws are -1"
)

RNG = (
    "rng must be None, an int, a numpy.random.SeedSequence, BitGenerator or Generator (made by "
    "numpy.random.default_rng, for example), a cupy.random.Generator, a torch.Generator, or a key "
    "of jax.random; got {}"
)

KEY = anycat.numba.key(0)
PICKLE = "cannot load a pickled distribution: "


def loaded(**changes: Any) -> Callable[[], Any]:
    """Return what loads a pickle with other fields, or without those that are `...`."""
    fields = _pickling.to_pickle("probs", np.ones((2, 3)), (2,), True, True, True, {}) | changes
    given = {name: value for name, value in fields.items() if value is not ...}
    return lambda: Categorical.__new__(Categorical).__setstate__(given)


def changed_in_place() -> Any:
    x = np.ones((2, 3))
    dist = Categorical(x)
    x[1] = NAN
    return dist.sample(dtype=np.uint8)


MESSAGES: list[tuple[Callable[[], Any], type[Exception], str]] = [
    # --- parameters
    (lambda: Categorical(), ValueError, "give either probs or logits; got neither"),
    (lambda: Categorical([1], [1]), ValueError, BOTH),
    (lambda: Categorical([0.5, 0.5], ["a", "b"]), ValueError, BOTH),
    (lambda: Categorical("ab"), TypeError, "probs must be an array or a list of numbers; got str"),
    (
        lambda: Categorical({"a": 1, "b": 2}),
        TypeError,
        "probs must be an array or a list of numbers; got dict: pass its values, as in "
        "list(d.values())",
    ),
    (
        lambda: Categorical(Counter("abca")),
        TypeError,
        "probs must be an array or a list of numbers; got Counter: pass its values, as in "
        "list(d.values())",
    ),
    (
        lambda: Categorical(np.array([1j])),
        TypeError,
        "probs must hold real numbers; got dtype complex128",
    ),
    (
        lambda: Categorical([1, 1j]),
        TypeError,
        "probs must hold real numbers; got dtype complex128: probs[1] is 1j",
    ),
    (
        lambda: Categorical([[1, 2], [3, "a"]]),
        TypeError,
        "probs must hold real numbers; got dtype <U21: probs[1, 1] is 'a'",
    ),
    (
        lambda: Categorical(logits=[range(2), (0.5, b"a")]),
        TypeError,
        "logits must hold real numbers; got dtype |S32: logits[1, 1] is b'a'",
    ),
    (
        lambda: Categorical([[1, 2], "ab"]),
        ValueError,
        "probs must be a rectangular list of real numbers: probs[1] is 'ab'",
    ),
    (
        lambda: Categorical(np.array([0.5, "a"], object)),
        TypeError,
        "probs must hold real numbers; got dtype object: probs[1] is 'a'",
    ),
    (
        lambda: Categorical(np.array([0.5, None])),
        TypeError,
        "probs must hold real numbers; got dtype object: probs[1] is None: convert it to float64 "
        "first",
    ),
    (
        lambda: Categorical([1, 2**64]),
        TypeError,
        "probs must hold real numbers; got dtype object: convert it to float64 first",
    ),
    (
        lambda: Categorical([0.5, None]),
        TypeError,
        "probs must hold real numbers; got dtype object: probs[1] is None",
    ),
    (
        lambda: Categorical(0.5),
        ValueError,
        "probs must have a last axis of categories; got a 0-D array",
    ),
    (lambda: Categorical([]), ValueError, "probs must have one category or more; got shape (0,)"),
    (lambda: Categorical([1, NAN]), ValueError, "probs must not be NaN; probs[1] is nan"),
    (
        lambda: Categorical(logits=[[1, NAN]]),
        ValueError,
        "logits must not be NaN; logits[0, 1] is nan",
    ),
    (
        lambda: Categorical([1, INF]),
        ValueError,
        "probs must be finite and not negative; probs[1] is inf",
    ),
    (
        lambda: Categorical([1, -2]),
        ValueError,
        "probs must be finite and not negative; probs[1] is -2.0: did you mean logits=?",
    ),
    (
        lambda: Categorical([-0.5, -1.5]),
        ValueError,
        "probs must be finite and not negative; probs[0] is -0.5: did you mean logits=?",
    ),
    (
        lambda: Categorical(logits=[1, INF]),
        ValueError,
        "logits must be less than infinity; logits[1] is inf",
    ),
    (
        lambda: Categorical([[1, 1], [0, 0]]),
        ValueError,
        f"probs must not all be zero in a row; all of probs[1] are: {EMPTY}. {UNCHECKED}",
    ),
    (
        lambda: Categorical([0.0, 0.0]),
        ValueError,
        f"probs must not all be zero in a row; all of probs are: {EMPTY}. {UNCHECKED}",
    ),
    # --- flags
    (
        lambda: Categorical([1], validate_args="no"),
        TypeError,
        "validate_args must be True or False; got 'no'",
    ),
    (
        lambda: Categorical([1], validate_args=0),
        TypeError,
        "validate_args must be True or False; got 0",
    ),
    (
        lambda: Categorical([1], clamp_probs="x"),
        TypeError,
        "clamp_probs must be True or False; got 'x'",
    ),
    (
        lambda: Categorical([1], validate_args=False, clamp_probs=None),
        TypeError,
        "clamp_probs must be True or False; got None",
    ),
    (
        lambda: Categorical(logits=[-INF, -INF]),
        ValueError,
        "logits must not all be -inf in a row; all of logits are: a mask must leave a category. "
        f"{UNCHECKED}",
    ),
    (
        lambda: Categorical(np.full((5, 5000), 1e38, np.float32)),
        ValueError,
        "probs must have a finite sum in each row; that of probs[0] is infinite in float32: "
        "divide them by their maximum",
    ),
    # --- shapes
    (
        lambda: ONE.sample(3.0),
        TypeError,
        "sample_shape must be an integer or a tuple of them; got 3.0",
    ),
    (
        lambda: ONE.sample(True),
        TypeError,
        "sample_shape must be an integer or a tuple of them; got True",
    ),
    (
        lambda: ONE.sample((2, False)),
        TypeError,
        "sample_shape must be an integer or a tuple of them; got (2, False)",
    ),
    (
        lambda: ONE.sample(np.True_),
        TypeError,
        "sample_shape must be an integer or a tuple of them; got np.True_",
    ),
    (
        lambda: ONE.expand([True]),
        TypeError,
        "batch_shape must be an integer or a tuple of them; got [True]",
    ),
    (lambda: ONE.sample(-1), ValueError, "sample_shape must not be negative; got (-1,)"),
    (
        lambda: ONE.sample((1,) * 65),
        ValueError,
        "sample_shape asks for an array of 65 axes; it may have 64",
    ),
    (
        lambda: BATCH.sample((1,) * 64),
        ValueError,
        "sample_shape asks for an array of 65 axes; it may have 64",
    ),
    (
        lambda: ONE.sample((2**62, 0)),
        ValueError,
        "sample_shape asks for more than an array can hold: (4611686018427387904, 0)",
    ),
    (
        lambda: BATCH.sample(2**60),
        ValueError,
        "sample_shape asks for more than an array can hold: (1152921504606846976, 2)",
    ),
    (lambda: BATCH.expand(3), ValueError, "cannot expand the batch shape (2,) to (3,)"),
    (lambda: BATCH.expand(()), ValueError, "cannot expand the batch shape (2,) to ()"),
    (
        lambda: ONE.expand((1,) * 64),
        ValueError,
        "batch_shape asks for an array of 65 axes; it may have 64",
    ),
    (
        lambda: BATCH.expand((2**62, 2)),
        ValueError,
        "batch_shape asks for more than an array can hold: (4611686018427387904, 2)",
    ),
    (
        lambda: ONE.expand((2**62, 0)),
        ValueError,
        "batch_shape asks for more than an array can hold: (4611686018427387904, 0)",
    ),
    (lambda: ONE[0], IndexError, f"a distribution without a batch cannot be indexed{ROW}"),
    (lambda: len(ONE), TypeError, f"a distribution without a batch has no length{ROW}"),
    (lambda: list(ONE), TypeError, f"a distribution without a batch cannot be iterated over{ROW}"),
    (lambda: BATCH[2], IndexError, "index must fit the batch shape (2,); got 2"),
    (lambda: BATCH[0, 0], IndexError, f"index must fit the batch shape (2,); got (0, 0){SELECT}"),
    (
        lambda: BATCH[["a"] * 99],
        IndexError,
        f"index must fit the batch shape (2,); got a list of length 99{SELECT}",
    ),
    (
        lambda: BATCH.log_prob(["a", "b"]),
        TypeError,
        "value must hold real numbers; got dtype <U1: value[0] is 'a': convert labels to "
        "categories, from 0 to K - 1",
    ),
    (
        lambda: BATCH.sample(seeds=np.random.SeedSequence(0).spawn(2)),
        TypeError,
        "seeds must hold integers; seeds[0] is a SeedSequence: for an array of seeds, call the "
        "method generate_state(n, np.uint64) of a SeedSequence",
    ),
    (
        lambda: TABLE[np.array([0, 1]), np.array([0.0, np.nan])],
        IndexError,
        "index must fit the batch shape (2, 2); got (array([0, 1]), array([ 0., nan])): index[1] "
        "has dtype float64; integers, slices or masks select rows",
    ),
    (
        lambda: TABLE[np.zeros(40, int), np.zeros(50, int)],
        IndexError,
        "index must fit the batch shape (2, 2); got a tuple of length 2: its arrays have shapes "
        "(40,) and (50,)",
    ),
    (
        lambda: BATCH[np.ones(40)],
        IndexError,
        "index must fit the batch shape (2,); got a numpy.ndarray of shape (40,): index has dtype "
        "float64; integers, slices or masks select rows",
    ),
    (lambda: BATCH["a"], IndexError, f"index must fit the batch shape (2,); got 'a'{SELECT}"),
    (lambda: BATCH[1.0], IndexError, f"index must fit the batch shape (2,); got 1.0{SELECT}"),
    # --- draws
    (
        lambda: ONE.sample(np.random.default_rng(0)),
        TypeError,
        "sample_shape must be an integer or a tuple of them; got Generator: did you mean rng=?",
    ),
    (
        lambda: BATCH.sample(seeds=[1, 2, 3]),
        ValueError,
        "seeds of shape (3,) does not broadcast to the batch shape (2,)",
    ),
    (
        lambda: BATCH.sample(seeds=[[1], [2]]),
        ValueError,
        "seeds of shape (2, 1) does not broadcast to the batch shape (2,)",
    ),
    (
        lambda: BATCH.truncate(top_k=[]),
        ValueError,
        "top_k of shape (0,) does not broadcast to the batch shape (2,)",
    ),
    (
        lambda: BATCH.truncate(top_k=[1, 2, 3]),
        ValueError,
        "top_k of shape (3,) does not broadcast to the batch shape (2,)",
    ),
    (
        lambda: BATCH.truncate(mask=np.ones((3, 3), bool)),
        ValueError,
        "mask of shape (3, 3) does not broadcast to the shape (2, 3)",
    ),
    (
        lambda: BATCH.truncate(mask=np.ones((5, 2, 3), bool)),
        ValueError,
        "mask of shape (5, 2, 3) does not broadcast to the shape (2, 3)",
    ),
    (
        lambda: BATCH.truncate(mask=np.ones((3, 1), np.int32)),
        ValueError,
        "mask of shape (3, 1) does not broadcast to the shape (2, 1)",
    ),
    (
        lambda: Categorical(np.ones((2, 3))).truncate(mask=[np.ones(3, bool), None]),
        TypeError,
        "mask[1] is None: for a row without a mask, allow all categories",
    ),
    (
        lambda: BATCH.truncate(mask=np.ones(4, bool)),
        ValueError,
        "mask must have a last axis of 3 categories; got shape (4,)",
    ),
    (
        lambda: ONE.sample(rng=range(2)),
        TypeError,
        RNG.format("range: pass a seed for each row, to methods of Categorical, as seeds="),
    ),
    (
        lambda: ONE.truncate(mask=[False, False]),
        ValueError,
        "mask must allow a category of positive probability in each row; it allows none",
    ),
    (
        lambda: ONE.sample((3,), np.random.default_rng(0)),
        TypeError,
        "sample takes one argument by position, sample_shape; got 2: name the others, as in "
        "sample((2, 3), rng=0)",
    ),
    (
        lambda: ONE.sample(2, 3, size=4),
        TypeError,
        "sample takes one argument by position, sample_shape; got 2: name the others, as in "
        "sample((2, 3), rng=0)",
    ),
    (lambda: ONE.sample(rng=-1), ValueError, "rng must not be negative; got -1"),
    (
        lambda: ONE.sample(dtype="f4"),
        TypeError,
        "dtype must be an integer dtype of numpy; got 'f4'",
    ),
    # --- draws without replacement
    (
        lambda: ZERO.sample(replace=False),
        ValueError,
        "sample_shape must be an int or a tuple of one with replace=False; got ()",
    ),
    (
        lambda: ZERO.sample((2, 1), replace=False),
        ValueError,
        "sample_shape must be an int or a tuple of one with replace=False; got (2, 1)",
    ),
    (lambda: ZERO.sample(2, replace=0), TypeError, "replace must be True or False; got 0"),
    (lambda: ZERO.sample(2, replace=None), TypeError, "replace must be True or False; got None"),
    (lambda: ZERO.sample(4, replace=False), ValueError, TOO_FEW.format(4, "there are 3")),
    (
        lambda: ZERO.sample(3, replace=False),
        ValueError,
        TOO_FEW.format(3, "the row has 2 of positive probability"),
    ),
    (
        lambda: SPARSE.sample(2, replace=False),
        ValueError,
        TOO_FEW.format(2, "row [1] has 1 of positive probability"),
    ),
    (
        lambda: ZERO.sample(2, replace=False, dtype=np.uint8),
        ValueError,
        "dtype must be signed with replace=False, because rows with too few categories give -1; "
        "got uint8",
    ),
    (
        lambda: Categorical(np.ones(200)).sample(2, replace=False, dtype=np.int8),
        ValueError,
        "dtype must hold numbers up to 199; got int8",
    ),
    (
        lambda: ZERO.sample(2, replace=False, start=0.0),
        TypeError,
        "start must be an int where no seeds are given; got 0.0",
    ),
    (
        lambda: ZERO.sample(2, rng=1, start=np.arange(50)),
        TypeError,
        "start must be an int where no seeds are given; got a numpy.ndarray of shape (50,)",
    ),
    (
        lambda: ZERO.sample(2, rng=list(range(50))),
        TypeError,
        f"{RNG.format('list')}: pass a seed for each row, to methods of Categorical, as seeds=",
    ),
    (
        lambda: ZERO.sample(2, replace=False, rng=1, seeds=1),
        ValueError,
        "give either rng or seeds; got both",
    ),
    (
        lambda: Categorical(np.ones(5)).sample(3, replace=False, seeds=0, start=2**64 - 2),
        ValueError,
        "start must hold whole numbers from 0 to 18446744073709551613, for 3 draws; start is "
        "18446744073709551614",
    ),
    # --- counts
    (lambda: ONE.sample_counts(2.0), TypeError, "n must be an integer; got 2.0"),
    (lambda: ONE.sample_counts(), TypeError, "sample_counts needs n, the number of draws"),
    (lambda: ONE.sample_counts(True), TypeError, "n must be an integer; got True"),
    (
        lambda: ONE.sample_counts((2000, 500)),
        TypeError,
        "n must be an integer; got (2000, 500): for several vectors of counts, call expand first",
    ),
    (
        lambda: ONE.sample_counts(np.full(50, 3)),
        TypeError,
        "n must be an integer; got a numpy.ndarray of shape (50,): all rows have the same n; for "
        "others, make a call for each row",
    ),
    (
        lambda: ONE.sample_counts(np.array([100, 200])),
        TypeError,
        "n must be an integer; got array([100, 200]): all rows have the same n; for others, make a "
        "call for each row",
    ),
    (
        lambda: ONE.sample_counts(np.random.default_rng(0)),
        TypeError,
        "n must be an integer; got Generator: did you mean rng=?",
    ),
    (lambda: ONE.sample_counts(-1), ValueError, "n must not be negative; got -1"),
    (
        lambda: ONE.sample_counts(128, dtype=np.int8),
        ValueError,
        "dtype must hold numbers up to n = 128; got int8",
    ),
    (
        lambda: ONE.sample_counts(2**63),
        ValueError,
        "dtype must hold numbers up to n = 9223372036854775808; got int64",
    ),
    (
        lambda: BATCH.expand((6, 2)).sample_counts(2**62),
        ValueError,
        "n is too large: draw indices end at 2**64; got 4611686018427387904",
    ),
    (
        lambda: ONE.sample_counts(9, start=2**64 - 1),
        ValueError,
        "start is too large: draw indices end at 2**64; got 18446744073709551615",
    ),
    (
        lambda: UNVALIDATED.sample_counts(9, dtype=np.uint8),
        ValueError,
        "dtype must be signed if rows are not checked, because invalid rows give -1; got uint8",
    ),
    (
        lambda: ONE.sample_counts(2, dtype="f4"),
        TypeError,
        "dtype must be an integer dtype of numpy; got 'f4'",
    ),
    (
        lambda: ONE.sample_counts(2, start=[1]),
        TypeError,
        "start must be an int where no seeds are given; got [1]",
    ),
    (
        lambda: ONE.sample_counts(2, rng=1, seeds=1),
        ValueError,
        "give either rng or seeds; got both",
    ),
    (lambda: ONE.sample_counts(2, rng=-1), ValueError, "rng must not be negative; got -1"),
    # --- values
    (
        lambda: ONE.log_prob(0.5),
        ValueError,
        "value must hold whole numbers from 0 to 1; value is 0.5",
    ),
    (
        lambda: ONE.log_prob([0, NAN]),
        ValueError,
        "value must hold whole numbers from 0 to 1; value[1] is nan",
    ),
    (
        lambda: ONE.log_prob(np.asarray([2**63 + 1], np.uint64)),
        ValueError,
        "value must hold whole numbers from 0 to 1; value[0] is 9223372036854775809",
    ),
    (
        lambda: BATCH.log_prob([0, 1, 2]),
        ValueError,
        "value of shape (3,) does not broadcast with the batch shape (2,)",
    ),
    (lambda: ONE.prob(1.5), ValueError, "value must hold whole numbers from 0 to 1; value is 1.5"),
    (
        lambda: ONE.log_prob("a"),
        TypeError,
        "value must be an array or a list of numbers; got str",
    ),
    (lambda: ONE.icdf(2), ValueError, "q must be in [0, 1]; q is 2"),
    (
        lambda: kl_divergence(ONE, BATCH),
        ValueError,
        "p and q must have the same number of categories; got 2 and 3",
    ),
    (
        lambda: kl_divergence(ONE, [0.5, 0.5]),  # type: ignore[arg-type]
        TypeError,
        "q must be an anycat.Categorical; got list",
    ),
    (
        lambda: kl_divergence(Fraction(1), ONE),  # type: ignore[arg-type]
        TypeError,
        "p must be an anycat.Categorical; got fractions.Fraction",
    ),
    # --- truncation
    (
        lambda: ONE.truncate(temperature=2.0),
        ValueError,
        "temperature applies to logits; this distribution is given by probs: use logits=log(probs)",
    ),
    (
        lambda: Categorical(logits=[0.0, 1.0]).truncate(temperature=-1.0),
        ValueError,
        "temperature must be finite and not negative, or None to switch it off; got -1.0",
    ),
    (lambda: ONE.truncate(top_k=2.0), TypeError, "top_k must hold integers; got float"),
    (lambda: BATCH.truncate(top_k=[1.0, 2]), TypeError, "top_k must hold integers; got float64"),
    (
        lambda: ONE.truncate(top_k=0),
        ValueError,
        "top_k must be 1 or more, or None to switch it off; got 0",
    ),
    (
        lambda: BATCH.truncate(top_k=[1, 0]),
        ValueError,
        "top_k must be 1 or more, or None to switch it off; top_k[1] is 0",
    ),
    (
        lambda: ONE.truncate(top_p=0),
        ValueError,
        "top_p must be in (0, 1], or None to switch it off; got 0",
    ),
    (
        lambda: ONE.truncate(min_p=1.5),
        ValueError,
        "min_p must be in [0, 1], or None to switch it off; got 1.5",
    ),
    (
        lambda: BATCH.truncate(mask=np.ones((2, 3))),
        ValueError,
        "mask must be bool with a last axis of 3, or packed bits: int32 or uint32 with a last axis "
        "of 1; got float64 of shape (2, 3): compare it with 0 to make it bool",
    ),
    (
        lambda: BATCH.truncate(mask=np.ones((2, 2), np.int32)),
        ValueError,
        "mask must be bool with a last axis of 3, or packed bits: int32 or uint32 with a last axis "
        "of 1; got int32 of shape (2, 2)",
    ),
    (
        lambda: BATCH.truncate(mask=[[True] * 3, [False] * 3]),
        ValueError,
        "mask must allow a category of positive probability in each row; it allows none in row [1]",
    ),
    # --- seeds
    (lambda: BATCH.sample(seeds=1.5), TypeError, "seeds must hold integers; got dtype float64"),
    (
        lambda: BATCH.sample(seeds=np.array([1, NAN])),
        TypeError,
        "seeds must hold integers; got dtype float64: seeds[1] is nan",
    ),
    (
        lambda: BATCH.sample(seeds=np.array([2**63, 1], object)),
        TypeError,
        "seeds must hold integers; got dtype object: convert it to uint64 first",
    ),
    *(
        (
            lambda ids=ids: BATCH.sample(seeds=ids),
            TypeError,
            f"seeds must hold integers; {got}: hash names to integers below 2**64 first",
        )
        for ids, got in [
            (np.array(["C0017", "C0042"]), "got dtype <U5"),
            (np.array(["C0017", "C0042"], object), "got dtype object"),
            (["C0017", "C0042"], "seeds[0] is 'C0017'"),
        ]
    ),
    (
        lambda: BATCH.truncate(mask=np.array([[True, None, True], [True] * 3])),
        TypeError,
        "mask must hold bools; got dtype object: fill missing values, and convert it to bool first",
    ),
    (lambda: BATCH.sample(seeds=[1, 2.5]), TypeError, "seeds must hold integers; seeds[1] is 2.5"),
    (
        lambda: BATCH.sample(seeds=[1, -1]),
        ValueError,
        "seeds must hold whole numbers from 0 to 18446744073709551615; seeds[1] is -1: convert "
        "arrays to uint64, and ints by % 2**64",
    ),
    (
        lambda: BATCH.sample(3, seeds=1, start=[0, 2**64 - 1]),
        ValueError,
        "start must hold whole numbers from 0 to 18446744073709551613, for 3 draws; start[1] is "
        "18446744073709551615",
    ),
    # --- pickles
    (
        loaded(format=...),
        UnpicklingError,
        PICKLE + "it has no format; it is damaged, or older than anycat 0.1.0",
    ),
    (
        loaded(format=2, reader="9.0"),
        UnpicklingError,
        f"{PICKLE}it has format 2, which anycat 9.0 and later can read; this version reads format "
        "1",
    ),
    (loaded(form=...), UnpicklingError, f"{PICKLE}its fields are wrong: it lacks 'form'"),
    (loaded(more=1), UnpicklingError, f"{PICKLE}its fields are wrong: it has 'more'"),
    (loaded(form="p"), UnpicklingError, f"{PICKLE}form must be probs or logits; got 'p'"),
    (loaded(param=[1]), UnpicklingError, f"{PICKLE}probs must be an array; got list"),
    (loaded(validate=1), UnpicklingError, f"{PICKLE}validate must be a bool; got int"),
    (
        loaded(batch_shape=(3,)),
        UnpicklingError,
        f"{PICKLE}cannot expand the batch shape (2,) to (3,)",
    ),
    # --- other objects
    (
        lambda: Categorical(np.ones(3, [("A", float), ("C", float)]).view(np.recarray)),
        TypeError,
        "probs must hold real numbers; got dtype (numpy.record, [('A', '<f8'), ('C', '<f8')]): "
        "call numpy.lib.recfunctions.structured_to_unstructured first",
    ),
    (
        lambda: BATCH.log_prob(np.ones(2, [("A", float)]).view(np.recarray)),
        TypeError,
        "value must hold real numbers; got dtype (numpy.record, [('A', '<f8')]): call "
        "numpy.lib.recfunctions.structured_to_unstructured first",
    ),
    (
        lambda: Categorical(np.ones(3, [("A", float), ("C", float)])),
        TypeError,
        "probs must hold real numbers; got dtype [('A', '<f8'), ('C', '<f8')]: call "
        "numpy.lib.recfunctions.structured_to_unstructured first",
    ),
    (lambda: ONE.sample(rng=np.float64(3)), TypeError, RNG.format("numpy.float64")),
    (
        lambda: ONE.sample(rng=[2026, 3]),
        TypeError,
        RNG.format(
            "list: pass numpy.random.default_rng([2026, 3]), or a seed for each row, "
            "to methods of Categorical, as seeds="
        ),
    ),
    (
        lambda: Categorical(np.ma.ones(3)),
        TypeError,
        "probs is a MaskedArray: call its filled() first",
    ),
    *[
        (
            lambda: Categorical(np.ones(3, np.longdouble)),
            TypeError,
            f"probs has dtype {np.dtype(np.longdouble)}: convert it to float64 first",
        )
    ]
    * (np.dtype(np.longdouble).itemsize > 8),
    (
        lambda: registry.backend_of(Fraction(1)),
        TypeError,
        "fractions.Fraction is not an array type that follows the array API standard",
    ),
    (
        lambda: setattr(ONE, "probs", 1),
        AttributeError,
        "probs is read-only: make a new distribution instead",
    ),
    (
        changed_in_place,
        ValueError,
        "the parameters have changed since they were checked: uint8 cannot hold the draw of an "
        "invalid row, which is -1",
    ),
    # --- anycat.numba
    (
        lambda: anycat.numba.draw([1, 2], KEY, 0),  # type: ignore[arg-type]
        TypeError,
        "probs must be a one-dimensional array of float32 or float64; got reflected list(int64)"
        "<iv=None>",
    ),
    (
        lambda: anycat.numba.draw(np.ones(3), KEY[:3], 0),
        ValueError,
        "key must be what anycat.numba.key returns: 4 words",
    ),
    (
        lambda: anycat.numba.draw(np.ones(3), np.ones(4), 0),  # type: ignore[arg-type]
        TypeError,
        "key must be what anycat.numba.key returns, an array of uint64; got array(float64, 1d, C)",
    ),
    (
        lambda: anycat.numba.draw(np.ones(3), KEY, 0.5),  # type: ignore[arg-type]
        TypeError,
        "i must be an integer; got float64",
    ),
    (
        lambda: anycat.numba.draw_prepared(KEY, KEY, 0),  # type: ignore[arg-type]
        TypeError,
        "table must be what anycat.numba.prepare returns; got array(uint64, 1d, C)",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), MESSAGES, ids=[x[2][:60] for x in MESSAGES])
def test_messages(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message


BITS = np.random.default_rng(0)


def freed(x: Any) -> Any:
    x.untyped_storage().resize_(0)
    return x


def parameters_freed(torch: Any) -> Any:
    dist = Categorical(x := torch.ones(3))
    freed(x)
    return dist.log_prob(0)


def of_unknown_size(array: Any) -> Any:
    return array[array > 2]


# A library, a call with its module, and the message.
OF_LIBRARIES: list[tuple[str, Callable[[Any], Any], str]] = [
    (
        "numpy",
        lambda numpy: Categorical(numpy.matrix([1, 2])),
        "probs is a matrix: call numpy.asarray first",
    ),
    (
        "torch",
        lambda torch: Categorical(torch.ones(3).to(torch.float8_e5m2)),
        "probs is of torch.float8_e5m2: convert it to torch.float16 first",
    ),
    (
        "torch",
        lambda torch: setattr(Categorical(torch.ones(3)), "logits", torch.ones(3)),
        "logits is read-only: make a new distribution instead, or use anycat.torch.Categorical",
    ),
    (
        "torch",
        lambda torch: Categorical(torch.ones(3).to_sparse()),
        "probs is of torch.sparse_coo: call its to_dense() first",
    ),
    (
        "torch",
        lambda torch: Categorical(freed(torch.ones(3))),
        "probs has no memory any more: its storage was freed",
    ),
    ("torch", parameters_freed, "the tensor has no memory any more: its storage was freed"),
    (
        "torch",
        lambda torch: Categorical(torch.ones(3)).log_prob(torch.zeros(3, device="meta")),
        "value is on device meta, the distribution on cpu: move one of them first",
    ),
    (
        "torch",
        lambda torch: Categorical([[0.5, 0.5], torch.ones(2)]),
        "probs is a list of arrays of torch: call torch.stack first",
    ),
    (
        "torch",
        lambda torch: torch.func.vmap(lambda x: Categorical(x).sample(rng=BITS))(torch.ones(2, 3)),
        "rng must be None, an int or a torch.Generator under torch.func.vmap; got "
        "numpy.random.Generator, whose bits would be the same for each element",
    ),
    (
        "torch",
        lambda torch: torch.jit.trace(
            lambda x: Categorical(x).sample(rng=torch.Generator()), torch.ones(3)
        ),
        "rng must be None or an int where PyTorch exports or traces; got torch.Generator, whose "
        "bits would be the same in each call",
    ),
    (
        "jax",
        lambda jax: Categorical(jax.numpy.ones(3, "float8_e5m2")),
        "probs is of float8_e5m2: convert it to float32 first",
    ),
    (
        "jax",
        lambda jax: Categorical(jax.random.key(0)),
        "probs must hold numbers; got a key of jax.random",
    ),
    (
        "jax",
        lambda jax: ONE.sample(rng=jax.random.split(jax.random.key(0), 5)),
        "rng must be one key; got keys of shape (5,): use jax.vmap",
    ),
    (
        "jax",
        lambda jax: ONE.sample(rng=jax.numpy.ones(3)),
        RNG.format("JAX: pass a seed for each row, to methods of Categorical, as seeds="),
    ),
    (
        "jax",
        lambda jax: jax.jit(lambda n: ONE.sample(rng=n))(3),
        RNG.format("JAX, which is traced: use seeds=, or a key of jax.random that is made of it"),
    ),
    (
        "jax",
        lambda jax: jax.jit(lambda k: anycat.numba.key(k))(jax.random.key(0)),
        "rng is traced and has no value yet: call anycat.numba.key outside the traced function",
    ),
    (
        "jax",
        lambda jax: jax.jit(lambda k: Categorical(put(np.ones(3), "torch")).sample(rng=k))(
            jax.random.key(0)
        ),
        "rng is a key that JAX traces, but the parameters are a torch.Tensor: convert them to an "
        "array of JAX first",
    ),
    (
        "jax",
        lambda jax: jax.jit(lambda x: Categorical(x).plot())(jax.numpy.ones(3)),
        "plot needs values, which traced arrays and those on device meta lack",
    ),
    (
        "dask.array",
        lambda da: Categorical(of_unknown_size(da.arange(5))),
        "probs is a Dask array with chunks of unknown sizes, and so of shape (nan,): call its "
        "compute_chunk_sizes() first",
    ),
    (
        "scipy.sparse",
        lambda sparse: Categorical(sparse.csr_array(np.ones((2, 2)))),
        "probs must be an array or a list of numbers; got csr_array: call its toarray() first",
    ),
]


@pytest.mark.filterwarnings("ignore")  # some of these are deprecated, others experimental
@pytest.mark.parametrize(
    ("library", "call", "message"), OF_LIBRARIES, ids=[x[2][:60] for x in OF_LIBRARIES]
)
def test_messages_about_other_libraries(
    library: str, call: Callable[[Any], Any], message: str
) -> None:
    module = pytest.importorskip(library)
    with pytest.raises((AttributeError, TypeError, ValueError)) as caught:
        call(module)
    found = re.sub(r"got jax[\w.]+", "got JAX", str(caught.value))  # modules change
    assert found == message


def test_shapes_that_jax_traces() -> None:
    jax = pytest.importorskip("jax")
    with pytest.raises(TypeError) as caught:
        jax.jit(lambda n: ONE.sample(n))(3)
    found = re.sub("got .*:", "got TRACER:", str(caught.value))
    assert found == (
        "sample_shape must be known when JAX traces; got TRACER: see jax.jit's static_argnums"
    )


def test_memory_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    strict = pytest.importorskip("array_api_strict")
    dist = Categorical(strict.ones(3), validate_args=False)

    def unreadable(_: Any) -> Any:
        raise BufferError

    monkeypatch.setattr(_kernels, "memory_of", unreadable)
    with pytest.raises(TypeError) as caught:
        dist.sample()
    assert str(caught.value) == (
        "anycat draws from arrays in the memory of one CPU or CUDA device; this array-api-strict "
        "array is on device array_api_strict.Device('CPU_DEVICE'): move it to the CPU first, by "
        "x.to_device(array_api_strict.Device('CPU_DEVICE'))"
    )


@pytest.mark.parametrize(
    ("module", "call", "message"),
    [
        (
            "tqdm.auto",
            lambda: anycat.progress().__enter__(),
            f"progress() needs tqdm: {PIP} install tqdm, or give a bar",
        ),
        ("matplotlib", lambda: ONE.plot(), f"plot() needs matplotlib: {PIP} install matplotlib"),
    ],
)
def test_modules_that_are_not_installed(
    module: str, call: Callable[[], Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError) as caught:
        call()
    assert str(caught.value) == message


def test_ragged_lists() -> None:
    """NumPy's text, after ours, may change."""
    for given, start in (
        (
            lambda: Categorical([[1.0], [1.0, 2.0]]),
            "probs must be a rectangular list of real numbers",
        ),
        (lambda: BATCH.sample(seeds=[[1], [1, 2]]), "seeds must be a rectangular list of integers"),
    ):
        with pytest.raises(ValueError, match="rectangular") as caught:
            given()
        assert str(caught.value).startswith(f"{start}: setting an array element")


def test_tables_of_too_many_categories() -> None:
    with pytest.raises(ValueError, match="table") as caught:
        single.prepare_row.py_func(SimpleNamespace(size=2**32), False)
    assert str(caught.value) == "a table holds fewer than 2**32 categories"


# What other libraries call an argument, and which one they mean.
NAMES: list[tuple[Any, str, str]] = [
    (Categorical, "p pk pvals prob probabilities weights", "probs"),
    (Categorical, "logit logit_p log_prob log_probs logprobs scores", "logits"),
    (Categorical, "validate", "validate_args"),
    (Categorical, "clamp", "clamp_probs"),
    (Categorical, "seed dtype axis name n", ""),
    (ONE.sample, "size shape n num_samples n_samples draws k", "sample_shape"),
    (ONE.sample, "key generator random_state rng_key", "rng"),
    (ONE.sample, "seed", "rng, or seeds for one of each row"),
    (ONE.sample, "replacement", "replace"),
    (ONE.sample, "offset", "start"),
    (ONE.sample, "device probs", ""),
    (ONE.sample_counts, "n_samples num_samples trials total_count", "n"),
    (
        ONE.sample_counts,
        "size shape sample_shape",
        "n for the number of draws, or expand for several vectors of counts",
    ),
    (ONE.sample_counts, "key random_state", "rng"),
    (ONE.sample_counts, "seed", "rng, or seeds for one of each row"),
    (ONE.sample_counts, "replacement", ""),
    (ONE.sample_and_log_prob, "size num_samples", "sample_shape"),
    (ONE.sample_and_log_prob, "key", "rng"),
    (ONE.sample_and_log_prob, "replace", ""),
    (ONE.truncate, "temp tau T", "temperature"),
    (ONE.truncate, "k topk", "top_k"),
    (ONE.truncate, "p topp", "top_p"),
    (ONE.truncate, "minp", "min_p"),
    (ONE.truncate, "bitmask action_masks where", "mask"),
    (ONE.truncate, "temprature Temperature", "temperature"),
    (ONE.truncate, "top_P topP", "top_p"),
    (ONE.sample, "sampleshape", "sample_shape"),
    (ONE.truncate, "typical_p rng", ""),
    (anycat.numba.key, "seed random_state generator", "rng"),
    (anycat.numba.key, "seeds", ""),
]
TAKES = [Categorical, ONE.sample, ONE.sample_counts, ONE.sample_and_log_prob, ONE.truncate]


@pytest.mark.parametrize(("function", "names", "meant"), NAMES)
def test_names_that_other_libraries_use(function: Any, names: str, meant: str) -> None:
    hint = f": did you mean {meant}?" if meant else ""
    for name in names.split():
        with pytest.raises(TypeError) as caught:
            function(**{name: 1})
        assert str(caught.value) == f"{function.__name__} has no argument {name!r}{hint}"


def test_each_suggestion_is_an_argument() -> None:
    arguments = {name for function in TAKES for name in inspect.signature(function).parameters}
    assert {meant.split()[0] for meant in _keywords._MEANT} <= arguments


@pytest.mark.parametrize("function", [*TAKES, anycat.numba.key])
def test_signatures_hide_what_takes_unknown_names(function: Any) -> None:
    parameters = inspect.signature(function).parameters.values()
    assert not [p for p in parameters if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    required = [p.name for p in parameters if p.default is p.empty]
    assert required == (["n"] if function == ONE.sample_counts else [])


def test_integers_of_64_bits_in_jax() -> None:
    jnp = pytest.importorskip("jax.numpy")
    with pytest.warns(UserWarning, match="dtype") as caught:
        Categorical(jnp.ones(3)).sample(dtype="int64")
    assert [str(warning.message) for warning in caught] == [
        "dtype int64 becomes int32: JAX has 64-bit integers only if jax_enable_x64 is set. Set it, "
        "or pass dtype='int32'"
    ]


@each_library
@pytest.mark.parametrize(
    ("dtype", "number"), [("int64", 2**53 + 1), ("int64", -(2**63)), ("uint64", 2**64 - 1)]
)
def test_numbers_are_told_to_the_last_digit(dtype: str, number: int, library: str) -> None:
    if library == "jax":
        pytest.skip("its integers have 32 bits")
    dist = Categorical(put(np.ones(3), library))
    value = put(np.asarray([0, number], dtype), library)
    with pytest.raises(ValueError, match=rf"value(\[\d\])? is {number}\b"):
        get(dist.log_prob(value))


INDICES: dict[str, Any] = {
    "past the end": 2,
    "too many axes": (0, 0),
    "a string": "a",
    "a float": 1.5,
    "some past the end": [0, 5],
    "an array of some past the end": np.array([1, 5, -3]),
    "a mask of another shape": np.ones(3, bool),
}


@each_library
@pytest.mark.parametrize("name", INDICES)
def test_indices(name: str, library: str) -> None:
    """The message is the same, whichever library refuses an index."""
    if library == "jax" and "past the end" in name:
        pytest.skip("JAX clips indices")
    dist = Categorical(put(np.ones((2, 3)), library))
    with pytest.raises((IndexError, TypeError)) as caught:
        dist[INDICES[name]]
    hint = ": 5 is out of range" if "some past the end" in name else SELECT
    hint = "" if name == "past the end" else hint
    assert str(caught.value) == f"index must fit the batch shape (2,); got {INDICES[name]!r}{hint}"


@each_library
def test_masks_that_do_not_fit(library: str) -> None:
    dist = Categorical(put(np.ones((2, 3)), library))
    mask = put(np.ones(4, bool), library)
    with pytest.raises(IndexError) as caught:
        dist[mask]
    shown = "a dask.array.core.Array of shape (4,)" if library == "dask" else repr(mask)
    assert str(caught.value) == f"index must fit the batch shape (2,); got {shown}{SELECT}"


@each_library
def test_dtypes(library: str) -> None:
    """Those of other libraries may be integer dtypes too."""
    dist = Categorical(put(np.ones(3), library))
    for dtype in ("float32", float, object()):
        with pytest.raises(TypeError) as caught:
            dist.sample(dtype=dtype)  # type: ignore[arg-type]
        assert str(caught.value) == (f"dtype must be an integer dtype of {library}; got {dtype!r}")


@each_library
def test_masks_of_truncate_that_do_not_fit(library: str) -> None:
    dist = Categorical(put(np.ones((2, 3)), library))
    for shape in ((3, 3), (5, 2, 3)):
        with pytest.raises(ValueError, match="mask") as caught:
            dist.truncate(mask=put(np.ones(shape, bool), library))
        assert str(caught.value) == f"mask of shape {shape} does not broadcast to the shape (2, 3)"


@each_library
def test_entries_that_are_no_numbers(library: str) -> None:
    dist = Categorical(put(np.ones((2, 3)), library))
    for bad in ("one", None, {}):
        with pytest.raises((TypeError, ValueError)) as caught:
            dist.log_prob([0, bad])  # type: ignore[list-item]
        assert f": value[1] is {bad!r}" in str(caught.value)


@each_library
def test_ranges_are_lists(library: str) -> None:
    dist = Categorical(put(np.ones((4, 3)), library))
    for ours, theirs in (
        (dist.sample(2, seeds=range(4)), dist.sample(2, seeds=[0, 1, 2, 3])),
        (
            dist.sample(2, seeds=7, start=range(1, 5)),
            dist.sample(2, seeds=7, start=[1, 2, 3, 4]),
        ),
        (dist[:3].log_prob(range(3)), dist[:3].log_prob([0, 1, 2])),
        (dist.truncate(top_k=range(1, 5)).probs, dist.truncate(top_k=[1, 2, 3, 4]).probs),
    ):
        assert get(ours).tolist() == get(theirs).tolist()


def test_ranges_of_parameters() -> None:
    for given in (range(1, 4), [range(1, 4), (4, 5, 6)]):
        probs, logits = Categorical(given), Categorical(logits=given)
        assert probs.probs.tolist() == Categorical(np.array(given)).probs.tolist()
        assert logits.probs.tolist() == Categorical(logits=np.array(given)).probs.tolist()
    with pytest.raises(ValueError, match=r"^probs must have one category or more"):
        Categorical(range(0))


@each_library
def test_a_table_as_a_value(library: str) -> None:
    pandas = pytest.importorskip("pandas")
    if library == "numpy":
        pytest.skip("NumPy takes it")
    with pytest.raises(TypeError) as caught:
        Categorical(put(np.ones(3), library)).log_prob(pandas.Series([1, 2]))
    assert str(caught.value) == (
        f"value is an array of numpy (from a Series), the distribution one of {library}: convert "
        "one of them first"
    )


def test_distributions_of_pytorch() -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.distributions.Categorical(torch.ones(2))
    with pytest.raises(TypeError) as caught:
        kl_divergence(Categorical(torch.ones(2)), theirs)
    assert str(caught.value) == (
        "q must be an anycat.Categorical; got torch.distributions.categorical.Categorical: use "
        "torch.distributions.kl_divergence, with anycat.torch.Categorical"
    )
    from anycat.torch import Categorical as Ours

    assert torch.distributions.kl_divergence(Ours(torch.ones(2)), theirs) == 0


@each_library
def test_parameters_of_the_class_for_pytorch(library: str) -> None:
    pytest.importorskip("torch")
    from anycat.torch import Categorical as Ours

    if library in ("numpy", "torch"):
        pytest.skip("they are taken")
    x = put(np.ones(3), library)
    with pytest.raises(TypeError) as caught:
        Ours(x)
    public = rf"{library if library != 'jax' else 'jaxlib'}\.([a-z]\w*\.)*{type(x).__name__}"
    assert re.fullmatch(
        "probs must be a tensor, a NumPy array or a list of numbers; got "
        rf"{public}: convert it first",
        str(caught.value),
    )


def test_shapes_of_the_class_for_pytorch() -> None:
    torch = pytest.importorskip("torch")
    from anycat.torch import Categorical as Ours

    dist = Ours(torch.ones(3))
    for name, argument in (
        ("top_k", torch.ones(2, dtype=torch.int64)),
        ("mask", torch.ones(2, 3) > 0),
    ):
        with pytest.raises(ValueError, match="broadcast") as caught:
            dist.truncate(**{name: argument})
        assert "torch.Size" not in str(caught.value)


def test_jax_needs_a_key() -> None:
    jax = pytest.importorskip("jax")
    for rng, got in ((None, "None"), (np.random.default_rng(0), "numpy.random.Generator")):
        with pytest.raises(TypeError) as caught:
            jax.jit(lambda x: Categorical(x).sample(rng=rng))(jax.numpy.ones(3))  # noqa: B023
        assert str(caught.value) == (
            f"rng must be a key of jax.random or a seed where JAX traces; got {got}, whose bits "
            "would be the same in each call: pass a key, as in sample(rng=key)"
        )
