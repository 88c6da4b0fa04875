"""Equal budgets: compared cells have the same number of trials and of samples through gradient evaluations."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence

from optbench.errors import ConfigError
from optbench.sweeps.study.boxes import WAYS
from optbench.sweeps.study.cells import Cell
from optbench.sweeps.study.study import Study

log = logging.getLogger(__name__)


def check_searched(study: Study, cells: Sequence[Cell]) -> None:
    """Raise ConfigError if some cells are searched and others are not."""
    searched = [cell for cell in cells if len(cell.box)]
    fixed = [cell for cell in cells if not len(cell.box)]
    for cell in fixed if study.searched and not searched else ():
        optimizer = cell.config.optimizer
        if optimizer.settings["impl"] == "user" and not optimizer.about.get("search"):
            log.warning(f"{cell.label} has nothing to search, so it runs as it is. {WAYS % optimizer.name}")
    if study.searched and searched and fixed and not study.allow_unequal:
        raise ConfigError(
            f"unequal budgets: {searched[0].label} is tuned, {fixed[0].label} has nothing to search",
            f"{WAYS % fixed[0].config.optimizer.name}; or fix the values of all, or allow it: --allow-unequal",
        )


def check_budgets(study: Study, cells: Sequence[Cell]) -> None:
    """Raise ConfigError if compared cells differ in samples through gradient evaluations by more than rounding."""
    for _, group in itertools.groupby(sorted(cells, key=lambda c: c.workload), key=lambda c: c.workload):
        compared = list(group)
        if study.allow_unequal or len(compared) < 2:
            continue
        for cell in compared:
            if cell.evaluations is None:
                raise ConfigError(
                    f"unequal budgets: the gradient evaluations per step of {cell.label} vary",
                    "To allow it, with reports that truncate to the common budget: --allow-unequal",
                )
        least, most = (pick(compared, key=lambda c: c.evaluated_samples) for pick in (min, max))
        step = max(c.evaluated_samples / c.config.steps for c in compared)
        if most.evaluated_samples - least.evaluated_samples > step:
            raise ConfigError(
                f"unequal budgets: {describe_budget(least)}, {describe_budget(most)}",
                "Give all the same, e.g. steps=1000; or allow it, with reports that truncate: --allow-unequal",
            )


def describe_budget(cell: Cell) -> str:
    """Return the budget of a cell in words."""
    per_step = f" x {cell.evaluations:g} gradient evaluations" if cell.evaluations != 1 else ""
    return f"{cell.label} has {cell.config.steps:,} steps of {cell.config.batch_size}{per_step}"
