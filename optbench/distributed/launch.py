"""Start of a run's ranks: torchrun's meet at its store, helpers of this process at a store that it holds."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from datetime import timedelta
from typing import IO

from torch._C._distributed_c10d import TCPStore
from torch.distributed.distributed_c10d import PrefixStore, Store
from torch.distributed.rendezvous import rendezvous

from optbench.config import RunConfig
from optbench.config.plain import from_plain, to_plain
from optbench.distributed.communicator import TIMEOUT, TorchCommunicator
from optbench.distributed.rank_info import RankInfo, in_torchrun, rank_device
from optbench.errors import RankLost
from optbench.training.seeding import derive_seed

HOST = "127.0.0.1"
DECISION_KEY, TRAIN, LEAVE = "optbench/decision", "train", "leave"  # rank 0 tells torchrun's other ranks what to do
WATCH_SECONDS = 1.0  # between two checks that torchrun is alive
ORPHAN_SECONDS = 120.0  # for writing a checkpoint after torchrun is gone
CLOSE_SECONDS = 10.0  # for a helper to exit
HELPER = (
    "import json, sys; sys.path[:] = json.loads(sys.stdin.buffer.readline()); from {module} import {name}; {name}()"
)
SAFELY = ("-P", "-c")  # a json.py in the working folder is not imported
INTERFACES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")  # which network the ranks use, unless the user has set them


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
        self.errors: dict[int, IO[bytes]] = {}  # files without a name: a killed process leaves none behind
        self.environment: dict[str, str] = {}
        self.comm: TorchCommunicator | None = None

    def start(self, config: RunConfig) -> TorchCommunicator:
        """Start the helpers and wait until they are connected. Raises RankLost if one exits."""
        self._use_loopback()
        store = loopback_store()
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

    def _use_loopback(self) -> None:
        """Let the ranks listen on this machine's loopback interface alone; `close` undoes it."""
        loopback = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), None)
        if loopback is not None:
            self.environment = {name: loopback for name in INTERFACES if name not in os.environ}
            os.environ.update(self.environment)

    def _start_helper(self, rank_info: RankInfo, config: RunConfig) -> subprocess.Popen[bytes]:
        errors = self.errors[rank_info.rank] = tempfile.TemporaryFile()  # noqa: SIM115  # `close` closes it
        command = [sys.executable, *SAFELY, self.code]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=errors)
        assert process.stdin is not None
        lines = (list(sys.path), {"rank_info": asdict(rank_info), "config": to_plain(config)})
        with suppress(BrokenPipeError):  # it has exited already; `start` finds out
            process.stdin.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
            process.stdin.flush()
        return process

    def lost_helper(self) -> str:
        """Return how the first exited helper ended, or "" while all are running."""
        for rank, process in self.processes.items():
            code = process.poll()
            if code is not None:
                self.errors[rank].seek(0)
                lines = self.errors[rank].read().decode(errors="replace").strip().splitlines()
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
        for errors in self.errors.values():
            errors.close()
        for name in self.environment:
            os.environ.pop(name, None)


def loopback_store() -> TCPStore:
    """Return a store that only this machine reaches; given a name instead of a socket, torch listens everywhere."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen()
        port, handle = listener.getsockname()[1], listener.detach()  # the store closes it
    return TCPStore(HOST, port, None, True, TIMEOUT, wait_for_workers=False, master_listen_fd=handle)


def connect_as_helper() -> tuple[RunConfig, TorchCommunicator]:
    """Read a helper's run from standard input, and connect it to rank 0.

    Helpers ignore signals, because a terminal sends Ctrl-C to all processes; rank 0 handles them."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    given = json.loads(sys.stdin.readline())
    rank_info, config = RankInfo(**given["rank_info"]), from_plain(given["config"])
    threading.Thread(target=exit_after_input, daemon=True).start()
    assert rank_info.port is not None  # `start` has set it
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
