"""The output of a command: its answer on stdout, as JSON or text; log lines on stderr."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from optbench.api.progress import LOGGER, LogToStderr, is_speaker, print_lines
from optbench.errors import OptbenchError

SHOWN = 200  # characters of a longer word in an error, such as a path
LONG_WORD = re.compile(rf"\S{{{SHOWN + 3},}}")


class Output:
    """The output of one command. `as_json`: one JSON document on stdout. `quiet`: no progress, only warnings.

    `answered` tells that the JSON document has been printed, so that an error after it prints no second one."""

    def __init__(self, as_json: bool = False, quiet: bool = False) -> None:
        self.as_json, self.quiet, self.answered = as_json, quiet, False
        LOGGER.setLevel(logging.WARNING if quiet else logging.INFO)
        Output.current = self

    current: Output | None = None
    """The output of the command that runs now."""

    @property
    def shows_progress(self) -> bool:
        """False with --quiet or --json."""
        return not (self.quiet or self.as_json)

    def answer(self, tree: object, print_text: Callable[[], object]) -> None:
        """Print the answer: `tree` as JSON, or what `print_text()` prints."""
        if self.as_json:
            self.answered = True
            print(json.dumps(tree, indent=2, default=str))
        else:
            print_text()

    def lines(self, tree: object, lines: Sequence[str]) -> None:
        """Print the answer: `tree` as JSON, or lines of text."""
        self.answer(tree, lambda: print_lines(lines))

    def table(self, rows: Sequence[dict[str, Any]], title: str = "") -> None:
        """Print rows as the answer: as JSON, or as a table."""
        from optbench.cli.tables import table

        self.answer(rows, lambda: table(title, rows))

    def error(self, error: OptbenchError) -> None:
        """Print an error on stderr and, with --json and unless the answer is there already, as JSON on stdout."""
        if not is_speaker():
            return
        message = LONG_WORD.sub(lambda word: f"{word[0][:SHOWN]}...", error.message)
        print_lines([f"optbench: {message}", *error.hint.splitlines()], sys.stderr)
        if self.as_json and not self.answered:
            print(json.dumps({"error": error.message, "hint": error.hint, "exit_code": error.exit_code}))


def log_to_stderr() -> None:
    """Print the package's log messages to stderr."""
    LOGGER.handlers = [LogToStderr()]
