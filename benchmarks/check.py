"""Compare anycat's speed with the committed figures: ``python benchmarks/check.py``.

Times a few contestants of a few groups again, for about a minute. Ratios are compared, never
times; a ratio that has fallen below the tolerated part of the committed one fails the check.
"""

from __future__ import annotations

import json
import sys

from run import GROUPS, RESULTS, compete

TOLERATED = 0.6  # machines differ, and so do spells of one machine
# Each group with a peer: plain NumPy, which differs least from machine to machine.
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
        print(f"{name:<32} {now:6.2f} times {peer}; was {then:6.2f}{'  SLOWER' * bad}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
