"""Worker processes of a streamed image set: they read, decode and crop whole batches."""

from __future__ import annotations

import functools
import itertools
import signal
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from optbench.counter_rng import mixed_seed
from optbench.data.crops import Crop
from optbench.data.decode import decode
from optbench.data.image_list import ImageList
from optbench.data.sample_order import SampleOrder
from optbench.errors import MissingError, WorkerLost

T = TypeVar("T")
Key = tuple[int, int | None]
"""A sample's index and the seed of its crop; None if this process does not need the sample."""
Needed = Callable[[int, int], set[int] | None]
"""Returns the needed positions in a batch from (step, batch size); None: all of them."""


class Loaded(NamedTuple):
    """A batch: pixels (B, S, S, 3) uint8, labels (B,), and True if a file has channels of more than 8 bits."""

    pixels: Tensor
    labels: Tensor
    deep: bool


class TrainPlan:
    """An endless batch sampler."""

    def __init__(
        self, order: SampleOrder, batch_size: int, first_step: int, seed: int, needed: Needed = lambda step, size: None
    ) -> None:
        self.order, self.batch_size, self.first_step, self.seed = order, batch_size, first_step, seed
        self.needed = needed

    def __iter__(self) -> Iterator[list[Key]]:
        for step in itertools.count(self.first_step):
            first = step * self.batch_size
            indices = self.order.indices(first, self.batch_size).tolist()
            needed = self.needed(step, self.batch_size)
            yield [
                (index, mixed_seed(self.seed, first + row) if needed is None or row in needed else None)
                for row, index in enumerate(indices)
            ]


class BatchReader(Dataset[Loaded | MissingError]):
    """Batches by lists of keys, or the error of an image that cannot be decoded; samples without a seed stay black.

    Images keep PIL's order of channels, since the device transposes them faster."""

    def __init__(self, part: ImageList, crop: Crop) -> None:
        self.part, self.crop, self.labels = part, crop, part.labels

    def __getitems__(self, keys: list[Key]) -> Loaded | MissingError:
        pixels = np.empty((len(keys), self.crop.size, self.crop.size, 3), np.uint8)
        deep = False
        try:
            for row, (index, seed) in enumerate(keys):
                if seed is None:
                    pixels[row] = 0
                else:
                    found = decode(self.part, index, functools.partial(self.crop, seed=seed))
                    pixels[row], deep = found.pixels, deep or found.deep
        except MissingError as error:
            return error  # raised by the reader: a worker would wrap it into its traceback
        return Loaded(torch.from_numpy(pixels), self.labels[[index for index, _ in keys]], deep)


def read_batches(
    reader: Dataset[T], plan: Iterable[list[Key]], *, workers: int, pin_memory: bool, prefetch: int = 2
) -> Iterator[T]:
    """Yield what a reader returns for each list of keys. Raises WorkerLost where a worker process is gone."""
    loader = started(
        DataLoader(
            reader,
            batch_sampler=plan,  # pyright: ignore[reportArgumentType]  # keys are more than indices
            num_workers=workers,
            pin_memory=pin_memory,
            collate_fn=keep_batch,
            worker_init_fn=ignore_signals,
            prefetch_factor=prefetch if workers else None,
            generator=torch.Generator(),  # torch draws the workers' seed, which nothing uses, from the global one else
        )
    )
    try:
        yield from loader
    except (OSError, EOFError) as error:
        if workers == 0 or "Caught" in str(error):  # an error of the reading itself, as torch passes it on
            raise
        raise WorkerLost.because(error) from error  # the connection broke before torch saw the worker's end
    finally:
        stop = getattr(loader, "_shutdown_workers", None)  # now, not when the iterator is garbage-collected
        if stop is not None:
            stop()


def keep_batch(batch: object) -> object:
    """Return the batch unchanged: `BatchReader` has already collated it."""
    return batch


def ignore_signals(worker: int) -> None:
    """Let the run handle SIGINT and SIGTERM.

    Ctrl-C, a terminal and schedulers signal the whole process group. A run could not finish its step and write its
    checkpoint if the signal killed its workers."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def started(loader: Iterable[T]) -> Iterator[T]:
    """Return the iterator of a loader, whose workers now run, without the signal handler that torch installs.

    When a worker dies, that handler raises wherever the process is: in the release of a lock, in the writing of a file.
    The iterator itself notices the death within five seconds."""
    number = getattr(signal, "SIGCHLD", None)  # Windows has none
    before = signal.getsignal(number) if number is not None else None
    iterator = iter(loader)
    if number is not None and signal.getsignal(number) is not before:
        signal.signal(number, before)
    return iterator
