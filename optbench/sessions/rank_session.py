"""The part of a run that every rank does: agree with the others on checkpoints and stops, and load the same state."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from optbench.config import RunConfig
from optbench.distributed import TorchCommunicator
from optbench.distributed.sharded_checkpoint import load_local, save_sharded
from optbench.distributed.sharding import FsdpShards
from optbench.errors import Interrupted
from optbench.sessions.assemble import Objects
from optbench.store import Document
from optbench.training.plan import State
from optbench.training.provenance import package_versions

SIGNALS = (signal.SIGINT, signal.SIGTERM)
Handler = Callable[[int, FrameType | None], object] | int | None


@dataclass(frozen=True)
class FinishedRun:
    """A finished run: its folder, and the contents of run.json and result.json."""

    folder: Path
    run: Document
    result: Document
    was_there: bool
    """True if the run was already finished, and nothing was trained."""
    rank: int = 0
    """Rank of this process; only rank 0 prints."""


class RankSession:
    """The common part of one rank's work on a run."""

    def __init__(self, config: RunConfig, comm: TorchCommunicator | None) -> None:
        self.config, self.comm = config, comm
        self.signal: int | None = None
        """The signal that this process has received."""
        self.stop_signal = 0
        """The signal that stops the run after this step, the same on all ranks; 0 if none does."""
        self.checkpointed = time.monotonic()

    def _checkpoint_is_due(self) -> bool:
        """Return True if a checkpoint is due after this step, and set `stop_signal`; the same on all ranks."""
        due = time.monotonic() - self.checkpointed >= self.config.checkpoint_seconds
        self.stop_signal = self.signal or 0
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
    def _handle_signals(self) -> Iterator[None]:
        """Let the first SIGINT or SIGTERM request a checkpoint and a stop after the step; the second acts at once."""
        before: dict[int, Handler] = {}

        def request_stop(number: int, frame: FrameType | None) -> None:
            self.signal = number
            signal.signal(number, before[number])

        try:
            for number in SIGNALS:
                before[number] = signal.signal(number, request_stop)
        except ValueError:  # not the main thread, whose owner handles signals
            yield
            return
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _save_sharded(self, folder: Path | None, state: State) -> None:
        """Write this rank's shards of a checkpoint to the folder that rank 0 names."""
        assert self.comm is not None
        folder = self.comm.broadcast(folder)
        assert folder is not None
        save_sharded(folder, state, self.comm)

    def _load_state(self, objects: Objects, state: State | Path | None) -> None:
        """Load rank 0's checkpoint on every rank; each rank reads its own shards if it is a folder.

        Raises ConfigError if the ranks do not have the same run, data or weights."""
        if self.comm is not None:
            state = self.comm.broadcast(state)
        if isinstance(state, Path):
            sharded = {
                name: (player.shards.partition, player.optimizer)
                for name, player in objects.trainer.players.items()
                if isinstance(player.shards, FsdpShards)
            }
            state = load_local(state, sharded)
        if state is not None:
            objects.trainer.load_state_dict(state)
        if self.comm is not None:
            found = package_versions()
            self.comm.require_equal(
                {"optbench": found["optbench"], "torch": found["torch"], "run": self.config.run_id}
                | {"data": objects.data.sha256, "weights": objects.trainer.weights_sha256()}
            )
