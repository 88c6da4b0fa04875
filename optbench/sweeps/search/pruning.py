"""Pruners: Optuna's, who end hopeless runs of the tuning early. They decide by what has been measured when they are
asked, so that on several workers the timing has a say; final runs never come before them (conduct.py)."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from optbench.config import RunConfig
from optbench.records import Split
from optbench.store import read_records
from optbench.sweeps.scheduler.scheduler import Pruning
from optbench.sweeps.search.optuna_tools import needed, quietly
from optbench.sweeps.study.cells import Planned
from optbench.sweeps.study.outcomes import PRUNED, Outcome
from optbench.sweeps.study.study import Study

FACTOR = 3  # of asha and hyperband, "3 or 4" (Li et al., 2018, JMLR 18:185): the best third of a rung goes on
RUNGS = 2  # rungs of asha before the end: a ninth and a third of the run
LATE = 2 / 3  # of a run, after which it is let finish: its result is worth more than what is left of it
STARTUP_TRIALS = 5  # complete runs before median decides (Optuna's default)
WARM_UP = 0.2  # share of a run in which median lets everything live: schedules warm up there
P_VALUE = 0.1  # of wilcoxon (Optuna's default): four seeds that are all worse (p = 1/16) are the fewest that can decide


def make_pruning(study: Study, folder: Path) -> Pruning:
    """The study's pruner; `folder` holds its runs. MissingError where Optuna is not installed."""
    needed("optuna", f"--pruner {study.pruner}")
    if study.pruner in RULES:
        return ByCurve(study.pruner, folder)
    return BySeeds(study)


def make_study(name: str, pruner: Any, direction: str) -> Any:
    """An Optuna study in memory. Hyperband deals trials to brackets by the study's name."""
    import optuna

    with quietly():
        return optuna.create_study(
            study_name=name,
            pruner=pruner,
            sampler=optuna.samplers.RandomSampler(0),  # never asked
            direction="maximize" if direction == "max" else "minimize",
        )


class ByCurve:
    """Compares runs of a cell at equal evaluations; an Optuna trial for every run."""

    def __init__(self, rule: str, folder: Path) -> None:
        self._rule, self._folder = rule, folder
        self._studies: dict[int, Any] = {}
        self._trials: dict[str, Any] = {}
        self._seen: dict[str, int] = {}  # the last evaluation of a run that was reported
        self._reasons: dict[str, str] = {}

    def measured(self, run: Planned, evaluation: int, value: float | None, direction: str) -> str:
        """The reason to end the run after this evaluation, or ""."""
        if run.run_id not in self._trials:
            self._begin(run, direction, before=evaluation)
        if run.run_id in self._reasons or evaluation <= self._seen[run.run_id]:  # a run that was taken up again
            return self._reasons.get(run.run_id, "")
        hopeless = self._report(run, evaluation, value)
        if not hopeless or evaluation > LATE * evaluations_of(run.config):
            return ""
        self._reasons[run.run_id] = f"{self._rule}: {shown(value, evaluation)} {RULES[self._rule].words}"
        return self._reasons[run.run_id]

    def ended(self, run: Planned, outcome: Outcome) -> None:
        """A run of the tuning has ended, now or in an earlier session: others are compared with it."""
        import optuna

        if run.run_id not in self._trials:
            if outcome.direction is None:
                return  # nothing of it was measured
            self._begin(run, outcome.direction)
        states = optuna.trial.TrialState
        value = outcome.val if outcome.score is not None else None
        ended = states.PRUNED if outcome.status == PRUNED else states.FAIL
        with quietly():
            told = ended if value is None else states.COMPLETE
            self._studies[run.cell].tell(self._trials[run.run_id], value, state=told, skip_if_finished=True)

    def hopeless(self, run: Planned) -> str:
        """Every run is begun."""
        return ""

    def _begin(self, run: Planned, direction: str, before: float = math.inf) -> None:
        """A trial for the run, with what its records tell of evaluations before this one."""
        if run.cell not in self._studies:
            pruner = RULES[self._rule].make(evaluations_of(run.config))
            self._studies[run.cell] = make_study(f"cell {run.cell}", pruner, direction)
        with quietly():
            self._trials[run.run_id] = self._studies[run.cell].ask()
        self._seen[run.run_id] = 0
        if before > 1:
            for evaluation, value in curve(self._folder / run.run_id, run.config):
                if evaluation < before:
                    self._report(run, evaluation, value)

    def _report(self, run: Planned, evaluation: int, value: float | None) -> bool:
        self._seen[run.run_id] = evaluation
        trial = self._trials[run.run_id]
        with quietly():
            trial.report(math.nan if value is None else value, evaluation)
            return trial.should_prune()


class Rule:
    """A pruner of curves: how it is made for runs of so many evaluations, and what it says of a run."""

    def __init__(self, make: Callable[[int], Any], words: str) -> None:
        self.make, self.words = make, words


def make_asha(evaluations: int) -> Any:
    """Asynchronous successive halving (Li et al., 2020, arXiv:1810.05934)."""
    from optuna.pruners import SuccessiveHalvingPruner

    return SuccessiveHalvingPruner(min_resource=first_rung(evaluations), reduction_factor=FACTOR)


def make_hyperband(evaluations: int) -> Any:
    """Successive halving in brackets, each of which begins a rung later (Li et al., 2018)."""
    from optuna.pruners import HyperbandPruner

    return HyperbandPruner(min_resource=first_rung(evaluations), max_resource=evaluations, reduction_factor=FACTOR)


def make_median(evaluations: int) -> Any:
    """Worse at its best than the median of complete runs at the same evaluation (after Golovin et al., 2017)."""
    from optuna.pruners import MedianPruner

    return MedianPruner(n_startup_trials=STARTUP_TRIALS, n_warmup_steps=int(WARM_UP * evaluations) + 1)


RULES = {
    "asha": Rule(make_asha, "is not among the best third"),
    "hyperband": Rule(make_hyperband, "is not among the best third of its bracket"),
    "median": Rule(make_median, "does not reach the median of complete runs"),
}


def first_rung(evaluations: int) -> int:
    """The evaluation of asha's first rung."""
    return max(1, evaluations // FACTOR**RUNGS)


def evaluations_of(config: RunConfig) -> int:
    """Evaluations of a whole run."""
    return max(1, math.ceil(config.steps / config.eval_every))


def shown(value: float | None, evaluation: int) -> str:
    """A value at an evaluation, in words."""
    known = value is not None and not math.isnan(value)
    return f"{f'{value:.4g}' if known else 'no value'} at evaluation {evaluation}"


def curve(folder: Path, config: RunConfig) -> list[tuple[int, float | None]]:
    """(evaluation, metric) of a run's records on validation; what lies on disk may be cut short, not wrong."""
    try:
        rows = read_records(folder / "metrics.jsonl")
    except (OSError, ValueError):
        return []
    found = {math.ceil(r["step"] / config.eval_every): r.get("val_metric") for r in rows if is_validation(r)}
    return sorted(found.items())


def is_validation(row: dict[str, Any]) -> bool:
    """Whether a record is an evaluation on validation."""
    return row.get("split") == Split.VALIDATION


class BySeeds:
    """Compares trials of a cell over seeds by a signed-rank test; an Optuna trial for every point of the box, a step
    of it for every seed."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._studies: dict[int, Any] = {}
        self._trials: dict[tuple[int, int], Any] = {}
        self._scores: dict[tuple[int, int], dict[int, float | None]] = {}

    def measured(self, run: Planned, evaluation: int, value: float | None, direction: str) -> str:
        """What goes on inside a run is not looked at."""
        return ""

    def ended(self, run: Planned, outcome: Outcome) -> None:
        """A run of the tuning has ended, now or in an earlier session; with its last one, its trial ends."""
        import optuna

        scores = self._scores.setdefault((run.cell, run.trial), {})
        scores[self._seed(run)] = outcome.score
        with quietly():
            trial = self._trial(run)
            if outcome.score is not None:
                trial.report(outcome.score, self._seed(run))
            if len(scores) == self._study.tune_seeds:
                known = [score for score in scores.values() if score is not None]
                whole = len(known) == len(scores)
                state = optuna.trial.TrialState.COMPLETE if whole else optuna.trial.TrialState.FAIL
                mean = sum(known) / len(known) if whole else None
                self._studies[run.cell].tell(trial, mean, state=state, skip_if_finished=True)

    def hopeless(self, run: Planned) -> str:
        """The reason not to start the run at all, or ""."""
        known = [s for s in self._scores.get((run.cell, run.trial), {}).values() if s is not None]
        if not known:
            return ""
        with quietly():
            if not self._trial(run).should_prune():
                return ""
            best = self._studies[run.cell].best_trial.user_attrs["trial"]
        return f"wilcoxon: worse than trial {best} on {len(known)} seeds (p < {P_VALUE:g})"

    def _trial(self, run: Planned) -> Any:
        """The Optuna trial of the run's point."""
        if run.cell not in self._studies:
            import optuna

            with quietly():  # it is marked as experimental
                pruner = optuna.pruners.WilcoxonPruner(p_threshold=P_VALUE)
            self._studies[run.cell] = make_study(f"cell {run.cell}", pruner, "max")  # of scores
        point = (run.cell, run.trial)
        if point not in self._trials:
            self._trials[point] = self._studies[run.cell].ask()
            self._trials[point].set_user_attr("trial", run.trial)
        return self._trials[point]

    def _seed(self, run: Planned) -> int:
        """The seed by which trials are paired; where every trial has fresh ones, as if they were the first one's."""
        fresh = run.trial * self._study.tune_seeds if self._study.fresh_seeds else 0
        return run.config.seed - fresh
