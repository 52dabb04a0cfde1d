"""Short rows as columns, LANES rows together, so that LLVM vectorizes across the rows."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .bits import bits_of, flip_negative, from_bits
from .constants import LANES, ONE, TWO, ZERO
from .entry import inner
from .weights import max_if_valid

SIDE = np.uint64(8)  # rows and columns of a block that is transposed in registers


@inner
def load_columns(x, begin, size, logits, columns, maxima, lowest):
    """Turn LANES short rows into columns, and find the `valid_max` of each.

    Extremes are integers in arrays of floats as wide: of floats themselves, LLVM would store only
    the larger ones, by masks, which is slow.
    """
    highest, zero = maxima, columns.dtype.type(0)  # -0.0 + 0 is 0
    _fill_columns(x, begin, size, columns)
    for b in range(LANES):
        highest[b] = lowest[b] = from_bits(flip_negative(bits_of(columns[b] + zero)))
    for k in range(size & ONE, size, TWO):
        for b in range(LANES):
            u = flip_negative(bits_of(columns[k * LANES + b] + zero))
            v = flip_negative(bits_of(columns[(k + ONE) * LANES + b] + zero))
            highest[b] = from_bits(max(bits_of(highest[b]), max(u, v)))
            lowest[b] = from_bits(min(bits_of(lowest[b]), min(u, v)))
    for b in range(LANES):
        maxima[b] = max_if_valid(bits_of(highest[b]), bits_of(lowest[b]), logits)


@inner
def _fill_columns(x, begin, size, columns):
    if size < SIDE:
        for k in range(size):
            for b in range(LANES):
                columns[k * LANES + b] = x[(begin + b) * size + k]
        return
    for b in range(ZERO, LANES, SIDE):
        for k in range(ZERO, size, SIDE):
            at = min(k, size - SIDE)  # the last block overlaps the one before
            _transpose(x, (begin + b) * size + at, size, columns, at * LANES + b, LANES)


@intrinsic
def _transpose(context, x, begin, stride, out, out_begin, out_stride):
    """Copy SIDE entries of as many rows of ``x``, ``stride`` apart, to columns of ``out``."""
    side, align = int(SIDE), x.dtype.bitwidth // 8

    def codegen(context, builder, signature, args):
        block = ir.VectorType(context.get_data_type(x.dtype), side)

        def pointers(kind, array, begin, stride):
            array = context.make_array(kind)(context, builder, array)
            for i in range(side):
                at = builder.add(begin, builder.mul(stride, ir.Constant(stride.type, i)))
                if context.enable_boundscheck:  # as where arrays are indexed
                    last = builder.add(at, ir.Constant(at.type, side - 1))
                    cgutils.do_boundscheck(context, builder, last, array.nitems)
                yield builder.bitcast(builder.gep(array.data, [at]), block.as_pointer())

        rows = [builder.load(p, align=align) for p in pointers(x, *args[:3])]
        columns = _swap_blocks(builder, rows)
        for column, p in zip(columns, pointers(out, *args[3:]), strict=True):
            builder.store(column, p, align=align)
        return context.get_dummy_value()

    return types.void(x, begin, stride, out, out_begin, out_stride), codegen


def _swap_blocks(builder, rows):
    """Transpose vectors: swap the two blocks off the diagonal, for blocks of each size."""
    side = len(rows)
    half = side // 2
    while half:
        left = [j if not j & half else side + j - half for j in range(side)]
        right = [j + half if not j & half else side + j for j in range(side)]
        masks = [ir.Constant(ir.VectorType(ir.IntType(32), side), m) for m in (left, right)]
        for i in (i for i in range(side) if not i & half):
            pair = rows[i], rows[i + half]
            rows[i], rows[i + half] = (builder.shuffle_vector(*pair, m) for m in masks)
        half //= 2
    return rows
