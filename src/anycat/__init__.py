"""One ``Categorical`` distribution for NumPy, CuPy, PyTorch, JAX and Dask arrays."""

from ._progress import progress
from .categorical import Categorical, kl_divergence
from .cuda import cuda_source

__version__ = "0.1.0.dev0"

STREAM_VERSION = 1
"""Version of the draw specification: draws for a given ``rng`` change only when this changes."""

__all__ = [
    "STREAM_VERSION",
    "Categorical",
    "__version__",
    "cuda_source",
    "kl_divergence",
    "progress",
]


def __getattr__(name: str) -> object:
    """Import a module of the package when it is asked for: some need more than the others."""
    from importlib import import_module, util

    if name.startswith("_") or util.find_spec(f"{__name__}.{name}") is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")


def __dir__() -> list[str]:
    """List the public names, and the modules named after a library if that is installed."""
    from importlib.util import find_spec
    from pkgutil import iter_modules

    modules = {x.name for x in iter_modules(__path__) if x.name[0] != "_"} - {"categorical", "cuda"}
    return sorted([*__all__, *filter(find_spec, modules)])
