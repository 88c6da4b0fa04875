"""The agreement that is needed before the code that a study's files name is imported."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from optbench.config import imports, packaged_folder
from optbench.config.sources import file_of
from optbench.config.values import shown
from optbench.errors import ConfigError
from optbench.sweeps.study.trust import NamedCode, code_in_files, code_in_words, is_packaged

SHOWN = 8  # import paths in a message
Ask: TypeAlias = Callable[[Path, Sequence[str]], bool]
"""Ask the user whether the code that a study file names may be imported."""


def nobody(file: Path, code: Sequence[str]) -> bool:
    """Return False: nobody can be asked."""
    return False


class Trust:
    """The code that a study may import: optbench's, what the user typed, and what the user agrees to."""

    def __init__(self, file: Path, typed: Sequence[str], agreed: bool, ask: Ask) -> None:
        self.file = file / "study.yaml" if os.path.isdir(file) else file
        self.typed, self.agreed, self.ask = list(typed), agreed, ask
        self.allowed = set(code_in_words(typed))

    def require_words(self, words: Iterable[str]) -> None:
        """Raise ConfigError if overrides name code that the user has not agreed to import; typed ones may."""
        self._require((self.file,), code_in_words(text for text in words if text not in self.typed))

    def require_files(self, files: Iterable[Path]) -> None:
        """Raise ConfigError likewise for configuration files; packaged ones may."""
        found = tuple(dict.fromkeys(file for file in files if not file.is_relative_to(packaged_folder())))
        self._require((self.file, *found), code_in_files(found))

    def permit(self, path: str) -> None:
        """Raise ConfigError if an import path is about to be loaded that the user has not agreed to."""
        if not path.startswith("optbench."):
            self._require((self.file,), [path])

    def _require(self, files: tuple[Path, ...], targets: Iterable[str]) -> None:
        new = tuple(target for target in targets if target not in self.allowed)
        code = NamedCode(files, new)
        if new and not code.is_trusted:
            if not self.agreed and not self.ask(self.file, described(code)):
                raise ConfigError(
                    f"{self.file} would import code: {'; '.join(described(code))}",
                    "Read it first. To import it: --trust (remembered until this code changes); "
                    "from Python: trust=True",
                )
            code.remember()
        self.allowed |= set(new)


@contextmanager
def trusting(
    file: Path | None, typed: Sequence[str], agreed: bool = False, ask: Ask = nobody
) -> Generator[Trust | None]:
    """Let this thread import only code that the user typed or agrees to, while a study file is read and planned.

    `agreed`: the user has said so beforehand; otherwise `ask` puts the question. None is yielded, and everything may be
    imported, without a file and for those of optbench."""
    if file is None or is_packaged(file):
        yield None
        return
    trust = Trust(file, typed, agreed, ask)
    with imports.permitted(trust.permit):
        yield trust


def described(code: NamedCode) -> list[str]:
    """Return the import paths with their files."""
    files = ((target, file_of(target)) for target in code.targets)
    said = [shown(target, 200) + (f" ({shown(file, 200)})" if file else "") for target, file in files]
    more = len(said) - SHOWN
    return [*said[:SHOWN], *([f"and {more} more"] if more > 0 else [])]
