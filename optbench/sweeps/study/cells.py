"""The cells of a study and their runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from optbench.config import RunConfig, Variation
from optbench.config.trees import flatten, leaf
from optbench.sweeps.study.space import Box

TUNE, FINAL = "tune", "final"


@dataclass(frozen=True)
class Cell:
    """One combination of the compared choices, at one budget."""

    number: int
    choices: tuple[str, ...]
    """The overrides that distinguish it."""
    budget: float
    """Share of the workload's budget."""
    label: str
    workload: tuple[str, ...]
    """The choices that it shares with the cells it is compared with."""
    box: Box
    evaluations: float | None
    """Gradient evaluations per step; None if they vary."""
    variation: Variation
    box_name: str = ""
    """published, the name of another box of its file, or study for one that the study states; empty: no search."""
    given: tuple[str, ...] = ()
    """Values that this cell alone has among those it is compared with, as "key=value (source)"."""
    dropped: tuple[str, ...] = ()
    """Values of its recipe that it doesn't have because others have none, in the same form."""

    @property
    def config(self) -> RunConfig:
        """The configuration with its own values of what is searched."""
        return self.variation.base

    @property
    def lowest_corner(self) -> RunConfig:
        """The configuration at the lowest corner of the box. With the smallest learning rate steps can be timed, where
        the defaults may diverge at once."""
        if not self.box.dimensions:
            return self.config
        return self.variation.at(self.box.at([0.0] * len(self.box.dimensions)))

    @property
    def own_values(self) -> dict[str, Any]:
        """The configuration's own values of what is searched."""
        leaves = flatten(self.config.as_dict())
        return {d.key: leaf(leaves, d.key) for d in self.box.dimensions}

    @property
    def evaluated_samples(self) -> float:
        """The budget of a run: samples through gradient evaluations."""
        return self.config.steps * self.config.batch_size * (self.evaluations or 1.0)

    @property
    def metadata(self) -> dict[str, object]:
        """The cell's part of run.json."""
        shared = {"choices": list(self.choices), "workload": list(self.workload)}
        searched = [d.key for d in self.box.dimensions]
        return {"cell": self.label, "budget": self.budget, **shared, "searched": searched, "given": list(self.given)}

    def run(self, stage: str, trial: int, seed: int, values: Mapping[str, Any], **marks: Any) -> PlannedRun:
        """Return the run of this cell at these values and seed; `marks` are the last fields of PlannedRun."""
        config = self.variation.at({**values, "seed": seed})
        return PlannedRun(self.number, stage, trial, config, config.run_id, **marks)


@dataclass(frozen=True)
class PlannedRun:
    """A run of a study."""

    cell: int
    stage: str
    trial: int
    config: RunConfig
    run_id: str
    group: int | None = None
    """The scramble of its point, or AlgoPerf's study; None if points are not in groups."""
    confirms: bool = False
    """True for a further seed of a shortlisted trial: no pruner ends it."""

    def priority(self, pack: int = 1) -> tuple[bool, int, int, int]:
        """Sort key: tuning before final runs, then trial by trial (or seed by seed), with the cells taking turns. A
        machine that slows down then does so for all cells. `pack` trials of a cell follow each other."""
        number = self.trial if self.stage == TUNE else self.config.seed
        return self.stage != TUNE, number // pack, self.cell, number
