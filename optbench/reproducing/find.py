"""experiments/<slug>/study.yaml: where they lie and what they ask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optbench.config import packaged_folder, read_yaml
from optbench.errors import ConfigError, suggest

FOLDER, FILE = "experiments", "study.yaml"


@dataclass(frozen=True)
class Experiment:
    """One claim under test."""

    slug: str
    file: Path
    title: str
    scales: tuple[str, ...]


def experiments_folder(given: Path | None = None) -> Path:
    """Where experiments lie: the folder given, else beside conf/, in a checkout and in an installed package. Raises
    ConfigError."""
    folder = given.expanduser() if given is not None else packaged_folder().parent / FOLDER
    if not folder.is_dir():
        where = f"--experiments-dir {given}" if given is not None else str(folder)
        raise ConfigError(f"{where}: there is no such folder", "Give one: --experiments-dir FOLDER")
    return folder


def slugs(folder: Path) -> list[str]:
    """The experiments of a folder, sorted."""
    return sorted(file.parent.name for file in folder.glob(f"*/{FILE}"))


def find(slug: str, folder: Path) -> Experiment:
    """One by its name. Raises ConfigError where there is none, or its file is broken."""
    known = slugs(folder)
    if slug not in known:
        raise ConfigError(f"{slug}: there is no such experiment in {folder}", suggest(slug, known))
    file = folder / slug / FILE
    tree = read_yaml(file)
    scales = tree.get("scales") or {}
    if not isinstance(scales, Mapping):
        raise ConfigError(f"{file}: scales must map each name to settings")
    return Experiment(slug, file, str(tree.get("title") or ""), tuple(map(str, scales)))


def listed(folder: Path) -> list[dict[str, Any]]:
    """Every experiment for `optbench list experiments`; one that cannot be read says so."""
    rows = []
    for slug in slugs(folder):
        try:
            found = find(slug, folder)
        except ConfigError as error:
            rows.append({"name": slug, "scales": "", "about": f"broken: {error.args[0]}"})
        else:
            rows.append({"name": slug, "scales": ", ".join(found.scales), "about": found.title})
    return rows
