// The kernels: stream version 1 in CUDA, as docs/draw.md defines it. The twin of cpu/jit.
//
// Compiled for one type of parameters, by the macros PARAM (float16, bfloat16, float or double)
// and LOGITS (0 or 1), and for one kernel, by its name in capitals: all of them take seconds.
// compile.py joins the files to one text, each once, so they need no include guards.
//
// Everything after `to_weights` is integer arithmetic, so neither the split of a row over threads
// and blocks nor the order of their sums can change a draw.

#include "short_rows.cuh"
#include "rows.cuh"
#include "long_rows.cuh"
#include "cdf.cuh"
#include "guide.cuh"
#include "table.cuh"
#include "counts.cuh"
#include "distinct.cuh"
#include "truncate.cuh"
#include "mask.cuh"
