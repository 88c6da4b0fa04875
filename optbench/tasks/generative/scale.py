"""The generator's scale of pixels, -1 to 1."""

from __future__ import annotations

import torch
from torch import Tensor

from optbench.contracts import ImageData


class GeneratorScale:
    """Maps the data's normalised images to the scale -1 to 1."""

    def __init__(self, data: ImageData) -> None:
        self.factor, self.shift = 2 * data.std, 2 * data.mean - 1

    def __call__(self, inputs: Tensor) -> Tensor:
        return inputs * self.factor + self.shift


def to_uint8(images: Tensor) -> Tensor:
    """Convert images on the scale -1 to 1 to uint8, as an image file would store them; NaN becomes 0."""
    return ((images.float().clamp(-1, 1) + 1) * 127.5).round().nan_to_num(0).to(torch.uint8)
