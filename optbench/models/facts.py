"""Facts of a data set that fill in a model's parameters of the same name."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from optbench.contracts import DataSet
from optbench.errors import ConfigError

COUNT, SHAPE = "null | int [1, inf)", "list int [1, inf)"


def outputs(data: DataSet) -> int | None:
    """Return how many numbers a model gives for a sample: regression targets, or classes."""
    return first_of(data, "outputs", "classes")


def head_size(data: DataSet) -> int:
    """Return how many numbers a packaged model gives for a sample. Raises ConfigError for data without labels."""
    found = outputs(data)
    if found is None:
        raise ConfigError(
            "The data has no labels, so a packaged model does not know how many numbers to give for a sample",
            "Return (inputs, labels) for each split, or bring model=./net.py:Net and task=./loss.py:loss",
        )
    return found


def first_of(data: DataSet, *names: str) -> Any:
    """Return the first of these attributes that the data has; None without any."""
    return next((found for name in names if (found := getattr(data, name, None)) is not None), None)


def shape(data: DataSet) -> tuple[int, ...] | None:
    """Return the shape of one sample's input."""
    found = getattr(data, "sample_shape", None)
    return None if found is None else tuple(found)


def is_image(data: DataSet) -> bool:
    """Return True for samples of shape (channels, height, width)."""
    return len(shape(data) or ()) == 3


def side(data: DataSet) -> int | None:
    """Return the side of square images. Raises ConfigError for images that are not square."""
    if not is_image(data):
        return None
    _, height, width = shape(data) or (0, 0, 0)
    if height != width:
        raise ConfigError(
            f"image_size is one number, but the images have {height}x{width} pixels",
            "Take sample_shape (channels, height, width) instead",
        )
    return height


def flat(data: DataSet) -> int | None:
    """Return how many numbers one sample's input has."""
    found = shape(data)
    return None if found is None else math.prod(found)


def channels(data: DataSet) -> int | None:
    """Return the channels of images."""
    return (shape(data) or (None,))[0] if is_image(data) else None


def pieces(data: DataSet) -> int | None:
    """Return the number of pieces of text, or of other symbols."""
    vocabulary = getattr(data, "vocabulary", None)
    return vocabulary.size if vocabulary is not None else first_of(data, "vocabulary_size")


def length(data: DataSet) -> int | None:
    """Return the tokens of one sample."""
    return first_of(data, "sequence_length")


def classes(data: DataSet) -> int | None:
    """Return the number of classes."""
    return first_of(data, "classes")


FACTS: Mapping[str, tuple[Callable[[DataSet], Any], str]] = {
    **dict.fromkeys(("classes", "num_classes", "n_classes"), (classes, COUNT)),
    **dict.fromkeys(("outputs", "num_outputs", "out_features"), (outputs, COUNT)),
    **dict.fromkeys(("sample_shape", "input_shape"), (shape, SHAPE)),
    **dict.fromkeys(("inputs", "num_inputs", "in_features"), (flat, COUNT)),
    **dict.fromkeys(("channels", "in_channels", "in_chans"), (channels, COUNT)),
    **dict.fromkeys(("image_size", "img_size"), (side, COUNT)),
    **dict.fromkeys(("vocabulary_size", "vocab_size"), (pieces, COUNT)),
    **dict.fromkeys(("sequence_length", "seq_len"), (length, COUNT)),
}
"""How to read each fact, and the values that a user may set in its place."""
TEXT = {name for name, (read, _) in FACTS.items() if read in (pieces, length)}
"""The facts that only text has."""


def scored(data: DataSet) -> set[int]:
    """Return how many numbers a head may give: classes, outputs, pieces of text."""
    return {found for read in (classes, outputs, pieces) if (found := read(data)) is not None}
