"""A sweep's own scheduler with workers that only take time: as many as is asked for, each run of the same length. What
a run would have written lies there beforehand, so that nothing but the scheduler works."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optbench.records import Status
from optbench.sessions.run_documents import result_before_start
from optbench.sweeps.display.optuna_mirror import OptunaMirror
from optbench.sweeps.executors.base import Event, Job, RunEnded, RunEvaluated, RunStarted
from optbench.sweeps.scheduler.observer import SilentObserver
from optbench.sweeps.scheduler.scheduler import Scheduler
from optbench.sweeps.study.cells import Cell, PlannedRun
from optbench.sweeps.study.study import Study

EVALUATIONS = 10  # that a run tells of, as `eval_every` has it where nothing is said


class Paced:
    """An Executor whose runs end by themselves after some seconds."""

    def __init__(self, slots: int, seconds: float) -> None:
        self.slots, self.seconds = slots, seconds
        self.sharing: Mapping[str, object] = {}
        self.due: deque[tuple[float, str]] = deque()

    def start(self, job: Job) -> None:
        """Begin a job."""
        self.due.append((time.monotonic() + self.seconds, job.run_id))

    def has_room(self, job: Job, resident_bytes: int) -> bool:
        """There is."""
        return True

    def events(self, timeout: float) -> Iterator[Event]:
        """Everything that the runs which are over would have told."""
        now = time.monotonic()
        if self.due and self.due[0][0] > now:
            time.sleep(min(timeout, self.due[0][0] - now))
        for _ in range(self.slots):
            if not self.due or self.due[0][0] > time.monotonic():
                return
            run_id = self.due.popleft()[1]
            yield RunStarted(run_id, "accuracy", "max", None)
            for number in range(1, EVALUATIONS + 1):
                yield RunEvaluated(run_id, number, 0.5, number)
            yield RunEnded(run_id)

    def stop(self, run_id: str, reason: str = "") -> None:
        """Nobody asks for it."""

    def close(self) -> None:
        """There is nothing to give back."""


@dataclass(frozen=True)
class Conducted:
    """Seconds of one study."""

    runs: int
    plan_seconds: float
    conduct_seconds: float
    ledgers: int
    """How often study.json was written meanwhile."""
    mirror_seconds: float
    """What optuna.journal took of it, all together, and the last time, after the last run."""
    last_mirror_seconds: float
    scheduler: Scheduler


def conducted(study: Study, cells: Sequence[Cell], root: Path, workers: int, seconds: float) -> Conducted:
    """Plan a study, and run it by workers whose runs take so long."""
    writings: list[float] = []
    mirror = OptunaMirror(root / study.name)

    def mirrored(tree: Mapping[str, Any], now: bool) -> None:
        began = time.perf_counter()
        mirror.update(tree, now)
        writings.append(time.perf_counter() - began)

    (root / study.name).mkdir(parents=True)
    scheduler = Scheduler(study, cells, root, SilentObserver(), mirror=mirrored)
    began = time.perf_counter()
    runs = scheduler.plan()
    planned = time.perf_counter()
    write_results(scheduler.folder, scheduler.planned_runs)
    ready = time.perf_counter()
    scheduler.run(Paced(workers, seconds))
    ended = time.perf_counter()
    return Conducted(runs, planned - began, ended - ready, len(writings), sum(writings), writings[-1], scheduler)


def write_results(folder: Path, runs: Sequence[PlannedRun]) -> None:
    """The result of every run, of the size that results have."""
    for number, run in enumerate(runs):
        value = {"val_metric": number / len(runs), "val_loss": 1.0, "test_metric": 0.5, "test_loss": 1.0}
        result = result_before_start(run.config, Status.COMPLETED, "") | {"metric": "accuracy", "direction": "max"}
        result |= {"final": {**result["final"], **value}, "best": value | {"step": run.config.steps}}
        (folder / run.run_id).mkdir()
        (folder / run.run_id / "result.json").write_text(json.dumps(result, indent=2) + "\n")
