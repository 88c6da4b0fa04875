"""Samples that are read one at a time: a torch Dataset, a `datasets.Dataset`, a list."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from optbench.config.user_code import user_error
from optbench.counter_rng import mixed_seed
from optbench.data.corpus import SPLITS
from optbench.data.notices import counted
from optbench.data.samples.generators import kept_generators, seed_generators
from optbench.data.samples.values import INPUTS, Columns, Raw, Unreadable, as_image, named_fields, raw_of
from optbench.data.splits import SPLIT_SEED
from optbench.errors import ConfigError

CHUNK = 1024  # samples that are stacked at once
TOLD_SECONDS = 5.0  # a longer reading is announced
PROBED, SEEDS = 16, 3  # samples, and seeds, that show whether reading draws random numbers

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MapStyle:
    """A split that is read by index."""

    where: str
    """The data set in messages."""
    split: str
    source: Any
    names: Mapping[str, str | None]
    """The settings `inputs` and `labels`: the names of their columns; None: found."""

    def __len__(self) -> int:
        try:
            return len(self.source)
        except (Exception, SystemExit) as error:
            raise user_error(f"{self.where}: the length of the {self.split} split cannot be read", error) from error

    def place(self, index: int) -> str:
        """Return a sample's name in messages."""
        return f"{self.where}: sample {index} of the {self.split} split"

    def read(self, index: int, seed: int) -> dict[str, Raw | str]:
        """Return a sample's columns; what its reading draws depends on the seed alone."""
        seed_generators(seed)
        try:
            sample = self.source[index]
        except (Exception, SystemExit) as error:
            raise user_error(f"{self.place(index)} cannot be read", error) from error
        return with_images(sample_columns(self.place(index), sample, self.names), batched=False)

    def seed_of(self, index: int) -> int:
        """Return the seed with which every evaluation reads a sample."""
        return mixed_seed(mixed_seed(SPLIT_SEED, SPLITS.index(self.split)), index)

    def fixed(self, index: int) -> dict[str, Raw | str]:
        """Return a sample as every evaluation sees it."""
        return self.read(index, self.seed_of(index))

    def chunks(self) -> Iterator[Columns]:
        """Yield all samples in order, as every evaluation sees them. A long reading is announced."""
        began = time.monotonic()
        with kept_generators():
            for first in range(0, len(self), CHUNK):
                chosen = range(first, min(first + CHUNK, len(self)))
                yield stacked(map(self.fixed, chosen), self.place, chosen)
                seconds = (time.monotonic() - began) * len(self) / (first + CHUNK)
                if first == 0 and seconds > TOLD_SECONDS:
                    log.info(
                        f"{self.where}: reading {counted(len(self), f'{self.split} sample')} once, to know their "
                        f"content (about {seconds:.0f} s)"
                    )

    def draws_random_numbers(self) -> bool:
        """Return True if a sample depends on the random generators.

        Raises ConfigError if it differs from one reading to the next with the same seeds."""
        chosen = torch.linspace(0, len(self) - 1, min(PROBED, len(self))).long().tolist()
        with kept_generators():
            first = [self.fixed(index) for index in chosen]
            for index, before in zip(chosen, first, strict=True):
                if not equal(before, self.fixed(index)):
                    raise ConfigError(
                        f"{self.place(index)} differs from one reading to the next",
                        "Draw random numbers from the global generators (random, numpy.random, torch), which are "
                        "seeded for each sample, not from a generator of its own or the clock",
                    )
            return any(
                not equal(before, self.read(index, seed))
                for seed in range(SEEDS)
                for index, before in zip(chosen, first, strict=True)
            )

    def sample_bytes(self) -> int:
        """Return the bytes of sample 0."""
        with kept_generators():
            return sum(v.nbytes if isinstance(v, Tensor) else len(v) for v in self.fixed(0).values())


def with_images(columns: dict[str, Raw | str], *, batched: bool) -> dict[str, Raw | str]:
    """Return the columns with uint8 inputs as images; see `as_image`."""
    inputs = columns.get(INPUTS)
    return {**columns, INPUTS: as_image(inputs, batched=batched)} if isinstance(inputs, Tensor) else columns


def sample_columns(place: str, sample: Any, names: Mapping[str, str | None]) -> dict[str, Raw | str]:
    """Return the columns of a sample, a batch or a split as tensors and texts.

    Raises ConfigError, whose message begins with `place`."""
    found: dict[str, Raw | str] = {}
    try:
        for name, value in named_fields(sample, names).items():
            try:
                found[name] = raw_of(value)
            except Unreadable as error:
                raise Unreadable(f"cannot be used: its {name} {error}") from None
    except Unreadable as error:
        raise ConfigError(f"{place} {error}") from None
    return found


def equal(one: Mapping[str, Raw | str], other: Mapping[str, Raw | str]) -> bool:
    """Return True for samples with the same values; NaN equals NaN."""
    if one.keys() != other.keys():
        return False
    pairs = [(value, other[name]) for name, value in one.items()]
    return all(
        a.shape == b.shape and a.dtype == b.dtype and a.numpy(force=True).tobytes() == b.numpy(force=True).tobytes()
        if isinstance(a, Tensor) and isinstance(b, Tensor)
        else not isinstance(a, Tensor) and not isinstance(b, Tensor) and a == b
        for a, b in pairs
    )


def stacked(samples: Iterable[Mapping[str, Raw | str]], place: Any, indices: Sequence[int]) -> dict[str, Raw]:
    """Return samples as columns. Raises ConfigError for samples with other columns or shapes than the first one."""
    rows = list(samples)
    columns: dict[str, Raw] = {}
    for row, index in zip(rows, indices, strict=True):
        if row.keys() != rows[0].keys():
            raise ConfigError(
                f"{place(index)} has the parts {', '.join(row)}, but the first one has {', '.join(rows[0])}"
            )
    for name in rows[0] if rows else ():
        values = [row[name] for row in rows]
        tensors = [value for value in values if isinstance(value, Tensor)]
        texts = [value for value in values if isinstance(value, str)]
        if len(texts) == len(values):
            columns[name] = texts
            continue
        if len(tensors) != len(values):
            raise ConfigError(f"{place(indices[0])}: its {name} are neither tensors nor numbers nor one text in each")
        odd = next((i for i, value in enumerate(tensors) if value.shape != tensors[0].shape), None)
        if odd is not None:
            raise ConfigError(
                f"{place(indices[odd])} has {name} of shape {tuple(tensors[odd].shape)}, but others have "
                f"{tuple(tensors[0].shape)}",
                "Samples need one shape: crop, resize or pad them",
            )
        kinds = {value.dtype for value in tensors}
        if len(kinds) > 1:
            tensors = [value.to(promoted(kinds)) for value in tensors]
        columns[name] = torch.stack(tensors)
    return columns


def promoted(kinds: Iterable[torch.dtype]) -> torch.dtype:
    """Return the type that holds the values of all these types."""
    first, *others = kinds
    for other in others:
        first = torch.promote_types(first, other)
    return first
