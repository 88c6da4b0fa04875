"""Scalars of TensorBoard's event files."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from optbench.errors import MissingError, first_line
from optbench.scripts.measurements import Row

log = logging.getLogger(__name__)

MARK = "tfevents"
"""The part of its name by which TensorBoard finds an event file."""


def is_event_file(file: Path) -> bool:
    """Return True for the name of an event file."""
    return MARK in file.name


def event_files(folder: Path) -> Iterator[Path]:
    """Yield the event files in a folder and in those below it; links to folders are not followed."""
    for place, _, names in os.walk(folder):
        yield from (Path(place, name) for name in sorted(names) if is_event_file(Path(name)))


def require_tensorboard() -> None:
    """Raise MissingError unless the package tensorboard is installed."""
    if importlib.util.find_spec("tensorboard") is None:
        raise MissingError("TensorBoard events are read with the package tensorboard", "pip install tensorboard")


def event_rows(files: Sequence[Path]) -> list[Row]:
    """Return a row for each event with scalars: their values by tag, and the step. Files are read in their order.

    A damaged rest of a file, as a killed script leaves, is left out with a warning. Raises MissingError."""
    require_tensorboard()
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    found: list[Row] = []
    for file in files:
        try:
            for event in EventFileLoader(str(file)).Load():
                values = {value.tag: number for value in event.summary.value if (number := scalar(value)) is not None}
                found += [{"step": event.step, **values}] if values else []
        except Exception as error:  # a library's errors for damaged content are of any class
            log.warning(f"{file} is damaged; what stands before the damage was read: {first_line(error)}")
    return found


def scalar(value: Any) -> float | None:
    """Return the number of a summary's value; None for pictures, histograms and texts."""
    from tensorboard.util.tensor_util import make_ndarray

    if value.WhichOneof("value") != "tensor" or value.metadata.plugin_data.plugin_name not in ("", "scalars"):
        return None
    numbers = make_ndarray(value.tensor)
    return float(numbers) if numbers.size == 1 and numbers.dtype.kind in "fiu" else None
