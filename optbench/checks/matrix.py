"""Every algorithm by every implementation that is installed: the matrix and its Markdown."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optbench import config as configuration
from optbench.checks.result import BY_DEFAULT, DIFFERS, NOT_APPLICABLE, PASS, Finding
from optbench.config import RunConfig

TWO_RANKS = "two ranks"  # the column of `--distributed`
AS_SHIPPED = "as_shipped"  # the check whose differences are the library's defaults


@dataclass(frozen=True)
class Cell:
    """The findings of one implementation of one optimizer."""

    optimizer: str
    implementation: str
    findings: Sequence[Finding]
    on_ranks: Sequence[Finding] = ()
    """Those on two ranks, where they were asked for."""

    @property
    def every(self) -> list[Finding]:
        """All findings."""
        return [*self.findings, *self.on_ranks]

    @property
    def holds(self) -> bool:
        """Whether everything is as it should be."""
        return all(finding.holds for finding in self.every)

    @property
    def differing(self) -> list[str]:
        """The checks that differ, other than by the library's defaults."""
        return [f.check for f in self.findings if f.state == DIFFERS and f.check != AS_SHIPPED]

    @property
    def differs_as_shipped(self) -> bool:
        """Whether it is another rule at its library's defaults."""
        return any(f.state == DIFFERS and f.check == AS_SHIPPED for f in self.findings)


def subjects(config_dir: Path | None, overrides: Sequence[str], only: str = "") -> Iterator[RunConfig]:
    """The configuration of every optimizer (or `only` one) by every implementation that this environment
    can import, at the settings that the implementation requires."""
    for name in [only] if only else configuration.options(configuration.config_folders(config_dir), "optimizer"):
        about = configuration.load([*overrides, f"optimizer={name}"], config_dir).optimizer.about
        for impl, facts in about["implementations"].items():
            if installed(facts):
                required = [
                    f"optimizer.{key}={configuration.as_typed(value)}"
                    for key, value in facts.get("requires", {}).items()
                ]
                chosen = [f"optimizer={name}", f"optimizer.impl={impl}", *required]
                yield configuration.load([*overrides, *chosen], config_dir)


def installed(facts: Mapping[str, Any]) -> bool:
    """Whether the packages of an implementation can be imported here."""
    path = facts["target"].split(".")
    module = path[2] if path[:2] == ["optbench", "peers"] else path[0]  # peers/NAME.py adapts the module NAME
    return importlib.util.find_spec(module) is not None


def matrix(
    config_dir: Path | None,
    overrides: Sequence[str],
    check: Callable[[RunConfig], list[Finding]],
    notice: Callable[[str], None],
    on_ranks: Callable[[RunConfig], list[Finding]] = lambda config: [],
) -> list[Cell]:
    """The findings of every subject, with a notice for each; on two ranks those of an optimizer's own implementation
    alone, for what is exchanged is ours."""
    cells = []
    every = list(subjects(config_dir, overrides))
    for number, config in enumerate(every, 1):
        choice = config.optimizer
        own = (
            choice.settings["impl"]
            == configuration.load([f"optimizer={choice.name}"], config_dir).optimizer.settings["impl"]
        )
        cells.append(Cell(choice.name, choice.settings["impl"], check(config), on_ranks(config) if own else []))
        bad = [finding.check for finding in cells[-1].every if not finding.holds]
        notice(f"[{number}/{len(every)}] {choice.name} by {choice.settings['impl']}: {', '.join(bad) or 'as declared'}")
    return cells


def rows(cells: Sequence[Cell]) -> list[dict[str, Any]]:
    """One row per optimizer and implementation: the number of checks passed, and those that differ."""
    return [
        {
            "optimizer": cell.optimizer,
            "implementation": cell.implementation,
            "passed": sum(finding.state == PASS for finding in cell.findings),
            "differs": ", ".join(cell.differing),
            "at its library's defaults": "another rule" if cell.differs_as_shipped else "",
            "as declared": "yes" if cell.holds else "NO",
        }
        for cell in cells
    ]


def grid(cells: Sequence[Cell]) -> list[dict[str, str]]:
    """One row per optimizer, one column per implementation."""
    columns = list(dict.fromkeys(cell.implementation for cell in cells))
    by_place = {(cell.optimizer, cell.implementation): cell for cell in cells}
    names = dict.fromkeys(cell.optimizer for cell in cells)
    found = {cell.optimizer: cell.on_ranks for cell in cells if cell.on_ranks}
    ranks = {name: {TWO_RANKS: spoken(found.get(name, ()))} if found else {} for name in names}
    return [
        {"optimizer": name, **ranks[name], **{column: summary(by_place.get((name, column))) for column in columns}}
        for name in names
    ]


def spoken(findings: Sequence[Finding]) -> str:
    """The column of two ranks: the strategies that pass, and those that differ or are refused."""
    words = {PASS: "{}", DIFFERS: "{} differs", NOT_APPLICABLE: "no {}"}
    return ", ".join(words[finding.state].format(finding.check) for finding in findings)


def summary(cell: Cell | None) -> str:
    """What a place of the grid says."""
    if cell is None:
        return ""
    passed = sum(finding.state == PASS for finding in cell.findings)
    apart = f"; differs: {', '.join(cell.differing)}" if cell.differing else ""
    return f"{passed}{apart}" + (" *" if cell.differs_as_shipped else "")


def markdown(cells: Sequence[Cell], versions: Mapping[str, str]) -> str:
    """The matrix, every difference in words, and the versions behind it."""
    table = grid(cells)
    head = list(table[0])
    lines = [
        "# Conformance",
        "",
        "Made by `optbench check --all --distributed -o results/conformance.md`. A cell counts the checks that pass",
        "and names those that differ; `*` marks an implementation that is another rule at its library's own defaults",
        "(named below).",
        "",
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *(f"| {' | '.join(row[name] for name in head)} |" for row in table),
        "",
        "## Differences",
        "",
    ]
    lines += [difference(cell, f) for cell in cells for f in cell.every if f.state == DIFFERS]
    refused = [f"- **{cell.optimizer}**, {f.check}: {f.detail}" for cell in cells for f in refusals(cell)]
    lines += ["", "## Refused on two ranks", "", *refused] if refused else []
    lines += ["", "## Versions", "", ", ".join(f"{name} {version}" for name, version in versions.items()), ""]
    return "\n".join(lines)


def refusals(cell: Cell) -> list[Finding]:
    """What a run on two ranks refuses, with its reason."""
    return [finding for finding in cell.on_ranks if finding.state == NOT_APPLICABLE]


def difference(cell: Cell, finding: Finding) -> str:
    """One line of the list of differences."""
    declared = f" Declared: {finding.declared}." if finding.declared not in ("", BY_DEFAULT) else ""
    wrong = "" if finding.holds else " **Not declared.**"
    return f"- **{cell.optimizer}** by {cell.implementation}, {finding.check}: {finding.detail}.{declared}{wrong}"
