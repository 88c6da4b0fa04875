"""The cells of a sweep: every combination of what is compared, with its search box and its budget."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from optbench.config import (
    SEARCHED,
    Choice,
    Composition,
    Dimension,
    RunConfig,
    SweepOverrides,
    Variation,
    boxes_of,
    config_folders,
    dimension_of_spec,
    options,
    parse_sweep,
)
from optbench.config.trees import flatten
from optbench.errors import ConfigError, OptbenchError, suggest
from optbench.sweeps.study.space import Box
from optbench.sweeps.study.study import Study

TUNE, FINAL = "tune", "final"
FIRST_FINAL_SEED = 1000  # above every seed of the tuning, so that more of either never meet


@dataclass(frozen=True)
class Cell:
    """One combination of what is compared, at one budget."""

    number: int
    choices: tuple[str, ...]
    """The overrides that set it apart."""
    budget: float
    """Share of the workload's budget."""
    label: str
    workload: tuple[str, ...]
    """What it shares with the cells that it is compared with."""
    box: Box
    evaluations: float | None
    """Gradient evaluations a step; None where they vary."""
    variation: Variation

    @property
    def config(self) -> RunConfig:
        """The configuration before anything is searched."""
        return self.variation.base

    @property
    def mildest(self) -> RunConfig:
        """The configuration at the lowest corner of the box, with the smallest learning rate: what to time steps on,
        where the defaults may diverge at once."""
        if not self.box.dimensions:
            return self.config
        return self.variation.at(self.box.at([0.0] * len(self.box.dimensions)))

    @property
    def evaluated_samples(self) -> float:
        """The budget of a run: samples through gradient evaluations."""
        return self.config.steps * self.config.batch_size * (self.evaluations or 1.0)

    @property
    def facts(self) -> dict[str, Any]:
        """What run.json says of the cell."""
        shared = {"choices": list(self.choices), "workload": list(self.workload)}
        return {"cell": self.label, "budget": self.budget, **shared, "searched": [d.key for d in self.box.dimensions]}

    def run(self, stage: str, trial: int, seed: int, values: Mapping[str, Any]) -> Planned:
        """The run of this cell at these values and seed."""
        config = self.variation.at({**values, "seed": seed})
        return Planned(self.number, stage, trial, config, config.run_id)


@dataclass(frozen=True)
class Planned:
    """A run that the study asks for."""

    cell: int
    stage: str
    trial: int
    config: RunConfig
    run_id: str

    @property
    def turn(self) -> tuple[bool, int, int]:
        """The tuning before the final runs, and of each stage the cells by turns, trial by trial or seed by seed, so
        that a machine that grows slower or busier does so for all of them."""
        return self.stage != TUNE, self.trial if self.stage == TUNE else self.config.seed, self.cell


def expand(study: Study, config_dir: Path | None = None) -> list[Cell]:
    """Every cell of a study. ConfigError for what is wrong with any of them, before anything runs."""
    asked = parse_sweep(study.overrides, config_dir)
    for dimension in asked.dimensions:
        if dimension.key.split(".")[0] not in SEARCHED and "." not in dimension.key:
            raise ConfigError(
                f"{dimension.key}: an interval searches a hyperparameter", "e.g. optimizer.lr=interval(0,1)"
            )
    check_boxes(study, config_dir)
    combinations = itertools.product(*[[f"{axis.key}={value}" for value in axis.values] for axis in asked.axes])
    cells = [
        make_cell(number, study, asked, choices, budget, config_dir)
        for number, (choices, budget) in enumerate(itertools.product(combinations, study.budgets))
    ]
    check_searched(study, cells)
    check_budgets(study, cells)
    return cells


def check_boxes(study: Study, config_dir: Path | None) -> None:
    """ConfigError for a box of an optimizer that nobody has; one that this study does not compare is no mistake."""
    known = options(config_folders(config_dir), "optimizer")
    for name in study.boxes:
        if name.isidentifier() and name not in known:  # others are somebody's own: ./mine.py:Mine, timm/NAME
            raise ConfigError(f"boxes: there is no optimizer '{name}'", suggest(name, known))


def make_cell(
    number: int, study: Study, asked: SweepOverrides, choices: Sequence[str], budget: float, config_dir: Path | None
) -> Cell:
    """One cell: composed, its budget divided by the gradient evaluations of its steps."""
    overrides = [*asked.fixed, *choices]
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
        box = box_of(study, asked, variation)
        if study.needs_target and variation.base.target is None:
            workload = f"{config.model.name} on {config.data.name}"
            raise ConfigError(
                f"--protocol {study.protocol} needs a target, and {workload} has none",
                f"Say target=VALUE, or: optbench targets set {config.model.name}",
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
        evaluations=evaluations,
        variation=variation,
    )


def label(choices: Sequence[str], config: RunConfig, budget: float, study: Study) -> str:
    """A short name of a cell: the values of the groups, `key=value` of anything else."""
    parts = [text.partition("=") for text in choices]
    words = ["".join(part) if "." in part[0] or part[2] in ("true", "false") else part[2] for part in parts]
    words = [text for text in words if text] or [config.optimizer.name]
    return " ".join(words).replace("\\:", ":") + (f" x{budget:g}" if len(study.budgets) > 1 else "")


def workload_of(choices: Sequence[str], budget: float, optimizer_side: Collection[str]) -> tuple[str, ...]:
    """The choices that make the workload, with the budget: all but those of the optimizer's side."""
    own = [text for text in choices if text.partition("=")[0].split(".")[0] not in optimizer_side]
    return (*own, f"budget={budget:g}")


def evaluations_of(optimizer: Choice) -> float | None:
    """Gradient evaluations of a step, as the optimizer's file declares them (`about.evaluations`; one where it says
    nothing): a number, {every: KEY, count: N} for N more in every KEY-th step, or `varies` (None)."""
    declared = optimizer.about.get("evaluations", 1)
    if isinstance(declared, Mapping):
        return 1.0 + declared["count"] / optimizer.settings[declared["every"]]
    return None if isinstance(declared, str) else float(declared)


def box_of(study: Study, asked: SweepOverrides, variation: Variation) -> Box:
    """What is searched: the optimizer's published box, or the study's for it, without what is given a value, and with
    the intervals of the command line in the place of its own."""
    if not study.searched:
        return Box(())
    config = variation.base
    own = study.boxes.get(config.optimizer.name)
    published = (
        boxes_of(config.optimizer.about, "optimizer")
        if own is None
        else tuple(dimension_of_spec(f"optimizer.{key}", spec) for key, spec in own.items())
    )
    given = {dimension.key: dimension for dimension in asked.dimensions}
    set_apart = {text.partition("=")[0] for text in config.overrides}
    dimensions = [given.pop(d.key, d) for d in published if d.key not in set_apart]
    dimensions += given.values()
    return Box(tuple(checked_dimension(dimension, variation) for dimension in dimensions))


def checked_dimension(dimension: Dimension, variation: Variation) -> Dimension:
    """The dimension, of whole numbers where its key takes no others: Hydra reads interval(2,8) as of any numbers.
    ConfigError for a value that is not valid."""
    key, whole = dimension.key, []
    for value in dimension.values or (dimension.low, dimension.high):
        config = variation.at({key: int(value) if dimension.integer else value})
        taken = flatten(config.as_dict())[key]
        whole.append(isinstance(taken, int) and not isinstance(taken, bool))
    return dimension if dimension.values else replace(dimension, integer=dimension.integer or all(whole))


def check_searched(study: Study, cells: Sequence[Cell]) -> None:
    """ConfigError where some cells are searched and some are not."""
    searched = [cell for cell in cells if len(cell.box)]
    bare = [cell for cell in cells if not len(cell.box)]
    if study.searched and searched and bare and not study.allow_unequal:
        raise ConfigError(
            f"unequal budgets: {searched[0].label} has {study.trials} trials, {bare[0].label} has nothing to search",
            "Give it an interval, fix the values of all, or take it so: --allow-unequal",
        )


def check_budgets(study: Study, cells: Sequence[Cell]) -> None:
    """ConfigError where cells that are compared differ in samples through gradient evaluations by more than
    rounding."""
    for _, group in itertools.groupby(sorted(cells, key=lambda c: c.workload), key=lambda c: c.workload):
        compared = list(group)
        if study.allow_unequal or len(compared) < 2:
            continue
        for cell in compared:
            if cell.evaluations is None:
                raise ConfigError(
                    f"unequal budgets: the gradient evaluations of a step of {cell.label} vary",
                    "Take it so, and reports truncate to the common budget: --allow-unequal",
                )
        least, most = (pick(compared, key=lambda c: c.evaluated_samples) for pick in (min, max))
        step = max(c.evaluated_samples / c.config.steps for c in compared)
        if most.evaluated_samples - least.evaluated_samples > step:
            raise ConfigError(
                f"unequal budgets: {budget_words(least)}, {budget_words(most)}",
                "Give all the same, e.g. steps=1000; or take it so, and reports truncate: --allow-unequal",
            )


def budget_words(cell: Cell) -> str:
    """The budget of a cell."""
    per_step = f" x {cell.evaluations:g} gradient evaluations" if cell.evaluations != 1 else ""
    return f"{cell.label} has {cell.config.steps:,} steps of {cell.config.batch_size}{per_step}"
