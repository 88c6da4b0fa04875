"""Lists of encoded images with known labels."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

from optbench.data.pictures import open_image
from optbench.errors import MissingError
from optbench.files import read_bytes

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
    root: str | None = None
    """The folder that the images' names begin below; None: name their last three parts."""

    def at(self, chosen: Sequence[int]) -> ImageFiles:
        """Return the files at these places."""
        return ImageFiles([self.paths[index] for index in chosen], self.labels[list(chosen)], self.root)

    def open(self, index: int) -> Image.Image:
        """Read the file; a JPEG is decoded later."""
        return open_image(read_bytes(Path(self.paths[index]), limit=None))

    def describe(self, index: int) -> str:
        """Return split folder, class folder and file name; or the name below `root`."""
        path = Path(self.paths[index])
        return "/".join(path.parts[-3:]) if self.root is None else path.relative_to(self.root).as_posix()

    def fingerprint(self) -> str:
        """Hash names and sizes; reading all pixels of a streamed set would take hours."""
        try:
            names = [f"{self.describe(index)}:{os.stat(path).st_size}" for index, path in enumerate(self.paths)]
        except OSError as error:
            raise MissingError(f"{error.filename} cannot be read: {error.strerror}") from error
        return hashlib.sha256("\n".join(names).encode(errors="surrogateescape")).hexdigest()
