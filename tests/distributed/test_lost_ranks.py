"""A rank that is lost while another waits for it in a collective that raises nothing, as NCCL's do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import QUICK

from optbench import config
from optbench.distributed import TorchCommunicator, watcher
from optbench.distributed.watcher import Watcher
from optbench.errors import RankLost
from optbench.sessions.session import execute


@pytest.fixture(autouse=True)
def quick_watcher(monkeypatch: pytest.MonkeyPatch) -> None:
    """The watcher looks often."""
    monkeypatch.setattr(watcher, "WATCH_SECONDS", 0.02)
    monkeypatch.setattr(watcher, "GRACE_SECONDS", 0.2)


def until(done: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for something to happen."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_loss_aborts_once_after_a_grace() -> None:
    lost, calls = threading.Event(), []
    watching = Watcher(lost.is_set, lambda: calls.append(watching.has_aborted))
    time.sleep(0.1)
    assert not calls and not watching.has_aborted
    lost.set()
    until(lambda: bool(calls))
    watching.stop()
    assert calls == [True]


def test_a_stop_within_the_grace_leaves_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rank has found out by itself."""
    monkeypatch.setattr(watcher, "GRACE_SECONDS", 60.0)
    looked = threading.Event()
    watching = Watcher(lambda: looked.set() or True, lambda: pytest.fail("aborted"))
    assert looked.wait(20)
    watching.stop()
    assert not watching.has_aborted and not watching._thread.is_alive()


def children() -> list[int]:
    pid = os.getpid()
    return [int(word) for file in Path(f"/proc/{pid}/task").glob("*/children") for word in file.read_text().split()]


def helper_of(pids: list[int]) -> int:
    """Return the helper among processes."""
    (helper,) = [pid for pid in pids if b"run_helper" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return helper


class Stream:
    """All-reduces as NCCL makes them: one that waits for a lost rank waits until it is aborted.

    It raises nothing, and leaves what happens to be in the buffers."""

    def __init__(self, patch: pytest.MonkeyPatch, lost_in_step: int) -> None:
        self.aborted = threading.Event()
        begin, reduce = TorchCommunicator.__init__, TorchCommunicator.all_reduce

        def made(comm: TorchCommunicator, *args: Any) -> None:
            begin(comm, *args)
            comm._watch(self.aborted.set)  # a rank on the CPU has no watcher of its own

        def all_reduce(comm: TorchCommunicator, tensors: list[torch.Tensor]) -> None:
            if comm._step != lost_in_step:
                reduce(comm, tensors)
                return
            if not self.aborted.is_set():
                os.kill(helper_of(children()), signal.SIGKILL)
            assert self.aborted.wait(60)
            for tensor in tensors:
                tensor.fill_(float("nan"))

        patch.setattr(TorchCommunicator, "__init__", made)
        patch.setattr(TorchCommunicator, "all_reduce", all_reduce)


@pytest.mark.slow
def test_a_rank_that_waits_for_a_lost_one_ends_and_records_nothing_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*QUICK, "devices=2", "steps=10", "record_every=1", "eval_every=20", "checkpoint_seconds=0"]
    with monkeypatch.context() as patch:
        stream = Stream(patch, lost_in_step=4)
        with pytest.raises(RankLost, match="rank 1 of 2 was ended by SIGKILL"):
            execute(config.load(words), tmp_path)
        assert stream.aborted.is_set()
    (folder,) = (tmp_path / "runs").iterdir()
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4] and all(row["train_loss"] is not None for row in rows)
    assert not (folder / "result.json").exists()
    assert not [thread for thread in threading.enumerate() if thread.name == "optbench-watcher"]
    ended = execute(config.load(words), tmp_path)
    assert ended.result["status"] == "completed" and ended.result["resumed_from_steps"] == [4]


@pytest.mark.slow
def test_a_watched_run_ends_as_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream(monkeypatch, lost_in_step=-1)
    ended = execute(config.load([*QUICK, "devices=2", "steps=6"]), tmp_path)
    assert ended.result["status"] == "completed" and not stream.aborted.is_set()
    assert not [thread for thread in threading.enumerate() if thread.name == "optbench-watcher"]


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_a_lost_rank_of_nccl_ends_the_run_in_seconds(tmp_path: Path, strategy: str) -> None:
    words = [*QUICK, "device=cuda", "devices=2", "steps=1000000", "checkpoint_seconds=0.5", "record_every=50"]
    command = [sys.executable, "-m", "optbench", "run", *words, f"strategy={strategy}", "--results-dir", str(tmp_path)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        until(lambda: bool(list(tmp_path.glob("runs/*/checkpoints/step-*"))), 180)
        pids = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(helper_of([int(pid) for pid in pids]), signal.SIGKILL)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == RankLost.exit_code
    assert "rank 1 of 2 was ended by SIGKILL" in err
    assert not list(tmp_path.glob("runs/*/result.json"))
