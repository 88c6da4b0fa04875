"""The YAML files: folders, options, reading, and composition by Hydra."""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optbench.config.overrides import root_cause
from optbench.config.runconfig import GROUPS
from optbench.config.trees import Node, is_mapping
from optbench.config.values import shown
from optbench.config.yaml_reader import load_yaml
from optbench.errors import ConfigError
from optbench.files import expanded

SUFFIX = ".yaml"


def packaged_folder() -> Path:
    """Return the configuration shipped with optbench: inside an installed package, beside it in a checkout."""
    package = Path(__file__).resolve().parent.parent
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


def config_folders(config_dir: str | Path | None) -> tuple[Path, ...]:
    """Return the configuration folders, the first with precedence: the user's, then the packaged one."""
    given = config_dir or os.environ.get("OPTBENCH_CONFIG_DIR")
    if not given:
        return (packaged_folder(),)
    folder = Path(os.path.realpath(expanded(given)))
    if not os.path.isdir(folder):
        raise ConfigError(f"--config-dir {shown(given)}: no such folder")
    return (folder, packaged_folder())


def options(folders: Sequence[Path], group: str) -> list[str]:
    """Return the names that a group offers, sorted."""
    return sorted({name for folder in folders for name in names_in(os.path.join(folder, group))})


def names_in(folder: str) -> list[str]:
    """Return the names of the YAML files in a folder; hidden ones left out, none if it cannot be listed."""
    try:
        return [name[: -len(SUFFIX)] for name in os.listdir(folder) if name.endswith(SUFFIX) and name[0] != "."]
    except OSError:
        return []


def find_option(folders: Sequence[Path], group: str, name: str) -> Path | None:
    """Return the file of a group's option, the user's before the packaged one; None if there is none."""
    found = (folder for folder in folders if name in names_in(os.path.join(folder, group)))
    return next((folder / group / (name + SUFFIX) for folder in found), None)  # read_yaml says what is wrong with it


def read_yaml(file: Path) -> Node:
    """Return a YAML file's mapping without Hydra's `defaults`. ConfigError names the file and the line of a mistake."""
    return copy.deepcopy(_parsed(file, modified(file)))


def modified(file: Path) -> int:
    """Return the time of a file's last change; 0 for a link to nothing."""
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0


@functools.lru_cache(maxsize=256)
def _parsed(file: Path, version: int) -> Node:
    """Parse a file once per version."""
    tree = load_yaml(file)
    if not is_mapping(tree):
        raise ConfigError(f"{file}: must hold keys and values")
    return {str(key): value for key, value in tree.items() if key != "defaults"}


@functools.lru_cache
def packaged_root(folder: Path) -> Mapping[str, Any]:
    """Return root/run.yaml of the packaged folder without its default choices; not to be changed."""
    return read_yaml(folder / "root" / "run.yaml")


@functools.lru_cache
def root_defaults(folder: Path) -> Mapping[str, str]:
    """Return the default choice of each group from root/run.yaml of the packaged folder."""
    tree = load_yaml(folder / "root" / "run.yaml")
    entries = tree["defaults"] if is_mapping(tree) else ()
    return {key: str(name) for entry in entries if is_mapping(entry) for key, name in entry.items() if key in GROUPS}


def short_path(file: Path, folders: Sequence[Path]) -> str:
    """Return a packaged file as conf/GROUP/NAME.yaml, a user's file in full."""
    packaged = folders[-1]
    return f"conf/{file.relative_to(packaged)}" if file.is_relative_to(packaged) else str(file)


def composed(folders: tuple[Path, ...], choices: Mapping[str, str]) -> Node:
    """Return a fresh configuration of these choices. Hydra composes it once per version of the files (0.1 s)."""
    files = [file for folder in folders[:-1] for file in folder.glob("*/*.yaml")]
    versions = tuple(sorted((str(file), modified(file)) for file in files))
    return copy.deepcopy(_composed(folders, tuple(sorted(choices.items())), versions))


@functools.lru_cache(maxsize=256)
def _composed(
    folders: tuple[Path, ...], choices: tuple[tuple[str, str], ...], versions: tuple[tuple[str, int], ...]
) -> Node:
    from optbench.config.hydra_api import compose

    try:
        return compose(folders[-1] / "root", folders, choices)
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"cannot compose the configuration: {shown(root_cause(error), 200)}") from error
