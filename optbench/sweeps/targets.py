"""Target values by AlgoPerf's procedure (Dahl et al., 2023, arXiv:2306.07179, section 4.3), at any scale.

Standard optimizers are tuned by quasi-random trials, and the best configuration of all is rerun on fresh seeds. The
target on validation is the median over the reruns of each one's best value on validation. The target on test is the
worst final test value of the reruns that reached the first target. AlgoPerf tunes AdamW, NadamW, Nesterov and
heavy-ball momentum by 200 trials and reruns 20 times; conf/protocol/targets.yaml has the numbers used here. `nadam`
stands for NadamW: its weight decay is coupled, as in its paper, so its box differs from NadamW's."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Context
from typing import TYPE_CHECKING, Any

from optbench.config.runconfig import sha256_of
from optbench.config.target import workload_sha256
from optbench.errors import ConfigError, ExpectationFailed
from optbench.store import read_run
from optbench.sweeps.study.outcomes import Outcome

if TYPE_CHECKING:
    from optbench.sweeps.scheduler.cell_progress import CellProgress
    from optbench.sweeps.scheduler.scheduler import Scheduler
    from optbench.sweeps.study.cells import Cell

PROTOCOL = "targets"
DIGITS = 6  # significant digits of a target
NOT_LISTED = ("model", "data", "optimizer", "target", "steps", "samples", "batch_size", "threads")
"""Overrides that are left out of `procedure.overrides`, because other keys of the file state them."""


# -- the rule ----------------------------------------------------------------------------------------------------------


def validation_target(reruns: Sequence[Outcome], direction: str) -> float | None:
    """Return the median over the reruns of each one's best value on validation; None if it is not finite.

    A failed rerun counts as worse than all others: leaving it out would make the target easier."""
    sign = 1.0 if direction == "max" else -1.0
    known = [o.best_val if o.succeeded and o.best_val is not None else -sign * math.inf for o in reruns]
    median = statistics.median(known) if known else math.nan
    return round_easier(median, direction) if math.isfinite(median) else None


def round_easier(value: float, direction: str) -> float:
    """Return the value rounded to DIGITS significant digits, towards the easier side.

    The run that a ratio such as an accuracy is taken from would otherwise miss the rounded target."""
    rounding = ROUND_FLOOR if direction == "max" else ROUND_CEILING
    return float(Context(prec=DIGITS, rounding=rounding).create_decimal(repr(value))) or 0.0  # never -0.0


def reached(outcome: Outcome, value: float, direction: str) -> bool:
    """Return True if a run reached the target at one of its evaluations."""
    if not outcome.succeeded or outcome.best_val is None:
        return False
    return outcome.best_val >= value if direction == "max" else outcome.best_val <= value


def test_target(reruns: Sequence[Outcome], value: float, direction: str) -> float | None:
    """Return the worst test value of the reruns that reached the target on validation; None if there is none."""
    known = [o.test for o in reruns if reached(o, value, direction) and o.test is not None]
    worst = min if direction == "max" else max
    return round_easier(worst(known), direction) if known else None


# -- the target of a study ---------------------------------------------------------------------------------------------


def check_one_workload(cells: Sequence[Cell]) -> None:
    """Raise ConfigError if the cells differ in more than the optimizer."""
    kinds = {(workload_sha256(c.config), c.config.batch_size, c.config.steps, c.config.threads) for c in cells}
    if len(kinds) > 1:
        raise ConfigError(
            "a target is for one workload, and these cells differ in model, data, batch size, steps or threads",
            "Set one target after the other",
        )


def target_of(scheduler: Scheduler) -> dict[str, Any]:
    """Return the content of a target's file, without its version, from a finished study.

    Raises ExpectationFailed if too many runs failed."""
    progress = rerun_cell(scheduler)
    reruns = [scheduler.outcomes[run.run_id] for run in progress.finals]
    metric, direction = next(((o.metric, o.direction) for o in reruns if o.metric and o.direction), ("", ""))
    value = validation_target(reruns, direction)
    if value is None:
        failed = sum(not o.succeeded for o in reruns)
        raise ExpectationFailed(
            f"no target: {failed} of {len(reruns)} reruns of {progress.cell.label} failed",
            f"The logs: {scheduler.folder / 'logs'}",
        )
    config = progress.cell.config
    run = read_run(scheduler.folder / progress.finals[0].run_id / "run.json") or {}
    procedure = procedure_of(scheduler)
    fixed = {"metric": metric, "direction": direction, "steps": config.steps, "batch_size": config.batch_size}
    fixed |= {"data_sha256": (run.get("data") or {}).get("sha256"), "workload_sha256": workload_sha256(config)}
    return {
        **fixed,
        "value": value,
        "test_value": test_target(reruns, value, direction),
        "procedure": procedure,
        "procedure_sha256": sha256_of({**fixed, "procedure": procedure}),
        "best": {"optimizer": progress.cell.label, "values": dict(progress.winning_values or {})},
        "reached": sum(reached(o, value, direction) for o in reruns),
        **provenance(run),
    }


def rerun_cell(scheduler: Scheduler) -> CellProgress:
    """Return the cell whose winner was rerun. Raises ExpectationFailed if there is none."""
    found = [cell for cell in scheduler.progress.cells if cell.finals]
    if not found:
        labels = ", ".join(cell.label for cell in scheduler.cells)
        raise ExpectationFailed(f"no target: no trial of {labels} succeeded", f"The logs: {scheduler.folder / 'logs'}")
    return found[0]


def procedure_of(scheduler: Scheduler) -> dict[str, Any]:
    """Return the procedure. With the data and the workload it determines the target."""
    study, cells = scheduler.study, scheduler.cells
    left_out = {*NOT_LISTED, *cells[0].config.not_identity}
    return {
        "protocol": study.protocol,
        "optimizers": [cell.label for cell in cells],
        "boxes": {cell.label: cell.box.as_dict() for cell in cells},
        "trials": study.trials,
        "seeds": study.seeds,
        "tune_seeds": study.tune_seeds,
        "sampler": study.sampler,
        "search_seed": study.search_seed,
        "budget": study.budgets[0],
        "threads": cells[0].config.threads,
        "overrides": sorted(text for text in study.overrides if text.partition("=")[0].lstrip("+") not in left_out),
    }


def provenance(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return device, versions and day of a rerun, from its run.json."""
    hardware, versions = run.get("hardware") or {}, run.get("versions") or {}
    return {
        "device": hardware.get("gpu") or hardware.get("cpu"),
        "versions": {name: versions.get(name) for name in ("optbench", "torch")},
        "set_on": (run.get("started_at") or "")[:10],
    }
