"""What a running script has told: its events become records, and the facts of the result."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from optbench.config import RunConfig
from optbench.records import Record, Split
from optbench.scripts.commands import placeholders
from optbench.scripts.job import Event, EventReader, numbers_in
from optbench.scripts.names import RESERVED, is_name, split_of
from optbench.training.clock import PHASES

TRAINING = PHASES[:4]  # data, forward, backward, optimizer
MOST_STEPS = 2**53
BUDGET = ("steps", "batch_size")
"""Keys of the budget: a figure that rests on one is known only if the script reads it."""


@dataclass
class Times:
    """Seconds by phase. Without marked phases, all of a script's time counts as training."""

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(PHASES, 0.0))
    marked: bool = False

    @classmethod
    def of(cls, event: Event) -> Times:
        """Return the times that an event holds."""
        found = numbers_in(event.get("seconds"))
        usable = {name: found.get(name, 0.0) for name in PHASES}
        return cls({n: float(v) if 0 <= v < math.inf else 0.0 for n, v in usable.items()}, bool(event.get("marked")))

    def __add__(self, other: Times) -> Times:
        return Times({name: self.seconds[name] + other.seconds[name] for name in PHASES}, self.marked or other.marked)

    @property
    def wall(self) -> float:
        """All seconds."""
        return sum(self.seconds.values())

    @property
    def train(self) -> float:
        """Seconds of training."""
        return sum(self.seconds[name] for name in TRAINING) if self.marked else self.wall


@dataclass
class Progress:
    """Progress of a script, over all its starts."""

    config: RunConfig
    before: Times = field(default_factory=Times)
    """Times of earlier starts, up to where this one began."""
    now: Times = field(default_factory=Times)
    attached: bool = False
    used: dict[str, Event] = field(default_factory=dict)
    step: int = 0
    """The last step that the script named, or its epoch or row."""
    counts_steps: bool = True
    """False for a script whose rows are numbered by epochs, or not at all."""
    steps: int | None = None
    """Optimizer steps done; None if the script doesn't say."""
    told_samples: int | None = None
    """Samples consumed, as the script itself counts them."""
    evaluations_before: int = 0
    """Gradient evaluations of earlier starts, up to where this one began."""
    evaluations_counted: int | None = None
    """Those of this start; None unless the optimizer counts them."""
    latest: dict[str, float] = field(default_factory=dict)
    """Values of the latest validation."""
    best: dict[str, float] = field(default_factory=dict)
    reached: dict[str, float | None] = field(default_factory=dict)
    """Step, samples and train_seconds at which the target was reached."""
    finish: Event | None = None
    error: Event | None = None
    speed: Mapping[str, float | None] = field(default_factory=dict)
    diverged: str = ""

    @property
    def direction(self) -> str:
        """max or min."""
        return str(self.config.model.settings["direction"])

    @property
    def times(self) -> Times:
        """Times of all starts."""
        return self.before + self.now

    @cached_property
    def _filled(self) -> set[str]:
        return {key.partition(".")[0] for key in placeholders(self.config)}

    @property
    def read(self) -> set[str]:
        """The keys that the script has read, or that its arguments are filled with."""
        return {*self.used, *self._filled}

    @property
    def unread(self) -> list[str]:
        """The keys of the budget that the script has not read."""
        return [key for key in BUDGET if key not in self.read]

    @property
    def samples(self) -> int | None:
        """Samples consumed; None if the script neither counts them nor reads the batch size."""
        if self.told_samples is not None or self.steps is None or "batch_size" in self.unread:
            return self.told_samples
        return self.steps * self.config.batch_size

    @property
    def gradient_evaluations(self) -> int | None:
        """Gradient evaluations: as many a step as the optimizer declares, else those that it has counted."""
        declared = self.config.optimizer.about.get("evaluations")
        if not isinstance(declared, (int, float)) and self.evaluations_counted is not None:
            return self.evaluations_before + self.evaluations_counted
        per_step = 1 if declared is None else declared
        return round(self.steps * per_step) if self.steps is not None and isinstance(per_step, (int, float)) else None

    def take(self, event: Event) -> Iterator[Record]:
        """Note what an event says, and yield its records."""
        kind = event["kind"]
        if "seconds" in event:
            self.now = Times.of(event)
            self.evaluations_counted = whole(event.get("evaluations"))
        if kind == "used":
            self.used[str(event.get("name"))] = event
        elif kind == "log":
            yield from self._records(event)
        elif kind in ("finish", "error"):
            setattr(self, kind, event)
        elif kind == "end":
            self._reach(event)
            self.speed = numbers_in(event.get("speed"))
        self.attached = self.attached or kind == "attach"

    def _records(self, event: Event) -> Iterator[Record]:
        if not self._reach(event):
            return
        parts: dict[Split, dict[str, Any]] = {}
        for name, value in numbers_in(event.get("values")).items():
            if is_name(name) and name not in RESERVED:
                parts.setdefault(split_of(name), {})[name] = value
        if Split.TRAIN in parts:
            parts[Split.TRAIN] |= numbers_in(event.get("speed"))
            loss = parts[Split.TRAIN].get("train_loss", 0.0)
            if not math.isfinite(loss) and not self.diverged:
                self.diverged = f"the training loss is {loss} at step {self.step}"
        for split in sorted(parts):
            if split is Split.VALIDATION:
                self._validated(parts[split], self.times.train)
            yield self._record(split, parts[split])

    def _reach(self, event: Event) -> bool:
        """Note the step of an event; return False if it has none."""
        step = whole(event.get("step"))
        if step is not None:
            self.step, self.told_samples = step, whole(event.get("samples"))
            self.counts_steps = bool(event.get("counts_steps", True))
            self.steps = step if self.counts_steps else None
        return step is not None

    def restore(self, row: Mapping[str, Any]) -> None:
        """Note what a record of an earlier start says."""
        self._reach(row)
        self.evaluations_before = whole(row.get("gradient_evaluations")) or 0
        if row.get("split") == Split.VALIDATION:
            values = {name: value for name, value in numbers_in(dict(row)).items() if name not in RESERVED}
            self._validated(values, float(row.get("train_seconds") or 0.0))

    def _validated(self, values: Mapping[str, float], train_seconds: float) -> None:
        self.latest = dict(values)
        metric = values.get("val_metric")
        if metric is None:
            return
        if not self.best or self.is_better(metric, self.best["val_metric"]):
            self.best = {"step": self.step, **values}
        target = self.config.target
        if target is not None and not self.reached and not self.is_better(target, metric):
            self.reached = {"step": self.step, "samples": self.samples, "train_seconds": train_seconds}

    def is_better(self, a: float, b: float) -> bool:
        """Return True if metric a is better than b. NaN is worse than any number."""
        if b != b:
            return a == a
        return a > b if self.direction == "max" else a < b

    def _record(self, split: Split, values: Mapping[str, Any]) -> Record:
        return Record(
            step=self.step,
            samples=self.samples,
            gradient_evaluations=self.gradient_evaluations,
            split=split,
            train_seconds=self.times.train,
            wall_seconds=self.times.wall,
            values=values,
        )


def whole(value: object) -> int | None:
    """Return a number of steps or samples; None for anything else."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST_STEPS:
        return value
    return None


def times_before(files: Sequence[Path], step: int) -> Times:
    """Return the times of earlier starts up to a step, from their files of events, the oldest first.

    A start counts up to its last record before the step; then the next one went on from there."""
    total = Times()
    began: list[int] = []
    logs: list[list[tuple[int, Times]]] = []
    for file in files:
        events = list(EventReader(file).read())
        began.append(next((whole(e.get("step")) or 0 for e in events if e["kind"] == "begin"), MOST_STEPS))
        logs.append([(whole(e.get("step")) or 0, Times.of(e)) for e in events if e["kind"] == "log"])
    for number, log in enumerate(logs):
        end = min([step, *began[number + 1 :]])  # a later start went on before the end of this one
        known = [times for at, times in log if at < end]
        if known:
            total = total + known[-1]
    return total
