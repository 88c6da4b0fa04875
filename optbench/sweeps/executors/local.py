"""The executor of one machine: a forked process for every run, which has the memory allocator to itself and takes
nothing with it when it crashes. With `--pack`, a process for several runs of one cell."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import connection
from typing import TYPE_CHECKING, Any

from optbench.config import RunConfig
from optbench.sweeps.executors.base import LAST_EVENTS, Event, Job, RunStopped, WorkerDied
from optbench.sweeps.executors.fork_server import fork_server, forked, warm_up
from optbench.sweeps.executors.machine import (
    DeviceMemory,
    available_bytes,
    cuda_devices,
    device_groups,
    named_devices,
    usable_cores,
    worker_slots,
)
from optbench.sweeps.executors.packs import require_packable, same_pack, work_pack
from optbench.sweeps.executors.registry import ExecutorRequest, is_on_cuda
from optbench.sweeps.executors.worker import work

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerProcess

log = logging.getLogger(__name__)
__all__ = ["LocalExecutor", "make", "placement", "slots", "warm_up"]
SPARE_BYTES = 512 * 2**20  # memory that is left to the rest of the machine
SERVER_GONE = 255  # multiprocessing's exit code of a process whose server was killed
PATIENCE_SECONDS = 60.0  # before a worker that was asked to stop is killed


def make(request: ExecutorRequest) -> LocalExecutor:
    """Return the executor."""
    if request.pack > 1:
        require_packable(request.configs)
    count, devices = placement(request)
    if not devices and count * request.threads > usable_cores():
        log.info(
            f"{count} run(s) at a time with {request.threads} threads each share {usable_cores()} cores: "
            "times are longer than alone, and reports mark them"
        )
    return LocalExecutor(count, request.configs, devices, sharing(request, count, bool(devices)), request.pack)


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
    how = {"jobs": jobs, "per_device": request.per_device if on_cuda else None}
    return {**how, "pack": request.pack, "shared": shared or request.pack > 1}


@dataclass
class Worker:
    """A process and the pipe to it."""

    process: ForkServerProcess
    pipe: connection.Connection
    slot: int
    jobs: list[str]
    """Its runs, ended or not."""
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
        pack: int = 1,
    ) -> None:
        """`jobs`: processes; `pack`: runs in each."""
        self.pack, self.slots = pack, jobs * pack
        self.sharing = sharing or {}
        self.devices = list(devices)
        """CUDA_VISIBLE_DEVICES of every process; empty if they share all devices."""
        self._on_devices = bool(devices) or any(is_on_cuda(config) for config in configs)
        self._context = fork_server(configs)
        self._workers: dict[str, Worker] = {}
        """The process of every run."""
        self._free = list(range(jobs))
        self._due: list[Job] = []
        """Runs that wait for a process, with others of their cell."""
        self._alone: set[str] = set()
        """Runs whose pack has died: one of them may be the cause."""
        self._stopped: list[Event] = []
        self._device_memory = DeviceMemory(self.devices or named_devices(configs), pack)

    def start(self, job: Job) -> None:
        """Fork a worker for a job; with `pack`, at the next call of `events`, when its pack is known."""
        self._due.append(job)
        if self.pack == 1:
            self._launch()

    def _launch(self) -> None:
        """Fork workers for the jobs that wait, as far as there are free slots."""
        while self._free and self._due:
            first, *others = self._due
            jobs = [first]
            if first.run_id not in self._alone:
                jobs += [job for job in others if same_pack(first, job) and job.run_id not in self._alone]
            jobs = jobs[: self.pack]
            self._due = [job for job in self._due if job not in jobs]
            slot = self._free.pop(0)
            environment = {"CUDA_VISIBLE_DEVICES": self.devices[slot % len(self.devices)]} if self.devices else {}
            body, work_on = (work, first) if len(jobs) == 1 else (work_pack, jobs)
            process, pipe = forked(self._context, first.run_id, body, work_on, environment)
            names = [job.run_id for job in jobs]
            self._workers |= dict.fromkeys(names, Worker(process, pipe, slot, names))

    def has_room(self, job: Job, resident_bytes: int, device_bytes: int) -> bool:
        """Return True if the machine, and the device of a free slot, have this much memory to spare."""
        free = available_bytes()
        if free is not None and free - resident_bytes < SPARE_BYTES:
            return False
        return self._device_memory.has_room(job.run_id, device_bytes, self._free, self.running)

    def events(self, timeout: float) -> Iterable[Event]:
        """Yield the events of all workers."""
        self._launch()
        stopped, self._stopped = self._stopped, []
        yield from stopped
        if not self._workers:
            time.sleep(timeout)
            return
        workers = {id(worker): worker for _, worker in sorted(self._workers.items())}.values()
        ready = connection.wait([source for worker in workers for source in worker.sources], timeout)
        for worker in list(workers):
            if any(source in ready for source in worker.sources):
                yield from self._events_of(worker)

    def _events_of(self, worker: Worker) -> Iterable[Event]:
        has_ended = connection.wait([worker.process.sentinel], 0)  # before the pipe is read, so that nothing is lost
        is_open = yield from self._received(worker)
        worker.is_orphan |= is_open and worker.process.exitcode == SERVER_GONE
        if is_open and (worker.is_orphan or not has_ended):
            return
        self._free.append(worker.slot)
        worker.pipe.close()
        left = [run_id for run_id in worker.jobs if self._workers.pop(run_id, None)]
        if left or self._on_devices:  # else it only frees its memory, and the next run need not wait for that
            worker.process.join(1.0)
        how = "ended after the fork server was killed" if worker.is_orphan else None
        if len(worker.jobs) > 1:
            self._alone.update(left)
        for run_id in left:
            yield WorkerDied(run_id, how or describe_exit(worker.process.exitcode))

    def _received(self, worker: Worker) -> Generator[Event, None, bool]:
        """Yield the events in a worker's pipe; return True if more may follow. A run's last event frees its name."""
        try:
            while worker.pipe.poll():
                event = worker.pipe.recv()
                if isinstance(event, (*LAST_EVENTS, WorkerDied)):
                    self._workers.pop(event.run_id, None)
                yield event
        except (EOFError, OSError):
            return False
        return any(run_id in self._workers for run_id in worker.jobs)

    def stop(self, run_id: str, reason: str = "") -> None:
        """Ask a worker to write a checkpoint and end."""
        waiting = [job for job in self._due if job.run_id == run_id]
        if waiting:
            self._due.remove(waiting[0])
            self._stopped.append(RunStopped(run_id, reason))
            return
        with suppress(OSError, KeyError):
            worker = self._workers[run_id]
            worker.pipe.send(reason if len(worker.jobs) == 1 else (run_id, reason))

    @property
    def running(self) -> list[str]:
        """The running jobs, and those that wait for a process."""
        return [*self._workers, *(job.run_id for job in self._due)]

    def close(self) -> None:
        """Stop the workers; kill those that don't end in time."""
        for run_id in self.running:
            self.stop(run_id)
        self._due.clear()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._workers and time.monotonic() < deadline:
            for _ in self.events(0.1):
                pass
        for worker in {id(worker): worker for worker in self._workers.values()}.values():
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
