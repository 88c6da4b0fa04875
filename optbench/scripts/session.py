"""One run of a training script: start it, follow what it says, write its records and its result.

This process never imports torch. The script is a process of its own, which may start others; it finds what is asked of
it through `optbench.attach()`, and answers by lines of JSON."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from optbench.config import RunConfig
from optbench.config.unchanged import require_unchanged
from optbench.contracts import ShowsOutput, Sink
from optbench.errors import ConfigError, Interrupted
from optbench.records import Record, Status
from optbench.scripts.child import Child, visible_device
from optbench.scripts.commands import check, files_of, filled, template, values_of
from optbench.scripts.ending import Ending, is_optimizer_used, notes, of_failure, of_result, signal_name
from optbench.scripts.job import FOLDER, VARIABLE, EventReader, Job, numbers_in
from optbench.scripts.measured_run import Progress, Times, whole
from optbench.scripts.names import FINAL
from optbench.scripts.printed import PrintedMetrics
from optbench.scripts.resuming import cut, events_files, recover
from optbench.sessions.documents import config_facts, result_before_start
from optbench.sessions.execute import FinishedRun, finishing, unless_finished
from optbench.sessions.stop_signals import StopSignals
from optbench.sessions.time_limit import mark_timed_out, shorter_runs
from optbench.store import Document, RunFolder, make_folder
from optbench.training.provenance import cpu_facts

POLL_SECONDS = 0.05
CHECKPOINTS = "script_checkpoint"
OUTPUT = "output.log"

log = logging.getLogger(__name__)


def train(
    config: RunConfig,
    folder: RunFolder,
    *,
    study: str,
    stage: str,
    force: bool,
    sinks: Callable[[RunFolder], Iterable[Sink]],
    sweep: Mapping[str, object] | None,
) -> FinishedRun:
    """Run a training script to its end; see `optbench.sessions.execute.execute`."""
    if int(os.environ.get("WORLD_SIZE") or 1) > 1:
        raise ConfigError(
            "a script is started once, and this is one of several ranks",
            "Start the ranks in it: script='torchrun --nproc-per-node 2 train.py'",
        )

    def run() -> FinishedRun:
        return Script(config, folder, study, stage, sweep, goes_on=not force).run(list(sinks(folder)))

    return unless_finished(folder, force, run)


class Script:
    """One run of a training script, by the process that writes its results."""

    def __init__(
        self,
        config: RunConfig,
        folder: RunFolder,
        study: str,
        stage: str,
        sweep: Mapping[str, object] | None,
        *,
        goes_on: bool,
    ) -> None:
        """`goes_on`: a run that timed out under a shorter limit is continued."""
        require_unchanged(config)
        check(config)
        self.config, self.folder = config, folder
        self.facts = {**config_facts(config, study, stage, sweep), **self._own_facts()}
        self.home, self.checkpoints = folder.path / FOLDER, folder.path / CHECKPOINTS
        self.signals = StopSignals()
        self.progress = Progress(config)
        self.resumed_from: list[int] = []
        self.ending: Ending | None = None
        """Set once the script is stopped for a reason of ours."""
        self.goes_on = goes_on
        self.started_sinks = False

    def _own_facts(self) -> Document:
        settings = self.config.model.settings
        files = files_of(settings["command"])
        return {
            "script": os.path.abspath(files[0]) if files else None,
            "hardware": cpu_facts(),
            "engine": None,
            "micro_batch": self.config.batch_size,
            "metric": settings["metric"],
            "direction": settings["direction"],
            "metric_scale": "real",
            "data": {"sha256": None, "verified": None, "sizes": {}},
            "ranks": 1,
            "strategy": None,
            "batch_statistics": None,
        }

    def run(self, sinks: list[Sink]) -> FinishedRun:
        """Start the script, follow it to its end, and write the result."""
        with finishing(sinks) as finish:
            with self.signals.handled():
                child, printed = self._start()
                try:
                    code = self._follow(child, printed, sinks)
                finally:
                    child.end()
                    printed.close()
                if self.signals.first:
                    raise self._interrupted()
                status, reason = self.ending or self._ending(code, child, printed, sinks)
                self._begin_sinks(sinks)
                result = self._result(status, reason)
                self._close(result)
            finish(result)
        return FinishedRun(self.folder.path, self.facts, result, False)

    # -- the start ---------------------------------------------------------------------------------------------------

    def _start(self) -> tuple[Child, PrintedMetrics]:
        config = self.config
        self._continue_shorter()
        make_folder(self.home)
        make_folder(self.checkpoints)
        self.earlier = events_files(self.home)
        recover(config, self.folder, self.earlier)
        recorded = [row["step"] for row in self.folder.records() if row.get("split") == "train"]
        job = Job.of(config, self.folder.path.absolute(), self.checkpoints.absolute(), len(self.earlier), recorded)
        Path(job.events).touch()
        job.write(self.home / "job.json")
        self.reader = EventReader(Path(job.events))
        values = values_of(config, job.run_folder, job.checkpoint_folder)
        output = self.folder.path / OUTPUT
        printed = PrintedMetrics(config, values, self.folder.path, output)
        self.folder.write_run(self.facts)
        environment = {
            VARIABLE: str((self.home / "job.json").absolute()),
            "OMP_NUM_THREADS": str(config.threads),
            "PYTHONUNBUFFERED": "1",
            **visible_device(config.device),
        }
        return Child(filled(template(config), values), environment, output, Path(job.stop)), printed

    def _continue_shorter(self) -> None:
        """Take what the same run left when it timed out under a shorter limit, unless this one has begun itself."""
        if self.home.exists() or not self.goes_on:
            return
        for other in shorter_runs(self.config, self.folder)[:1]:
            for name in (FOLDER, CHECKPOINTS):
                if (other.path / name).is_dir():
                    shutil.copytree(other.path / name, self.folder.path / name, symlinks=True)
            if other.metrics_file.exists():
                self.folder.take_records(other)
            log.info(f"goes on where {other.path.name} ran out of time")

    # -- following ---------------------------------------------------------------------------------------------------

    def _follow(self, child: Child, printed: PrintedMetrics, sinks: list[Sink]) -> int:
        """Record what the script says until it has ended; return its exit code."""
        shown = [sink.output for sink in sinks if isinstance(sink, ShowsOutput)]
        show = shown[0] if shown else None
        while True:
            code = child.poll()
            for event in (*self.reader.read(), *(() if self.progress.attached else printed.look())):
                self._take(event, sinks)
            if not self.progress.attached:
                self.progress.now = Times.of({"seconds": {"other": time.monotonic() - child.began}})
            child.echo(show)
            if code is not None:
                return code
            self._stop_if_due(child)
            if self.started_sinks:
                for sink in sinks:
                    sink.tick(self.progress.step)
            time.sleep(POLL_SECONDS)

    def _take(self, event: Mapping[str, Any], sinks: list[Sink]) -> None:
        if self.progress.diverged:
            return
        if event["kind"] == "begin":
            self._cut(event)
            self._begin_sinks(sinks)
        for record in self.progress.take(event):
            self._log(record, sinks)
        target = self.config.target
        if self.progress.diverged:
            self.ending = Status.DIVERGED, self.progress.diverged
        elif self.progress.reached and self.config.stop_at_target:
            metric = self.config.model.settings["metric"]
            self.ending = (
                Status.STOPPED_AT_TARGET,
                f"validation {metric} reached {target:g} at step {self.progress.step}",
            )

    def _cut(self, event: Mapping[str, Any]) -> None:
        """Drop the records of earlier starts from the step on at which this one goes on."""
        step = whole(event.get("step")) or 0
        if cut(self.folder, self.progress, self.earlier, step):
            self.resumed_from = [step]
            log.info(f"the script goes on at step {step}")

    def _log(self, record: Record, sinks: list[Sink]) -> None:
        self._begin_sinks(sinks)
        self.folder.append(record)
        for sink in sinks:
            sink.log(record)

    def _begin_sinks(self, sinks: list[Sink]) -> None:
        """Write run.json with what the script has told of itself, and show the run to the sinks."""
        if self.started_sinks:
            return
        self.started_sinks = True
        told = self.progress.used.get("optimizer", {})
        self.facts["engine"] = str(told["engine"]) if "engine" in told else None
        if isinstance(told.get("hardware"), dict):
            self.facts["hardware"] |= told["hardware"]
        self.folder.write_run(self.facts)
        for sink in sinks:
            sink.start({**self.facts, "resumed_from_steps": self.resumed_from, "unread": self.progress.unread})

    def _stop_if_due(self, child: Child) -> None:
        limit = self.config.max_seconds
        seconds = self.progress.before.wall + time.monotonic() - child.began
        if self.ending is None and limit is not None and seconds >= limit:
            self.ending = Status.TIMED_OUT, f"the time limit of {limit:g} s ended it at step {self.progress.step}"
        if self.ending is not None or self.signals.first:
            child.ask_to_stop()
            child.insist(float(self.config.model.settings["patience_seconds"]))

    # -- the end -----------------------------------------------------------------------------------------------------

    def _interrupted(self) -> Interrupted:
        name = signal_name(self.signals.first)
        of = f" of {self.config.steps}" if "steps" in self.progress.read else ""
        return Interrupted(
            self.signals.first,
            f"interrupted by {name} at step {self.progress.step}{of}",
            "Run the same command again: the script finds its checkpoint folder as it left it",
        )

    def _ending(self, code: int, child: Child, printed: PrintedMetrics, sinks: list[Sink]) -> Ending:
        """Return how a script ended that nobody stopped."""
        progress = self.progress
        last, text = child.last_words()
        failure = of_failure(code, progress.error, last)
        if failure is not None:
            self.folder.write_error(str(progress.error.get("traceback")) if progress.error else text)
            return failure[0], f"{failure[1]} (see error.txt)"
        problem = "" if progress.finish else "no metric: call run.finish(val_metric=...) at the end of the script"
        if not progress.attached:
            problem = self._read_metric(printed, sinks)
            if self.ending is not None:
                return self.ending
        if not problem and not is_optimizer_used(self.config, tuple(progress.used)):
            problem = "the script never took the optimizer (run.optimizer), so that all would give the same result"
        return of_result(self._final(), problem)

    def _read_metric(self, printed: PrintedMetrics, sinks: list[Sink]) -> str:
        """Take the metric of a script that never called optbench; return why it has none, or ""."""
        events, problem = printed.end()
        for event in events:
            self._take(event, sinks)
        return f"no metric: {problem}" if problem else ""

    def _final(self) -> dict[str, float]:
        given = numbers_in((self.progress.finish or {}).get("values"))
        return {name: float(value) for name, value in given.items() if name in FINAL}

    def _result(self, status: Status, reason: str) -> Document:
        progress, config = self.progress, self.config
        settings, times = config.model.settings, progress.times
        final = self._final() if status.succeeded or status is Status.TIMED_OUT else {}
        named = {"metric": settings["metric"], "direction": settings["direction"]}
        target = {**named, "value": config.target, "hash": None}
        target |= {"step": None, "samples": None, "train_seconds": None, **progress.reached}
        empty = result_before_start(config, status, reason)
        latest = {name: value for name, value in progress.latest.items() if name in FINAL}
        told = notes(config, tuple(progress.used), counts_steps=progress.counts_steps or progress.step <= 1)
        for note in told:
            log.warning(note)
        return {
            **empty,
            **named,
            "final": {**empty["final"], **latest, **final},
            "best": dict(progress.best) or None,
            "target": target if config.target is not None else None,
            "steps": progress.steps,
            "samples": progress.samples,
            "gradient_evaluations": progress.gradient_evaluations,
            "seconds": times.seconds,
            "train_seconds": times.train,
            "wall_seconds": times.wall,
            "bytes": {**empty["bytes"], "resident": None, **self._bytes()},
            "throughput": {**empty["throughput"], **self._speed()},
            "resumed_from_steps": self.resumed_from,
            "notes": told,
            "unread": progress.unread,
        }

    def _bytes(self) -> Document:
        told = (self.progress.finish or {}).get("bytes")
        told = told if isinstance(told, dict) else {}
        return {**numbers_in(told), "optimizer_state": numbers_in(told.get("optimizer_state"))}

    def _speed(self) -> Document:
        seconds, samples = self.progress.times.train, self.progress.samples
        rate = samples / seconds if seconds > 0 and samples is not None else None
        return {"samples_per_second": rate, **self.progress.speed}

    def _close(self, result: Document) -> None:
        """Write the result; keep what the script may need again, if it may."""
        status = Status(result["status"])
        with self.signals.deferred():
            if self.reader.strange:
                log.warning(f"{self.reader.strange} lines of the script's events are no events and were left out")
            self.folder.write_result(result)
            if status is Status.TIMED_OUT:
                mark_timed_out(self.folder)
                return
            shutil.rmtree(self.home, ignore_errors=True)
            if not (self.config.keep_checkpoint and status.succeeded):
                shutil.rmtree(self.checkpoints, ignore_errors=True)
            elif not any(self.checkpoints.iterdir()):
                self.checkpoints.rmdir()
