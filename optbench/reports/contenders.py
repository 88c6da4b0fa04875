"""Group the runs of one workload by the contender they belong to."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import cast

from optbench.config.values import as_number
from optbench.records import DEFAULT_TRIAL, Status
from optbench.reports.read.columns import RunRow, number_in
from optbench.reports.read.run_rows import OPEN, PRUNED
from optbench.reports.read.settings import searched_keys, settings_of
from optbench.reports.read.study_file import CellEntry, Cells, planned_runs
from optbench.reports.statistics.difference import Arm
from optbench.reports.statistics.measures.regret import Tried
from optbench.reports.statistics.points import NO_GROUP, between_points
from optbench.reports.statistics.scale import Scale, scale_of

TUNE = "tune"
OF_EVERY_VERSION = ("label", "choices", "workload", "evaluations_per_step")  # what a cell says of all its versions
UNKNOWN = -2  # trial of a tuning run that does not say which it is
DONE = "done"  # stage of a cell whose final runs have ended
NO_CELL: CellEntry = {"label": ""}  # of plain runs
HEADLINES = {"test_metric": "test", "val_metric": "val"}
TRIVIAL = {"test_metric": "test_trivial", "val_metric": "val_trivial"}
SAMPLES = {"test": "test_samples", "val": "val_samples", "best_val": "val_samples"}


@dataclass
class Contender:
    """One contender on one workload at one budget."""

    name: str
    finals: list[RunRow] = field(default_factory=list)
    """Ended runs on fresh seeds; of plain runs, all."""
    tuning: dict[int, list[RunRow]] = field(default_factory=dict)
    """Runs of each trial."""
    outdated: list[RunRow] = field(default_factory=list)
    """Ended final runs of a trial that is no longer the winner; excluded from every number."""
    cell: CellEntry = field(default_factory=lambda: NO_CELL)
    """The contender's cell of study.json."""
    current: bool = True
    """False for an earlier version of the cell: its study has gone on with another source or other data."""

    @property
    def succeeded(self) -> list[RunRow]:
        """Final runs with a result."""
        return [run for run in self.finals if succeeded(run)]

    @property
    def failed(self) -> int:
        """Number of final runs without a result."""
        return len(self.finals) - len(self.succeeded)

    @property
    def winner(self) -> int | None:
        """The trial that was rerun; None if nothing was chosen among trials."""
        trials = {run["trial"] for run in self.finals}
        trial = next(iter(trials)) if len(trials) == 1 else None
        return trial if trial is not None and trial in self.tuning and self.score(trial) is not None else None

    @cached_property
    def searched(self) -> tuple[str, ...]:
        """The keys that tuning searched."""
        return searched_keys([*(self.tuning[trial][0] for trial in sorted(self.tuning)), *self.finals[:1]])

    @property
    def chosen(self) -> dict[str, object]:
        """The values that tuning chose, as the final runs were configured; before those, of the best trial so far."""
        trial = self.cell.get("winner")
        if self.finals:
            runs = self.finals if len({run["trial"] for run in self.finals}) == 1 else []
        else:
            runs = self.tuning.get(trial, []) if trial is not None else []
        return settings_of(runs[0], self.searched) if runs else {}

    @property
    def points(self) -> list[int]:
        """The trials at points of the search box, in order: all but that of the optimizer's own values."""
        return [trial for trial in sorted(self.tuning) if trial != DEFAULT_TRIAL]

    @cached_property
    def settings(self) -> dict[int, dict[str, object]]:
        """The values of the searched keys in each trial at a point."""
        return {trial: settings_of(self.tuning[trial][0], self.searched) for trial in self.points}

    @property
    def spent(self) -> tuple[int, float]:
        """Number of trials, and their planned samples through gradient evaluations."""
        runs = [run for trial in self.tuning.values() for run in trial]
        declared = self.cell.get("evaluations_per_step")
        evaluations = declared if isinstance(declared, (int, float)) and declared > 0 else 1.0
        return len(self.tuning), sum(run["steps"] * run["batch_size"] * evaluations for run in runs)

    def score(self, trial: int) -> float | None:
        """Return the mean validation metric of a trial's runs; None if one of them failed, was pruned or is open."""
        runs = self.tuning[trial]
        values = [run["val"] for run in runs if succeeded(run) and run["val"] is not None]
        return statistics.fmean(values) if len(values) == len(runs) and values else None

    def scores(self) -> list[float | None]:
        """Return the score of every trial at a point, in their order."""
        return [self.score(trial) for trial in self.points]

    @property
    def has_default(self) -> bool:
        """True if one of the trials has the optimizer's own values."""
        return DEFAULT_TRIAL in self.tuning

    def values(self, column: str) -> list[float]:
        """Return the known values of one column, of the final runs that succeeded."""
        return [value for run in self.succeeded if (value := number_in(run, column)) is not None]

    def scale(self, column: str) -> Scale:
        """Return the values that a column of metrics can take."""
        runs = [*self.finals, *(run for trial in self.tuning.values() for run in trial)]
        values = [value for run in runs if (value := number_in(run, column)) is not None]
        sizes = [number_in(run, SAMPLES[column]) for run in runs] if column in SAMPLES else []
        kind = next((run["metric_scale"] for run in runs if run["metric_scale"]), None)
        return scale_of(kind, [None if size is None else int(size) for size in sizes], values)

    def trivial(self, headline: str) -> float | None:
        """Return the headline of the trivial answer, on validation if it is unknown on test; the median of the runs."""
        for column in (TRIVIAL[headline], "val_trivial"):
            known = [value for run in self.succeeded if (value := number_in(run, column)) is not None]
            if known:
                return statistics.median(known)
        return None

    def arm(self, headline: str, sign: float) -> Arm:
        """Return the contender for the statistics, larger is better."""
        column, winner, trials = HEADLINES[headline], self.winner, sorted(self.tuning)
        known = [(run["seed"], value) for run in self.succeeded if (value := number_in(run, column)) is not None]
        values, validated, trivial = [value for _, value in known], self.values("val"), self.trivial(headline)
        return Arm(
            name=self.name,
            values=tuple(sign * value for value in values),
            failed=self.failed,
            scores=tuple(None if (score := self.score(trial)) is None else sign * score for trial in trials),
            winner=trials.index(winner) if winner is not None else None,
            final_scores=tuple(sign * value for value in validated),
            seeds=tuple(seed for seed, _ in known),
            floor=self.scale(column).least_sd(statistics.fmean(values)) if values else 0.0,
            score_floor=self.scale("val").least_sd(statistics.fmean(validated)) if validated else 0.0,
            score_seeds=tuple(len(self.tuning[trial]) for trial in trials),
            groups=tuple(
                NO_GROUP if trial == DEFAULT_TRIAL else self.tuning[trial][0]["group"] or 0 for trial in trials
            ),
            trivial=None if trivial is None else sign * trivial,
            between=self.between_points(sign),
        )

    def between_points(self, sign: float) -> float | None:
        """Return what a parabola leaves between the best point of a search in one number and its neighbours; None for
        another search."""
        if len(self.searched) != 1:
            return None
        values = [as_number(self.settings[trial].get(self.searched[0])) for trial in self.points]
        places = [math.log(value) for value in values if value is not None and value > 0]
        scores = [None if score is None else sign * score for score in self.scores()]
        return between_points(places, scores) if len(places) == len(scores) else None


def steps_of(run: RunRow) -> int | None:
    """Return the steps of a run's schedule; those that it took where a script goes by its own, None if unknown."""
    return run["steps_done"] if "steps" in (run["unread"] or ()) else run["steps"]


def samples_of(run: RunRow) -> int | None:
    """Return the samples of a run's schedule, None if unknown: a script may not go by the budget."""
    return run["samples"] if run["unread"] else run["steps"] * run["batch_size"]


def succeeded(run: RunRow) -> bool:
    """Return True if a run completed its task and has a metric."""
    return run["status"] in (Status.COMPLETED, Status.STOPPED_AT_TARGET) and run["val"] is not None


def contenders_of(runs: Iterable[RunRow], cells: Cells) -> list[Contender]:
    """Return the contenders among the runs of one workload at one budget, by name."""
    found: dict[str, Contender] = {}
    for run in runs:
        contender = found.setdefault(run["contender"], Contender(run["contender"]))
        if contender.cell is NO_CELL:
            contender.cell = cells.get((run["study"], run["cell"] or ""), NO_CELL)
        if run["stage"] == TUNE:
            contender.tuning.setdefault(UNKNOWN if run["trial"] is None else run["trial"], []).append(run)
        elif run["status"] not in (OPEN, PRUNED):
            contender.finals.append(run)
    for contender in found.values():
        check_current(contender)
        winner = contender.cell.get("winner")
        if winner is not None and contender.tuning:  # more tuning since the final runs may have changed the winner
            contender.outdated = [run for run in contender.finals if run["trial"] not in (None, winner)]
            contender.finals = [run for run in contender.finals if run["trial"] in (None, winner)]
        contender.finals.sort(key=lambda run: (run["seed"], run["run_id"]))
    return [found[name] for name in sorted(found)]


def check_current(contender: Contender) -> None:
    """Take from an earlier version of a cell what study.json says about the runs of the current one."""
    plan = planned_runs(contender.cell)
    runs = [*contender.finals, *(run for trial in contender.tuning.values() for run in trial)]
    if plan and runs and not any(run["run_id"] in plan for run in runs):
        kept = {key: value for key, value in contender.cell.items() if key in OF_EVERY_VERSION}
        contender.cell, contender.current = cast("CellEntry", kept), False


def headline_of(contenders: Sequence[Contender]) -> str:
    """Return the metric to compare by: on test, or on validation if some final run has none on test."""
    runs = [run for contender in contenders for run in contender.succeeded]
    return "test_metric" if all(run["test"] is not None for run in runs) else "val_metric"


def tried_by(contender: Contender, sign: float) -> Tried:
    """Return the scores of a contender's trials; `sign`: 1 if more of the metric is better, else -1."""
    tried = contender.has_default
    return Tried(
        points=tuple(contender.scores()),
        default=contender.score(DEFAULT_TRIAL) if tried else None,
        has_default=tried,
        default_runs=len(contender.tuning[DEFAULT_TRIAL]) if tried else 1,
        tuned=contender.arm("val_metric", sign) if contender.succeeded else None,
        default_won=contender.winner == DEFAULT_TRIAL,
    )
