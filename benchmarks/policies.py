"""Time what training a policy in PyTorch calls at each step, compiled and not.

``python benchmarks/policies.py`` compares the drop-in class, `anycat.Categorical` and PyTorch's
class without its checks. A step makes a distribution and a draw, and computes `log_prob` and
`entropy`. An update computes the gradient of a loss by logits that, as those of a network, are no
parameters. All on one thread. Writes ``policies.json`` and ``.md`` to ``benchmarks/results``. All
times are medians; quote ratios.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import record
import torch
from regimes import on_one_thread, parameters, step
from run import Times, compete

import anycat.torch

if TYPE_CHECKING:
    from collections.abc import Callable

    Case = dict[str, Callable[[], Any]]

CLASSES = {
    "drop-in": anycat.torch.Categorical,
    "anycat": anycat.Categorical,
    "torch": functools.partial(torch.distributions.Categorical, validate_args=False),
}


CASES = (("step", 1, 6), ("step", 64, 18), ("update", 64, 18), ("update", 4096, 18))


def step_by(make: Callable[..., Any]) -> Callable[[Any], Any]:
    """Return what takes a step, given logits."""
    return lambda logits: step(make(logits=logits), logits, None)


def loss_by(make: Callable[..., Any]) -> Callable[[Any], Any]:
    """Return the loss of an update, given logits."""

    def loss(logits: Any) -> Any:
        dist, action = make(logits=logits * 1), torch.zeros(logits.shape[0], dtype=torch.int64)
        return dist.log_prob(action).sum() + dist.entropy().sum()

    return loss


def gradient(loss: Callable[[Any], Any], logits: Any) -> None:
    """Compute the gradient of a loss."""
    logits.grad = None
    loss(logits).backward()


def cases(kind: str, rows: int, size: int) -> Case:
    """Return the same calls by each class."""
    torch.compiler.reset()  # it compiles one function a few times only
    logits = torch.from_numpy(parameters((rows, size), "logits"))
    found: Case = {}
    for name, make in CLASSES.items():
        if kind == "step":
            plain = step_by(make)
            calls = [functools.partial(f, logits) for f in (plain, torch.compile(plain))]
        else:
            plain = loss_by(make)
            logits.requires_grad_()
            calls = [functools.partial(gradient, f, logits) for f in (plain, torch.compile(plain))]
        found[name], found[f"{name}, compiled"] = map(on_one_thread, calls)
    return found


def table(results: dict[str, Times]) -> str:
    """Return the ratios of the other times to the time of the drop-in class."""
    return record.ratios(results, ("case", "drop-in, ms"), ("drop-in",), digits=(".3g", ".3g"))


def main() -> None:
    seconds = record.seconds_for_each_case(__doc__)
    torch.set_num_threads(1)
    results = {
        f"{kind}, {rows} x {size}": compete(cases(kind, rows, size), seconds)
        for kind, rows, size in CASES
    }
    record.write("policies", results, table(results))


if __name__ == "__main__":
    main()
