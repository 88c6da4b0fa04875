"""Learning-rate schedules: the learning rate at a step as a share of its peak, a pure function of the step.

Each function takes the budget and its settings (conf/schedule/NAME.yaml) and returns `factor(step)` for steps
0 .. steps-1. Schedules have no state, so a resumed run needs none.
"""

from __future__ import annotations

import math
from collections.abc import Callable

Factor = Callable[[int], float]


def steps_of(length: float, steps: int) -> int:
    """Return a length in steps, given as a share of the budget (below 1) or in steps (1 or more)."""
    return round(length * steps) if length < 1 else round(length)


def with_warmup(warmup: float, steps: int, after: Factor) -> Factor:
    """Return a linear rise over the warm-up, whose first step is above zero, followed by `after(step)`."""
    rise = min(steps_of(warmup, steps), steps)
    return lambda step: (step + 1) / (rise + 1) if step < rise else after(step)


def progress(step: int, begin: int, end: int) -> float:
    """Return the position of a step in [begin, end] as a share, clipped to [0, 1]."""
    return min(1.0, max(0.0, (step - begin) / max(1, end - begin)))


def constant(*, steps: int, warmup: float) -> Factor:
    """Return factor = 1."""
    return with_warmup(warmup, steps, lambda step: 1.0)


def cosine(*, steps: int, warmup: float, floor: float) -> Factor:
    """Return factor = floor + (1 - floor) (1 + cos(pi p)) / 2, with p the progress after the warm-up."""
    begin = steps_of(warmup, steps)
    after = lambda step: floor + (1 - floor) * (1 + math.cos(math.pi * progress(step, begin, steps))) / 2  # noqa: E731
    return with_warmup(warmup, steps, after)


def linear(*, steps: int, warmup: float, floor: float) -> Factor:
    """Return factor = 1 - (1 - floor) p, with p the progress after the warm-up."""
    begin = steps_of(warmup, steps)
    return with_warmup(warmup, steps, lambda step: 1 - (1 - floor) * progress(step, begin, steps))


def wsd(*, steps: int, warmup: float, decay: float, floor: float) -> Factor:
    """Return factor = 1 until the decay begins, then 1 - (1 - floor) p, with p the progress of the decay."""
    begin = max(steps_of(warmup, steps), steps - steps_of(decay, steps))
    return with_warmup(warmup, steps, lambda step: 1 - (1 - floor) * progress(step, begin, steps))


def inverse_sqrt(*, steps: int, warmup: float) -> Factor:
    """Return factor = sqrt(w / (step + 1)), with w the length of the warm-up in steps, at least 1."""
    begin = max(1, steps_of(warmup, steps))
    return with_warmup(warmup, steps, lambda step: min(1.0, math.sqrt(begin / (step + 1))))
