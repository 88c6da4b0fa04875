"""Crops of streamed images: random ones for training, the central one for evaluation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Generator

from optbench.data.decode import center_crop, cut
from optbench.data.pictures import shown_size
from optbench.data.randaugment import OPERATIONS, randaugment

if TYPE_CHECKING:
    from PIL import Image

EVAL_MARGIN = 8 / 7  # evaluation scales the short side to 256 for a crop of 224
ASPECTS = (3 / 4, 4 / 3)  # of random crops, width to height (Szegedy et al., 2015)


class Crop(Protocol):
    """Turns an image into an RGB square."""

    size: int
    """Pixels per side."""

    def __call__(self, image: Image.Image, seed: int) -> Image.Image:
        """Return the square determined by the seed."""
        ...


class RandomCrop:
    """A random part of the image, scaled to a square (Szegedy et al., 2015); optional mirroring and RandAugment."""

    def __init__(self, size: int, smallest: float, flip: bool, magnitude: float) -> None:
        self.size, self.smallest, self.flip, self.magnitude = size, smallest, flip, magnitude

    def __call__(self, image: Image.Image, seed: int) -> Image.Image:
        """Return the crop determined by the seed."""
        from PIL import Image

        generator = Generator().manual_seed(seed)
        draws = torch.rand(5, generator=generator, dtype=torch.float64).tolist()
        left, top, width, height = self.box(*shown_size(image), draws)
        image = cut(image, (left, top, left + width, top + height), (self.size, self.size))
        if self.flip and draws[4] < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if self.magnitude:
            more = torch.rand(2 * OPERATIONS, generator=generator, dtype=torch.float64).tolist()
            image = randaugment(image, self.magnitude, more)
        return image

    def box(self, width: int, height: int, draws: Sequence[float]) -> tuple[float, float, float, float]:
        """Return left, top, width and height of the part that four draws in [0, 1) select."""
        area = width * height * (self.smallest + (1 - self.smallest) * draws[0])
        low, high = (math.log(aspect) for aspect in ASPECTS)
        aspect = math.exp(low + (high - low) * draws[1])
        w, h = min(width, math.sqrt(area * aspect)), min(height, math.sqrt(area / aspect))
        return draws[2] * (width - w), draws[3] * (height - h), w, h


class CentralCrop:
    """The short side scaled to 8/7 of the size, then the central square."""

    def __init__(self, size: int) -> None:
        self.size = size

    def __call__(self, image: Image.Image, seed: int) -> Image.Image:
        """Return the same crop for every seed."""
        side = round(self.size * EVAL_MARGIN)
        image = center_crop(image, side)
        margin = (side - self.size) // 2
        return image.crop((margin, margin, margin + self.size, margin + self.size))
