"""The cells of a study, and the pairs of them that a criterion compares."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from optbench.config.trees import short_key
from optbench.config.values import same
from optbench.reports.contenders import Contender, contenders_of
from optbench.reports.read.columns import RunRow
from optbench.reports.read.settings import Config, config_of, value_in
from optbench.reports.read.study_file import Cells
from optbench.reports.read.versions import plain_name

if TYPE_CHECKING:
    from optbench.config.claims import Criterion

BUDGET = "budget"


@dataclass(frozen=True)
class Side:
    """One cell of a study: one contender on one workload at one budget."""

    contender: Contender
    workload: str
    sign: float
    """1 where more of the metric is better, else -1."""
    axes: Mapping[str, str]
    """The choices of the cell, with its budget."""
    own: frozenset[str]
    """The axes of the contender, not of the workload."""
    config: Config
    ladder: tuple[Side, ...] = ()
    """The same cell at every budget."""
    beside: tuple[Side, ...] = ()
    """Every cell of the same workload and budget, this one too."""
    along: tuple[Side, ...] = ()
    """The cells that it stands for, by the value of the axis that a criterion names; empty otherwise."""
    paired: bool = False
    """True where the study declares that contenders are compared seed by seed."""

    @property
    def budget(self) -> float:
        """The share of the workload's budget."""
        return float(self.axes[BUDGET])

    @property
    def runs(self) -> list[RunRow]:
        """Every run, including tuning."""
        return [*self.contender.finals, *(run for tried in self.contender.tuning.values() for run in tried)]

    @property
    def tried(self) -> list[RunRow]:
        """The tuning runs; the final ones if nothing was tuned."""
        return [run for tried in self.contender.tuning.values() for run in tried] or self.contender.finals

    @property
    def edges(self) -> tuple[tuple[str, str], ...]:
        """The edges (key, "low" or "high") of its search box that the tuned setting lies on."""
        return tuple((key, end) for key, end in self.contender.cell.get("edges") or ())

    def signed(self, value: float) -> float:
        """Return a value of the task's metric, larger is better."""
        return self.sign * value

    def has(self, selector: str | Mapping[str, object] | float) -> bool:
        """Return True if a criterion's selector names this cell."""
        if isinstance(selector, str):
            typed = self.axes.get("optimizer", "").replace("\\:", ":") if ".py:" in selector else None
            return selector in (self.contender.name, plain_name(self.contender.name), typed)
        if not isinstance(selector, Mapping):
            return False
        return all(same(self.value(key), value) for key, value in selector.items())

    def value(self, key: str) -> object:
        """Return the cell's value of a key: of its axes, else of its configuration."""
        return self.axes[key] if key in self.axes else value_in(self.config, key)


def edges_of(side: Side) -> str:
    """Return the edges of its box that a side's winner lies on, in words."""
    return ", ".join(f"{short_key(key)} on the {end} edge" for key, end in side.edges)


def sides_of(runs: Iterable[RunRow], cells: Cells, *, paired: bool = False) -> list[Side]:
    """Return every cell that has runs, with its ladder and those beside it."""
    groups: dict[tuple[object, ...], list[RunRow]] = {}
    for run in runs:
        budget = run["budget"] or 1.0
        groups.setdefault((run["workload"], run["contender"], budget, run["cell"]), []).append(run)
    found = [side_of(group, cells) for _, group in sorted(groups.items(), key=lambda item: str(item[0]))]
    found = [side for side in found if side.contender.current]
    return [with_others(replace(side, paired=paired), found) for side in found]


def side_of(runs: Sequence[RunRow], cells: Cells) -> Side:
    """Return one cell from its runs."""
    first, (contender,) = runs[0], contenders_of(runs, cells)
    choices, workload = contender.cell.get("choices") or [], contender.cell.get("workload") or []
    parts = [word for word in workload if word.startswith("part=")]
    axes = {key: value for key, _, value in (word.partition("=") for word in [*parts, *choices])}
    direction = next((run["direction"] for run in runs if run["direction"]), "max")
    return Side(
        contender=contender,
        workload=first["workload"],
        sign=1.0 if direction == "max" else -1.0,
        axes={**axes, BUDGET: f"{first['budget'] or 1.0:g}"},
        own=frozenset(word.partition("=")[0] for word in choices if word not in workload),
        config=config_of(first),
    )


def with_others(side: Side, all_sides: Sequence[Side]) -> Side:
    """Return the side with the cells that differ from it only by their budget, and those of its workload and budget."""
    there = [other for other in all_sides if other.workload == side.workload]
    ladder = [
        other
        for other in there
        if other.contender.name == side.contender.name and axes_except(other, {BUDGET}) == axes_except(side, {BUDGET})
    ]
    return replace(side, ladder=tuple(ladder), beside=tuple(one for one in there if one.budget == side.budget))


def axes_except(side: Side, named: Collection[str]) -> tuple[tuple[str, str], ...]:
    """Return the axes that are not named; the two sides of a comparison agree on them."""
    return tuple(sorted((key, value) for key, value in side.axes.items() if key not in named))


def pairs_of(criterion: Criterion, sides: Sequence[Side]) -> list[tuple[Side, Side | None]]:
    """Return the pairs that a criterion compares, in the order of the workloads; None against a number.

    Unless the budget is named, at the greatest budget that both sides have."""
    named = named_keys(criterion, sides)
    sides = [side for side in sides if side.has(criterion.on)]
    ours = [side for side in sides if side.has(criterion.of)]
    if isinstance(criterion.against, (int, float)):
        return [(side, None) for side in at_greatest_budget(ours, named)]
    theirs = [side for side in sides if side.has(criterion.against)]
    beside: dict[tuple[tuple[str, str], ...], list[Side]] = {}
    for side in theirs:
        beside.setdefault(axes_except(side, named), []).append(side)
    found = [(a, b) for a in ours for b in beside.get(axes_except(a, named), ()) if a is not b]
    kept = {id(side) for side in at_greatest_budget([a for a, _ in found], named)}
    return [(a, b) for a, b in found if id(a) in kept]


def named_keys(criterion: Criterion, sides: Sequence[Side]) -> set[str]:
    """Return the keys by which the two sides of a criterion may differ."""
    found: set[str] = set()
    for selector in (criterion.of, criterion.against):
        if isinstance(selector, Mapping):
            found |= selector.keys()
        elif isinstance(selector, str):
            found |= {key for side in sides if side.has(selector) for key in side.own}
    return found


def at_greatest_budget(sides: Sequence[Side], named: Collection[str]) -> list[Side]:
    """Return the sides at the greatest budget of each ladder; all of them if the budget is named."""
    if BUDGET in named:
        return list(sides)
    most: dict[tuple[object, ...], float] = {}
    for side in sides:
        key = (side.workload, side.contender.name, axes_except(side, {BUDGET}))
        most[key] = max(most.get(key, 0.0), side.budget)
    return [s for s in sides if s.budget == most[(s.workload, s.contender.name, axes_except(s, {BUDGET}))]]
