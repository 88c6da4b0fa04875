"""Time by phase. Exactly one phase is current at any moment, so that the phases add up to the total.

On a CPU a phase boundary reads the monotonic clock (about 0.2 microseconds). On CUDA it records an event in the stream,
without synchronisation; `resolve` reads the elapsed times when a record is taken.
"""

from __future__ import annotations

import functools
import statistics
import time
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from optbench.training.plan import State

if TYPE_CHECKING:
    import torch

PHASES = ("data", "forward", "backward", "optimizer", "evaluation", "checkpoint", "compile", "logging", "other")
DATA, FORWARD, BACKWARD, OPTIMIZER, EVALUATION, CHECKPOINT, COMPILE, LOGGING, OTHER = range(len(PHASES))


class Clock:
    """Seconds by phase, measured by the CPU's clock. Call `to(phase)` at the beginning of a phase."""

    def __init__(self) -> None:
        self._seconds = [0.0] * len(PHASES)
        self._phase = OTHER
        self._since = self._started = time.perf_counter()
        self._wall_before = 0.0
        self._step_began = 0.0
        self.step_seconds = array("f")

    def begin(self) -> None:
        """Start, or restart after a resume; time before this call does not count."""
        self._phase = OTHER
        self._since = self._started = time.perf_counter()

    def add(self, phase: int, seconds: float) -> None:
        """Count time from before `begin` in a phase."""
        self._seconds[phase] += seconds
        self._wall_before += seconds

    def to(self, phase: int) -> None:
        """End the current phase and begin this one."""
        now = time.perf_counter()
        self._seconds[self._phase] += now - self._since
        self._since = now
        self._phase = phase

    @contextmanager
    def during(self, phase: int) -> Iterator[None]:
        """Enter a phase for a block, then return to the previous phase."""
        before = self._phase
        self.to(phase)
        try:
            yield
        finally:
            self.to(before)

    def end_step(self) -> None:
        """Mark the end of a training step; call it between phases."""
        total = self._train_seconds()
        self.step_seconds.append(total - self._step_began)
        self._step_began = total

    def resolve(self) -> None:
        """Update the times to the last boundary."""

    def _train_seconds(self) -> float:
        seconds = self._seconds
        return seconds[DATA] + seconds[FORWARD] + seconds[BACKWARD] + seconds[OPTIMIZER]

    @property
    def train_seconds(self) -> float:
        """Seconds of data + forward + backward + optimizer, as of the last `resolve`."""
        return self._train_seconds()

    @property
    def wall_seconds(self) -> float:
        """All time since the start, including sessions before a resume; reads the clock."""
        return self._wall_before + time.perf_counter() - self._started

    def seconds(self) -> dict[str, float]:
        """Return seconds by phase name, as of the last `resolve`."""
        return dict(zip(PHASES, self._seconds, strict=True))

    def state_dict(self) -> State:
        """Return the state for a checkpoint."""
        import torch

        self.to(self._phase)
        self.resolve()
        return {
            "seconds": list(self._seconds),
            "wall_seconds": self.wall_seconds,
            "step_began": self._step_began,
            "step_seconds": torch.tensor(self.step_seconds, dtype=torch.float32),
        }

    def load_state_dict(self, state: State) -> None:
        """Load a checkpoint's state. Time after that checkpoint does not count, because its steps are repeated."""
        self._seconds = list(state["seconds"])
        self._wall_before = state["wall_seconds"]
        self._step_began = state["step_began"]
        self.step_seconds = array("f", state["step_seconds"].tolist())
        self.begin()


class CudaClock(Clock):
    """A clock that measures by CUDA events on a device's current stream."""

    def __init__(self, device: torch.device) -> None:
        import torch  # a script's own clock runs without it

        super().__init__()
        self._stream = functools.partial(torch.cuda.current_stream, device)
        self._event = functools.partial(torch.cuda.Event, enable_timing=True)
        self._pool: list[torch.cuda.Event] = []
        self._boundaries: list[tuple[torch.cuda.Event, int]] = []
        self._step_ends: list[int] = []
        self.begin()

    def begin(self) -> None:
        """Start, or restart after a resume; time before this call does not count."""
        super().begin()
        self._pool.extend(event for event, _ in self._boundaries)
        self._boundaries, self._step_ends = [], []
        self.to(OTHER)

    def to(self, phase: int) -> None:
        """End the current phase and begin this one, on the device's timeline."""
        event = self._pool.pop() if self._pool else self._event()
        event.record(self._stream())
        self._boundaries.append((event, phase))
        self._phase = phase

    def end_step(self) -> None:
        """Mark the end of a training step; its duration is known after the next `resolve`."""
        self._step_ends.append(len(self._boundaries) - 1)

    def resolve(self) -> None:
        """Wait for the last boundary and read all intervals since the last call."""
        self.to(self._phase)
        boundaries, ends = self._boundaries, set(self._step_ends)
        boundaries[-1][0].synchronize()
        for index in range(len(boundaries)):
            if index:
                before, phase = boundaries[index - 1]
                self._seconds[phase] += before.elapsed_time(boundaries[index][0]) / 1e3
            if index in ends:
                super().end_step()
        self._pool.extend(event for event, _ in boundaries[:-1])
        self._boundaries, self._step_ends = boundaries[-1:], []


def clock_for(device: torch.device) -> Clock:
    """Return the clock for a device."""
    return CudaClock(device) if device.type == "cuda" else Clock()


def step_milliseconds(seconds: Iterable[float]) -> dict[str, float | None]:
    """Return median and 95th percentile of step times."""
    milliseconds = sorted(1e3 * value for value in seconds)
    if not milliseconds:
        return {"step_ms_median": None, "step_ms_p95": None}
    p95 = milliseconds[min(len(milliseconds) - 1, int(0.95 * len(milliseconds)))]
    return {"step_ms_median": statistics.median(milliseconds), "step_ms_p95": p95}
