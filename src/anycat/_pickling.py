"""What a pickled distribution consists of, and the checks of one that is loaded."""

from __future__ import annotations

import pickle
from typing import Any

from . import _arguments, _shapes
from ._backends import registry
from ._parameters import FORMS

_FORMAT = 1
_READER = "0.1.0"  # the first version of anycat that reads this format
_FIELDS = {
    "form": str,
    "param": object,
    "batch_shape": tuple,
    "validate": bool,
    "clamp_probs": bool,
    "rows_validated": bool,
    "own": dict,  # what a subclass has added
}


def to_pickle(*values: Any) -> dict[str, Any]:
    """Return what a distribution is made of, under the names above, and the format."""
    return {"format": _FORMAT, "reader": _READER, **dict(zip(_FIELDS, values, strict=True))}


def from_pickle(pickled: Any) -> list[Any]:
    """Return the values that `to_pickle` took, if a distribution can be made of them.

    The rows are not checked again, so that a copy costs nothing and shares memory.
    """
    try:
        fields = _checked(pickled)
        form, param, batch = (fields[name] for name in ("form", "param", "batch_shape"))
        if form not in FORMS:
            raise ValueError(f"form must be probs or logits; got {form!r}")
        if registry.find_backend(param) is None:
            raise TypeError(f"{form} must be an array; got {type(param).__name__}")
        _arguments.as_array(form, param)
        _shapes.check_parameters(form, param)
        _shapes.check_expansion(
            tuple(param.shape[:-1]), _arguments.shape_tuple("batch_shape", batch)
        )
    except (TypeError, ValueError) as error:
        raise pickle.UnpicklingError(f"cannot load a pickled distribution: {error}") from None
    return [fields[name] for name in _FIELDS]


def _checked(pickled: Any) -> dict[str, Any]:
    """Return the fields of a pickle, if it is of this format and they have the right types."""
    fields = pickled if isinstance(pickled, dict) else {}
    found = fields.get("format")
    if found is None:
        raise ValueError(f"it has no format; it is damaged, or older than anycat {_READER}")
    if found != _FORMAT:
        raise ValueError(
            f"it has format {found}, which anycat {fields.get('reader')} and later can read; this "
            f"version reads format {_FORMAT}"
        )
    if wrong := fields.keys() ^ {"format", "reader", *_FIELDS}:
        problem = ", ".join(f"{'has' if x in fields else 'lacks'} {x!r}" for x in sorted(wrong))
        raise ValueError(f"its fields are wrong: it {problem}")
    for name, kind in _FIELDS.items():
        if not isinstance(fields[name], kind):
            got = type(fields[name]).__name__
            raise TypeError(f"{name} must be a {kind.__name__}; got {got}")
    return fields
