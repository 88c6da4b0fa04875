"""Links in the folder of a run: writing or deleting through one would change files elsewhere, so they are refused.

The results folder, a study and the run's folder itself may be links, for example to a larger disk."""

from __future__ import annotations

import os
from pathlib import Path

from optbench.errors import StorageError


def refuse_links(*folders: Path) -> None:
    """Raise StorageError if an entry of one of these folders is a link; a missing folder is ignored."""
    for folder in folders:
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    refuse_link(Path(entry.path))
        except (FileNotFoundError, NotADirectoryError):
            continue


def refuse_link(path: Path) -> None:
    """Raise StorageError if a path is a link."""
    if path.is_symlink():
        raise link_error(path)


def link_error(path: Path) -> StorageError:
    """Return the error for a link."""
    return StorageError(
        f"{path}: is a link, and a run writes and deletes through none",
        "Replace it by what it points to, or link the whole results folder instead",
    )


def make_folder(path: Path) -> None:
    """Make a folder if it is missing. Raises StorageError if a link is in its place."""
    refuse_link(path)
    path.mkdir(exist_ok=True)
