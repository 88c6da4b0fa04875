"""What people see of a running sweep, on stderr: a table that is kept up to date on a terminal, plain lines
elsewhere; errors at once, with the log that says more."""

from __future__ import annotations

import logging
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optbench.records import Status
from optbench.sweeps.executors.base import Began, Event, Measured, Progress
from optbench.sweeps.scheduler.cell_progress import DONE, Course, Courses
from optbench.sweeps.study.cells import FINAL, TUNE, Planned
from optbench.sweeps.study.outcomes import PRUNED, REFUSED, Outcome

log = logging.getLogger(__name__)

PLAIN_SECONDS = 10.0  # between two plain lines
TOLD_SHARE = 0.02  # of a run, after which its length is guessed from its speed
DRAWN_SECONDS = 0.25


class Live:
    """A Watcher for people."""

    def __init__(self, total: int, slots: int, *, quiet: bool = False) -> None:
        self.total, self.slots, self.quiet = total, slots, quiet
        self.began = self.printed = time.monotonic()
        self.seconds: dict[int, list[float]] = {}
        self.ended_runs: dict[str, Outcome] = {}
        self.running: dict[str, tuple[Planned, int, float | None]] = {}
        self.started_at: dict[str, tuple[float, float]] = {}  # when training began, and at which share of the run
        self.seen: set[str] = set()
        self._metrics: dict[str, None] = {}  # in the order in which they were met
        self._live: Any = None
        self._courses: Courses | None = None
        self._said: dict[int, set[str]] = defaultdict(set)  # why a cell's runs were refused: once is enough

    # -- told by the conductor ---------------------------------------------------------------------------------------

    def planned(self, runs: Sequence[Planned], found: Mapping[str, Outcome]) -> None:
        """Runs were released; those that have ended before are known at once."""
        self.seen |= {run.run_id for run in runs}
        for run in runs:
            if run.run_id in found:
                self._note(run, found[run.run_id])

    def started(self, run: Planned) -> None:
        """A worker takes the run up."""
        self.running[run.run_id] = (run, 0, None)
        self.started_at[run.run_id] = (time.monotonic(), 0.0)

    def event(self, run: Planned, event: Event) -> None:
        """Something happened to a running run."""
        _, step, value = self.running.get(run.run_id, (run, 0, None))
        match event:
            case Began():
                self._metrics[event.metric] = None
                step = event.resumed_from or 0
                self.started_at[run.run_id] = (time.monotonic(), step / run.config.steps)
                if event.resumed_from:
                    self.line(f"{run.run_id}: goes on from step {event.resumed_from:,} of {run.config.steps:,}")
            case Progress():
                step = event.step
            case Measured():
                step, value = event.step, event.value
        self.running[run.run_id] = (run, step, value)

    def ended(self, run: Planned, outcome: Outcome, log: Path) -> None:
        """A run has ended; a failure is said at once."""
        self.running.pop(run.run_id, None)
        self.started_at.pop(run.run_id, None)
        self._note(run, outcome)
        if outcome.wall_seconds:
            self.seconds.setdefault(run.cell, []).append(outcome.wall_seconds)
        if not outcome.succeeded and outcome.status != PRUNED and outcome.reason not in self._said[run.cell]:
            self._said[run.cell] |= {outcome.reason} if outcome.status == REFUSED else set()
            self.line(f"{run.run_id}: {outcome.status}: {outcome.reason}\n  log: {log}", always=True)

    def _note(self, run: Planned, outcome: Outcome) -> None:
        self.ended_runs[run.run_id] = outcome
        if outcome.metric:
            self._metrics[outcome.metric] = None

    @property
    def metric(self) -> str:
        """The metric's name; of workloads that have their own, each of them."""
        return "/".join(self._metrics)

    def refresh(self, courses: Courses) -> None:
        """Draw the table, or print a line now and then."""
        self._courses = courses
        if self.quiet:
            return
        if sys.stderr.isatty():
            self._drawn().update(self.table(), refresh=False)
        elif time.monotonic() - self.printed >= PLAIN_SECONDS:
            self.printed = time.monotonic()
            print(self.summary(), file=sys.stderr, flush=True)

    def line(self, text: str, always: bool = False) -> None:
        """A line that stays, above the table."""
        log.log(logging.WARNING if always else logging.INFO, text)

    def close(self) -> None:
        """Give the terminal back."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    # -- shown -------------------------------------------------------------------------------------------------------

    def _drawn(self) -> Any:
        if self._live is None:
            from rich.console import Console
            from rich.live import Live as RichLive

            terminal = Console(stderr=True)
            self._live = RichLive(console=terminal, refresh_per_second=1 / DRAWN_SECONDS, transient=True)
            self._live.start()
        return self._live

    def summary(self) -> str:
        """The state of the sweep in one line."""
        shares = " ".join(f"{self._share(run_id):.0%}" for run_id in list(self.running)[:8])
        at = f" ({shares})" if shares else ""
        bad = sum(not o.succeeded and o.status != PRUNED for o in self.ended_runs.values())
        failed = f", {bad} failed" if bad else ""
        best = [f"{c.cell.label} {self.best(c)}" for c in self._courses.courses[:4]] if self._courses else []
        more = f", ... ({len(self._courses.courses)} cells)" if self._courses and len(self._courses.courses) > 4 else ""
        rest = f"; best {self.metric}: {', '.join(best)}{more}" if self.metric and best else ""
        return (
            f"{len(self.ended_runs)}/{self.expected} done{failed}, {len(self.running)} running{at}{rest}; {self.left()}"
        )

    @property
    def expected(self) -> int:
        """Runs of the whole study, as far as is known."""
        return max(self.total, len(self.seen))

    def best(self, course: Course) -> str:
        """The best score of a cell so far, as its metric."""
        found = [(o.score, o.val) for o in self._outcomes(course) if o.score is not None]
        return f"{max(found)[1]:.4g}" if found else "-"

    def _outcomes(self, course: Course) -> list[Outcome]:
        runs = [run.run_id for trial in course.trials for run in trial.runs]
        return [self.ended_runs[run_id] for run_id in runs if run_id in self.ended_runs]

    def left(self) -> str:
        """Time left in words: the runs that remain at the mean time of those that have ended."""
        from optbench.trackers.console import duration

        lengths = [s for seconds in self.seconds.values() for s in seconds] or self._lengths_of_running()
        if not lengths:
            return "time left: not known yet"
        remaining = max(0, self.expected - len(self.ended_runs))
        begun = sum(self._share(run_id) for run_id in self.running)
        seconds = max(0.0, remaining - begun) * statistics.fmean(lengths) / max(1, self.slots)
        return f"about {duration(seconds)} left"

    def _share(self, run_id: str) -> float:
        """The share of a running run that is done."""
        run, step, _ = self.running[run_id]
        return min(1.0, step / run.config.steps)

    def _lengths_of_running(self) -> list[float]:
        """Seconds that the running runs will take, by how far they have come; before any has ended."""
        now = time.monotonic()
        begun = {run_id: self._share(run_id) - first for run_id, (_, first) in self.started_at.items()}
        told = {run_id: share for run_id, share in begun.items() if run_id in self.running and share > TOLD_SHARE}
        return [(now - self.started_at[run_id][0]) / share for run_id, share in told.items()]

    def table(self) -> Any:
        """The live table."""
        from rich import box
        from rich.table import Table

        shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption=self.summary_tail(), caption_justify="left")
        for name in ("cell", "stage", "done", "running", "failed", f"best {self.metric or 'so far'}", "at"):
            shown.add_column(name, justify="right" if name in ("done", "running", "failed") else "left")
        for course in self._courses.courses if self._courses else ():
            shown.add_row(*self.row(course))
        return shown

    def row(self, course: Course) -> list[str]:
        """One cell of the table."""
        runs = {r.run_id for t in course.trials for r in t.runs} | {r.run_id for r in course.finals}
        ended = [self.ended_runs[i] for i in runs if i in self.ended_runs]
        now = [f"{step / run.config.steps:.0%}" for run, step, _ in self.running.values() if run.run_id in runs]
        winner = course.winner
        values = ", ".join(f"{k.partition('.')[2]}={v:.4g}" for k, v in winner.values.items()) if winner else ""
        bad = sum(not o.succeeded and o.status != PRUNED for o in ended)
        stage = {TUNE: "tuning", FINAL: "final seeds", DONE: "done"}.get(course.stage, "tuned")
        return [
            course.cell.label,
            stage,
            f"{len(ended)}/{len(runs)}",
            " ".join(now),
            str(bad or ""),
            self.best(course),
            values,
        ]

    def summary_tail(self) -> str:
        """What stands under the table."""
        from optbench.trackers.console import duration

        spent = duration(time.monotonic() - self.began)
        return f"{len(self.ended_runs)}/{self.expected} runs, {spent} so far, {self.left()}"


def statuses(outcomes: Mapping[str, Outcome]) -> dict[str, int]:
    """How many runs ended how."""
    counts: dict[str, int] = {}
    for outcome in outcomes.values():
        counts[outcome.status] = counts.get(outcome.status, 0) + 1
    order = [*map(str, Status), PRUNED]
    return dict(sorted(counts.items(), key=lambda item: order.index(item[0]) if item[0] in order else len(order)))
