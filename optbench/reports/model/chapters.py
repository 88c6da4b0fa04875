"""A report as a document: the one place that lists its chapters and sections."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from optbench.reports.model.content import Report, Workload
from optbench.reports.model.document import ACROSS, OVERVIEW, Chapter, Document, Gallery, Section, present
from optbench.reports.model.numbers import short
from optbench.reports.model.overview import Overview, overview
from optbench.reports.model.sections import (
    axes,
    costs,
    curves,
    equivalent,
    leaderboard,
    regret,
    sensitivity,
    targets,
    tuning,
    verdicts,
    whole,
)
from optbench.reports.model.sections.across import across
from optbench.reports.model.table import capital


def document(report: Report) -> Document:
    """Return the report in reading order."""
    first = overview(report)
    return Document(report, first, tuple(chapters(report, first)), contenders(report))


def chapters(report: Report, first: Overview) -> Iterator[Chapter]:
    """Yield the chapters in reading order."""
    if report.claim:
        yield whole.claim(report.claim)
    starts = figure_starts(report.workloads)
    for number, (workload, start) in enumerate(zip(report.workloads, starts, strict=True), 1):
        yield workload_chapter(workload, f"w{number}", start, report, first)
    if report.across:
        yield across(report.across)
    yield from axes.chapters(report.axes)
    yield from whole.closing(report, first.further)


def workload_chapter(workload: Workload, key: str, start: str, report: Report, first: Overview) -> Chapter:
    """Return everything of one workload. `start`: what the names of its figures start with."""
    rest = [sentence for sentence in workload.answer if sentence not in first.answer]
    return Chapter(
        key,
        workload.name,
        tuple(sections(workload, report.level)),
        facts=facts(workload),
        answer=tuple(unnamed(sentence, workload) for sentence in rest),
        warnings=workload.warnings,
        figures_start=start,
        labels={"workload": workload.name},
    )


def sections(workload: Workload, level: float) -> Iterator[Section]:
    """Yield the sections of a workload in reading order."""
    yield leaderboard.leaderboard(workload, level)
    yield verdicts.verdicts(workload)
    yield curves.curves(workload)
    yield tuning.tuning_budget(workload)
    yield tuning.total_cost(workload)
    yield regret.regret(workload)
    yield sensitivity.sensitivity(workload)
    yield sensitivity.heat_maps(workload)
    yield targets.to_target(workload)
    yield targets.ladder(workload)
    yield equivalent.equivalent_budget(workload)
    yield costs.resources(workload)
    yield costs.trade_offs(workload)
    yield costs.stability(workload)
    yield Section("samples", "Samples", present(Gallery(workload.pictures) if workload.pictures else None))


def facts(workload: Workload) -> str:
    """Return what was trained towards, in a line."""
    aim = leaderboard.AIMS.get(workload.direction, workload.direction)
    goal = f"; target {short(workload.target)} on validation" if workload.target is not None else ""
    steps, batch = workload.steps, workload.batch_size
    samples = f" of {batch:,} samples" if batch is not None else ""
    budget = f"after {steps:,} steps{samples}" if steps is not None else "at the end of the script's own budget"
    return f"{workload.headline_name} {budget}; {aim}{goal}"


def unnamed(sentence: str, workload: Workload) -> str:
    """Return a sentence without the workload's name before it, as the heading has it."""
    rest = sentence.removeprefix(f"{workload.name}: ")
    return rest if rest.startswith(tuple(row.contender for row in workload.rows)) else capital(rest)


def contenders(report: Report) -> tuple[str, ...]:
    """Return the contenders by name."""
    found = {row.contender for workload in report.workloads for row in workload.rows}
    found |= {curve.contender for workload in report.workloads for curve in (*workload.bands, *workload.curves)}
    return tuple(sorted(found | {run.contender for run in report.runs}))


def figure_starts(workloads: Sequence[Workload]) -> list[str]:
    """Return what the names of each workload's figures start with: no two the same."""
    found: list[str] = []
    for workload in workloads:
        start = slug(workload.name)
        while start in (*found, ACROSS, OVERVIEW):
            start += "-x"
        found.append(start)
    return found


def slug(name: str) -> str:
    """Return a name as part of a file's name."""
    kept = "".join(c if c.isascii() and c.isalnum() else "-" for c in name)
    return "-".join(part for part in kept.split("-") if part).lower() or "workload"
