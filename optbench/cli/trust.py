"""The question before a study file's code is imported."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import typer


def asked(file: Path, code: Sequence[str]) -> bool:
    """Return True if the user agrees on the terminal; False without one."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    lines = "\n  ".join([f"{file} would import code, which then runs as you:", *code])
    return typer.confirm(f"{lines}\nHave you read it, and shall it be imported?", err=True)
