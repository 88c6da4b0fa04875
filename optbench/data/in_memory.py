"""Small image sets: all samples on the device as uint8; batches are drawn and augmented there.

Batch k depends only on (seeds, batch size, k), so that a resumed run needs no state of the data. Every batch is full:
batches run through an endless stream of epochs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional

from optbench.contracts import Batch, ImageData, Seeds
from optbench.counter_rng import mixed_seed
from optbench.data.augment import Augment, change_images, mix_batch
from optbench.data.classes import require_labels
from optbench.data.sample_order import SampleOrder
from optbench.data.sending import send
from optbench.data.splits import train_and_validation

FLOAT_LIMIT_BYTES = 512 * 2**20  # up to this size the normalised training images are kept as well


@dataclass(frozen=True)
class Images:
    """One split: uint8 images (N, C, H, W) and int64 labels (N,)."""

    images: Tensor
    labels: Tensor

    def at(self, indices: Tensor) -> Images:
        """Return the samples at these indices."""
        return Images(self.images[indices], self.labels[indices])


def three_splits(train: Images, test: Images, validation: int) -> dict[str, Images]:
    """Take `validation` samples of the training set as the validation split."""
    kept, held_out = train_and_validation(train.labels, validation)
    return {"train": train.at(kept), "validation": train.at(held_out), "test": test}


class InMemoryImages(ImageData):
    """Images on the device."""

    tokens_per_sample = 0

    def __init__(
        self,
        splits: Mapping[str, Images],
        *,
        classes: int,
        augment: Augment,
        seeds: Seeds,
        device: torch.device,
        verified: bool = True,
    ) -> None:
        require_labels("the data set", {name: split.labels for name, split in splits.items()}, classes)
        self.sha256 = content_sha256(splits)
        self.verified, self.classes, self.augment, self.seeds, self.device = verified, classes, augment, seeds, device
        self.sizes = {name: len(split.labels) for name, split in splits.items()}
        self.sample_shape = tuple(splits["train"].images.shape[1:])
        self.facts = {"sample_shape": list(self.sample_shape), "classes": classes}
        mean, std = channel_statistics(splits["train"].images)
        self.mean, self.std = mean.to(device), std.to(device)
        self._splits = {
            name: Images(split.images.to(device), split.labels.to(device)) for name, split in splits.items()
        }
        train = self._splits["train"].images
        fits = train.numel() * 4 <= FLOAT_LIMIT_BYTES
        self._normalised = self._normalise(train) if fits else None

    def _normalise(self, images: Tensor) -> Tensor:
        return (images.float() / 255 - self.mean) / self.std

    def train_batches(self, batch_size: int, first_step: int = 0) -> Iterator[Batch]:
        """Yield training batches without end: "inputs" (B, C, H, W) float32, normalised; "labels" (B,) int64, or
        (B, classes) float32 if images are mixed."""
        labels = self._splits["train"].labels
        order = SampleOrder(self.sizes["train"], self.seeds.order, self.device)
        step = first_step
        while True:
            chosen = order.indices(step * batch_size, batch_size)
            images = (
                self._normalised[chosen]
                if self._normalised is not None
                else self._normalise(self._splits["train"].images[chosen])
            )
            yield self._augmented(images, labels[chosen], step)
            step += 1

    def _augmented(self, images: Tensor, labels: Tensor, step: int) -> Batch:
        augment = self.augment
        if not augment.changes_images and not augment.mixes:
            return {"inputs": images, "labels": labels}
        generator = Generator().manual_seed(mixed_seed(self.seeds.augment, step))
        if augment.changes_images:
            images = change_images(images, augment, generator)
        if not augment.mixes:
            return {"inputs": images, "labels": labels}
        weights = functional.one_hot(labels, self.classes).float()
        images, weights = mix_batch(images, weights, augment, generator)
        return {"inputs": images, "labels": weights}

    def eval_batches(self, split: str, batch_size: int, limit: int | None = None) -> Iterator[Batch]:
        """Yield every sample of a split once, in order, or `limit` of them, evenly spaced."""
        samples = self._splits[split]
        count = len(samples.labels)
        chosen = torch.arange(count, device=self.device)
        if limit is not None and limit < count:
            chosen = send(torch.linspace(0, count - 1, limit).long(), self.device)
        for part in chosen.split(batch_size):
            yield {"inputs": self._normalise(samples.images[part]), "labels": samples.labels[part], "index": part}


def channel_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each channel of uint8 images, (C, 1, 1) each, on the scale 0 to 1."""
    sums, squares = torch.zeros(images.shape[1], dtype=torch.float64), torch.zeros(images.shape[1], dtype=torch.float64)
    for part in images.split(4096):  # in parts, since float64 takes eight times the memory
        values = part.double() / 255
        sums += values.sum((0, 2, 3))
        squares += values.square().sum((0, 2, 3))
    count = images.numel() // images.shape[1]
    mean = sums / count
    std = (squares / count - mean.square()).clamp_min(1e-12).sqrt()
    return mean.float()[:, None, None], std.float()[:, None, None]


def content_sha256(splits: Mapping[str, Images]) -> str:
    """Hash the name, images and labels of every split."""
    digest = hashlib.sha256()
    for name, split in sorted(splits.items()):
        digest.update(f"{name}:{tuple(split.images.shape)}".encode())
        digest.update(split.images.contiguous().numpy().tobytes())
        digest.update(split.labels.contiguous().numpy().tobytes())
    return digest.hexdigest()
