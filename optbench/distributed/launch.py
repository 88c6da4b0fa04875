"""How the ranks of a run find each other: torchrun's by its store, helpers of this process by one that it holds."""

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
from typing import Any

from torch import distributed as dist

from optbench.config import RunConfig
from optbench.distributed.communicator import PATIENCE, Communicator
from optbench.distributed.rank_info import RankInfo, rank_device
from optbench.errors import RankLost
from optbench.training.seeding import derive_seed

HOST = "127.0.0.1"
WORD, GO, STAY = "optbench/word", b"go", b"stay"  # what rank 0 tells torchrun's other ranks
WATCH_SECONDS = 1.0  # between two looks for torchrun
ORPHAN_SECONDS = 120.0  # that a rank without it may take to write a checkpoint
LEAVE_SECONDS = 10.0  # that a helper may take to end
ENTRY = "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); from {module} import {name}; {name}()"


@contextmanager
def open_launcher(
    rank_info: RankInfo | None, config: RunConfig, entry: Callable[[], None]
) -> Iterator[Callable[[], Communicator | None]]:
    """For rank 0: a function that calls the others together, once; None where there are none. `entry` is what a helper
    runs. Others that were not called are sent home."""
    if rank_info is None:
        yield lambda: None
        return
    crew = Launched(rank_info) if in_torchrun() else Helpers(rank_info, entry)
    try:
        yield lambda: crew.together(config)
    finally:
        crew.dismiss()


def in_torchrun() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def communicator_at(rank_info: RankInfo, config: RunConfig, store: Any) -> Communicator:
    """The ranks as seen from one place."""
    seed = derive_seed(config.seed, "ranks")
    return Communicator(rank_info, rank_device(config.device, rank_info), seed, store, config.strategy or "ddp")


def met() -> Any:
    """The part of the store of torchrun's ranks that is this attempt's: torchrun keeps the store over a restart, with
    the words and addresses of ranks that are gone."""
    store, *_ = next(iter(dist.rendezvous("env://")))
    return dist.PrefixStore(f"attempt-{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)


def leave_with_launcher() -> None:
    """Be asked to stop when torchrun itself is gone, which then ends nobody: the ranks would train on, unseen, and keep
    the run from whoever begins it again. A checkpoint is written first; who cannot stop is ended."""
    launcher = os.getppid()

    def watch() -> None:
        while os.getppid() == launcher:
            time.sleep(WATCH_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(ORPHAN_SECONDS)
        os._exit(128 + signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


class Launched:
    """Rank 0 of torchrun's: the others wait for its word."""

    def __init__(self, rank_info: RankInfo) -> None:
        self.rank_info = rank_info
        leave_with_launcher()
        self.store = met()
        self.comm: Communicator | None = None

    def together(self, config: RunConfig) -> Communicator:
        """Call them."""
        self.store.set(WORD, GO)
        self.comm = communicator_at(self.rank_info, config, self.store)
        return self.comm

    def dismiss(self) -> None:
        """Leave them, or send them home."""
        if self.comm is not None:
            self.comm.close()
        else:
            self.store.set(WORD, STAY)


def await_launch(rank_info: RankInfo, config: RunConfig) -> Communicator | None:
    """For torchrun's other ranks: all together once rank 0 calls; None where it does not."""
    leave_with_launcher()
    store = met()
    with suppress(RuntimeError):  # rank 0 held the store and is gone
        store.wait([WORD], PATIENCE)
        if store.get(WORD) == GO:
            return communicator_at(rank_info, config, store)
    return None


class Helpers:
    """Processes that this one starts as the ranks after it. They end when their standard input does."""

    def __init__(self, rank_info: RankInfo, entry: Callable[[], None]) -> None:
        self.rank_info, self.code = rank_info, ENTRY.format(module=entry.__module__, name=entry.__name__)
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        self.errors = tempfile.TemporaryDirectory(prefix="optbench-ranks-")
        self.comm: Communicator | None = None

    def together(self, config: RunConfig) -> Communicator:
        """Start them, and wait until they are there."""
        store = dist.TCPStore(HOST, 0, None, True, PATIENCE, wait_for_workers=False)
        for rank in range(1, self.rank_info.world_size):
            self.processes[rank] = self._started(
                replace(self.rank_info, rank=rank, local_rank=rank, port=store.port), config
            )
        while not store.check([ready(rank) for rank in self.processes]):
            if self.fate():
                raise RankLost(self.fate(), "It had not begun; run the same command again")
            time.sleep(0.02)
        self.comm = communicator_at(self.rank_info, config, store)
        self.comm.fate = self.fate
        return self.comm

    def _started(self, rank_info: RankInfo, config: RunConfig) -> subprocess.Popen[bytes]:
        with open(self._error_file(rank_info.rank), "wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-c", self.code], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors
            )
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended already, which is found where it is waited for
            process.stdin.write(pickle.dumps(list(sys.path)) + pickle.dumps((rank_info, config)))
            process.stdin.flush()
        return process

    def _error_file(self, rank: int) -> Path:
        return Path(self.errors.name) / f"rank-{rank}.txt"

    def fate(self) -> str:
        """What became of the first helper that has ended; "" while all are at work."""
        for rank, process in self.processes.items():
            code = process.poll()
            if code is not None:
                lines = self._error_file(rank).read_text(errors="replace").strip().splitlines()
                how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
                return f"rank {rank} of {self.rank_info.world_size} {how}" + (
                    f": {lines[-1]}" if lines and code > 0 else ""
                )
        return ""

    def dismiss(self) -> None:
        """End them."""
        for process in self.processes.values():
            with suppress(OSError):
                process.stdin.close()  # type: ignore[union-attr]
        if self.comm is not None:
            self.comm.close()
        for process in self.processes.values():
            try:
                process.wait(LEAVE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.errors.cleanup()


def ready(rank: int) -> str:
    """The key that a helper sets when it is there."""
    return f"optbench/ready/{rank}"


def connect_as_helper() -> tuple[RunConfig, Communicator]:
    """A helper's run and the ranks it belongs to, from its standard input. Signals are rank 0's to answer: a terminal
    sends Ctrl-C to all of them."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    rank_info, config = pickle.load(sys.stdin.buffer)
    threading.Thread(target=end_with_input, daemon=True).start()
    store = dist.TCPStore(HOST, rank_info.port, None, False, timedelta(minutes=1))
    store.set(ready(rank_info.rank), b"")
    return config, communicator_at(rank_info, config, store)


def end_with_input() -> None:
    """End this process when whoever started it is gone: it may be waiting for an answer that never comes."""
    while sys.stdin.buffer.read(1):
        pass
    os._exit(0)
