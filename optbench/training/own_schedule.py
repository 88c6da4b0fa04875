"""A schedule of the user's own: a function of the progress.

    def power(progress, *, exponent=2.0):    # progress = steps done / all steps, from 0 up to, but without, 1
        return (1 - progress) ** exponent    # the learning rate as a share of its peak

Its other parameters are settings, `schedule.exponent`. It sees the whole progress: a warm-up is its own affair.
"""

from __future__ import annotations

import math
from typing import Any

from optbench.config import imports
from optbench.config.signature import own_node, required_of
from optbench.config.trees import Node
from optbench.config.user_code import user_error
from optbench.errors import ConfigError
from optbench.training.schedules import Factor

GRID = 1000  # points at which a schedule is tried before training


def describe(path: str) -> Node:
    """Return the configuration node of a function of the progress: its other parameters with their defaults."""
    if isinstance(imports.load(path), type) or required_of(path) < 1:
        raise ConfigError(
            f"{path} is no schedule", "Give a function of the progress: def f(progress): return 1 - progress"
        )
    return own_node(path, given=1)


def factor_of(path: str, steps: int, **settings: Any) -> Factor:
    """Return `factor(step)`: from the user's function of the progress, or from a function like those of schedules.py.

    The latter takes no positional arguments. Raises ConfigError for a function that fails anywhere in the budget."""
    target = imports.load(path)
    if not required_of(path):
        return target(steps=steps, **settings)

    def factor(step: int) -> float:
        return share(path, target, step / steps, settings)

    found = [factor(step) for step in sorted({i * (steps - 1) // GRID for i in range(GRID + 1)})]
    if not any(found):
        raise ConfigError(f"{path} is 0 at every progress: nothing would be learned")
    return factor


def share(path: str, target: Any, progress: float, settings: dict[str, Any]) -> float:
    """Return the user's value at a progress. Raises ConfigError unless it is a finite number, 0 or more."""
    where = f"schedule {path} at progress {progress:.3g}"
    try:
        value = target(progress, **settings)
    except Exception as error:
        raise user_error(where, error) from error
    try:
        number = math.nan if isinstance(value, (bool, str)) else float(value)
    except (TypeError, ValueError, RuntimeError):
        number = math.nan
    if not 0 <= number < math.inf:
        kind = "" if isinstance(value, (int, float)) else f" ({type(value).__name__})"
        raise ConfigError(
            f"{where} returns {str(value)[:60]}{kind}", "Return the share of the peak learning rate, e.g. 0.5"
        )
    return number
