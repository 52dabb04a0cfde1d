"""One ``Categorical`` distribution for every array."""

from .categorical import Categorical, kl_divergence

__version__ = "0.1.0.dev0"

STREAM_VERSION = 1
"""Which definition of the draw this is: draws for given ``rng`` change with it, and never else."""

__all__ = ["STREAM_VERSION", "Categorical", "__version__", "kl_divergence"]
