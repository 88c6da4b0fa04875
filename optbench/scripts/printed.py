"""The measurements of a script that never calls optbench, as the events that `attach` would send."""

from __future__ import annotations

import glob
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from optbench.config import RunConfig
from optbench.scripts.commands import filled
from optbench.scripts.job import Event
from optbench.scripts.measurements import Curve
from optbench.scripts.metric_source import MetricSource
from optbench.scripts.shared_files import hold

LOOK_SECONDS = 1.0  # between two looks
SHARE = 0.05  # of this process's time that is spent on looking, at most


class PrintedMetrics:
    """Metrics that a script prints, or writes to the file of `script.read`. Make it before the script is started."""

    def __init__(self, config: RunConfig, values: Mapping[str, object], run_folder: Path, output: Path) -> None:
        """`values`: of the placeholders in `script.read`; `output`: the file that what the script prints goes to.

        Raises ConfigError if another run reads the same file now, MissingError as MetricSource does."""
        settings, literal = config.model.settings, {key: glob.escape(str(value)) for key, value in values.items()}
        names = {"val_metric": str(settings["metric"])}
        names |= {"test_metric": str(settings["test_metric"])} if settings["test_metric"] else {}
        self.source = MetricSource(filled([settings["read"]], literal, "read")[0], names, Path.cwd(), output)
        self.held = ExitStack()
        if self.source.is_shared(run_folder):
            self.held.enter_context(hold(self.source.pattern))
        self.is_read_live = config.model.about.get("attaches") is False
        self.seen: Curve = ()
        self.taken: dict[int, Mapping[str, float]] = {}
        self.due = time.monotonic() + LOOK_SECONDS

    def look(self) -> Iterator[Event]:
        """Yield the events of new rows, now and then; none for a script that may still attach."""
        begin = time.monotonic()
        if self.is_read_live and begin >= self.due:
            found = self.source.read()
            rows = found.rows
            whole = rows if rows == self.seen else rows[:-1]  # the last one may not be whole yet
            yield from self._events(whole, found.counts_steps)
            self.seen = rows
            now = time.monotonic()
            self.due = now + max(LOOK_SECONDS, (now - begin) / SHARE)

    def end(self) -> tuple[list[Event], str]:
        """Return the events that are left, the result among them, and why there is no metric, or ""."""
        found = self.source.read()
        finish = {"kind": "finish", "values": dict(found.final)}
        return [*self._events(found.rows, found.counts_steps), finish], found.problem

    def close(self) -> None:
        """Let another run read the same file."""
        self.held.close()

    def _events(self, rows: Curve, counts_steps: bool) -> Iterator[Event]:
        for step, values in rows:
            if step >= next(reversed(self.taken), 0) and values != self.taken.get(step):  # new, or measured once more
                if not self.taken:
                    yield {"kind": "begin"}  # drops the records of an earlier start
                self.taken[step] = values
                yield {"kind": "log", "step": step, "counts_steps": counts_steps, "values": dict(values)}
