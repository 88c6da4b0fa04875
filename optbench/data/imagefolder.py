"""Any folder of images: train/CLASS/*.jpg, val/CLASS/*.jpg and, optionally, test/CLASS/*.jpg; or CLASS/*.jpg alone."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from optbench.config.notices import say_once
from optbench.contracts import ImageData, Progress, Seeds
from optbench.data.corpus import HELD_OUT, SPLITS, split_by_hash
from optbench.data.image_list import ImageFiles
from optbench.data.image_scan import LeftOut, entries_in, folders_in, image_files, images_by_class, is_image
from optbench.data.image_source import ImageSource
from optbench.data.notices import counted, some
from optbench.data.user_path import find_user_path, missing_path
from optbench.errors import ConfigError, MissingError, OptbenchError

FOLDER_NAMES = {
    "train": ("train", "training"),
    "validation": ("val", "validation", "valid", "dev"),
    "test": ("test", "testing"),
}
LAYOUTS = "train/CLASS/*.jpg and val/CLASS/*.jpg, or CLASS/*.jpg alone"
SHARES = (0.15, 0.2, 0.25, 0.3, 0.35)  # larger values of data.validation to try


@dataclass(frozen=True, kw_only=True)
class ImageFolder(ImageSource):
    """A folder of class folders."""

    path: str | None

    @property
    def where(self) -> str:
        """The data set in messages."""
        return f"data.path={self.path}"

    def folder(self, root: Path) -> Path:
        """Return `data.path`; a relative path that does not exist here is relative to the data folder."""
        if not self.path:
            raise ConfigError("data.path is missing", "Give the folder that holds train/ and val/: data.path=FOLDER")
        return find_user_path(self.path, root)

    def locate(self, root: Path) -> Path | None:
        """Return the folder if it has a training part, or class folders of its own."""
        folder = self.folder(root)
        return folder if os.path.isdir(folder) and (parts_of(folder) or flat_classes(folder)) else None

    def train_folder(self, root: Path) -> Path:
        """Return the folder of the training part. Raises MissingError if it is absent."""
        folder = self.require(root)
        return parts_of(folder).get("train", folder)

    def get(self, root: Path, progress: Progress) -> Path:
        """Return the folder; there is nothing to download."""
        return self.require(root)

    def verify(self, root: Path) -> None:
        """Return None: no checksums are published."""
        self.require(root)

    def load(self, root: Path, device: torch.device, seeds: Seeds) -> ImageData:
        """Load the images into memory, or stream them."""
        folder, left = self.require(root), LeftOut()
        parts = parts_of(folder)
        if parts:
            left.others += [name for name in folders_in(folder, left) if folder / name not in parts.values()]
            found = {split: images_by_class(place, left) for split, place in parts.items()}
            names = sorted({name for classes in found.values() for name in classes})
            self.require_images(parts, found)
            lists = {split: list_of(classes, names) for split, classes in found.items()}
        else:
            classes = images_by_class(folder, left)
            names = list(classes)
            lists = self.split_by_names(folder, list_of(classes, names, str(folder)))
        left.say(self.where)
        cut = () if parts else SPLITS
        return self.dataset(self.where, lists, names, seeds, device, cut=cut)

    def require(self, root: Path) -> Path:
        """Return the folder. Raises MissingError if it has no images in a known layout."""
        found = self.locate(root)
        if found is not None:
            return found
        folder = self.folder(root)
        if not os.path.isdir(folder):
            raise missing_path("data.path", str(self.path), root, "folder")
        raise self.no_layout(folder)

    def no_layout(self, folder: Path) -> OptbenchError:
        """Describe a folder that has neither a training part nor two classes."""
        names = folders_in(folder, LeftOut())
        if len(names) == 1 and (parts_of(folder / names[0]) or flat_classes(folder / names[0])):
            better = f"Set data.path={Path(str(self.path)) / names[0]}"
            return MissingError(f"{self.where} holds no class folders, but one folder above them", better)
        if len(names) == 1 and any(is_image(entry.name) for entry in entries_in(folder / names[0])):
            return one_class(self.where, names[0])
        found = f"folders {some(names)}" if names else "no folders"
        return MissingError(f"{self.where} has {found}, but it needs {LAYOUTS}", "Set it to such a folder")

    def require_images(self, parts: Mapping[str, Path], found: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
        """Raise ConfigError for a split without images, or a training part with fewer than two classes."""
        for split, classes in found.items():
            if not classes:
                raise ConfigError(f"{parts[split]} has no image files", f"Put images into {parts[split].name}/CLASS/")
        if len(found["train"]) < 2:
            raise one_class(str(parts["train"]), next(iter(found["train"])))

    def split_by_names(self, folder: Path, images: ImageFiles) -> dict[str, ImageFiles]:
        """Assign each image to a split by the hash of its class and name, whatever other images there are."""
        found = self.assigned(images, self.validation)
        counts = {split: len(chosen) for split, chosen in found.items()}
        if not all(counts.values()):
            enough = next((s for s in SHARES if s > self.validation and all(self.assigned(images, s).values())), None)
            raise ConfigError(
                f"{self.where}: {counted(len(images.labels), 'image')} are too few for three splits with "
                f"data.validation={self.validation:g}: {', '.join(f'{n} for {split}' for split, n in counts.items())}",
                f"Set data.validation={enough:g}, or add images" if enough else "Add images, or make train/ and val/",
            )
        say_once(
            f"{self.where} has no train/ folder: a hash of their names splits its images into "
            + ", ".join(f"{n:,} for {split}" for split, n in counts.items())
        )
        return {split: images.at(chosen) for split, chosen in found.items()}

    def assigned(self, images: ImageFiles, share: float) -> dict[str, list[int]]:
        """Return the indices of the images of each split."""
        found: dict[str, list[int]] = {split: [] for split in SPLITS}
        for index in range(len(images.labels)):
            found[split_by_hash(images.describe(index), share, HELD_OUT)].append(index)
        return found


def one_class(where: str, name: str) -> ConfigError:
    """Describe a folder with images of one class alone."""
    return ConfigError(
        f"{where} has images of 1 class only ({name}); classification needs two or more",
        "Add a folder with the images of another class",
    )


def parts_of(folder: Path) -> dict[str, Path]:
    """Return the folders of the splits under any of their usual names; none if there is no training part.

    A part has class folders: `train/` with images alone may be a class."""
    entries = {name.lower(): folder / name for name in folders_in(folder, LeftOut())}
    found: dict[str, Path] = {}
    for split, names in FOLDER_NAMES.items():
        place = next(
            (entries[name] for name in names if name in entries and folders_in(entries[name], LeftOut())), None
        )
        if place is not None:
            found[split] = place
    return found if "train" in found else {}


def flat_classes(folder: Path) -> bool:
    """Return True if at least two folders hold images themselves, and no folder holds images only deeper.

    Names of splits do not count as classes unless there are two other ones."""
    names = folders_in(folder, LeftOut())
    known = {name for usual in FOLDER_NAMES.values() for name in usual}
    if len([name for name in names if name.lower() not in known]) < 2:
        return False
    direct = [name for name in names if any(is_image(entry.name) for entry in entries_in(folder / name))]
    return len(direct) >= 2 and not any(image_files(folder / n, LeftOut()) for n in names if n not in direct)


def list_of(classes: Mapping[str, Sequence[str]], names: Sequence[str], root: str | None = None) -> ImageFiles:
    """Return the images of one split, labelled by the places of their classes in `names`."""
    paths = [path for name in names for path in classes.get(name, ())]
    labels = [label for label, name in enumerate(names) for _ in classes.get(name, ())]
    return ImageFiles(paths, torch.tensor(labels, dtype=torch.long), root)
