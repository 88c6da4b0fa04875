"""ImageNet-1k (Russakovsky et al., 2015) as image folders; its terms forbid an automatic download."""

from __future__ import annotations

from pathlib import Path

from optbench.data.imagefolder import ImageFolder
from optbench.errors import MissingError


class ImageNet(ImageFolder):
    """train/ and val/ with the thousand WordNet folders, below imagenet/ in the data folder or at `data.path`."""

    def folder(self, root: Path) -> Path:
        """Return `data.path`, else imagenet/ in the data folder."""
        return super().folder(root) if self.path else root / "imagenet"

    @property
    def where(self) -> str:
        """The data set in messages."""
        return super().where if self.path else "data=imagenet"

    def require(self, root: Path) -> Path:
        """Return the folder. Raises MissingError with the source of the data if it is absent."""
        if self.path is None and self.locate(root) is None:
            raise MissingError(
                f"data=imagenet not found: {self.folder(root)} has no train/",
                "Download it with an account from image-net.org and unpack train/ and val/ there",
            )
        return super().require(root)
