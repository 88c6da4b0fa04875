"""Pruners that compare the validation curves of a cell's runs: asha, hyperband, median."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from optbench.config import RunConfig
from optbench.errors import StorageError
from optbench.records import Split
from optbench.store import read_records
from optbench.sweeps.search.optuna_tools import pruning_study, quietly
from optbench.sweeps.study.cells import PlannedRun
from optbench.sweeps.study.outcomes import PRUNED, Outcome

if TYPE_CHECKING:
    import optuna
    from optuna.pruners import BasePruner

FACTOR = 3  # of asha and hyperband, "3 or 4" (Li et al., 2018, JMLR 18:185): the best third of a rung continues
RUNGS = 2  # rungs of asha before the end: a ninth and a third of the run
LATE = 2 / 3  # of a run, after which it may finish: its result is worth more than the rest of its time
STARTUP_TRIALS = 5  # complete runs before median decides (Optuna's default)
WARM_UP = 0.2  # share of a run in which median ends nothing: learning rates warm up there


class CurvePruning:
    """A Pruning that compares runs of a cell at equal evaluations; each run is an Optuna trial."""

    def __init__(self, rule: str, folder: Path) -> None:
        self._rule, self._folder = rule, folder
        self._studies: dict[int, optuna.Study] = {}
        self._trials: dict[str, optuna.Trial] = {}
        self._reported: dict[str, int] = {}  # the last evaluation of each run
        self._reasons: dict[str, str] = {}

    def after_evaluation(self, run: PlannedRun, evaluation: int, value: float | None, direction: str) -> str:
        """Return the reason to end the run after this evaluation, or ""."""
        if run.run_id not in self._trials:
            self._begin(run, direction, before=evaluation)
        if run.run_id in self._reasons or evaluation <= self._reported[run.run_id]:  # a resumed run
            return self._reasons.get(run.run_id, "")
        hopeless = self._report(run, evaluation, value)
        if not hopeless or evaluation > LATE * evaluation_count(run.config):
            return ""
        self._reasons[run.run_id] = f"{self._rule}: {value_text(value, evaluation)} {RULES[self._rule].verdict}"
        return self._reasons[run.run_id]

    def run_ended(self, run: PlannedRun, outcome: Outcome) -> None:
        """Add the run to those that others are compared with."""
        import optuna

        if run.run_id not in self._trials:
            if outcome.direction is None:
                return  # it has no measurement
            self._begin(run, outcome.direction)
        states = optuna.trial.TrialState
        value = outcome.val if outcome.score is not None else None
        without_value = states.PRUNED if outcome.status == PRUNED else states.FAIL
        with quietly():
            state = without_value if value is None else states.COMPLETE
            self._studies[run.cell].tell(self._trials[run.run_id], value, state=state, skip_if_finished=True)

    def before_start(self, run: PlannedRun) -> str:
        """Return "": every run starts."""
        return ""

    def _begin(self, run: PlannedRun, direction: str, before: float = math.inf) -> None:
        """Make a trial for the run, with the evaluations of its records before this one."""
        if run.cell not in self._studies:
            pruner = RULES[self._rule].make(evaluation_count(run.config))
            self._studies[run.cell] = pruning_study(f"cell {run.cell}", pruner, direction)
        with quietly():
            self._trials[run.run_id] = self._studies[run.cell].ask()
        self._reported[run.run_id] = 0
        if before > 1:
            for evaluation, value in curve(self._folder / run.run_id, run.config):
                if evaluation < before:
                    self._report(run, evaluation, value)

    def _report(self, run: PlannedRun, evaluation: int, value: float | None) -> bool:
        self._reported[run.run_id] = evaluation
        trial = self._trials[run.run_id]
        with quietly():
            trial.report(math.nan if value is None else value, evaluation)
            return trial.should_prune()


@dataclass(frozen=True)
class Rule:
    """A rule on curves: `make` returns its pruner for runs of so many evaluations, `verdict` says why it ends a run."""

    make: Callable[[int], BasePruner]
    verdict: str


def make_asha(evaluations: int) -> BasePruner:
    """Return asynchronous successive halving (Li et al., 2020, arXiv:1810.05934)."""
    from optuna.pruners import SuccessiveHalvingPruner

    return SuccessiveHalvingPruner(min_resource=first_rung(evaluations), reduction_factor=FACTOR)


def make_hyperband(evaluations: int) -> BasePruner:
    """Return successive halving in brackets, each of which begins a rung later (Li et al., 2018)."""
    from optuna.pruners import HyperbandPruner

    return HyperbandPruner(min_resource=first_rung(evaluations), max_resource=evaluations, reduction_factor=FACTOR)


def make_median(evaluations: int) -> BasePruner:
    """Return the median rule: end a run whose best value is worse than the median of complete runs at the same
    evaluation (after Golovin et al., 2017)."""
    from optuna.pruners import MedianPruner

    return MedianPruner(n_startup_trials=STARTUP_TRIALS, n_warmup_steps=int(WARM_UP * evaluations) + 1)


RULES = {
    "asha": Rule(make_asha, "is not among the best third"),
    "hyperband": Rule(make_hyperband, "is not among the best third of its bracket"),
    "median": Rule(make_median, "does not reach the median of complete runs"),
}


def first_rung(evaluations: int) -> int:
    """Return the evaluation of the first rung."""
    return max(1, evaluations // FACTOR**RUNGS)


def evaluation_count(config: RunConfig) -> int:
    """Return the number of evaluations of a whole run."""
    return max(1, math.ceil(config.steps / config.eval_every))


def value_text(value: float | None, evaluation: int) -> str:
    """Return a value at an evaluation in words."""
    known = value is not None and not math.isnan(value)
    return f"{f'{value:.4g}' if known else 'no value'} at evaluation {evaluation}"


def curve(folder: Path, config: RunConfig) -> list[tuple[int, float | None]]:
    """Return (evaluation, metric) of a run's records on validation; none if its file cannot be read."""
    try:
        rows = read_records(folder / "metrics.jsonl")
    except (StorageError, ValueError):
        return []
    found = {math.ceil(row["step"] / config.eval_every): row.get("val_metric") for row in rows if is_validation(row)}
    return sorted(found.items())


def is_validation(row: Mapping[str, object]) -> bool:
    """Return True if a record is an evaluation on validation."""
    return row.get("split") == Split.VALIDATION
