"""What optimizers do every so many steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def count_and_see(groups: Sequence[dict[str, Any]]) -> bool:
    """Count a step in every group's "steps"; whether something is due in it: every "interval" steps, from the first
    on. The counter is in the groups so that it is saved with them."""
    due = groups[0]["steps"] % groups[0]["interval"] == 0
    for group in groups:
        group["steps"] += 1
    return due
