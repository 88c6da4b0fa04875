"""The number of times an image's side can be halved, down to the few pixels that a generator starts from."""

from __future__ import annotations

from optbench.contracts import ImageData
from optbench.errors import ConfigError

LARGEST_BASE = 8  # a generator starts from at most this many pixels a side


def halvings(side: int, smallest: int) -> int:
    """Count how often `side` can be halved without becoming odd or smaller than `smallest`."""
    count = 0
    while side % 2 == 0 and side // 2 >= smallest:
        side, count = side // 2, count + 1
    return count


def square_side(data: ImageData) -> int:
    """Return the side of the images.

    Raises ConfigError if they are not square or repeated doubling from a few pixels does not reach their side."""
    _, height, width = data.sample_shape
    base = height >> halvings(height, 4)
    if height != width:
        raise ConfigError(f"model: a generator needs square images, but this data has {height}x{width} pixels")
    if base > LARGEST_BASE or base == height:
        raise ConfigError(
            f"model: a generator doubles from at most {LARGEST_BASE} pixels a side and cannot reach {height}",
            "Use images of e.g. 8, 28, 32 or 64 pixels a side",
        )
    return height
