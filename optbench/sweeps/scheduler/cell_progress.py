"""A cell's way through a study: tune, extend, final. What it asks for next is a function of the outcomes so far, so
that a sweep which was interrupted, on whatever number of workers, goes on as if nothing had happened."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optbench.config import Dimension
from optbench.errors import ConfigError
from optbench.sweeps.search.points import Search, search
from optbench.sweeps.study.cells import FINAL, FIRST_FINAL_SEED, TUNE, Cell, Planned
from optbench.sweeps.study.outcomes import Outcome
from optbench.sweeps.study.space import Box
from optbench.sweeps.study.study import Study

TUNED, DONE = "tuned", "done"  # stages beside those that runs are of
ROUNDS_OF_EXTENSION = 2
EDGE = (0.05, 0.125)  # least and greatest share of an interval that counts as its edge


@dataclass
class Trial:
    """A point of a cell's box and the runs made at it."""

    number: int
    values: Mapping[str, Any]
    runs: list[Planned]
    score: float | None = None
    """Mean over the seeds, larger is better; None where a run did not succeed."""


@dataclass
class Course:
    """Where a cell stands. `release` gives the runs that can be started now; call it again when they have ended."""

    cell: Cell
    study: Study
    outcomes: Mapping[str, Outcome]
    """Shared with the scheduler, which adds to it."""
    trials: list[Trial] = field(default_factory=list)
    finals: list[Planned] = field(default_factory=list)
    stage: str = TUNE
    """tune, then tuned (waiting for the other cells where that matters), then final, then done."""
    extensions: int = 0

    def __post_init__(self) -> None:
        self.box = self._searched = self.cell.box
        count = self.study.trials if len(self.cell.box) else 1
        self._search: Search = search(
            self.study.sampler if len(self.box) else "random", self.box, count, self.study.search_seed
        )
        self._open: list[Trial] = []

    @property
    def state(self) -> tuple[str, int, int, int]:
        """What changes when the course goes on."""
        return self.stage, len(self.trials), len(self.finals), self.extensions

    # -- what to run next --------------------------------------------------------------------------------------------

    def release(self) -> list[Planned]:
        """The next runs of the tuning; none when it is over (then the stage is "tuned")."""
        self._score_open()
        if not self.tuned_by_trials:
            self.stage = TUNED
            return []
        points = self._search.ask()
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
    def tuned_by_trials(self) -> bool:
        """Whether there is anything to tune: without a box the values are what they are, and final seeds suffice."""
        return bool(len(self.cell.box)) or self.study.seeds == 0

    # -- the winner --------------------------------------------------------------------------------------------------

    @property
    def winner(self) -> Trial | None:
        """The trial with the best score, the first of equals; None where none has one."""
        scored = [trial for trial in self.trials if trial.score is not None]
        return max(scored, key=lambda trial: (trial.score, -trial.number)) if scored else None

    @property
    def winning_values(self) -> Mapping[str, Any] | None:
        """The values to rerun: the winner's, or none but the configuration's own where nothing was searched."""
        if not self.tuned_by_trials:
            return {}
        return self.winner.values if self.winner else None

    def edges(self) -> list[tuple[str, str]]:
        """The (key, side) of every edge of the box that the winner lies on: its outermost 1/trials, within bounds."""
        if self.winner is None:
            return []
        share = min(max(1 / self.study.trials, EDGE[0]), EDGE[1])
        return self.box.edges(self.winner.values, share)

    # -- beyond the edges --------------------------------------------------------------------------------------------

    def extend(self, count: int) -> None:
        """Search on in `count` further trials: beyond the edges that the winner lies on, else within the box."""
        self._searched = self._beyond()
        grown = self._searched.dimensions != self.box.dimensions
        self.extensions += 1
        sampler = self.study.sampler if self.study.sampler != "grid" else "sobol"  # a grid has no next points
        seed = self.study.search_seed + (self.extensions if grown else 0)
        self._search = search(sampler, self._searched, count, seed, 0 if grown else len(self.trials))
        self.box, self.stage = self.box.joined(self._searched), TUNE

    def _beyond(self) -> Box:
        """The neighbouring box where the winner lies on an edge; a dimension whose values end there stays as it is."""
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

    def release_finals(self, chosen: bool = True) -> list[Planned]:
        """The winner's runs on fresh seeds; none where there is no winner, or another cell's is rerun."""
        values = self.winning_values if chosen else None
        self.stage = FINAL
        if values is not None:
            first = self.cell.config.seed + FIRST_FINAL_SEED
            number = self.winner.number if self.winner else 0
            self.finals = [self.cell.run(FINAL, number, first + i, values) for i in range(self.study.seeds)]
        return self.finals


@dataclass
class Courses:
    """All cells of a study together: who waits for whom."""

    study: Study
    courses: list[Course]
    on_edge: Callable[[Course, list[tuple[str, str]]], None] = lambda course, edges: None
    on_extend: Callable[[int], None] = lambda trials: None
    _said: set[tuple[int, int]] = field(default_factory=set)

    def advance(self, course: Course) -> list[Planned]:
        """The runs that can be started now that all released ones of this cell have ended."""
        if course.stage == TUNE:
            released = course.release()
            if course.stage == TUNE:
                return released
            self._say_edges(course)
        if course.stage == TUNED:
            if not self._together:
                return self._finals([course], lambda c: True)
            if all(c.stage == TUNED for c in self.courses):
                return self._all_tuned()
            return []
        if course.stage == FINAL:
            course.stage = DONE
        return []

    @property
    def _together(self) -> bool:
        """Whether the cells wait for one another at the end of the tuning."""
        return self.study.extend_edges or self.study.finalists == "best"

    def _say_edges(self, course: Course) -> None:
        edges = course.edges()
        if edges and (course.cell.number, course.extensions) not in self._said:
            self._said.add((course.cell.number, course.extensions))
            self.on_edge(course, edges)

    def _all_tuned(self) -> list[Planned]:
        extensions = self.courses[0].extensions
        if self.study.extend_edges and extensions < ROUNDS_OF_EXTENSION and any(c.edges() for c in self.courses):
            count = max(1, self.study.trials // 2)
            self.on_extend(count)
            for course in self.courses:
                course.extend(count)
            return [run for course in self.courses for run in self.advance(course)]
        chosen = self._chosen()
        return self._finals(self.courses, lambda course: chosen is None or course is chosen)

    def _chosen(self) -> Course | None:
        """The one cell that is rerun, where only one is."""
        if self.study.finalists != "best":
            return None
        scored = [course for course in self.courses if course.winner is not None]
        return max(scored, key=lambda c: (c.winner.score, -c.cell.number)) if scored else None  # type: ignore[union-attr]

    def _finals(self, courses: Sequence[Course], chosen: Callable[[Course], bool]) -> list[Planned]:
        released = []
        for course in courses:
            released += course.release_finals(chosen(course))
            if not course.finals:
                course.stage = DONE
        return released

    @property
    def done(self) -> bool:
        """Whether there is nothing left to run."""
        return all(course.stage == DONE for course in self.courses)
