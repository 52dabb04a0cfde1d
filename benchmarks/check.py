"""Compare anycat's speed with the committed figures: ``python benchmarks/check.py``.

Repeats a few of the benchmark cases, for about a minute. Only ratios are compared, never times. The
check fails if a ratio falls below ``TOLERATED`` times the committed one.
"""

from __future__ import annotations

import json
import sys

from run import GROUPS, RESULTS, compete

TOLERATED = 0.6  # speed varies between machines, and over time on one machine
# Alternatives in plain NumPy vary least between machines.
QUICK = {
    "one row, K = 6, 1e6 draws": "numpy searchsorted",
    "one row, K = 1000, 1e6 draws": "numpy searchsorted",
    "1e5 rows x 10 probs": "numpy cumsum",
    "1e4 rows x 100 logits": "numpy cumsum",
    "64 rows x 128256 probs": "numpy cumsum",
    "log_prob, 1e4 rows x 100": "numpy",
    "make and draw, NumPy, K = 6": "by hand, numpy choice",
    "make and draw, NumPy, 64 x 18": "numpy by hand",
    "step of a policy, tensors, 64 x 18": "torch, unchecked",
}


def main() -> int:
    committed = json.loads((RESULTS / "cpu.json").read_text())["median seconds"]
    failed = 0
    for name, alternative in QUICK.items():
        case = GROUPS[name].make(*GROUPS[name].arguments)
        times = compete({who: case[who] for who in ("anycat", alternative)}, 3)
        now, then = (t[alternative] / t["anycat"] for t in (times, committed[name]))
        bad = now < TOLERATED * then
        failed += bad
        note = "  SLOWER" * bad
        print(f"{name:<32} {now:6.2f} times as fast as {alternative}; was {then:6.2f}{note}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
