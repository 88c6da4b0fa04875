"""The base of all sets of image files: a set that fits is decoded once and kept on the device, a larger one streams."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from optbench.contracts import ImageData, Seeds
from optbench.data.augment import Augment
from optbench.data.classes import check_classes
from optbench.data.corpus import HELD_OUT
from optbench.data.decode import center_crop, decode
from optbench.data.image_list import ImageList, Subset
from optbench.data.in_memory import Images, InMemoryImages
from optbench.data.notices import counted
from optbench.data.splits import train_and_validation
from optbench.data.streamed import StreamedImages, say_deep
from optbench.errors import ConfigError

DECODING_THREADS = 4


@dataclass(frozen=True, kw_only=True)
class ImageSource:
    """The keys of a set of image files; conf/data/imagefolder.yaml explains them."""

    validation: float
    image_size: int
    crop_scale: float
    randaugment: float
    in_memory_bytes: int
    workers: int
    mean: Sequence[float]
    std: Sequence[float]
    augment: Mapping[str, object]

    def three_splits(self, lists: Mapping[str, ImageList]) -> dict[str, ImageList]:
        """Return train, validation and test lists; a missing one is taken from the training list.

        Without a test list, the validation list becomes the test split, since a reported split must not be used to
        choose."""
        train, given = lists["train"], {split: lists.get(split) for split in HELD_OUT}
        if given["test"] is None and given["validation"] is not None:
            given = {"validation": None, "test": given["validation"]}
        cut, samples = [split for split, part in given.items() if part is None], len(train.labels)
        if samples <= len(cut):
            raise ConfigError(
                f"{counted(samples, 'training sample')} cannot give the {' and the '.join(cut)} split too",
                "Add samples: each of the three splits needs at least one",
            )
        parts: dict[str, ImageList] = {}
        for name, part in given.items():
            if part is None:
                kept, held_out = train_and_validation(train.labels, self.validation)
                train, part = Subset(train, kept), Subset(train, held_out)
            parts[name] = part
        return {"train": train, **parts}

    def dataset(
        self,
        where: str,
        lists: Mapping[str, ImageList],
        names: Sequence[str],
        seeds: Seeds,
        device: torch.device,
        cut: Collection[str] = (),
    ) -> ImageData:
        """Return the set in memory if its pixels fit into `in_memory_bytes`, else streamed.

        `where` says in messages which set it is, `names` are those of its classes, `cut` are lists that the user did
        not give as such."""
        splits = self.three_splits(lists)
        given = [split for split, part in splits.items() if any(part is listed for listed in lists.values())]
        renamed = {} if "test" in lists else {"test": "given validation"}  # as `three_splits` does
        labels = {renamed.get(split, split) if split in given else split: p.labels for split, p in splits.items()}
        check_classes(where, labels, names, [renamed.get(split, split) for split in given if split not in cut])
        classes = len(names)
        pixels = sum(len(part.labels) for part in splits.values()) * 3 * self.image_size**2
        in_memory = pixels <= self.in_memory_bytes
        augment = Augment.of(self.augment).with_crop_pad(in_memory, self.image_size)
        if in_memory and self.randaugment:
            raise ConfigError(
                f"data.randaugment={self.randaugment:g} is for streamed sets, but this one is held in memory",
                "Set data.in_memory_bytes=0, or data.randaugment=0",
            )
        if in_memory:
            tell = functools.partial(say_deep, where)
            images = {n: Images(decode_all(part, self.image_size, tell), part.labels) for n, part in splits.items()}
            return InMemoryImages(images, classes=classes, augment=augment, seeds=seeds, device=device)
        return StreamedImages(
            splits,
            where=where,
            classes=classes,
            image_size=self.image_size,
            crop_scale=self.crop_scale,
            randaugment=self.randaugment,
            workers=self.workers,
            mean=self.mean,
            std=self.std,
            augment=augment,
            seeds=seeds,
            device=device,
        )


def decode_all(part: ImageList, size: int, tell_deep: Callable[[], None] = lambda: None) -> Tensor:
    """Decode every image of a list to uint8 (N, 3, size, size). Threads suffice, since decoding releases the GIL.

    `tell_deep()` is called if a file has channels of more than 8 bits."""
    pixels = np.empty((len(part.labels), 3, size, size), np.uint8)

    def fill(index: int) -> bool:
        found = decode(part, index, lambda image: center_crop(image, size))
        pixels[index] = found.pixels.transpose(2, 0, 1)
        return found.deep

    with ThreadPoolExecutor(DECODING_THREADS) as pool:
        if any(list(pool.map(fill, range(len(pixels))))):
            tell_deep()
    return torch.from_numpy(pixels)
