"""The code that a study file names, and whether the user has agreed to import it.

What the user types is the user's own, and the studies of experiments/ are optbench's; any other study file may be a
stranger's. An agreement holds for the content of the file and of the code that it names, and lies in the user's cache.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from optbench.config import flatten, packaged_folder
from optbench.config.choices import CHOSEN
from optbench.config.imports import is_path
from optbench.config.overrides import parse_override
from optbench.config.own import SCRIPT
from optbench.config.runconfig import sha256_of
from optbench.config.sources import file_of, source_sha256
from optbench.errors import StorageError
from optbench.files import read_bytes
from optbench.store.private import cache_folder, private_folder
from optbench.sweeps.study.study_yaml import read_study_file

FOLDER = "trusted"  # in the cache: an empty file for each agreement


@dataclass(frozen=True)
class NamedCode:
    """The code that a study file would import."""

    file: Path
    """The study file, never its folder."""
    targets: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """The hash of the names and of the files behind them.

        The study file counts too where it names anything but such a file: what `os.system` does depends on its
        settings."""
        sources = [source_sha256(target) for target in self.targets]
        study = read_bytes(self.file).hex() if None in sources else None
        return sha256_of([(target, str(file_of(target))) for target in self.targets] + [sources, study])

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


def named_code(file: Path, scale: str | None, typed: Collection[str]) -> NamedCode | None:
    """Return the code that a study file would import; None if there is none, or if the file is one of optbench's.

    `typed`: the overrides of the command line, which replace the file's."""
    if file.resolve().is_relative_to((packaged_folder().parent / "experiments").resolve()):
        return None
    file = file / "study.yaml" if file.is_dir() else file
    keys = {key_of(text) for text in typed}
    words = [text for text in read_study_file(file, scale)["overrides"] if key_of(text) not in keys]
    targets = tuple(dict.fromkeys(target for text in words for target in targets_of(text)))
    return NamedCode(file, targets) if targets else None


def key_of(text: str) -> str:
    """Return the key of an override."""
    return text.partition("=")[0].lstrip("+").replace("/", ".")


def targets_of(text: str) -> Iterator[str]:
    """Yield the import paths of an override: of a group's choice, of any key `... .target`, and of any file.

    A script is code whatever it is called."""
    key, values = parsed(text)
    for value in values:
        for leaf, found in flatten({key: value}).items():
            is_target = "." in leaf and leaf.endswith(".target")
            if is_target or leaf == SCRIPT or ".py:" in str(found) or (leaf in CHOSEN and is_path(str(found))):
                yield str(found)


def parsed(text: str) -> tuple[str, list[object]]:
    """Return the key of an override and its values; the whole text of one that cannot be read."""
    try:
        override = parse_override(text)
        values = [] if override.is_interval else override.values() if override.is_sweep else [override.value]
    except Exception:  # refused when the study is planned
        return key_of(text), [text.partition("=")[2]]
    return override.key or key_of(text), values
