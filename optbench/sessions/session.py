"""Training of one run by the process that writes its results (rank 0): resume, train, record, finish."""

from __future__ import annotations

import functools
import logging
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from optbench.config import RunConfig
from optbench.config.unchanged import require_unchanged
from optbench.config.user_code import described
from optbench.contracts import Sink
from optbench.distributed import TorchCommunicator, open_launcher, rank_info_of
from optbench.errors import ConfigError, OptbenchError, UserCodeError, first_line, is_out_of_memory
from optbench.optimizers.core.eval_weights import batch_norms
from optbench.optimizers.core.ways_out import out_of_step
from optbench.records import SCHEMA, Record, Status
from optbench.sessions.assemble import assemble
from optbench.sessions.checkpoints import read_checkpoint, read_for_shards
from optbench.sessions.documents import result_before_start
from optbench.sessions.execute import FinishedRun, execute, finishing, unless_finished
from optbench.sessions.first_step import check_first_step, loadable_state, traceback_kept
from optbench.sessions.follower import follow_torchrun, run_helper
from optbench.sessions.initial_weights import InitialWeights, initial_weights, other_weights, require_same_weights
from optbench.sessions.pack import this_member
from optbench.sessions.rank_session import RankSession
from optbench.sessions.run_documents import result_facts, run_facts
from optbench.sessions.same_data import require_same_data
from optbench.sessions.time_limit import mark_timed_out, shorter_runs
from optbench.store import Document, RunFolder, leave_out
from optbench.training.clock import CHECKPOINT, LOGGING
from optbench.training.cpu import CoreWait
from optbench.training.loop import Trainer
from optbench.training.plan import State

log = logging.getLogger(__name__)

__all__ = ["Session", "execute", "train"]
TICK_SECONDS = 0.1  # between two ticks of the sinks


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
    """Train a configuration in this process and its ranks; see `execute`."""
    rank_info = rank_info_of(config)
    if rank_info is not None and rank_info.rank:
        return follow_torchrun(config, rank_info, folder)
    make = functools.partial(Session, config, folder, study, stage, sweep, goes_on=not force)
    with open_launcher(rank_info, config, run_helper) as start_ranks:
        done = unless_finished(folder, force, lambda: make(start_ranks()).run(list(sinks(folder))))
    if done.was_there:
        require_same_data(config, done.run)
        require_same_weights(config, folder.path.parent.parent, done.run)
    return done


class Session(RankSession):
    """Run one training and write its results (rank 0)."""

    def __init__(
        self,
        config: RunConfig,
        folder: RunFolder,
        study: str,
        stage: str,
        sweep: Mapping[str, object] | None = None,
        comm: TorchCommunicator | None = None,
        *,
        goes_on: bool = True,
    ) -> None:
        """`goes_on`: a run that timed out under a shorter limit is continued."""
        require_unchanged(config)
        super().__init__(config, comm)
        self.goes_on = goes_on
        self.folder, self.study, self.stage, self.sweep = folder, study, stage, sweep
        self.resumed_from: list[int] = []
        self.ticked = time.monotonic()
        self.checked = self.checking = False  # what is found after the first step refuses the run
        """True once the first step of this process was checked."""
        self.ticks: list[Callable[[int], None]] = []
        self.member = this_member()
        if self.member is not None:
            self.member.listen(self.signals)

    def run(self, sinks: list[Sink]) -> FinishedRun:
        """Train, and write the result."""
        with traceback_kept(self.folder):
            return self._run(sinks)

    def _run(self, sinks: list[Sink]) -> FinishedRun:
        try:
            known, self.weights = self._known_micro_batch(), self._initial_weights()
            self.objects = assemble(self.config, self._on_step, known, self.comm, self.weights)
            self._resume()
            self.objects.trainer.warm_up()  # run.json names the engine that works
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            return self._out_of_memory_before_start(error)
        with finishing(sinks) as finish:
            with self.signals.handled(), self._explained():  # before sinks start: who sees them may stop the run
                run = self._begin(sinks)
                result = result_facts(self.config, self.objects, *self._train(sinks), self.resumed_from)
                result["throughput"]["core_wait_share"] = self.core_wait.share()
                result["pack"] = self.member.pack.facts() if self.member is not None else None
                self._close(result)
            if self.comm is not None and result["status"] not in (Status.FAILED, Status.OUT_OF_MEMORY):
                self.comm.broadcast((self.folder.path, run, result))
            finish(result)
        return FinishedRun(self.folder.path, run, result, False)

    def _known_micro_batch(self) -> int | None:
        """Return the micro-batch chosen when the run began, if it began on as many ranks; the same on all ranks."""
        before = self.folder.run() or {}
        count = self.comm.world_size if self.comm is not None else 1
        known = before.get("micro_batch") if before.get("ranks", 1) == count else None
        return self.comm.broadcast(known) if self.comm is not None else known

    def _initial_weights(self) -> InitialWeights | None:
        """Return the weights that `init` names, and send them to the other ranks."""
        weights = initial_weights(self.config, self.folder.path.parent.parent)
        if self.comm is not None:
            self.comm.broadcast(weights.to_plain() if weights is not None else None)
        return weights

    def _out_of_memory_before_start(self, error: Exception) -> FinishedRun:
        """Write the result of a run whose data, model or optimizer did not fit into memory; sinks get nothing."""
        run = run_facts(self.config, None, self.study, self.stage, self.sweep) | self._parallel_facts([], None)
        result = result_before_start(self.config, Status.OUT_OF_MEMORY, f"{first_line(error)} (before the first step)")
        self.folder.write_run(run)
        self.folder.write_result(result)
        return FinishedRun(self.folder.path, run, result, False)

    def _begin(self, sinks: list[Sink]) -> Document:
        run = run_facts(self.config, self.objects, self.study, self.stage, self.sweep)
        run |= self._parallel_facts(self.objects.trainer.modules, run["micro_batch"])
        self.core_wait = CoreWait(self.config.threads)
        if self.member is not None:
            self.member.begin(self.objects.trainer)
        self.folder.write_run(run)
        for sink in sinks:
            sink.start({**run, "resumed_from_steps": self.resumed_from})
            self.ticks.append(sink.tick)
        return run

    def _parallel_facts(self, modules: Sequence[nn.Module], micro_batch: int | None) -> Document:
        """Return what run.json says about ranks, and whose samples batch statistics come from, if there are any."""
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
        """Train to the end; return how the run ended, and why."""
        try:
            with self._explained():
                for record in self.objects.trainer.records():
                    self._log(record, sinks)
        except Exception as error:
            if isinstance(error, OptbenchError) and (self.checking or not isinstance(error, UserCodeError)):
                raise
            if self.comm is not None:
                self.comm.raise_if_lost(error)
            return self._failure(error)
        progress = self.objects.trainer.progress
        return Status(progress.status), progress.reason

    def _log(self, record: Record, sinks: list[Sink]) -> None:
        self.folder.append(record)
        for name, pixels in record.pictures.items():
            self.folder.write_picture(name, record.step, pixels)
        for sink in sinks:
            sink.log(record)

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def _resume(self) -> None:
        """Load the newest checkpoint that every rank can load, and cut the records back to it; else start over.

        A run without one may go on from the same run under a shorter time limit."""
        if not self._resume_from(self.folder):
            shorter = shorter_runs(self.config, self.folder) if self.goes_on else []
            if not any(map(self._resume_from, shorter)):
                self._load(None)  # other ranks wait for it
                self._start_over()
                if self.weights is not None:
                    self.weights.log()
        self._require_equal_ranks()

    def _resume_from(self, folder: RunFolder) -> bool:
        """Load the newest checkpoint of a folder that every rank can load; return False if there is none."""
        read = read_for_shards if self.objects.trainer.sharded else read_checkpoint
        for path, state in folder.read_checkpoints(read):
            if not self._is_unchanged(folder, state):
                continue
            reason = self._load(state["trainer"])
            if not reason:
                self._continue_from(folder, path, state)
                return True
            leave_out(path, reason)
        return False

    def _is_unchanged(self, folder: RunFolder, state: State) -> bool:
        """Return True if data and initial weights are those of a checkpoint. Raises ConfigError for this run's own."""
        same_data, before = state["data_sha256"] == self.objects.data.sha256, state.get("init_sha256")
        if folder is not self.folder:
            return same_data and before == self._init_sha256
        if not same_data:
            raise ConfigError(
                f"{self.folder.path.name}: the data changed since its checkpoint was written",
                "Start over with --force (the earlier files are kept aside), or restore the data",
            )
        if before != self._init_sha256:
            raise other_weights(self.config, str(before), str(self._init_sha256))
        return True

    @property
    def _init_sha256(self) -> str | None:
        """The hash of the weights that the run begins with; None for random ones."""
        return self.objects.weights.sha256 if self.objects.weights is not None else None

    def _continue_from(self, folder: RunFolder, path: Path, state: State) -> None:
        if folder is self.folder:
            self.folder.checkpoints.last = path
        else:
            self.folder.take_records(folder)
        self.folder.cut_back(state["records_bytes"])
        step = self.objects.trainer.progress.step
        self.resumed_from = [*state["resumed_from_steps"], step]
        where = "" if folder is self.folder else f", where {folder.path.name} ran out of time"
        log.info(f"resumed from step {step} of {self.config.steps}{where}")

    def _start_over(self) -> None:
        if self.folder.checkpoints.newest_first():  # all are left out
            aside = self.folder.set_aside()
            log.warning(f"{self.folder.path.name} starts over at step 0; its earlier files are kept in {aside}")
        self.folder.cut_back(0)

    def _checkpoint(self, *, last: bool = False) -> None:
        trainer = self.objects.trainer
        with trainer.clock.during(CHECKPOINT):
            state = {
                "schema": SCHEMA,
                "run_id": self.config.run_id,
                "data_sha256": self.objects.data.sha256,
                "init_sha256": self._init_sha256,
                "records_bytes": self.folder.sync(),
                "resumed_from_steps": self.resumed_from,
                "trainer": loadable_state(self.config, trainer, last=last),
            }
            step, checkpoints = trainer.progress.step, self.folder.checkpoints
            with self.signals.deferred():
                if trainer.sharded:
                    checkpoints.write_parts(step, lambda folder: self._save_sharded(folder, state))
                else:
                    checkpoints.write(step, lambda out: torch.save(state, out))
        self.signals.stop_if_twice()
        self.checkpointed = time.monotonic()

    def _on_step(self, trainer: Trainer) -> None:
        if not self.checked:
            self.checked = self.checking = True
            with trainer.clock.during(LOGGING):
                check_first_step(self.config, trainer, compared=self.sweep is not None)
            self.checking = False
        if self._checkpoint_is_due():
            self._checkpoint()
        self._stop_if_signalled(trainer.progress.step)
        now = time.monotonic()
        if now - self.ticked >= TICK_SECONDS:
            self.ticked = now
            with trainer.clock.during(LOGGING):
                self.core_wait.look()
                for tick in self.ticks:
                    tick(trainer.progress.step)
        if self.member is not None:
            self.member.end_step()

    # -- the end -----------------------------------------------------------------------------------------------------

    def _failure(self, error: Exception) -> tuple[Status, str]:
        """Return status and reason for an error of model, data or optimizer; write its traceback to error.txt."""
        where = f"at step {self.objects.trainer.progress.step}"
        if is_out_of_memory(error):
            return Status.OUT_OF_MEMORY, f"{first_line(error)} ({where})"
        self.folder.write_error("".join(traceback.format_exception(error)))
        reason = error.message if isinstance(error, UserCodeError) else described(error)
        way = out_of_step(error, self.config.optimizer.implementation)
        return Status.FAILED, f"{reason} ({where}; see error.txt)" + f". {way}" * bool(way)

    def _close(self, result: Document) -> None:
        if self.config.keep_checkpoint and Status(result["status"]).succeeded:
            try:
                self._checkpoint(last=True)
            except UserCodeError as error:  # its state has become another one since the first step
                log.warning(f"no checkpoint is kept: {error.message}")
        timed_out = result["status"] == Status.TIMED_OUT
        with self.signals.deferred():
            self.folder.write_result(result)
            self.folder.checkpoints.keep(self.folder.checkpoints.last)
            if timed_out:
                mark_timed_out(self.folder)
            elif not self.config.keep_checkpoint:
                self.folder.checkpoints.drop()
