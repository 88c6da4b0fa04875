"""Log lines of the package: the command line prints them on stderr, and so does Python where progress is asked for."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TextIO

from optbench.errors import printable

LOGGER = logging.getLogger("optbench")  # all modules of the package log below it


def is_speaker() -> bool:
    """Return True if this process may print. Of several processes started by torchrun, only rank 0 may."""
    return "TORCHELASTIC_RUN_ID" not in os.environ or os.environ.get("RANK", "0") == "0"


class LogToStderr(logging.Handler):
    """Print log messages to stderr, as it is at that moment: a live display of rich replaces it."""

    def emit(self, record: logging.LogRecord) -> None:
        if is_speaker():
            print_lines(record.getMessage().splitlines(), sys.stderr)


def print_lines(lines: Iterable[str], file: TextIO | None = None) -> None:
    """Print lines to stdout or a file. Names in them come from files and command no terminal."""
    print("\n".join(map(printable, lines)), file=file, flush=True)


@contextmanager
def progress_shown(on: bool) -> Iterator[None]:
    """Print the log lines that the command line prints, if `on`; restore what the user has set."""
    if not on:
        yield
        return
    handler, level = LogToStderr(), LOGGER.level
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(level)
