"""Clocks and meters of the step bench: turns in one process, the floor that memory sets, and peak memory."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
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


def peak_extra_bytes(step: Callable[[], Any], device: torch.device) -> int:
    """The most memory that a step holds beyond what was held before it, in bytes."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        step()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        step()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        profile.export_chrome_trace(str(file))
        return peak_of(json.loads(file.read_text(encoding="utf-8"))["traceEvents"])


def peak_of(events: Sequence[dict[str, Any]]) -> int:
    """The highest sum of the allocations (positive) and releases (negative) that torch's profiler recorded."""
    memory = sorted((e for e in events if e.get("name") == "[memory]"), key=lambda event: event["ts"])
    held = peak = 0
    for event in memory:
        held += event["args"]["Bytes"]
        peak = max(peak, held)
    return peak


def milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    """Median and the quartiles around it."""
    low, middle, high = statistics.quantiles(seconds, n=4, method="inclusive") if len(seconds) > 1 else [*seconds] * 3
    return {"ms": 1e3 * middle, "ms_quarter": 1e3 * low, "ms_three_quarters": 1e3 * high}
