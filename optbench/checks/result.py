"""The result of a conformance check."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

BY_DEFAULT = "the library's defaults differ from the pinned settings"
"""The declared difference of every library at its own defaults."""
PASS, DIFFERS, NOT_APPLICABLE = "pass", "differs", "not applicable"


class Observation(NamedTuple):
    """The result of a check: PASS, DIFFERS or NOT_APPLICABLE, and the details."""

    state: str
    detail: str


@dataclass(frozen=True)
class CheckResult:
    """The result of the check named `check`."""

    check: str
    state: str
    """PASS, DIFFERS or NOT_APPLICABLE."""
    detail: str
    declared: str = ""
    """The difference that the optimizer's file declares for this check, or ""."""

    @property
    def holds(self) -> bool:
        """True for an expected result: a pass without a declared difference, or a declared difference."""
        return self.state == NOT_APPLICABLE or (self.state == DIFFERS) == bool(self.declared)

    def row(self) -> dict[str, str]:
        """Return the row of a table."""
        declared = f" [declared: {self.declared}]" if self.declared else ""
        return {"check": self.check, "state": self.state, "detail": self.detail + declared}

    def as_dict(self) -> dict[str, str | bool]:
        """Return plain data for JSON."""
        return {**dataclasses.asdict(self), "holds": self.holds}


def passes(detail: str) -> Observation:
    """Return a pass."""
    return Observation(PASS, detail)


def differs(detail: str) -> Observation:
    """Return a difference."""
    return Observation(DIFFERS, detail)


def not_applicable(reason: str) -> Observation:
    """Return that the check does not apply."""
    return Observation(NOT_APPLICABLE, reason)
