"""From a study to its cells, each with its search box and its budget."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from optbench.config import (
    SEARCHED,
    Choice,
    Composition,
    Dimension,
    RunConfig,
    SweepOverrides,
    Variation,
    parse_sweep,
)
from optbench.config.boxes import box_named, dimensions_of
from optbench.config.overrides import plain_text, unquoted
from optbench.config.trees import flatten, leaf, place_in_list
from optbench.config.values import shown
from optbench.errors import ConfigError, OptbenchError, suggest
from optbench.sweeps.study.boxes import box_for, check_boxes
from optbench.sweeps.study.budgets import check_budgets, check_searched
from optbench.sweeps.study.cells import Cell
from optbench.sweeps.study.given import fair_cells
from optbench.sweeps.study.space import Box
from optbench.sweeps.study.study import Study, check_groups

MOST_CELLS = 10_000  # each is tuned by several runs
OWN_BOX = "study"  # the name of a box that a study states itself
PART = "part"
NO_NAME = re.compile(r"true|false|[-+.]*\d.*")  # a value that says nothing without its key
TRIALS = 8  # for each dimension of the largest search box


def planned(study: Study, config_dir: Path | None = None) -> tuple[Study, list[Cell]]:
    """Return a study with its number of trials, and its cells. Raises ConfigError for a mistake in any of them."""
    cells = expand(study, config_dir)
    if study.trials:
        return study, cells
    chosen = replace(study, trials=TRIALS * max(1, *(len(cell.box) for cell in cells)))
    check_groups(chosen)
    return chosen, cells


def expand(study: Study, config_dir: Path | None = None) -> list[Cell]:
    """Return every cell of a study. Raises ConfigError for a mistake in any of them, before anything runs."""
    if not study.parts:
        return expand_part(study, config_dir)
    cells: list[Cell] = []
    part_of: dict[tuple[str, str], str] = {}
    for name in study.parts:
        try:
            own = expand_part(study.part(name), config_dir)
        except OptbenchError as error:
            raise type(error)(f"parts: {name}: {error.args[0]}", error.hint) from error
        for pair in {(cell.config.model.name, cell.config.data.name) for cell in own}:
            if pair in part_of:
                raise ConfigError(
                    f"parts: {part_of[pair]} and {name} both have model={pair[0]} data={pair[1]}",
                    "A pair of model and data belongs in one part",
                )
            part_of[pair] = name
        cells += [
            replace(cell, number=number, label=f"{name} {cell.label}", workload=(f"{PART}={name}", *cell.workload))
            for number, cell in enumerate(own, len(cells))
        ]
    return cells


def expand_part(study: Study, config_dir: Path | None) -> list[Cell]:
    """Return every cell of a study without parts."""
    parsed = parse_sweep(study.overrides, config_dir)
    for dimension in parsed.dimensions:
        if dimension.key.split(".")[0] not in SEARCHED and "." not in dimension.key:
            raise ConfigError(
                f"{dimension.key}: only hyperparameters can be searched by an interval",
                "e.g. optimizer.lr=interval(0,1)",
            )
    count = math.prod(len(axis.values) for axis in parsed.axes) * len(study.budgets)
    if count > MOST_CELLS:
        said = " x ".join(f"{len(axis.values):,} {axis.key}" for axis in parsed.axes)
        raise ConfigError(f"{said}: {count:,} combinations; a study has at most {MOST_CELLS:,}", "Give fewer values")
    combinations = itertools.product(*[[f"{axis.key}={value}" for value in axis.values] for axis in parsed.axes])
    cells = [
        make_cell(number, study, parsed, choices, budget, config_dir)
        for number, (choices, budget) in enumerate(itertools.product(combinations, study.budgets))
    ]

    cells += [
        make_cell(number, study, parsed, choices, budget, config_dir)
        for number, (choices, budget) in enumerate(further(study, cells), len(cells))
    ]

    def remake(cell: Cell, more: list[str]) -> Cell:
        return make_cell(cell.number, study, parsed, cell.choices, cell.budget, config_dir, more)

    check_boxes(study.boxes, [cell.config for cell in cells], config_dir)
    cells = fair_cells(cells, study.recipes, remake)
    check_searched(study, cells)
    check_budgets(study, cells)
    return cells


def further(study: Study, cells: Sequence[Cell]) -> list[tuple[tuple[str, ...], float]]:
    """Return the choices and the budget of the cells that `more_budgets` adds. Raises ConfigError for a name that is
    not compared."""
    names = dict.fromkeys(cell.config.optimizer.name for cell in cells)
    for name in study.more_budgets:
        if name not in names:
            raise ConfigError(f"more_budgets: {shown(name)} is not compared in this study", suggest(name, names))
    return [
        (cell.choices, budget)
        for cell in cells
        if cell.budget == study.budgets[0]
        for budget in study.more_budgets.get(cell.config.optimizer.name, ())
        if budget not in study.budgets
    ]


def make_cell(
    number: int,
    study: Study,
    parsed: SweepOverrides,
    choices: Sequence[str],
    budget: float,
    config_dir: Path | None,
    more: Sequence[str] = (),
) -> Cell:
    """Compose a cell, with `more` overrides; its steps are the budget divided by the gradient evaluations per step."""
    overrides = [*parsed.fixed, *choices, *more]
    try:
        composition = Composition(overrides, config_dir)
        config = composition.run_config()
        evaluations = evaluations_of(config.optimizer)
        steps = max(1, round(config.steps * budget / (evaluations or 1.0)))
        if steps != config.steps:
            in_samples = {"samples", "steps"} & {text.partition("=")[0] for text in overrides} == {"samples"}
            length = f"samples={steps * config.batch_size}" if in_samples else f"steps={steps}"
            composition = Composition([*overrides, length], config_dir)
        variation = Variation(composition)
        dropped = {text.partition("=")[0] for text in more}  # from a recipe, which fixes nothing any more
        box, box_name = box_of(study, parsed, variation, dropped)
        if study.needs_target and variation.base.target is None:
            model, data = config.model.name, config.data.name
            raise ConfigError(
                f"--protocol {study.protocol} needs a target; model={model} data={data} has none",
                f"Set target=VALUE, or run: optbench targets set {model}",
            )
    except OptbenchError as error:
        message, where = error.args[0], " ".join(choices)
        named = not where or message.startswith(tuple(choices))
        raise type(error)(message if named else f"{where}: {message}", error.hint) from error
    return Cell(
        number=number,
        choices=tuple(choices),
        budget=budget,
        label=label(choices, config, budget, study),
        workload=workload_of(choices, budget, {*SEARCHED, *composition.modifiers}),
        box=box,
        box_name=box_name,
        evaluations=evaluations,
        variation=variation,
    )


def label(choices: Sequence[str], config: RunConfig, budget: float, study: Study) -> str:
    """Return a short name: the values that are names, and `key=value` of any other key."""
    parts = [text.partition("=") for text in choices]
    words = [
        f"{key}={plain_text(value)}"
        if key in ("init", "freeze")
        else f"{key}={value}"
        if "." in key or NO_NAME.fullmatch(value)
        else unquoted(value)
        for key, _, value in parts
    ]
    words = [text for text in words if text] or [config.optimizer.name]
    return " ".join(words).replace("\\:", ":") + (
        f" x{budget:g}" if len(study.budgets) > 1 or study.more_budgets else ""
    )


def workload_of(choices: Sequence[str], budget: float, optimizer_keys: Collection[str]) -> tuple[str, ...]:
    """Return the choices that make the workload, with the budget: all but those of the optimizer."""
    own = [text for text in choices if text.partition("=")[0].split(".")[0] not in optimizer_keys]
    return (*own, f"budget={budget:g}")


def evaluations_of(optimizer: Choice) -> float | None:
    """Return the gradient evaluations per step that the optimizer's file declares; None if they vary.

    `about.evaluations` is a number (default 1), {every: KEY, count: N} for N more in every KEY-th step, or `varies`."""
    declared = optimizer.about.get("evaluations", 1)
    if isinstance(declared, Mapping):
        every = optimizer.settings.get(declared["every"])
        if not isinstance(every, (int, float)) or every <= 0:
            where = f"{optimizer.name}: about.evaluations.every={shown(declared['every'])}"
            raise ConfigError(f"{where}: not a setting with a number above 0", "Name one, or give evaluations a number")
        return 1.0 + declared["count"] / every
    return None if isinstance(declared, str) else float(declared)


def box_of(
    study: Study, parsed: SweepOverrides, variation: Variation, dropped: Collection[str] = ()
) -> tuple[Box, str]:
    """Return the search box and its name: the study's for this optimizer, else the one of its file that the study
    names, else the published one.

    Keys with a given value are left out, unless it stands in for one that was `dropped`; intervals of the command line
    replace those of the box."""
    if not study.searched:
        return Box(()), ""
    config = variation.base
    own = box_for(study.boxes, config)
    name, specs = (OWN_BOX, own) if own is not None else box_named(config.optimizer, study.box)
    given = {dimension.key: dimension for dimension in parsed.dimensions}
    with_value = {text.partition("=")[0] for text in config.overrides}.difference(dropped)
    dimensions = [
        given.pop(d.key, d) for d in dimensions_of(specs) if not {d.key, place_in_list(d.key)[0]} & with_value
    ]
    dimensions += given.values()
    return Box(tuple(checked_dimension(dimension, variation) for dimension in dimensions)), name


def checked_dimension(dimension: Dimension, variation: Variation) -> Dimension:
    """Return the dimension, of whole numbers if its key takes no others (Hydra reads interval(2,8) as real numbers).

    Raises ConfigError for a value that is not valid."""
    key, whole = dimension.key, []
    for value in dimension.values or (dimension.low, dimension.high):
        config = variation.at({key: int(value) if dimension.integer else value})
        taken = leaf(flatten(config.as_dict()), key)
        whole.append(isinstance(taken, int) and not isinstance(taken, bool))
    return dimension if dimension.values else replace(dimension, integer=dimension.integer or all(whole))
