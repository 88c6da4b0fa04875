"""Tables: rows of numbers and categories with a label column, from a CSV or Parquet file.

Numbers are standardised by mean and deviation of the training rows. A category becomes a column of 0 and 1 for each of
its values among them; a value that only held-out rows have is zero in all. A missing number becomes the mean, and a
column of 0 and 1 says where; a missing category is a value of its own."""

from __future__ import annotations

import logging
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from optbench.config.notices import say_once
from optbench.contracts import DataSet, Progress, Seeds
from optbench.data.corpus import HELD_OUT, SPLITS
from optbench.data.notices import counted, some
from optbench.data.samples.assemble import sample_set
from optbench.data.samples.cutting import cut
from optbench.data.samples.labels import CLASSES, labels_of
from optbench.data.samples.named_splits import USUAL
from optbench.data.samples.values import Raw, Unreadable, from_numpy
from optbench.data.user_path import find_user_path, missing_path
from optbench.errors import ConfigError, MissingError, first_line, suggest

if TYPE_CHECKING:
    from polars import DataFrame, Series

log = logging.getLogger(__name__)

FEW = 20  # whole numbers with more different values are numbers to predict, not classes
NULLS = ["", "NA", "N/A", "NaN", "nan", "null", "None", "?"]
SEPARATORS = ",;\t|"


class TableSource(ABC):
    """A DataSource of kind `table`."""

    validation: float
    test: float

    @property
    @abstractmethod
    def where(self) -> str:
        """The data set in messages."""

    @abstractmethod
    def locate(self, root: Path) -> Path | None:
        """Return the file of the table; None if it is absent."""

    @abstractmethod
    def rows(self, root: Path) -> Rows:
        """Return the table's rows. Raises MissingError if they are absent."""

    def get(self, root: Path, progress: Progress) -> Path:
        """Return the file; there is nothing to download."""
        return self.require(root)

    def verify(self, root: Path) -> None:
        """Return None: no checksums are published."""
        self.require(root)

    def require(self, root: Path) -> Path:
        """Return the file. Raises MissingError if it is absent."""
        found = self.locate(root)
        if found is None:
            raise MissingError(f"{self.where}: there is no such file")
        return found

    def load(self, root: Path, device: torch.device, seeds: Seeds) -> DataSet:
        """Return the rows as samples in memory."""
        rows = self.rows(root)
        chosen = rows.split_rows(self.where, {"test": self.test, "validation": self.validation})
        inputs = inputs_of(self.where, rows, chosen["train"])
        splits = {split: {"inputs": inputs[at], "labels": taken(rows.labels, at)} for split, at in chosen.items()}
        settings = {"kind_of_label": rows.kind_of_label, "few": FEW, "validation": 1, "test": 1}
        return sample_set(self.where, splits, settings, seeds, device)


@dataclass(frozen=True)
class Rows:
    """The rows of a table: columns of features, and labels."""

    features: DataFrame
    labels: Raw
    kind_of_label: str
    most_categories: int = 0
    splits: Sequence[str] | None = None
    """The split of each row, where the table says so."""
    told: bool = True
    """Say how many rows the splits get that are cut here."""

    def split_rows(self, where: str, shares: Mapping[str, float]) -> dict[str, Tensor]:
        """Return the indices of each split's rows: as the table says, or cut with fixed seeds, by class."""
        if self.splits is not None:
            given = np.array(self.splits)
            found = {split: torch.from_numpy(np.flatnonzero(given == split)) for split in SPLITS}
            if not len(found["train"]):
                raise ConfigError(f"{where}: the split column has no training rows", "Name them train")
        else:
            found = {"train": torch.arange(len(self.features)), **{split: torch.arange(0) for split in HELD_OUT}}
        missing = {split: share for split, share in shares.items() if not len(found[split])}
        if not missing:
            return found
        train = found["train"]
        own = taken(self.labels, train)
        known = labels_of(where, {"train": own}, self.kind_of_label, FEW)
        parts = cut(where, known.applied(own) if known.kind == CLASSES else None, len(train), missing)
        told = " and ".join(f"{counted(len(parts[split]), f'{split} row')}" for split in missing)
        tell = say_once if self.told else log.debug
        tell(f"{where}: {told} are taken from {counted(len(train), 'row')}, {len(parts['train']):,} stay for training")
        return found | {split: train[part] for split, part in parts.items()}


def taken(raw: Raw, chosen: Tensor) -> Raw:
    """Return the chosen rows of a column."""
    return raw[chosen] if isinstance(raw, Tensor) else [raw[index] for index in chosen.tolist()]


def inputs_of(where: str, rows: Rows, train: Tensor) -> Tensor:
    """Return the features of all rows as float32 (N, columns). Raises ConfigError for a column of other types."""
    columns: list[np.ndarray] = []
    filled: list[str] = []
    wide: list[str] = []
    for series in rows.features.get_columns():
        kind = series.dtype
        if kind.is_numeric() or kind.is_temporal() or str(kind) == "Boolean":
            values, missing = numbers_in(where, series, train.numpy())
            columns.append(values)
            if missing is not None:
                filled.append(series.name)
                columns.append(missing)
        elif str(kind).startswith(("String", "Categorical", "Enum")):
            found = categories_in(series, train.numpy(), rows.most_categories)
            columns += found if found is not None else []
            wide += [series.name] if found is None else []
        elif str(kind) != "Null":
            raise ConfigError(
                f"{where}: column {series.name} is of type {kind}", f"Leave it out: data.ignore=[{series.name}]"
            )
    if wide:
        raise ConfigError(
            f"{where}: {', '.join(wide)} {'has' if len(wide) == 1 else 'have'} more than data.categories="
            f"{rows.most_categories} different texts",
            f"Leave them out: data.ignore=[{','.join(wide)}]; or raise data.categories",
        )
    if not columns:
        raise ConfigError(f"{where} has no column to predict from", "Take fewer out by data.ignore")
    if filled:
        say_once(
            f"{where}: missing numbers of {some(filled)} become the column's mean, and a column of 0 and 1 says where"
        )
    return torch.from_numpy(np.stack(columns, 1).astype(np.float32))


def numbers_in(where: str, series: Series, train: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return a column standardised by its training rows, and 1.0 where values are missing; None if none are."""
    import polars

    values = series.to_physical().cast(polars.Float64).to_numpy().astype(np.float64)
    missing = np.isnan(values)
    if np.isinf(values).any():
        row = int(np.flatnonzero(np.isinf(values))[0])
        raise ConfigError(f"{where}: column {series.name} is infinite in row {row + 1}", "Correct the table")
    known = values[train][~missing[train]]
    mean, std = (known.mean(), known.std()) if len(known) else (0.0, 0.0)
    scaled = np.where(missing, 0.0, (values - mean) / (std if std > 0 else 1.0))
    return scaled, missing.astype(np.float64) if missing.any() else None


def categories_in(series: Series, train: np.ndarray, most: int) -> list[np.ndarray] | None:
    """Return a column of 0 and 1 for each value among the training rows; None for more than `most` of them."""
    import polars

    texts = np.array(series.cast(polars.String).fill_null("\0missing").to_list(), dtype=object)
    values = sorted(set(texts[train].tolist()))
    return [(texts == value).astype(np.float64) for value in values] if len(values) <= most else None


@dataclass(frozen=True, kw_only=True)
class TableFile(TableSource):
    """The user's table; conf/data/csv.yaml explains the keys."""

    path: str | None
    label: str | None
    kind_of_label: str
    ignore: Sequence[str]
    split_column: str | None
    categories: int
    validation: float
    test: float

    @property
    def where(self) -> str:
        """The data set in messages."""
        return f"data.path={self.path}"

    def locate(self, root: Path) -> Path | None:
        """Return the file; a relative path that does not exist here is relative to the data folder."""
        if not self.path:
            raise ConfigError("data.path is missing", "Give the file of the table: data.path=FILE")
        found = find_user_path(self.path, root)
        return found if os.path.isfile(found) else None

    def require(self, root: Path) -> Path:
        """Return the file. Raises MissingError if it is absent."""
        found = self.locate(root)
        if found is None:
            raise missing_path("data.path", str(self.path), root, "file")
        return found

    @abstractmethod
    def read(self, file: Path) -> DataFrame:
        """Read the table. May raise any exception of polars."""

    def rows(self, root: Path) -> Rows:
        """Return the rows that have a label."""
        file = self.require(root)
        try:
            table = self.read(file)
        except Exception as error:  # polars raises many kinds for malformed files
            raise ConfigError(
                f"{self.where} cannot be read: {first_line(error)}", "Is it a table of this kind?"
            ) from error
        if not table.height:
            raise ConfigError(f"{self.where} has no rows")
        label = self.column(table, "label", self.label)
        for name in self.ignore:
            self.column(table, "ignore", name)
        unlabelled = table[label].is_null() | (table[label].cast(str, strict=False) == "NaN").fill_null(value=False)
        if unlabelled.any():
            say_once(f"{self.where}: left out {counted(int(unlabelled.sum()), 'row')} without a label in {label}")
            table = table.filter(~unlabelled)
        if not table.height:
            raise ConfigError(f"{self.where} has no row with a label in {label}")
        features = table.drop([label, *self.ignore, *([self.split_column] if self.split_column else [])], strict=False)
        return Rows(features, self.labels(table[label]), self.kind_of_label, self.categories, self.given_splits(table))

    def column(self, table: DataFrame, key: str, name: str | None) -> str:
        """Return the name of a column. Raises ConfigError for one that the table does not have."""
        if name is None:
            raise ConfigError(
                f"data.{key} is missing: {self.where} has {', '.join(table.columns)}", f"data.{key}=COLUMN"
            )
        if name not in table.columns:
            hint = suggest(name, table.columns, f"data.{key}={{}}")
            raise ConfigError(f"data.{key}={name}: {self.where} has no such column", hint)
        return name

    def labels(self, series: Series) -> Raw:
        """Return the labels as a tensor or as texts."""
        kind = series.dtype
        if not (kind.is_numeric() or str(kind) == "Boolean"):
            return [str(value) for value in series.to_list()]
        try:
            return from_numpy(series.cast(float).to_numpy() if kind.is_decimal() else series.to_numpy())
        except Unreadable as error:
            raise ConfigError(f"{self.where}: the column {series.name} {error}") from None

    def given_splits(self, table: DataFrame) -> list[str] | None:
        """Return the split of each row that the split column names; None without such a column."""
        if self.split_column is None:
            return None
        known = {usual: split for split, names in USUAL.items() for usual in names}
        texts = [str(value).lower() for value in table[self.column(table, "split_column", self.split_column)].to_list()]
        odd = next((text for text in texts if text not in known), None)
        if odd is not None:
            raise ConfigError(
                f"data.split_column={self.split_column}: it holds {odd!r}, not train, validation or test",
                "Correct the column, or leave data.split_column out: the rows are then split by a fixed seed",
            )
        return [known[text] for text in texts]


class Csv(TableFile):
    """A text file with a header; its separator is found."""

    def read(self, file: Path) -> DataFrame:
        """Read the file; the types of its columns come from all rows."""
        import polars

        with open(file, encoding="utf-8", errors="replace") as stream:
            header = stream.readline()
        separator = max(SEPARATORS, key=header.count)
        return polars.read_csv(
            file, separator=separator, null_values=NULLS, infer_schema_length=None, encoding="utf8-lossy"
        )


class Parquet(TableFile):
    """A Parquet file."""

    def read(self, file: Path) -> DataFrame:
        """Read the file."""
        import polars

        return polars.read_parquet(file)
