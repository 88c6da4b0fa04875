"""Memory: free bytes, and the peak of a process or of one call."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


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
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        profile.export_chrome_trace(str(file))
        return peak_of(json.loads(file.read_text(encoding="utf-8"))["traceEvents"])


def peak_of(events: Sequence[Mapping[str, Any]]) -> int:
    """Return the peak of the running sum of allocations (positive) and releases (negative) in a profiler trace."""
    memory = sorted((e for e in events if e.get("name") == "[memory]"), key=lambda event: event["ts"])
    held = peak = 0
    for event in memory:
        held += event["args"]["Bytes"]
        peak = max(peak, held)
    return peak
