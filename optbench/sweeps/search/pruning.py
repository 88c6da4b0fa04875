"""Pruning: hopeless runs of the tuning end early.

Pruners decide by what has been measured when they are asked, so that with several workers the timing matters. The
scheduler never prunes final runs."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from optbench.sweeps.search.optuna_tools import require
from optbench.sweeps.study.cells import PlannedRun
from optbench.sweeps.study.outcomes import Outcome
from optbench.sweeps.study.study import Study


class Pruning(Protocol):
    """A rule that decides which runs of the tuning are hopeless."""

    def after_evaluation(self, run: PlannedRun, evaluation: int, value: float | None, direction: str) -> str:
        """Return the reason to end the run after this evaluation, or ""."""
        ...

    def run_ended(self, run: PlannedRun, outcome: Outcome) -> None:
        """Take the outcome of a run of the tuning, of this session or an earlier one."""

    def before_start(self, run: PlannedRun) -> str:
        """Return the reason not to start the run at all, or ""."""
        ...


class NoPruning:
    """A Pruning that ends nothing. With it, unlike with None, runs that were pruned earlier count as ended."""

    def after_evaluation(self, run: PlannedRun, evaluation: int, value: float | None, direction: str) -> str:
        """Return "": the run continues."""
        return ""

    def run_ended(self, run: PlannedRun, outcome: Outcome) -> None:
        """Ignore the outcome."""

    def before_start(self, run: PlannedRun) -> str:
        """Return "": the run starts."""
        return ""


def make_pruning(study: Study, folder: Path) -> Pruning | None:
    """Return the study's pruner, None without one; `folder` holds its runs. Raises MissingError without Optuna."""
    if study.pruner == "none":
        return None
    from optbench.sweeps.search.curve_pruning import RULES, CurvePruning
    from optbench.sweeps.search.seed_pruning import SeedPruning

    require("optuna", f"--pruner {study.pruner}")
    return CurvePruning(study.pruner, folder) if study.pruner in RULES else SeedPruning(study)
