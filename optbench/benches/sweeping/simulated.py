"""A sweep with the real scheduler and simulated workers, whose runs only take time.

The results of all runs are written beforehand, so that only the scheduler works."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from optbench.benches import Report
from optbench.records import Status
from optbench.sessions.documents import result_before_start
from optbench.sweeps.display.optuna_mirror import OptunaMirror
from optbench.sweeps.executors.base import Event, Job, RunEnded, RunEvaluated, RunStarted
from optbench.sweeps.scheduler.observer import SilentObserver
from optbench.sweeps.scheduler.scheduler import Scheduler
from optbench.sweeps.study.cells import Cell, PlannedRun
from optbench.sweeps.study.study import Study

EVALUATIONS = 10  # reported by a run, as with the default `eval_every`


class SimulatedExecutor:
    """An Executor whose runs end after `seconds`."""

    sharing: Mapping[str, object] = {}

    def __init__(self, slots: int, seconds: float) -> None:
        self.slots, self.seconds = slots, seconds
        self.due: deque[tuple[float, str]] = deque()

    def start(self, job: Job) -> None:
        """Begin a job."""
        self.due.append((time.monotonic() + self.seconds, job.run_id))

    def has_room(self, job: Job, resident_bytes: int, device_bytes: int) -> bool:
        """Return True: simulated runs need no memory."""
        return True

    def events(self, timeout: float) -> Iterator[Event]:
        """Yield all events of the runs that are over."""
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
        """Do nothing: no run is stopped."""

    def close(self) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class SimulatedSweep:
    """The times of one simulated sweep."""

    runs: int
    plan_seconds: float
    run_seconds: float
    """From the first start of a run to the end, without planning."""
    study_json_writes: int
    mirror_seconds: float
    """The part of run_seconds that writing optuna.journal takes."""
    last_mirror_seconds: float
    """The last writing, after the last run."""
    scheduler: Scheduler


def simulate_sweep(study: Study, cells: Sequence[Cell], root: Path, workers: int, seconds: float) -> SimulatedSweep:
    """Plan a study, and run it with simulated workers whose runs take `seconds`."""
    writes: list[float] = []
    mirror = OptunaMirror(root / study.name)

    def timed_mirror(tree: Mapping[str, object], now: bool) -> None:
        began = time.perf_counter()
        mirror.update(tree, now)
        writes.append(time.perf_counter() - began)

    (root / study.name).mkdir(parents=True)
    scheduler = Scheduler(study, cells, root, SilentObserver(), mirror=timed_mirror)
    began = time.perf_counter()
    runs = scheduler.plan()
    planned = time.perf_counter()
    write_results(scheduler.folder, scheduler.planned_runs)
    ready = time.perf_counter()
    scheduler.run(SimulatedExecutor(workers, seconds))
    ended = time.perf_counter()
    return SimulatedSweep(runs, planned - began, ended - ready, len(writes), sum(writes), writes[-1], scheduler)


def write_results(folder: Path, runs: Sequence[PlannedRun]) -> None:
    """Write the result.json of every run, of realistic size."""
    for number, run in enumerate(runs):
        value = {"val_metric": number / len(runs), "val_loss": 1.0, "test_metric": 0.5, "test_loss": 1.0}
        result: Report = result_before_start(run.config, Status.COMPLETED, "")
        result |= {"metric": "accuracy", "direction": "max", "final": {**result["final"], **value}}
        result["best"] = {**value, "step": run.config.steps}
        (folder / run.run_id).mkdir()
        (folder / run.run_id / "result.json").write_text(json.dumps(result, indent=2) + "\n")
