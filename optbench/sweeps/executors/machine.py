"""The cores, memory and CUDA devices of this machine, and how many runs fit them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from optbench.errors import ConfigError
from optbench.sweeps.executors.fork_server import forked
from optbench.training.cpu import usable_cores

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext


def available_bytes() -> int | None:
    """Return the memory that programs can still take without swapping; None if the system doesn't say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            kib = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return None
    return kib * 1024


def cuda_devices(context: ForkServerContext) -> list[str]:
    """Return the CUDA devices that this process may use, as CUDA_VISIBLE_DEVICES names them.

    A child counts them: processes forked later must not inherit an initialised device."""
    process, ours = forked(context, "optbench-devices", count_devices)
    try:
        count = ours.recv()
    except EOFError:
        count = 0
    process.join()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(i) for i in range(count)]
    return names[:count]


def count_devices(pipe: Connection) -> None:
    """Send the number of CUDA devices; the body of a child process."""
    import torch

    with suppress(OSError):  # the sweep was interrupted, and nobody waits
        pipe.send(torch.cuda.device_count() if torch.cuda.is_available() else 0)


def device_groups(names: Sequence[str], ranks: int) -> list[str]:
    """Return the devices of each run that takes `ranks` of them. Raises ConfigError if there are too few for one."""
    if names and len(names) < ranks:
        raise ConfigError(f"devices={ranks}: this machine has {len(names)} CUDA device(s)")
    return [",".join(names[i : i + ranks]) for i in range(0, len(names) - ranks + 1, ranks)]


def worker_slots(
    jobs: int | None, per_device: int, threads: int, device: str, cuda: Callable[[], list[str]]
) -> tuple[int, list[str]]:
    """Return how many workers run at once, and the device of each: on CUDA `per_device` on each device, on a CPU as
    many as fit its cores. `cuda` returns the devices. Results don't depend on it: `threads` is the configuration's."""
    if device.startswith("cuda:"):
        return jobs or per_device, []
    if device in ("auto", "cuda"):
        found = cuda()
        if found:
            devices = [name for name in found for _ in range(per_device)]
            count = min(jobs or len(devices), len(devices))
            if jobs and jobs > len(devices):
                raise ConfigError(
                    f"--jobs {jobs}: there are {len(found)} devices with {per_device} run(s) each",
                    f"To put more on a device: --per-device {-(-jobs // len(found))}",
                )
            return count, devices[:count]
    return jobs or max(1, usable_cores() // threads), []
