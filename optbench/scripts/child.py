"""The process of a script: started in a process group of its own, asked to stop, and made to."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from optbench.errors import ConfigError, printable
from optbench.files import open_regular
from optbench.store import open_for_writing

KILL_SECONDS = 2.0  # from SIGTERM to SIGKILL
TAIL_BYTES = 64 * 1024
PR_SET_PDEATHSIG = 1  # of Linux' prctl
FRAME = re.compile(r'^\s*File "(.+)", line (\d+)')
CHUNK = 1 << 20


class Child:
    """A running script. What it prints goes to a file, from where `echo` shows it."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str], log: Path, stop: Path) -> None:
        """Start the words as a command. Raises ConfigError if the system refuses."""
        self.log, self.stop = log, stop
        self.began = time.monotonic()
        self._echoed = self.log.stat().st_size if self.log.exists() else 0
        self._asked: float | None = None
        self._sent = 0
        handle = open_for_writing(log, os.O_APPEND)
        try:
            self.process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=handle,
                stderr=handle,
                env={**os.environ, **environment},
                process_group=0,
                preexec_fn=dies_with_parent(),
            )
        except OSError as error:
            raise ConfigError(f"{printable(words[0])} cannot be started: {error.strerror}") from None
        finally:
            os.close(handle)

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal; None while the script runs."""
        return self.process.poll()

    def ask_to_stop(self) -> None:
        """Ask the script to stop, once."""
        if self._asked is None:
            self._asked = time.monotonic()
            self.stop.touch()

    def insist(self, patience_seconds: float) -> None:
        """Send SIGTERM to a script that was asked and has had its time, then SIGKILL."""
        if self._asked is None:
            return
        late = time.monotonic() - self._asked - patience_seconds
        if late >= KILL_SECONDS and self._sent < signal.SIGKILL:
            self._send(signal.SIGKILL)
        elif late >= 0 and not self._sent:
            self._send(signal.SIGTERM)

    def end(self) -> None:
        """Kill what is left of the script and of its processes."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def _send(self, number: signal.Signals) -> None:
        self._sent = number if number == signal.SIGKILL else 1
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    def echo(self, show: Callable[[bytes], object] | None) -> None:
        """Show what the script has printed since the last call."""
        if show is None:
            return
        with contextlib.suppress(OSError), open_regular(self.log, follow_links=False) as stream:
            stream.seek(self._echoed)
            while text := stream.read(CHUNK):
                self._echoed += len(text)
                show(text)

    def last_words(self) -> tuple[str, str]:
        """Return the last line of the output, with the file and line of a traceback, and the end of the output."""
        with contextlib.suppress(OSError), open_regular(self.log, follow_links=False) as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - TAIL_BYTES))
            text = stream.read().decode("utf-8", "replace")
            return last_line(text), text
        return "", ""


def dies_with_parent() -> Callable[[], None] | None:
    """Return what a new process does first on Linux: ask to be killed if the process that started it dies."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl  # found here: after the fork, only a call is safe
    return lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def last_line(text: str) -> str:
    """Return the last line of a program's output, with the place of the innermost frame if it ends a traceback."""
    lines = [line for line in text.replace("\r", "\n").splitlines() if line.strip()]
    if not lines:
        return ""
    last, place = lines[-1].strip(), ""
    begin = max((n for n, line in enumerate(lines) if line.startswith("Traceback (most recent")), default=None)
    frames = [match for line in lines[begin or 0 :] if (match := FRAME.match(line))]
    if frames and (begin is not None or "SyntaxError" in last or "IndentationError" in last):
        place = f"{Path(frames[-1][1]).name}, line {frames[-1][2]}: "
    return printable(place + last)[:500]


def visible_device(device: str) -> dict[str, str]:
    """Return the environment variable by which a script sees only the device that was asked for."""
    if device == "cpu":
        return {"CUDA_VISIBLE_DEVICES": ""}
    if device.startswith("cuda:"):
        number = device.partition(":")[2]
        visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
        chosen = visible[int(number)] if number.isdigit() and int(number) < len(visible) else number
        return {"CUDA_VISIBLE_DEVICES": chosen}
    return {}
