"""Clocks and meters of the step bench: turns in one process, the floor that memory sets, ."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

CUDA_BLOCK = 20  # steps between two synchronisations, so that launches overlap as in training


class Floor:
    """Moves as much memory as the parameters take, in the same turns: a += s * b reads two arrays and writes one in
    place, the pattern of an optimizer step."""

    def __init__(self, elements: int, device: torch.device) -> None:
        self.a, self.b = torch.zeros(elements, device=device), torch.ones(elements, device=device)
        self.seconds: list[float] = []

    def step(self) -> None:
        """Move 12 bytes an element."""
        self.a.add_(self.b, alpha=1e-9)

    def bytes_per_second(self) -> float:
        """Bandwidth, from the median turn."""
        return 12 * self.a.numel() / statistics.median(self.seconds)


def take_turns(runners: Sequence[Any], rounds: int, device: torch.device) -> None:
    """Every runner's `step` once a round (a block of steps on CUDA), in an order that rotates from round to round; the
    seconds of a step go to its `seconds`."""
    cuda = device.type == "cuda"
    wait: Callable[[], Any] = torch.cuda.synchronize if cuda else lambda: None
    block = CUDA_BLOCK if cuda else 1
    for turn in range(rounds):
        first = turn % len(runners)
        for runner in [*runners[first:], *runners[:first]]:
            wait()
            began = time.perf_counter()
            for _ in range(block):
                runner.step()
            wait()
            runner.seconds.append((time.perf_counter() - began) / block)


def milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    """Median and the quartiles around it."""
    low, middle, high = statistics.quantiles(seconds, n=4, method="inclusive") if len(seconds) > 1 else [*seconds] * 3
    return {"ms": 1e3 * middle, "ms_quarter": 1e3 * low, "ms_three_quarters": 1e3 * high}
