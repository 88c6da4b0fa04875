"""Benchmarks of optbench itself: one file per command `optbench bench NAME`.

Each file has `measure(config, **settings)`, which returns a report as plain data, and `lines(report)`, its text. The
keyword arguments of `measure` are the bench's settings on the command line, e.g. `rounds=5`. A file states the question
that it answers. Packages contain parts of benches and are not commands.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

Report = dict[str, Any]
"""Plain data for --json."""


def goal_line(report: Report) -> str:
    """Return the goal, and whether it is met."""
    return f"  goal        {report['goal']}: {'met' if report['goal_holds'] else 'not met'}"


def comma_separated(text: str) -> list[str]:
    """Return the names in `text`."""
    return [name.strip() for name in text.split(",") if name.strip()]


def synchronizer(device: torch.device) -> Callable[[], None]:
    """Return a function that waits for the device's work: a no-op on the CPU."""
    import torch

    return functools.partial(torch.cuda.synchronize, device) if device.type == "cuda" else lambda: None
