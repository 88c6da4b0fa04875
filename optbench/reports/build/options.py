"""The options of a report from what is typed."""

from __future__ import annotations

from collections.abc import Sequence

from optbench.config.values import shown
from optbench.errors import ConfigError
from optbench.reports.build.workload import ReportOptions
from optbench.reports.comparable import check_kinds
from optbench.reports.statistics.verdicts import DEFAULT_MARGIN, parse_margin


def options_of(
    margin: str = DEFAULT_MARGIN,
    mix: Sequence[str] = (),
    reference: str = "adamw",
    level: float = 0.95,
    *,
    records: bool = True,
) -> ReportOptions:
    """Return the options of a report. Raises ConfigError for one that cannot be used."""
    if not (isinstance(level, (int, float)) and 0.5 <= level < 1):
        raise ConfigError(f"--level {shown(level)}: expected a confidence from 0.5 to below 1, e.g. 0.95")
    return ReportOptions(
        level=level, margin=parse_margin(margin), mix=check_kinds(mix), reference=reference, records=records
    )
