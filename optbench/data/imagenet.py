"""ImageNet-1k (Russakovsky et al., 2015) as image folders; upstream's terms forbid a download from here."""

from __future__ import annotations

from pathlib import Path

from optbench.data.download import Progress
from optbench.data.imagefolder import ImageFolder
from optbench.errors import MissingError


class ImageNet(ImageFolder):
    """train/ and val/ with the thousand WordNet folders, below imagenet/ in the data folder or at `data.path`."""

    def folder(self, root: Path) -> Path:
        """`data.path`, else imagenet/ in the data folder."""
        return super().folder(root) if self.path else root / "imagenet"

    def get(self, root: Path, progress: Progress) -> Path:
        """Says where it comes from, if it is not here."""
        found = self.locate(root)
        if found is None:
            raise MissingError(
                f"data=imagenet is not here: {self.folder(root)} holds no train/",
                "Fetch it with an account from image-net.org and unpack train/ and val/ there",
            )
        return found
