"""The progress of a cell through its study: tune, extend, final. Its next runs are a function of the outcomes so far,
so that an interrupted sweep continues as if nothing had happened, on any number of workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optbench.config import Dimension
from optbench.errors import ConfigError
from optbench.sweeps.search.search import Search, make_search
from optbench.sweeps.study.cells import FINAL, TUNE, Cell, PlannedRun
from optbench.sweeps.study.outcomes import Outcome
from optbench.sweeps.study.space import Box
from optbench.sweeps.study.study import Study

TUNED, DONE = "tuned", "done"  # stages without runs of their own
FIRST_FINAL_SEED = 1000  # above every seed of the tuning, however many of either there are
EDGE = (0.05, 0.125)  # least and greatest share of an interval that counts as its edge


@dataclass
class Trial:
    """A point of a cell's box and the runs at it."""

    number: int
    values: Mapping[str, Any]
    runs: list[PlannedRun]
    score: float | None = None
    """Mean over the seeds, larger is better; None if a run did not succeed."""


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
        sampler = self.study.sampler if len(self.box) else "random"
        self._search: Search = make_search(sampler, self.box, count, self.study.search_seed)
        self._open: list[Trial] = []

    @property
    def state(self) -> tuple[str, int, int, int]:
        """A value that changes whenever the cell advances."""
        return self.stage, len(self.trials), len(self.finals), self.extensions

    # -- tuning ------------------------------------------------------------------------------------------------------

    def release(self) -> list[PlannedRun]:
        """Return the next runs of the tuning; none when it is over (then the stage is "tuned")."""
        self._score_open()
        points = self._search.ask() if self.is_tuned_by_trials else []
        if not points:
            self.stage = TUNED
            return []
        self._open = [self._trial(len(self.trials) + i, point) for i, point in enumerate(points)]
        self.trials += self._open
        return [run for trial in self._open for run in trial.runs]

    def _score_open(self) -> None:
        for trial in self._open:
            trial.score = self._score(trial)
        if self._open:
            self._search.tell([trial.score for trial in self._open])
        self._open = []

    def _trial(self, number: int, point: Sequence[float]) -> Trial:
        values = self._searched.at(point)
        first = self.cell.config.seed + (number * self.study.tune_seeds if self.study.fresh_seeds else 0)
        seeds = range(first, first + self.study.tune_seeds)
        return Trial(number, values, [self.cell.run(TUNE, number, seed, values) for seed in seeds])

    def _score(self, trial: Trial) -> float | None:
        scores = [self.outcomes[run.run_id].score for run in trial.runs]
        known = [score for score in scores if score is not None]
        return sum(known) / len(scores) if len(known) == len(scores) else None

    @property
    def is_tuned_by_trials(self) -> bool:
        """False if there is nothing to tune: without a box the final seeds suffice."""
        return bool(len(self.cell.box)) or self.study.seeds == 0

    # -- the winner --------------------------------------------------------------------------------------------------

    @property
    def winner(self) -> Trial | None:
        """The trial with the best score, the first of equals; None if no trial has one."""
        scored = [(trial.score, -trial.number, trial) for trial in self.trials if trial.score is not None]
        return max(scored)[2] if scored else None

    @property
    def winning_values(self) -> Mapping[str, Any] | None:
        """The values of the final runs: the winner's, or none but the configuration's own if nothing was searched."""
        if not self.is_tuned_by_trials:
            return {}
        return self.winner.values if self.winner else None

    def edges(self) -> list[tuple[str, str]]:
        """Return (key, side) for every edge of the box that the winner lies on: the outermost 1/trials, within EDGE."""
        if self.winner is None:
            return []
        share = min(max(1 / self.study.trials, EDGE[0]), EDGE[1])
        return self.box.edges(self.winner.values, share)

    # -- beyond the edges --------------------------------------------------------------------------------------------

    def extend(self, count: int) -> None:
        """Search `count` further trials: beyond the edges that the winner lies on, or else within the box."""
        self._searched = self._beyond()
        grown = self._searched.dimensions != self.box.dimensions
        self.extensions += 1
        sampler = self.study.sampler if self.study.sampler != "grid" else "sobol"  # a grid has no next points
        seed = self.study.search_seed + (self.extensions if grown else 0)
        self._search = make_search(sampler, self._searched, count, seed, 0 if grown else len(self.trials))
        self.box, self.stage = self.box.joined(self._searched), TUNE

    def _beyond(self) -> Box:
        """Return the box beyond the winner's edges; a dimension whose valid values end there stays as it is."""
        if not len(self.box):
            return self.box
        moved = self.box.beyond(self.edges())
        pairs = zip(self.box.dimensions, moved.dimensions, strict=True)
        return Box(tuple(new if new == old or self._is_valid(new) else old for old, new in pairs))

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
