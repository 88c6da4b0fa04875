"""From the splits that a user gives to a data set: read, looked at, completed, checked."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from optbench.config.notices import say_once
from optbench.contracts import Seeds
from optbench.data.corpus import HELD_OUT
from optbench.data.notices import counted
from optbench.data.samples.cutting import cut
from optbench.data.samples.generators import kept_generators, seed_generators
from optbench.data.samples.labels import CLASSES, ONE_HOT, Labels, labels_of
from optbench.data.samples.map_style import MapStyle
from optbench.data.samples.reading import joined, read_split
from optbench.data.samples.sample_set import (
    DEVICE_BYTES,
    FLOAT_BYTES,
    MOST_PIECES,
    Facts,
    HeldSplit,
    ReadSplit,
    SampleSet,
    Split,
)
from optbench.data.samples.survey import Survey, chunked, copies, survey
from optbench.data.samples.values import INPUTS, LABELS, Raw
from optbench.data.splits import SPLIT_SEED
from optbench.errors import ConfigError

WAY_OUT_OF_TEXT = (
    "Language models: return texts without labels, or data=text data.path=...; else turn texts into numbers"
)

Read = dict[str, Raw] | MapStyle


def sample_set(
    where: str, splits: Mapping[str, Any], settings: Mapping[str, Any], seeds: Seeds, device: torch.device
) -> SampleSet:
    """Return the data set of a user's splits. Raises ConfigError for splits that cannot be trained on."""
    names = {key: settings.get(key) for key in (INPUTS, LABELS)}
    with kept_generators():
        seed_generators(SPLIT_SEED)  # of iterables, which are read here
        found = {split: read_split(where, split, value, names) for split, value in splits.items()}
    read = {split: held_if_possible(part) for split, part in found.items()}
    surveys = {split: look(where, split, part) for split, part in read.items()}
    check_alike(where, surveys)
    labels = labels_in(where, surveys, settings["kind_of_label"], settings.get("few"))
    chosen = completed(where, surveys, labels, {split: settings[split] for split in HELD_OUT})
    facts = facts_of(where, surveys, labels, chosen, settings)
    tell_copies(where, surveys)
    return SampleSet(
        placed(read, chosen, facts, device, settings.get("workers", 0)), facts, kind_of(surveys["train"]), seeds, device
    )


def held_if_possible(part: Read) -> Read:
    """Read a split into memory that is read by index, if reading draws nothing and the samples fit."""
    if not isinstance(part, MapStyle) or not len(part):
        return part
    if part.draws_random_numbers():
        say_once(
            f"{part.where}: reading samples draws random numbers: anew in each epoch of training, the same at every "
            "evaluation"
        )
        return part
    if len(part) * part.sample_bytes() > DEVICE_BYTES:
        return part
    return joined(f"{part.where}: the {part.split} split", list(part.chunks()))


def look(where: str, split: str, part: Read) -> Survey:
    """Survey a split. Raises ConfigError for one without samples."""
    place = f"{where}: the {split} split"
    found = survey(place, part.chunks() if isinstance(part, MapStyle) else chunked(part))
    if not found.size:
        raise ConfigError(f"{place} has no samples", "Add samples to it, or leave it out: it is then cut from train")
    return found


def check_alike(where: str, surveys: Mapping[str, Survey]) -> None:
    """Raise ConfigError for text as inputs, or splits whose columns or inputs differ."""
    train = surveys["train"]
    for split, found in surveys.items():
        if found.columns != train.columns:
            raise ConfigError(
                f"{where}: the {split} split has {' and '.join(sorted(found.columns))}, but train has "
                f"{' and '.join(sorted(train.columns))}",
                "Give every split the same parts",
            )
        for name, shape in found.shapes.items():
            if shape != train.shapes.get(name, shape) and name != LABELS:
                raise ConfigError(
                    f"{where}: {name} of the {split} split have the shape {shape}, those of train {train.shapes[name]}",
                    "Samples of all splits need one shape",
                )
            if found.dtypes[name].is_floating_point != train.dtypes[name].is_floating_point and name == INPUTS:
                raise ConfigError(
                    f"{where}: inputs of the {split} split are {found.dtypes[name]}, of train {train.dtypes[name]}"
                )
    if INPUTS in train.columns - set(train.shapes):
        raise ConfigError(f"{where}: its inputs are texts, which no task here reads as samples", WAY_OUT_OF_TEXT)
    if 0 in train.shapes.get(INPUTS, ()):
        raise ConfigError(f"{where}: samples have the shape {train.shapes[INPUTS]}, so they are empty")


def labels_in(where: str, surveys: Mapping[str, Survey], kind: str, few: int | None) -> Labels | None:
    """Return what the labels mean; None without labels."""
    raw = {split: found.labels for split, found in surveys.items() if found.labels is not None}
    return labels_of(where, raw, kind, few) if raw else None


def completed(
    where: str, surveys: Mapping[str, Survey], labels: Labels | None, shares: Mapping[str, float]
) -> dict[str, tuple[str, Tensor]]:
    """Return the source split and the indices of each of the three splits; what isn't given is cut, and said."""
    found = {split: (split, torch.arange(survey.size)) for split, survey in surveys.items()}
    missing = {split: shares[split] for split in reversed(HELD_OUT) if split not in surveys}
    if not missing:
        return found
    train = surveys["train"]
    classed = labels is not None and labels.kind in (CLASSES, ONE_HOT) and train.labels is not None
    classes = labels.applied(train.labels) if labels is not None and classed and train.labels is not None else None
    parts = cut(where, classes, train.size, missing)
    told = " and ".join(f"{counted(len(parts[split]), f'{split} sample')}" for split in missing)
    rest = f", {len(parts['train']):,} stay for training"
    say_once(f"{where}: {told} are taken from the {train.size:,} training samples{rest}")
    return found | {split: ("train", part) for split, part in parts.items()}


def facts_of(
    where: str,
    surveys: Mapping[str, Survey],
    labels: Labels | None,
    chosen: Mapping[str, tuple[str, Tensor]],
    settings: Mapping[str, Any],
) -> Facts:
    """Return what is known about the samples."""
    train = surveys["train"]
    digest = hashlib.sha256()
    if settings.get("version") is not None:
        digest.update(f"version {settings['version']}".encode())
    for split, found in sorted(surveys.items()):
        content = found.sha256 if settings.get("version") is None else ""
        digest.update(f"{split}:{found.size}:{content}\n".encode())
    for split, (source, part) in sorted(chosen.items()):
        digest.update(f"{split}<{source}:".encode() + part.numpy().tobytes())
    digest.update(repr(labels and (labels.kind, list(labels.values))).encode())
    mean, std = image_statistics(train)
    label_mean, label_std = label_statistics(train, labels, chosen["train"][1])
    high = max((found.high for found in surveys.values()), default=-1)
    whole = train.sums is None and INPUTS in train.dtypes and not train.dtypes[INPUTS].is_floating_point
    pieces = high + 1 if whole and high >= 0 and min(found.low for found in surveys.values()) >= 0 else None
    return Facts(
        digest.hexdigest(),
        train.shapes.get(INPUTS),
        labels,
        pieces if pieces is not None and pieces <= MOST_PIECES else None,
        mean,
        std,
        label_mean,
        label_std,
    )


def image_statistics(train: Survey) -> tuple[Tensor | None, Tensor | None]:
    """Return mean and standard deviation of each channel of uint8 images, (C, 1, 1) each, on the scale 0 to 1."""
    if train.sums is None or train.squares is None:
        return None, None
    pixels = train.size * math.prod(train.shapes[INPUTS][1:])
    mean = train.sums / pixels
    std = (train.squares / pixels - mean.square()).clamp_min(1e-12).sqrt()
    return mean.float()[:, None, None], std.float()[:, None, None]


def label_statistics(train: Survey, labels: Labels | None, chosen: Tensor) -> tuple[Tensor | None, Tensor | None]:
    """Return mean and standard deviation of numbers to predict over the training split; 1 for a constant one."""
    if labels is None or labels.outputs is None or train.labels is None:
        return None, None
    values = labels.applied(train.labels)[chosen].double()
    std = values.std(0, correction=0)
    return values.mean(0).float(), torch.where(std > 0, std, 1.0).float()


def tell_copies(where: str, surveys: Mapping[str, Survey]) -> None:
    """Say how many held-out samples occur among the training samples too."""
    for split in HELD_OUT:
        found = copies(surveys["train"], surveys[split]) if split in surveys else 0
        if found:
            say_once(
                f"{where}: {found:,} of {counted(surveys[split].size, f'{split} sample')} have the same inputs as a "
                f"training sample: scores on {split} may be too good"
            )


def placed(
    read: Mapping[str, Read],
    chosen: Mapping[str, tuple[str, Tensor]],
    facts: Facts,
    device: torch.device,
    workers: int,
) -> dict[str, Split]:
    """Return the splits where they are kept: on the device, in memory, or read when needed."""
    held = [part for part in read.values() if not isinstance(part, MapStyle)]
    size = sum(raw.nbytes for part in held for raw in part.values() if isinstance(raw, Tensor))
    splits: dict[str, Split] = {}
    for split, (source, part) in chosen.items():
        found = read[source]
        if isinstance(found, MapStyle):
            splits[split] = ReadSplit(found, part, facts, device, workers)
            continue
        whole = len(part) == len(next(iter(found.values())))
        columns = found if whole else {name: picked(raw, part) for name, raw in found.items()}
        floats = size * 4 <= FLOAT_BYTES
        splits[split] = HeldSplit(columns, facts, device, on_device=size <= DEVICE_BYTES, floats=floats)
    return splits


def picked(raw: Raw, chosen: Tensor) -> Raw:
    """Return the chosen samples of a column."""
    return raw[chosen] if isinstance(raw, Tensor) else [raw[index] for index in chosen.tolist()]


def kind_of(train: Survey) -> str:
    """Return the kind of the samples, as models name what they read: images, table, or arrays."""
    shape = train.shapes.get(INPUTS)
    if shape is not None and len(shape) == 3 and shape[0] in (1, 3, 4):
        return "images"
    return "table" if shape is not None and len(shape) <= 1 else "arrays"
