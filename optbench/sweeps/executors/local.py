"""The executor of one machine: a forked process for every run, which has the memory allocator to itself and takes
nothing with it when it crashes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection
from typing import TYPE_CHECKING, Any

from optbench.config import RunConfig
from optbench.sweeps.executors.base import LAST_EVENTS, Event, Job, WorkerDied
from optbench.sweeps.executors.fork_server import fork_server, forked, warm_up
from optbench.sweeps.executors.machine import available_bytes, cuda_devices, device_groups, usable_cores, worker_slots
from optbench.sweeps.executors.registry import ExecutorRequest, is_on_cuda
from optbench.sweeps.executors.worker import work

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess

__all__ = ["LocalExecutor", "make", "placement", "slots", "warm_up"]
SPARE_BYTES = 512 * 2**20  # memory that is left to the rest of the machine
SERVER_GONE = 255  # multiprocessing's exit code of a process whose server was killed
PATIENCE_SECONDS = 60.0  # before a worker that was asked to stop is killed


def make(request: ExecutorRequest) -> LocalExecutor:
    """Return the executor."""
    count, devices = placement(request)
    return LocalExecutor(count, request.configs, devices, sharing(request, count, bool(devices)))


def slots(request: ExecutorRequest) -> int:
    """Return how many runs it would do at a time."""
    return placement(request)[0]


def placement(request: ExecutorRequest) -> tuple[int, list[str]]:
    """Return how many workers run at once, and the devices of each."""
    return worker_slots(
        request.jobs,
        request.per_device,
        request.threads,
        request.device,
        lambda: device_groups(cuda_devices(fork_server(request.configs)), request.ranks),
    )


def sharing(request: ExecutorRequest, jobs: int, on_cuda: bool) -> dict[str, object]:
    """Return how runs share the machine."""
    shared = request.per_device > 1 if on_cuda else jobs * request.threads > usable_cores()
    return {"jobs": jobs, "per_device": request.per_device if on_cuda else None, "shared": shared}


@dataclass
class Worker:
    """A process and the pipe to it."""

    process: ForkServerProcess
    pipe: connection.Connection
    slot: int
    is_orphan: bool = False
    """The fork server was killed: the worker goes on, and the end of its pipe is all that tells of its end."""

    @property
    def sources(self) -> list[Any]:
        """The pipe and sentinel that become ready when there is news of the worker."""
        return [self.pipe] if self.is_orphan else [self.pipe, self.process.sentinel]

    def kill(self) -> None:
        """Kill the process."""
        if self.is_orphan and self.process.pid is not None:
            with suppress(OSError):
                os.kill(self.process.pid, signal.SIGKILL)
        else:
            self.process.kill()


class LocalExecutor:
    """Worker processes on this machine."""

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
        """CUDA_VISIBLE_DEVICES of every slot; empty if slots share all devices."""
        self._on_devices = bool(devices) or any(is_on_cuda(config) for config in configs)
        self._context = fork_server(configs)
        self._workers: dict[str, Worker] = {}
        self._free = list(range(jobs))

    def start(self, job: Job) -> None:
        """Fork a worker for a job."""
        slot = self._free.pop(0)
        environment = {"CUDA_VISIBLE_DEVICES": self.devices[slot % len(self.devices)]} if self.devices else {}
        process, pipe = forked(self._context, job.run_id, work, job, environment)
        self._workers[job.run_id] = Worker(process, pipe, slot)

    def has_room(self, job: Job, resident_bytes: int) -> bool:
        """Return True if the machine has this much memory to spare."""
        free = available_bytes()
        return free is None or free - resident_bytes >= SPARE_BYTES

    def events(self, timeout: float) -> Iterable[Event]:
        """Yield the events of all workers."""
        if not self._workers:
            time.sleep(timeout)
            return
        ready = connection.wait([source for worker in self._workers.values() for source in worker.sources], timeout)
        for run_id, worker in sorted(self._workers.items()):
            if any(source in ready for source in worker.sources):
                yield from self._events_of(run_id)

    def _events_of(self, run_id: str) -> Iterable[Event]:
        worker = self._workers[run_id]
        has_ended = connection.wait([worker.process.sentinel], 0)  # before the pipe is read, so that nothing is lost
        last, is_open = yield from self._received(worker.pipe)
        worker.is_orphan |= is_open and worker.process.exitcode == SERVER_GONE
        if is_open and (worker.is_orphan or not has_ended):
            return
        del self._workers[run_id]
        self._free.append(worker.slot)
        worker.pipe.close()
        ended = isinstance(last, LAST_EVENTS)
        if not ended or self._on_devices:  # else it only frees its memory, and the next run need not wait for that
            worker.process.join(1.0)
        if not ended:
            how = "ended after the fork server was killed" if worker.is_orphan else None
            yield WorkerDied(run_id, how or describe_exit(worker.process.exitcode))

    @staticmethod
    def _received(pipe: connection.Connection) -> Generator[Event, None, tuple[Event | None, bool]]:
        """Yield the events in a pipe; return the last one, and True if more may follow."""
        last = None
        try:
            while pipe.poll():
                last = pipe.recv()
                yield last
        except (EOFError, OSError):
            return last, False
        return last, not isinstance(last, LAST_EVENTS)

    def stop(self, run_id: str, reason: str = "") -> None:
        """Ask a worker to write a checkpoint and end."""
        with suppress(OSError, KeyError):
            self._workers[run_id].pipe.send(reason)

    @property
    def running(self) -> list[str]:
        """The running jobs."""
        return list(self._workers)

    def close(self) -> None:
        """Stop the workers; kill those that don't end in time."""
        for run_id in self.running:
            self.stop(run_id)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._workers and time.monotonic() < deadline:
            for _ in self.events(0.1):
                pass
        for worker in self._workers.values():
            worker.kill()
            worker.process.join(1.0)
            worker.pipe.close()
        self._workers.clear()


def describe_exit(exit_code: int | None) -> str:
    """Return an exit code in words."""
    if exit_code is None or exit_code >= 0:
        return f"ended with exit code {exit_code}"
    try:
        return f"was killed by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"was killed by signal {-exit_code}"
