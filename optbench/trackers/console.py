"""Live progress on stderr, and the summary of an ended run.

On a terminal a bar with loss, metric, samples/s and the time left; elsewhere one plain line every few seconds.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optbench.contracts import Sink
from optbench.records import Record, Split

PLAIN_SECONDS = 5.0  # between two plain lines


class Console(Sink):
    """A Sink for people."""

    def __init__(
        self, total_steps: int, batch_size: int, *, enabled: bool = True, plain_seconds: float = PLAIN_SECONDS
    ) -> None:
        self.total_steps, self.batch_size, self.enabled = total_steps, batch_size, enabled
        self.plain_seconds = plain_seconds
        self.metric = "metric"
        self.seen: dict[str, float] = {}
        self.step = self.first_step = 0
        self.began = self.printed = time.monotonic()
        self._progress: Any = None
        self._printed_step = -1

    def start(self, run: Mapping[str, Any]) -> None:
        """Show where the run starts."""
        self.metric = str(run.get("metric", "metric"))
        self.step = self.first_step = (run.get("resumed_from_steps") or [0])[-1]
        self.began = self.printed = time.monotonic()
        if not self.enabled:
            return
        print(f"{run['run_id']} on {describe_device(run.get('hardware', {}))}", file=sys.stderr, flush=True)
        if sys.stderr.isatty():
            self._progress = self._bar()
            self._progress.start()

    def _bar(self) -> Any:
        from rich.console import Console as Terminal
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        progress = Progress(
            BarColumn(24),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
            TextColumn("{task.description}"),
            TimeRemainingColumn(compact=True),
            console=Terminal(stderr=True),
            refresh_per_second=4,
            speed_estimate_period=20,
        )
        self._task = progress.add_task("", total=self.total_steps, completed=self.first_step)
        return progress

    def tick(self, step: int) -> None:
        """A sign of life between records."""
        self.step = step
        if self._progress is not None:
            self._progress.update(self._task, completed=step)
        elif self.enabled and time.monotonic() - self.printed >= self.plain_seconds:
            self._print()

    def log(self, record: Record) -> None:
        """Show the newest values."""
        self.seen.update({key: value for key, value in record.values.items() if isinstance(value, (int, float))})
        self.step = record.step
        if self._progress is not None:
            self._progress.update(self._task, completed=record.step, description=self._values())
        elif self.enabled and (record.split is Split.TEST or time.monotonic() - self.printed >= self.plain_seconds):
            self._print()

    def finish(self, result: Mapping[str, Any] | None) -> None:
        """Give the terminal back."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _values(self) -> str:
        shown = {"loss": "train_loss", f"val {self.metric}": "val_metric", "samples/s": "samples_per_second"}
        formats = {"samples/s": ",.0f"}
        return "  ".join(
            f"{label} {number(self.seen[key], formats.get(label, '.4f'))}"
            for label, key in shown.items()
            if key in self.seen
        )

    def _print(self) -> None:
        self.printed = time.monotonic()
        self._printed_step, before = self.step, self._printed_step
        if self.step == before:  # evaluations at the end, of a step that has its line
            return
        rate = (self.step - self.first_step) / max(1e-9, self.printed - self.began)
        left = (self.total_steps - self.step) / rate if rate > 0 else None
        ending = f"  {duration(left)} left" if left is not None and self.step < self.total_steps else ""
        print(f"step {self.step:,}/{self.total_steps:,}  {self._values()}{ending}", file=sys.stderr, flush=True)


def describe_device(hardware: Mapping[str, Any]) -> str:
    """The device in words."""
    return str(hardware.get("gpu") or hardware.get("cpu") or hardware.get("device") or "an unknown device")


def duration(seconds: float) -> str:
    """Seconds as 42 s, 3 min 5 s or 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(count: float | None) -> str:
    """Bytes as B, KiB, MiB or GiB."""
    if count is None:
        return "?"
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def number(value: float | None, form: str = ".4f") -> str:
    """A number, or a dash where there is none; one too small for the form by its first digits."""
    if value is None:
        return "-"
    return f"{value:.3g}" if 0 < abs(value) < 1e-3 and form.endswith("f") else format(value, form)


def summary_lines(run: Mapping[str, Any], result: Mapping[str, Any], folder: Path) -> list[str]:
    """What came out of a run, in a few lines."""
    final, best, reached = result["final"], result.get("best"), result.get("target")
    metric = result["metric"] or "metric"
    trivial = f"   trivial {number(final['test_trivial'])}" if final.get("test_trivial") is not None else ""
    reason = f": {result['reason']}" if result.get("reason") else ""
    lines = [f"{result['run_id']}  {result['status']}{reason}"]
    width = max(12, len(metric))
    lines.append(
        f"  {metric:<{width}} test {number(final['test_metric'])}   validation {number(final['val_metric'])}   "
        f"train {number(final['train_metric'])}{trivial}"
    )
    lines.append(
        f"  {'loss':<{width}} test {number(final['test_loss'])}   validation {number(final['val_loss'])}   "
        f"train {number(final['train_loss'])}"
    )
    if best:
        lines.append(f"  {'best':<12} validation {metric} {number(best['val_metric'])} at step {best['step']:,}")
    if reached:
        where = f"first passed at step {reached['step']:,}" if reached["step"] is not None else "not reached"
        lines.append(f"  {'target':<12} {metric} {reached['value']:g}: {where}")
    measured = time_lines(result) + memory_lines(result) if result["wall_seconds"] is not None else []
    return lines + measured + note_lines(run, result, folder)


def time_lines(result: Mapping[str, Any]) -> list[str]:
    """Where the time went, and how fast it was."""
    seconds, speed = result["seconds"], result["throughput"]
    total = sum(seconds.values()) or 1.0
    shares = sorted(((value / total, name) for name, value in seconds.items()), reverse=True)
    split = ", ".join(f"{name} {share:.0%}" for share, name in shares if share >= 0.01)
    lines = [
        f"  {'time':<12} {duration(result['wall_seconds'])}, training {duration(result['train_seconds'])} ({split})",
        f"  {'speed':<12} {number(speed['samples_per_second'], ',.0f')} samples/s, step "
        f"{number(speed['step_ms_median'], '.2f')} ms (95 %: {number(speed['step_ms_p95'], '.2f')} ms)",
    ]
    if speed.get("flops_per_second"):
        use = f", {speed['utilisation']:.0%} of the device's peak" if speed.get("utilisation") else ""
        lines[-1] += f", {speed['flops_per_second'] / 1e9:,.1f} GFLOP/s{use}"
    return lines


def memory_lines(result: Mapping[str, Any]) -> list[str]:
    """Bytes by kind."""
    held = result["bytes"]
    state = sum(held["optimizer_state"].values())
    peak = held.get("peak_allocated")
    most = f"peak {size(peak)} on the device" if peak is not None else f"peak {size(held.get('resident'))} resident"
    return [f"  {'memory':<12} parameters {size(held['parameters'])}, optimizer state {size(state)}, {most}"]


def note_lines(run: Mapping[str, Any], result: Mapping[str, Any], folder: Path) -> list[str]:
    """What a reader must know besides, and where the rest is."""
    notes = []
    if run:
        engine = f" ({run['engine']})" if run["engine"] else ""
        over = "".join(f", {name}" for name in run.get("modifiers", ()))
        second = run.get("config", {}).get("optimizer_d")
        other = f"; second player: {second['name']} by {second['impl']}" if second else ""
        notes.append(f"  {'optimizer':<12} {run['algorithm']} by {run['implementation']}{engine}{over}{other}")
    if result.get("resumed_from_steps"):
        notes.append(f"  {'resumed':<12} from step {', '.join(f'{step:,}' for step in result['resumed_from_steps'])}")
    if result.get("data_verified") is False:
        notes.append(f"  {'data':<12} NOT VERIFIED: its checksum is not known (data.verify=off)")
    return [*notes, f"  {'results':<12} {folder}"]
