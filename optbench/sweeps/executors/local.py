"""The executor of one machine: a process for every run, forked from a server that has imported the heavy packages
once, so that a run costs milliseconds to start, has the allocator to itself, and takes nothing with it when it
crashes."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from multiprocessing import connection
from typing import Any

from optbench.config import RunConfig
from optbench.errors import ConfigError
from optbench.sweeps.executors.base import Died, Event, Job
from optbench.sweeps.executors.signals import deaf
from optbench.sweeps.executors.worker import work

PRELOADED = (
    "optbench.sessions.session",
    "optbench.sweeps.executors.worker",
    "torch._inductor",
    "torch.utils.flop_counter",
)
SPARE_BYTES = 512 * 2**20  # memory that is left to the rest of the machine
PATIENCE_SECONDS = 60.0  # after which a worker that was asked to stop is killed


def make(asked: Any) -> LocalExecutor:
    """The executor that `--executor local` asks for."""
    count, devices = places(asked)
    return LocalExecutor(count, asked.configs, devices, sharing(count, asked.per_device, asked.threads, bool(devices)))


def places(asked: Any) -> tuple[int, list[str]]:
    """How many workers, and the device of each."""
    return slots(
        asked.jobs,
        asked.per_device,
        asked.threads,
        asked.device,
        lambda: grouped(cuda_devices(fork_server(asked.configs)), asked.ranks),
    )


def grouped(names: Sequence[str], ranks: int) -> list[str]:
    """Devices by the run that has them: so many for each. ConfigError where there are not enough for one."""
    if names and len(names) < ranks:
        raise ConfigError(f"devices={ranks}: this machine has {len(names)} CUDA device(s)")
    return [",".join(names[i : i + ranks]) for i in range(0, len(names) - ranks + 1, ranks)]


def sharing(jobs: int, per_device: int, threads: int, on_cuda: bool) -> dict[str, Any]:
    """How runs share the machine."""
    shared = per_device > 1 if on_cuda else jobs * threads > usable_cores()
    return {"jobs": jobs, "per_device": per_device if on_cuda else None, "shared": shared}


class LocalExecutor:
    """Worker processes of this machine."""

    def __init__(
        self,
        jobs: int,
        configs: Sequence[RunConfig],
        devices: Sequence[str] = (),
        sharing: Mapping[str, Any] | None = None,
    ) -> None:
        self.slots = jobs
        self.sharing = sharing or {}
        self.devices = list(devices)
        """The value of CUDA_VISIBLE_DEVICES of every slot; empty where slots share what there is."""
        self._context = fork_server(configs)
        self._running: dict[str, tuple[Any, Any, int]] = {}  # process, pipe, slot
        self._free = list(range(jobs))

    def start(self, job: Job) -> None:
        """Fork a worker for a job."""
        slot = self._free.pop(0)
        environment = {"CUDA_VISIBLE_DEVICES": self.devices[slot % len(self.devices)]} if self.devices else {}
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=work, args=(job, theirs, environment), name=job.run_id)
        process.start()
        theirs.close()
        self._running[job.run_id] = (process, ours, slot)

    def has_room(self, job: Job, resident_bytes: int) -> bool:
        """Whether the machine has this much memory to spare."""
        free = available_bytes()
        return free is None or free - resident_bytes >= SPARE_BYTES

    def events(self, timeout: float) -> Iterable[Event]:
        """Events of all workers; a process that ends has none after its last."""
        waited = {pipe: run_id for run_id, (_, pipe, _) in self._running.items()}
        waited |= {process.sentinel: run_id for run_id, (process, _, _) in self._running.items()}
        if not waited:
            time.sleep(timeout)
            return
        ready = {waited[item] for item in connection.wait(list(waited), timeout)}
        for run_id in sorted(ready):
            yield from self._events_of(run_id)

    def _events_of(self, run_id: str) -> Iterable[Event]:
        process, pipe, slot = self._running[run_id]
        over = connection.wait([process.sentinel], 0)  # looked at before the pipe is emptied: nothing is lost
        last, open_ = yield from self._emptied(pipe)
        if open_ and not over:
            return
        del self._running[run_id]
        self._free.append(slot)
        pipe.close()
        process.join(1.0)
        if not is_last(last):
            yield Died(run_id, how(process.exitcode))

    @staticmethod
    def _emptied(pipe: Any) -> Any:
        """Yields the events in a pipe; returns the last one and whether the pipe is still open."""
        last = None
        try:
            while pipe.poll():
                last = pipe.recv()
                yield last
        except (EOFError, OSError):
            return last, False
        return last, not is_last(last)

    def stop(self, run_id: str, reason: str = "") -> None:
        """Ask a worker for a checkpoint and its end."""
        with suppress(OSError, KeyError):
            self._running[run_id][1].send(reason)

    @property
    def running(self) -> list[str]:
        """Jobs that run now."""
        return list(self._running)

    def close(self) -> None:
        """Stop the workers, and kill those that do not."""
        for run_id in self.running:
            self.stop(run_id)
        give_up = time.monotonic() + PATIENCE_SECONDS
        while self._running and time.monotonic() < give_up:
            for _ in self.events(0.1):
                pass
        for process, pipe, _ in self._running.values():
            process.kill()
            process.join(1.0)
            pipe.close()
        self._running.clear()


def is_last(event: Event | None) -> bool:
    """Whether a worker says nothing after this event."""
    from optbench.sweeps.executors.base import Busy, Ended, Refused, Stopped

    return isinstance(event, (Ended, Stopped, Refused, Busy))


def how(exit_code: int | None) -> str:
    """An exit code in words."""
    if exit_code is None or exit_code >= 0:
        return f"ended with exit code {exit_code}"
    try:
        return f"was killed by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"was killed by signal {-exit_code}"


def fork_server(configs: Sequence[RunConfig]) -> Any:
    """A context whose processes are forked from a server that has imported what these runs need. (The server computes
    nothing and touches no device: a fork of a process whose thread pools run could hang.)"""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(preloaded(configs))
    return context


def warm_up(configs: Sequence[RunConfig]) -> None:
    """Start the fork server, which then imports on a core of its own while the sweep is still being planned."""
    from multiprocessing import forkserver

    fork_server(configs)
    with deaf():
        forkserver.ensure_running()


def preloaded(configs: Iterable[RunConfig]) -> list[str]:
    """Modules to import once: the run itself, what builds the choices, and the heavy packages that they import late."""
    modules = {*PRELOADED}
    for config in configs:
        for choice in (*config.choices.values(), *config.modifiers):
            module = choice.target.rpartition(".")[0]
            modules |= {module} if module and "/" not in module and ":" not in module else set()
            modules |= set(choice.about.get("imports", ()))
        task = str(config.model.settings.get("task", {}).get("target", ""))
        modules |= {task.rpartition(".")[0]} if task else set()
    return sorted(module for module in modules if module)


def available_bytes() -> int | None:
    """Memory that programs can still take without swapping; None where the system does not tell."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            kib = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration, ValueError):
        return None
    return kib * 1024


def cuda_devices(context: Any) -> list[str]:
    """The CUDA devices that this process may use, as CUDA_VISIBLE_DEVICES names them; found out in a child, since the
    fork server's children must not inherit a device that was touched."""
    ours, theirs = context.Pipe()
    process = context.Process(target=count_devices, args=(theirs,))
    process.start()
    theirs.close()
    try:
        count = ours.recv()
    except EOFError:
        count = 0
    process.join()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(i) for i in range(count)]
    return names[:count]


def count_devices(pipe: Any) -> None:
    """The body of a process that counts CUDA devices."""
    torch = importlib.import_module("torch")
    with suppress(OSError):  # nobody waits any more: the sweep was interrupted
        pipe.send(torch.cuda.device_count() if torch.cuda.is_available() else 0)


def slots(
    jobs: int | None, per_device: int, threads: int, device: str, count_cuda: Callable[[], list[str]]
) -> tuple[int, list[str]]:
    """How many workers run at once, and the device of each. Numbers never depend on it: threads are the
    configuration's.

    On CUDA as many as there are devices, times `per_device`; on a CPU as many as fit its cores."""
    if device.startswith("cuda:"):
        return jobs or per_device, []
    if device in ("auto", "cuda"):
        found = count_cuda()
        if found:
            places = [name for name in found for _ in range(per_device)]
            count = min(jobs or len(places), len(places))
            if jobs and jobs > len(places):
                raise ConfigError(
                    f"--jobs {jobs}: there are {len(found)} devices with {per_device} run(s) each",
                    f"To put more on a device: --per-device {-(-jobs // len(found))}",
                )
            return count, places[:count]
    return jobs or max(1, usable_cores() // threads), []


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
