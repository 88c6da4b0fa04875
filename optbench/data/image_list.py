"""Lists of encoded images with known labels."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from torch import Tensor

from optbench.errors import MissingError, first_line

if TYPE_CHECKING:
    from PIL import Image

REDUCING_GAP = 2.0  # Pillow's own thumbnails take it: with less, the decoder's coarser filter shows


class ImageList(Protocol):
    """Images that are opened one at a time."""

    labels: Tensor
    """int64 classes (N,)."""

    def open(self, index: int) -> Image.Image:
        """Image `index`, decoded or about to be. May raise anything where it does not decode."""

    def describe(self, index: int) -> str:
        """The image's name, for errors."""

    def fingerprint(self) -> str:
        """What tells the list from another without decoding it."""


@dataclass(frozen=True)
class Subset:
    """Some images of a list."""

    base: ImageList
    chosen: Tensor

    @property
    def labels(self) -> Tensor:
        """Classes of the chosen images."""
        return self.base.labels[self.chosen]

    def open(self, index: int) -> Image.Image:
        """The chosen image."""
        return self.base.open(int(self.chosen[index]))

    def describe(self, index: int) -> str:
        """The chosen image's name."""
        return self.base.describe(int(self.chosen[index]))

    def fingerprint(self) -> str:
        """The list's, and what was chosen of it."""
        return self.base.fingerprint() + hashlib.sha256(self.chosen.numpy().tobytes()).hexdigest()


def decoded(part: ImageList, index: int, shape: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    """One image as uint8 (H, W, 3) after `shape`, which makes it RGB. MissingError names an image that does not
    decode."""
    try:
        return np.asarray(shape(part.open(index)))
    except Exception as error:  # decoders raise many kinds
        raise MissingError(f"{part.describe(index)} cannot be decoded: {first_line(error)}") from error


def shrunk(image: Any, factor: float) -> tuple[Any, float]:
    """The image in RGB and its scale: decoded at half, a quarter or an eighth of its size where it is to be scaled down
    by `factor`.

    JPEG decoders give smaller images for a part of the work (Pillow's "draft"). At least `REDUCING_GAP` times the
    pixels that are needed remain on each side, so that the resampling that follows has the last word. The last row and
    column may lie partly outside the original: its extent is the original's times the scale, not the image's size."""
    width, by = image.width, factor / REDUCING_GAP
    taken = image.draft(None, tuple(int(side / by) for side in image.size)) if by >= 2 else None
    return in_rgb(image), taken[1][2] / width if taken else 1.0


def in_rgb(image: Any) -> Any:
    """Grey, palette, CMYK and 16-bit images in RGB; transparency is left out."""
    from PIL import Image

    if image.mode == "RGB":
        return image
    if image.mode.startswith("I;16"):  # Pillow would cut off at 255
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert("RGB")


def centred(image: Any, size: int) -> Any:
    """The short side scaled to `size`, then the central square, in RGB."""
    from PIL import Image

    extent = image.size
    width, height = (max(size, round(side * size / min(extent))) for side in extent)
    image, scale = shrunk(image, min(extent) / size)
    if (width, height) != image.size:
        box = (0, 0, extent[0] * scale, extent[1] * scale)
        image = image.resize((width, height), Image.Resampling.BILINEAR, box=box)
    left, top = (width - size) // 2, (height - size) // 2
    return image.crop((left, top, left + size, top + size)) if image.size != (size, size) else image


@dataclass(frozen=True)
class Files:
    """Image files with their classes."""

    paths: Sequence[str]
    labels: Tensor

    def open(self, index: int) -> Image.Image:
        """The file, read but not yet decoded."""
        from PIL import Image, UnidentifiedImageError

        content = Path(self.paths[index]).read_bytes()
        if not content:
            raise ValueError("the file is empty")
        try:
            return Image.open(io.BytesIO(content))
        except UnidentifiedImageError:
            raise ValueError("no known image format") from None

    def describe(self, index: int) -> str:
        """Class folder and file name."""
        return "/".join(Path(self.paths[index]).parts[-3:])

    def fingerprint(self) -> str:
        """Hash of names and sizes: reading all the pixels of a set that is streamed would take hours."""
        names = (f"{self.describe(index)}:{os.stat(path).st_size}" for index, path in enumerate(self.paths))
        return hashlib.sha256("\n".join(names).encode()).hexdigest()
