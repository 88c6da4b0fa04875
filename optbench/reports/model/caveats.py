"""What weakens a report's answer, the weightiest first, over all workloads together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from optbench.reports.model.content import Report
from optbench.reports.model.numbers import counted
from optbench.reports.model.rows import Row
from optbench.reports.model.table import capital

FEW_SEEDS = 5
LISTED = 3  # contenders named in a sentence
Condition = Callable[[Row], bool]


def caveats(report: Report) -> list[str]:
    """Return a sentence for each kind of caveat."""
    return list(sentences(report))


def sentences(report: Report) -> Iterator[str]:
    """Yield the caveats."""
    yield from of_rows(report, "Not shown to beat the trivial answer", lambda row: row.trained is False)
    if report.open_runs:
        yield f"{counted(report.open_runs, 'run')} {'has' if report.open_runs == 1 else 'have'} not ended yet."
    yield from of_rows(report, "No final run has ended yet", waits)
    yield from (f"Mixed on request: {line}" for line in report.mixed)
    yield from noted(report)
    yield from given(report)
    yield from of_rows(report, "Final seeds failed", lambda row: row.failed > 0)
    yield from of_rows(
        report, "Undertuned, as the best value lies on an edge of the search range", lambda row: bool(row.edges)
    )
    few = f"Fewer than {FEW_SEEDS} final seeds, so that only large differences can be seen"
    yield from of_rows(report, few, lambda row: 0 < len(row.values) + row.failed < FEW_SEEDS)
    yield from of_rows(report, "Not tuned here", lambda row: not row.trials)
    if any(len({row.trials for row in workload.rows if not row.waiting}) > 1 for workload in report.workloads):
        yield "The contenders were tuned with different numbers of trials."
    if report.failures:
        counts = Counter(failure.status for failure in report.failures)
        listed = ", ".join(f"{count} {status}" for status, count in counts.items())
        yield f"{counted(len(report.failures), 'run')} failed: {listed}."
    if report.skipped:
        files = counted(len(report.skipped), "file or folder", "files or folders")
        yield f"{files} could not be read and {'was' if len(report.skipped) == 1 else 'were'} left out."


def waits(row: Row) -> bool:
    """Return True for a contender of whose final runs none has ended."""
    return row.waiting > 0 and not row.values and not row.failed


def noted(report: Report) -> Iterator[str]:
    """Yield what training scripts leave open, and in how many runs of whom."""
    for note in report.notes:
        listed = cut([f"{counted(count, 'run')} of {who}" for who, count in note.runs.items()])
        yield f"{capital(note.text)}: {listed}."


def given(report: Report) -> Iterator[str]:
    """Yield what single contenders were given."""
    found = {(row.contender, words) for workload in report.workloads for row in workload.rows for words in row.given}
    if found:
        listed = cut([f"{who} {words}" for who, words in sorted(found)])
        yield f"Set for one contender alone, neither searched nor set for the others: {listed}."


def of_rows(report: Report, what: str, holds: Condition) -> Iterator[str]:
    """Yield who meets a condition, and on which workloads where it is not all of them."""
    found: dict[str, list[str]] = {}
    for workload in report.workloads:
        for row in workload.rows:
            if holds(row):
                found.setdefault(row.contender, []).append(workload.name)
    everybody = {row.contender for workload in report.workloads for row in workload.rows}
    if not found:
        return
    all_over = all(len(where) == len(report.workloads) for where in found.values())
    if all_over and len(found) == len(everybody) > 1:
        yield f"{what}: all contenders."
        return
    yield f"{what}: {cut([who + on(where, len(report.workloads)) for who, where in found.items()])}."


def on(where: list[str], workloads: int) -> str:
    """Return the workloads in words; empty where it is all of them."""
    if len(where) == workloads:
        return ""
    return f" ({where[0]})" if len(where) == 1 else f" (on {len(where)} of {workloads} workloads)"


def cut(names: list[str]) -> str:
    """Return the first names, and how many more there are."""
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")
