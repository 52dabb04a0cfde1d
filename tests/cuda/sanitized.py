"""Draw in every regime, for a process that looks for bad memory accesses: prints a digest of all.

An argument ``old=>new`` plants a change in the source first.
"""

import hashlib
import sys
from itertools import product

import harness
import numpy as np
import rows

from anycat._kernels import Draws, cuda


def main() -> None:
    text = cuda.source()
    for change in sys.argv[1:]:
        old, new = change.split("=>")
        assert old in text
        text = text.replace(old, new)
    cuda.source = lambda: text
    sys.modules["cupy"] = harness.fake_cupy()
    digest = hashlib.sha256()
    for form, dtype in (("probs", np.float32), ("logits", np.float64)):
        shapes = (130, 7), (5, 33), (2, 1000), (2, 4097)
        for shape, table, first in product(shapes, (False, True), (0, 3)):
            costs = cuda.Costs(1.0, 0.0) if table else cuda.Costs(0.0, 1.0)
            cuda.Costs.of = lambda *_, costs=costs: costs
            x = rows.make(form, "wide", shape, dtype)[: 1 if table else None]
            draws = Draws(3, len(x), 1, first, len(x))
            digest.update(harness.draw(x, form, draws, np.int32 if first else np.int64).tobytes())
    print(digest.hexdigest())


main()
