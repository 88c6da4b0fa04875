"""The time that a sweep still takes, by cell: runs of different workloads differ in length by orders of magnitude."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from optbench.sweeps.study.cells import Cell, PlannedRun

Running = tuple[PlannedRun, float, float | None]
"""A running run, the share of it that is done, and the seconds that all of it takes (None: not known yet)."""


class RunTimes:
    """The number and the lengths of the runs of each cell."""

    def __init__(self, planned: Mapping[int, int]) -> None:
        self._planned = planned
        self._seen: dict[int, set[str]] = defaultdict(set)
        self._ended: dict[int, set[str]] = defaultdict(set)
        self._seconds: dict[int, list[float]] = defaultdict(list)

    def plan(self, runs: Iterable[PlannedRun]) -> None:
        """Take released runs."""
        for run in runs:
            self._seen[run.cell].add(run.run_id)

    def end(self, run: PlannedRun, seconds: float) -> None:
        """Take the length of an ended run; 0 if it is not known."""
        if run.run_id not in self._ended[run.cell]:
            self._ended[run.cell].add(run.run_id)
            self._seconds[run.cell] += [seconds] if seconds else []

    def _expected(self, cell: int) -> int:
        """Return the number of runs of a cell, as far as known."""
        return max(self._planned.get(cell, 0), len(self._seen[cell]))

    @property
    def expected(self) -> int:
        """The number of runs of the study, as far as known."""
        return sum(self._expected(cell) for cell in {*self._planned, *self._seen})

    def seconds_left(self, running: Sequence[Running], cells: Sequence[Cell]) -> float | None:
        """Return the seconds of the remaining runs, one after the other; None while some can't be estimated.

        A cell without a timed run takes the time per sample of the timed cells of its workload."""
        lengths = self._lengths(running)
        left = 0.0
        for cell in cells:
            begun = sum(share for run, share, _ in running if run.cell == cell.number)
            remaining = self._expected(cell.number) - len(self._ended[cell.number]) - begun
            if remaining <= 0:
                continue
            seconds = lengths.get(cell.number) or similar_seconds(cell, cells, lengths)
            if seconds is None:
                return None
            left += remaining * seconds
        return left if cells else None

    def _lengths(self, running: Sequence[Running]) -> dict[int, float]:
        """Return the mean seconds of a run by cell, by ended runs, before those by the running ones."""
        guessed: dict[int, list[float]] = defaultdict(list)
        for run, _, seconds in running:
            guessed[run.cell] += [seconds] if seconds else []
        known = {**guessed, **{cell: seconds for cell, seconds in self._seconds.items() if seconds}}
        return {cell: statistics.fmean(seconds) for cell, seconds in known.items() if seconds}


def similar_seconds(cell: Cell, cells: Sequence[Cell], lengths: Mapping[int, float]) -> float | None:
    """Return the seconds of a cell's run by the timed cells with the same model, data and batch size; None without."""

    def kind(other: Cell) -> tuple[object, ...]:
        model, data = other.config.model, other.config.data
        return model.name, model.settings, data.name, data.settings, other.config.batch_size

    rates = [
        lengths[other.number] / other.evaluated_samples
        for other in cells
        if other.number in lengths and kind(other) == kind(cell)
    ]
    return statistics.fmean(rates) * cell.evaluated_samples if rates else None
