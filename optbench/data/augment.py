"""Augmentation of whole batches on the device.

Random numbers come from a CPU generator, so that they do not depend on the device. They are few, and are sent there
without a wait; all that is computed from them is computed on the device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn import functional

from optbench.data.sending import send


@dataclass(frozen=True, kw_only=True)
class Augment:
    """The `augment:` settings of a data set; conf/data/digits.yaml explains them."""

    crop_pad: int | None  # None: depends on where the set is held, see `with_crop_pad`
    flip: bool
    cutout: int
    mixup: float
    cutmix: float

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Augment:
        """Read the settings of a configuration."""
        return cls(**settings)

    def with_crop_pad(self, in_memory: bool, image_size: int) -> Augment:
        """Decide an open crop_pad: image_size / 16 for a set in memory, 0 for a streamed one, which has other crops."""
        chosen = image_size // 16 if in_memory else 0
        return self if self.crop_pad is not None else replace(self, crop_pad=chosen)

    @property
    def changes_images(self) -> bool:
        """True if single images are changed."""
        return bool(self.crop_pad or self.flip or self.cutout)

    @property
    def mixes(self) -> bool:
        """True if images and labels are mixed within a batch."""
        return bool(self.mixup or self.cutmix)


def change_images(images: Tensor, augment: Augment, generator: Generator) -> Tensor:
    """Crop, flip and cut out normalised images (B, C, H, W); padding and holes are zero, the mean pixel."""
    if augment.crop_pad or augment.flip:
        images = crop_and_flip(images, augment.crop_pad or 0, augment.flip, generator)
    return cutout(images, augment.cutout, generator) if augment.cutout else images


def crop_and_flip(images: Tensor, pad: int, flip: bool, generator: Generator) -> Tensor:
    """Cut a random window of the original size from the zero-padded image; if `flip`, mirror half of the images."""
    count, channels, height, width = images.shape
    drawn = torch.randint(0, 2 * pad + 1, (2, count), generator=generator)
    if flip:
        drawn = torch.cat([drawn, torch.randint(0, 2, (1, count), generator=generator)])
    top, left, *mirrored = send(drawn, images.device)[:, :, None]
    rows = top + torch.arange(height, device=images.device)
    columns = left + torch.arange(width, device=images.device)
    if flip:
        columns = torch.where(mirrored[0].bool(), columns.flip(1), columns)
    padded = functional.pad(images, (pad,) * 4) if pad else images
    index = (rows[:, :, None] * (width + 2 * pad) + columns[:, None, :]).reshape(count, 1, height * width)
    return padded.flatten(2).gather(2, index.expand(-1, channels, -1)).view_as(images)


def cutout(images: Tensor, side: int, generator: Generator) -> Tensor:
    """Set a square of `side` pixels around a random point to zero, clipped at the border (DeVries and Taylor, 2017)."""
    count, _, height, width = images.shape
    centre = torch.rand(2, count, 1, generator=generator) * torch.tensor([height, width])[:, None, None]
    first = send(centre.floor() - side // 2, images.device)
    axes = (torch.arange(height, device=images.device), torch.arange(width, device=images.device))
    rows, columns = ((axis >= start) & (axis < start + side) for axis, start in zip(axes, first, strict=True))
    return images.masked_fill((rows[:, :, None] & columns[:, None, :])[:, None], 0.0)


def mix_batch(images: Tensor, labels: Tensor, augment: Augment, generator: Generator) -> tuple[Tensor, Tensor]:
    """Apply mixup (Zhang et al., 2018) or CutMix (Yun et al., 2019); if both are on, either with probability 1/2.

    images (B, C, H, W); labels (B, classes), each row summing to one."""
    is_cutmix, weight, partner = draw_mix(len(images), augment, generator)
    partner = send(partner, images.device)
    mix: Callable[[Tensor, Tensor, float, Generator], tuple[Tensor, float]] = paste if is_cutmix else blend
    mixed, weight = mix(images, images[partner], weight, generator)
    return mixed, labels * weight + labels[partner] * (1 - weight)


def draw_mix(count: int, augment: Augment, generator: Generator) -> tuple[bool, float, Tensor]:
    """Draw True for CutMix or False for mixup, the weight of each image itself, and the partner (count,) of each."""
    both = augment.mixup > 0 and augment.cutmix > 0
    is_cutmix = augment.cutmix > 0 and (not both or bool(torch.rand((), generator=generator) < 0.5))
    weight = beta(augment.cutmix if is_cutmix else augment.mixup, generator)
    return is_cutmix, weight, torch.randperm(count, generator=generator)


def blend(images: Tensor, others: Tensor, weight: float, generator: Generator) -> tuple[Tensor, float]:
    """Return weight * images + (1 - weight) * others, and the weight."""
    return torch.lerp(others, images, weight), weight


def paste(images: Tensor, others: Tensor, weight: float, generator: Generator) -> tuple[Tensor, float]:
    """Paste a box of area (1 - weight) around a random point from `others`; return the weight that is left."""
    height, width = images.shape[2:]
    side = math.sqrt(1 - weight)
    y, x = (torch.rand(2, generator=generator) * torch.tensor([height, width])).long().tolist()
    half_y, half_x = int(height * side) // 2, int(width * side) // 2
    top, bottom = max(0, y - half_y), min(height, y + half_y)
    left, right = max(0, x - half_x), min(width, x + half_x)
    mixed = images.clone()
    mixed[:, :, top:bottom, left:right] = others[:, :, top:bottom, left:right]
    return mixed, 1 - (bottom - top) * (right - left) / (height * width)


def beta(alpha: float, generator: Generator) -> float:
    """Draw from Beta(alpha, alpha); torch's own sampler takes no generator."""
    gamma = torch.ops.aten._standard_gamma(torch.full((2,), alpha, dtype=torch.float64), generator=generator)
    total = float(gamma.sum())
    return float(gamma[0]) / total if total > 0 else 0.5
