"""Decoding of single images to RGB, and the central crop."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from optbench.data.image_list import ImageList
from optbench.errors import MissingError, first_line

if TYPE_CHECKING:
    from PIL import Image

REDUCING_GAP = 2.0  # as in Pillow's own thumbnails: with less, the decoder's coarser filter is visible


def decode(part: ImageList, index: int, crop: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    """Return one image as uint8 (H, W, 3) after `crop`, which makes it RGB.

    Raises MissingError with the name of an image that cannot be decoded."""
    try:
        return np.asarray(crop(part.open(index)))
    except Exception as error:  # decoders raise many kinds
        raise MissingError(f"{part.describe(index)} cannot be decoded: {first_line(error)}") from error


def decode_reduced(image: Image.Image, factor: float) -> tuple[Image.Image, float]:
    """Return the image in RGB and its scale. An image that will be scaled down by `factor` may be decoded smaller.

    JPEG decoders produce an image of half, a quarter or an eighth of the size with less work (Pillow's "draft"). At
    least `REDUCING_GAP` times the needed pixels remain on each side, so that the later resampling decides the quality.
    The last row and column may lie partly outside the original: its extent is the original's times the scale, not the
    image's size."""
    width, reduction = image.width, factor / REDUCING_GAP
    drafted = None
    if reduction >= 2:
        drafted = image.draft(None, (int(image.width / reduction), int(image.height / reduction)))
    return to_rgb(image), drafted[1][2] / width if drafted else 1.0


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert a grey, palette, CMYK or 16-bit image to RGB; drop transparency."""
    from PIL import Image

    if image.mode == "RGB":
        return image
    if image.mode.startswith("I;16"):  # Pillow would clip at 255
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def center_crop(image: Image.Image, size: int) -> Image.Image:
    """Scale the short side to `size`, then cut out the central square, in RGB."""
    from PIL import Image

    extent = image.size
    width, height = (max(size, round(side * size / min(extent))) for side in extent)
    image, scale = decode_reduced(image, min(extent) / size)
    if (width, height) != image.size:
        box = (0, 0, extent[0] * scale, extent[1] * scale)
        image = image.resize((width, height), Image.Resampling.BILINEAR, box=box)
    left, top = (width - size) // 2, (height - size) // 2
    return image.crop((left, top, left + size, top + size)) if image.size != (size, size) else image
