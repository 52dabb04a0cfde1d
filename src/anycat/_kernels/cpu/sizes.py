"""Sizes that kernels are compiled with, as Python's integers, and the dtypes that they take."""

import numpy as np

from .jit import constants

TILE = int(constants.TILE)
BLOCK = int(constants.BLOCK)
LANES = int(constants.LANES)
WORD_BUFFER = int(constants.WORD_BUFFER)
SPARE_WORDS = int(constants.SPARE_WORDS)
CHILDREN = int(constants.CHILDREN)

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
