"""All that Numba compiles. Nothing here imports from the rest of the package."""
