"""The verdict between two contenders, of one study or of several."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from optbench.errors import ConfigError, NoResultsError, OptbenchError
from optbench.reports.build.report import build
from optbench.reports.build.workload import ReportOptions
from optbench.reports.model.content import Report, Workload
from optbench.reports.model.numbers import MINUS, counted, estimate_text
from optbench.reports.model.rows import Pair, Row
from optbench.reports.model.sections.verdicts import sentence
from optbench.reports.read.locate import located, read_studies
from optbench.reports.read.reading import Results, contender_names
from optbench.reports.read.versions import contender_named

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Comparison:
    """Two contenders on every workload that has both."""

    a: str
    b: str
    workloads: tuple[Compared, ...]

    @property
    def assumptions(self) -> list[str]:
        """Sentences on the way the numbers are computed."""
        return unique(one.report.assumptions for one in self.workloads)

    @property
    def mixed(self) -> list[str]:
        """The differences that were mixed on request."""
        return unique(one.report.mixed for one in self.workloads)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        trees = [workload_tree(one) for one in self.workloads]
        return {"a": self.a, "b": self.b, "workloads": trees, "assumptions": self.assumptions, "mixed": self.mixed}

    @property
    def lines(self) -> list[str]:
        """The lines of text: for each workload the answer, then the evidence."""
        said: list[str] = []
        for one in self.workloads:
            said += [f"{one.title}: {sentence(one.pair)}", "", *evidence(one), ""]
        return [*said, *(f"mixed on request: {line}" for line in self.mixed), *self.assumptions]


def compare(a: str, b: str, path: Path | None, asked: ReportOptions) -> Comparison:
    """Return the verdict between two contenders, under the names that the studies of a folder give them.

    Raises NoResultsError if no workload has both."""
    studies = studies_of(located(path))
    a, b = (named(name, studies) for name in (a, b))
    if a == b:
        raise ConfigError(f"{a} and {b} are the same contender", "Name two that differ")
    return Comparison(a, b, tuple(compared(a, b, reports_of(a, b, studies, asked))))


@dataclass(frozen=True)
class Compared:
    """Two contenders on one workload of a study."""

    report: Report
    workload: Workload
    pair: Pair
    """The verdict on the first one."""
    title: str
    """The workload; of several studies, with the study before it."""


def studies_of(path: Path) -> list[Results]:
    """Read every study of a folder. Raises NoResultsError if none can be read."""
    studies = [found for _, found in read_studies(path)]
    readable = [found for found in studies if not isinstance(found, NoResultsError)]
    if not readable:
        raise next(found for found in studies if isinstance(found, NoResultsError))
    for left_out, reason in (skipped for results in readable for skipped in results.skipped):
        log.warning(f"left out: {left_out}: {reason}")
    return readable


def named(name: str, studies: Sequence[Results]) -> str:
    """Return the contender of some study that a name stands for. Raises NoResultsError."""
    return contender_named(name, sorted({known for one in studies for known in contender_names(one.runs)}))


def reports_of(a: str, b: str, studies: Sequence[Results], asked: ReportOptions) -> list[Report]:
    """Return the reports of the studies that have both. They hold all contenders, so that verdicts and seeds are those
    of `optbench report`. Raises the first refusal if none can be made."""
    reports, refused = [], []
    for results in studies:
        if {a, b} <= set(contender_names(results.runs)):
            try:
                reports.append(build(results, asked))
            except OptbenchError as error:
                refused.append(error)
    if refused and not reports:
        raise refused[0]
    for error in refused:
        log.warning(f"left out: {error.message}")
    return reports


def compared(a: str, b: str, reports: Sequence[Report]) -> list[Compared]:
    """Return the verdict on every workload that has both. Raises NoResultsError if none has."""
    found = []
    for report in reports:
        for workload in report.workloads:
            pair = next((one for one in workload.pairs if {one.a, one.b} == {a, b}), None)
            title = workload.name if len(reports) == 1 else f"{report.title}: {workload.name}"
            if pair is not None:
                found.append(Compared(report, workload, pair.of(a), title))
    if not found:
        raise NoResultsError(f"{a} and {b} have no workload in common")
    return found


def unique(groups: Iterable[Sequence[str]]) -> list[str]:
    """Return sentences, each once."""
    return list(dict.fromkeys(line for lines in groups for line in lines))


def workload_tree(of: Compared) -> dict[str, Any]:
    """Return one workload as plain data."""
    found = of.workload
    return {
        "study": of.report.title,
        "workload": found.name,
        "metric": found.metric,
        "direction": found.direction,
        "headline": found.headline,
        "verdict": of.pair.verdict,
        "answer": sentence(of.pair),
        "warnings": warnings(of),
        "rows": [asdict(row) for row in rows(of)],
        "pair": asdict(of.pair),
        "loss_pair": next((asdict(one) for one in loss_pairs(of)), None),
    }


def rows(of: Compared) -> list[Row]:
    """Return the rows of the two, the better one first."""
    return [row for row in of.workload.rows if row.contender in (of.pair.a, of.pair.b)]


def loss_pairs(of: Compared) -> list[Pair]:
    """Return the verdict on the test loss, where the metric is a share."""
    both = {of.pair.a, of.pair.b}
    return [one.of(of.pair.a) for one in of.workload.loss_pairs if {one.a, one.b} == both]


def warnings(of: Compared) -> list[str]:
    """Return the limits of the answer that concern the two."""
    others = {row.contender for row in of.workload.rows} - {of.pair.a, of.pair.b}
    return [line for line in of.workload.warnings if not any(line.startswith(f"{name} ") for name in others)]


def evidence(of: Compared) -> list[str]:
    """Return the evidence for the verdict on one workload, a line each."""
    workload, pair, said = of.workload, of.pair, []
    for row in rows(of):
        value = estimate_text(workload.headline_of(row))
        counts = f"{counted(len(row.values), 'seed')}, {counted(row.trials, 'trial')}"
        said.append(f"  {row.contender:<20} {value} {workload.headline_name}, {counts}")
    said.append(f"  difference           {estimate_text(pair.difference)} ({pair.a} {MINUS} {pair.b})")
    chance = f"  a run of {pair.a} is better than one of {pair.b} with probability"
    said.append(f"{chance} {estimate_text(pair.improvement)}")
    said += [f"  test loss: {sentence(other)}" for other in loss_pairs(of)]
    return said + [f"  {line}" for line in (*pair.evidence, *warnings(of))]
