"""The cells of a study, and which of them a criterion sets beside each other."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from optbench.config.values import same
from optbench.reports.contenders import Contender, contenders_of

if TYPE_CHECKING:
    from optbench.config.claims import Criterion

Run = Mapping[str, Any]
Cells = Mapping[tuple[str, str], Mapping[str, Any]]
BUDGET = "budget"
ABSENT = object()  # of a key that a configuration does not have


@dataclass(frozen=True)
class Side:
    """One cell of a study: one contender on one workload at one budget."""

    contender: Contender
    workload: str
    sign: float
    """1 where more of the metric is better, else -1."""
    axes: Mapping[str, str]
    """What sets the cell apart, with its budget."""
    own: frozenset[str]
    """Those of the axes that are the contender's, not the workload's."""
    config: Mapping[str, Any]
    ladder: tuple[Side, ...] = ()
    """The same at every budget."""

    @property
    def budget(self) -> float:
        """As a share of the workload's."""
        return float(self.axes[BUDGET])

    @property
    def runs(self) -> list[Run]:
        """Every run, of the tuning too."""
        return [*self.contender.finals, *(run for tried in self.contender.tuning.values() for run in tried)]

    @property
    def tried(self) -> list[Run]:
        """The runs of the tuning; the final ones, where nothing was tuned."""
        return [run for tried in self.contender.tuning.values() for run in tried] or self.contender.finals

    def has(self, selector: str | Mapping[str, Any]) -> bool:
        """Whether the cell is one of those that a criterion names."""
        if isinstance(selector, str):
            return self.contender.name == selector
        return all(same(self.value(key), value) for key, value in selector.items())

    def value(self, key: str) -> Any:
        """What the cell has for a key: of its axes, else of its configuration."""
        if key in self.axes:
            return self.axes[key]
        found: Any = self.config
        for part in key.split("."):
            found = found.get(part, ABSENT) if isinstance(found, Mapping) else ABSENT
        return found.get("name", ABSENT) if isinstance(found, Mapping) else found


def sides_of(runs: Iterable[Run], cells: Cells) -> list[Side]:
    """Every cell that has runs, with its ladder."""
    groups: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        budget = run["budget"] or 1.0
        groups.setdefault((run["workload"], run["contender"], budget, run["cell"]), []).append(run)
    found = [side_of(group, cells) for _, group in sorted(groups.items(), key=lambda item: str(item[0]))]
    return [with_ladder(side, found) for side in found]


def side_of(runs: Sequence[Run], cells: Cells) -> Side:
    """One cell from its runs."""
    first, (contender,) = runs[0], contenders_of(runs, cells)
    choices, workload = (contender.cell.get(name) or [] for name in ("choices", "workload"))
    axes = {key: value for key, _, value in (word.partition("=") for word in choices)}
    direction = next((run["direction"] for run in runs if run["direction"]), "max")
    return Side(
        contender=contender,
        workload=first["workload"],
        sign=1.0 if direction == "max" else -1.0,
        axes={**axes, BUDGET: f"{first['budget'] or 1.0:g}"},
        own=frozenset(word.partition("=")[0] for word in choices if word not in workload),
        config=json.loads(first["config"]) if first["config"] else {},
    )


def with_ladder(side: Side, all_sides: Sequence[Side]) -> Side:
    """The side with the cells that differ from it by their budget alone."""
    ladder = [
        other
        for other in all_sides
        if other.workload == side.workload
        and other.contender.name == side.contender.name
        and rest_of(other, {BUDGET}) == rest_of(side, {BUDGET})
    ]
    return Side(side.contender, side.workload, side.sign, side.axes, side.own, side.config, tuple(ladder))


def rest_of(side: Side, named: Collection[str]) -> tuple[tuple[str, str], ...]:
    """The axes that are not named: the two sides of a comparison have the same there."""
    return tuple(sorted((key, value) for key, value in side.axes.items() if key not in named))


def pairs_of(criterion: Criterion, sides: Sequence[Side]) -> list[tuple[Side, Side | None]]:
    """What a criterion sets beside each other, in the order of the workloads; against a number None. Where budget is
    not named, the greatest that both have."""
    named = named_keys(criterion, sides)
    sides = [side for side in sides if side.has(criterion.on)]
    ours = [side for side in sides if side.has(criterion.of)]
    if isinstance(criterion.against, float):
        return [(side, None) for side in greatest(ours, named)]
    theirs = [side for side in sides if side.has(criterion.against)]
    beside: dict[tuple[tuple[str, str], ...], list[Side]] = {}
    for side in theirs:
        beside.setdefault(rest_of(side, named), []).append(side)
    found = [(a, b) for a in ours for b in beside.get(rest_of(a, named), ()) if a is not b]
    kept = {id(side) for side in greatest([a for a, _ in found], named)}
    return [(a, b) for a, b in found if id(a) in kept]


def named_keys(criterion: Criterion, sides: Sequence[Side]) -> set[str]:
    """The keys by which the two sides of a criterion may differ."""
    found: set[str] = set()
    for selector in (criterion.of, criterion.against):
        if isinstance(selector, Mapping):
            found |= selector.keys()
        else:
            found |= (
                {key for side in sides if side.has(selector) for key in side.own}
                if isinstance(selector, str)
                else set()
            )
    return found


def greatest(sides: Sequence[Side], named: Collection[str]) -> list[Side]:
    """Those at the greatest budget of each ladder, unless the budget is named."""
    if BUDGET in named:
        return list(sides)
    most: dict[tuple[Any, ...], float] = {}
    for side in sides:
        key = (side.workload, side.contender.name, rest_of(side, {BUDGET}))
        most[key] = max(most.get(key, 0.0), side.budget)
    return [s for s in sides if s.budget == most[(s.workload, s.contender.name, rest_of(s, {BUDGET}))]]
