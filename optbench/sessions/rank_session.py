"""The part of a run that every rank does: agree with the others on checkpoints and stops, and load the same state."""

from __future__ import annotations

import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from optbench.config import RunConfig
from optbench.config.user_code import described
from optbench.distributed import TorchCommunicator
from optbench.distributed.sharded_checkpoint import load_local, save_sharded
from optbench.distributed.sharding import FsdpShards
from optbench.errors import (
    Interrupted,
    OptbenchError,
    ProcessLost,
    WorkerLost,
    chain,
    first_line,
    is_out_of_memory,
    package_errors,
)
from optbench.sessions.assemble import Objects, assemble
from optbench.sessions.initial_weights import InitialWeights
from optbench.sessions.stop_signals import StopSignals
from optbench.training.loop import Trainer
from optbench.training.plan import State
from optbench.training.provenance import package_versions

DATA_WORKER = "DataLoader worker (pid"  # torch names a killed worker so, in an error that has no type of its own


class RankSession(ABC):
    """The common part of one rank's work on a run."""

    def __init__(self, config: RunConfig, comm: TorchCommunicator | None) -> None:
        self.config, self.comm = config, comm
        self.objects: Objects
        self.signals = StopSignals()
        self.weights: InitialWeights | None = None
        """The weights that `init` names."""
        self.stop_signal = 0
        """The signal that stops the run after this step, the same on all ranks; 0 if none does."""
        self.checkpointed = time.monotonic()

    def _checkpoint_is_due(self) -> bool:
        """Return True if a checkpoint is due after this step, and set `stop_signal`; the same on all ranks."""
        due = time.monotonic() - self.checkpointed >= self.config.checkpoint_seconds
        due = due or self.objects.trainer.out_of_time
        self.stop_signal = self.signals.first
        if self.comm is not None:  # a signal that arrives during the exchange takes effect one step later
            self.stop_signal, due = self.comm.max_over_ranks(self.stop_signal, due)
        return bool(due or self.stop_signal)

    def _stop_if_signalled(self, step: int) -> None:
        if self.stop_signal:
            name = signal.Signals(self.stop_signal).name
            raise Interrupted(
                self.stop_signal,
                f"interrupted by {name} at step {step} of {self.config.steps}",
                "A checkpoint was written: run the same command again to resume",
            )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Raise Interrupted in place of any error once a signal was heard, and WorkerLost if a data worker is gone.

        torch turns an exception that a signal raises inside it into errors of many kinds."""
        try:
            with package_errors():
                yield
        except Interrupted:
            raise
        except (Exception, KeyboardInterrupt) as error:
            if self.signals.first:
                name, why = signal.Signals(self.signals.first).name, first_line(error)
                raise Interrupted(
                    self.signals.first,
                    f"interrupted by {name} before its checkpoint was complete{f' ({why})' if why else ''}",
                    "Run the same command again to resume from the last complete checkpoint",
                ) from error
            if not isinstance(error, ProcessLost) and any(DATA_WORKER in str(behind) for behind in chain(error)):
                raise WorkerLost.because(error) from error
            raise

    def _save_sharded(self, folder: Path | None, state: State) -> None:
        """Write this rank's shards of a checkpoint to the folder that rank 0 names."""
        assert self.comm is not None
        with self.signals.deferred():
            folder = self.comm.broadcast(folder)
            assert folder is not None
            save_sharded(folder, state, self.comm)

    def _load(self, state: State | Path | None) -> str:
        """Load rank 0's checkpoint on every rank; each rank reads its own shards if it is a folder.

        Return why a rank cannot load it, or "". Then `self.objects` are new, without any of its values."""
        reason = ""
        try:
            if self.comm is not None:
                state = self.comm.broadcast(state)
            self._load_here(state)
        except OptbenchError:
            raise
        except Exception as error:  # torch raises many kinds for shapes, keys and versions that don't fit
            if self.comm is not None:
                self.comm.raise_if_lost(error)
            if is_out_of_memory(error):
                raise
            reason = f"it cannot be loaded ({described(error)})"
        if self.comm is not None:
            reason = next(filter(None, self.comm.all_gather(reason)), "")
        if reason:
            known = self.objects.micro_batch
            del self.objects  # before others take as much memory
            self.objects = assemble(self.config, self._on_step, known, self.comm, self.weights)
        return reason

    def _load_here(self, state: State | Path | None) -> None:
        trainer = self.objects.trainer
        if isinstance(state, Path):
            sharded = {
                name: (player.shards.partition, player.optimizer)
                for name, player in trainer.players.items()
                if isinstance(player.shards, FsdpShards)
            }
            state = load_local(state, sharded)
        if state is not None:
            trainer.load_state_dict(state)

    def _require_equal_ranks(self) -> None:
        """Raise ConfigError if the ranks do not have the same run, data or weights; then forget the initial weights."""
        if self.weights is not None:
            self.weights.players = {}  # they take memory
        if self.comm is not None:
            found = package_versions()
            self.comm.require_equal(
                {"optbench": found["optbench"], "torch": found["torch"], "run": self.config.run_id}
                | {"data": self.objects.data.sha256, "weights": self.objects.trainer.weights_sha256()}
            )

    @abstractmethod
    def _on_step(self, trainer: Trainer) -> None:
        """Do what is due after a step."""
