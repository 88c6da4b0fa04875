"""The curves of a workload: each final run, and the band of a contender's seeds, thinned without hiding spikes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from optbench.reports.contenders import Contender, succeeded
from optbench.reports.model.content import Curve
from optbench.reports.statistics.measures.bands import band
from optbench.reports.statistics.measures.thinning import thin
from optbench.reports.read.series import Series, series_of

if TYPE_CHECKING:
    import polars

SHOWN = ("val_metric", "val_loss", "train_loss")
OF_A_PLAYER = "_train_loss"
POINTS, LEAST, MOST = 60_000, 60, 1000  # of all curves of a report together, and of one


def shown_columns(records: polars.DataFrame) -> list[str]:
    """The columns that are drawn, of those there are."""
    players = [name for name in records.columns if name.endswith(OF_A_PLAYER)]
    return [*(name for name in SHOWN if name in records.columns), *sorted(players)]


def losses_of(found: Mapping[str, Mapping[str, Series]]) -> Mapping[str, Series]:
    """The training loss of each run; with several players, the first one's in the order of their names."""
    players = sorted(name for name in found if name.endswith(OF_A_PLAYER))
    return found.get("train_loss") or (found[players[0]] if players else {})


def curves(
    contenders: Sequence[Contender], found: Mapping[str, Mapping[str, Series]], points: int
) -> tuple[Curve, ...]:
    """A curve for each final run and column; `found`: by column and run_id."""
    made = []
    for column, by_run in found.items():
        for contender in contenders:
            for run in contender.finals:
                series = by_run.get(run["run_id"])
                if series is not None:
                    about = {"run_id": run["run_id"], "seed": run["seed"], "status": run["status"]}
                    made.append(series.some(thin(series.value, points)).curve(contender.name, column, **about))
    return tuple(made)


def bands(contenders: Sequence[Contender], found: Mapping[str, Mapping[str, Series]], points: int) -> tuple[Curve, ...]:
    """A band for each contender and column over the seeds that succeeded."""
    made = []
    for column, by_run in found.items():
        for contender in contenders:
            own = [by_run[run["run_id"]] for run in contender.finals if succeeded(run) and run["run_id"] in by_run]
            drawn = of_seeds(contender.name, column, own, points)
            if drawn is not None:
                made.append(drawn)
    return tuple(made)


def of_seeds(contender: str, column: str, seeds: Sequence[Series], points: int) -> Curve | None:
    """The band of some seeds, or None where they have no step in common."""
    import numpy as np

    if not seeds:
        return None
    steps, mean, least, greatest = band([(one.step, one.value) for one in seeds])
    if not len(steps):
        return None
    third = max(1, points // 3)
    kept = np.unique(np.concatenate([thin(values, third) for values in (mean, least, greatest)]))
    at = steps[kept]
    samples, seconds = (
        np.mean([np.interp(at, one.step, getattr(one, axis)) for one in seeds], axis=0)
        for axis in ("samples", "train_seconds")
    )
    return Curve(
        contender=contender,
        column=column,
        step=tuple(at.astype(int).tolist()),
        samples=tuple(np.rint(samples).astype(int).tolist()),
        train_seconds=tuple(seconds.tolist()),
        value=tuple(mean[kept].tolist()),
        low=tuple(least[kept].tolist()),
        high=tuple(greatest[kept].tolist()),
    )


def points_each(curve_count: int) -> int:
    """How many points a curve may have where there are so many."""
    return max(LEAST, min(MOST, POINTS // max(1, curve_count)))


def found_series(records: polars.DataFrame) -> dict[str, dict[str, Series]]:
    """Every drawn column by run_id."""
    return {column: series_of(records, column) for column in shown_columns(records)}
