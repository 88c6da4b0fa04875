"""Large image sets: worker processes decode and crop, the device normalises and mixes.

Batch k is a function of (seeds, batch size, k) alone: indices come from the same stream of permutations as in memory,
and each sample's crop from a generator of its own, so that the number of workers changes nothing.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from optbench.contracts import Batch, Seeds
from optbench.data.augment import Augment, mix_batch
from optbench.data.image_list import ImageList, centred, decoded
from optbench.data.in_memory import Order
from optbench.draws import mixed_seed
from optbench.errors import ConfigError, MissingError

EVAL_MARGIN = 8 / 7  # evaluation scales the short side to 256 for a crop of 224
ASPECTS = (3 / 4, 4 / 3)  # of random crops, width to height (Szegedy et al., 2015)


class StreamedImages:
    """A DataSet of images that are decoded as they are needed."""

    tokens_per_sample = 0

    def __init__(
        self,
        lists: Mapping[str, ImageList],
        *,
        classes: int,
        image_size: int,
        crop_scale: float,
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
        self.image_size, self.crop_scale, self.workers = image_size, crop_scale, workers
        self.sizes = {name: len(part.labels) for name, part in lists.items()}
        self.sample_shape = (3, image_size, image_size)
        self.verified = True
        self.facts = {"sample_shape": list(self.sample_shape), "classes": classes}
        text = "".join(f"{name}:{part.fingerprint()}:{image_size}" for name, part in sorted(lists.items()))
        self.sha256 = hashlib.sha256(text.encode()).hexdigest()
        self._mean = torch.tensor(mean, device=device)[:, None, None] * 255
        self._std = torch.tensor(std, device=device)[:, None, None] * 255

    def train_batches(self, batch_size: int, first_step: int = 0) -> Iterator[Batch]:
        """Endless training batches from batch `first_step` on; see `InMemoryImages.train_batches`."""
        order = Order(self.sizes["train"], self.seeds.order, torch.device("cpu"))
        plan = TrainPlan(order, batch_size, first_step, self.seeds.augment)
        samples = Decoded(self.lists["train"], RandomCrop(self.image_size, self.crop_scale, self.augment.flip))
        for step, batch in zip(itertools.count(first_step), self._loaded(samples, plan), strict=False):
            if self.augment.mixes:
                generator = Generator().manual_seed(mixed_seed(self.seeds.augment, step))
                shares = functional.one_hot(batch["labels"], self.classes).float()
                images, shares = mix_batch(batch["inputs"], shares, self.augment, generator)
                batch = {"inputs": images, "labels": shares}
            yield batch

    def eval_batches(self, split: str, batch_size: int, limit: int | None = None) -> Iterator[Batch]:
        """Every sample of a split once, in order, or `limit` of them evenly spaced: the central crop."""
        count = self.sizes[split]
        chosen = torch.linspace(0, count - 1, min(limit or count, count)).long()
        plan = [[(int(index), 0) for index in part] for part in chosen.split(batch_size)]
        loaded = self._loaded(Decoded(self.lists[split], CentralCrop(self.image_size)), plan)
        for batch, part in zip(loaded, chosen.to(self.device).split(batch_size), strict=True):
            yield {**batch, "index": part}

    def _loaded(self, samples: Decoded, plan: Any) -> Iterator[Batch]:
        cuda = self.device.type == "cuda"
        loader = iter(
            DataLoader(
                samples,
                batch_sampler=plan,
                num_workers=self.workers,
                pin_memory=cuda,
                collate_fn=stacked,
                prefetch_factor=4 if self.workers else None,
            )
        )
        try:
            for loaded in loader:
                if isinstance(loaded, MissingError):
                    raise loaded
                images, labels = loaded
                inputs = (images.to(self.device, non_blocking=True).float() - self._mean) / self._std
                yield {"inputs": inputs, "labels": labels.to(self.device, non_blocking=True)}
        finally:
            stop = getattr(loader, "_shutdown_workers", None)  # at once, not when the iterator is collected
            if stop is not None:
                stop()


class TrainPlan:
    """An endless batch sampler: lists of (index, seed of the sample's crop)."""

    def __init__(self, order: Order, batch_size: int, first_step: int, seed: int) -> None:
        self.order, self.batch_size, self.first_step, self.seed = order, batch_size, first_step, seed

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for step in itertools.count(self.first_step):
            first = step * self.batch_size
            indices = self.order.indices(first, self.batch_size).tolist()
            yield [(index, mixed_seed(self.seed, first + at)) for at, index in enumerate(indices)]


Sample = tuple[Tensor, int]


def stacked(samples: list[Sample | MissingError]) -> tuple[Tensor, Tensor] | MissingError:
    """Samples as one batch, or the first error among them."""
    for sample in samples:
        if isinstance(sample, MissingError):
            return sample
    return torch.stack([image for image, _ in samples]), torch.tensor([label for _, label in samples])


class Decoded(Dataset[Sample | MissingError]):
    """Samples (uint8 image (3, S, S), label) by (index, seed), or the error of an image that does not decode."""

    def __init__(self, part: ImageList, crop: Any) -> None:
        self.part, self.crop, self.labels = part, crop, part.labels

    def __getitem__(self, key: tuple[int, int]) -> Sample | MissingError:
        index, seed = key
        try:
            pixels = decoded(self.part, index, lambda image: self.crop(image, seed))
        except MissingError as error:
            return error  # raised where it is read: a worker would wrap it into its traceback
        return torch.from_numpy(pixels.copy()), int(self.labels[index])


class RandomCrop:
    """A random part of the image, scaled to a square, perhaps mirrored (Szegedy et al., 2015)."""

    def __init__(self, size: int, smallest: float, flip: bool) -> None:
        self.size, self.smallest, self.flip = size, smallest, flip

    def __call__(self, image: Any, seed: int) -> Any:
        """The crop that the seed decides."""
        from PIL import Image

        draws = torch.rand(5, generator=Generator().manual_seed(seed), dtype=torch.float64).tolist()
        width, height = image.size
        area = width * height * (self.smallest + (1 - self.smallest) * draws[0])
        low, high = (math.log(aspect) for aspect in ASPECTS)
        aspect = math.exp(low + (high - low) * draws[1])
        w, h = min(width, math.sqrt(area * aspect)), min(height, math.sqrt(area / aspect))
        left, top = draws[2] * (width - w), draws[3] * (height - h)
        image = image.resize((self.size, self.size), Image.Resampling.BILINEAR, box=(left, top, left + w, top + h))
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if self.flip and draws[4] < 0.5 else image


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
