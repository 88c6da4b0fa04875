"""One column of the records of each run, with its axes, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optbench.report.content import Curve

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
    found = {}
    for (run_id,), part in frame.partition_by("run_id", as_dict=True, maintain_order=True, include_key=False).items():
        found[str(run_id)] = Series(*(part[name].to_numpy() for name in (*AXES, column)))
    return found
