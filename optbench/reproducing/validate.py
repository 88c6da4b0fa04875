"""Check, before anything is run, that a claim is about what its study compares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from optbench.config.trees import flatten
from optbench.config.values import as_typed, same
from optbench.errors import ConfigError, suggest
from optbench.sweeps.study.cells import Cell

if TYPE_CHECKING:
    from optbench.config.claims import Criterion

BUDGET = "budget"
Values = Mapping[str, object]


def check_claim(criteria: Sequence[Criterion], cells: Sequence[Cell], where: str) -> None:
    """Raise ConfigError for a side of a criterion, or its `on`, that matches no cell of the study."""
    values = [values_of(cell) for cell in cells]
    names = [contender_of(cell) for cell in cells]
    for number, criterion in enumerate(criteria, 1):
        claim = f"{where}: claim {number}" if len(criteria) > 1 else f"{where}: claim"
        for key, side in (("of", criterion.of), ("against", criterion.against), ("on", criterion.on)):
            if isinstance(side, str):
                check_name(side, names, f"{claim}.{key}")
            elif isinstance(side, Mapping):
                check_selector(side, values, f"{claim}.{key}")


def contender_of(cell: Cell) -> str:
    """Return the contender's name, as reports have it."""
    own = [word for word in cell.choices if word not in cell.workload]
    return " ".join(word.removeprefix("optimizer=") for word in own) or cell.config.optimizer.name


def values_of(cell: Cell) -> Values:
    """Return what a selector may name of a cell: its choices, its budget and its configuration."""
    flat = flatten(cell.config.as_dict())
    groups = {key.removesuffix(".name"): value for key, value in flat.items() if key.endswith(".name")}
    choices = {key: value for key, _, value in (word.partition("=") for word in cell.choices)}
    return {**flat, **groups, **choices, BUDGET: cell.budget}


def check_name(name: str, known: Sequence[str], where: str) -> None:
    """Raise ConfigError for a contender that the study does not have."""
    if name in known:
        return
    raise ConfigError(f"{where}={name}: the study has no such contender", suggest(name, dict.fromkeys(known)))


def check_selector(selector: Values, cells: Sequence[Values], where: str) -> None:
    """Raise ConfigError for a key or a value that no cell has."""
    for key, value in selector.items():
        values = [cell[key] for cell in cells if key in cell]
        if not values:
            hint = suggest(key, sorted({known for cell in cells for known in cell}))
            raise ConfigError(f"{where}: the study has no key {key}", hint)
        if not any(same(value, known) for known in values):
            choices = ", ".join(dict.fromkeys(map(as_typed, values)))
            raise ConfigError(f"{where}: no cell has {key}={as_typed(value)}", f"Choose from {choices}")
    if not any(all(key in cell and same(cell[key], value) for key, value in selector.items()) for cell in cells):
        raise ConfigError(f"{where}: no cell has all of {dict(selector)}")
