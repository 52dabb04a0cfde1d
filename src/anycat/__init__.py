"""One ``Categorical`` distribution for every array."""

from .categorical import Categorical, kl_divergence

__version__ = "0.1.0.dev0"

__all__ = ["Categorical", "__version__", "kl_divergence"]
