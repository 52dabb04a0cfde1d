"""Keywords that a function does not have: hidden in its signature, reported with a suggestion."""

from __future__ import annotations

import difflib
import inspect
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

F = TypeVar("F", bound="Callable[..., Any]")

REQUIRED: Any = inspect.Parameter.empty
"""The default of an argument that must be given: signatures show none."""

_DRAWS = "num_samples n_samples num_draws draws k"

# What to suggest, which begins with an argument, and what other libraries call that.
_MEANT = {
    "probs": "p pk prob pvals probabilities weights",
    "logits": "logit logit_p log_p log_prob log_probs logprobs log_weights scores",
    "validate_args": "validate check check_args",
    "clamp_probs": "clamp",
    "sample_shape": f"{_DRAWS} size shape n",
    "n": f"{_DRAWS} count trials n_trials num_trials total_count",
    "n for the number of draws, or expand for several vectors of counts": "size shape sample_shape",
    "replace": "replacement with_replacement",
    "rng": "seed key generator random_state rng_key random_seed",
    "seeds for one of each row": "seed",
    "start": "offset skip",
    "mask": "masks bitmask action_mask action_masks allowed where",
    "temperature": "temp tau t T",
    "top_k": "k topk",
    "top_p": "p topp nucleus",
    "min_p": "minp",
}


def hide_unknown(function: F) -> F:
    """Leave what only serves `report_unknown` out of the signature that users see."""
    shown = inspect.signature(function)
    known = [p for p in shown.parameters.values() if p.name not in ("more", "unknown")]
    function.__signature__ = shown.replace(parameters=known)  # type: ignore[attr-defined]
    return function


def report_unknown(function: Any, names: Iterable[str], more: Sequence[Any] = ()) -> NoReturn:
    """Raise for arguments that a function or class does not have: ``more`` are by position."""
    if more:
        raise TypeError(
            f"sample takes one argument by position, sample_shape; got {1 + len(more)}: name the "
            "others, as in sample((2, 3), rng=0)"
        )
    name, known = next(iter(names)), inspect.signature(function).parameters
    meant = [x for x in _MEANT if x.split()[0] in known and name in _MEANT[x].split()]
    meant = meant or difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.8)
    hint = f": did you mean {', or '.join(meant)}?" if meant else ""
    raise TypeError(f"{function.__name__} has no argument {name!r}{hint}")
