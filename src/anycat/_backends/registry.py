"""The table of array libraries, and the backend for an array or an ``rng``.

A library's file is loaded, by its name, when something of that library arrives first.
"""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import array_api_compat as compat
import numpy as np

from anycat import _kernels
from anycat._messages import PIP, is_short, type_name

from .base import Backend, Library

if TYPE_CHECKING:
    from anycat._random import RNG

    Namespace = Any

LIBRARIES = (
    Library("numpy", "NumPy", "array_api_compat.numpy", "NumPyBackend", ("CPU",), "x"),
    Library(
        *("cupy", "CuPy", "array_api_compat.cupy", "CuPyBackend", ("CUDA",), "x.get()"),
        rng="cupy.random.Generator",
    ),
    Library(
        *("torch", "PyTorch", "array_api_compat.torch", "TorchBackend", ("CPU", "CUDA")),
        to_cpu="x.cpu()",
        gradients=True,
        traced="under `torch.compile`, `torch.export`, `torch.func.vmap`; on the meta device",
        rng="torch.Generator",
        drop_in="anycat.torch.Categorical",
        registers=True,
        requirement="torch>=2.6",
    ),
    Library(
        *("jax", "JAX", "jax.numpy", "JAXBackend", ("CPU", "CUDA")),
        to_cpu="jax.device_put(x, jax.devices('cpu')[0])",
        gradients=True,
        traced="under `jit`, `vmap`, `lax.scan`",
        rng="key of jax.random",
        registers=True,
        requirement="jax>=0.5",
    ),
    Library(
        *("dask", "Dask", "array_api_compat.dask.array", "DaskBackend", ("CPU", "CUDA")),
        to_cpu="x.map_blocks(cupy.asnumpy)",
        traced="before `compute`, which checks them",
        requirement="dask[array]>=2025.1",
    ),
    Library(
        *("array_api_strict", "array-api-strict", "array_api_strict", "StrictBackend", ("CPU",)),
        to_cpu="x.to_device(array_api_strict.Device('CPU_DEVICE'))",
        requirement="array-api-strict>=2.4",
    ),
)
ANY_OTHER = Library(
    *("", "any other with DLPack", "", "", ("CPU", "CUDA")), to_cpu="x.to_device('cpu')"
)


# --- backends -----------------------------------------------------------------------------------

_BY_TYPE: dict[type, Backend] = {}
_BY_NAME: dict[str, Backend] = {}


def backend_of(x: Any) -> Backend:
    """Return the backend of an array."""
    if backend := find_backend(x):
        return backend
    raise TypeError(f"{type_name(x)} is not an array type that follows the array API standard")


def find_backend(x: Any) -> Backend | None:
    """Return the backend of an array; None if ``x`` is no array."""
    return _BY_TYPE.get(type(x)) or _loaded(_load_for(x))


def _loaded(key: str) -> Backend | None:
    return _BY_NAME.get(key)


def _load_for(x: Any) -> str:
    """Load the backend of an array, and return its key; if ``x`` is no array, return ""."""
    if not compat.is_array_api_obj(x):
        return ""
    xp = compat.array_namespace(x)
    library = library_of(xp)
    key = library.name or f"any other: {xp.__name__}"
    if library is ANY_OTHER:
        _BY_TYPE[type(x)] = _BY_NAME.setdefault(key, Backend(library, xp))
    else:
        _BY_TYPE[type(x)] = load(library)
    return key


def library_of(xp: Namespace) -> Library:
    """Return the row of the table for a namespace."""
    return next((library for library in LIBRARIES if library.owns(xp)), ANY_OTHER)


def load(library: Library) -> Backend:
    """Return the backend of a library, which must be installed."""
    backend = _BY_NAME.get(library.name)
    if backend is None:
        file = importlib.import_module(f"{__package__}.{library.name}")
        backend = _BY_NAME[library.name] = getattr(file, library.backend)(library)
    return backend


def default() -> Backend:
    """Return the backend in which lists and numbers become arrays."""
    return _BY_TYPE[np.ndarray]


# JAX's gradients of integers are NumPy arrays that array-api-compat counts as JAX's. So NumPy's
# type is entered here, before any of its arrays is looked at.
_BY_TYPE[np.ndarray] = load(LIBRARIES[0])


def is_traced(x: Any) -> bool:
    """Tell whether ``x``, which may be anything, is a traced array."""
    backend = find_backend(x)
    return backend is not None and backend.is_traced(x)


def is_lazy(x: Any) -> bool:
    """Tell whether an object that is no array consists of Dask's, and must not be computed."""
    dask = sys.modules.get("dask")
    return dask is not None and dask.is_dask_collection(x)


def register(cls: type) -> None:
    """Make a class of distributions known to the imported libraries whose functions take them."""
    for name, library, known in _REGISTERING:
        if name in sys.modules and cls not in known:
            load(library).register(cls)
            known.add(cls)


_REGISTERING: list[tuple[str, Library, set[type]]] = [
    (library.name, library, set()) for library in LIBRARIES if library.registers
]


# PyTorch's compiler calls these functions: it could not trace the import of a file.
for _function in (_load_for, register):
    vars(_function)["_dynamo_marked_constant"] = True


# --- random bits --------------------------------------------------------------------------------


def reader_of(rng: RNG) -> Backend:
    """Return the backend of the library to which ``rng`` belongs."""
    return _READERS.get(type(rng)) or _find_reader(rng)


_READERS: dict[type, Backend] = {int: default()}


def _find_reader(rng: RNG) -> Backend:
    for library in LIBRARIES:
        if sys.modules.get(library.name) and load(library).reads(rng):
            if not hasattr(rng, "shape"):  # an array may be a key or not
                _READERS[type(rng)] = load(library)
            return load(library)
    *kinds, last = (f"a {library.rng}" for library in LIBRARIES if library.rng)
    many = isinstance(rng, (list, tuple, range)) or getattr(rng, "ndim", 0) > 0
    per_row = "a seed for each row, to methods of Categorical, as seeds="
    hint = f": pass {per_row}" if many else ""
    if isinstance(rng, (list, tuple)) and all(type(x) is int for x in rng) and is_short(repr(rng)):
        hint = f": pass numpy.random.default_rng({rng!r}), or {per_row}"
    if str(getattr(rng, "dtype", "")) == "uint32" and rng.ndim and "jax" in sys.modules:
        hint += ". If it is the data of a key, use jax.random.wrap_key_data"
    if getattr(rng, "shape", None) == () and is_traced(rng):
        hint = ", which is traced: use seeds=, or a key of jax.random that is made of it"
    raise TypeError(
        "rng must be None, an int, a numpy.random.SeedSequence, BitGenerator or Generator (made by "
        f"numpy.random.default_rng, for example), {', '.join(kinds)}, or {last}; "
        f"got {type_name(rng)}{hint}"
    )


def is_rng(x: Any) -> bool:
    """Tell whether ``x`` is a generator or a key."""
    try:
        return reader_of(x) is not None
    except TypeError:
        return False


# --- what works on this machine -----------------------------------------------------------------


def unavailable_reason(library: Library, memory: str) -> str | None:
    """Tell why arrays of a library cannot be drawn from in a kind of memory; None if they can."""
    if library.requirement and find_spec(library.name) is None:  # kernels tell of CuPy
        return f"not installed: {PIP} install '{library.requirement}'"
    kernels_reason: str | None = _kernels.load(memory.lower()).unavailable_reason()
    if kernels_reason:
        return kernels_reason
    try:
        return load(library).unavailable_reason(memory)
    except Exception as error:  # libraries load others, and may raise anything
        return f"cannot be imported ({type(error).__name__}: {error})"
