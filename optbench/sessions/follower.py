"""Ranks other than 0: they train along and write no results."""

from __future__ import annotations

import time

from optbench.config import RunConfig
from optbench.distributed import RankInfo, TorchCommunicator, await_launch, connect_as_helper
from optbench.errors import Interrupted, OptbenchError, RankLost
from optbench.records import Status
from optbench.sessions.assemble import assemble
from optbench.sessions.execute import FinishedRun
from optbench.sessions.initial_weights import InitialWeights
from optbench.sessions.rank_session import RankSession
from optbench.store import RunFolder
from optbench.training.loop import Trainer


class Follower(RankSession):
    """A rank that trains along and writes no results."""

    def run(self) -> FinishedRun:
        """Train to the end, and return what rank 0 reports."""
        assert self.comm is not None
        known = self.comm.broadcast(None)
        plain = self.comm.broadcast(None)
        self.weights = InitialWeights(**plain) if plain else None
        self.objects = assemble(self.config, self._on_step, known, self.comm, self.weights)
        while self._load(None):
            pass  # rank 0 tries the checkpoint before
        self._require_equal_ranks()
        with self.signals.handled(), self._explained():
            for _ in self.objects.trainer.records():
                pass
            if self.objects.trainer.sharded:
                self._finish(self.objects.trainer)
        path, run, result = self.comm.broadcast(None)  # type: ignore[misc]  # rank 0 sends three values
        return FinishedRun(path, run, result, False, self.comm.rank)

    def _finish(self, trainer: Trainer) -> None:
        """Take part in rank 0's collective operations at the end of a sharded run."""
        trainer.weights_sha256()
        if self.config.keep_checkpoint and Status(trainer.progress.status).succeeded:
            self._save_sharded(None, {"trainer": trainer.state_dict(last=True)})

    def _on_step(self, trainer: Trainer) -> None:
        if self._checkpoint_is_due():
            if trainer.sharded:
                self._save_sharded(None, {"trainer": trainer.state_dict()})
            self.checkpointed = time.monotonic()
            self.signals.stop_if_twice()
        self._stop_if_signalled(trainer.progress.step)


def follow(config: RunConfig, comm: TorchCommunicator) -> FinishedRun:
    """Train along with rank 0, and leave it a report of an error here."""
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


def follow_torchrun(config: RunConfig, rank_info: RankInfo, folder: RunFolder) -> FinishedRun:
    """Train along on a rank of torchrun; return the stored result if rank 0 finds the run finished."""
    comm = await_launch(rank_info, config)
    if comm is None:
        return FinishedRun(folder.path, folder.run() or {}, folder.result() or {}, True, rank_info.rank)
    return follow(config, comm)


def run_helper() -> None:
    """Train along in a helper process, and exit without a message: rank 0 reports errors."""
    config, comm = connect_as_helper()
    try:
        follow(config, comm)
    except OptbenchError as error:
        raise SystemExit(error.exit_code) from None
