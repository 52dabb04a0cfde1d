"""Where the draws of a `DrawGrid` are: draw ``i`` of run ``j`` of row ``r``.

``counter_strides`` and ``out_strides`` hold an origin and the strides of the three axes. They give
the index of a draw, and its position in the output.
"""

from .constants import ONE, THREE, TWO, WORD_BUFFER, ZERO
from .entry import inner
from .philox import fill_random_words


@inner
def grid_point(strides, r, j, i):
    """Return the draw index or the position of a draw."""
    return strides[ZERO] + r * strides[ONE] + j * strides[TWO] + i * strides[THREE]


@inner
def refill(random_words, skip, key, counter_strides, rows, r, runs, j, draws, i):
    """Generate the random words of a run's draws from ``i`` on; return where they begin.

    These are up to WORD_BUFFER words. For one draw a row, they include those of the following rows.
    ``skip`` is the first result of the previous call.
    """
    index, step = grid_point(counter_strides, r, j, i), counter_strides[THREE]
    n, ahead = min(WORD_BUFFER, draws - i), ZERO
    if runs * draws == ONE:
        n, step, ahead = min(WORD_BUFFER, rows - r), counter_strides[ONE], r % WORD_BUFFER
    if ahead == ZERO:
        skip = fill_random_words(random_words, n, key, index, step)
    return skip, skip + ahead
