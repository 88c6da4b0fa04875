"""Memory: what is free, and the most that a call holds."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch


def free_bytes(device: torch.device) -> int:
    """Bytes that are free on a device; of a system that does not tell, half of its memory."""
    if device.type == "cuda":
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


def peak_extra_bytes(step: Callable[[], Any], device: torch.device) -> int:
    """The most memory that a step holds beyond what was held before it, in bytes."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        step()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler's own lines, which nobody asked for
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
