"""Ctrl-C while the interpreter ends, or inside a library that makes another error of it: exit 130, no traceback."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

AT_EXIT = """
import atexit, os, signal, sys, time
atexit.register(lambda: (os.kill(os.getpid(), signal.SIGINT), time.sleep(5)))
sys.argv = ["optbench", *sys.argv[1:]]
from optbench.__main__ import main
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals between processes")
@pytest.mark.parametrize("words", [("--version",), ("no-such-command",)])
def test_ctrl_c_at_the_end_of_the_interpreter_prints_nothing(words: tuple[str, ...]) -> None:
    done = subprocess.run([sys.executable, "-c", AT_EXIT, *words], capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr
    assert "KeyboardInterrupt" not in done.stderr
    assert done.returncode == -signal.SIGINT


SWALLOWED = """
import os, signal, time
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(5)
except KeyboardInterrupt:
    raise AttributeError("'NoneType' object has no attribute 'flags'") from None
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals between processes")
def test_ctrl_c_that_a_library_turns_into_another_error_is_an_interruption(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(SWALLOWED)
    command = [sys.executable, "-m", "optbench", "run", "optimizer=./mine.py:Mine", "model=mlp", "--dry-run"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert "Traceback" not in done.stderr
    assert done.returncode == 130
