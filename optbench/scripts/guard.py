"""The script's process: its errors are reported, and it ends when it should."""

from __future__ import annotations

import os
import platform
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from types import FrameType, TracebackType

from optbench.config.user_code import described
from optbench.errors import is_out_of_memory
from optbench.scripts.job import Job

WATCH_SECONDS = 0.5  # between two looks whether optbench is still there


def is_first_rank() -> bool:
    """Return True for the process that writes: rank 0 of torchrun's, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def report_errors(send: Callable[..., None]) -> None:
    """Send the error that ends this process."""
    show = sys.excepthook

    def report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        text = "".join(traceback.format_exception(error))
        send("error", reason=described(error), memory=is_out_of_memory(error), traceback=text)
        show(kind, error, trace)

    sys.excepthook = report


def end_with_parent(job: Job, ask_to_stop: Callable[[], bool]) -> None:
    """Let SIGTERM ask the script to stop, and end this process after the one that started the script.

    `ask_to_stop` returns True if the script was asked before; then SIGTERM ends it."""

    def terminated(number: int, frame: FrameType | None) -> None:
        if ask_to_stop():
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, terminated)
    if job.host == platform.node():
        patience = float(job.run_config.model.settings["patience_seconds"])
        threading.Thread(target=watch, args=(job.parent, patience, ask_to_stop), daemon=True).start()


def watch(parent: int, patience_seconds: float, ask_to_stop: Callable[[], bool]) -> None:
    """Ask the script to stop once a process has gone, and end this one after the time that it has for that."""
    while is_alive(parent):
        time.sleep(WATCH_SECONDS)
    ask_to_stop()
    time.sleep(patience_seconds)
    os._exit(128 + signal.SIGTERM)


def is_alive(process: int) -> bool:
    """Return True while a process exists."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
