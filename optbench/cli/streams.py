"""The standard streams of the command's process.

Readers go away (`| head`), disks are full, streams are closed (`>&-`) or write ASCII alone. None of it may end the
work: a write that fails is lost without an error, and so are all later ones. `exit_code` tells of it at the end.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import select
import sys
from typing import TextIO

from optbench.errors import StorageError

FITTING = "optbench.fitting"
"""The error handler of both streams: signs that an encoding lacks become ASCII."""


class StandardStream(io.FileIO):
    """Standard output or error; `failure` is the first error of a write, after which everything is lost."""

    failure: OSError | None = None

    def __init__(self, handle: int) -> None:
        super().__init__(handle, "wb", closefd=False)

    def write(self, data: object, /) -> int:
        """Write as many bytes as the system takes; count all of them as written if it fails."""
        try:
            while (written := super().write(data)) is None:  # type: ignore[arg-type]  # a pipe that doesn't block
                select.select([], [self], [])
        except OSError as error:
            self.failure = self.failure or error
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())  # for what child processes and the interpreter's end write, too
            os.close(nowhere)
            return memoryview(data).nbytes  # type: ignore[arg-type]
        return written


def guard_streams() -> None:
    """Give this process standard streams that never raise. A closed one leads nowhere, so that no file of results gets
    its number, and with it what libraries print."""
    for handle in range(3):
        try:
            os.fstat(handle)
        except OSError:
            os.open(os.devnull, os.O_RDONLY if handle == 0 else os.O_WRONLY)  # takes the lowest number, this one
    register_fitting()
    sys.stdin = sys.stdin or open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = guarded(sys.stdout, 1)
    sys.stderr = guarded(sys.stderr, 2)


def guarded(stream: TextIO | None, handle: int) -> TextIO:
    """Return a text stream like one of Python's own, which is None for a closed stream."""
    raw = StandardStream(handle)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=stream.encoding if stream else "utf-8",
        errors=FITTING,
        line_buffering=handle == 2 or raw.isatty(),
        write_through=getattr(stream, "write_through", False),
    )


def register_fitting() -> None:
    """Make FITTING known to Python's codecs."""
    codecs.register_error(FITTING, fitted)


def fitted(error: UnicodeError) -> tuple[str, int]:
    """Return the signs that an encoding lacks in ASCII; see `codecs.register_error`."""
    from optbench.reports.render.terminal import fitting

    assert isinstance(error, UnicodeEncodeError)
    return fitting(error.object[error.start : error.end], error.encoding), error.end


def stdout_error() -> StorageError | None:
    """Write what is left in stdout's buffer; return the error if the answer did not reach a reader who waits for it."""
    sys.stdout.flush()
    failure = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    failure = getattr(failure, "failure", None)
    if failure is None or failure.errno == errno.EPIPE:
        return None
    return StorageError(f"stdout: cannot be written: {failure.strerror}", "Nothing but the printed answer is lost")
