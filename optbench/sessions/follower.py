"""The ranks that follow: they train along with the one that writes, and say nothing."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optbench.config import RunConfig
from optbench.distributed import RankInfo, TorchCommunicator, await_launch, connect_as_helper
from optbench.distributed.sharded_checkpoint import load_local, save_sharded
from optbench.distributed.sharding import FsdpShards
from optbench.errors import Interrupted, OptbenchError, RankLost
from optbench.records import Status
from optbench.sessions.assemble import Objects, assemble
from optbench.store import RunFolder
from optbench.training.loop import Trainer
from optbench.training.provenance import package_versions

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Member:
    """What every process of a run does alike: ask to stop, and agree on it with the other ranks."""

    def __init__(self, config: RunConfig, comm: TorchCommunicator | None) -> None:
        self.config, self.comm = config, comm
        self.signal: int | None = None
        self.heard = 0
        """The signal that ends the run after this step."""
        self.checkpointed = time.monotonic()

    def _checkpoint_is_due(self) -> bool:
        """Whether to write a checkpoint after this step; what `heard` is then is the same on every rank."""
        due = time.monotonic() - self.checkpointed >= self.config.checkpoint_seconds
        self.heard = self.signal or 0
        if self.comm is not None:  # a signal that comes while they agree waits for the next step
            self.heard, due = self.comm.max_over_ranks(self.heard, due)
        return bool(due or self.heard)

    def _stop_if_asked(self, step: int) -> None:
        if self.heard:
            name = signal.Signals(self.heard).name
            raise Interrupted(
                self.heard,
                f"interrupted by {name} at step {step} of {self.config.steps}",
                "A checkpoint is written: the same command goes on from there",
            )

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

    def _write_parts(self, folder: Path | None, state: dict[str, Any]) -> None:
        """Write this rank's part of a checkpoint to the folder that rank 0 names."""
        assert self.comm is not None
        save_sharded(self.comm.broadcast(folder), state, self.comm)

    def _begin_alike(self, objects: Objects, state: dict[str, Any] | Path | None) -> None:
        """Go on from a checkpoint, that of rank 0 on every rank, which must be one of the same run; each rank reads its
        own part of a folder."""
        if self.comm is not None:
            state = self.comm.broadcast(state)
        if isinstance(state, Path):
            players = objects.trainer.players.items()
            state = load_local(
                state,
                {
                    name: (player.shards.partition, player.optimizer)
                    for name, player in players
                    if isinstance(player.shards, FsdpShards)
                },
            )
        if state is not None:
            objects.trainer.load_state_dict(state)
        if self.comm is not None:
            found = package_versions()
            self.comm.require_equal(
                {"optbench": found["optbench"], "torch": found["torch"], "run": self.config.run_id}
                | {"data": objects.data.sha256, "weights": objects.trainer.weights_sha256()}
            )


@dataclass(frozen=True)
class Ended:
    """An ended run: where it lies, what came out, and whether it had ended before."""

    folder: Path
    run: Mapping[str, Any]
    result: Mapping[str, Any]
    was_there: bool
    rank: int = 0
    """Of this process among those of the run; what there is to say is said by rank 0."""


class Follower(Member):
    """A rank that trains along and writes nothing."""

    def run(self) -> Ended:
        """Train to the end; what came out is as rank 0 tells it."""
        assert self.comm is not None
        known = self.comm.broadcast(None)
        objects = assemble(self.config, self._on_step, known, self.comm)
        self._begin_alike(objects, None)
        with self._signals():
            for _ in objects.trainer.records():
                pass
        if objects.trainer.sharded:
            self._finish(objects.trainer)
        path, run, result = self.comm.broadcast(None)
        return Ended(path, run, result, False, self.comm.rank)

    def _finish(self, trainer: Trainer) -> None:
        """What rank 0 needs the other ranks for at the end."""
        trainer.weights_sha256()
        if self.config.keep_checkpoint and Status(trainer.progress.status).succeeded:
            self._write_parts(None, {"trainer": trainer.state_dict()})

    def _on_step(self, trainer: Trainer) -> None:
        if self._checkpoint_is_due():
            if trainer.sharded:
                self._write_parts(None, {"trainer": trainer.state_dict()})
            self.checkpointed = time.monotonic()
        self._stop_if_asked(trainer.progress.step)


def followed(config: RunConfig, comm: TorchCommunicator) -> Ended:
    """A run by a rank that follows; what it fails of is left for rank 0 to say."""
    try:
        return Follower(config, comm).run()
    except (RankLost, Interrupted):
        raise
    except BaseException as error:
        comm.raise_if_lost(error)
        comm.failures.write(error)
        raise
    finally:
        comm.close()


def join(config: RunConfig, rank_info: RankInfo, folder: RunFolder) -> Ended:
    """A run by a rank of torchrun's that follows; rank 0 may find that there is nothing to do."""
    comm = await_launch(rank_info, config)
    if comm is None:
        return Ended(folder.path, folder.run() or {}, folder.result() or {}, True, rank_info.rank)
    return followed(config, comm)


def run_helper() -> None:
    """The whole life of a helper: a process that rank 0 started. It ends without a word."""
    config, comm = connect_as_helper()
    try:
        followed(config, comm)
    except OptbenchError as error:
        raise SystemExit(error.exit_code) from None
