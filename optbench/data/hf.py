"""Any image set of the `datasets` library: a name on the hub, or a folder (saved to disk, parquet files, images).

Only map-style sets: their rows are read one at a time from memory-mapped Arrow files, so that a set larger than memory
can stream from disk (`in_memory_bytes=0`). The library's IterableDataset has no row k without the rows before it: it
shuffles within a buffer and resumes from a state. Here, batch k depends only on (seeds, batch size, k), for any number
of workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from optbench.contracts import ImageData, Progress, Seeds
from optbench.data.image_source import ImageSource
from optbench.errors import ConfigError, MissingError, OptbenchError, first_line
from optbench.files import expanded

if TYPE_CHECKING:
    from datasets import Dataset
    from PIL import Image

SPLIT_NAMES = {"validation": ("validation", "val", "valid"), "test": ("test",)}


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
        if self.path is None:
            raise ConfigError("data.path is missing", "Give a name on the hub or a folder: data.path=NAME")
        folder = expanded(self.path)
        return next((place for place in (folder, root / folder) if place.is_dir()), None)

    def get(self, root: Path, progress: Progress) -> Path:
        """Download the set into the library's cache."""
        from datasets import config

        self._read(root)
        return self.locate(root) or Path(config.HF_DATASETS_CACHE)

    def verify(self, root: Path) -> list[str]:
        """Return no differences: the library verifies its downloads."""
        self._read(root)
        return []

    def load(self, root: Path, device: torch.device, seeds: Seeds) -> ImageData:
        """Load the images into memory, or stream them."""
        parts = self._read(root)
        if self.train_split not in parts:
            raise ConfigError(f"data.train_split={self.train_split}: {self.path} has {', '.join(map(str, parts))}")
        train = parts[self.train_split]
        image = column_of(train, "image", "Image", self.image_column, self.path)
        label = column_of(train, "label", "ClassLabel", self.label_column, self.path)
        lists = {"train": ImageRows(train, image, label, str(self.path))}
        for split, names in SPLIT_NAMES.items():
            found = next((parts[name] for name in names if name in parts and name != self.train_split), None)
            if found is not None:
                lists[split] = ImageRows(found, image, label, str(self.path))
        names = getattr(train.features[label], "names", None)
        classes = len(names) if names else int(lists["train"].labels.max()) + 1
        return self.dataset(lists, classes, seeds, device)

    def _read(self, root: Path) -> Mapping[str, Dataset]:
        import datasets

        folder = self.locate(root)
        try:
            if folder and ((folder / "dataset_dict.json").exists() or (folder / "dataset_info.json").exists()):
                found = datasets.load_from_disk(str(folder))
            else:
                found = datasets.load_dataset(str(folder or self.path), self.name)
        except OptbenchError:
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


@dataclass(frozen=True)
class ImageRows:
    """A split of a `datasets` set as a list of images."""

    rows: Dataset
    image: str
    label: str
    name: str

    @property
    def labels(self) -> Tensor:
        """The classes, int64 (N,)."""
        return torch.tensor(self.rows[self.label][:], dtype=torch.long)

    def open(self, index: int) -> Image.Image:
        """Return the decoded image."""
        return self.rows[index][self.image]

    def describe(self, index: int) -> str:
        """Return data set and row."""
        return f"{self.name} row {index}"

    def fingerprint(self) -> str:
        """Return the library's own fingerprint of the split."""
        return f"{self.rows._fingerprint}:{len(self.rows)}"
