"""What a check finds."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

BY_DEFAULT = "its defaults are not what the paper's file pins"  # what is said of a library as it ships
PASS, DIFFERS, NOT_APPLICABLE = "pass", "differs", "not applicable"


@dataclass(frozen=True)
class Finding:
    """The outcome of one check: PASS, DIFFERS or NOT_APPLICABLE, with what was seen.

    `declared` is what the optimizer's file says of a difference; a difference so declared is expected."""

    check: str
    state: str
    detail: str
    declared: str = ""

    @property
    def holds(self) -> bool:
        """Whether this is as it should be: a pass that was promised, or a difference that was declared."""
        return self.state == NOT_APPLICABLE or (self.state == DIFFERS) == bool(self.declared)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {**dataclasses.asdict(self), "holds": self.holds}


def passes(detail: str = "") -> tuple[str, str]:
    """A check that found what it should."""
    return PASS, detail


def differs(detail: str) -> tuple[str, str]:
    """A check that found something else."""
    return DIFFERS, detail


def not_applicable(reason: str) -> tuple[str, str]:
    """A check that has nothing to look at."""
    return NOT_APPLICABLE, reason
