"""Errors that the user's own code raised: one line with the file, the line and the cause."""

from __future__ import annotations

import traceback
from pathlib import Path

from optbench.config.sources import is_own
from optbench.config.values import shown
from optbench.errors import OptbenchError, UserCodeError, first_line, is_out_of_memory


def location(error: BaseException) -> str | None:
    """Return "net.py, line 12" for the innermost frame of an error in the user's own files; None if there is none."""
    if isinstance(error, SyntaxError) and error.filename and is_own(Path(error.filename)):
        return f"{Path(error.filename).name}, line {error.lineno}"
    for frame, line in reversed(list(traceback.walk_tb(error.__traceback__))):
        file = Path(frame.f_code.co_filename)
        if file.suffix == ".py" and file.is_file() and is_own(file.resolve()):
            return f"{file.name}, line {line}"
    return None


def described(error: BaseException) -> str:
    """Return an error of the user's code in one line: "net.py, line 12: ValueError: no such size"."""
    place = location(error)
    return f"{place}: " * bool(place) + f"{type(error).__name__}: {cause(error)}"


def cause(error: BaseException) -> str:
    """Return the first line of an error's words, or the line of code that failed where it has none (`assert x`).

    Without the line's comment."""
    frames = traceback.extract_tb(error.__traceback__)
    return first_line(error) or ((frames[-1].line or "").split(" #")[0].rstrip() if frames else "")


def user_error(doing: str, error: BaseException, hint: str = "") -> BaseException:
    """Return the error to raise from one that the user's code raised.

    `doing` says what was done, e.g. "building the model ./net.py:Net". Errors of optbench and a lack of memory are
    returned as they are."""
    if isinstance(error, OptbenchError) or is_out_of_memory(error):
        return error
    return UserCodeError(shown(f"{doing}: {described(error)}", 500), hint)
