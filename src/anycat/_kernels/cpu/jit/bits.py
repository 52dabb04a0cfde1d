"""Bits of floats and integers: what Numba has no function for."""

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from .constants import ONE
from .entry import inner


@intrinsic
def bits_of(context, x):
    """Return the bits of a float as a signed integer of the same width."""
    integer = {types.float32: types.int32, types.float64: types.int64}[x]

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], context.get_value_type(signature.return_type))

    return integer(x), codegen


@intrinsic
def from_bits(context, x):
    """Return the float with the bits of an integer of the same width."""
    real = {32: types.float32, 64: types.float64}[x.bitwidth]

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], context.get_value_type(signature.return_type))

    return real(x), codegen


@intrinsic
def fma(context, x, y, z):
    """Return ``x * y + z``, rounded once."""

    def codegen(context, builder, signature, args):
        t = args[0].type
        name = {types.float32: "llvm.fma.f32", types.float64: "llvm.fma.f64"}[x]
        function = ir.FunctionType(t, [t, t, t])
        return builder.call(cgutils.get_or_insert_function(builder.module, function, name), args)

    return x(x, x, x), codegen


@intrinsic
def multiply_high(context, word, total):
    """Return ``floor(word * total / 2**64)``."""

    def codegen(context, builder, signature, args):
        wide = ir.IntType(128)
        product = builder.mul(*(builder.zext(a, wide) for a in args))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))

    return types.uint64(types.uint64, types.uint64), codegen


@intrinsic
def prefetch(context, x, i):
    """Have the processor load ``x[i]``, of a contiguous array, into its cache."""

    def codegen(context, builder, signature, args):
        if not isinstance(x, types.Array):  # it has no address
            return context.get_dummy_value()
        data = context.make_array(x)(context, builder, args[0]).data
        address = builder.bitcast(builder.gep(data, [args[1]]), cgutils.voidptr_t)
        options = [ir.Constant(ir.IntType(32), option) for option in (0, 3, 1)]  # read, keep, data
        function = ir.FunctionType(ir.VoidType(), [y.type for y in (address, *options)])
        function = cgutils.get_or_insert_function(builder.module, function, "llvm.prefetch.p0i8")
        builder.call(function, [address, *options])
        return context.get_dummy_value()

    return types.void(x, i), codegen


@intrinsic
def borrowed(context, x):
    """Return a vector without its reference count, which costs more than a short row.

    It counts as writeable, since to have kernels for read-only vectors too would double them.
    """
    vector = types.Array(x.dtype, 1, "A" if x.layout == "A" else "C", aligned=x.aligned)

    def codegen(context, builder, signature, args):
        array = context.make_array(x)(context, builder, args[0])
        array.meminfo = cgutils.get_null_value(array.meminfo.type)
        array.parent = cgutils.get_null_value(array.parent.type)
        return array._getvalue()

    return vector(x), codegen


@intrinsic(prefer_literal=True)
def on_stack(context, like, count):
    """Return a pointer to ``count`` numbers, a literal, of the type of ``like``, on the stack."""

    def codegen(context, builder, signature, args):
        size = ir.Constant(ir.IntType(64), count.literal_value)
        return cgutils.alloca_once(builder, args[0].type, size)

    return types.CPointer(like)(like, count), codegen


def flip_negative(bits):
    """Turn the bits of floats into integers that sort as the floats do, and back.

    0.0 is 0 and -0.0 is -1; NaN lies beyond both infinities.
    """


@overload(flip_negative)
def _flip_negative_for(bits):
    integer = {32: np.int32, 64: np.int64}[bits.bitwidth]
    sign, rest = integer(bits.bitwidth - 1), np.iinfo(integer).max
    return lambda bits: integer(bits ^ ((bits >> sign) & integer(rest)))


def largest_finite(x):
    """Return the largest finite number of the type of ``x``."""


@overload(largest_finite)
def _largest_finite_for(x):
    largest = np.finfo(np.float32 if x is types.float32 else np.float64).max
    return lambda x: largest


@inner
def bit_length(n):
    """Return the number of bits of an integer."""
    result = 0
    while n:
        n >>= ONE
        result += 1
    return result


@inner
def ceil_log2(n):
    """Return the smallest m with ``2**m >= n``."""
    return bit_length(n - ONE)
