"""Lists of encoded images with known labels."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from torch import Tensor

from optbench.errors import MissingError

if TYPE_CHECKING:
    from PIL import Image


class ImageList(Protocol):
    """Images that are opened one at a time."""

    labels: Tensor
    """int64 classes (N,)."""

    def open(self, index: int) -> Image.Image:
        """Image `index`. May raise anything where it does not decode."""

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
    """One image as uint8 (3, H, W) after `shape`. MissingError names an image that does not decode."""
    try:
        image = shape(part.open(index).convert("RGB"))
    except Exception as error:  # decoders raise many kinds
        raise MissingError(f"{part.describe(index)} cannot be decoded: {error}") from error
    return np.asarray(image).transpose(2, 0, 1)


def centred(image: Any, size: int) -> Any:
    """The short side scaled to `size`, then the central square."""
    from PIL import Image

    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    if (width, height) != image.size:
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (width - size) // 2, (height - size) // 2
    return image.crop((left, top, left + size, top + size)) if image.size != (size, size) else image


@dataclass(frozen=True)
class Files:
    """Image files with their classes."""

    paths: Sequence[Path]
    labels: Tensor

    def open(self, index: int) -> Image.Image:
        """The decoded file."""
        from PIL import Image

        with Image.open(self.paths[index]) as image:
            image.load()
            return image

    def describe(self, index: int) -> str:
        """Class folder and file name."""
        return "/".join(self.paths[index].parts[-3:])

    def fingerprint(self) -> str:
        """Hash of names and sizes: reading all the pixels of a set that is streamed would take hours."""
        names = (f"{self.describe(index)}:{path.stat().st_size}" for index, path in enumerate(self.paths))
        return hashlib.sha256("\n".join(names).encode()).hexdigest()
