"""`optbench compare`: the verdict between two optimizers, with its evidence, and an exit code for CI."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from optbench.cli import options
from optbench.cli.options import AsJson, Debug
from optbench.cli.output import Output
from optbench.errors import ConfigError, ExpectationFailed

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
    from optbench.reports.build.comparison import compare as compared
    from optbench.reports.build.options import options_of

    output = Output(as_json)
    checked = parse_assertion(asserted, a, b) if asserted else None
    found = compared(a, b, path, options_of(margin, options.split(mix), records=False))
    output.lines(found.as_dict(), found.lines)
    if checked:
        require(checked, [(one.title, one.pair.verdict) for one in found.workloads])


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
