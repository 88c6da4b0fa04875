"""The head of a Ray cluster is lost in the middle of a study: one message, and everything that has ended is kept."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ENVIRONMENT = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
WORDS = ("optimizer=sgd", "model=mlp", "steps=20000", "threads=1", "tracker=none", "checkpoint_seconds=1")


def below(pid: int) -> list[int]:
    """Return a process and all processes that it has started."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return [pid]
    return [pid, *(other for child in children for other in below(int(child)))]


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def listens(port: int) -> bool:
    with socket.socket() as knocking:
        return knocking.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def head() -> Iterator[tuple[int, int]]:
    """Start a cluster of one node; return its port and its process."""
    pytest.importorskip("ray")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1] % 3000 + 6000  # below the ports of Ray's workers
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", f"--port={port}"]
    command += ["--include-dashboard=false", "--num-cpus=2", "--disable-usage-stats"]
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield port, process.pid
    finally:
        for pid in below(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.wait()


@pytest.mark.slow
def test_a_lost_head_ends_the_sweep_with_one_message(head: tuple[int, int], tmp_path: Path) -> None:
    port, holder = head
    deadline = time.monotonic() + 120
    while not listens(port):
        assert time.monotonic() < deadline, "no cluster"
        time.sleep(0.5)
    sweep = [sys.executable, "-m", "optbench", "sweep", *WORDS, "--trials", "4", "--seeds", "0", "--study", "x"]
    sweep += ["--executor", f"ray,address=127.0.0.1:{port}", "--jobs", "2", "--results-dir", str(tmp_path)]
    process = subprocess.Popen(sweep, env=ENVIRONMENT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        while not (kept := list(tmp_path.glob("x/*/result.json"))):
            assert time.monotonic() < deadline
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.2)
        (server,) = [pid for pid in below(holder) if name_of(pid).startswith("gcs_server")]
        os.kill(server, signal.SIGKILL)
        _, err = process.communicate(timeout=120)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert process.returncode == 4, err
    assert f":{port} is gone" in err
    assert "Start a cluster and repeat the command to continue" in err
    assert "Traceback" not in err
    assert all(file.exists() for file in kept)
