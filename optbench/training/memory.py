"""Memory: free bytes, and the peak of a process, of one call, or of training and evaluation apart."""

from __future__ import annotations

import gc
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

PEAKS = ("peak_allocated", "peak_reserved", "evaluation_peak_allocated")
"""The peaks of a device under `bytes` in result.json; with `_bytes` in records."""


class MemoryMeter:
    """Peaks of a CUDA device's memory in bytes: of training steps and of evaluations apart. On a CPU all are None.

    torch keeps one peak a device. It is read and reset where one kind of work ends and the other begins."""

    def __init__(self, device: torch.device) -> None:
        self._device = device if device.type == "cuda" else None
        self._training = self._evaluation = self._reserved = 0
        self._take()
        self._reserved = 0  # by the work before this meter was made

    def begin(self) -> None:
        """Leave out of training what came before the first step, e.g. the counting of its FLOPs."""
        self._take()
        self._training = 0

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Measure an evaluation."""
        self._training = max(self._training, self._take())
        try:
            yield
        finally:
            self._evaluation = max(self._evaluation, self._take())

    def peaks(self) -> dict[str, int | None]:
        """Return the peaks so far: allocated in training steps, reserved by everything, allocated in evaluations."""
        self._training = max(self._training, self._take())
        values = (self._training, self._reserved, self._evaluation)
        return {name: value if self._device is not None else None for name, value in zip(PEAKS, values, strict=True)}

    def _take(self) -> int:
        """Return the peak of allocated bytes since the last call, and begin a new one."""
        if self._device is None:
            return 0
        import torch

        peak = torch.cuda.max_memory_allocated(self._device)
        self._reserved = max(self._reserved, torch.cuda.max_memory_reserved(self._device))
        torch.cuda.reset_peak_memory_stats(self._device)
        return peak


def release_cache(device: torch.device) -> None:
    """Give the memory of objects that are no longer used back to a CUDA device; on a CPU do nothing."""
    if device.type == "cuda":
        import torch

        gc.collect()  # modules, optimizers and their hooks refer to each other
        torch.cuda.empty_cache()


def free_bytes(device: torch.device) -> int:
    """Return the free bytes on a device; half of the machine's memory if the system does not tell."""
    if device.type == "cuda":
        import torch

        return (
            torch.cuda.mem_get_info(device)[0]
            + torch.cuda.memory_reserved(device)
            - torch.cuda.memory_allocated(device)
        )
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))


def resident_peak_bytes() -> int | None:
    """Return the peak resident memory of this process; None if the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def peak_extra_bytes(step: Callable[[], object], device: torch.device) -> int:
    """Call `step` and return the peak of the memory it allocates, in bytes."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        step()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # silences the profiler's own lines
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        step()
    return peak_of(trace_events(profile))


def trace_events(profile: torch.profiler.profile) -> list[dict[str, Any]]:
    """Return the events of a profiler's trace, in Chrome's format: times in microseconds."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        profile.export_chrome_trace(str(file))
        return json.loads(file.read_text(encoding="utf-8"))["traceEvents"]


def peak_of(events: Sequence[Mapping[str, Any]]) -> int:
    """Return the peak of the running sum of allocations (positive) and releases (negative) in a profiler trace."""
    memory = sorted((e for e in events if e.get("name") == "[memory]"), key=lambda event: event["ts"])
    held = peak = 0
    for event in memory:
        held += event["args"]["Bytes"]
        peak = max(peak, held)
    return peak
