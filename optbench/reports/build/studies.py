"""A report of each study of a folder, and the list of them all."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from optbench.errors import OptbenchError, printable
from optbench.files import read_json_file
from optbench.reports.build.report import build
from optbench.reports.build.workload import ReportOptions
from optbench.reports.model.content import Report
from optbench.reports.model.index import IndexEntry
from optbench.reports.model.overview import overview
from optbench.reports.read.locate import read_studies
from optbench.reports.read.reading import Results
from optbench.reports.read.run_rows import OPEN

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StudyReport:
    """One study with its report, or why it has none."""

    name: str
    folder: Path
    results: Results | None
    report: Report | None
    problem: str = ""


def build_studies(path: Path, options: ReportOptions) -> list[StudyReport]:
    """Return the report of a study, or of each one in a results folder. Raises the first error if none can be made."""
    made: list[StudyReport] = []
    errors: list[OptbenchError] = []
    for folder, found in read_studies(path):
        try:
            if isinstance(found, OptbenchError):
                raise found
            report = build(found, replace(options, command=f"{options.command} {folder}".strip()))
            made.append(StudyReport(printable(folder.name), folder, found, report))
        except OptbenchError as error:
            errors.append(error)
            results = found if isinstance(found, Results) else None
            made.append(StudyReport(printable(folder.name), folder, results, None, error.message))
    if len(errors) == len(made):
        raise errors[0]
    return made


def warn(made: Sequence[StudyReport]) -> None:
    """Log what could not be read or reported."""
    for one in made:
        if one.problem:
            log.warning(f"{one.name}: no report: {one.problem}")
        for path, reason in one.report.skipped if one.report else ():
            log.warning(f"left out: {path}: {reason}")


def first_lines(made: Sequence[StudyReport]) -> list[str]:
    """Return the claim, the answer, the caveats and what to type next; of several studies, a line each."""
    if len(made) > 1:
        return [f"{one.study}: {' '.join(one.answer)}" for one in entries(made)]
    report = made[0].report
    first = overview(report) if report else None
    if first is None:
        return [made[0].problem]
    next_lines = (line for step in first.steps for line in (f"next: {step.reason}", f"  {step.command}"))
    return [*filter(None, [first.claim]), *first.answer, *first.caveats, *next_lines]


def entries(made: Sequence[StudyReport]) -> list[IndexEntry]:
    """Return the list of several studies."""
    return [entry(one) for one in made]


def entry(of: StudyReport) -> IndexEntry:
    """Return a study's line in the list."""
    runs = of.results.runs if of.results else ()
    first = overview(of.report) if of.report else None
    return IndexEntry(
        study=of.name,
        question=question(of),
        claim=of.report.claim.verdict if of.report and of.report.claim else "",
        answer=first.answer if first else (of.problem,),
        date=date_of(of.folder),
        runs=len(runs),
        open_runs=sum(run["status"] == OPEN for run in runs),
        has_report=of.report is not None,
    )


def question(of: StudyReport) -> str:
    """Return a study's title; without one, what is compared on what."""
    settings = of.results.studies[of.name]["settings"] if of.results and of.name in of.results.studies else {}
    runs = of.results.runs if of.results else ()
    compared = [", ".join(sorted({run[column] for run in runs})) for column in ("contender", "workload")]
    return str(settings.get("title") or " on ".join(filter(None, compared)))


def date_of(folder: Path) -> str:
    """Return the day on which the last run began, empty if unknown."""
    latest = max(folder.glob("*/run.json"), key=lambda file: (file.stat().st_mtime_ns, file), default=None)
    try:
        run = read_json_file(latest) if latest else {}
    except (OSError, ValueError):
        return ""
    return str(run.get("started_at") or "")[:10] if isinstance(run, dict) else ""
