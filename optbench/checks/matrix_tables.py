"""The matrix of check results as tables and as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from optbench.checks.matrix import MatrixCell
from optbench.checks.result import BY_DEFAULT, DIFFERS, NOT_APPLICABLE, PASS, CheckResult

TWO_RANKS = "two ranks"  # the column of `--distributed`


def rows(cells: Sequence[MatrixCell]) -> list[dict[str, str | int]]:
    """Return one row per optimizer and implementation: the number of passed checks and the checks that differ."""
    return [
        {
            "optimizer": cell.optimizer,
            "implementation": cell.implementation,
            "passed": cell.passed,
            "differs": ", ".join(cell.differing),
            "at its library's defaults": "another rule" if cell.differs_as_shipped else "",
            "as declared": "yes" if cell.holds else "NO",
        }
        for cell in cells
    ]


def grid(cells: Sequence[MatrixCell]) -> list[dict[str, str]]:
    """Return one row per optimizer with one column per implementation."""
    columns = list(dict.fromkeys(cell.implementation for cell in cells))
    by_place = {(cell.optimizer, cell.implementation): cell for cell in cells}
    names = dict.fromkeys(cell.optimizer for cell in cells)
    on_ranks = {cell.optimizer: cell.rank_results for cell in cells if cell.rank_results}
    ranks = {name: {TWO_RANKS: rank_summary(on_ranks.get(name, ()))} if on_ranks else {} for name in names}
    return [
        {"optimizer": name, **ranks[name], **{column: summary(by_place.get((name, column))) for column in columns}}
        for name in names
    ]


def rank_summary(results: Sequence[CheckResult]) -> str:
    """Return the strategies that pass, and those that differ or are refused, e.g. "ddp, no fsdp"."""
    formats = {PASS: "{}", DIFFERS: "{} differs", NOT_APPLICABLE: "no {}"}
    return ", ".join(formats[result.state].format(result.check) for result in results)


def summary(cell: MatrixCell | None) -> str:
    """Return the text of a cell: the number of passed checks, and the checks that differ."""
    if cell is None:
        return ""
    differing = f"; differs: {', '.join(cell.differing)}" if cell.differing else ""
    return f"{cell.passed}{differing}" + (" *" if cell.differs_as_shipped else "")


def markdown(cells: Sequence[MatrixCell], versions: Mapping[str, str | None]) -> str:
    """Return the matrix, a sentence for every difference, and the versions of the packages."""
    table = grid(cells)
    head = list(table[0])
    lines = [
        "# Conformance",
        "",
        "Made by `optbench check --all --distributed -o results/conformance.md`. A cell gives the number of passed",
        "checks and names those that differ. `*`: the library's own defaults give another rule (see below).",
        "",
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *(f"| {' | '.join(row[name] for name in head)} |" for row in table),
        "",
        "## Differences",
        "",
    ]
    lines += [difference(cell, result) for cell in cells for result in cell.all_results if result.state == DIFFERS]
    refused = [f"- **{cell.optimizer}**, {r.check}: {r.detail}" for cell in cells for r in cell.refused_on_ranks]
    lines += ["", "## Refused on two ranks", "", *refused] if refused else []
    installed = ", ".join(f"{name} {version}" for name, version in versions.items() if version is not None)
    lines += ["", "## Versions", "", installed, ""]
    return "\n".join(lines)


def difference(cell: MatrixCell, result: CheckResult) -> str:
    """Return one line of the list of differences."""
    declared = f" Declared: {result.declared}." if result.declared not in ("", BY_DEFAULT) else ""
    wrong = "" if result.holds else " **Not declared.**"
    return f"- **{cell.optimizer}** by {cell.implementation}, {result.check}: {result.detail}.{declared}{wrong}"
