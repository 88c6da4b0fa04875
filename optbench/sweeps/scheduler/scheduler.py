"""The scheduler of a sweep: it releases runs as the cells' courses ask for them, keeps the executor busy, and writes
down what comes back. All of its state can be made again from the command line and the run folders."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from optbench.errors import OptbenchError, StorageError
from optbench.records import Status
from optbench.store import RunFolder
from optbench.sweeps.executors.base import (
    Began,
    Busy,
    Died,
    Ended,
    Event,
    Executor,
    Job,
    Measured,
    Progress,
    Refused,
    Stopped,
)
from optbench.sweeps.scheduler import study_file
from optbench.sweeps.scheduler.cell_progress import DONE, Course, Courses
from optbench.sweeps.study.cells import TUNE, Cell, Planned
from optbench.sweeps.study.outcomes import PRUNED, REFUSED, Outcome, mark_pruned, read_outcome
from optbench.sweeps.study.study import Study

DEATHS = 5  # workers of one run that may die on one step before the run counts as failed
BUSY_SECONDS = 1.0  # until a run that another process was at is tried again
POLL_SECONDS = 0.5
LEDGER_SECONDS = 2.0  # between two writings of study.json, at least
LEDGER_SHARE = 50.0  # and at least so many times as long as one takes


class Pruning(Protocol):
    """Who decides that a run of the tuning is hopeless."""

    def measured(self, run: Planned, evaluation: int, value: float | None, direction: str) -> str:
        """The reason to end the run after this evaluation, or ""."""

    def ended(self, run: Planned, outcome: Outcome) -> None:
        """A run of the tuning has ended."""

    def hopeless(self, run: Planned) -> str:
        """The reason not to start the run at all, or ""."""


class Watcher(Protocol):
    """Who is told how it goes: the live table, the notices."""

    def planned(self, runs: Sequence[Planned], found: Mapping[str, Outcome]) -> None:
        """Runs were released, some of which have ended before."""

    def started(self, run: Planned) -> None:
        """A worker takes the run up."""

    def event(self, run: Planned, event: Event) -> None:
        """Something happened to a running run."""

    def ended(self, run: Planned, outcome: Outcome, log: Path) -> None:
        """A run has ended."""

    def refresh(self, courses: Courses) -> None:
        """Now and then."""


@dataclass
class Conductor:
    """One sweep of this process."""

    study: Study
    cells: Sequence[Cell]
    root: Path
    watcher: Watcher
    pruning: Pruning | None = None
    retry: frozenset[str] = frozenset()
    """Statuses whose runs are done again, once."""
    sharing: Mapping[str, Any] = field(default_factory=dict)
    """How runs share the machine; kept with each, since it is in their times."""
    on_edge: Callable[[Course, list[tuple[str, str]]], None] = lambda course, edges: None
    on_extend: Callable[[int], None] = lambda trials: None
    tracker: str | None = None
    """Takes the place of `tracker=auto`."""
    asked_to_stop: Callable[[], int] = lambda: 0
    mirror: Callable[[Mapping[str, Any], bool], None] = lambda tree, now: None
    """Shown study.json's tree, and whether at once."""

    def __post_init__(self) -> None:
        self.outcomes: dict[str, Outcome] = {}
        courses = [Course(cell, self.study, self.outcomes) for cell in self.cells]
        self.courses = Courses(self.study, courses, self.on_edge, self.on_extend)
        self.folder = self.root / self.study.name
        self.before = study_file.read_ledger(self.folder)
        self.waiting: deque[Planned] = deque()
        self.released: dict[str, Planned] = {}
        self.running: dict[str, Planned] = {}
        self.open: dict[int, int] = dict.fromkeys(range(len(self.cells)), 0)  # released runs of each cell to wait for
        self.again: dict[str, float] = {}
        self.deaths: dict[str, tuple[int, int]] = {}  # run: step, deaths on it
        self.steps: dict[str, int] = {}
        self.directions: dict[str, tuple[str, str]] = {}
        self.last_values: dict[str, float | None] = {}
        self.ran = self.found = 0
        self.halted: OptbenchError | None = None
        self.refusals: list[Exception] = []
        self._written = self._ledger_seconds = 0.0

    # -- planning ----------------------------------------------------------------------------------------------------

    def plan(self) -> int:
        """Let every cell without an open run go on, until none can; returns how many runs are waiting.

        What has ended before is only read."""
        moving = True
        while moving:
            moving = False
            for course in self.courses.courses:
                if self.open[course.cell.number] == 0 and course.stage != DONE:
                    before = course.state
                    self._release(self.courses.advance(course))
                    moving |= course.state != before
        return len(self.waiting)

    def _release(self, runs: Sequence[Planned]) -> None:
        found: dict[str, Outcome] = {}
        for run in runs:
            known = self.outcomes.get(run.run_id) or self._ended_before(run)
            if known is not None:
                found[run.run_id] = self.outcomes[run.run_id] = known
                if self.pruning is not None and run.stage == TUNE:
                    self.pruning.ended(run, known)
            elif run.run_id not in self.released:
                self.open[run.cell] += 1
                self.waiting.append(run)
            self.released[run.run_id] = run
        self.found += len(found)
        self.waiting = deque(sorted(self.waiting, key=lambda run: run.turn))
        self.watcher.planned(runs, found)

    def _ended_before(self, run: Planned) -> Outcome | None:
        outcome = read_outcome(self.folder, run.run_id, pruned=self.pruning is not None)
        return None if outcome is not None and outcome.status in self.retry else outcome

    # -- running -----------------------------------------------------------------------------------------------------

    def conduct(self, executor: Executor) -> None:
        """Run everything to the study's end. Raises what makes going on senseless (a full disk) after stopping."""
        try:
            while (self.waiting or self.running) and not self.asked_to_stop():
                self._fill(executor)
                for event in executor.events(POLL_SECONDS):
                    self._handle(event, executor)
                self.watcher.refresh(self.courses)
                self.write_ledger(LEDGER_SECONDS)
                if self.halted is not None:
                    raise self.halted
        finally:
            executor.close()
        self.write_ledger()

    def _fill(self, executor: Executor) -> None:
        now = time.monotonic()
        for run in list(self.waiting):
            if len(self.running) >= executor.slots:
                return
            if self.again.get(run.run_id, 0.0) > now:
                continue
            reason = self.pruning.hopeless(run) if self.pruning is not None and run.stage == TUNE else ""
            if reason:
                self.waiting.remove(run)
                self._prune(run, reason)
                continue
            job = self._job(run)
            if self.running and not executor.has_room(job, self._memory_of(run)):
                return
            self.waiting.remove(run)
            self.running[run.run_id] = run
            executor.start(job)
            self.watcher.started(run)

    def _job(self, run: Planned) -> Job:
        cell = self.cells[run.cell]
        given = {text.partition("=")[0] for text in run.config.overrides}
        keep = run.config.keep_checkpoint if run.stage != TUNE or "keep_checkpoint" in given else False
        tracker = self.tracker if self.tracker and run.config.tracker == "auto" else run.config.tracker
        config = replace(run.config, keep_checkpoint=keep, tracker=tracker)
        facts = {**cell.facts, "trial": run.trial, "protocol": self.study.protocol}
        old = read_outcome(self.folder, run.run_id, pruned=False)
        force = old is not None and old.status in self.retry
        return Job(run.run_id, run.stage, config, self.root, self.study.name, force, {**facts, **self.sharing})

    def _memory_of(self, run: Planned) -> int:
        """The most that a run of the same cell has taken so far."""
        mates = (
            o.resident_bytes
            for i, o in self.outcomes.items()
            if i in self.released and self.released[i].cell == run.cell
        )
        return max(mates, default=0)

    # -- events ------------------------------------------------------------------------------------------------------

    def _handle(self, event: Event, executor: Executor) -> None:
        run = self.running.get(event.run_id)
        if run is None:
            return
        self.watcher.event(run, event)
        match event:
            case Began():
                self.directions[run.run_id] = (event.metric, event.direction)
                self.steps[run.run_id] = event.resumed_from or 0
            case Progress():
                self.steps[run.run_id] = event.step
            case Measured():
                self._measured(run, event, executor)
            case Ended():
                outcome = read_outcome(self.folder, run.run_id)
                self._end(run, outcome or Outcome(run.run_id, str(Status.FAILED), "its result cannot be read"))
            case Stopped():
                self._stopped(run, event)
            case Refused():
                self._refused(run, event.error)
            case Busy():
                self._take_back(run, BUSY_SECONDS)
            case Died():
                self._died(run, event.how)

    def _measured(self, run: Planned, event: Measured, executor: Executor) -> None:
        self.steps[run.run_id] = event.step
        self.last_values[run.run_id] = event.value
        if self.pruning is None or run.stage != TUNE or event.step >= run.config.steps:
            return
        direction = self.directions[run.run_id][1]
        reason = self.pruning.measured(run, event.evaluation, event.value, direction)
        if reason:
            executor.stop(run.run_id, reason)

    def _stopped(self, run: Planned, event: Stopped) -> None:
        if event.reason:
            del self.running[run.run_id]
            self._prune(run, event.reason)
        else:
            self._take_back(run, 0.0)

    def _prune(self, run: Planned, reason: str) -> None:
        metric, direction = self.directions.get(run.run_id, (None, None))
        value = self.last_values.get(run.run_id)
        mark_pruned(self.folder / run.run_id, reason, metric, direction, value)
        self.running[run.run_id] = run
        self._end(run, Outcome(run.run_id, PRUNED, reason, metric, direction, value))

    def _refused(self, run: Planned, error: Exception) -> None:
        if isinstance(error, StorageError):
            self.halted = error
        self.refusals.append(error)
        full = isinstance(error, StorageError)
        self._end(run, Outcome(run.run_id, REFUSED, str(error)), quiet=full)  # it is what the command will end with
        if full:
            return
        for other in [other for other in self.waiting if other.cell == run.cell]:  # the same is wrong with all of them
            self.waiting.remove(other)
            self.running[other.run_id] = other
            self._end(other, Outcome(other.run_id, REFUSED, str(error)), quiet=True)

    def _died(self, run: Planned, how: str) -> None:
        """A worker that is gone without a word: its run is taken up again, unless that kills one after the other."""
        step = checkpoint_step(self.root, self.study.name, run.run_id)
        last, count = self.deaths.get(run.run_id, (-1, 0))
        count = count + 1 if step == last else 1
        self.deaths[run.run_id] = (step, count)
        if count < DEATHS:
            self._take_back(run, 0.0)
            return
        reason = f"its worker {how} {count} times at the same checkpoint (step {step})"
        self._write_failure(run, reason)
        self._end(run, Outcome(run.run_id, str(Status.FAILED), reason))

    def _write_failure(self, run: Planned, reason: str) -> None:
        """The result of a run that no worker lived to write."""
        from optbench.sessions.run_documents import result_before_start, run_facts

        folder = RunFolder(self.root, self.study.name, run.run_id)
        folder.path.mkdir(parents=True, exist_ok=True)
        if folder.run() is None:
            folder.write_run(run_facts(run.config, None, self.study.name, run.stage, self._job(run).facts))
        folder.write_result(result_before_start(run.config, Status.FAILED, reason))

    def _take_back(self, run: Planned, seconds: float) -> None:
        del self.running[run.run_id]
        self.again[run.run_id] = time.monotonic() + seconds
        self.waiting.appendleft(run)

    def _end(self, run: Planned, outcome: Outcome, quiet: bool = False) -> None:
        self.running.pop(run.run_id, None)
        self.outcomes[run.run_id] = outcome
        self.ran += 1
        if self.pruning is not None and run.stage == TUNE:
            self.pruning.ended(run, outcome)
        if not quiet:
            log = Job(run.run_id, run.stage, run.config, self.root, self.study.name).log
            self.watcher.ended(run, outcome, log)
        self.open[run.cell] -= 1
        if self.open[run.cell] == 0:
            self.plan()

    # -- what is known -----------------------------------------------------------------------------------------------

    def write_ledger(self, seconds: float = 0.0) -> None:
        """Write study.json, if it is older than this; one of many thousand runs costs a while, and is written less
        often."""
        began = time.monotonic()
        if began - self._written >= (seconds and max(seconds, LEDGER_SHARE * self._ledger_seconds)):
            tree = study_file.tree_of(self.study, self.courses.courses, self.before)
            study_file.write_ledger(self.folder, tree)
            if self.ran:
                self.mirror(tree, not seconds)
            self._written = time.monotonic()
            self._ledger_seconds = self._written - began

    @property
    def planned_runs(self) -> list[Planned]:
        """Every run that the study has asked for so far."""
        return list(self.released.values())

    def failures(self) -> list[Outcome]:
        """Runs of the plan that did not end as asked; pruned ones did."""
        ended = (self.outcomes[run.run_id] for run in self.planned_runs if run.run_id in self.outcomes)
        return [outcome for outcome in ended if not outcome.succeeded and outcome.status != PRUNED]


def checkpoint_step(root: Path, study: str, run_id: str) -> int:
    """The step of a run's last checkpoint; -1 where there is none."""
    files: Iterable[Path] = (root / study / run_id / "checkpoints").glob("step-*.pt")
    return max((int(file.stem.partition("-")[2]) for file in files), default=-1)


def total_runs(study: Study, cells: Sequence[Cell]) -> int:
    """How many runs a study is, unless it is extended."""
    tuning = sum(
        study.trials * study.tune_seeds if len(c.box) else (study.tune_seeds if not study.seeds else 0) for c in cells
    )
    winners = len(cells) if study.finalists == "each" else 1
    return tuning + winners * study.seeds
