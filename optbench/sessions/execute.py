"""One run from its configuration to its result, by the session that its model asks for, without importing torch."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from optbench.config import RunConfig, imports
from optbench.contracts import Sink
from optbench.errors import package_errors
from optbench.store import Document, RunFolder
from optbench.training.cpu import choose_waiting

log = logging.getLogger(__name__)

SESSION = "optbench.sessions.session.train"
"""Trains a model of a run; a model's `about.session` names another, e.g. that of a training script."""


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


def execute(
    config: RunConfig,
    root: Path,
    *,
    study: str = "runs",
    stage: str = "run",
    force: bool = False,
    sinks: Callable[[RunFolder], Iterable[Sink]] = lambda folder: (),
    sweep: Mapping[str, object] | None = None,
) -> FinishedRun:
    """Train a configuration to its end, resuming from a checkpoint. A finished run is returned.

    With `force`, files of an earlier run, finished or not, are kept aside, and it starts over.

    `sweep` goes into run.json. Raises Interrupted after SIGINT or SIGTERM (checkpoint written), ConfigError and
    MissingError before training."""
    if "torch" not in sys.modules:
        choose_waiting(config.threads)
    train = imports.load(config.model.about.get("session", SESSION))
    folder = RunFolder(root, study, config.run_id)
    with package_errors():
        return train(config, folder, study=study, stage=stage, force=force, sinks=sinks, sweep=sweep)


def unless_finished(folder: RunFolder, force: bool, train: Callable[[], FinishedRun]) -> FinishedRun:
    """Return the stored result if there is one, else lock the folder and call `train`."""
    result = folder.result()
    if result is not None and not force:
        return FinishedRun(folder.path, folder.run() or {}, result, True)
    with folder.locked():
        result = folder.result()  # another process may have finished it in between
        if result is not None and not force:
            return FinishedRun(folder.path, folder.run() or {}, result, True)
        if force and (aside := folder.set_aside()):
            log.info(f"the earlier run is kept in {aside}")
        return train()


@contextmanager
def finishing(sinks: list[Sink]) -> Iterator[Callable[[Document], None]]:
    """Yield a function that takes the result; finish all sinks at the end, with None if there is no result."""
    results: list[Document] = []
    try:
        yield results.append
    finally:
        for sink in sinks:
            sink.finish(results[0] if results else None)
