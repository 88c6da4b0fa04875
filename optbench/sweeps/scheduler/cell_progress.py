"""The progress of a cell through its study: tune, extend, final. Its next runs are a function of the outcomes so far,
so that an interrupted sweep continues as if nothing had happened, on any number of workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optbench.config import Dimension
from optbench.errors import ConfigError
from optbench.records import DEFAULT_TRIAL
from optbench.sweeps.search.search import GRID, SEQUENCES, Search, make_search, sampler_for
from optbench.sweeps.study.cells import FINAL, TUNE, Cell, PlannedRun
from optbench.sweeps.study.edges import rising_edges, score_noise
from optbench.sweeps.study.outcomes import Outcome
from optbench.sweeps.study.shortlist import best_trial, next_shortlist
from optbench.sweeps.study.space import Box, width
from optbench.sweeps.study.study import Study

TUNED, DONE = "tuned", "done"  # stages without runs of their own
FIRST_FINAL_SEED = 1000  # above every seed of the tuning, however many of either there are


@dataclass
class Trial:
    """A point of a cell's box and the runs at it."""

    number: int
    values: Mapping[str, Any]
    runs: list[PlannedRun]
    group: int | None = None
    """The scramble of its point, or AlgoPerf's study."""
    score: float | None = None
    """Mean over the seeds, larger is better; None if a run did not succeed."""

    @property
    def seeds(self) -> int:
        """The number of its runs."""
        return len(self.runs)


@dataclass
class CellProgress:
    """The state of a cell. `release` returns the runs that can start now; call it again when they have ended."""

    cell: Cell
    study: Study
    outcomes: Mapping[str, Outcome]
    """Shared with the scheduler, which adds to it."""
    trials: list[Trial] = field(default_factory=list)
    finals: list[PlannedRun] = field(default_factory=list)
    stage: str = TUNE
    """tune, then tuned (waiting for the other cells if it must), then final, then done."""
    extensions: int = 0

    def __post_init__(self) -> None:
        self.box = self._searched = self.cell.box
        count = self.study.trials if len(self.cell.box) else 1
        self._sampler = sampler_for(self.study.sampler, self.box) if len(self.box) else "random"
        self._search: Search = self._new_search(self._sampler, count, self.study.search_seed)
        self._open: list[Trial] = []
        self._shortlists = 0  # one for the first trials and one for each extension

    @property
    def state(self) -> tuple[object, ...]:
        """A value that changes whenever the cell advances."""
        return self.stage, len(self.trials), self._shortlists, len(self.finals), self.extensions

    # -- tuning ------------------------------------------------------------------------------------------------------

    def release(self) -> list[PlannedRun]:
        """Return the next runs of the tuning; none when it is over (then the stage is "tuned")."""
        self._score_open()
        points = self._search.ask() if self.is_tuned_by_trials else []
        if points:
            first = self._point_count()
            self._open = [self._trial(first + i, self._searched.at(point)) for i, point in enumerate(points)]
            if self.study.include_default and len(self.cell.box) and not self.trials:
                self._open.append(self._trial(DEFAULT_TRIAL, self.cell.own_values))
            self.trials += self._open
            return [run for trial in self._open for run in trial.runs]
        if self._shortlists <= self.extensions:
            self._shortlists += 1
            self._open = next_shortlist(self.trials, self.study)
            return [run for trial in self._open for run in self._confirm(trial)]
        self.stage = TUNED
        return []

    def _score_open(self) -> None:
        for trial in self._open:
            trial.score = self._score(trial)
        if self._open and self._shortlists <= self.extensions:
            self._search.tell([trial.score for trial in self._open if trial.number != DEFAULT_TRIAL])
        self._open = []

    def _new_search(self, sampler: str, count: int, seed: int, first: int = 0) -> Search:
        scrambles = self.study.scrambles if sampler in SEQUENCES else 1
        self._groups = self.study.groups if self.study.groups > 1 else scrambles
        self._first = self._point_count() - first if self.study.groups == 1 else 0  # the number of the point in turn 0
        return make_search(sampler, self._searched, count, seed, first, scrambles)

    def _point_count(self) -> int:
        """Return the trials so far at points of the box."""
        return sum(trial.number != DEFAULT_TRIAL for trial in self.trials)

    def _trial(self, number: int, values: Mapping[str, Any]) -> Trial:
        own = number * self.study.seeds_per_trial if self.study.fresh_seeds and number != DEFAULT_TRIAL else 0
        first = self.cell.config.seed + own
        group = (number - self._first) % self._groups if self._groups > 1 and number != DEFAULT_TRIAL else None
        seeds = range(first, first + self.study.tune_seeds)
        return Trial(number, values, [self.cell.run(TUNE, number, seed, values, group=group) for seed in seeds], group)

    def _confirm(self, trial: Trial) -> list[PlannedRun]:
        """Return a shortlisted trial's runs on further seeds, after adding them to its own."""
        marks = {"group": trial.group, "confirms": True}
        first = trial.runs[-1].config.seed + 1
        seeds = range(first, first + self.study.shortlist_seeds)
        runs = [self.cell.run(TUNE, trial.number, seed, trial.values, **marks) for seed in seeds]
        trial.runs += runs
        return runs

    def _score(self, trial: Trial) -> float | None:
        scores = self._scores(trial.runs)
        return sum(scores) / len(scores) if len(scores) == len(trial.runs) else None

    def _scores(self, runs: Sequence[PlannedRun]) -> list[float]:
        """Return the scores of the runs that have ended with one."""
        ended = [self.outcomes[run.run_id] for run in runs if run.run_id in self.outcomes]
        return [outcome.score for outcome in ended if outcome.score is not None]

    @property
    def is_tuned_by_trials(self) -> bool:
        """False if there is nothing to tune: without a box the final seeds suffice."""
        return bool(len(self.cell.box)) or self.study.seeds == 0

    # -- the winner --------------------------------------------------------------------------------------------------

    @property
    def winner(self) -> Trial | None:
        """The best trial of the shortlist (of all, without one); None if no trial has a score."""
        return best_trial(self.trials)

    @property
    def winning_values(self) -> Mapping[str, Any] | None:
        """The values of the final runs: the winner's, or none but the configuration's own if nothing was searched."""
        if not self.is_tuned_by_trials:
            return {}
        return self.winner.values if self.winner else None

    def edges(self) -> list[tuple[str, str]]:
        """Return (key, side) for every edge of the box that the winner lies on and the score rises towards."""
        if self.winner is None:
            return []
        noise = score_noise(self._scores(runs) for runs in (*(trial.runs for trial in self.trials), self.finals))
        return rising_edges(self.box, self.winner, self.trials, self.study.trials, noise)

    # -- beyond the edges --------------------------------------------------------------------------------------------

    def extend(self, count: int) -> None:
        """Search `count` further trials: beyond the edges that the winner lies on, or else within the box."""
        self._searched = self._beyond(count)
        grown = self._searched.dimensions != self.box.dimensions
        self.extensions += 1
        sampler = self._sampler
        if sampler == GRID and not (grown and len(self.box) == 1):
            sampler = "sobol"  # a grid has no next points within its box
        seed = self.study.search_seed + (self.extensions if grown else 0)
        self._search = self._new_search(sampler, count, seed, 0 if grown else self._point_count())
        self.box, self.stage = self.box.joined(self._searched), TUNE

    def _beyond(self, count: int) -> Box:
        """Return the box beyond the winner's edges; a dimension whose valid values end there stays as it is."""
        if not len(self.box):
            return self.box
        moved = self.box.beyond(self.edges(), self._share_beyond(count))
        pairs = zip(self.box.dimensions, moved.dimensions, strict=True)
        return Box(tuple(new if new == old or self._is_valid(new) else old for old, new in pairs))

    def _share_beyond(self, count: int) -> float:
        """Return the width of an extension as a share of the box: half, or what continues the spacing of a grid."""
        if self._sampler != GRID or len(self.box) > 1:
            return 0.5
        return count / self.study.trials * width(self.cell.box.dimensions[0]) / width(self.box.dimensions[0])

    def _is_valid(self, dimension: Dimension) -> bool:
        try:
            for bound in (dimension.low, dimension.high):
                self.cell.variation.at({dimension.key: int(bound) if dimension.integer else bound})
        except ConfigError:
            return False
        return True

    # -- the final stage ---------------------------------------------------------------------------------------------

    def release_finals(self, chosen: bool = True) -> list[PlannedRun]:
        """Return the winner's runs on fresh seeds; none if there is no winner, or if another cell was chosen."""
        values = self.winning_values if chosen else None
        self.stage = FINAL
        if values is not None:
            first = self.cell.config.seed + FIRST_FINAL_SEED
            number = self.winner.number if self.winner else 0
            self.finals = [self.cell.run(FINAL, number, first + i, values) for i in range(self.study.seeds)]
        return self.finals
