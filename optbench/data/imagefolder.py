"""Any folder of images: train/CLASS/*.jpg, val/CLASS/*.jpg and, optionally, test/CLASS/*.jpg."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from optbench.contracts import ImageData, Progress, Seeds
from optbench.data.image_list import ImageFiles
from optbench.data.image_source import ImageSource
from optbench.errors import ConfigError, MissingError
from optbench.files import expanded

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"}
FOLDER_NAMES = {"train": ("train",), "validation": ("val", "validation", "valid"), "test": ("test",)}


@dataclass(frozen=True, kw_only=True)
class ImageFolder(ImageSource):
    """A folder of class folders."""

    path: str | None

    def folder(self, root: Path) -> Path:
        """Return `data.path`; a relative path that does not exist here is relative to the data folder."""
        if self.path is None:
            raise ConfigError("data.path is missing", "Give the folder that holds train/ and val/: data.path=FOLDER")
        given = expanded(self.path)
        return given if given.is_absolute() or given.is_dir() else root / given

    def locate(self, root: Path) -> Path | None:
        """Return the folder if it has a training part."""
        folder = self.folder(root)
        return folder if part_folder(folder, "train") else None

    def train_folder(self, root: Path) -> Path:
        """Return the folder of the training part. Raises MissingError if it is absent."""
        return self.require(root) / "train"

    def get(self, root: Path, progress: Progress) -> Path:
        """Return the folder; there is nothing to download."""
        return self.require(root)

    def verify(self, root: Path) -> list[str]:
        """Return no differences, since no checksums are published."""
        self.require(root)
        return []

    def load(self, root: Path, device: torch.device, seeds: Seeds) -> ImageData:
        """Load the images into memory, or stream them."""
        folder = self.require(root)
        names = class_names(folder / "train")
        lists = {part: files_of(where, names) for part in FOLDER_NAMES if (where := part_folder(folder, part))}
        return self.dataset(lists, len(names), seeds, device)

    def require(self, root: Path) -> Path:
        """Return the folder. Raises MissingError if it has no training part."""
        found = self.locate(root)
        if found is None:
            raise MissingError(
                f"{self.folder(root)} holds no images: it needs train/CLASS/*.jpg and val/CLASS/*.jpg",
                "Set data.path to such a folder",
            )
        return found


def part_folder(folder: Path, part: str) -> Path | None:
    """Return the folder of a split under any of its usual names."""
    return next((folder / name for name in FOLDER_NAMES[part] if (folder / name).is_dir()), None)


def class_names(folder: Path) -> list[str]:
    """Return the sorted names of the class folders. Raises ConfigError if there are fewer than two."""
    names = folders_in(folder)
    if len(names) < 2:
        raise ConfigError(f"{folder} has {len(names)} class folders; classification needs two or more")
    return names


def folders_in(folder: Path) -> list[str]:
    """Return the names of the folders in a folder, sorted and without hidden ones."""
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def files_of(folder: Path, names: Sequence[str]) -> ImageFiles:
    """Return the sorted image files of one split.

    Raises ConfigError for an empty split or a class that the training split lacks."""
    extra = set(folders_in(folder)) - set(names)
    if extra:
        raise ConfigError(f"{folder} has a class that the training part lacks: {min(extra)}")
    paths: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(names):
        found = image_files(folder / name)
        paths += found
        labels += [label] * len(found)
    if not paths:
        raise ConfigError(f"{folder} has no image files")
    return ImageFiles(paths, torch.tensor(labels, dtype=torch.long))


def image_files(folder: Path) -> list[str]:
    """Return the image files below a folder, sorted and without hidden ones.

    For a million files, os.walk is much faster than pathlib."""
    found: list[str] = []
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        names = (name for name in files if not name.startswith("."))
        found += [os.path.join(place, name) for name in names if os.path.splitext(name)[1].lower() in SUFFIXES]
    return sorted(found)
