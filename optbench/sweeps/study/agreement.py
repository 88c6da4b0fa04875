"""The agreement that is needed before a study file's code is imported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from optbench.config.sources import file_of
from optbench.config.values import shown
from optbench.errors import ConfigError
from optbench.sweeps.study.trust import NamedCode, named_code

SHOWN = 8  # import paths in a message
Ask: TypeAlias = Callable[[Path, Sequence[str]], bool]
"""Ask the user whether the code that a study file names may be imported."""


def nobody(file: Path, code: Sequence[str]) -> bool:
    """Return False: nobody can be asked."""
    return False


def require_trust(file: Path, scale: str | None, typed: Sequence[str], agreed: bool, ask: Ask = nobody) -> None:
    """Raise ConfigError if a study file names code that the user has not agreed to import.

    `agreed`: the user has said so beforehand; otherwise `ask` puts the question."""
    code = named_code(file, scale, typed)
    if code is None or code.is_trusted:
        return
    if not agreed and not ask(code.file, described(code)):
        raise ConfigError(
            f"{file} would import code: {'; '.join(described(code))}",
            "Read it first. To import it: --trust (remembered until this code changes); from Python: trust=True",
        )
    code.remember()


def described(code: NamedCode) -> list[str]:
    """Return the import paths with their files."""
    files = ((target, file_of(target)) for target in code.targets)
    said = [shown(target, 200) + (f" ({shown(file, 200)})" if file else "") for target, file in files]
    more = len(said) - SHOWN
    return [*said[:SHOWN], *([f"and {more} more"] if more > 0 else [])]
