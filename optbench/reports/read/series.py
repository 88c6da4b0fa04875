"""One column of the records of each run, with its axes, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optbench.reports.model.content import Curve

if TYPE_CHECKING:
    import numpy
    import polars

AXES = ("step", "samples", "train_seconds", "wall_seconds")


@dataclass(frozen=True)
class Series:
    """A column of one run in the order of its steps; all arrays are of one length."""

    step: numpy.ndarray
    samples: numpy.ndarray
    train_seconds: numpy.ndarray
    wall_seconds: numpy.ndarray
    value: numpy.ndarray
    """nan or infinite where it was not finite"""

    def __len__(self) -> int:
        return len(self.step)

    def some(self, indices: Any) -> Series:
        """The points at some indices."""
        return Series(*(getattr(self, name)[indices] for name in (*AXES, "value")))

    def curve(self, contender: str, column: str, **about: Any) -> Curve:
        """As it is drawn; what is not finite is None."""
        import math

        return Curve(
            contender=contender,
            column=column,
            step=tuple(self.step.tolist()),
            samples=tuple(self.samples.tolist()),
            train_seconds=tuple(self.train_seconds.tolist()),
            value=tuple(value if math.isfinite(value) else None for value in self.value.tolist()),
            **about,
        )


def series_of(records: polars.DataFrame, column: str) -> dict[str, Series]:
    """A column of each run by run_id; a run in which it was never measured has none."""
    import polars as pl

    if column not in records.columns:
        return {}
    frame = records.select("run_id", *AXES, column).filter(pl.col(column).is_not_null())
    owners = frame["run_id"].rle_id()
    if not owners.len():
        return {}
    if owners[-1] + 1 != frame["run_id"].n_unique():  # rows of a run do not lie together
        frame = frame.sort("run_id", maintain_order=True)
        owners = frame["run_id"].rle_id()
    lengths = owners.value_counts().sort("run_id")["count"].to_list()
    arrays = [frame[name].to_numpy() for name in (*AXES, column)]
    names = frame["run_id"].unique(maintain_order=True).to_list()
    found, start = {}, 0
    for run_id, length in zip(names, lengths, strict=True):
        found[run_id] = Series(*(array[start : start + length] for array in arrays))
        start += length
    return found
