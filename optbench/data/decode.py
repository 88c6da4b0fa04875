"""Decoding of single images to RGB, and the central crop."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from optbench.data.image_list import ImageList
from optbench.data.pictures import SIDEWAYS, is_deep, orientation, shown_size, stored_box, to_rgb, upright
from optbench.errors import MissingError, first_line

if TYPE_CHECKING:
    from PIL import Image

REDUCING_GAP = 2.0  # as in Pillow's own thumbnails: with less, the decoder's coarser filter is visible

Box = tuple[float, float, float, float]
"""Left, top, right and bottom of a part of the upright image, in pixels."""


class Decoded(NamedTuple):
    """Pixels uint8 (H, W, 3), and True if the file has channels of more than 8 bits, scaled by its own range."""

    pixels: np.ndarray
    deep: bool


def decode(part: ImageList, index: int, crop: Callable[[Image.Image], Image.Image]) -> Decoded:
    """Return one image after `crop`, which makes it RGB.

    Raises MissingError with the name of an image that cannot be decoded."""
    try:
        image = part.open(index)
        return Decoded(np.asarray(crop(image)), is_deep(image))
    except ModuleNotFoundError:
        raise
    except Exception as error:  # decoders raise many kinds
        reason = getattr(error, "strerror", None) or first_line(error) or type(error).__name__
        raise MissingError(f"{part.describe(index)} cannot be decoded: {reason}") from error


def cut(image: Image.Image, box: Box, size: tuple[int, int]) -> Image.Image:
    """Return a part of the upright image in RGB, scaled to `size`.

    An image that is scaled down may be decoded smaller: JPEG decoders produce half, a quarter or an eighth of the size
    with less work (Pillow's "draft"). At least `REDUCING_GAP` times the needed pixels remain on each side, so that the
    later resampling decides the quality."""
    from PIL import Image

    turn, stored = orientation(image), image.size
    width, height = size if turn not in SIDEWAYS else (size[1], size[0])
    factor = min(box[2] - box[0], box[3] - box[1]) / min(size)
    place = stored_box(box, turn, stored)
    image, scale = decode_reduced(image, factor)
    left, top, right, bottom = (side * scale for side in place)
    part = image.resize((width, height), Image.Resampling.BILINEAR, box=(left, top, right, bottom))
    return upright(part, turn)


def decode_reduced(image: Image.Image, factor: float) -> tuple[Image.Image, float]:
    """Return the image as stored, in RGB, and its scale, if it will be scaled down by `factor`.

    The last row and column may lie partly outside the original: its extent is the original's times the scale, not the
    image's size."""
    width, reduction = image.width, factor / REDUCING_GAP
    drafted = None
    if reduction >= 2:
        drafted = image.draft(None, (int(image.width / reduction), int(image.height / reduction)))
    return to_rgb(image), drafted[1][2] / width if drafted else 1.0


def center_crop(image: Image.Image, size: int) -> Image.Image:
    """Scale the short side to `size`, then cut out the central square, in RGB."""
    extent = shown_size(image)
    width, height = (max(size, round(side * size / min(extent))) for side in extent)
    image = cut(image, (0, 0, *extent), (width, height))
    left, top = (width - size) // 2, (height - size) // 2
    return image.crop((left, top, left + size, top + size)) if image.size != (size, size) else image
