"""Start of a run's ranks: torchrun's meet at its store, helpers of this process at a store that it holds."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from torch._C._distributed_c10d import TCPStore
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from optbench.config import RunConfig
from optbench.distributed.communicator import TIMEOUT, TorchCommunicator
from optbench.distributed.rank_info import RankInfo, in_torchrun, rank_device
from optbench.errors import RankLost
from optbench.training.seeding import derive_seed

HOST = "127.0.0.1"
DECISION_KEY, TRAIN, LEAVE = "optbench/decision", "train", "leave"  # rank 0 tells torchrun's other ranks what to do
WATCH_SECONDS = 1.0  # between two checks that torchrun is alive
ORPHAN_SECONDS = 120.0  # for writing a checkpoint after torchrun is gone
CLOSE_SECONDS = 10.0  # for a helper to exit
HELPER = "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); from {module} import {name}; {name}()"


@contextmanager
def open_launcher(
    rank_info: RankInfo | None, config: RunConfig, helper_main: Callable[[], None]
) -> Iterator[Callable[[], TorchCommunicator | None]]:
    """Yield rank 0's function that starts all ranks, to be called at most once; it returns None for a single process.

    `helper_main` is what a helper process runs. Ranks of torchrun that are not started leave at the end."""
    if rank_info is None:
        yield lambda: None
        return
    launcher = TorchrunLauncher(rank_info) if in_torchrun() else HelperLauncher(rank_info, helper_main)
    try:
        yield lambda: launcher.start(config)
    finally:
        launcher.close()


def communicator_of(rank_info: RankInfo, config: RunConfig, store: Store) -> TorchCommunicator:
    """Return the communicator of one rank; waits for the others."""
    seed = derive_seed(config.seed, "ranks")
    return TorchCommunicator(rank_info, rank_device(config.device, rank_info), seed, store, config.strategy or "ddp")


# -- torchrun ----------------------------------------------------------------------------------------------------------


class TorchrunLauncher:
    """Rank 0 of torchrun; the other ranks wait for its decision."""

    def __init__(self, rank_info: RankInfo) -> None:
        self.rank_info = rank_info
        stop_without_torchrun()
        self.store = torchrun_store()
        self.comm: TorchCommunicator | None = None

    def start(self, config: RunConfig) -> TorchCommunicator:
        """Let all ranks train."""
        self.store.set(DECISION_KEY, TRAIN)
        self.comm = communicator_of(self.rank_info, config, self.store)
        return self.comm

    def close(self) -> None:
        """Leave the process group, or let the waiting ranks leave."""
        if self.comm is not None:
            self.comm.close()
        else:
            self.store.set(DECISION_KEY, LEAVE)


def await_launch(rank_info: RankInfo, config: RunConfig) -> TorchCommunicator | None:
    """Wait for rank 0's decision, on torchrun's other ranks; return None if there is nothing to train."""
    stop_without_torchrun()
    store = torchrun_store()
    with suppress(RuntimeError):  # rank 0 held the store and is gone
        store.wait([DECISION_KEY], TIMEOUT)
        if store.get(DECISION_KEY) == TRAIN.encode():
            return communicator_of(rank_info, config, store)
    return None


def torchrun_store() -> Store:
    """Return this attempt's part of torchrun's store, which survives restarts and has keys of lost ranks."""
    store, *_ = next(iter(rendezvous("env://")))
    return PrefixStore(f"attempt-{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)


def stop_without_torchrun() -> None:
    """Start a thread that stops this process when torchrun is gone; a checkpoint is written first.

    Otherwise the ranks would train on unseen and lock the run. A process that does not stop in time is ended."""
    launcher = os.getppid()

    def watch() -> None:
        while os.getppid() == launcher:
            time.sleep(WATCH_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(ORPHAN_SECONDS)
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


# -- helpers -----------------------------------------------------------------------------------------------------------


class HelperLauncher:
    """Rank 0 with helper processes as the other ranks. Helpers exit at the end of their standard input."""

    def __init__(self, rank_info: RankInfo, helper_main: Callable[[], None]) -> None:
        self.rank_info = rank_info
        self.code = HELPER.format(module=helper_main.__module__, name=helper_main.__name__)
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        self.errors = tempfile.TemporaryDirectory(prefix="optbench-ranks-")
        self.comm: TorchCommunicator | None = None

    def start(self, config: RunConfig) -> TorchCommunicator:
        """Start the helpers and wait until they are connected. Raises RankLost if one exits."""
        store = TCPStore(HOST, 0, None, True, TIMEOUT, wait_for_workers=False)
        for rank in range(1, self.rank_info.world_size):
            helper = replace(self.rank_info, rank=rank, local_rank=rank, port=store.port)
            self.processes[rank] = self._start_helper(helper, config)
        while not store.check([ready_key(rank) for rank in self.processes]):
            if self.lost_helper():
                raise RankLost(self.lost_helper(), "Training had not begun; run the same command again")
            time.sleep(0.02)
        self.comm = communicator_of(self.rank_info, config, store)
        self.comm.failures.lost_helper = self.lost_helper
        return self.comm

    def _start_helper(self, rank_info: RankInfo, config: RunConfig) -> subprocess.Popen[bytes]:
        with open(self._error_file(rank_info.rank), "wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-c", self.code], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors
            )
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # it has exited already; `start` finds out
            process.stdin.write(pickle.dumps(list(sys.path)) + pickle.dumps((rank_info, config)))
            process.stdin.flush()
        return process

    def _error_file(self, rank: int) -> Path:
        return Path(self.errors.name) / f"rank-{rank}.txt"

    def lost_helper(self) -> str:
        """Return how the first exited helper ended, or "" while all are running."""
        for rank, process in self.processes.items():
            code = process.poll()
            if code is not None:
                lines = self._error_file(rank).read_text(errors="replace").strip().splitlines()
                how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
                reason = f": {lines[-1]}" if lines and code > 0 else ""
                return f"rank {rank} of {self.rank_info.world_size} {how}{reason}"
        return ""

    def close(self) -> None:
        """Let the helpers exit, and kill those that do not."""
        for process in self.processes.values():
            if process.stdin is not None:
                with suppress(OSError):
                    process.stdin.close()
        if self.comm is not None:
            self.comm.close()
        for process in self.processes.values():
            try:
                process.wait(CLOSE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.errors.cleanup()


def connect_as_helper() -> tuple[RunConfig, TorchCommunicator]:
    """Read a helper's run from standard input, and connect it to rank 0.

    Helpers ignore signals, because a terminal sends Ctrl-C to all processes; rank 0 handles them."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    rank_info, config = pickle.load(sys.stdin.buffer)
    threading.Thread(target=exit_after_input, daemon=True).start()
    store = TCPStore(HOST, rank_info.port, None, False, timedelta(minutes=1))
    store.set(ready_key(rank_info.rank), "")
    return config, communicator_of(rank_info, config, store)


def ready_key(rank: int) -> str:
    """Return the key that a helper sets when it is connected."""
    return f"optbench/ready/{rank}"


def exit_after_input() -> None:
    """Exit when rank 0 closes standard input or is gone; this process may be waiting for it forever."""
    while sys.stdin.buffer.read(1):
        pass
    os._exit(0)
