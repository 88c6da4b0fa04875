"""Any folder of images: train/CLASS/*.jpg, val/CLASS/*.jpg and, if there is one, test/CLASS/*.jpg."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from optbench.contracts import DataSet, Seeds
from optbench.data.augment import Augment
from optbench.data.download import Progress
from optbench.data.from_lists import Form, as_dataset, three_splits
from optbench.data.image_list import Files
from optbench.errors import ConfigError, MissingError

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm"}
PARTS = {"train": ("train",), "validation": ("val", "validation", "valid"), "test": ("test",)}


class ImageFolder:
    """A folder of class folders."""

    def __init__(
        self,
        *,
        path: str | None,
        validation: float,
        image_size: int,
        crop_scale: float,
        randaugment: float,
        in_memory_bytes: int,
        workers: int,
        mean: Sequence[float],
        std: Sequence[float],
        augment: Mapping[str, Any],
    ) -> None:
        self.path, self.validation = path, validation
        self.form = Form(
            image_size=image_size,
            crop_scale=crop_scale,
            randaugment=randaugment,
            in_memory_bytes=in_memory_bytes,
            workers=workers,
            mean=mean,
            std=std,
        )
        self.augment = Augment(**augment)

    def folder(self, root: Path) -> Path:
        """Where the images are looked for: `data.path`, relative to the data folder where it is not found from here."""
        if self.path is None:
            raise ConfigError("data.path is missing", "Give the folder that holds train/ and val/: data.path=FOLDER")
        given = Path(self.path).expanduser()
        return given if given.is_absolute() or given.is_dir() else root / given

    def locate(self, root: Path) -> Path | None:
        """The folder, if it has a training part."""
        folder = self.folder(root)
        return folder if part_folder(folder, "train") else None

    def train_folder(self, root: Path) -> Path:
        """The folder of the training part. Raises MissingError where it is absent."""
        return Path(str(part_folder(self._require(root), "train")))

    def get(self, root: Path, progress: Progress) -> Path:
        """Nothing to fetch: the images are the user's."""
        return self._require(root)

    def verify(self, root: Path) -> list[str]:
        """There are no published checksums."""
        self._require(root)
        return []

    def load(self, root: Path, device: torch.device, seeds: Seeds) -> DataSet:
        """In memory where the pixels fit into `in_memory_bytes`, else streamed."""
        folder = self._require(root)
        names = class_names(folder / "train")
        lists = {part: files_of(where, names) for part in PARTS if (where := part_folder(folder, part))}
        splits = three_splits(lists["train"], lists.get("validation"), lists.get("test"), self.validation)
        return as_dataset(splits, len(names), self.form, self.augment, seeds, device)

    def _require(self, root: Path) -> Path:
        found = self.locate(root)
        if found is None:
            raise MissingError(
                f"{self.folder(root)} holds no images: it needs train/CLASS/*.jpg and val/CLASS/*.jpg",
                "Point data.path at such a folder",
            )
        return found


def part_folder(folder: Path, part: str) -> Path | None:
    """The folder of a part under any of its usual names."""
    return next((folder / name for name in PARTS[part] if (folder / name).is_dir()), None)


def class_names(folder: Path) -> list[str]:
    """Sorted names of the class folders. ConfigError where there are fewer than two."""
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if len(names) < 2:
        raise ConfigError(f"{folder} holds {len(names)} class folders; classification needs two or more")
    return names


def files_of(folder: Path, names: Sequence[str]) -> Files:
    """The image files of one part, sorted. ConfigError for an empty part or a class that training has not."""
    extra = {entry.name for entry in folder.iterdir() if entry.is_dir()} - set(names)
    if extra:
        raise ConfigError(f"{folder} holds a class that the training part has not: {min(extra)}")
    paths: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(names):
        found = image_files(folder / name)
        paths += found
        labels += [label] * len(found)
    if not paths:
        raise ConfigError(f"{folder} holds no image files")
    return Files(paths, torch.tensor(labels, dtype=torch.long))


def image_files(folder: Path) -> list[str]:
    """The image files below a folder, sorted (by os.walk: pathlib takes several times as long for a million files)."""
    found = [
        os.path.join(place, file)
        for place, _, files in os.walk(folder)
        for file in files
        if os.path.splitext(file)[1].lower() in SUFFIXES
    ]
    return sorted(found)
