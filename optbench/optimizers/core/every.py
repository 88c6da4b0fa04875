"""Work that an optimizer does every few steps."""

from __future__ import annotations

from collections.abc import Sequence

from optbench.optimizers.core.rule import ParamGroup


def every_interval(groups: Sequence[ParamGroup]) -> bool:
    """Count a step in every group's "steps"; return True every "interval" steps, from the first on.

    The counter is in the groups so that the state dict carries it."""
    due = groups[0]["steps"] % groups[0]["interval"] == 0
    for group in groups:
        group["steps"] += 1
    return due
