"""array-api-strict: only its dtypes differ from what the standard leads to."""

from __future__ import annotations

from typing import Any

from .base import Backend


class StrictBackend(Backend):
    """array-api-strict."""

    def _numpy_name(self, dtype: Any) -> Any:
        return str(dtype).split(".")[-1]
