"""The image files of a folder, by class, and a count of everything else that lies there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from optbench.config.foreign_entries import is_foreign
from optbench.config.notices import say_once
from optbench.data.notices import counted, some
from optbench.errors import MissingError

SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
SUFFIXES |= {".ppm", ".pgm", ".pnm"}


@dataclass
class LeftOut:
    """Entries below a folder that are no part of the data set, by reason."""

    foreign: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    empty: list[str] = field(default_factory=list)

    def say(self, where: str) -> None:
        """Log what was left out, once."""
        parts = [
            f"{counted(len(names), *words)} ({some(names)})"
            for names, words in (
                (self.foreign, ("hidden or foreign entry", "hidden or foreign entries")),
                (self.others, ("other entry", "other entries")),
                (self.outside, ("image outside the class folders", "images outside the class folders")),
                (self.empty, ("class folder without images", "class folders without images")),
            )
            if names
        ]
        if parts:
            say_once(f"{where}: left out {'; '.join(parts)}")


def is_image(name: str) -> bool:
    """Return True if a file's name ends like that of an image."""
    return os.path.splitext(name)[1].lower() in SUFFIXES


def folders_in(folder: Path, left: LeftOut) -> list[str]:
    """Return the sorted names of the folders in a folder that may be classes or splits."""
    found: list[str] = []
    for entry in entries_in(folder):
        if is_foreign(entry.name):
            left.foreign.append(entry.name)
        elif entry.is_dir():
            found.append(entry.name)
        else:
            (left.outside if is_image(entry.name) else left.others).append(entry.name)
    return sorted(found)


def entries_in(folder: Path) -> Sequence[os.DirEntry[str]]:
    """Return the entries of a folder. Raises MissingError if it cannot be read."""
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise unreadable(folder, error) from error


def unreadable(folder: str | Path, error: OSError) -> MissingError:
    """Describe a folder that cannot be read."""
    return MissingError(f"{folder} cannot be read: {error.strerror}", "Give yourself access to it, or move it away")


def image_files(folder: Path, left: LeftOut) -> list[str]:
    """Return the image files below a folder, sorted.

    For a million files, os.walk is much faster than pathlib. Raises MissingError for a folder that cannot be read."""

    def stop(error: OSError) -> None:
        raise unreadable(error.filename, error) from error

    found: list[str] = []
    for place, folders, files in os.walk(folder, onerror=stop):
        left.foreign += filter(is_foreign, folders)
        folders[:] = [name for name in folders if not is_foreign(name)]
        found += [os.path.join(place, name) for name in images_among(files, left)]
    return sorted(found)


def images_among(names: Sequence[str], left: LeftOut) -> Iterator[str]:
    """Yield the names of images."""
    for name in names:
        if is_foreign(name):
            left.foreign.append(name)
        elif is_image(name):
            yield name
        else:
            left.others.append(name)


def images_by_class(folder: Path, left: LeftOut) -> dict[str, list[str]]:
    """Return the image files of every class folder that has any, by the sorted names of the classes."""
    found = {name: image_files(folder / name, left) for name in folders_in(folder, left)}
    left.empty += [f"{folder.name}/{name}" for name, files in found.items() if not files]
    return {name: files for name, files in found.items() if files}
