"""The cache of compiled functions on disk.

Numba's own cache keeps a function until its source file changes, but kernels are compiled from
several files. It fails where there is no folder to write to, where the disk is full, and where a
file is truncated. And as it has an index beside its files, two processes that write at once can
leave the code of one under the name of the other.
"""

import hashlib
import os
import pickle
import uuid
from importlib import resources
from pathlib import Path

import numba
from numba.core.caching import CompileResultCacheImpl, NullCache
from numba.core.serialize import dumps

from anycat._kernels.warn import warn

# There is no file yet or, on Windows, another process is replacing it.
_NO_HARM = (FileNotFoundError, PermissionError) if os.name == "nt" else FileNotFoundError


def _digest_sources():
    files = sorted(resources.files(__package__).iterdir(), key=lambda file: file.name)
    sources = [file.read_bytes() for file in files if file.name.endswith(".py")]
    return hashlib.sha256(b"\0".join(sources)).hexdigest()


DIGEST = _digest_sources()  # now, since the files may change before kernels are compiled
_warned = False


class DiskCache(NullCache):  # type: ignore[misc]
    """A file for each signature of a function, in the folder that Numba's own cache would use.

    A file starts with a digest of its contents and of all that they depend on. If that is wrong,
    for whichever reason, the file is replaced.
    """

    cache_path = None

    def __init__(self, function, options):
        self._function, self._options = function, repr(sorted(options.items()))

    def load_overload(self, signature, target_context):
        """Return what is kept for a signature, or else None."""
        target_context.refresh()
        try:
            numbas, path, digest = self._find(signature, target_context.codegen())
            content = path.read_bytes()
            head, data = content[:32], content[32:]
            if head == digest(data):
                return numbas.rebuild(target_context, pickle.loads(data))
        except _NO_HARM:
            pass
        except Exception as error:
            _warn(error)
        return None

    def save_overload(self, signature, result):
        """Keep the result of a compilation."""
        try:
            numbas, path, digest = self._find(signature, result.codegen)
            if numbas.check_cachable(result):
                data = dumps(numbas.reduce(result))
                _replace(path, digest(data) + data)
        except _NO_HARM:
            pass
        except Exception as error:
            _warn(error)

    def _find(self, signature, codegen):
        """Return Numba's part of the cache, the file for a signature, and its digest of data."""
        numbas = CompileResultCacheImpl(self._function)  # looks for a folder, and makes it
        self.cache_path = numbas.locator.get_cache_path()
        settings = codegen.magic_tuple(), self._options, numba.config.BOUNDSCHECK
        key = repr((signature, *settings)).encode()
        name = f"{numbas.filename_base}.{hashlib.sha256(key).hexdigest()[:16]}.nbc"
        start = hashlib.sha256(f"{numba.__version__} {DIGEST} ".encode() + key)

        def digest(data):
            whole = start.copy()
            whole.update(data)
            return whole.digest()

        return numbas, Path(self.cache_path, name), digest


def _replace(path, content):
    """Write a file in one step, so that no other process reads a part of it."""
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:16]}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _warn(error):
    """Warn once."""
    global _warned
    if _warned:
        return
    _warned = True
    warn(
        "anycat cannot keep its compiled kernels on disk, so that each process takes seconds to "
        "compile them again. Set the environment variable NUMBA_CACHE_DIR to a folder that can "
        f"be written to. ({type(error).__name__}: {error})",
        RuntimeWarning,
    )
