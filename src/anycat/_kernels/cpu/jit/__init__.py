"""All that Numba compiles. Only the cache imports from the rest of the package."""
