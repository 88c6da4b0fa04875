"""The question before a study file's code is imported."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from optbench.errors import ConfigError

if TYPE_CHECKING:
    from optbench.sweeps.study.trust import NamedCode

SHOWN = 8  # import paths in a message


def require_trust(file: Path, scale: str | None, typed: Sequence[str], agreed: bool) -> None:
    """Raise ConfigError if a study file names code that the user has not agreed to import; on a terminal, ask.

    `agreed`: --trust was given."""
    from optbench.sweeps.study.trust import named_code

    code = named_code(file, scale, typed)
    if code is None or code.is_trusted:
        return
    if not agreed and not asked(code):
        raise ConfigError(
            f"{file} would import code: {'; '.join(described(code))}",
            "Read it first. To import it: --trust (remembered until this code changes)",
        )
    code.remember()


def asked(code: NamedCode) -> bool:
    """Return True if the user agrees on the terminal; False without one."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    lines = "\n  ".join([f"{code.file} would import code, which then runs as you:", *described(code)])
    return typer.confirm(f"{lines}\nHave you read it, and shall it be imported?", err=True)


def described(code: NamedCode) -> list[str]:
    """Return the import paths with their files."""
    from optbench.config.sources import file_of
    from optbench.config.values import shown

    files = ((target, file_of(target)) for target in code.targets)
    said = [shown(target, 200) + (f" ({shown(file, 200)})" if file else "") for target, file in files]
    more = len(said) - SHOWN
    return [*said[:SHOWN], *([f"and {more} more"] if more > 0 else [])]
