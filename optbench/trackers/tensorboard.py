"""TensorBoard as a mirror of the results: an events file in the run's folder. Show those of a study by
`tensorboard --logdir results/STUDY`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.contracts import Sink
from optbench.records import Record
from optbench.trackers.scalars import scalars

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter

FOLDER = "tensorboard"


class Tracker(Sink):
    """A Sink that writes every record into a TensorBoard events file."""

    def __init__(self, directory: Path, project: str) -> None:
        self.directory = directory
        self.writer: SummaryWriter | None = None

    def start(self, run: Mapping[str, Any]) -> None:
        """Open the file, a further one after a resume."""
        from torch.utils.tensorboard.writer import SummaryWriter

        self.writer = SummaryWriter(str(self.directory / FOLDER))
        self.writer.add_text("run.json", as_code(run))

    def log(self, record: Record) -> None:
        """Write the numbers and pictures of a record."""
        if self.writer is None:
            return
        for name, value in scalars(record).items():
            self.writer.add_scalar(name, value, record.step)
        for name, pixels in record.pictures.items():
            self.writer.add_image(name, pixels, record.step, dataformats="HWC")

    def finish(self, result: Mapping[str, Any] | None) -> None:
        """Write the result and close the file."""
        if self.writer is None:
            return
        if result is not None:
            self.writer.add_text("result.json", as_code(result))
        self.writer.close()


def as_code(document: Mapping[str, Any]) -> str:
    """Return a document as a block of Markdown."""
    return f"```json\n{json.dumps(document, indent=1, default=str)}\n```"
