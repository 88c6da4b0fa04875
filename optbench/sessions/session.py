"""One run from its configuration to its result: resumed, trained, recorded, ended."""

from __future__ import annotations

import functools
import logging
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from optbench.config import RunConfig
from optbench.contracts import Sink
from optbench.distributed import TorchCommunicator, open_launcher, rank_info_of
from optbench.distributed.sharded_checkpoint import load_tree, load_whole
from optbench.errors import ConfigError, OptbenchError, first_line, is_out_of_memory
from optbench.optimizers.core.eval_weights import batch_norms
from optbench.records import SCHEMA, Record, Status
from optbench.sessions.assemble import assemble
from optbench.sessions.follower import Ended, Member, join, run_helper
from optbench.sessions.run_documents import result_before_start, result_facts, run_facts
from optbench.store import RunFolder
from optbench.training.clock import CHECKPOINT, LOGGING
from optbench.training.loop import Trainer

log = logging.getLogger(__name__)

TICK_SECONDS = 0.1  # between two signs of life to the progress bar


def execute(
    config: RunConfig,
    root: Path,
    *,
    study: str = "runs",
    stage: str = "run",
    force: bool = False,
    sinks: Callable[[RunFolder], Iterable[Sink]] = lambda folder: (),
    sweep: Mapping[str, Any] | None = None,
) -> Ended:
    """Run a configuration to its end, resuming where a checkpoint lies; a run that has ended is not run again.
    `sweep` is what the sweep that asks for it has to say of it in run.json.

    Raises Interrupted after SIGINT or SIGTERM (checkpoint written), ConfigError and MissingError before training."""
    folder = RunFolder(root, study, config.run_id)
    rank_info = rank_info_of(config)
    if rank_info is not None and rank_info.rank:
        return join(config, rank_info, folder)
    make = functools.partial(Session, config, folder, study, stage, sweep)
    with open_launcher(rank_info, config, run_helper) as call:
        return led(folder, force, lambda: make(call()).ended(list(sinks(folder))))


def led(folder: RunFolder, force: bool, begin: Callable[[], Ended]) -> Ended:
    """The run, by the one process that writes its folder: `begin` unless it has ended."""
    ended = folder.result()
    if ended is not None and not force:
        return Ended(folder.path, folder.run() or {}, ended, True)
    with folder.locked():
        ended = folder.result()  # another process may have ended it just now
        if ended is not None and not force:
            return Ended(folder.path, folder.run() or {}, ended, True)
        if ended is not None:
            log.info(f"the earlier run is kept in {folder.set_aside()}")
        return begin()


class Session(Member):
    """The work on one run of the process that writes it."""

    def __init__(
        self,
        config: RunConfig,
        folder: RunFolder,
        study: str,
        stage: str,
        sweep: Mapping[str, Any] | None = None,
        comm: TorchCommunicator | None = None,
    ) -> None:
        super().__init__(config, comm)
        self.folder, self.study, self.stage, self.sweep = folder, study, stage, sweep
        self.resumed_from: list[int] = []
        self.ticked = time.monotonic()
        self.ticks: list[Callable[[int], None]] = []

    def ended(self, sinks: list[Sink]) -> Ended:
        """Train, and write the result."""
        try:
            known = self._known_micro_batch()
            self.objects = assemble(self.config, self._on_step, known, self.comm)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return self._ended_before_start(error)
        with ending_sinks(sinks) as finish:
            with self._signals():  # before anybody is told that the run has begun, and may ask it to stop
                run = self._begin(sinks)
                try:
                    status, reason = self._train(sinks)
                except OptbenchError:
                    raise
                except Exception as error:
                    if self.comm is not None:
                        self.comm.raise_if_lost(error)
                    status, reason = self._failure(error)
            result = result_facts(self.config, self.objects, status, reason, self.resumed_from)
            self._close(result)
            if self.comm is not None and status not in (Status.FAILED, Status.OUT_OF_MEMORY):
                self.comm.broadcast((self.folder.path, run, result))
            finish(result)
        return Ended(self.folder.path, run, result, False)

    def _known_micro_batch(self) -> int | None:
        """What was found to fit when the run began, if it began on as many ranks; the same for all of them."""
        before = self.folder.run() or {}
        count = self.comm.world_size if self.comm is not None else 1
        known = before.get("micro_batch") if before.get("ranks", 1) == count else None
        return self.comm.broadcast(known) if self.comm is not None else known

    def _ended_before_start(self, error: Exception) -> Ended:
        """Data, model or optimizer did not fit into memory; trackers have nothing to show of that."""
        run = run_facts(self.config, None, self.study, self.stage, self.sweep) | self._parallel_facts([], None)
        result = result_before_start(self.config, Status.OUT_OF_MEMORY, f"{first_line(error)} (before the first step)")
        self.folder.write_run(run)
        self.folder.write_result(result)
        return Ended(self.folder.path, run, result, False)

    def _begin(self, sinks: list[Sink]) -> dict[str, Any]:
        if self.objects.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.objects.device)
        self._resume()
        run = run_facts(self.config, self.objects, self.study, self.stage, self.sweep)
        run |= self._parallel_facts(self.objects.trainer.modules, run["micro_batch"])
        self.folder.write_run(run)
        for sink in sinks:
            sink.start({**run, "resumed_from_steps": self.resumed_from})
            self.ticks.append(sink.tick)
        return run

    def _parallel_facts(self, modules: Sequence[nn.Module], micro_batch: int | None) -> dict[str, Any]:
        """How many ranks share the run; of a model with batch statistics, whose samples they are of."""
        if self.comm is None:
            return {"ranks": 1, "strategy": None, "batch_statistics": None}
        norms = [norm for module in modules for norm in batch_norms(module)]
        synchronised = all(isinstance(norm, nn.SyncBatchNorm) for norm in norms)
        kind = "synchronised" if synchronised else "local"
        return {
            "ranks": self.comm.world_size,
            "micro_batch": micro_batch and min(micro_batch, -(-self.config.batch_size // self.comm.world_size)),
            "strategy": self.comm.strategy,
            "batch_statistics": kind if norms else None,
        }

    def _train(self, sinks: list[Sink]) -> tuple[Status, str]:
        trainer = self.objects.trainer
        for record in trainer.records():
            self._log(record, sinks)
        return Status(trainer.progress.status), trainer.progress.reason

    def _log(self, record: Record, sinks: list[Sink]) -> None:
        self.folder.append(record)
        for name, pixels in record.pictures.items():
            self.folder.write_picture(name, record.step, pixels)
        for sink in sinks:
            sink.log(record)

    # -- resuming ----------------------------------------------------------------------------------------------------

    def _resume(self) -> None:
        read = read_parts if self.objects.trainer.sharded else read_checkpoint
        state = self.folder.read_checkpoint(read)
        if state is None:
            self.folder.cut_back(0)
            self._begin_alike(self.objects, None)
            return
        if state["data_sha256"] != self.objects.data.sha256:
            raise ConfigError(
                f"{self.folder.path.name}: the data changed since its checkpoint was written",
                "Start over with --force, or bring the data back",
            )
        self._begin_alike(self.objects, state["trainer"])
        self.folder.cut_back(state["records_bytes"])
        step = self.objects.trainer.progress.step
        self.resumed_from = [*state["resumed_from_steps"], step]
        log.info(f"resumed from step {step} of {self.config.steps}")

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
            if trainer.sharded:
                self.folder.write_parts(trainer.progress.step, lambda folder: self._write_parts(folder, state))
            else:
                self.folder.write_checkpoint(trainer.progress.step, lambda out: torch.save(state, out))
        self.checkpointed = time.monotonic()

    def _on_step(self, trainer: Trainer) -> None:
        if self._checkpoint_is_due():
            self._checkpoint()
        self._stop_if_asked(trainer.progress.step)
        now = time.monotonic()
        if now - self.ticked >= TICK_SECONDS:
            self.ticked = now
            with trainer.clock.during(LOGGING):
                for tick in self.ticks:
                    tick(trainer.progress.step)

    # -- ending ------------------------------------------------------------------------------------------------------

    def _failure(self, error: Exception) -> tuple[Status, str]:
        """An error of the model, the data or the optimizer is a result, with its traceback beside it."""
        if is_out_of_memory(error):
            return Status.OUT_OF_MEMORY, f"{first_line(error)} (at step {self.objects.trainer.progress.step})"
        (self.folder.path / "error.txt").write_text("".join(traceback.format_exception(error)), encoding="utf-8")
        where = f"at step {self.objects.trainer.progress.step}; see error.txt"
        return Status.FAILED, f"{type(error).__name__}: {first_line(error)} ({where})"

    def _close(self, result: dict[str, Any]) -> None:
        if self.config.keep_checkpoint and Status(result["status"]).succeeded:
            self._checkpoint()
        self.folder.write_result(result)
        if not self.config.keep_checkpoint:
            self.folder.drop_checkpoints()


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's tensors, each as a whole, and plain values; no code of it is run."""
    if path.is_dir():
        return load_whole(path)
    return torch.load(path, map_location="cpu", weights_only=True)


def read_parts(path: Path) -> dict[str, Any]:
    """A checkpoint for ranks that read their own parts of it: they are told the folder in the place of its tensors."""
    return {**load_tree(path), "trainer": path} if path.is_dir() else read_checkpoint(path)


@contextmanager
def ending_sinks(sinks: list[Sink]) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Sinks are finished once: with the result, or with None where there is none."""
    results: list[Mapping[str, Any]] = []
    try:
        yield results.append
    finally:
        for sink in sinks:
            sink.finish(results[0] if results else None)
