"""Errors that a user can act on: one clear message, a hint, and the exit code of the command line.

    OptbenchError             1
    ├── ConfigError           2   wrong usage or configuration
    │   └── UserCodeError         the user's own code raised an error
    ├── StorageError          2   results cannot be written or read: disk full, no permission
    ├── ExpectationFailed     3   finished, but something asked for does not hold
    │   └── ChecksumMismatch      data differ from their published checksums
    ├── Locked                3   another process holds the run or the study
    ├── MissingError          4   a dependency, a data set or a device is missing
    ├── RankLost              4   a rank of a distributed run is gone; resuming is possible
    ├── NoResultsError        5   no stored run matches
    └── Interrupted     130/143   a signal stopped the run; its checkpoint is written

Any other exception that reaches the command line is a bug in optbench: traceback and exit code 1.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import cast

COMMANDS = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff]"
)
"""Control characters, ends of lines, marks that turn the direction of what follows, and halves of characters."""


class OptbenchError(Exception):
    """An error that the user can mend.

    `exit_code` is the exit code of the process, `hint` says what to do."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.message, self.hint)  # keep the hint when sent to another process

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class ConfigError(OptbenchError):
    """Wrong usage or configuration."""

    exit_code = 2


class UserCodeError(ConfigError):
    """The user's own code (a model, a data set, an optimizer, ...) raised an error; `__cause__` has its traceback."""


class StorageError(OptbenchError):
    """Results cannot be written or read: the disk is full, or permission is missing."""

    exit_code = 2


class ExpectationFailed(OptbenchError):
    """The command finished, but something it was asked for does not hold."""

    exit_code = 3


class ChecksumMismatch(ExpectationFailed):
    """A data set differs from its published checksums."""


class Locked(OptbenchError):
    """Another process holds the run or the study."""

    exit_code = 3


class MissingError(OptbenchError):
    """A dependency, a data set or a device is missing."""

    exit_code = 4


class ProcessLost(OptbenchError):
    """A process of the run is gone; the run can be resumed from its checkpoint."""

    exit_code = 4


class RankLost(ProcessLost):
    """A rank of a distributed run is gone."""


class WorkerLost(ProcessLost):
    """A worker process that reads data is gone, for example because memory ran out."""

    @classmethod
    def because(cls, error: BaseException) -> WorkerLost:
        """Return the error for what torch, or the connection to the worker, raised."""
        return cls(
            f"a process that reads data is gone: {first_line(error) or type(error).__name__}",
            "Run the same command again to resume from the last checkpoint; if memory ran out, with fewer data.workers",
        )


class NoResultsError(OptbenchError):
    """No stored run matches."""

    exit_code = 5


class Interrupted(OptbenchError):
    """A signal asked the run to stop; its checkpoint is written."""

    def __init__(self, signal_number: int, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.signal_number, self.message, self.hint)


DISTRIBUTIONS = {"PIL": "pillow", "optimi": "torch-optimi", "sklearn": "scikit-learn", "yaml": "pyyaml"}
"""What installs a module of another name, for `pip install`."""


@contextmanager
def package_errors() -> Generator[None]:
    """Raise MissingError in place of the error about a package that is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name in ("", "optbench"):
            raise
        hint = f"Install it: pip install {DISTRIBUTIONS.get(name, name)}"
        raise MissingError(f"the package {name} is not installed", hint) from error


@contextmanager
def path_errors() -> Generator[None]:
    """Raise StorageError in place of an error about a file or a folder: a name that is too long, no permission."""
    try:
        yield
    except OSError as error:
        if not isinstance(error.filename, (str, bytes)):
            raise
        raise StorageError(f"{os.fsdecode(error.filename)}: {error.strerror or error}") from error
    except RuntimeError as error:
        if not str(error).startswith("Symlink loop"):  # Path.resolve, before Python 3.13
            raise
        raise StorageError(str(error)) from error


def to_plain(error: OptbenchError) -> dict[str, object]:
    """Return an error as plain data, which `from_plain` reads in another process."""
    number = {"signal_number": error.signal_number} if isinstance(error, Interrupted) else {}
    return {"error": type(error).__name__, "message": error.message, "hint": error.hint, **number}


def from_plain(tree: object) -> OptbenchError:
    """Return the error that plain data describe. Its class is one of this file; raises ValueError for anything else."""
    fields = cast("dict[str, object]", tree) if isinstance(tree, dict) else {}
    name, message, hint, number = (fields.get(key) for key in ("error", "message", "hint", "signal_number"))
    kind = globals().get(name) if isinstance(name, str) else None
    if not (isinstance(kind, type) and issubclass(kind, OptbenchError) and isinstance(message, str)):
        raise ValueError("not an error of optbench")
    hint = hint if isinstance(hint, str) else ""
    if not issubclass(kind, Interrupted):
        return kind(message, hint)
    return kind(number if isinstance(number, int) else 0, message, hint)


def printable(text: object) -> str:
    """Return text in one line, without characters that a terminal, a spreadsheet or a page would act on."""
    return COMMANDS.sub(lambda found: " " if found[0].isspace() else "\ufffd", str(text))


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those behind it, which it was raised from or during."""
    behind: BaseException | None = error
    while behind is not None:
        yield behind
        behind = behind.__cause__ or behind.__context__


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message."""
    return (str(error).splitlines() or [""])[0]


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name closest to `name`, or None. A dotted key may also match by its last part."""
    import difflib

    names = list(known)
    last = name.rpartition(".")[2]
    similar = difflib.get_close_matches(name, names, 1) or [n for n in names if n.rpartition(".")[2] == last]
    return similar[0] if similar else None


def suggest(name: str, known: Iterable[str], form: str = "{}") -> str:
    """Return "Did you mean lion?" for the nearest known name, else "Known: adam, lion".

    `form` is what to type for a name, e.g. "optimizer={}"."""
    names = list(known)
    match = nearest(name, names)
    return f"Did you mean {form.format(match)}?" if match else f"Known: {', '.join(names) or 'none'}"


def is_out_of_memory(error: BaseException) -> bool:
    """Return True if memory ran out: in Python, CUDA or the CPU allocator of torch (a plain RuntimeError)."""
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)
