"""The process that follows a script is killed: the script ends, and the same command goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from scripts_of_users import FINISH, TAKES, rows, run_script

SLOW_STEPS = """import os, time
saved = run.checkpoint_folder / "step.txt"
first = int(saved.read_text()) if saved.exists() else 0
open("pid", "w").write(str(os.getpid()))
for step in range(first + 1, run.steps + 1):
    run.log(step=step, train_loss=1 / step)
    if step % 10 == 0: saved.write_text(str(step))
    time.sleep(0 if run.resumed else 0.02)
"""
VIA_SHELL = ("./train.py", "bash train.sh")


def wait_for(found: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until something is true."""
    deadline = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_gone(process: int) -> bool:
    """Return True once a process has ended."""
    status = Path(f"/proc/{process}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("command", VIA_SHELL)
def test_a_killed_run_takes_its_script_with_it_and_goes_on(here: Path, command: str) -> None:
    Path("train.py").write_text(TAKES + SLOW_STEPS + FINISH)
    Path("train.sh").write_text(f"{sys.executable} train.py\ntrue\n")
    words = [f"script={command}", "script.direction=max", "steps=200", "tracker=none", "script.patience_seconds=0.5"]
    start = [sys.executable, "-m", "optbench", "run", *words, "-q"]
    process = subprocess.Popen(start, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    folder = here / "results" / "runs"
    wait_for(lambda: [f for f in folder.glob("*/script_checkpoint/step.txt") if int(f.read_text() or 0) >= 30])
    process.send_signal(signal.SIGKILL)
    process.wait()
    script = int(Path("pid").read_text())
    wait_for(lambda: is_gone(script), 10)
    assert subprocess.run(start, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL).returncode == 0
    found = next(folder.glob("*/metrics.jsonl")).read_text()
    whole = run_script(here / "whole", Path("train.py").read_text(), "steps=200")
    losses = [(row["step"], row["train_loss"]) for row in rows(whole)]
    assert [(row["step"], row["train_loss"]) for row in map(json.loads, found.splitlines())] == losses
