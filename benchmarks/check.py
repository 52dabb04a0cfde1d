"""Compare anycat's speed with the committed figures: ``python benchmarks/check.py``.

Repeats a few of the benchmark cases, for about a minute. Only ratios are compared, never times. The
check fails if a ratio falls below ``TOLERATED`` times the committed one.
"""

from __future__ import annotations

import json
import sys

from run import GROUPS, RESULTS, compete

TOLERATED = 0.6  # speed varies between machines, and over time on one machine
# Each case with an alternative in plain NumPy, which varies least between machines.
QUICK = {
    "one row, K = 6, 1e6 draws": "numpy searchsorted",
    "one row, K = 1000, 1e6 draws": "numpy searchsorted",
    "1e5 rows x 10 probs": "numpy cumsum",
    "1e4 rows x 100 logits": "numpy cumsum",
    "64 rows x 128256 probs": "numpy cumsum",
    "log_prob, 1e4 rows x 100": "numpy",
    "make and draw once, K = 6": "by hand, numpy choice",
}


def main() -> int:
    committed = json.loads((RESULTS / "cpu.json").read_text())["median seconds"]
    failed = 0
    for name, peer in QUICK.items():
        contest = GROUPS[name].make()
        times = compete({who: contest[who] for who in ("anycat", peer)}, 3)
        now, then = (t[peer] / t["anycat"] for t in (times, committed[name]))
        bad = now < TOLERATED * then
        failed += bad
        print(f"{name:<32} {now:6.2f} times as fast as {peer}; was {then:6.2f}{'  SLOWER' * bad}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
