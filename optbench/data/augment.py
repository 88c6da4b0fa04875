"""Augmentation of whole batches on the device.

Random numbers come from a CPU generator, so that they do not depend on the device; their use is vectorised.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor
from torch.nn import functional


@dataclass(frozen=True, kw_only=True)
class Augment:
    """The `augment:` settings of a data set; their meanings stand in conf/data/digits.yaml."""

    crop_pad: int | None  # None: as suits the way the set is held, see `held`
    flip: bool
    cutout: int
    mixup: float
    cutmix: float

    def held(self, in_memory: bool, image_size: int) -> Augment:
        """The same with crop_pad decided: image_size / 16 for a set in memory; a streamed one has its own crops."""
        chosen = image_size // 16 if in_memory else 0
        return self if self.crop_pad is not None else replace(self, crop_pad=chosen)

    @property
    def moves_pixels(self) -> bool:
        """Whether single images are changed."""
        return bool(self.crop_pad or self.flip or self.cutout)

    @property
    def mixes(self) -> bool:
        """Whether images and labels are mixed within a batch."""
        return bool(self.mixup or self.cutmix)


def change_images(images: Tensor, augment: Augment, generator: Generator) -> Tensor:
    """Crop, flip and cutout of images (B, C, H, W), normalised: padding and holes are zero, the mean pixel."""
    if augment.crop_pad or augment.flip:
        images = crop_and_flip(images, augment.crop_pad or 0, augment.flip, generator)
    return cutout(images, augment.cutout, generator) if augment.cutout else images


def crop_and_flip(images: Tensor, pad: int, flip: bool, generator: Generator) -> Tensor:
    """A random window of the original size out of the zero-padded image, mirrored with probability 1/2 if `flip`."""
    count, channels, height, width = images.shape
    top, left = torch.randint(0, 2 * pad + 1, (2, count), generator=generator)
    rows = top[:, None] + torch.arange(height)
    columns = left[:, None] + torch.arange(width)
    if flip:
        mirrored = torch.randint(0, 2, (count,), generator=generator).bool()
        columns = torch.where(mirrored[:, None], columns.flip(1), columns)
    padded = functional.pad(images, (pad,) * 4) if pad else images
    index = (rows[:, :, None] * (width + 2 * pad) + columns[:, None, :]).reshape(count, 1, height * width)
    index = index.to(images.device, non_blocking=True).expand(-1, channels, -1)
    return padded.flatten(2).gather(2, index).view_as(images)


def cutout(images: Tensor, side: int, generator: Generator) -> Tensor:
    """A square of `side` pixels around a random point set to zero, cut off at the border (DeVries and Taylor, 2017)."""
    count, _, height, width = images.shape
    centre = torch.rand(2, count, 1, generator=generator) * torch.tensor([height, width])[:, None, None]
    first = centre.floor() - side // 2
    inside = [
        (axis >= start) & (axis < start + side)
        for axis, start in zip((torch.arange(height), torch.arange(width)), first, strict=True)
    ]
    hole = inside[0][:, :, None] & inside[1][:, None, :]
    return images.masked_fill(hole[:, None].to(images.device), 0.0)


def mix_batch(images: Tensor, shares: Tensor, augment: Augment, generator: Generator) -> tuple[Tensor, Tensor]:
    """Mixup (Zhang et al., 2018) or CutMix (Yun et al., 2019), either with probability 1/2 where both are on.

    images (B, C, H, W); shares (B, classes), each row summing to one."""
    cut, weight, partner = drawn_mix(len(images), augment, generator)
    partner = partner.to(images.device)
    mix: Callable[[Tensor, Tensor, float, Generator], tuple[Tensor, float]] = paste if cut else blend
    mixed, weight = mix(images, images[partner], weight, generator)
    return mixed, shares * weight + shares[partner] * (1 - weight)


def drawn_mix(count: int, augment: Augment, generator: Generator) -> tuple[bool, float, Tensor]:
    """Whether CutMix it is, the weight of each image itself, and the partner (count,) of each."""
    both = augment.mixup > 0 and augment.cutmix > 0
    cut = augment.cutmix > 0 and (not both or bool(torch.rand((), generator=generator) < 0.5))
    weight = beta(augment.cutmix if cut else augment.mixup, generator)
    return cut, weight, torch.randperm(count, generator=generator)


def blend(images: Tensor, others: Tensor, weight: float, generator: Generator) -> tuple[Tensor, float]:
    """weight * images + (1 - weight) * others."""
    return torch.lerp(others, images, weight), weight


def paste(images: Tensor, others: Tensor, weight: float, generator: Generator) -> tuple[Tensor, float]:
    """A box of area (1 - weight) around a random point taken from the others; the weight of what is left."""
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
    """A draw from Beta(alpha, alpha) (torch's own sampler takes no generator)."""
    gamma = torch._standard_gamma(torch.full((2,), alpha, dtype=torch.float64), generator=generator)
    total = float(gamma.sum())
    return float(gamma[0]) / total if total > 0 else 0.5
