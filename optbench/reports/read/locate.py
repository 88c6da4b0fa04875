"""Find what a command line names: a study's folder, a study by its name, or the results folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from optbench.config.values import shown
from optbench.errors import NoResultsError, suggest
from optbench.reports.read.reading import FIRST_RUN, Results, read, studies_below
from optbench.store import results_root


def located(given: Path | None) -> Path:
    """Return the folder that is meant: as given, or the study of that name below the results folder. None: the results
    folder itself. Raises NoResultsError."""
    root = results_root(None)
    if given is None:
        return root
    stored = root / given
    if os.path.isdir(given) and (has_runs(given) or not os.path.isdir(stored)):
        return given
    if os.path.isdir(stored):  # also beside a folder of this name that holds the study's file
        return stored
    place, form = (root, "{}") if given.parent == Path() else (given.parent, str(given.parent / "{}"))
    known = [study.name for study in studies_below(place)] if os.path.isdir(place) else []
    if not known:
        raise NoResultsError(f"No results in {shown(given, 300)} yet", FIRST_RUN)
    raise NoResultsError(f"{shown(given, 300)}: no such folder or study", suggest(given.name, known, form))


def has_runs(folder: Path) -> bool:
    """Return True for the folder of a run, of a study, or of several studies."""
    return (folder / "run.json").exists() or any(folder.glob("*/run.json")) or any(studies_below(folder))


def study_folders(path: Path) -> list[Path]:
    """Return the folders of the studies in a results folder; a study's own folder, or one without any, alone."""
    if not os.path.isdir(path) or (path / "run.json").exists() or any(path.glob("*/run.json")):
        return [path]
    return list(studies_below(path)) or [path]


def read_studies(path: Path) -> Iterator[tuple[Path, Results | NoResultsError]]:
    """Yield every study of a folder, read on its own: a run that two studies share counts in both. Of one without a
    run that can be read, yield the error."""
    for folder in study_folders(path):
        try:
            yield folder, read(folder)
        except NoResultsError as error:
            yield folder, error
