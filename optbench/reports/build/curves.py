"""The curves of a workload: each final run, and the band of a contender's seeds, thinned without losing spikes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from optbench.reports.contenders import Contender, succeeded
from optbench.reports.model.content import Curve
from optbench.reports.read.series import RunSeries, series_of, whole
from optbench.reports.statistics.measures.bands import band
from optbench.reports.statistics.measures.thinning import thin

if TYPE_CHECKING:
    import polars

SHOWN = ("val_metric", "val_loss", "train_loss")
PLAYER_LOSS = "_train_loss"
POINTS, LEAST, MOST = 60_000, 60, 1000  # of all curves of a report together, and of one
BAND_POINTS = 300  # of a band at most


def shown_columns(records: polars.DataFrame) -> list[str]:
    """Return the columns to draw, of those in the records."""
    players = [name for name in records.columns if name.endswith(PLAYER_LOSS)]
    return [*(name for name in SHOWN if name in records.columns), *sorted(players)]


def losses_of(found: Mapping[str, Mapping[str, RunSeries]]) -> Mapping[str, RunSeries]:
    """Return the training loss of each run; with several players, of the first one by name."""
    players = sorted(name for name in found if name.endswith(PLAYER_LOSS))
    return found.get("train_loss") or (found[players[0]] if players else {})


def curves(
    contenders: Sequence[Contender], found: Mapping[str, Mapping[str, RunSeries]], drawn: int
) -> tuple[Curve, ...]:
    """Return a curve for each final run and column; of very many runs for the first seeds of each contender alone.

    `found`: by column and run_id. `drawn`: final runs of the whole report."""
    made, count = [], drawn * len(found)
    points, share = points_each(count), min(1.0, POINTS / LEAST / max(1, count))
    for column, by_run in found.items():
        for contender in contenders:
            for run in contender.finals[: math.ceil(share * len(contender.finals))]:
                series = by_run.get(run["run_id"])
                if series is not None:
                    kept = series.take(thin(series.value, points))
                    made.append(kept.curve(contender.name, column, run["run_id"], run["seed"], run["status"]))
    return tuple(made)


def bands(
    contenders: Sequence[Contender], found: Mapping[str, Mapping[str, RunSeries]], drawn: int
) -> tuple[Curve, ...]:
    """Return a band for each contender and column over the seeds that succeeded. `drawn`: as in `curves`."""
    seeds = max((len(contender.finals) for contender in contenders), default=1)
    points = min(BAND_POINTS, points_each(drawn * len(found) // max(1, seeds)))
    made = []
    for column, by_run in found.items():
        for contender in contenders:
            own = [by_run[run["run_id"]] for run in contender.finals if succeeded(run) and run["run_id"] in by_run]
            one = band_of(contender.name, column, own, points)
            if one is not None:
                made.append(one)
    return tuple(made)


def band_of(contender: str, column: str, seeds: Sequence[RunSeries], points: int) -> Curve | None:
    """Return the band of some seeds, None if they have no step in common."""
    import numpy as np

    if not seeds:
        return None
    steps, mean, minimum, maximum = band([(one.step, one.value) for one in seeds])
    if not len(steps):
        return None
    third = max(1, points // 3)
    kept = np.unique(np.concatenate([thin(values, third) for values in (mean, minimum, maximum)]))
    grid = steps[kept]
    samples, seconds = (
        np.mean([np.interp(grid, one.step, getattr(one, axis)) for one in seeds], axis=0)
        for axis in ("samples", "train_seconds")
    )
    return Curve(
        contender=contender,
        column=column,
        step=tuple(grid.astype(int).tolist()),
        samples=whole(samples),
        train_seconds=tuple(seconds.tolist()),
        value=tuple(mean[kept].tolist()),
        low=tuple(minimum[kept].tolist()),
        high=tuple(maximum[kept].tolist()),
    )


def points_each(curve_count: int) -> int:
    """Return how many points each of so many curves may have."""
    return max(LEAST, min(MOST, POINTS // max(1, curve_count)))


def found_series(records: polars.DataFrame) -> dict[str, dict[str, RunSeries]]:
    """Return every drawn column by run_id."""
    return {column: series_of(records, column) for column in shown_columns(records)}
