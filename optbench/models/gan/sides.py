"""How an image's side is halved down to the few pixels that a generator starts from."""

from __future__ import annotations

from optbench.contracts import ImageData
from optbench.errors import ConfigError

LARGEST_BASE = 8  # pixels a side that a generator starts from, at most


def halvings(side: int, smallest: int) -> int:
    """How often `side` can be halved before it would be odd or below `smallest`."""
    count = 0
    while side % 2 == 0 and side // 2 >= smallest:
        side, count = side // 2, count + 1
    return count


def square_side(data: ImageData) -> int:
    """The side of the images. Raises ConfigError where they are not square or cannot be grown from a few pixels."""
    _, height, width = data.sample_shape
    base = height >> halvings(height, 4)
    if height != width:
        raise ConfigError(f"model: a generator needs square images; this data has {height}x{width} pixels")
    if base > LARGEST_BASE or base == height:
        raise ConfigError(
            f"model: a generator doubles from at most {LARGEST_BASE} pixels a side; {height} cannot be reached",
            "Take images of e.g. 8, 28, 32 or 64 pixels a side",
        )
    return height
