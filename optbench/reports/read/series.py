"""One column of the records of each run, with its axes, as arrays."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optbench.reports.model.content import Curve

if TYPE_CHECKING:
    import numpy as np
    import polars
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

AXES = ("step", "samples", "train_seconds", "wall_seconds")


@dataclass(frozen=True)
class RunSeries:
    """A column of one run in the order of its steps; all arrays have the same length."""

    step: Floats
    samples: Floats
    """nan where they are not known"""
    train_seconds: Floats
    wall_seconds: Floats
    value: Floats
    """nan or infinite: not finite in the run"""

    def __len__(self) -> int:
        return len(self.step)

    def take(self, indices: NDArray[np.intp]) -> RunSeries:
        """Return the points at some indices."""
        return RunSeries(*(getattr(self, name)[indices] for name in (*AXES, "value")))

    def curve(self, contender: str, column: str, run_id: str, seed: int, status: str) -> Curve:
        """Return the series as a run's curve; values that are not finite become None."""
        return Curve(
            contender=contender,
            column=column,
            step=tuple(self.step.tolist()),
            samples=whole(self.samples),
            train_seconds=tuple(self.train_seconds.tolist()),
            value=tuple(value if math.isfinite(value) else None for value in self.value.tolist()),
            run_id=run_id,
            seed=seed,
            status=status,
        )


def whole(counts: Floats) -> tuple[int, ...]:
    """Return counts as whole numbers; nothing where some are not known."""
    import numpy as np

    return tuple(np.rint(counts).astype(int).tolist()) if np.isfinite(counts).all() else ()


def series_of(records: polars.DataFrame, column: str) -> dict[str, RunSeries]:
    """Return a column of each run by run_id, without runs in which it was never measured."""
    import polars as pl

    if column not in records.columns:
        return {}
    frame = records.select("run_id", *AXES, column).filter(pl.col(column).is_not_null())
    owners = frame["run_id"].rle_id()
    if not owners.len():
        return {}
    if owners[-1] + 1 != frame["run_id"].n_unique():  # the rows of a run are not next to each other
        frame = frame.sort("run_id", maintain_order=True)
        owners = frame["run_id"].rle_id()
    lengths = owners.value_counts().sort("run_id")["count"].to_list()
    arrays = [frame[name].to_numpy() for name in (*AXES, column)]
    names = frame["run_id"].unique(maintain_order=True).to_list()
    found, start = {}, 0
    for run_id, length in zip(names, lengths, strict=True):
        found[run_id] = RunSeries(*(array[start : start + length] for array in arrays))
        start += length
    return found
