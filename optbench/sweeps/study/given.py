"""What one contender alone is given: values of its recipe and the schedule that its file prefers.

A recipe (conf/recipe/MODEL-DATA-OPTIMIZER.yaml) is found for one optimizer. In a comparison its values would decide:
AdamW alone with the small beta1 of GANs wins against optimizers at theirs. So a comparison drops them, unless the
study says `recipes: true` or every contender with the key has the same value from a recipe of its own. What is searched
is not given: the search box replaces it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from optbench.config import SEARCHED
from optbench.config.trees import flatten, place_in_list
from optbench.config.values import as_typed
from optbench.sweeps.study.cells import Cell

SCHEDULE = "schedule"


@dataclass(frozen=True)
class GivenValue:
    """A value that a file for one contender sets."""

    key: str
    value: str
    source: str
    default: str | None = None
    """The published value; None if this one can't be dropped."""

    def __str__(self) -> str:
        return f"{self.key}={self.value} ({self.source})"


def given_values(cell: Cell) -> list[GivenValue]:
    """Return what the recipe and the optimizer's file give to a cell, without what is searched or typed."""
    composition = cell.variation.composition
    typed = {assignment.key for assignment in composition.values} | {d.key for d in cell.box.dimensions}
    published = flatten(composition.defaults)
    found: list[GivenValue] = []
    for assignment in composition.recipe:
        key = assignment.key
        if not {key, place_in_list(key)[0]} & typed:
            own = key.partition(".")[0] in (*SEARCHED, *composition.modifiers) and key in published
            default = as_typed(published[key]) if own else None
            found.append(GivenValue(key, as_typed(assignment.value), assignment.text, default))
    if SCHEDULE in composition.files and SCHEDULE not in composition.chosen:
        name = cell.config.schedule.name
        found.append(GivenValue(SCHEDULE, name, composition.origin(f"{SCHEDULE}.name")))
    return found


def given_alone(cells: Sequence[Cell]) -> list[list[GivenValue]]:
    """Return what each of these compared cells has alone. A value that all cells with the key are given is shared."""
    given = [{value.key: value for value in given_values(cell)} for cell in cells]
    keys = [{*flatten(cell.config.as_dict()), SCHEDULE} for cell in cells]
    shared: set[str] = set()
    for key in {key for own in given for key in own}:
        values = [
            own[key].value if key in own else None for own, known in zip(given, keys, strict=True) if key in known
        ]
        if len(values) > 1 and None not in values and len(set(values)) == 1:
            shared.add(key)
    return [[value for key, value in own.items() if key not in shared] for own in given]


def fair_cells(cells: Sequence[Cell], recipes: bool, remake: Callable[[Cell, list[str]], Cell]) -> list[Cell]:
    """Return the cells with what each alone is given; unless `recipes`, without what recipes give to some of several.

    `remake` composes a cell again with further overrides."""
    by_workload: dict[tuple[str, ...], list[Cell]] = {}
    for cell in cells:
        by_workload.setdefault(cell.workload[:-1], []).append(cell)  # at all budgets, which come last
    found: dict[int, Cell] = {}
    for compared in by_workload.values():
        for cell, alone in zip(compared, given_alone(compared), strict=True):
            drop = [] if recipes or len(compared) < 2 else [value for value in alone if value.default is not None]
            kept = tuple(str(value) for value in alone if value not in drop)
            remade = remake(cell, [f"{value.key}={value.default}" for value in drop]) if drop else cell
            found[cell.number] = replace(remade, given=kept, dropped=tuple(map(str, drop)))
    return [found[cell.number] for cell in cells]


def dropped_lines(cells: Sequence[Cell]) -> list[str]:
    """Return a sentence for each cell whose recipe is not used, with how to have it or to give it to all."""
    return [
        f"{cell.label}: published values in place of {', '.join(cell.dropped)}, which the others don't have; "
        "an override gives the same to all, --recipes keeps it"
        for cell in cells
        if cell.dropped
    ]
