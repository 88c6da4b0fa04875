"""What becomes of lists of images: a set that fits is decoded once and lives on the device, a larger one streams."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from optbench.contracts import DataSet, Seeds
from optbench.data.augment import Augment
from optbench.data.image_list import ImageList, Subset, centred, decoded
from optbench.data.in_memory import Images, InMemoryImages
from optbench.data.splits import stratified
from optbench.data.streamed import StreamedImages
from optbench.errors import ConfigError

DECODING_THREADS = 4


@dataclass(frozen=True, kw_only=True)
class Form:
    """How images become tensors."""

    image_size: int
    crop_scale: float
    randaugment: float
    in_memory_bytes: int
    workers: int
    mean: Sequence[float]
    std: Sequence[float]


def three_splits(
    train: ImageList, validation: ImageList | None, test: ImageList | None, share: float
) -> dict[str, ImageList]:
    """Train, validation and test. Without a test part the given validation part is the test, since nothing may be
    chosen on what is reported; what is missing is taken from the training part, `share` of it for each."""
    given = {"validation": validation, "test": test}
    if test is None and validation is not None:
        given = {"validation": None, "test": validation}
    parts: dict[str, ImageList] = {}
    for name, part in given.items():
        if part is None:
            try:
                kept, held = stratified(train.labels, round(share * len(train.labels)))
            except ValueError as error:
                raise ConfigError(f"data.validation={share:g}: {error}") from None
            train, part = Subset(train, kept), Subset(train, held)
        parts[name] = part
    return {"train": train, **parts}


def as_dataset(
    lists: dict[str, ImageList], classes: int, form: Form, augment: Augment, seeds: Seeds, device: torch.device
) -> DataSet:
    """The set in memory where its pixels fit, else streamed."""
    pixels = sum(len(part.labels) for part in lists.values()) * 3 * form.image_size**2
    in_memory = pixels <= form.in_memory_bytes
    augment = augment.held(in_memory, form.image_size)
    if in_memory and form.randaugment:
        raise ConfigError(
            f"data.randaugment={form.randaugment:g} is for streamed sets, and this one is held in memory",
            "Set data.in_memory_bytes=0, or data.randaugment=0",
        )
    if not in_memory:
        return StreamedImages(
            lists,
            classes=classes,
            image_size=form.image_size,
            crop_scale=form.crop_scale,
            randaugment=form.randaugment,
            workers=form.workers,
            mean=form.mean,
            std=form.std,
            augment=augment,
            seeds=seeds,
            device=device,
        )
    decoded = {name: Images(decode_all(part, form.image_size), part.labels) for name, part in lists.items()}
    return InMemoryImages(decoded, classes=classes, augment=augment, seeds=seeds, device=device)


def decode_all(part: ImageList, size: int) -> Tensor:
    """Every image of a list, uint8 (N, 3, size, size). Threads suffice: decoding releases the interpreter's lock."""
    pixels = np.empty((len(part.labels), 3, size, size), np.uint8)

    def decode(index: int) -> None:
        pixels[index] = decoded(part, index, lambda image: centred(image, size)).transpose(2, 0, 1)

    with ThreadPoolExecutor(DECODING_THREADS) as pool:
        for _ in pool.map(decode, range(len(pixels))):
            pass
    return torch.from_numpy(pixels)
