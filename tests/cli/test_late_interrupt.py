"""Ctrl-C while the interpreter ends: no traceback."""

from __future__ import annotations

import signal
import subprocess
import sys

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
