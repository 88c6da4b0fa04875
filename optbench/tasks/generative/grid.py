"""A square grid of images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    import numpy as np

SMALLEST = 256  # pixels a side of the grid, at least
GAP, GREY = 1, 96  # pixels between two images before enlargement, and their level


def grid(images: Tensor) -> np.ndarray:
    """Arrange uint8 images (N, C, H, W), C = 1 or 3, as one uint8 array (height, width, 3).

    N must be a square number. Rows are in reading order with lines between images; small images are enlarged by a whole
    factor."""
    rows = math.isqrt(len(images))
    images = functional.pad(images, (0, GAP, 0, GAP), value=GREY)
    channels, height, width = images.shape[1:]
    whole = images.view(rows, rows, channels, height, width).permute(0, 3, 1, 4, 2)
    whole = whole.reshape(rows * height, rows * width, channels).expand(-1, -1, 3)
    times = max(1, math.ceil(SMALLEST / min(whole.shape[:2])))
    return whole.repeat_interleave(times, 0).repeat_interleave(times, 1).cpu().numpy()
