"""The code that the files of a study name, and whether the user has agreed to import it.

What the user types is the user's own, and the studies of experiments/ are optbench's; any other study file may be a
stranger's, and so may a configuration folder beside it. An agreement holds for the content of the files and of the code
that they name, and lies in the user's cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optbench.config import flatten, packaged_folder, read_yaml
from optbench.config.imports import is_found, is_path
from optbench.config.overrides import parse_override
from optbench.config.own import SCRIPT
from optbench.config.references import REFERENCE
from optbench.config.runconfig import sha256_of
from optbench.config.sources import file_of, files_sha256, source_sha256
from optbench.errors import StorageError
from optbench.files import read_bytes
from optbench.store.private import cache_folder, private_folder

FOLDER = "trusted"  # in the cache: an empty file for each agreement
COMMANDS, ARGUMENTS = (SCRIPT, "command"), "args"
"""The last words of keys that hold command lines, and the arguments of one."""


@dataclass(frozen=True)
class NamedCode:
    """The code that some files would import."""

    files: tuple[Path, ...]
    """The study file, and those of a configuration folder; never a folder."""
    targets: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """The hash of the names and of the files behind them.

        The files that name them count too if any has no such file: what `os.system` does depends on its settings."""
        sources = [source_sha256(target) for target in self.targets]
        named = [list(files_sha256(target)) for target in self.targets]
        naming = [read_bytes(file).hex() for file in self.files] if None in sources else None
        return sha256_of([(target, str(file_of(target))) for target in self.targets] + [sources, named, naming])

    @property
    def is_trusted(self) -> bool:
        """True if the user has agreed to it."""
        note = cache_folder() / FOLDER / self.sha256
        try:
            return note.is_file() and private_folder(note.parent) == note.parent.resolve()
        except (OSError, StorageError):  # others could have put it there
            return False

    def remember(self) -> None:
        """Keep the user's agreement; without a private cache folder the user is asked again."""
        try:
            (private_folder(cache_folder() / FOLDER) / self.sha256).touch()
        except (OSError, StorageError):
            return


def is_packaged(file: Path) -> bool:
    """Return True for one of the studies that optbench brings."""
    return file.resolve().is_relative_to((packaged_folder().parent / "experiments").resolve())


def code_in_words(words: Iterable[str]) -> dict[str, None]:
    """Return the import paths and commands among the values of overrides, each once."""
    values = ((key, value) for text in words for key, found in [parsed(text)] for value in found)
    return dict.fromkeys(target for key, value in values for target in code_in({key: value}))


def code_in_files(files: Iterable[Path]) -> dict[str, None]:
    """Return the import paths and commands in YAML files, each once."""
    return dict.fromkeys(target for file in files for target in code_in(read_yaml(file)))


def code_in(tree: Mapping[str, Any]) -> Iterator[str]:
    """Yield the texts of a tree that could be imported or started, whatever their keys mean."""
    for key, value in flatten(tree).items():
        if isinstance(value, str) and is_code(key, value):
            yield value


def is_code(key: str, text: str) -> bool:
    """Return True for text that `imports.load` would take, and for a command line, whatever it is called."""
    last = key.rpartition(".")[2]
    if last in COMMANDS or (last == "target" and "." in key):
        return True
    if last == ARGUMENTS and any(files_sha256(text)):
        return True
    filled = REFERENCE.sub("x", text)
    top = text.partition(".")[0]
    return is_path(filled) and (".py:" in filled or "${" in top or is_found(top))


def key_of(text: str) -> str:
    """Return the key of an override."""
    return text.partition("=")[0].lstrip("+").replace("/", ".")


def parsed(text: str) -> tuple[str, list[object]]:
    """Return the key of an override and its values; the whole text of one that cannot be read."""
    try:
        override = parse_override(text)
        values = [] if override.is_interval else override.values() if override.is_sweep else [override.value]
    except Exception:  # refused when the study is planned
        return key_of(text), [text.partition("=")[2]]
    return override.key or key_of(text), values
