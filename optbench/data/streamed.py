"""Large image sets: worker processes decode and crop, the device normalises and mixes.

Batch k depends only on (seeds, batch size, k): indices come from the same stream of permutations as in memory, and each
sample's crop from a generator of its own, so that the number of workers changes nothing.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from torch import Generator, Tensor
from torch.nn import functional

from optbench.config.notices import say_once
from optbench.contracts import Batch, ImageData, Seeds
from optbench.counter_rng import mixed_seed
from optbench.data.augment import Augment, draw_mix, mix_batch
from optbench.data.batch_reader import BatchReader, Key, TrainPlan, read_batches
from optbench.data.crops import CentralCrop, RandomCrop
from optbench.data.image_list import ImageList
from optbench.data.sample_order import SampleOrder
from optbench.data.sending import send
from optbench.errors import ConfigError, MissingError

PREFETCH_BYTES = 2**30  # of uint8 pixels that workers may read ahead


class StreamedImages(ImageData):
    """Images that are decoded when needed. If `local_slice` is set, other samples stay black unless mixed into own."""

    tokens_per_sample = 0
    verified = True

    def __init__(
        self,
        lists: Mapping[str, ImageList],
        *,
        where: str,
        classes: int,
        image_size: int,
        crop_scale: float,
        randaugment: float,
        workers: int,
        mean: Sequence[float],
        std: Sequence[float],
        augment: Augment,
        seeds: Seeds,
        device: torch.device,
    ) -> None:
        if augment.crop_pad or augment.cutout:
            raise ConfigError(
                "data.augment: crop_pad and cutout are for sets in memory; a streamed set uses random resized crops",
                "Set data.augment.crop_pad=0 data.augment.cutout=0, or raise data.in_memory_bytes",
            )
        self.where = where
        self.lists, self.classes, self.augment, self.seeds, self.device = lists, classes, augment, seeds, device
        self.image_size, self.workers = image_size, workers
        self.crop = RandomCrop(image_size, crop_scale, augment.flip, randaugment)
        self.sizes = {name: len(part.labels) for name, part in lists.items()}
        self.sample_shape = (3, image_size, image_size)
        self.facts = {"sample_shape": list(self.sample_shape), "classes": classes}
        text = "".join(f"{name}:{part.fingerprint()}:{image_size}" for name, part in sorted(lists.items()))
        self.sha256 = hashlib.sha256(text.encode()).hexdigest()
        self.mean = torch.tensor(mean, device=device)[:, None, None]
        self.std = torch.tensor(std, device=device)[:, None, None]
        self._shift, self._scale = 255 * self.mean, 255 * self.std

    def train_batches(self, batch_size: int, first_step: int = 0) -> Iterator[Batch]:
        """Yield training batches without end; see `InMemoryImages.train_batches`."""
        order = SampleOrder(self.sizes["train"], self.seeds.order, torch.device("cpu"))
        plan = TrainPlan(order, batch_size, first_step, self.seeds.augment, self._needed)
        samples = BatchReader(self.lists["train"], self.crop)
        for step, batch in zip(itertools.count(first_step), self._loaded(samples, plan), strict=False):
            if self.augment.mixes:
                generator = Generator().manual_seed(mixed_seed(self.seeds.augment, step))
                weights = functional.one_hot(batch["labels"], self.classes).float()
                images, weights = mix_batch(batch["inputs"], weights, self.augment, generator)
                batch = {"inputs": images, "labels": weights}
            yield batch

    def _needed(self, step: int, batch_size: int) -> set[int] | None:
        """Return the samples that this rank reads: its own and those mixed into them; None: all."""
        if self.local_slice is None:
            return None
        own = range(batch_size)[self.local_slice(batch_size)]
        if not self.augment.mixes:
            return set(own)
        generator = Generator().manual_seed(mixed_seed(self.seeds.augment, step))
        _, _, partner = draw_mix(batch_size, self.augment, generator)
        return {*own, *partner[own.start : own.stop].tolist()}

    def eval_batches(self, split: str, batch_size: int, limit: int | None = None) -> Iterator[Batch]:
        """Yield the central crop of every sample of a split once, in order, or of `limit` of them, evenly spaced."""
        count = self.sizes[split]
        chosen = torch.linspace(0, count - 1, min(limit or count, count)).long()
        plan: list[list[Key]] = [[(int(index), 0) for index in part] for part in chosen.split(batch_size)]
        loaded = self._loaded(BatchReader(self.lists[split], CentralCrop(self.image_size)), plan)
        for batch, part in zip(loaded, send(chosen, self.device).split(batch_size), strict=True):
            yield {**batch, "index": part}

    def _loaded(self, samples: BatchReader, plan: Iterable[list[Key]]) -> Iterator[Batch]:
        pinned, prefetch = self.device.type == "cuda", self._prefetched(plan) if self.workers else 2
        for loaded in read_batches(samples, plan, workers=self.workers, pin_memory=pinned, prefetch=prefetch):
            if isinstance(loaded, MissingError):
                raise loaded
            if loaded.deep:
                say_deep(self.where)
            yield self._normalised(loaded.pixels, loaded.labels)

    def _prefetched(self, plan: Iterable[list[Key]]) -> int:
        """Return how many batches each worker may read ahead, within `PREFETCH_BYTES` over all workers."""
        batch = len(next(iter(plan), ())) * math.prod(self.sample_shape)
        return min(4, max(1, PREFETCH_BYTES // max(1, batch * self.workers)))

    def _normalised(self, pixels: Tensor, labels: Tensor) -> Batch:
        """Copy uint8 (B, H, W, 3) to the device and normalise it in place."""
        images = send(pixels, self.device).permute(0, 3, 1, 2).contiguous().float()
        return {
            "inputs": images.sub_(self._shift).div_(self._scale),
            "labels": send(labels, self.device),
        }


def say_deep(where: str) -> None:
    """Say how images of more than 8 bits per channel are read."""
    say_once(
        f"{where}: images of more than 8 bits per channel are scaled to 0..255, "
        "each from the lowest to the highest value of its own file"
    )
