"""trackio as a mirror of the results, in its own folder (TRACKIO_DIR). `trackio show --project optbench` shows it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.contracts import Sink
from optbench.records import Record
from optbench.trackers.scalars import scalars, settings

if TYPE_CHECKING:
    from trackio.run import Run


class Tracker(Sink):
    """A Sink that logs every record to trackio; a resumed run goes on under its name."""

    def __init__(self, directory: Path, project: str) -> None:
        self.project = project
        self.run: Run | None = None

    def start(self, run: Mapping[str, Any]) -> None:
        """Begin a run of the project, or go on with it."""
        with silent():
            import trackio

            self.run = trackio.init(
                project=self.project,
                name=str(run["run_id"]),
                group=str(run.get("study")),
                config=settings(run),
                resume="allow",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )

    def log(self, record: Record) -> None:
        """Log the numbers of a record."""
        if self.run is not None:
            self.run.log(dict(scalars(record)), step=record.step)

    def finish(self, result: Mapping[str, Any] | None) -> None:
        """End the run."""
        if self.run is not None:
            with silent():
                self.run.finish()


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Swallow what trackio prints; the run waits for its trackers to start and to end, and prints nothing then."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield
