"""Find the claims of experiments/<slug>/study.yaml."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from optbench.config import packaged_folder, read_yaml
from optbench.errors import ConfigError, suggest
from optbench.files import expanded

FOLDER, FILE = "experiments", "study.yaml"


@dataclass(frozen=True)
class Experiment:
    """A claim under test."""

    slug: str
    file: Path
    title: str
    scales: tuple[str, ...]


def experiments_folder(given: Path | None = None) -> Path:
    """Return the folder given, else the one beside conf/ (checkout or installed package). Raises ConfigError."""
    folder = expanded(given) if given is not None else packaged_folder().parent / FOLDER
    if not os.path.isdir(folder):
        where = f"--experiments-dir {given}" if given is not None else str(folder)
        raise ConfigError(f"{where}: no such folder", "Give one with --experiments-dir FOLDER")
    return folder


def slugs(folder: Path) -> list[str]:
    """Return the names of the experiments in a folder, sorted."""
    return sorted(file.parent.name for file in folder.glob(f"*/{FILE}"))


def find(slug: str, folder: Path) -> Experiment:
    """Return an experiment by its name. Raises ConfigError if it is missing or malformed."""
    known = slugs(folder)
    if slug not in known:
        raise ConfigError(f"{slug}: no such experiment in {folder}", suggest(slug, known))
    file = folder / slug / FILE
    tree = read_yaml(file)
    scales = tree.get("scales") or {}
    if not isinstance(scales, Mapping):
        raise ConfigError(f"{file}: scales must be a mapping of names to settings")
    return Experiment(slug, file, str(tree.get("title") or ""), tuple(map(str, scales)))


def list_experiments(folder: Path) -> list[dict[str, str]]:
    """Return every experiment for `optbench list experiments`; a malformed one says so."""
    rows = []
    for slug in slugs(folder):
        try:
            found = find(slug, folder)
        except ConfigError as error:
            rows.append({"name": slug, "scales": "", "about": f"broken: {error.args[0]}"})
        else:
            rows.append({"name": slug, "scales": ", ".join(found.scales), "about": found.title})
    return rows
