"""Lists of encoded images with known labels."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

if TYPE_CHECKING:
    from PIL import Image


class ImageList(Protocol):
    """Images that are opened one at a time."""

    @property
    def labels(self) -> Tensor:
        """The classes, int64 (N,)."""
        ...

    def open(self, index: int) -> Image.Image:
        """Open image `index`; it may be decoded later. May raise any exception if the image is damaged."""
        ...

    def describe(self, index: int) -> str:
        """Return the image's name for error messages."""
        ...

    def fingerprint(self) -> str:
        """Return a hash or name that identifies the list, without decoding its images."""
        ...


@dataclass(frozen=True)
class Subset:
    """Some images of a list."""

    base: ImageList
    chosen: Tensor

    @property
    def labels(self) -> Tensor:
        """The classes of the chosen images."""
        return self.base.labels[self.chosen]

    def open(self, index: int) -> Image.Image:
        """Open a chosen image."""
        return self.base.open(int(self.chosen[index]))

    def describe(self, index: int) -> str:
        """Return a chosen image's name."""
        return self.base.describe(int(self.chosen[index]))

    def fingerprint(self) -> str:
        """Combine the list's fingerprint with the chosen indices."""
        return self.base.fingerprint() + hashlib.sha256(self.chosen.numpy().tobytes()).hexdigest()


@dataclass(frozen=True)
class ImageFiles:
    """Image files with their classes."""

    paths: Sequence[str]
    labels: Tensor

    def open(self, index: int) -> Image.Image:
        """Read the file without decoding it."""
        from PIL import Image, UnidentifiedImageError

        content = Path(self.paths[index]).read_bytes()
        if not content:
            raise ValueError("the file is empty")
        try:
            return Image.open(io.BytesIO(content))
        except UnidentifiedImageError:
            raise ValueError("unknown image format") from None

    def describe(self, index: int) -> str:
        """Return split folder, class folder and file name."""
        return "/".join(Path(self.paths[index]).parts[-3:])

    def fingerprint(self) -> str:
        """Hash names and sizes; reading all pixels of a streamed set would take hours."""
        names = (f"{self.describe(index)}:{os.stat(path).st_size}" for index, path in enumerate(self.paths))
        return hashlib.sha256("\n".join(names).encode()).hexdigest()
