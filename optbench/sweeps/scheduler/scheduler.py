"""The scheduler of a sweep: it releases the runs of the cells, keeps the executor busy, and writes down the outcomes.
All of its state can be made again from the command line and the run folders."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from optbench.config import RunConfig
from optbench.errors import ConfigError, OptbenchError, StorageError
from optbench.records import Status
from optbench.store import RunFolder, checkpoint_step, finished_run
from optbench.sweeps.executors.base import (
    Event,
    Executor,
    Job,
    RunBusy,
    RunEnded,
    RunEvaluated,
    RunRefused,
    RunStarted,
    RunStopped,
    WorkerDied,
)
from optbench.sweeps.scheduler import study_file
from optbench.sweeps.scheduler.cell_progress import DONE, CellProgress
from optbench.sweeps.scheduler.observer import Observer
from optbench.sweeps.scheduler.study_progress import OnEdge, StudyProgress
from optbench.sweeps.search.pruning import Pruning
from optbench.sweeps.study.cells import TUNE, Cell, PlannedRun
from optbench.sweeps.study.outcomes import PRUNED, REFUSED, Outcome, mark_pruned, read_outcome
from optbench.sweeps.study.study import Study

DEATHS = 5  # workers of one run that may die on the same step before the run counts as failed
BUSY_SECONDS = 1.0  # before a run that another process holds is tried again
POLL_SECONDS = 0.5
STUDY_FILE_SECONDS = 2.0  # least time between two writes of study.json
STUDY_FILE_SHARE = 50.0  # the least time as a multiple of the last write's


@dataclass
class Scheduler:
    """The sweep of one study by this process."""

    study: Study
    cells: Sequence[Cell]
    root: Path
    observer: Observer
    pruning: Pruning | None = None
    retry: frozenset[str] = frozenset()
    """Statuses of ended runs to rerun, once."""
    sharing: Mapping[str, Any] = field(default_factory=dict)
    """The sharing of the machine by runs; kept in run.json, since it affects their times."""
    on_edge: OnEdge = lambda cell, edges: None
    on_extend: Callable[[int], None] = lambda trials: None
    tracker: str | None = None
    """Replaces `tracker=auto`."""
    stop_signal: Callable[[], int] = lambda: 0
    """Returns the number of the signal that asked the sweep to stop, or 0."""
    pack: int = 1
    """Runs of a cell that share a process; they are released together."""
    mirror: Callable[[Mapping[str, Any], bool], None] = lambda content, now: None
    """Called with the content of study.json, and True if it must be mirrored at once."""

    def __post_init__(self) -> None:
        self.outcomes: dict[str, Outcome] = {}
        cells = [CellProgress(cell, self.study, self.outcomes) for cell in self.cells]
        self.progress = StudyProgress(self.study, cells, self.on_edge, self.on_extend)
        self.folder = self.root / self.study.name
        self.previous = study_file.read_study_json(self.folder)
        self.waiting: deque[PlannedRun] = deque()
        self.released: dict[str, PlannedRun] = {}
        self.running: dict[str, PlannedRun] = {}
        self.open_runs: dict[int, int] = dict.fromkeys(range(len(self.cells)), 0)  # released and not ended, by cell
        self.not_before: dict[str, float] = {}  # when a run may be tried again
        self.deaths: dict[str, tuple[int, int]] = {}  # step and number of deaths on it, by run
        self.metrics: dict[str, tuple[str, str]] = {}  # metric and direction, by run
        self.last_values: dict[str, float | None] = {}
        self.data: dict[int, str | None] = {}  # hash of the samples, by cell
        self.ran = self.found = 0
        self.fatal_error: OptbenchError | None = None
        self.refusals: list[Exception] = []
        self._written = self._write_seconds = 0.0

    # -- planning ----------------------------------------------------------------------------------------------------

    def plan(self) -> int:
        """Advance every cell without open runs as far as possible; return how many runs are waiting.

        Outcomes of earlier sessions are read from the run folders. Raises ConfigError if a run that `init` names is not
        there."""
        moving = True
        while moving:
            moving = False
            for cell in self.progress.cells:
                if self.open_runs[cell.cell.number] == 0 and cell.stage != DONE:
                    before = cell.state
                    self._release(self.progress.advance(cell))
                    moving |= cell.state != before
        for run_id in dict.fromkeys(run.config.init_run for run in self.waiting):
            if run_id is not None:
                finished_run(self.root, run_id)
        return len(self.waiting)

    def _release(self, runs: Sequence[PlannedRun]) -> None:
        found: dict[str, Outcome] = {}
        for run in runs:
            known = self.outcomes.get(run.run_id) or self._earlier_outcome(run)
            if known is not None:
                found[run.run_id] = self.outcomes[run.run_id] = known
                self.data[run.cell] = known.data_sha256 or self.data.get(run.cell)
                if self.pruning is not None and is_prunable(run):
                    self.pruning.run_ended(run, known)
            elif run.run_id not in self.released:
                self.open_runs[run.cell] += 1
                self.waiting.append(run)
            self.released[run.run_id] = run
        self.found += len(found)
        self.waiting = deque(sorted(self.waiting, key=lambda run: run.priority(self.pack)))
        self.observer.planned(runs, found)

    def _earlier_outcome(self, run: PlannedRun) -> Outcome | None:
        outcome = read_outcome(self.folder, run.run_id, pruned=self.pruning is not None)
        return None if outcome is not None and outcome.status in self.retry else outcome

    # -- running -----------------------------------------------------------------------------------------------------

    def run(self, executor: Executor) -> None:
        """Run the study to its end. An error that makes further runs pointless (a full disk) stops all, then raises."""
        try:
            while (self.waiting or self.running) and not self.stop_signal():
                self._fill(executor)
                for event in executor.events(POLL_SECONDS):
                    self._handle(event, executor)
                self.observer.refresh(self.progress)
                self.write_study_file(STUDY_FILE_SECONDS)
                if self.fatal_error is not None:
                    raise self.fatal_error
        finally:
            executor.close()
        self.write_study_file()

    def _fill(self, executor: Executor) -> None:
        now = time.monotonic()
        for run in list(self.waiting):
            if len(self.running) >= executor.slots:
                return
            if self.not_before.get(run.run_id, 0.0) > now:
                continue
            reason = self.pruning.before_start(run) if self.pruning is not None and is_prunable(run) else ""
            if reason:
                self.waiting.remove(run)
                self._prune(run, reason)
                continue
            job = self._job(run)
            if self.running and not executor.has_room(job, *self._memory_of(run)):
                return
            self.waiting.remove(run)
            self.running[run.run_id] = run
            executor.start(job)
            self.observer.started(run)

    def _job(self, run: PlannedRun) -> Job:
        cell = self.cells[run.cell]
        tracker = self.tracker if self.tracker and run.config.tracker == "auto" else run.config.tracker
        config = replace(run.config, keep_checkpoint=keeps_checkpoint(run.config, run.stage), tracker=tracker)
        metadata = {**cell.metadata, "trial": run.trial, "group": run.group, "protocol": self.study.protocol}
        metadata |= self.sharing
        old = read_outcome(self.folder, run.run_id, pruned=False)
        force = old is not None and old.status in self.retry
        return Job(run.run_id, run.stage, config, self.root, self.study.name, force, metadata)

    def _memory_of(self, run: PlannedRun) -> tuple[int, int]:
        """Return the most memory that a run of the same cell has taken so far, of the machine and of a CUDA device."""
        same_cell = (i for i, other in self.released.items() if other.cell == run.cell and i in self.outcomes)
        ended = [self.outcomes[i] for i in same_cell]
        return max((o.resident_bytes for o in ended), default=0), max((o.device_bytes for o in ended), default=0)

    # -- events ------------------------------------------------------------------------------------------------------

    def _handle(self, event: Event, executor: Executor) -> None:
        run = self.running.get(event.run_id)
        if run is None:
            return
        self.observer.event(run, event)
        match event:
            case RunStarted():
                self.metrics[run.run_id] = (event.metric, event.direction)
            case RunEvaluated():
                self._evaluated(run, event, executor)
            case RunEnded():
                outcome = read_outcome(self.folder, run.run_id)
                self._require_same_data(run, outcome)
                self._end(run, outcome or Outcome(run.run_id, str(Status.FAILED), "its result cannot be read"))
            case RunStopped():
                self._stopped(run, event)
            case RunRefused():
                self._refused(run, event.error)
            case RunBusy():
                self._requeue(run, BUSY_SECONDS)
            case WorkerDied():
                self._died(run, event.how)

    def _require_same_data(self, run: PlannedRun, outcome: Outcome | None) -> None:
        """Stop the sweep if a run had other data than the earlier ones of its cell: its table would mix both."""
        now = outcome.data_sha256 if outcome is not None else None
        before = self.data.get(run.cell)
        self.data[run.cell] = before or now
        if now is not None and before not in (None, now):
            self.fatal_error = ConfigError(
                f"{run.run_id}: data={run.config.data.name} is not what earlier runs of the study were trained on",
                "Choose another --study, or restore the data",
            )

    def _evaluated(self, run: PlannedRun, event: RunEvaluated, executor: Executor) -> None:
        self.last_values[run.run_id] = event.value
        if self.pruning is None or not is_prunable(run) or event.step >= run.config.steps:
            return
        if run.run_id not in self.metrics:  # a remote worker's first message was damaged
            return
        direction = self.metrics[run.run_id][1]
        reason = self.pruning.after_evaluation(run, event.evaluation, event.value, direction)
        if reason:
            executor.stop(run.run_id, reason)

    def _stopped(self, run: PlannedRun, event: RunStopped) -> None:
        if event.reason:
            self._prune(run, event.reason)
        else:
            self._requeue(run, 0.0)

    def _prune(self, run: PlannedRun, reason: str) -> None:
        metric, direction = self.metrics.get(run.run_id, (None, None))
        value = self.last_values.get(run.run_id)
        mark_pruned(self.folder / run.run_id, reason, metric, direction, value)
        self._end(run, Outcome(run.run_id, PRUNED, reason, metric, direction, value))

    def _refused(self, run: PlannedRun, error: Exception) -> None:
        full = isinstance(error, StorageError)  # the command ends with this error, so the observer isn't told
        if isinstance(error, StorageError):
            self.fatal_error = error
        self.refusals.append(error)
        self._end(run, Outcome(run.run_id, REFUSED, str(error)), quiet=full)
        if full:
            return
        for other in [other for other in self.waiting if other.cell == run.cell]:  # they have the same mistake
            self.waiting.remove(other)
            self._end(other, Outcome(other.run_id, REFUSED, str(error)), quiet=True)

    def _died(self, run: PlannedRun, how: str) -> None:
        """Resume a run whose worker died, unless it kills one worker after the other."""
        step = checkpoint_step(self.folder / run.run_id)
        last, count = self.deaths.get(run.run_id, (-1, 0))
        count = count + 1 if step == last else 1
        self.deaths[run.run_id] = (step, count)
        if count < DEATHS:
            self._requeue(run, 0.0)
            return
        reason = f"its worker {how} {count} times at the same checkpoint (step {step})"
        self._write_failure(run, reason)
        self._end(run, Outcome(run.run_id, str(Status.FAILED), reason))

    def _write_failure(self, run: PlannedRun, reason: str) -> None:
        """Write the result of a run that no worker survived."""
        from optbench.sessions.documents import result_before_start
        from optbench.sessions.run_documents import run_facts

        folder = RunFolder(self.root, self.study.name, run.run_id)
        folder.path.mkdir(parents=True, exist_ok=True)
        if folder.run() is None:
            folder.write_run(run_facts(run.config, None, self.study.name, run.stage, self._job(run).metadata))
        folder.write_result(result_before_start(run.config, Status.FAILED, reason))

    def _requeue(self, run: PlannedRun, seconds: float) -> None:
        del self.running[run.run_id]
        self.not_before[run.run_id] = time.monotonic() + seconds
        self.waiting.appendleft(run)

    def _end(self, run: PlannedRun, outcome: Outcome, quiet: bool = False) -> None:
        self.running.pop(run.run_id, None)
        self.outcomes[run.run_id] = outcome
        self.ran += 1
        if self.pruning is not None and is_prunable(run):
            self.pruning.run_ended(run, outcome)
        if not quiet:
            log = Job(run.run_id, run.stage, run.config, self.root, self.study.name).log
            self.observer.ended(run, outcome, log)
        self.open_runs[run.cell] -= 1
        if self.open_runs[run.cell] == 0:
            self.plan()

    # -- the state ---------------------------------------------------------------------------------------------------

    def write_study_file(self, seconds: float = 0.0) -> None:
        """Write study.json if the last write is this old; less often if a write is slow (thousands of runs)."""
        began = time.monotonic()
        if began - self._written >= (seconds and max(seconds, STUDY_FILE_SHARE * self._write_seconds)):
            content = study_file.content_of(self.study, self.progress.cells, self.previous)
            if self.ran or content != self.previous:
                study_file.write_study_json(self.folder, content)
            if self.ran:
                self.mirror(content, not seconds)
            self._written = time.monotonic()
            self._write_seconds = self._written - began

    @property
    def planned_runs(self) -> list[PlannedRun]:
        """Every run of the study so far."""
        return list(self.released.values())

    def failures(self) -> list[Outcome]:
        """Return the outcomes of runs that neither succeeded nor were pruned."""
        ended = (self.outcomes[run.run_id] for run in self.planned_runs if run.run_id in self.outcomes)
        return [outcome for outcome in ended if not outcome.succeeded and outcome.status != PRUNED]


def is_prunable(run: PlannedRun) -> bool:
    """Return True for a run of the tuning that a pruner may end: not a shortlisted trial's further seed."""
    return run.stage == TUNE and not run.confirms


def keeps_checkpoint(config: RunConfig, stage: str) -> bool:
    """Return True if a run keeps its checkpoint after its end: runs of the tuning only if the user asks for it."""
    given = {text.partition("=")[0] for text in config.overrides}
    return config.keep_checkpoint and (stage != TUNE or "keep_checkpoint" in given)
