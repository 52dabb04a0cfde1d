"""Draw by every kernel, for a process that looks for bad memory accesses: prints a digest of all.

``sweep.py CUPY [OLD=>NEW ...]``, where CUPY is ``on_cpu`` for the harness or ``device`` for a GPU.
Changes are planted in the source first.
"""

import hashlib
import sys
from itertools import product

import cases
import harness
import numpy as np
import rows

from anycat._kernels import cuda
from anycat._kernels.cuda import compile as compiling
from anycat._kernels.cuda.costs import Costs
from anycat._kernels.grid import DrawRange


def main(where: str, *changes: str) -> None:
    text = compiling.source()
    for change in changes:
        old, new = change.split("=>")
        assert old in text
        text = text.replace(old, new)
    compiling.source = lambda: text
    types = [("probs", "float32"), ("logits", "float64")]
    if where == "device":
        import cupy

        cupy.cuda.set_allocator(None)  # so that arrays do not lie next to each other
        types += [("logits", "float32"), ("probs", "float16")]
    else:
        sys.modules["cupy"] = harness.fake_cupy()
    digest = hashlib.sha256()
    shapes = (130, 7), (5, 33), (2, 1000), (2, 4097)
    outputs = (0, "int64"), (3, "int64"), (3, "int32")  # the first draw, and the dtype
    for (form, dtype), shape, table, (first, out) in product(types, shapes, (0, 1), outputs):
        costs = Costs(1.0, 0.0) if table else Costs(0.0, 1.0)
        Costs.of = lambda *_, costs=costs: costs
        x = rows.make(form, "wide", shape, dtype)[: 1 if table else None]
        draws = DrawRange(3, len(x), 1, first, len(x), 1)
        digest.update(cases.draw(x, form, draws, out).tobytes())
    cupy = sys.modules["cupy"]
    for (form, dtype), shape in product(types, shapes):
        x = cupy.asarray(rows.make(form, "wide", shape, dtype))
        for p in (1, 0.9):
            kept = cuda.truncate(x, form == "logits", (None, 5, p, 0.1), {})
            digest.update(cupy.asnumpy(kept).tobytes())
        n = min(9, shape[1] + 1)  # of the shortest rows more than there are
        out = cupy.asarray(np.full((n, shape[0], 1), 99, np.int16))
        draws = cases.one_after_another(x, n, first=1)
        cuda.sample_distinct(x, form == "logits", rows.BITS, draws, out, {})
        digest.update(cupy.asnumpy(out).tobytes())
        for table in (0, 1):
            costs = Costs(1.0, 0.0) if table else Costs(0.0, 1.0)
            Costs.of = lambda *_, costs=costs: costs
            counts = cupy.asarray(np.full(shape, 99))
            cuda.sample_counts(x, form == "logits", rows.BITS, draws, counts, {})
            digest.update(cupy.asnumpy(counts).tobytes())
    print(digest.hexdigest())


main(*sys.argv[1:])
