"""The distance of an implementation's trajectory from the paper's."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from optbench.checks.papers import Array


@dataclass(frozen=True)
class Case:
    """The circumstances of a comparison."""

    shape: tuple[int, ...]
    decay: float
    schedule: str = ""
    """The name of the learning rate's schedule; "" for a constant learning rate."""

    def __str__(self) -> str:
        scheduled = f"scheduled: {self.schedule}, " if self.schedule else ""
        return f"{scheduled}shape {self.shape}".replace(",)", ")") + f", weight decay {self.decay:g}"


@dataclass(frozen=True)
class Deviation:
    """The distance of two trajectories from one start, as a share of the farthest distance from that start."""

    case: Case
    steps: int
    first_step: int | None
    """The first step (from 1) beyond the tolerance; None if there is none."""
    largest: float
    first_ratio: float | None
    """Length of the first move divided by the paper's; None if the paper's first move is zero."""

    def __str__(self) -> str:
        ratio = self.first_ratio
        first = "" if ratio is None or abs(ratio - 1) < 1e-3 else f"; first step {ratio:.3g}x the paper's"
        if self.first_step is None:
            return f"{self.case}: equal to {self.largest:.1e}"
        return f"{self.case}: differs from step {self.first_step} of {self.steps} on, by {self.largest:.2g}{first}"


def deviation(case: Case, start: Array, ours: Sequence[Array], theirs: Sequence[Array], tolerance: float) -> Deviation:
    """Return the deviation of our trajectory from the paper's."""
    reach = max(float(np.abs(values - start).max()) for values in theirs)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        distances = np.array([np.abs(a - b).max() for a, b in zip(ours, theirs, strict=True)]) / (reach or 1.0)
    beyond = np.flatnonzero(~(distances <= tolerance))  # nan counts as beyond
    moved = next((t for t, values in enumerate(theirs) if np.any(values != start)), 0)
    lengths = [float(np.linalg.norm(values[moved] - start)) for values in (ours, theirs)]
    ratio = lengths[0] / lengths[1] if lengths[1] > 0 else None
    first_step = int(beyond[0]) + 1 if len(beyond) else None
    return Deviation(case, len(ours), first_step, float(distances.max()), ratio)
