"""`optbench compare`: the verdict between two optimizers, with its evidence, and an exit code for CI."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from optbench.cli import options
from optbench.cli.options import AsJson, Debug
from optbench.cli.output import Output, print_encodable
from optbench.errors import ConfigError, ExpectationFailed, NoResultsError

if TYPE_CHECKING:
    from optbench.reports.model.content import Estimate, Workload

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
    path: Annotated[
        Path | None, typer.Argument(metavar="[RESULTS]", help="A study's folder, or the results folder")
    ] = None,
    margin: options.Margin = "1%",
    mix: options.Mix = "",
    asserted: Annotated[
        str | None, typer.Option("--assert", help="Exit 3 unless this is shown on every workload: 'lion >= adamw'")
    ] = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Give the verdict between two, with its evidence: optbench compare lion adamw results/NAME"""
    from optbench.reports.build.report import build
    from optbench.reports.build.workload import ReportOptions
    from optbench.reports.comparable import check_kinds
    from optbench.reports.read.reading import contender_names, read
    from optbench.reports.read.versions import contender_named
    from optbench.reports.statistics.verdicts import parse_margin
    from optbench.store import results_root

    output = Output(as_json)
    checked = parse_assertion(asserted, a, b) if asserted else None
    asked = ReportOptions(margin=parse_margin(margin), mix=check_kinds(options.split(mix)), records=False)
    results = read(path or results_root(None))
    for skipped, reason in results.skipped:
        log.warning(f"left out: {skipped}: {reason}")
    a, b = (contender_named(name, contender_names(results.runs)) for name in (a, b))
    chosen = tuple(run for run in results.runs if run["contender"] in (a, b))
    report = build(replace(results, runs=chosen), asked)
    both = [found for found in report.workloads if {row.contender for row in found.rows} == {a, b}]
    if not both:
        raise NoResultsError(f"{a} and {b} have no workload in common")
    tree = {
        "a": a,
        "b": b,
        "workloads": [workload_tree(found, a) for found in both],
        "assumptions": list(report.assumptions),
        "mixed": list(report.mixed),
    }
    text = "\n".join(lines(both, report.assumptions, report.mixed))
    output.answer(tree, lambda: print_encodable(text))
    if checked:
        require(checked, [(found.name, word) for found, word in zip(both, verdicts_of(both, a), strict=True)])


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


def verdicts_of(workloads: Sequence[Workload], a: str) -> list[str]:
    """Return the verdict of a on each workload."""
    from optbench.reports.build.answers import verdict_of

    return [verdict_of(a, next(r.contender for r in w.rows if r.contender != a), w.pairs) for w in workloads]


def require(checked: tuple[str, tuple[str, ...]], found: Sequence[tuple[str, str]]) -> None:
    """Raise ExpectationFailed if the verdict of a workload is not allowed by the assertion."""
    text, allowed = checked
    against = [f"{name}: {word}" for name, word in found if word not in allowed]
    if against:
        raise ExpectationFailed(f"{text} is not shown ({'; '.join(against)})")


def workload_tree(found: Workload, a: str) -> dict[str, Any]:
    """Return one workload as plain data."""
    return {
        "workload": found.name,
        "metric": found.metric,
        "direction": found.direction,
        "headline": found.headline,
        "verdict": verdicts_of([found], a)[0],
        "answer": list(found.answer),
        "warnings": list(found.warnings),
        "rows": [asdict(row) for row in found.rows],
        "pair": asdict(found.pairs[0]),
    }


def lines(workloads: Sequence[Workload], assumptions: Sequence[str], mixed: Sequence[str]) -> list[str]:
    """Return the lines to print: the answer first, then the evidence."""
    found = []
    for workload in workloads:
        pair, unit = workload.pairs[0], f"{workload.metric} on {workload.headline.partition('_')[0]}"
        found += [*workload.answer, ""]
        for row in workload.rows:
            estimate = row.test if workload.headline == "test_metric" else row.val
            found.append(f"  {row.contender:<20} {words(estimate)} {unit}, n={len(row.values)}, {row.trials} trials")
        found.append(f"  difference           {words(pair.difference)} ({pair.a} - {pair.b})")
        chance = f"  a run of {pair.a} is better than one of {pair.b} with probability"
        found.append(f"{chance} {words(pair.improvement)}")
        found += [f"  {line}" for line in (*pair.evidence, *workload.warnings)]
        found.append("")
    return [*found, *(f"mixed on request: {line}" for line in mixed), *assumptions]


def words(estimate: Estimate) -> str:
    """Format a number with its interval."""
    if estimate.value is None:
        return "-"
    inner = "" if estimate.low is None else f" [{estimate.low:.4g}, {estimate.high:.4g}]"
    return f"{estimate.value:.4g}{inner}"
