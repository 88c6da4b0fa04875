"""A data set of a user's own samples, or of a table's rows: batches as the contract wants them.

Batch k depends only on (seeds, batch size, k): the order is an endless stream of permutations, and what a sample's
reading draws comes from a seed of its own."""

from __future__ import annotations

import math
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from optbench.contracts import Batch, DataSet, Seeds
from optbench.data.batch_reader import Needed, TrainPlan, read_batches
from optbench.data.sample_order import SampleOrder
from optbench.data.samples.generators import kept_generators
from optbench.data.samples.labels import Labels
from optbench.data.samples.map_style import MapStyle, stacked
from optbench.data.samples.values import INPUTS, LABELS, Columns, Raw
from optbench.data.sending import send
from optbench.errors import OptbenchError

DEVICE_BYTES = 2 << 30  # up to this size, all splits together are kept on the device
FLOAT_BYTES = 512 << 20  # up to this size, uint8 images are kept normalised
MOST_PIECES = 10_000_000  # whole numbers above this are no vocabulary
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Facts:
    """Facts about the samples, and the way they become the tensors of batches."""

    sha256: str
    sample_shape: tuple[int, ...] | None
    labels: Labels | None
    vocabulary_size: int | None = None
    mean: Tensor | None = None
    std: Tensor | None = None
    """Of each channel of uint8 images, (C, 1, 1), on the scale 0 to 1."""
    label_mean: Tensor | None = None
    label_std: Tensor | None = None
    """Of numbers to predict in the training split, with the shape of one label."""

    def finished(self, columns: Columns, device: torch.device) -> dict[str, Tensor]:
        """Return columns as the tensors of a batch."""
        batch = {}
        for name, raw in columns.items():
            if name == LABELS and self.labels is not None:
                raw = self.labels.applied(send(raw, device) if isinstance(raw, Tensor) else raw)
            if isinstance(raw, Tensor):
                batch[name] = self.column(name, send(raw, device))
        return batch

    def column(self, name: str, tensor: Tensor) -> Tensor:
        """Return float32 for real numbers and truth values, normalised images, and int64 for whole numbers."""
        if name == INPUTS and self.mean is not None and self.std is not None:
            return (tensor.float() / 255 - send(self.mean, tensor.device)) / send(self.std, tensor.device)
        if name == INPUTS and tensor.ndim == 1:
            tensor = tensor[:, None]
        real = tensor.is_floating_point() or tensor.dtype == torch.bool
        return tensor.float() if real else tensor.long()


class Split(Protocol):
    """One split, wherever its samples are."""

    size: int

    def stream(self, seeds: Seeds, batch_size: int, first_step: int, needed: Needed) -> Iterator[Batch]:
        """Yield batches of the endless stream of epochs."""
        ...

    def selected(self, chosen: Tensor, batch_size: int) -> Iterator[Batch]:
        """Yield the chosen samples in batches."""
        ...


class HeldSplit:
    """Samples in memory: on the device, finished, where all fit there."""

    def __init__(self, columns: Columns, facts: Facts, device: torch.device, *, on_device: bool, floats: bool) -> None:
        self.facts, self.device = facts, device
        self.size = len(next(iter(columns.values())))
        self.finished = on_device and (floats or facts.mean is None)
        self.columns = facts.finished(columns, device) if self.finished else columns
        if on_device and not self.finished:
            self.columns = {name: raw.to(device) if isinstance(raw, Tensor) else raw for name, raw in columns.items()}
        known = all(isinstance(raw, Tensor) for raw in self.columns.values())  # texts are looked up by the CPU
        self.place = device if on_device and known else CPU

    def taken(self, chosen: Tensor) -> Batch:
        """Return the samples at these indices."""
        at = send(chosen, self.place)
        rows = {
            name: raw[send(at, raw.device)] if isinstance(raw, Tensor) else [raw[i] for i in at.tolist()]
            for name, raw in self.columns.items()
        }
        if self.finished:
            return rows  # pyright: ignore[reportReturnType]  # all of them are tensors
        return self.facts.finished(rows, self.device)

    def stream(self, seeds: Seeds, batch_size: int, first_step: int, needed: Needed) -> Iterator[Batch]:
        """Yield batches of the endless stream of epochs."""
        order, first = SampleOrder(self.size, seeds.order, self.place), first_step * batch_size
        while True:
            yield self.taken(order.indices(first, batch_size))
            first += batch_size

    def selected(self, chosen: Tensor, batch_size: int) -> Iterator[Batch]:
        """Yield the chosen samples in batches."""
        return map(self.taken, chosen.split(batch_size))


class Unread(NamedTuple):
    """The error of a sample that cannot be read, and its traceback, which does not pass between processes."""

    error: OptbenchError
    traceback: str


class SampleReader(torch.utils.data.Dataset[Columns]):
    """Batches by lists of (index, seed), or the error of a sample that cannot be read; without a seed, zeros."""

    def __init__(self, source: MapStyle, chosen: Tensor) -> None:
        self.source, self.chosen = source, chosen
        with kept_generators():
            self.blank = {n: torch.zeros_like(r) if isinstance(r, Tensor) else r for n, r in source.fixed(0).items()}

    def __getitems__(self, keys: list[tuple[int, int | None]]) -> dict[str, Raw] | Unread:
        places = [int(self.chosen[index]) for index, _ in keys]
        try:
            with kept_generators():
                rows = [
                    self.blank if seed is None else self.source.read(place, seed)
                    for place, (_, seed) in zip(places, keys, strict=True)
                ]
            return stacked(rows, self.source.place, places)
        except OptbenchError as error:  # raised by the run: a worker would wrap it into its own traceback
            return Unread(error, "".join(traceback.format_exception(error)))


class ReadSplit:
    """Samples that are read for each batch, by this process or by workers."""

    def __init__(self, source: MapStyle, chosen: Tensor, facts: Facts, device: torch.device, workers: int) -> None:
        self.reader, self.facts, self.device, self.workers = SampleReader(source, chosen), facts, device, workers
        self.size = len(chosen)

    def stream(self, seeds: Seeds, batch_size: int, first_step: int, needed: Needed) -> Iterator[Batch]:
        """Yield batches of the endless stream of epochs."""
        order = SampleOrder(self.size, seeds.order, CPU)
        return self._read(TrainPlan(order, batch_size, first_step, seeds.augment, needed))

    def selected(self, chosen: Tensor, batch_size: int) -> Iterator[Batch]:
        """Yield the chosen samples in batches, read the same every time."""
        places = self.reader.chosen
        return self._read(
            [
                [(int(i), self.reader.source.seed_of(int(places[i]))) for i in part]
                for part in chosen.cpu().split(batch_size)
            ]
        )

    def _read(self, plan: TrainPlan | list[list[tuple[int, int | None]]]) -> Iterator[Batch]:
        pinned = self.device.type == "cuda"
        for found in read_batches(self.reader, plan, workers=self.workers, pin_memory=pinned):
            if isinstance(found, Unread):
                found.error.add_note(found.traceback)
                raise found.error
            yield self.facts.finished(found, self.device)


class SampleSet(DataSet):
    """Samples in three splits: batches of "inputs", "labels", and further columns under their own names."""

    verified = True

    def __init__(
        self, splits: Mapping[str, Split], facts: Facts, kind: str, seeds: Seeds, device: torch.device
    ) -> None:
        self.splits, self.kind, self.seeds, self.device = splits, kind, seeds, device
        self.sha256 = facts.sha256
        self.sizes = {name: split.size for name, split in splits.items()}
        shape, labels = facts.sample_shape, facts.labels
        self.sample_shape = (1,) if shape == () else shape
        self.tokens_per_sample = math.prod(shape) if facts.vocabulary_size and shape else 0
        known = {
            "classes": labels and labels.classes,
            "outputs": labels and labels.outputs,
            "label_shape": list(labels.shape) if labels else None,
            "vocabulary_size": facts.vocabulary_size,
        }
        self.facts = {"sample_shape": shape and list(shape)} | {k: v for k, v in known.items() if v is not None}
        for name, value in known.items():
            if value is not None:
                setattr(self, name, tuple(value) if isinstance(value, list) else value)
        if facts.label_mean is not None and facts.label_std is not None:
            self.label_mean, self.label_std = facts.label_mean.to(device), facts.label_std.to(device)
        if shape is not None and len(shape) == 3:
            mean, std = facts.mean, facts.std
            self.mean = (torch.zeros(shape[0], 1, 1) if mean is None else mean).to(device)
            self.std = (torch.ones(shape[0], 1, 1) if std is None else std).to(device)

    def _needed(self, step: int, batch_size: int) -> set[int] | None:
        """Return the samples of a batch that this rank reads; None: all."""
        return None if self.local_slice is None else set(range(batch_size)[self.local_slice(batch_size)])

    def train_batches(self, batch_size: int, first_step: int = 0) -> Iterator[Batch]:
        """Yield training batches without end."""
        return self.splits["train"].stream(self.seeds, batch_size, first_step, self._needed)

    def eval_batches(self, split: str, batch_size: int, limit: int | None = None) -> Iterator[Batch]:
        """Yield every sample of a split once, in order, or `limit` of them, evenly spaced."""
        count = self.sizes[split]
        chosen = torch.arange(count)
        if limit is not None and limit < count:
            chosen = torch.linspace(0, count - 1, limit, dtype=torch.float64).long()
        parts = chosen.split(batch_size)
        for batch, part in zip(self.splits[split].selected(chosen, batch_size), parts, strict=True):
            yield {**batch, "index": send(part, self.device)}
