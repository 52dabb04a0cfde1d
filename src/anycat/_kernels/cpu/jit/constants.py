"""Numbers that kernels share, unsigned as their indices are.

Indices are unsigned and arrays are not sliced: Numba's test for negative indices would prevent
vectorization, and its reference counts cost more than a short row.
"""

import numpy as np

TILE = np.uint64(4096)  # categories that share an exponent: part of the definition of the draw
BLOCK = np.uint64(64)  # categories between two stored partial sums of a tile
CHUNK = np.uint64(512)  # terms added in the precision of the values, or read again at once
LANES = np.uint64(64)  # short rows that are processed together
WORD_BUFFER = np.uint64(1024)  # random words generated at once
CHILDREN = np.uint64(16)  # of a node of a tree of tiles
SPARE_WORDS = np.uint64(4)  # and how many more may be written beside them

FRACTION_BITS = 49  # bits below the leading one of a tile's largest integer weight
BEYOND_CDF = np.uint64(2**63 - 1)  # more than is ever searched for in a cdf
HALF, LOW = np.uint64(32), np.uint64(0xFFFFFFFF)  # of a random word or a guide entry
ZERO, ONE, TWO, THREE = np.uint64(0), np.uint64(1), np.uint64(2), np.uint64(3)
