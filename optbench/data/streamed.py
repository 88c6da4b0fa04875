"""Large image sets: worker processes decode and crop, the device normalises and mixes.

Batch k is a function of (seeds, batch size, k) alone: indices come from the same stream of permutations as in memory,
and each sample's crop from a generator of its own, so that the number of workers changes nothing.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import math
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from optbench.contracts import Batch, Seeds
from optbench.counter_rng import mixed_seed
from optbench.data.augment import Augment, drawn_mix, mix_batch
from optbench.data.image_list import ImageList, centred, decoded, shrunk
from optbench.data.in_memory import Order
from optbench.data.randaugment import OPERATIONS, randaugment
from optbench.errors import ConfigError, MissingError

EVAL_MARGIN = 8 / 7  # evaluation scales the short side to 256 for a crop of 224
PREFETCH_BYTES = 2**30  # of uint8 pixels that workers may have ready
ASPECTS = (3 / 4, 4 / 3)  # of random crops, width to height (Szegedy et al., 2015)


class StreamedImages:
    """A DataSet of images that are decoded as they are needed."""

    tokens_per_sample = 0
    local_slice: Callable[[int], slice] | None = None
    """Where several processes share each training batch of so many samples: which of them are this one's. Others are
    left black, except where they are mixed into its own."""

    def __init__(
        self,
        lists: Mapping[str, ImageList],
        *,
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
                "data.augment: crop_pad and cutout are for sets in memory; a streamed set has random resized crops",
                "Set data.augment.crop_pad=0 data.augment.cutout=0, or raise data.in_memory_bytes",
            )
        self.lists, self.classes, self.augment, self.seeds, self.device = lists, classes, augment, seeds, device
        self.image_size, self.workers = image_size, workers
        self.crop = RandomCrop(image_size, crop_scale, augment.flip, randaugment)
        self.sizes = {name: len(part.labels) for name, part in lists.items()}
        self.sample_shape = (3, image_size, image_size)
        self.verified = True
        self.facts = {"sample_shape": list(self.sample_shape), "classes": classes}
        text = "".join(f"{name}:{part.fingerprint()}:{image_size}" for name, part in sorted(lists.items()))
        self.sha256 = hashlib.sha256(text.encode()).hexdigest()
        self.mean = torch.tensor(mean, device=device)[:, None, None]
        self.std = torch.tensor(std, device=device)[:, None, None]
        self._shift, self._scale = 255 * self.mean, 255 * self.std

    def train_batches(self, batch_size: int, first_step: int = 0) -> Iterator[Batch]:
        """Endless training batches from batch `first_step` on; see `InMemoryImages.train_batches`."""
        order = Order(self.sizes["train"], self.seeds.order, torch.device("cpu"))
        plan = TrainPlan(order, batch_size, first_step, self.seeds.augment, self._needed)
        samples = Decoded(self.lists["train"], self.crop)
        for step, batch in zip(itertools.count(first_step), self._loaded(samples, plan), strict=False):
            if self.augment.mixes:
                generator = Generator().manual_seed(mixed_seed(self.seeds.augment, step))
                shares = functional.one_hot(batch["labels"], self.classes).float()
                images, shares = mix_batch(batch["inputs"], shares, self.augment, generator)
                batch = {"inputs": images, "labels": shares}
            yield batch

    def _needed(self, step: int, batch_size: int) -> set[int] | None:
        """Which samples of a batch this process reads: its own and those that are mixed into them; None: all."""
        if self.local_slice is None:
            return None
        own = range(batch_size)[self.local_slice(batch_size)]
        if not self.augment.mixes:
            return set(own)
        generator = Generator().manual_seed(mixed_seed(self.seeds.augment, step))
        _, _, partner = drawn_mix(batch_size, self.augment, generator)
        return {*own, *partner[own.start : own.stop].tolist()}

    def eval_batches(self, split: str, batch_size: int, limit: int | None = None) -> Iterator[Batch]:
        """Every sample of a split once, in order, or `limit` of them evenly spaced: the central crop."""
        count = self.sizes[split]
        chosen = torch.linspace(0, count - 1, min(limit or count, count)).long()
        plan = [[(int(index), 0) for index in part] for part in chosen.split(batch_size)]
        loaded = self._loaded(Decoded(self.lists[split], CentralCrop(self.image_size)), plan)
        for batch, part in zip(loaded, chosen.to(self.device).split(batch_size), strict=True):
            yield {**batch, "index": part}

    def _loaded(self, samples: Decoded, plan: Any) -> Iterator[Batch]:
        loader = iter(
            DataLoader(
                samples,
                batch_sampler=plan,
                num_workers=self.workers,
                pin_memory=self.device.type == "cuda",
                collate_fn=as_it_is,
                worker_init_fn=deaf,
                prefetch_factor=self._prefetched(plan) if self.workers else None,
            )
        )
        try:
            for loaded in loader:
                if isinstance(loaded, MissingError):
                    raise loaded
                yield self._normalised(*loaded)
        finally:
            stop = getattr(loader, "_shutdown_workers", None)  # at once, not when the iterator is collected
            if stop is not None:
                stop()

    def _prefetched(self, plan: Any) -> int:
        """Batches that each worker may be ahead, within `PREFETCH_BYTES` over all of them."""
        batch = len(next(iter(plan), ())) * math.prod(self.sample_shape)
        return min(4, max(1, PREFETCH_BYTES // max(1, batch * self.workers)))

    def _normalised(self, pixels: Tensor, labels: Tensor) -> Batch:
        """A batch on the device from uint8 (B, H, W, 3), normalised in place."""
        images = pixels.to(self.device, non_blocking=True).permute(0, 3, 1, 2).contiguous().float()
        return {
            "inputs": images.sub_(self._shift).div_(self._scale),
            "labels": labels.to(self.device, non_blocking=True),
        }


Needed = Callable[[int, int], set[int] | None]  # positions in a batch by (step, batch size); None: all of them


class TrainPlan:
    """An endless batch sampler: lists of (index, seed of the sample's crop), the seed None where none is needed."""

    def __init__(
        self, order: Order, batch_size: int, first_step: int, seed: int, needed: Needed = lambda step, size: None
    ) -> None:
        self.order, self.batch_size, self.first_step, self.seed = order, batch_size, first_step, seed
        self.needed = needed

    def __iter__(self) -> Iterator[list[Key]]:
        for step in itertools.count(self.first_step):
            first = step * self.batch_size
            indices = self.order.indices(first, self.batch_size).tolist()
            needed = self.needed(step, self.batch_size)
            yield [
                (index, mixed_seed(self.seed, first + at) if needed is None or at in needed else None)
                for at, index in enumerate(indices)
            ]


Loaded = tuple[Tensor, Tensor] | MissingError
Key = tuple[int, int | None]


def as_it_is(batch: Loaded) -> Loaded:
    """Batches are put together where they are decoded."""
    return batch


def deaf(worker: int) -> None:
    """A worker leaves signals to the run: Ctrl-C, a terminal and schedulers send theirs to the whole group of
    processes, and a run whose workers die of it could not end its step and write its checkpoint."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


class Decoded(Dataset[Loaded]):
    """Whole batches (uint8 (B, S, S, 3), labels (B,)) by lists of (index, seed), or the error of an image that does not
    decode. Images keep PIL's order of channels: the device turns them faster."""

    def __init__(self, part: ImageList, crop: Any) -> None:
        self.part, self.crop, self.labels = part, crop, part.labels

    def __getitems__(self, keys: list[Key]) -> Loaded:
        pixels = np.empty((len(keys), self.crop.size, self.crop.size, 3), np.uint8)
        try:
            for at, (index, seed) in enumerate(keys):
                if seed is None:
                    pixels[at] = 0
                else:
                    pixels[at] = decoded(self.part, index, functools.partial(self.crop, seed=seed))
        except MissingError as error:
            return error  # raised where it is read: a worker would wrap it into its traceback
        return torch.from_numpy(pixels), self.labels[[index for index, _ in keys]]


class RandomCrop:
    """A random part of the image, scaled to a square, perhaps mirrored (Szegedy et al., 2015), perhaps changed by
    RandAugment."""

    def __init__(self, size: int, smallest: float, flip: bool, magnitude: float) -> None:
        self.size, self.smallest, self.flip, self.magnitude = size, smallest, flip, magnitude

    def __call__(self, image: Any, seed: int) -> Any:
        """The crop that the seed decides."""
        from PIL import Image

        generator = Generator().manual_seed(seed)
        draws = torch.rand(5, generator=generator, dtype=torch.float64).tolist()
        left, top, w, h = self.box(*image.size, draws)
        image, scale = shrunk(image, min(w, h) / self.size)
        box = (left * scale, top * scale, (left + w) * scale, (top + h) * scale)
        image = image.resize((self.size, self.size), Image.Resampling.BILINEAR, box=box)
        if self.flip and draws[4] < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if self.magnitude:
            more = torch.rand(2 * OPERATIONS, generator=generator, dtype=torch.float64).tolist()
            image = randaugment(image, self.magnitude, more)
        return image

    def box(self, width: int, height: int, draws: Sequence[float]) -> tuple[float, float, float, float]:
        """Left, top, width and height of the part that four draws in [0, 1) choose."""
        area = width * height * (self.smallest + (1 - self.smallest) * draws[0])
        low, high = (math.log(aspect) for aspect in ASPECTS)
        aspect = math.exp(low + (high - low) * draws[1])
        w, h = min(width, math.sqrt(area * aspect)), min(height, math.sqrt(area / aspect))
        return draws[2] * (width - w), draws[3] * (height - h), w, h


class CentralCrop:
    """The short side scaled to 8/7 of the size, then the central square."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, image: Any, seed: int) -> Any:
        """The same crop for every seed."""
        side = round(self.size * EVAL_MARGIN)
        image = centred(image, side)
        margin = (side - self.size) // 2
        return image.crop((margin, margin, margin + self.size, margin + self.size))
