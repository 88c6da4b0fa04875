"""The cores, memory and CUDA devices of this machine, and how many runs fit them."""

from __future__ import annotations

import ctypes
import functools
import os
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from optbench.config import RunConfig
from optbench.errors import ConfigError
from optbench.sweeps.executors.fork_server import forked
from optbench.training.cpu import usable_cores

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext

CONTEXT_BYTES = 1024 * 2**20  # of a CUDA device for a process beyond what torch reserves: context, kernels, libraries
SETTLING_SECONDS = 30.0  # from the start of a run until its memory shows on the device


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


def named_devices(configs: Sequence[RunConfig]) -> list[str]:
    """Return the device that `device=cuda:N` names, as CUDA_VISIBLE_DEVICES does; none for any other."""
    number = configs[0].device.partition("cuda:")[2] if configs else ""
    if not number.isdigit():
        return []
    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return visible[int(number) : int(number) + 1] if visible else [number]


class DeviceMemory:
    """The room for further runs on the CUDA devices of the slots; without devices there is always room.

    What a run is expected to take counts beside what the device reports, until it shows there."""

    def __init__(
        self, devices: Sequence[str], pack: int = 1, free_bytes: Callable[[str], int | None] | None = None
    ) -> None:
        """`devices`: those of every slot, separated by commas; `pack`: runs in a process, whose memory each reports;
        `free_bytes`: of a device, None where nobody tells."""
        self._devices, self._pack, self._free_bytes = devices, pack, free_bytes or device_free_bytes
        self._settling: dict[str, tuple[int, int, float]] = {}  # by run: slot, bytes, time of admission

    def has_room(self, run_id: str, needed: int, slots: list[int], running: Collection[str]) -> bool:
        """Return True if a free slot's devices have room for a run of `needed` bytes, and move that slot to the front.

        A run of unknown size (0 bytes) is let in."""
        if not self._devices or not needed or not slots:
            return True
        now, share = time.monotonic(), -(-(needed + CONTEXT_BYTES) // self._pack)
        kept = {i: one for i, one in self._settling.items() if i in running and now - one[2] < SETTLING_SECONDS}
        self._settling = kept
        for slot in slots:
            if self._room(slot) >= share:
                slots.remove(slot)
                slots.insert(0, slot)
                self._settling[run_id] = (slot, share, now)
                return True
        return False

    def _room(self, slot: int) -> float:
        names = self._of(slot)
        free = [self._free_bytes(name) for name in names]
        taken = sum(size for other, size, _ in self._settling.values() if set(names) & set(self._of(other)))
        return min((one for one in free if one is not None), default=float("inf")) - taken

    def _of(self, slot: int) -> list[str]:
        return self._devices[slot % len(self._devices)].split(",")


def device_free_bytes(name: str) -> int | None:
    """Return the free memory of a CUDA device by its number or UUID, from the driver; None where it doesn't tell.

    Nothing is initialised on the device. Numbers are those of the PCI bus, as with CUDA_DEVICE_ORDER=PCI_BUS_ID."""
    library = management_library()
    if library is None:
        return None
    handle, memory = ctypes.c_void_p(), (ctypes.c_ulonglong * 3)()  # total, free, used
    if name.isdigit():
        refused = library.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(int(name)), ctypes.byref(handle))
    else:
        refused = library.nvmlDeviceGetHandleByUUID(name.encode(), ctypes.byref(handle))
    return None if refused or library.nvmlDeviceGetMemoryInfo(handle, memory) else memory[1]


@functools.cache
def management_library() -> Any:
    """Return NVIDIA's management library (NVML), which comes with the driver; None where there is none."""
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return None
    return None if library.nvmlInit_v2() else library


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
