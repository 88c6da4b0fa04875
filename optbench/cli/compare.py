"""`optbench compare`: the verdict between two optimizers, with its evidence, and an exit code for CI."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from optbench.cli import options
from optbench.cli.options import AsJson, Debug
from optbench.cli.output import Output
from optbench.errors import ConfigError, ExpectationFailed, NoResultsError, OptbenchError
from optbench.reports.model.numbers import MINUS, counted, estimate_text
from optbench.reports.model.sections.verdicts import sentence

if TYPE_CHECKING:
    from optbench.reports.build.workload import ReportOptions
    from optbench.reports.model.content import Report, Workload
    from optbench.reports.model.rows import Pair, Row
    from optbench.reports.read.reading import Results

log = logging.getLogger(__name__)
ASSERTION = r"^\s*(.+?)\s*(>=|<=|==|>|<)\s*(.+?)\s*$"
ALLOWED: dict[str, tuple[str, ...]] = {
    ">": ("better",),
    "<": ("worse",),
    ">=": ("better", "tie"),
    "<=": ("worse", "tie"),
    "==": ("tie",),
}


def compare(
    a: Annotated[str, typer.Argument(help="An optimizer, as the study names it: lion")],
    b: Annotated[str, typer.Argument(help="Another one")],
    path: options.StudyPath = None,
    margin: options.Margin = "1%",
    mix: options.Mix = "",
    asserted: Annotated[
        str | None, typer.Option("--assert", help="Exit 3 unless this is shown on every workload: 'lion >= adamw'")
    ] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Give the verdict between two, with its evidence: optbench compare lion adamw results/NAME"""
    from optbench.reports.build.workload import ReportOptions
    from optbench.reports.comparable import check_kinds
    from optbench.reports.read.locate import located
    from optbench.reports.statistics.verdicts import parse_margin

    output = Output(as_json)
    checked = parse_assertion(asserted, a, b) if asserted else None
    asked = ReportOptions(margin=parse_margin(margin), mix=check_kinds(options.split(mix)), records=False)
    studies = studies_of(located(path))
    a, b = (named(name, studies) for name in (a, b))
    if a == b:
        raise ConfigError(f"{a} and {b} are the same contender", "Name two that differ")
    found = compared(a, b, reports_of(a, b, studies, asked))
    tree = {
        "a": a,
        "b": b,
        "workloads": [workload_tree(one) for one in found],
        "assumptions": unique(one.report.assumptions for one in found),
        "mixed": unique(one.report.mixed for one in found),
    }
    output.lines(tree, lines(found, tree["assumptions"], tree["mixed"]))
    if checked:
        require(checked, [(one.title, one.pair.verdict) for one in found])


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
    from optbench.reports.read.locate import read_studies

    studies = [found for _, found in read_studies(path)]
    readable = [found for found in studies if not isinstance(found, NoResultsError)]
    if not readable:
        raise next(found for found in studies if isinstance(found, NoResultsError))
    for left_out, reason in (skipped for results in readable for skipped in results.skipped):
        log.warning(f"left out: {left_out}: {reason}")
    return readable


def named(name: str, studies: Sequence[Results]) -> str:
    """Return the contender of some study that a name stands for. Raises NoResultsError."""
    from optbench.reports.read.reading import contender_names
    from optbench.reports.read.versions import contender_named

    return contender_named(name, sorted({known for one in studies for known in contender_names(one.runs)}))


def reports_of(a: str, b: str, studies: Sequence[Results], asked: ReportOptions) -> list[Report]:
    """Return the reports of the studies that have both. They hold all contenders, so that verdicts and seeds are those
    of `optbench report`. Raises the first refusal if none can be made."""
    from optbench.reports.build.report import build
    from optbench.reports.read.reading import contender_names

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


def parse_assertion(text: str, a: str, b: str) -> tuple[str, tuple[str, ...]]:
    """Parse an assertion about a and b. Return its text and the verdicts of a that it allows."""
    import re

    match = re.match(ASSERTION, text)
    if not match:
        raise ConfigError(f"--assert {text}: expected e.g. '{a} >= {b}'", f"Relations: {', '.join(ALLOWED)}")
    left, relation, right = match[1], match[2], match[3]
    if {left, right} != {a, b}:
        raise ConfigError(f"--assert {text}: it must be about {a} and {b}")
    allowed = ALLOWED[relation]
    if left == a:
        return text, allowed
    turned = {"better": "worse", "worse": "better"}
    return text, tuple(turned.get(word, word) for word in allowed)


def require(checked: tuple[str, tuple[str, ...]], found: Sequence[tuple[str, str]]) -> None:
    """Raise ExpectationFailed if the verdict of a workload is not allowed by the assertion."""
    text, allowed = checked
    against = [f"{name}: {word}" for name, word in found if word not in allowed]
    if against:
        raise ExpectationFailed(f"{text} is not shown ({'; '.join(against)})")


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


def lines(found: Sequence[Compared], assumptions: Sequence[str], mixed: Sequence[str]) -> list[str]:
    """Return the lines to print: the answer first, then the evidence."""
    said = []
    for one in found:
        workload, pair = one.workload, one.pair
        said += [f"{one.title}: {sentence(pair)}", ""]
        for row in rows(one):
            value = estimate_text(workload.headline_of(row))
            counts = f"{counted(len(row.values), 'seed')}, {counted(row.trials, 'trial')}"
            said.append(f"  {row.contender:<20} {value} {workload.headline_name}, {counts}")
        said.append(f"  difference           {estimate_text(pair.difference)} ({pair.a} {MINUS} {pair.b})")
        chance = f"  a run of {pair.a} is better than one of {pair.b} with probability"
        said.append(f"{chance} {estimate_text(pair.improvement)}")
        said += [f"  test loss: {sentence(other)}" for other in loss_pairs(one)]
        said += [f"  {line}" for line in (*pair.evidence, *warnings(one))]
        said.append("")
    return [*said, *(f"mixed on request: {line}" for line in mixed), *assumptions]
