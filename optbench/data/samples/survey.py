"""One look at every sample of a split: its content's hash, its labels, the shapes, and what no network can train on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from optbench.data.notices import counted
from optbench.data.samples.values import INPUTS, LABELS, Raw
from optbench.errors import ConfigError

CHUNK_BYTES = 64 << 20
MARKED = 1_000_000  # splits with up to so many samples are searched for copies


@dataclass
class Survey:
    """Content of a split."""

    size: int = 0
    sha256: str = ""
    labels: Raw | None = None
    columns: set[str] = field(default_factory=set)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    dtypes: dict[str, torch.dtype] = field(default_factory=dict)
    marks: list[int] = field(default_factory=list)
    """A hash of the inputs of each sample."""
    low: int = 0
    high: int = -1
    """The least and the greatest of whole numbers in the inputs; of none: 0 and -1."""
    sums: Tensor | None = None
    squares: Tensor | None = None
    """Sums over all pixels of each channel of uint8 images, and of their squares, on the scale 0 to 1."""


def survey(place: str, chunks: Iterable[Mapping[str, Raw]]) -> Survey:
    """Look at all samples. Raises ConfigError for inputs that are not finite."""
    found, digest = Survey(), hashlib.sha256()
    labels: list[Raw] = []
    for chunk in chunks:
        found.columns |= chunk.keys()
        for name, raw in sorted(chunk.items()):
            digest.update(name.encode())
            if isinstance(raw, Tensor):
                check_finite(place, name, raw, found.size)
                shape = tuple(raw.shape[1:])
                if found.shapes.setdefault(name, shape) != shape:
                    raise ConfigError(f"{place} has {name} of shape {found.shapes[name]} and of {shape}")
                found.dtypes[name] = raw.dtype
                digest.update(f"{raw.dtype}{shape}".encode())
                digest.update(as_bytes(raw).data)
            else:
                digest.update("\0".join(raw).encode(errors="surrogatepass"))
        if INPUTS in chunk:
            look_at_inputs(found, chunk[INPUTS])
        if LABELS in chunk:
            labels.append(chunk[LABELS])
        found.size += len(next(iter(chunk.values())))
    found.sha256 = digest.hexdigest()
    found.labels = joined_labels(labels)
    return found


def as_bytes(raw: Tensor) -> np.ndarray:
    """Return the bytes of each sample, uint8 (N, bytes)."""
    return raw.reshape(len(raw), -1).contiguous().view(torch.uint8).numpy()


def joined_labels(parts: list[Raw]) -> Raw | None:
    """Return the labels of all chunks."""
    tensors = [part for part in parts if isinstance(part, Tensor)]
    if tensors:
        return torch.cat(tensors)
    return [text for part in parts if isinstance(part, list) for text in part] if parts else None


def check_finite(place: str, name: str, raw: Tensor, first: int) -> None:
    """Raise ConfigError for values that are NaN or infinite; labels have their own check."""
    if not raw.is_floating_point() or name == LABELS:
        return
    odd = (~torch.isfinite(raw)).reshape(len(raw), -1).any(1).nonzero()[:, 0]
    if len(odd):
        raise ConfigError(
            f"{place}: sample {first + int(odd[0])} has {name} that are not finite numbers "
            f"({counted(len(odd), 'such sample')} among the first {first + len(raw):,})",
            "Remove these samples, or fill in their values, e.g. by torch.nan_to_num",
        )


def look_at_inputs(found: Survey, raw: Raw) -> None:
    """Add the inputs of a chunk to the survey."""
    if not isinstance(raw, Tensor) or not raw.numel():
        return
    if raw.dtype == torch.uint8 and raw.ndim == 4:
        pixels = raw.double() / 255
        sums, squares = pixels.sum((0, 2, 3)), pixels.square().sum((0, 2, 3))
        found.sums = sums if found.sums is None else found.sums + sums
        found.squares = squares if found.squares is None else found.squares + squares
    elif not raw.is_floating_point() and raw.dtype != torch.bool:
        low, high = int(raw.min()), int(raw.max())
        found.low, found.high = (min(found.low, low), max(found.high, high)) if found.high >= 0 else (low, high)
    if len(found.marks) == found.size and found.size + len(raw) <= MARKED:
        found.marks += [hash(row.tobytes()) for row in as_bytes(raw)]


def chunked(columns: Mapping[str, Raw]) -> Iterator[Mapping[str, Raw]]:
    """Yield columns in memory in chunks of about CHUNK_BYTES."""
    count = min((len(raw) for raw in columns.values()), default=0)
    size = sum(raw.nbytes if isinstance(raw, Tensor) else 100 * len(raw) for raw in columns.values())
    step = max(1, count * CHUNK_BYTES // max(1, size))
    for first in range(0, count, step):
        yield {name: raw[first : first + step] for name, raw in columns.items()}


def copies(train: Survey, other: Survey) -> int:
    """Return the samples of a split whose inputs the training split has too; 0 where they weren't compared."""
    if len(train.marks) != train.size or len(other.marks) != other.size:
        return 0
    known = set(train.marks)
    return sum(mark in known for mark in other.marks)
