"""CIFAR-10 from the folder CIFAR_SHEETS: labels.npy and sheet_*.webp, each a column of 500 images in upstream's order.

Half of the set fits where the whole doesn't: what is there is used, the last sixth of it as test. The folder is no
setting, so that runs are the same ones on every machine."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

SIDE = 32


def load(most: int = 60000) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return (images, labels) of the training part, and of the test part: uint8 in (number, 32, 32, 3)."""
    root = Path(os.environ["CIFAR_SHEETS"])
    sheets = {int(file.stem.split("_")[1]): file for file in root.rglob("sheet_*.webp")}
    if not sheets:
        raise FileNotFoundError(f"{root}: no sheet_*.webp")
    parts = [(number, read(sheets[number])) for number in sorted(sheets)]
    labels = np.load(root / "labels.npy").astype(np.int64)
    images = np.concatenate([part for _, part in parts])[:most]
    own = np.concatenate([labels[number * len(part) :][: len(part)] for number, part in parts])[:most]
    test = len(images) // 6
    return (images[:-test], own[:-test]), (images[-test:], own[-test:])


def read(file: Path) -> np.ndarray:
    """Return the images of a sheet."""
    from PIL import Image

    with Image.open(file) as sheet:
        return np.asarray(sheet.convert("RGB")).reshape(-1, SIDE, SIDE, 3)
