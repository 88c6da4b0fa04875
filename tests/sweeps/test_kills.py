"""Sweeps under fire, and on a disk that fills up; they take minutes."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from optbench import config
from optbench.benches import sweep_kills
from optbench.benches.sweeping.commands import results, run_sweep, start_sweep, weights

pytestmark = pytest.mark.slow


@pytest.mark.timeout(1800)
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds its victims in /proc")
def test_repeated_kills_do_not_change_the_results() -> None:
    found = sweep_kills.measure(config.load(["steps=1500"]))
    assert found["killed_workers"] > 0
    assert found["killed_schedulers"] > 0
    assert found["runs"] == 3 * (8 + 3 * 2 + 2)  # trials, shortlist, final seeds
    assert found["same_weights"]
    assert found["same_table"]
    assert found["resumed_runs"] > 0
    assert found["goal_holds"]


@pytest.mark.timeout(900)
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds its victims in /proc")
def test_a_fork_server_that_is_killed_again_and_again_changes_nothing(tmp_path: Path) -> None:
    words = ["optimizer=adamw,lion", "model=mlp", "steps=3000", "threads=1", "tracker=none", "checkpoint_seconds=0.2"]
    words += ["--trials", "2", "--seeds", "1", "--jobs", "2"]
    calm = run_sweep(words, tmp_path / "calm")
    process = start_sweep(words, tmp_path / "killed")
    kills, draw = 0, random.Random(0)
    while process.poll() is None:
        time.sleep(draw.uniform(1.0, 8.0))
        for server in servers_of(process.pid) if kills < 6 else ():
            with contextlib.suppress(ProcessLookupError):
                os.kill(server, signal.SIGKILL)
                kills += 1
    assert process.wait() == 0, (tmp_path / "killed" / "log.txt").read_text()
    assert kills > 2
    assert weights(tmp_path / "killed") == calm.weights
    assert {result["status"] for result in results(tmp_path / "killed").values()} == {"completed"}


def servers_of(scheduler: int) -> list[int]:
    """Return the fork server among a scheduler's children."""
    found = []
    for pid, parent in sweep_kills.processes():
        with contextlib.suppress(OSError):
            line = Path(f"/proc/{pid}/cmdline").read_bytes()
            found += [pid] if parent == scheduler and b"forkserver" in line else []
    return found


# -- a disk that fills up ----------------------------------------------------------------------------------------------

ASKED = ("optimizer=adamw", "model=mlp", "steps=60", "threads=1", "tracker=none", "checkpoint_seconds=0.05")
ASKED = (*ASKED, "keep_checkpoint=true", "--trials", "6", "--seeds", "1", "--study", "x", "--jobs", "2")


def mounted(folder: Path, *options: str) -> bool:
    """Return True if memory could be mounted there as a disk."""
    mount = shutil.which("mount")
    if mount is None or sys.platform != "linux":
        return False
    command = [mount, "-t", "tmpfs", "-o", ",".join(options), "optbench-test", str(folder)]
    return subprocess.run(command, capture_output=True).returncode == 0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a disk of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mounted(folder, "size=64k"):
        pytest.skip("only root may mount a disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def sweep(results: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "optbench", "sweep", *ASKED, "--quiet", "--json", "--results-dir", str(results)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.mark.timeout(900)
def test_a_full_disk_is_one_message_and_with_more_room_nothing_is_lost(disk: Path, tmp_path: Path) -> None:
    """Whichever file fills the disk, no run counts as failed; the disk grows until the sweep ends."""
    calm = sweep(tmp_path / "calm")
    assert calm.returncode == 0, calm.stderr
    full = 0
    for kib in (64, 150, 300, 600, 1200, 8192):
        subprocess.run(["mount", "-o", f"remount,size={kib}k", str(disk)], check=True)
        done = sweep(disk)
        if done.returncode == 0:
            break
        full += 1
        assert done.returncode == 2, done.stderr
        said = [line for line in done.stderr.splitlines() if line]
        assert said[-1].startswith("optbench: ")
        assert "cannot be written: No space left on device" in said[-1]
        assert sum("No space left" in line for line in said) == 1
        assert {result["status"] for result in results(disk).values()} <= {"completed"}
        assert not list(disk.glob("x/*/.*.tmp"))
    assert done.returncode == 0
    assert full > 1
    assert weights(tmp_path / "calm") == weights(disk)


def test_a_read_only_disk(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    done = sweep(disk)
    assert done.returncode == 2
    assert done.stderr.startswith("optbench: ")
    assert "cannot be written: Read-only file system" in done.stderr
