"""The pruner that compares trials over their seeds: wilcoxon."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optbench.sweeps.search.optuna_tools import pruning_study, quietly
from optbench.sweeps.study.cells import PlannedRun
from optbench.sweeps.study.outcomes import Outcome
from optbench.sweeps.study.study import Study

if TYPE_CHECKING:
    import optuna

P_VALUE = 0.1  # Optuna's default: four seeds that are all worse (p = 1/16) are the fewest that can decide


class SeedPruning:
    """A Pruning that compares trials of a cell over seeds by a signed-rank test. Each point of the box is an Optuna
    trial, and each of its seeds a step of it."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._studies: dict[int, optuna.Study] = {}
        self._trials: dict[tuple[int, int], optuna.Trial] = {}
        self._scores: dict[tuple[int, int], dict[int, float | None]] = {}

    def after_evaluation(self, run: PlannedRun, evaluation: int, value: float | None, direction: str) -> str:
        """Return "": a run that has started continues."""
        return ""

    def run_ended(self, run: PlannedRun, outcome: Outcome) -> None:
        """Take the outcome of a run; its trial ends with its last one."""
        import optuna

        scores = self._scores.setdefault((run.cell, run.trial), {})
        scores[self._seed(run)] = outcome.score
        with quietly():
            trial = self._trial(run)
            if outcome.score is not None:
                trial.report(outcome.score, self._seed(run))
            if len(scores) == self._study.tune_seeds:
                known = [score for score in scores.values() if score is not None]
                complete = len(known) == len(scores)
                state = optuna.trial.TrialState.COMPLETE if complete else optuna.trial.TrialState.FAIL
                mean = sum(known) / len(known) if complete else None
                self._studies[run.cell].tell(trial, mean, state=state, skip_if_finished=True)

    def before_start(self, run: PlannedRun) -> str:
        """Return the reason not to start the run at all, or ""."""
        known = [s for s in self._scores.get((run.cell, run.trial), {}).values() if s is not None]
        if not known:
            return ""
        with quietly():
            if not self._trial(run).should_prune():
                return ""
            best = self._studies[run.cell].best_trial.user_attrs["trial"]
        return f"wilcoxon: worse than trial {best} on {len(known)} seeds (p < {P_VALUE:g})"

    def _trial(self, run: PlannedRun) -> optuna.Trial:
        """Return the Optuna trial of the run's point."""
        if run.cell not in self._studies:
            import optuna

            with quietly():  # it is marked as experimental
                pruner = optuna.pruners.WilcoxonPruner(p_threshold=P_VALUE)
            self._studies[run.cell] = pruning_study(f"cell {run.cell}", pruner, "max")  # of scores
        point = (run.cell, run.trial)
        if point not in self._trials:
            self._trials[point] = self._studies[run.cell].ask()
            self._trials[point].set_user_attr("trial", run.trial)
        return self._trials[point]

    def _seed(self, run: PlannedRun) -> int:
        """Return the seed that pairs trials; if every trial has fresh seeds, the first trial's in its place."""
        fresh = run.trial * self._study.seeds_per_trial if self._study.fresh_seeds else 0
        return run.config.seed - fresh
