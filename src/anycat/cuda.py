"""Draws inside CUDA kernels that users write."""

from __future__ import annotations

__all__ = ["cuda_source"]


def cuda_source() -> str:
    """Return the CUDA C++ source of functions that draw inside your own kernels.

    Put the source before your kernel, and compile both as C++14 or later, with ``cupy.RawKernel``,
    NVRTC or nvcc. A single thread makes each draw, with these functions of the namespace
    ``anycat``:

    ``draw(probs, size, key, i, stride=1)``, ``draw_logits(logits, size, key, i, stride=1)``
        Draw from a row of ``float`` or ``double``, of any size, in any memory. The row is read
        three times, or nine times if it has more than 4096 categories. Element ``k`` is at
        ``k * stride``.
    ``draw_prepared(cdf, size, key, i)``
        Draw from a prepared row: ``cdf`` is an array on the GPU, copied from
        ``anycat.numba.prepare(row).cdf``.

    The key is a pointer to four ``unsigned long long`` that are copied from
    ``anycat.numba.key(rng)``, and ``i`` is the draw index. The functions return a ``long long``:
    ``Categorical(row).sample(n, rng=rng)[i]``, or -1 if the row is invalid.

    This function needs neither CuPy nor a GPU.

    Returns
    -------
    str
        The source, which includes no other files.

    Examples
    --------
    >>> import anycat
    >>> kernel = anycat.cuda_source() + r'''
    ... extern "C" __global__ void step(
    ...     const float* transitions, long long* states, long long n, long long size,
    ...     const unsigned long long* key, unsigned long long time
    ... ) {
    ...   const long long agent = blockIdx.x * (long long)blockDim.x + threadIdx.x;
    ...   if (agent >= n) return;
    ...   const float* row = transitions + states[agent] * size;
    ...   states[agent] = anycat::draw(row, size, key, time * n + agent);
    ... }'''

    On a GPU, ``cupy.RawKernel(kernel, "step", options=("-std=c++17",))`` compiles it.
    """
    from ._kernels.cuda.compile import device_source

    return device_source()
