"""One run from its configuration to its result: resumed, trained, recorded, ended."""

from __future__ import annotations

import signal
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from optbench.assemble import assemble
from optbench.clock import CHECKPOINT, LOGGING
from optbench.config import RunConfig
from optbench.contracts import Sink
from optbench.errors import ConfigError, Interrupted, OptbenchError, first_line, is_out_of_memory
from optbench.facts import result_before_start, result_facts, run_facts
from optbench.records import SCHEMA, Record, Status
from optbench.store import RunFolder
from optbench.train import Trainer

SIGNALS = (signal.SIGINT, signal.SIGTERM)
TICK_SECONDS = 0.1  # between two signs of life to the progress bar


@dataclass(frozen=True)
class Ended:
    """An ended run: where it lies, what came out, and whether it had ended before."""

    folder: Path
    run: Mapping[str, Any]
    result: Mapping[str, Any]
    was_there: bool


def execute(
    config: RunConfig,
    root: Path,
    *,
    study: str = "runs",
    stage: str = "run",
    force: bool = False,
    sinks: Callable[[RunFolder], Iterable[Sink]] = lambda folder: (),
    notice: Callable[[str], None] = lambda text: None,
    sweep: Mapping[str, Any] | None = None,
) -> Ended:
    """Run a configuration to its end, resuming where a checkpoint lies; a run that has ended is not run again.
    `sweep` is what the sweep that asks for it has to say of it in run.json.

    Raises Interrupted after SIGINT or SIGTERM (checkpoint written), ConfigError and MissingError before training."""
    folder = RunFolder(root, study, config.run_id)
    ended = folder.result()
    if ended is not None and not force:
        return Ended(folder.path, folder.run() or {}, ended, True)
    with folder.locked():
        ended = folder.result()  # another process may have ended it just now
        if ended is not None and not force:
            return Ended(folder.path, folder.run() or {}, ended, True)
        if ended is not None:
            notice(f"the earlier run is kept in {folder.set_aside()}")
        return Session(config, folder, study, stage, notice, sweep).ended(list(sinks(folder)))


class Session:
    """One process's work on one run."""

    def __init__(
        self,
        config: RunConfig,
        folder: RunFolder,
        study: str,
        stage: str,
        notice: Callable[[str], None],
        sweep: Mapping[str, Any] | None = None,
    ) -> None:
        self.config, self.folder, self.study, self.stage, self.notice = config, folder, study, stage, notice
        self.sweep = sweep
        self.resumed_from: list[int] = []
        self.signal: int | None = None
        self.checkpointed = self.ticked = time.monotonic()
        self.ticks: list[Callable[[int], None]] = []

    def ended(self, sinks: list[Sink]) -> Ended:
        """Train, and write the result."""
        try:
            self.objects = assemble(self.config, self._on_step, (self.folder.run() or {}).get("micro_batch"))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return self._ended_before_start(error)
        with ending_sinks(sinks) as finish:
            run = self._begin(sinks)
            try:
                status, reason = self._train(sinks)
            except OptbenchError:
                raise
            except Exception as error:
                status, reason = self._failure(error)
            result = result_facts(self.config, self.objects, status, reason, self.resumed_from)
            self._close(result)
            finish(result)
        return Ended(self.folder.path, run, result, False)

    def _ended_before_start(self, error: Exception) -> Ended:
        """Data, model or optimizer did not fit into memory; trackers have nothing to show of that."""
        run = run_facts(self.config, None, self.study, self.stage, self.sweep)
        result = result_before_start(self.config, Status.OUT_OF_MEMORY, f"{first_line(error)} (before the first step)")
        self.folder.write_run(run)
        self.folder.write_result(result)
        return Ended(self.folder.path, run, result, False)

    def _begin(self, sinks: list[Sink]) -> dict[str, Any]:
        if self.objects.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.objects.device)
        self._resume()
        run = run_facts(self.config, self.objects, self.study, self.stage, self.sweep)
        self.folder.write_run(run)
        for sink in sinks:
            sink.start({**run, "resumed_from_steps": self.resumed_from})
            self.ticks += [sink.tick] if hasattr(sink, "tick") else []
        return run

    def _train(self, sinks: list[Sink]) -> tuple[Status, str]:
        trainer = self.objects.trainer
        with self._signals():
            for record in trainer.records():
                self._log(record, sinks)
        return Status(trainer.at.status), trainer.at.reason

    def _log(self, record: Record, sinks: list[Sink]) -> None:
        self.folder.append(record)
        for name, pixels in record.pictures.items():
            self.folder.write_picture(name, record.step, pixels)
        for sink in sinks:
            sink.log(record)

    # -- resuming ----------------------------------------------------------------------------------------------------

    def _resume(self) -> None:
        state = self.folder.read_checkpoint(read_checkpoint, self.notice)
        if state is None:
            self.folder.cut_back(0)
            return
        if state["data_sha256"] != self.objects.data.sha256:
            raise ConfigError(
                f"{self.folder.path.name}: the data changed since its checkpoint was written",
                "Start over with --force, or bring the data back",
            )
        self.objects.trainer.load_state_dict(state["trainer"])
        self.folder.cut_back(state["records_bytes"])
        step = self.objects.trainer.at.step
        self.resumed_from = [*state["resumed_from_steps"], step]
        self.notice(f"resumed from step {step} of {self.config.steps}")

    def _checkpoint(self) -> None:
        trainer = self.objects.trainer
        with trainer.clock.during(CHECKPOINT):
            state = {
                "schema": SCHEMA,
                "run_id": self.config.run_id,
                "data_sha256": self.objects.data.sha256,
                "records_bytes": self.folder.sync(),
                "resumed_from_steps": self.resumed_from,
                "trainer": trainer.state_dict(),
            }
            self.folder.write_checkpoint(trainer.at.step, lambda out: torch.save(state, out))
        self.checkpointed = time.monotonic()

    def _on_step(self, trainer: Trainer) -> None:
        now = time.monotonic()
        if self.signal is not None or now - self.checkpointed >= self.config.checkpoint_seconds:
            self._checkpoint()
        if self.signal is not None:
            name = signal.Signals(self.signal).name
            raise Interrupted(
                self.signal,
                f"interrupted by {name} at step {trainer.at.step} of {self.config.steps}",
                "A checkpoint is written: the same command goes on from there",
            )
        if now - self.ticked >= TICK_SECONDS:
            self.ticked = now
            with trainer.clock.during(LOGGING):
                for tick in self.ticks:
                    tick(trainer.at.step)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """The first SIGINT or SIGTERM asks for a checkpoint at the end of the step; the second acts at once."""

        def ask(number: int, frame: Any) -> None:
            self.signal = number
            signal.signal(number, before[number])

        try:
            before = {number: signal.signal(number, ask) for number in SIGNALS}
        except ValueError:  # not the main thread: its owner handles signals
            yield
            return
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    # -- ending ------------------------------------------------------------------------------------------------------

    def _failure(self, error: Exception) -> tuple[Status, str]:
        """An error of the model, the data or the optimizer is a result, with its traceback beside it."""
        if is_out_of_memory(error):
            return Status.OUT_OF_MEMORY, f"{first_line(error)} (at step {self.objects.trainer.at.step})"
        (self.folder.path / "error.txt").write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        return (
            Status.FAILED,
            f"{type(error).__name__}: {first_line(error)} (at step {self.objects.trainer.at.step}; see error.txt)",
        )

    def _close(self, result: dict[str, Any]) -> None:
        if self.config.keep_checkpoint and Status(result["status"]).succeeded:
            self._checkpoint()
        self.folder.write_result(result)
        if not self.config.keep_checkpoint:
            self.folder.drop_checkpoints()


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's tensors and plain values; no code of it is run."""
    return torch.load(path, map_location="cpu", weights_only=True)


@contextmanager
def ending_sinks(sinks: list[Sink]) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Sinks are finished once: with the result, or with None where there is none."""
    results: list[Mapping[str, Any]] = []
    try:
        yield results.append
    finally:
        for sink in sinks:
            sink.finish(results[0] if results else None)
