"""The display of a running sweep on stderr: a live table on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from optbench.config.notices import say_once
from optbench.config.values import shown
from optbench.errors import printable
from optbench.sweeps.display.run_times import RunTimes
from optbench.sweeps.executors.base import Event, RunEvaluated, RunNotice, RunProgress, RunStarted
from optbench.sweeps.scheduler.cell_progress import DONE, CellProgress
from optbench.sweeps.scheduler.observer import Observer
from optbench.sweeps.scheduler.study_progress import StudyProgress
from optbench.sweeps.study.cells import FINAL, TUNE, PlannedRun
from optbench.sweeps.study.outcomes import PRUNED, REFUSED, Outcome, count_failures

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

log = logging.getLogger(__name__)

PLAIN_SECONDS = 10.0  # between two plain lines
LEAST_SHARE = 0.02  # of a run, after which its length can be estimated from its speed
REFRESH_SECONDS = 0.25
LONGEST_NOTICE = 600  # characters of a notice of a run


class LiveDisplay(Observer):
    """An observer that shows a sweep on stderr. `quiet`: log only failures."""

    def __init__(self, planned: Mapping[int, int], slots: int, *, quiet: bool = False) -> None:
        """`planned`: number of runs by cell."""
        self.times, self.slots, self.quiet = RunTimes(planned), slots, quiet
        self.began = self.printed = time.monotonic()
        self.outcomes: dict[str, Outcome] = {}
        self.running: dict[str, tuple[PlannedRun, int]] = {}  # with the step reached
        self.endless: set[str] = set()  # scripts that do not read the budget: what share is done is not known
        self.training_since: dict[str, tuple[float, float]] = {}  # with the share of the run done then
        self._metrics: dict[str, None] = {}  # in order of appearance
        self._live: Live | None = None
        self._progress: StudyProgress | None = None
        self._refusals: dict[int, set[str]] = defaultdict(set)  # reasons already logged, by cell

    # -- events of the scheduler -------------------------------------------------------------------------------------

    def planned(self, runs: Sequence[PlannedRun], found: Mapping[str, Outcome]) -> None:
        """Take released runs, and the outcomes of those that ended in an earlier session."""
        self.times.plan(runs)
        for run in runs:
            if run.run_id in found:
                self._add(run, found[run.run_id])

    def started(self, run: PlannedRun) -> None:
        """Take a run that a worker has begun."""
        self.running[run.run_id] = (run, 0)
        self.training_since[run.run_id] = (time.monotonic(), 0.0)

    def event(self, run: PlannedRun, event: Event) -> None:
        """Take an event of a running run."""
        step = self.running.get(run.run_id, (run, 0))[1]
        match event:
            case RunStarted():
                self._metrics[event.metric] = None
                step = event.resumed_from or 0
                self.endless |= {run.run_id} if "steps" in event.unread.split() else set()
                self.training_since[run.run_id] = (time.monotonic(), step / run.config.steps)
                if event.resumed_from:
                    of = "" if run.run_id in self.endless else f" of {run.config.steps:,}"
                    log.info(f"{run.run_id}: resuming from step {event.resumed_from:,}{of}")
            case RunNotice():
                say_once(shown(event.message, LONGEST_NOTICE))
            case RunProgress() | RunEvaluated():
                step = event.step
        self.running[run.run_id] = (run, step)

    def ended(self, run: PlannedRun, outcome: Outcome, log_file: Path) -> None:
        """Take the outcome of a run; log a failure at once."""
        self.running.pop(run.run_id, None)
        self.training_since.pop(run.run_id, None)
        self._add(run, outcome)
        if not outcome.succeeded and outcome.status != PRUNED and outcome.reason not in self._refusals[run.cell]:
            self._refusals[run.cell] |= {outcome.reason} if outcome.status == REFUSED else set()
            log.warning(f"{run.run_id}: {outcome.status}: {outcome.reason}\n  log: {log_file}")

    def _add(self, run: PlannedRun, outcome: Outcome) -> None:
        self.outcomes[run.run_id] = outcome
        self.times.end(run, outcome.wall_seconds)
        if outcome.metric:
            self._metrics[outcome.metric] = None

    def refresh(self, progress: StudyProgress) -> None:
        """Draw the table, or print a line if the last one is old."""
        self._progress = progress
        if self.quiet:
            return
        if sys.stderr.isatty():
            self._started_live().update(self.table(), refresh=False)
        elif time.monotonic() - self.printed >= PLAIN_SECONDS:
            self.printed = time.monotonic()
            print(printable(self.summary()), file=sys.stderr, flush=True)

    def _started_live(self) -> Live:
        if self._live is None:
            from rich.console import Console
            from rich.live import Live

            console = Console(stderr=True, markup=False, emoji=False)
            self._live = Live(console=console, refresh_per_second=1 / REFRESH_SECONDS, transient=True)
            self._live.start()
        return self._live

    def close(self) -> None:
        """Remove the table from the terminal."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    # -- text --------------------------------------------------------------------------------------------------------

    @property
    def metric(self) -> str:
        """The name of the metric; empty where workloads differ in it."""
        return next(iter(self._metrics)) if len(self._metrics) == 1 else ""

    @property
    def expected(self) -> int:
        """Number of runs of the whole study, as far as known."""
        return self.times.expected

    @property
    def cells(self) -> list[CellProgress]:
        """The cells, once the sweep runs."""
        return self._progress.cells if self._progress else []

    def summary(self) -> str:
        """Return the state of the sweep in one line."""
        shares = self._shares(list(self.running)[:8])
        running = f"{len(self.running)} running" + (f" ({shares})" if shares else "")
        failures = count_failures(self.outcomes.values())
        failed = f", {failures} failed" if failures else ""
        best = ", ".join(f"{cell.cell.label} {self.best(cell)}" for cell in self.cells[:4])
        more = f", ... ({len(self.cells)} cells)" if len(self.cells) > 4 else ""
        scores = f"; best {self.metric or 'so far'}: {best}{more}" if self._metrics and best else ""
        return f"{len(self.outcomes)}/{self.expected} done{failed}, {running}{scores}; {self.time_left()}"

    def best(self, progress: CellProgress) -> str:
        """Return the best metric of a cell's tuning so far."""
        runs = [run.run_id for trial in progress.trials for run in trial.runs]
        outcomes = [self.outcomes[run_id] for run_id in runs if run_id in self.outcomes]
        found = [(o.score, o.val) for o in outcomes if o.score is not None]
        metric = "" if self.metric else next((f" {o.metric}" for o in outcomes if o.metric), "")
        return f"{max(found)[1]:.4g}{metric}" if found else "-"

    def time_left(self) -> str:
        """Return the time left in words."""
        from optbench.trackers.console import duration

        seconds = self.times.seconds_left(self._running_seconds(), [c.cell for c in self.cells])
        return "time left: not known yet" if seconds is None else f"about {duration(seconds / self.slots)} left"

    def _share(self, run_id: str) -> float | None:
        """Return the share of a running run that is done, None if that is not known."""
        run, step = self.running[run_id]
        return None if run_id in self.endless else min(1.0, step / run.config.steps)

    def _shares(self, run_ids: Iterable[str]) -> str:
        """Return the shares of running runs that are done; where that is not known, the step."""
        found = [(self._share(run_id), self.running[run_id][1]) for run_id in run_ids]
        return " ".join(f"step {step:,}" if share is None else f"{share:.0%}" for share, step in found)

    def _running_seconds(self) -> list[tuple[PlannedRun, float, float | None]]:
        """Return each running run with its share that is done, and the seconds that all of it takes at its speed."""
        now, found = time.monotonic(), []
        for run_id, (run, _) in self.running.items():
            since, at_start = self.training_since[run_id]
            share = self._share(run_id) or 0.0
            done = share - at_start
            found.append((run, share, (now - since) / done if done > LEAST_SHARE else None))
        return found

    def table(self) -> Table:
        """Return the live table."""
        from rich import box
        from rich.table import Table

        from optbench.trackers.console import duration

        spent = duration(time.monotonic() - self.began)
        caption = f"{len(self.outcomes)}/{self.expected} runs, {spent} so far, {self.time_left()}"
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption=caption, caption_justify="left")
        for name in ("cell", "stage", "done", "running", "failed", f"best {self.metric or 'so far'}", "at"):
            table.add_column(printable(name), justify="right" if name in ("done", "running", "failed") else "left")
        for cell in self.cells:
            table.add_row(*map(printable, self.row(cell)))
        return table

    def row(self, progress: CellProgress) -> list[str]:
        """Return the row of a cell."""
        runs = {r.run_id for t in progress.trials for r in t.runs} | {r.run_id for r in progress.finals}
        ended = [self.outcomes[i] for i in runs if i in self.outcomes]
        winner = progress.winner
        values = ", ".join(f"{k.partition('.')[2]}={v:.4g}" for k, v in winner.values.items()) if winner else ""
        return [
            progress.cell.label,
            {TUNE: "tuning", FINAL: "final seeds", DONE: "done"}.get(progress.stage, "tuned"),
            f"{len(ended)}/{len(runs)}",
            self._shares(i for i in self.running if i in runs),
            str(count_failures(ended) or ""),
            self.best(progress),
            values,
        ]


def log_edges(progress: CellProgress, edges: Sequence[tuple[str, str]]) -> None:
    """Log the best values towards whose edge of the search space the score still rises."""
    values = progress.winner.values if progress.winner else {}
    box = progress.box.as_dict()
    where = ", ".join(f"{key}={values[key]:.4g} on the {side} edge of {box[key]}" for key, side in edges)
    hint = "" if progress.study.extend_edges else "; --extend-edges extends the search, equally for all"
    log.info(f"{progress.cell.label}: undertuned: best {where}{hint}")
