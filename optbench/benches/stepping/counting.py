"""How often a step calls the device, and how often it waits for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from optbench.checks.host_waits import HostWaits
from optbench.training.memory import trace_events

MARK = "optbench step"
LAUNCHES = {"cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel", "cuLaunchKernelEx"}
SYNCHRONISATIONS = {"cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize", "cudaMemcpy"}
"""Calls of the CUDA runtime after which the device is idle; a copy to the host shows as the first one."""


class Calls(NamedTuple):
    """The calls of one step."""

    operations: int | None
    """On CUDA kernels, else operations on tensors."""
    host_waits: int | None
    """How often the host waited for the device; on a CPU, how often it read a tensor's value, as it waits for on CUDA
    unless the tensor is on the host."""


NOT_COUNTED = Calls(None, None)
"""The calls of compiled code on a CPU, which shows none."""


def calls_of(step: Callable[[], object], device: torch.device, engine: str) -> Calls:
    """Take a step and count its calls."""
    if device.type != "cuda":
        if engine == "compiled":
            return NOT_COUNTED
        with HostWaits() as waits:
            step()
        return Calls(waits.operations, len(waits.calls))
    kinds = [torch.profiler.ProfilerActivity.CPU, torch.profiler.ProfilerActivity.CUDA]
    torch.cuda.synchronize(device)
    with torch.profiler.profile(activities=kinds) as profile:
        with torch.profiler.record_function(MARK):
            step()
        torch.cuda.synchronize(device)
    return calls_in(trace_events(profile))


def calls_in(events: Sequence[Mapping[str, Any]]) -> Calls:
    """Count the calls of the CUDA runtime within the marked step of a profiler's trace."""
    (mark,) = (event for event in events if event.get("name") == MARK and event.get("cat") == "user_annotation")
    end = mark["ts"] + mark["dur"]
    names = [event["name"] for event in events if event.get("ph") == "X" and mark["ts"] <= event["ts"] <= end]
    return Calls(sum(name in LAUNCHES for name in names), sum(name in SYNCHRONISATIONS for name in names))
