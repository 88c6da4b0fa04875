"""One split as a user's function returns it: columns in memory, or samples that are read by index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, TensorDataset, default_collate

from optbench.config.user_code import user_error
from optbench.data.samples.map_style import MapStyle, promoted, sample_columns, stacked, with_images
from optbench.data.samples.values import (
    INPUTS,
    LABELS,
    Raw,
    is_array,
)
from optbench.errors import ConfigError

STREAM_BYTES, STREAM_SAMPLES = 4 << 30, 5_000_000  # of an iterable that is read into memory
CHUNK = 4096  # samples of an iterable that are stacked at once
WAY_OUT_OF_LENGTHS = 'Give one label for each input; for inputs alone, return {"inputs": ...} as each split'
WAY_OUT = "Return a torch Dataset, a pair (inputs, labels) of tensors or arrays, a datasets.Dataset, or batches"

Names = Mapping[str, "str | None"]


def read_split(where: str, split: str, value: Any, names: Names) -> dict[str, Raw] | MapStyle:
    """Return the columns of a split, or the split itself where its samples are read by index."""
    place = f"{where}: the {split} split"
    if isinstance(value, DataLoader):
        value = unloaded(value)
    if isinstance(value, TensorDataset):
        value = value.tensors
    if hasattr(value, "columns") and hasattr(value, "to_numpy"):
        raise ConfigError(f"{place} is a table", "Return (table[[...]].to_numpy(), table[...].to_numpy()), or data=csv")
    if is_array(value) or is_columns(value):
        return whole_columns(place, value, names)
    streamed = isinstance(value, IterableDataset)  # which inherits a __getitem__ that only raises
    if hasattr(value, "__getitem__") and not streamed and not isinstance(value, (Mapping, tuple)):
        if hasattr(value, "__len__"):
            return MapStyle(where, split, value, names)
        raise ConfigError(f"{place} is a {type(value).__name__} with __getitem__, but without __len__", WAY_OUT)
    if hasattr(value, "__iter__") and not isinstance(value, (Mapping, tuple)):
        return read_stream(where, split, value, names)
    raise ConfigError(f"{place} is {described(value)}", WAY_OUT)


def described(value: Any) -> str:
    """Return what a value is that is no split."""
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}: {', '.join(type(item).__name__ for item in value[:4])}"
    if isinstance(value, Mapping):
        return f"a dict of {', '.join(map(str, list(value)[:6])) or 'nothing'}"
    return f"of type {type(value).__name__}"


def unloaded(loader: DataLoader[Any]) -> Any:
    """Return the data set of a loader, whose order and batches are the run's affair; the loader if it collates."""
    mapped = hasattr(loader.dataset, "__getitem__") and hasattr(loader.dataset, "__len__")
    return loader.dataset if mapped and loader.collate_fn is default_collate else loader


def is_columns(value: Any) -> bool:
    """Return True for a pair of inputs and labels, and for a dict of columns."""
    if isinstance(value, Mapping):
        return bool(value) and all(is_array(v) or isinstance(v, (list, tuple)) for v in value.values())
    pair = isinstance(value, (tuple, list)) and len(value) in (1, 2) and not hasattr(value, "_asdict")
    return pair and all(is_array(v) or (isinstance(v, list) and isinstance(value, tuple)) for v in value)


def whole_columns(place: str, value: Any, names: Names) -> dict[str, Raw]:
    """Return the columns of all samples. Raises ConfigError where they differ in length."""
    found: dict[str, Raw] = {}
    for name, raw in with_images(sample_columns(place, value, names), batched=True).items():
        if isinstance(raw, str) or (isinstance(raw, Tensor) and raw.ndim == 0):
            raise ConfigError(f"{place}: its {name} are one value, not one for each sample", WAY_OUT)
        found[name] = raw
    if len({len(raw) for raw in found.values()}) > 1:
        told = " and ".join(f"{len(raw):,} {name}" for name, raw in found.items())
        raise ConfigError(f"{place} has {told}", WAY_OUT_OF_LENGTHS)
    return found


def read_stream(where: str, split: str, value: Iterable[Any], names: Names) -> dict[str, Raw]:
    """Read an iterable of batches or samples to its end. Raises ConfigError where it does not fit into memory."""
    parts: list[Mapping[str, Raw]] = []
    samples: list[dict[str, Raw | str]] = []
    count = size = 0

    def place(index: int) -> str:
        return f"{where}: item {index} of the {split} split"

    for number, item in enumerate(items_of(where, split, value)):
        found = sample_columns(place(number), item, names)
        batch = as_batch(found)
        if batch is None:
            samples.append(with_images(found, batched=False))
        else:
            parts.append(batch)
        count += 1 if batch is None else len(next(iter(batch.values())))
        size += sum(raw.nbytes if isinstance(raw, Tensor) else len(raw) for raw in found.values())
        if size > STREAM_BYTES or count > STREAM_SAMPLES:
            raise ConfigError(
                f"{where}: the {split} split does not end within {STREAM_SAMPLES:,} samples and "
                f"{STREAM_BYTES >> 30} GiB",
                "Let the iterable end, or return a torch Dataset with __len__ and __getitem__",
            )
        if len(samples) == CHUNK:
            parts.append(stacked(samples, place, range(number + 1 - CHUNK, number + 1)))
            samples = []
    if samples:
        parts.append(stacked(samples, place, range(count - len(samples), count)))
    return joined(f"{where}: the {split} split", parts)


def items_of(where: str, split: str, value: Iterable[Any]) -> Iterator[Any]:
    """Yield the items of the user's iterable. Raises UserCodeError where it raises."""
    done = 0
    try:
        for item in value:
            yield item
            done += 1
    except (Exception, SystemExit) as error:
        doing = f"{where}: reading the {split} split after {done} items raised an error"
        raise user_error(doing, error) from error


def as_batch(found: Mapping[str, Raw | str]) -> dict[str, Raw] | None:
    """Return an item as a batch; None for a single sample.

    A batch has columns of one length; its inputs are at least two-dimensional, or each of them has a label."""
    columns = {name: raw for name, raw in found.items() if not isinstance(raw, str)}
    if len(columns) < len(found) or any(isinstance(raw, Tensor) and raw.ndim == 0 for raw in columns.values()):
        return None
    inputs = columns.get(INPUTS)
    shallow = isinstance(inputs, Tensor) and inputs.ndim < 2
    if shallow or len({len(raw) for raw in columns.values()}) != 1 or (len(columns) == 1 and LABELS not in columns):
        return None
    return {name: raw for name, raw in with_images(dict(found), batched=True).items() if not isinstance(raw, str)}


def joined(place: str, parts: Sequence[Mapping[str, Raw]]) -> dict[str, Raw]:
    """Return columns of batches as one. Raises ConfigError where they differ in columns, types or shapes."""
    if not parts:
        raise ConfigError(
            f"{place} has no samples", "Is its iterator used up? A generator can be read only once: make one for each"
        )
    columns: dict[str, Raw] = {}
    for name in parts[0]:
        raws = [part.get(name) for part in parts]
        tensors = [raw for raw in raws if isinstance(raw, Tensor)]
        texts = [raw for raw in raws if isinstance(raw, list)]
        if len(texts) == len(parts):
            columns[name] = [text for part in texts for text in part]
            continue
        odd = next((i for i, raw in enumerate(tensors) if raw.shape[1:] != tensors[0].shape[1:]), None)
        if odd is not None or len(tensors) < len(parts):
            shapes = f"{tuple(tensors[0].shape)} and {tuple(tensors[odd].shape)}" if odd is not None else "no tensors"
            raise ConfigError(f"{place} has batches whose {name} differ: {shapes}", "Samples need one shape")
        common = promoted({tensor.dtype for tensor in tensors})
        columns[name] = torch.cat([tensor.to(common) for tensor in tensors])
    return columns
