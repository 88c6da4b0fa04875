"""If torchrun is killed, its ranks stop with a checkpoint, and the same command resumes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import QUICK

from optbench import config
from optbench.store import RunFolder

LONG = [*QUICK, "steps=1000000", "checkpoint_seconds=0.1", "record_every=50"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "optbench"]


def alive(pid: int) -> bool:
    """Return True if a process runs; zombies do not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def awaited(what: Callable[[], object], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.slow
def test_ranks_stop_without_torchrun_and_the_run_resumes(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, "runs", config.load(LONG).run_id)
    command = [*TORCHRUN, "run", *LONG, "--results-dir", str(tmp_path), "--json"]
    agent = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    ranks: list[int] = []
    try:
        awaited(lambda: list((folder.path / "checkpoints").glob("step-*")))
        ranks = [int(word) for word in Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text().split()]
        assert len(ranks) == 2
        os.kill(agent.pid, signal.SIGKILL)
        agent.wait()
        awaited(lambda: not any(map(alive, ranks)), 30.0)
        kept = folder.checkpoints.newest_first()[0]
        assert folder.result() is None
        again = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
        ranks.append(again.pid)
        line = again.stderr.readline()
        while "resumed from step" not in line:
            assert line, "it ended without resuming from its checkpoint"
            line = again.stderr.readline()
        assert int(line.split("resumed from step ")[1].split()[0]) == int(kept.stem.split("-")[1])
        os.killpg(again.pid, signal.SIGTERM)
        again.communicate(timeout=60)
    finally:
        for pid in ranks:
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
