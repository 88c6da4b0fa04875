"""Fashion-MNIST (Xiao et al., 2017): 70,000 grey images of clothes, 28x28 pixels, ten classes, in IDX files."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from optbench.contracts import Progress, Seeds
from optbench.data.augment import Augment
from optbench.data.download import download, is_published
from optbench.data.in_memory import Images, InMemoryImages, three_splits
from optbench.errors import MissingError

URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
FOLDERS = ("fashion_mnist", "FashionMNIST/raw")  # ours, torchvision's
SYSTEM_FOLDER = Path("/usr/share/datasets/fashion-mnist")  # of Debian's package dataset-fashion-mnist
CONTENT_MD5 = {  # of the uncompressed content: repackaged gzip files differ in their headers
    "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
    "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
    "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
}
ARCHIVE_MD5 = {
    "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
}


class FashionMnist:
    """The set as IDX files, compressed or not."""

    def __init__(self, *, validation: int, verify: str, augment: Mapping[str, object]) -> None:
        self.validation, self.verify_mode = validation, verify
        self.augment = Augment.of(augment)

    def locate(self, root: Path) -> Path | None:
        """Return the first folder that has all four files."""
        folders = [*(root / folder for folder in FOLDERS), SYSTEM_FOLDER]
        return next((folder for folder in folders if all(idx_file(folder, name) for name in CONTENT_MD5)), None)

    def get(self, root: Path, progress: Progress) -> Path:
        """Download the four files unless they exist."""
        found = self.locate(root)
        if found:
            return found
        folder = root / FOLDERS[0]
        for name, md5 in ARCHIVE_MD5.items():
            download(f"{URL}{name}.gz", folder / f"{name}.gz", md5, progress, name="fashion_mnist")
        return folder

    def verify(self, root: Path) -> list[str]:
        """Return one line for each file that differs from the published one."""
        folder = self._require(root)
        found = {name: hashlib.md5(read_bytes(folder, name)).hexdigest() for name in CONTENT_MD5}
        return [
            f"{folder / name}: MD5 of the content {md5}, published {CONTENT_MD5[name]}"
            for name, md5 in found.items()
            if md5 != CONTENT_MD5[name]
        ]

    def load(self, root: Path, device: torch.device, seeds: Seeds) -> InMemoryImages:
        """Load the images: 55,000 / 5,000 / 10,000 samples by default."""
        folder = self._require(root)
        verified = is_published("fashion_mnist", self.verify(root), self.verify_mode)
        splits = three_splits(read_images(folder, "train"), read_images(folder, "t10k"), self.validation)
        return InMemoryImages(splits, classes=10, augment=self.augment, seeds=seeds, device=device, verified=verified)

    def _require(self, root: Path) -> Path:
        folder = self.locate(root)
        if folder is None:
            raise MissingError(
                f"data=fashion_mnist not found: {root / FOLDERS[0]} lacks its four IDX files",
                "Run: optbench data get fashion_mnist   (or install Debian's dataset-fashion-mnist)",
            )
        return folder


def idx_file(folder: Path, name: str) -> Path | None:
    """Return the file, compressed or not; None if it is absent."""
    return next((file for file in (folder / name, folder / f"{name}.gz") if file.is_file()), None)


def read_bytes(folder: Path, name: str) -> bytes:
    """Return the uncompressed content. Raises MissingError with the name of a damaged file."""
    file = idx_file(folder, name)
    assert file is not None  # `locate` found it
    try:
        return gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    except (OSError, EOFError) as error:
        raise MissingError(f"{file} cannot be read: {error}", "Delete it and download the data again") from error


def read_images(folder: Path, part: str) -> Images:
    """Read one part. IDX is a big-endian header (magic, sizes) followed by bytes."""
    images, labels = read_bytes(folder, f"{part}-images-idx3-ubyte"), read_bytes(folder, f"{part}-labels-idx1-ubyte")
    count, height, width = (int.from_bytes(images[start : start + 4], "big") for start in (4, 8, 12))
    if images[:4] != b"\0\0\x08\x03" or len(images) != 16 + count * height * width or len(labels) != 8 + count:
        raise MissingError(f"{folder}/{part}-*: not IDX files of {count} images and labels")
    pixels = np.frombuffer(images, np.uint8, offset=16).reshape(count, 1, height, width).copy()
    return Images(
        torch.from_numpy(pixels), torch.from_numpy(np.frombuffer(labels, np.uint8, offset=8).astype(np.int64))
    )
