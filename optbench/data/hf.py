"""Any image set of the `datasets` library: a name on the hub, or a folder (saved to disk, parquet files, images).

Only map-style sets: their rows are read one at a time from memory-mapped Arrow files, so that a set larger than memory
can stream from disk (`in_memory_bytes=0`). The library's IterableDataset has no row k without the rows before it: it
shuffles within a buffer and resumes from a state. Here, batch k depends only on (seeds, batch size, k), for any number
of workers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from optbench.config.notices import say_once
from optbench.contracts import ImageData, Progress, Seeds
from optbench.data.image_source import ImageSource
from optbench.data.notices import some
from optbench.data.pictures import open_image
from optbench.data.user_path import find_user_path, looks_like_a_path, missing_path
from optbench.errors import ConfigError, MissingError, OptbenchError, first_line
from optbench.files import read_bytes

if TYPE_CHECKING:
    from datasets import Dataset
    from PIL import Image

SPLIT_NAMES = {"validation": ("validation", "val", "valid"), "test": ("test",)}
UNLABELLED = -1  # by convention of the hub, for test splits of competitions


@dataclass(frozen=True, kw_only=True)
class HuggingFace(ImageSource):
    """An image set of the `datasets` library."""

    path: str | None
    name: str | None
    train_split: str
    image_column: str | None
    label_column: str | None

    def locate(self, root: Path) -> Path | None:
        """Return the local folder; None for a name on the hub, which is in the library's own cache."""
        if not self.path:
            raise ConfigError("data.path is missing", "Give a name on the hub or a folder: data.path=NAME")
        folder = find_user_path(self.path, root)
        return folder if os.path.isdir(folder) else None

    def get(self, root: Path, progress: Progress) -> Path:
        """Download the set into the library's cache."""
        from datasets import config

        self._read(root)
        return self.locate(root) or Path(config.HF_DATASETS_CACHE)

    def verify(self, root: Path) -> None:
        """Return None: nothing is published; the library verifies its downloads."""
        self._read(root)

    def load(self, root: Path, device: torch.device, seeds: Seeds) -> ImageData:
        """Load the images into memory, or stream them."""
        parts = self._read(root)
        if self.train_split not in parts:
            raise ConfigError(f"data.train_split={self.train_split}: {self.path} has {', '.join(map(str, parts))}")
        train = parts[self.train_split]
        image = column_of(train, "image", "Image", self.image_column, self.path)
        label = column_of(train, "label", "ClassLabel", self.label_column, self.path)
        lists = {"train": ImageRows.of(train, image, label, self.where)}
        for split, names in SPLIT_NAMES.items():
            name = next((name for name in names if name in parts and name != self.train_split), None)
            if name is None:
                continue
            found = ImageRows.of(parts[name], image, label, f"{self.where}, {name}")
            if len(found.labels) and bool((found.labels == UNLABELLED).all()):
                say_once(f"{self.where}: left out the {name} split, which has no labels ({UNLABELLED} everywhere)")
            else:
                lists[split] = found
        names = getattr(train.features[label], "names", None) or numbered(self.where, label, lists["train"].labels)
        return self.dataset(self.where, lists, names, seeds, device)

    @property
    def where(self) -> str:
        """The data set in messages."""
        return f"data.path={self.path}"

    def _read(self, root: Path) -> Mapping[str, Dataset]:
        import datasets

        folder = self.locate(root)
        if folder is None and looks_like_a_path(str(self.path)):
            raise missing_path("data.path", str(self.path), root, "folder")
        try:
            if folder and ((folder / "dataset_dict.json").exists() or (folder / "dataset_info.json").exists()):
                found = datasets.load_from_disk(str(folder))
            else:
                found = datasets.load_dataset(str(folder or self.path), self.name)
        except (OptbenchError, ModuleNotFoundError):
            raise
        except Exception as error:  # the library raises many kinds for missing, offline or malformed data
            raise MissingError(
                f"data=hf data.path={self.path} cannot be loaded: {first_line(error)}",
                "Give a folder saved by datasets.save_to_disk, or check the network",
            ) from error
        if isinstance(found, datasets.Dataset):
            return {self.train_split: found}
        return {str(name): part for name, part in found.items()}


def column_of(rows: Dataset, kind: str, feature: str, given: str | None, path: str | None) -> str:
    """Return the column that holds images or labels: `given`, else the first with the feature's type, else `kind`.

    Raises ConfigError if there is none."""
    if given is not None and given not in rows.features:
        raise ConfigError(f"data.{kind}_column={given}: {path} has {', '.join(rows.features)}")
    fitting = [name for name, f in rows.features.items() if type(f).__name__ == feature]
    named = [name for name in rows.features if name == kind]
    found = given or next(iter([*fitting, *named]), None)
    if found is None:
        raise ConfigError(
            f"{path} has no {kind} column among {', '.join(rows.features)}", f"Name it: data.{kind}_column=COLUMN"
        )
    return found


def numbered(where: str, column: str, labels: Tensor) -> list[str]:
    """Return the names "0", "1", ... of integer labels. Raises ConfigError unless they are numbered without gaps."""
    found = labels.unique().tolist()
    if found != list(range(len(found))):
        raise ConfigError(
            f"{where}: data.label_column={column} has the labels {some([str(label) for label in found])}, "
            f"not 0 to {len(found) - 1}",
            f"Number them without gaps: dataset = dataset.class_encode_column({column!r}), then save_to_disk",
        )
    return [str(label) for label in found]


@dataclass(frozen=True)
class ImageRows:
    """A split of a `datasets` set as a list of images."""

    files: Dataset
    """The rows, with images as the bytes of their files."""
    image: str
    labels: Tensor
    name: str
    mark: str
    """The library's own fingerprint of the split."""

    @classmethod
    def of(cls, rows: Dataset, image: str, label: str, name: str) -> ImageRows:
        """Return the list of a split. Raises ConfigError for labels that are not integers."""
        import datasets

        is_image = type(rows.features[image]).__name__ == "Image"
        files = rows.cast_column(image, datasets.Image(decode=False)) if is_image else rows
        return cls(files, image, integers(rows, label, name), name, f"{rows._fingerprint}:{len(rows)}")

    def open(self, index: int) -> Image.Image:
        """Open the image; a JPEG is decoded later."""
        import datasets

        found = self.files[index][self.image]
        if not isinstance(found, dict) or not {"bytes", "path"} <= set(found):
            raise ValueError(f"column {self.image} holds no images")
        content, path = found["bytes"], Path(str(found["path"]))
        if content is None and not path.is_file():  # inside an archive, say: the library knows how to read it
            return datasets.Image().decode_example(found)
        return open_image(read_bytes(path, limit=None) if content is None else content)

    def describe(self, index: int) -> str:
        """Return data set and row."""
        return f"{self.name} row {index}"

    def fingerprint(self) -> str:
        """Return the library's own fingerprint of the split."""
        return self.mark


def integers(rows: Dataset, column: str, name: str) -> Tensor:
    """Return a column of labels, int64 (N,). Raises ConfigError for one that does not hold integers."""
    try:
        values = list(rows[column][:]) if column in rows.features else None
        if values is not None and all(isinstance(value, int) for value in values):
            return torch.tensor(values, dtype=torch.long)
    except (ValueError, TypeError, RuntimeError, OverflowError) as error:
        raise ConfigError(f"{name}: data.label_column={column} cannot be read: {first_line(error)}") from error
    if values is None:
        raise ConfigError(f"{name}: there is no column {column}", f"It has {', '.join(rows.features)}")
    odd = next(value for value in values if not isinstance(value, int))
    raise ConfigError(
        f"{name}: data.label_column={column} holds {odd!r}, but labels are integers",
        f"Number them: dataset = dataset.class_encode_column({column!r}), then save_to_disk",
    )
