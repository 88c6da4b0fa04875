"""Runs of one workload, sorted to the contenders that are compared there."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optbench.records import Status
from optbench.reports.read.run_rows import OPEN, PRUNED
from optbench.reports.statistics.difference import Arm

Run = Mapping[str, Any]
TUNE = "tune"
DONE = "done"  # stage of a cell whose final runs have ended
HEADLINES = {"test_metric": "test", "val_metric": "val"}


@dataclass
class Contender:
    """One contender on one workload at one budget."""

    name: str
    finals: list[Run] = field(default_factory=list)
    """Ended runs on fresh seeds; of plain runs, all."""
    tuning: dict[int, list[Run]] = field(default_factory=dict)
    """Runs of each trial."""
    outdated: list[Run] = field(default_factory=list)
    """Ended final runs of a trial that has lost its place to another one since; they are in no number."""
    cell: Mapping[str, Any] = field(default_factory=dict)
    """What study.json says of it."""

    @property
    def succeeded(self) -> list[Run]:
        """Final runs with a result."""
        return [run for run in self.finals if succeeded(run)]

    @property
    def failed(self) -> int:
        """Final runs without one."""
        return len(self.finals) - len(self.succeeded)

    @property
    def winner(self) -> int | None:
        """The trial that was rerun, where it was one of several."""
        trials = {run["trial"] for run in self.finals}
        trial = next(iter(trials)) if len(trials) == 1 else None
        return trial if trial in self.tuning and self.score(trial) is not None else None

    @property
    def spent(self) -> tuple[int, float]:
        """Trials, and the samples through gradient evaluations that they were to take, ended or not."""
        runs = [run for tried in self.tuning.values() for run in tried]
        each = self.cell.get("evaluations_per_step")
        evaluations = each if isinstance(each, (int, float)) and each > 0 else 1.0
        return len(self.tuning), sum(run["steps"] * run["batch_size"] * evaluations for run in runs)

    def score(self, trial: int) -> float | None:
        """Mean validation metric of a trial's runs; None where one of them has failed, was pruned or is open."""
        runs = self.tuning[trial]
        values = [run["val"] for run in runs if succeeded(run) and run["val"] is not None]
        return statistics.fmean(values) if len(values) == len(runs) and values else None

    def scores(self) -> list[float | None]:
        """The score of every trial, in their order."""
        return [self.score(trial) for trial in sorted(self.tuning)]

    def values(self, column: str) -> list[float]:
        """One column of the final runs that succeeded, where it was measured."""
        return [run[column] for run in self.succeeded if run[column] is not None]

    def arm(self, headline: str, sign: float) -> Arm:
        """For the statistics: larger is better."""
        column = HEADLINES[headline]
        winner = self.winner
        return Arm(
            name=self.name,
            values=tuple(sign * value for value in self.values(column)),
            failed=self.failed,
            scores=tuple(None if score is None else sign * score for score in self.scores()),
            winner=sorted(self.tuning).index(winner) if winner is not None else None,
            final_scores=tuple(sign * value for value in self.values("val")),
        )


def succeeded(run: Run) -> bool:
    """Whether a run has done what was asked of it, with a metric."""
    return run["status"] in (Status.COMPLETED, Status.STOPPED_AT_TARGET) and run["val"] is not None


def contenders_of(runs: Iterable[Run], cells: Mapping[tuple[str, str], Mapping[str, Any]]) -> list[Contender]:
    """The contenders among the runs of one workload at one budget, in the order of their names; `cells` by study and
    label."""
    found: dict[str, Contender] = {}
    for run in runs:
        contender = found.setdefault(run["contender"], Contender(run["contender"]))
        contender.cell = contender.cell or cells.get((run["study"], run["cell"]), {})
        if run["stage"] == TUNE:
            contender.tuning.setdefault(run["trial"], []).append(run)
        elif run["status"] not in (OPEN, PRUNED):
            contender.finals.append(run)
    for contender in found.values():
        chosen = contender.cell.get("winner")
        if chosen is not None and contender.tuning:  # tuned on, another trial may have won since
            contender.outdated = [run for run in contender.finals if run["trial"] not in (None, chosen)]
            contender.finals = [run for run in contender.finals if run["trial"] in (None, chosen)]
        contender.finals.sort(key=lambda run: (run["seed"], run["run_id"]))
    return [found[name] for name in sorted(found)]


def headline_of(contenders: Sequence[Contender]) -> str:
    """The metric on test, or on validation where some final run has none on test."""
    runs = [run for contender in contenders for run in contender.succeeded]
    return "test_metric" if all(run["test"] is not None for run in runs) else "val_metric"


def cells_of(studies: Mapping[str, Mapping[str, Any]]) -> dict[tuple[str, str], Mapping[str, Any]]:
    """The cells of every study.json by study and label."""
    return {(study, cell["label"]): cell for study, tree in studies.items() for cell in tree["cells"]}
