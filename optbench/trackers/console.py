"""Live progress on stderr: a bar with loss, metric, speed and time left, or without a terminal one line at times."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from optbench.contracts import Sink
from optbench.errors import printable
from optbench.records import Record, Split

if TYPE_CHECKING:
    from rich.progress import Progress

PLAIN_SECONDS = 5.0  # between two plain lines


class Console(Sink):
    """A Sink that prints progress."""

    def __init__(self, total_steps: int, *, enabled: bool = True, plain_seconds: float = PLAIN_SECONDS) -> None:
        self.total_steps: int | None = total_steps
        """None where a script goes by a budget of its own."""
        self.enabled, self.plain_seconds = enabled, plain_seconds
        self.metric = "metric"
        self.seen: dict[str, float] = {}
        self.step = self.first_step = 0
        self.began = self.printed = time.monotonic()
        self._progress: Progress | None = None
        self._printed_step = -1

    def start(self, run: Mapping[str, Any]) -> None:
        """Print the run and its device, and begin the progress bar."""
        self.metric = str(run.get("metric", "metric"))
        self.step = self.first_step = (run.get("resumed_from_steps") or [0])[-1]
        self.began = self.printed = time.monotonic()
        if "steps" in run.get("unread", ()):
            self.total_steps = None
        if not self.enabled:
            return
        device = describe_device(run.get("hardware", {}))
        print(printable(f"{run['run_id']} on {device}"), file=sys.stderr, flush=True)
        if sys.stderr.isatty():
            self._progress = self._bar()
            self._progress.start()

    def _bar(self) -> Progress:
        from rich.console import Console as Terminal
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        progress = Progress(
            BarColumn(24),
            TextColumn("{task.completed:,.0f}" + ("/{task.total:,.0f}" if self.total_steps is not None else " steps")),
            TextColumn("{task.description}", markup=False),
            TimeRemainingColumn(compact=True),
            console=Terminal(stderr=True),
            refresh_per_second=4,
            speed_estimate_period=20,
        )
        self._task = progress.add_task("", total=self.total_steps, completed=self.first_step)
        return progress

    def tick(self, step: int) -> None:
        """Show the current step."""
        self.step = step
        if self._progress is not None:
            self._progress.update(self._task, completed=step)
        elif self.enabled and time.monotonic() - self.printed >= self.plain_seconds:
            self._print()

    def log(self, record: Record) -> None:
        """Show the latest values."""
        self.seen.update({key: value for key, value in record.values.items() if isinstance(value, (int, float))})
        self.step = record.step
        if self._progress is not None:
            self._progress.update(self._task, completed=record.step, description=self._values())
        elif self.enabled and (record.split is Split.TEST or time.monotonic() - self.printed >= self.plain_seconds):
            self._print()

    def output(self, text: bytes) -> None:
        """Print what a training script prints; the progress bar gives way to it."""
        if not self.enabled:
            return
        self.finish(None)
        sys.stderr.buffer.write(text)
        sys.stderr.flush()

    def finish(self, result: Mapping[str, Any] | None) -> None:
        """End the progress bar."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _values(self) -> str:
        shown = {"loss": "train_loss", f"val {self.metric}": "val_metric", "samples/s": "samples_per_second"}
        formats = {"samples/s": ",.0f"}
        return "  ".join(
            f"{printable(label)} {number(self.seen[key], formats.get(label, '.4f'))}"
            for label, key in shown.items()
            if key in self.seen
        )

    def _print(self) -> None:
        self.printed = time.monotonic()
        self._printed_step, before = self.step, self._printed_step
        if self.step == before:  # final evaluations come after the line of the last step
            return
        total, ending = "", ""
        if self.total_steps is not None:
            total = f"/{self.total_steps:,}"
            rate = (self.step - self.first_step) / max(1e-9, self.printed - self.began)
            left = (self.total_steps - self.step) / rate if rate > 0 else 0.0
            ending = f"  {duration(left)} left" if left > 0 else ""
        print(f"step {self.step:,}{total}  {self._values()}{ending}", file=sys.stderr, flush=True)


def describe_device(hardware: Mapping[str, Any]) -> str:
    """Return the name of the device."""
    return str(hardware.get("gpu") or hardware.get("cpu") or hardware.get("device") or "an unknown device")


def duration(seconds: float) -> str:
    """Return seconds as 42 s, 3 min 5 s or 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(count: float | None) -> str:
    """Return bytes as B, KiB, MiB or GiB."""
    if count is None:
        return "?"
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def number(value: float | None, form: str = ".4f") -> str:
    """Return a formatted number, or a dash for None. Numbers too small for the format show three digits."""
    if value is None:
        return "-"
    return f"{value:.3g}" if 0 < abs(value) < 1e-3 and form.endswith("f") else format(value, form)
