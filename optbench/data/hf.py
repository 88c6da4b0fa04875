"""Any image set of the `datasets` library: a name on the hub, or a folder (saved to disk, parquet files, images).

Map-style only: its rows are read from memory-mapped Arrow files one at a time, so a set larger than memory streams from
disk (`in_memory_bytes=0`). The library's IterableDataset, which reads from the hub as it goes, has no row k without the
rows before it: it shuffles within a buffer and resumes from a state, while batch k here is a function of (seeds, batch
size, k) alone, whatever the number of workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from optbench.contracts import DataSet, Seeds
from optbench.data.augment import Augment
from optbench.data.download import Progress
from optbench.data.from_lists import Form, as_dataset, three_splits
from optbench.errors import ConfigError, MissingError, OptbenchError, first_line

SPLIT_NAMES = {"validation": ("validation", "val", "valid"), "test": ("test",)}


class HuggingFace:
    """An image set by the `datasets` library."""

    def __init__(
        self,
        *,
        path: str | None,
        name: str | None,
        train_split: str,
        image_column: str | None,
        label_column: str | None,
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
        self.path, self.name, self.train_split = path, name, train_split
        self.columns = {"image": image_column, "label": label_column}
        self.validation = validation
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

    def locate(self, root: Path) -> Path | None:
        """The local folder; None for a name on the hub, which the library's own cache holds."""
        if self.path is None:
            raise ConfigError("data.path is missing", "Give a name on the hub or a folder: data.path=NAME")
        folder = Path(self.path).expanduser()
        return next((place for place in (folder, root / folder) if place.is_dir()), None)

    def get(self, root: Path, progress: Progress) -> Path:
        """Fetch it into the library's cache."""
        import datasets

        self._read(root)
        return self.locate(root) or Path(datasets.config.HF_DATASETS_CACHE)

    def verify(self, root: Path) -> list[str]:
        """The library verifies what it fetches."""
        self._read(root)
        return []

    def load(self, root: Path, device: torch.device, seeds: Seeds) -> DataSet:
        """In memory where the pixels fit into `in_memory_bytes`, else decoded as they are needed."""
        parts = self._read(root)
        if self.train_split not in parts:
            raise ConfigError(f"data.train_split={self.train_split}: {self.path} has {', '.join(map(str, parts))}")
        train = parts[self.train_split]
        image, label = self._column(train, "image", "Image"), self._column(train, "label", "ClassLabel")
        lists = {"train": Rows(train, image, label, str(self.path))}
        for part, names in SPLIT_NAMES.items():
            found = next((parts[name] for name in names if name in parts and name != self.train_split), None)
            if found is not None:
                lists[part] = Rows(found, image, label, str(self.path))
        splits = three_splits(lists["train"], lists.get("validation"), lists.get("test"), self.validation)
        names = getattr(train.features[label], "names", None)
        classes = len(names) if names else int(lists["train"].labels.max()) + 1
        return as_dataset(splits, classes, self.form, self.augment, seeds, device)

    def _read(self, root: Path) -> Mapping[str, Any]:
        import datasets

        folder = self.locate(root)
        try:
            if folder and ((folder / "dataset_dict.json").exists() or (folder / "dataset_info.json").exists()):
                found = datasets.load_from_disk(str(folder))
            else:
                found = datasets.load_dataset(str(folder or self.path), self.name)
        except OptbenchError:
            raise
        except Exception as error:  # the library raises many kinds for what is absent, offline or malformed
            raise MissingError(
                f"data=hf data.path={self.path} cannot be loaded: {first_line(error)}",
                "Give a folder saved by datasets.save_to_disk, or be online",
            ) from error
        return found if isinstance(found, Mapping) else {self.train_split: found}

    def _column(self, rows: Any, kind: str, feature: str) -> str:
        given = self.columns[kind]
        if given is not None and given not in rows.features:
            raise ConfigError(f"data.{kind}_column={given}: {self.path} has {', '.join(rows.features)}")
        fitting = [name for name, f in rows.features.items() if type(f).__name__ == feature]
        named = [name for name in rows.features if name == kind]
        found = given or next(iter([*fitting, *named]), None)
        if found is None:
            raise ConfigError(
                f"{self.path} has no {kind} column among {', '.join(rows.features)}",
                f"Name it: data.{kind}_column=COLUMN",
            )
        return found


@dataclass(frozen=True)
class Rows:
    """A split of a `datasets` set as a list of images."""

    rows: Any
    image: str
    label: str
    name: str

    @property
    def labels(self) -> Tensor:
        """int64 classes (N,)."""
        return torch.tensor(self.rows[self.label][:], dtype=torch.long)

    def open(self, index: int) -> Any:
        """The decoded image."""
        return self.rows[index][self.image]

    def describe(self, index: int) -> str:
        """Set and row."""
        return f"{self.name} row {index}"

    def fingerprint(self) -> str:
        """The library's own fingerprint of the split."""
        return f"{self.rows._fingerprint}:{len(self.rows)}"
