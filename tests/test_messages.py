"""What users read when an argument is wrong: its name, the place, the value, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from libraries import each_library, get, put

from anycat import Categorical, kl_divergence

if TYPE_CHECKING:
    from collections.abc import Callable

ONE, BATCH = Categorical([0.5, 0.5]), Categorical(np.ones((2, 3)))
NAN, INF = np.nan, np.inf
UNCHECKED = "With validate_args=False, draws from such a row are -1"

MESSAGES: list[tuple[Callable[[], Any], type[Exception], str]] = [
    # --- parameters
    (lambda: Categorical(), ValueError, "give either probs or logits; got neither"),
    (lambda: Categorical([1], [1]), ValueError, "give either probs or logits; got both"),
    (lambda: Categorical("ab"), TypeError, "probs must be an array or a list of numbers; got str"),
    (lambda: Categorical([1j]), TypeError, "probs must hold real numbers; got dtype complex128"),
    (
        lambda: Categorical([1, 2**64]),
        TypeError,
        "probs must hold real numbers; got dtype object, as for integers of more than 64 bits",
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
        "probs must be finite and not negative; probs[1] is -2.0",
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
        f"probs must not all be zero in a row; all of probs[1] are. {UNCHECKED}",
    ),
    (
        lambda: Categorical(logits=[-INF, -INF]),
        ValueError,
        f"logits must not all be -inf in a row; all of logits are. {UNCHECKED}",
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
    (lambda: ONE[0], IndexError, "a distribution without a batch cannot be indexed"),
    (lambda: BATCH[2], IndexError, "index 2 does not fit the batch shape (2,)"),
    (lambda: BATCH[0, 0], IndexError, "index (0, 0) does not fit the batch shape (2,)"),
    (lambda: BATCH["a"], IndexError, "index 'a' does not fit the batch shape (2,)"),
    # --- draws
    (
        lambda: ONE.sample(np.random.default_rng(0)),
        TypeError,
        "sample_shape must be an integer or a tuple of them; got Generator: did you mean rng=?",
    ),
    (
        lambda: ONE.sample(size=3),
        TypeError,
        "sample has no argument 'size': did you mean sample_shape?",
    ),
    (lambda: ONE.sample(seed=3), TypeError, "sample has no argument 'seed': did you mean rng?"),
    (lambda: ONE.sample(device=3), TypeError, "sample has no argument 'device'"),
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
    (lambda: ONE.sample(dtype="f4"), TypeError, "dtype must be an integer dtype; got 'f4'"),
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
]


@pytest.mark.parametrize(("call", "error", "message"), MESSAGES, ids=[x[2][:60] for x in MESSAGES])
def test_messages(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message


@each_library
@pytest.mark.parametrize(
    ("dtype", "number"), [("int64", 2**53 + 1), ("int64", -(2**63)), ("uint64", 2**64 - 1)]
)
def test_numbers_are_told_to_the_last_digit(dtype: str, number: int, library: str) -> None:
    if library == "jax":
        pytest.skip("its integers have 32 bits")
    dist = Categorical(put(np.ones(3), library))
    value = put(np.asarray([0, number], dtype), library)
    with pytest.raises(ValueError, match=rf"value(\[\d\])? is {number}(\n|$)"):
        get(dist.log_prob(value))


INDICES: dict[str, Any] = {
    "past the end": 2,
    "too many axes": (0, 0),
    "a string": "a",
    "a float": 1.5,
    "some past the end": [0, 5],
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
    assert str(caught.value) == f"index {INDICES[name]!r} does not fit the batch shape (2,)"


@each_library
def test_masks_that_do_not_fit(library: str) -> None:
    dist = Categorical(put(np.ones((2, 3)), library))
    mask = put(np.ones(4, bool), library)
    with pytest.raises(IndexError) as caught:
        dist[mask]
    assert str(caught.value) == f"index {mask!r} does not fit the batch shape (2,)"
