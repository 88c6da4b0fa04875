"""The timer of the step bench, and the floor that memory bandwidth sets."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from typing import Protocol

import torch

from optbench.benches import synchronizer

CUDA_BLOCK = 20  # steps between two synchronisations, so that launches overlap as in training


class Timed(Protocol):
    """Something with a step to time."""

    @property
    def seconds(self) -> list[float]:
        """Seconds of a step, one per round."""
        ...

    def step(self) -> object:
        """Take one step."""


class Floor:
    """Moves as much memory as the parameters take: a += s * b reads two arrays and writes one, as a step does."""

    def __init__(self, elements: int, device: torch.device) -> None:
        self.a, self.b = torch.zeros(elements, device=device), torch.ones(elements, device=device)
        self.seconds: list[float] = []

    def step(self) -> None:
        """Move 12 bytes per element."""
        self.a.add_(self.b, alpha=1e-9)

    def bytes_per_second(self) -> float:
        """Return the bandwidth of the median round."""
        return 12 * self.a.numel() / statistics.median(self.seconds)


def take_turns(runners: Sequence[Timed], rounds: int, device: torch.device) -> None:
    """Time every runner's step once per round, on CUDA a block of steps. The order rotates from round to round."""
    wait = synchronizer(device)
    block = CUDA_BLOCK if device.type == "cuda" else 1
    for number in range(rounds):
        first = number % len(runners)
        for runner in [*runners[first:], *runners[:first]]:
            wait()
            began = time.perf_counter()
            for _ in range(block):
                runner.step()
            wait()
            runner.seconds.append((time.perf_counter() - began) / block)


def milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    """Return the median and the quartiles."""
    low, middle, high = statistics.quantiles(seconds, n=4, method="inclusive") if len(seconds) > 1 else [*seconds] * 3
    return {"ms": 1e3 * middle, "ms_quarter": 1e3 * low, "ms_three_quarters": 1e3 * high}
