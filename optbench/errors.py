"""Errors that a user can act on: one clear message, an optional hint, and the exit code of the command line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class OptbenchError(Exception):
    """Something the user can mend. `exit_code` is the process's exit code; `hint` says what to do."""

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def __reduce__(self) -> Any:
        return type(self), (self.args[0], self.hint)  # both travel between processes

    def __str__(self) -> str:
        return f"{self.args[0]}\n{self.hint}" if self.hint else str(self.args[0])


class ConfigError(OptbenchError):
    """Bad usage or configuration."""

    exit_code = 2


class StorageError(ConfigError):
    """Results cannot be written: a full disk, a folder without permission."""


class NotHeld(OptbenchError):
    """The command finished, but something it was asked for does not hold."""

    exit_code = 3


class MissingError(OptbenchError):
    """A dependency, a data set or a device is not there."""

    exit_code = 4


class NoResultsError(OptbenchError):
    """No stored run matches."""

    exit_code = 5


class Interrupted(OptbenchError):
    """A signal asked the run to stop; its checkpoint is written."""

    def __init__(self, signal_number: int, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number

    def __reduce__(self) -> Any:
        return type(self), (self.signal_number, self.args[0], self.hint)


def first_line(error: BaseException) -> str:
    """The first line of an error's message."""
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
    """Whether an error says that memory ran out: Python's, CUDA's, or torch's CPU allocator's, a plain RuntimeError."""
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)
