"""What the labels of a data set mean: classes, or numbers to predict."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from optbench.config.notices import say_once
from optbench.data.notices import counted, some
from optbench.data.samples.values import Raw
from optbench.data.sending import send
from optbench.errors import ConfigError

CLASSES, NUMBERS, ONE_HOT, OTHER = "classes", "numbers", "one-hot", "other"
AUTO = "auto"
MANY = 0.5  # whole numbers with more different values than this share of the samples are numbers, not classes
FEWEST = 20  # samples below which this isn't asked
TYPE_IT = "data.kind_of_label={} says otherwise"


@dataclass(frozen=True)
class Labels:
    """The way labels become the tensors of batches."""

    kind: str
    """classes, numbers, one-hot (becomes classes), or other: whole numbers of any shape, for a task of one's own."""
    values: Sequence[int] | Sequence[str] = ()
    """The sorted classes as the user gives them."""
    shape: tuple[int, ...] = ()
    """Shape of one label in batches."""
    classes: int | None = None
    outputs: int | None = None
    """The numbers to predict for each sample."""
    shifted: bool = field(default=False)
    """True if classes get other numbers than those that the user gives."""

    def applied(self, raw: Raw) -> Tensor:
        """Return the labels of a batch."""
        if isinstance(raw, list):
            return torch.tensor([bisect_left(self.values, text) for text in raw])  # pyright: ignore[reportArgumentType]
        if self.kind == ONE_HOT:
            return raw.argmax(1)
        if self.kind == NUMBERS:
            return raw.reshape(len(raw), *self.shape).float()
        if self.kind == OTHER:
            return raw.long()
        numbers = raw.reshape(len(raw)).long()
        if not self.shifted:
            return numbers
        return torch.searchsorted(send(torch.tensor(self.values), raw.device), numbers)


def labels_of(where: str, splits: Mapping[str, Raw], kind: str, few: int | None = None) -> Labels:
    """Return what the labels of all splits mean. Raises ConfigError for labels that no task can use.

    `kind` is the setting kind_of_label; `few`: whole numbers with more different values are numbers."""
    train = splits["train"]
    for split, raw in splits.items():
        if isinstance(raw, list) != isinstance(train, list):
            raise ConfigError(f"{where}: the labels are texts in some splits and numbers in others")
        if isinstance(raw, Tensor) and isinstance(train, Tensor) and raw.shape[1:] != train.shape[1:]:
            raise ConfigError(
                f"{where}: labels of the {split} split have the shape {tuple(raw.shape[1:])}, those of train "
                f"{tuple(train.shape[1:])}"
            )
        if isinstance(raw, Tensor) and raw.is_floating_point():
            require_finite(where, split, raw)
    if isinstance(train, list):
        return of_texts(where, {split: raw for split, raw in splits.items() if isinstance(raw, list)}, kind)
    tensors = {split: raw for split, raw in splits.items() if isinstance(raw, Tensor)}
    per_sample = train.shape[1:].numel()
    if train.ndim == 2 and train.shape[1] > 1 and kind != NUMBERS and all(map(is_one_hot, tensors.values())):
        say_once(f"{where}: the labels are one-hot rows of {counted(per_sample, 'class', 'classes')}")
        return Labels(ONE_HOT, range(per_sample), (), per_sample)
    if train.is_floating_point() and not (kind == CLASSES and per_sample == 1):
        return numbers(where, tensors, kind)
    if kind == NUMBERS:
        return numbers(where, tensors, kind)
    if per_sample > 1:
        highest = max(int(raw.max()) for raw in tensors.values() if raw.numel())
        return Labels(OTHER, (), tuple(train.shape[1:]), max(1, highest + 1))
    return of_whole_numbers(where, tensors, kind, few)


def require_finite(where: str, split: str, raw: Tensor) -> None:
    """Raise ConfigError for a label that is NaN or infinite."""
    odd = (~torch.isfinite(raw)).reshape(len(raw), -1).any(1).nonzero()[:, 0]
    if len(odd):
        raise ConfigError(
            f"{where}: the label of sample {int(odd[0])} of the {split} split is not a finite number "
            f"({counted(len(odd), 'such label')})",
            "Remove these samples, or fill in their labels",
        )


def is_one_hot(raw: Tensor) -> bool:
    """Return True for rows (N, C) with a single 1 and zeros elsewhere."""
    return bool(((raw == 0) | (raw == 1)).all()) and bool((raw.sum(1) == 1).all())


def numbers(where: str, splits: Mapping[str, Tensor], kind: str) -> Labels:
    """Return labels that are numbers to predict: (N,) or (N, ...)."""
    train = splits["train"]
    shape = () if train.shape[1:] == (1,) else tuple(train.shape[1:])
    if len(train) > 1 and bool((train == train[:1]).all()):
        raise ConfigError(
            f"{where}: all labels of the train split are {train.reshape(-1)[0].item():g}: nothing to learn"
        )
    if kind == AUTO and train.is_floating_point() and train.ndim == 1 and bool((train == train.round()).all()):
        distinct = len(train.unique())
        if distinct <= FEWEST:
            say_once(
                f"{where}: the labels are real numbers with {distinct} different whole values; they are predicted as "
                f"numbers ({TYPE_IT.format(CLASSES)})"
            )
    return Labels(NUMBERS, (), shape, None, train.shape[1:].numel())


def of_whole_numbers(where: str, splits: Mapping[str, Tensor], kind: str, few: int | None) -> Labels:
    """Return classes by number. Those that do not run from 0 on are numbered in their order, which is said."""
    flat = {split: raw.reshape(len(raw)) for split, raw in splits.items()}
    if any(raw.is_floating_point() and not bool((raw == raw.round()).all()) for raw in flat.values()):
        raise ConfigError(f"{where}: data.kind_of_label=classes, but the labels are not whole numbers")
    values = [int(value) for value in flat["train"].long().unique()]
    samples = len(flat["train"])
    many = (samples >= FEWEST and len(values) > MANY * samples) or (few is not None and len(values) > few)
    if kind == AUTO and many:
        say_once(
            f"{where}: the labels have {len(values):,} different whole values in {samples:,} samples; they are "
            f"predicted as numbers ({TYPE_IT.format(CLASSES)})"
        )
        return numbers(where, splits, kind)
    if values[0] < 0 and len(values) > 2:
        raise ConfigError(
            f"{where}: the train split has the label {values[0]}, but classes are numbered from 0 on",
            "Remove samples without a label; or predict numbers: data.kind_of_label=numbers",
        )
    values = same_classes(where, values, {split: [int(v) for v in raw.long().unique()] for split, raw in flat.items()})
    shifted = values != list(range(len(values)))
    if shifted:
        say_once(
            f"{where}: the labels {some([str(v) for v in values[:-1]])} and {values[-1]} are numbered 0 to "
            f"{len(values) - 1}"
        )
    return Labels(CLASSES, values, (), len(values), None, shifted)


def of_texts(where: str, splits: Mapping[str, list[str]], kind: str) -> Labels:
    """Return classes by name, numbered in sorted order, which is said."""
    if kind == NUMBERS:
        raise ConfigError(
            f"{where}: data.kind_of_label=numbers, but the labels are texts such as {splits['train'][0]!r}"
        )
    values = sorted(set(splits["train"]))
    found = same_classes(where, values, {split: sorted(set(raw)) for split, raw in splits.items()})
    say_once(f"{where}: the labels {some([repr(v) for v in found])} are classes 0 to {len(found) - 1}")
    return Labels(CLASSES, found, (), len(found), None, True)


def same_classes(where: str, values: list, splits: Mapping[str, list]) -> list:
    """Return the training split's classes. Raises ConfigError for one class alone, or one that only others have."""
    for split, found in splits.items():
        extra = [value for value in found if value not in set(values)]
        if extra:
            raise ConfigError(
                f"{where}: the {split} split has the label {extra[0]!r}, which the train split lacks "
                f"(it has {counted(len(values), 'class', 'classes')}: {some([str(v) for v in values])})",
                "Give train samples of every class, or correct the label",
            )
    if len(values) < 2:
        raise ConfigError(
            f"{where}: the train split has samples of one class only ({values[0]}); classification needs two or more",
            "Add samples of another class",
        )
    return values
