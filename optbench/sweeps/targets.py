"""Target values by AlgoPerf's procedure (Dahl et al., 2023, arXiv:2306.07179, section 4.3), at any scale.

Standard optimizers are tuned by quasi-random trials, the best configuration of all is rerun on fresh seeds. The target
on validation is the median over the reruns of each one's best value on validation; the target on test is the worst test
value, at the end, among the reruns that reached it. AlgoPerf tunes AdamW, NadamW, Nesterov and heavy-ball momentum by
200 trials and reruns 20 times; conf/protocol/targets.yaml says what is done here. `nadam` stands for NadamW there: its
weight decay is coupled, as in its paper, so that its box is not NadamW's.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.config import read_yaml
from optbench.config.runconfig import sha256_of
from optbench.config.target import FOLDER, workload_sha256
from optbench.errors import ConfigError, ExpectationFailed
from optbench.store import explained, read_json, write_atomically
from optbench.sweeps.study.outcomes import Outcome

if TYPE_CHECKING:
    from optbench.sweeps.scheduler.cell_progress import Course
    from optbench.sweeps.scheduler.scheduler import Conductor
    from optbench.sweeps.study.cells import Cell

PROTOCOL = "targets"
DIGITS = 6  # significant ones of a target
OF_A_WRITING = ("version", "set_on")  # keys that differ between two settings of one target
SAID_ELSEWHERE = ("model", "data", "optimizer", "target", "steps", "samples", "batch_size", "threads")
"""Overrides that need no place among `procedure.overrides`."""
COMMENTS = {
    "value": "of {metric} on validation that counts as trained: median over the reruns of each one's best value",
    "metric": "on validation",
    "direction": "max: larger is better; min: smaller is better",
    "test_value": "of {metric} on test, at the end of a run: the worst one of the reruns that reached the value above",
    "steps": "optimizer steps of a run: the budget that the target is for",
    "batch_size": "samples per optimizer step; a run with another one has no target",
    "version": "counts up whenever the target is set anew and comes out otherwise",
    "data_sha256": "of the samples",
    "procedure": "how the target was set",
    "procedure.protocol": "conf/protocol/NAME.yaml",
    "procedure.optimizers": "which were tuned; the best trial of all was rerun",
    "procedure.boxes": "what was searched",
    "procedure.trials": "points of its box for each of them",
    "procedure.seeds": "reruns of the best configuration, on seeds that tuning has not seen",
    "procedure.tune_seeds": "runs of a trial",
    "procedure.sampler": "of the points",
    "procedure.search_seed": "of the points",
    "procedure.budget": "share of the workload's budget",
    "procedure.threads": "CPU threads of a run",
    "procedure.overrides": "what else was asked for",
    "procedure_sha256": "of procedure, budget, data and workload",
    "workload_sha256": "of the settings of model and data; a run with others has no target",
    "best": "the configuration that was rerun",
    "best.optimizer": "whose trial was the best of all on validation",
    "best.values": "what was found for it",
    "reached": "reruns whose best value reached the target",
    "device": "that the reruns ran on",
    "versions": "of the reruns",
    "set_on": "day of the first rerun",
}


# -- the rule ----------------------------------------------------------------------------------------------------------


def validation_target(reruns: Sequence[Outcome], direction: str) -> float | None:
    """The median over the reruns of each one's best value on validation; None where it is no number.

    A rerun that failed counts as worse than all others: it is not left out, which would ease the target."""
    sign = 1.0 if direction == "max" else -1.0
    known = [o.best_val if o.succeeded and o.best_val is not None else -sign * math.inf for o in reruns]
    median = statistics.median(known) if known else math.nan
    return towards_ease(median, direction) if math.isfinite(median) else None


def towards_ease(value: float, direction: str) -> float:
    """The value to six significant digits, on the side of ease: a run that is exactly as good reaches it. (A ratio of
    counts, such as an accuracy, would else be missed by the very run it is taken from.)"""
    rounding = ROUND_FLOOR if direction == "max" else ROUND_CEILING
    return float(Context(prec=DIGITS, rounding=rounding).create_decimal(repr(value))) or 0.0  # never -0.0


def reached(outcome: Outcome, value: float, direction: str) -> bool:
    """Whether a run came to the target at one of its evaluations."""
    if not outcome.succeeded or outcome.best_val is None:
        return False
    return outcome.best_val >= value if direction == "max" else outcome.best_val <= value


def test_target(reruns: Sequence[Outcome], value: float, direction: str) -> float | None:
    """The worst test value of the reruns that reached the target on validation; None where none of them has one."""
    known = [o.test for o in reruns if reached(o, value, direction) and o.test is not None]
    worst = min if direction == "max" else max
    return towards_ease(worst(known), direction) if known else None


# -- a study's target --------------------------------------------------------------------------------------------------


def check_one_workload(cells: Sequence[Cell]) -> None:
    """ConfigError where the cells differ in more than their optimizer's side."""
    kinds = {(workload_sha256(c.config), c.config.batch_size, c.config.steps, c.config.threads) for c in cells}
    if len(kinds) > 1:
        raise ConfigError(
            "a target is of one workload, and these cells differ in model, data, batch size, steps or threads",
            "Set one target after the other",
        )


def tree_of(conductor: Conductor) -> dict[str, Any]:
    """The content of a target's file, but for its version, from a study that is over.

    Raise ExpectationFailed if no run can serve as a target."""
    course = rerun(conductor)
    reruns = [conductor.outcomes[run.run_id] for run in course.finals]
    metric, direction = next(((o.metric, o.direction) for o in reruns if o.metric and o.direction), ("", ""))
    value = validation_target(reruns, direction)
    if value is None:
        failed = sum(not o.succeeded for o in reruns)
        raise ExpectationFailed(
            f"no target: {failed} of {len(reruns)} reruns of {course.cell.label} failed",
            f"The logs: {conductor.folder / 'logs'}",
        )
    config = course.cell.config
    facts = read_json(conductor.folder / course.finals[0].run_id / "run.json") or {}
    procedure = procedure_of(conductor)
    fixed = {"metric": metric, "direction": direction, "steps": config.steps, "batch_size": config.batch_size}
    fixed |= {"data_sha256": (facts.get("data") or {}).get("sha256"), "workload_sha256": workload_sha256(config)}
    tree = {
        **fixed,
        "value": value,
        "test_value": test_target(reruns, value, direction),
        "version": 1,
        "procedure": procedure,
        "procedure_sha256": sha256_of({**fixed, "procedure": procedure}),
        "best": {"optimizer": course.cell.label, "values": dict(course.winning_values or {})},
        "reached": sum(reached(o, value, direction) for o in reruns),
        **provenance(facts),
    }
    return {key: tree[key] for key in COMMENTS if key in tree}


def rerun(conductor: Conductor) -> Course:
    """The cell whose winner was rerun."""
    found = [course for course in conductor.courses.courses if course.finals]
    if not found:
        labels = ", ".join(cell.label for cell in conductor.cells)
        raise ExpectationFailed(f"no target: no trial of {labels} succeeded", f"The logs: {conductor.folder / 'logs'}")
    return found[0]


def procedure_of(conductor: Conductor) -> dict[str, Any]:
    """What was done: with the data and the workload, all that fixes the target."""
    study, cells = conductor.study, conductor.cells
    apart = {*SAID_ELSEWHERE, *cells[0].config.not_identity}
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
        "overrides": sorted(text for text in study.overrides if text.partition("=")[0].lstrip("+") not in apart),
    }


def provenance(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Where, by what and when, from the run.json of a rerun."""
    hardware, versions = facts.get("hardware") or {}, facts.get("versions") or {}
    return {
        "device": hardware.get("gpu") or hardware.get("cpu"),
        "versions": {name: versions.get(name) for name in ("optbench", "torch")},
        "set_on": (facts.get("started_at") or "")[:10],
    }


# -- the file ----------------------------------------------------------------------------------------------------------


def file_of(folder: Path, cell: Cell) -> Path:
    """Where a configuration folder keeps the target of a cell's workload."""
    return folder / FOLDER / f"{cell.config.model.name}-{cell.config.data.name}.yaml"


def versioned(tree: Mapping[str, Any], before: Mapping[str, Any] | None) -> dict[str, Any]:
    """The tree with its version: one more than that of the file before, or the file's own where nothing differs."""
    if before is None:
        return {**tree, "version": 1}
    old = int(before.get("version", 0))
    same = all(tree.get(key) == before.get(key) for key in {*tree, *before} - {*OF_A_WRITING})
    return dict(before) if same else {**tree, "version": old + 1}


def write(file: Path, tree: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Write a target's file, whole or not at all, if there is anything new; returns what it holds and held before."""
    before = read_yaml(file) if file.is_file() else None
    new = versioned(tree, before)
    if new != before:
        with explained(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, lambda out: out.write(text_of(new, file.stem).encode()))
    return new, before


def text_of(tree: Mapping[str, Any], name: str) -> str:
    """The tree as YAML, every key with its comment."""
    model = name.partition("-")[0]
    head = f"# Target of {name}, written by `optbench targets set {model}`: set it anew rather than edit it."
    return "\n".join([head, *lines_of(tree, "", {"metric": tree["metric"]})]) + "\n"


def lines_of(tree: Mapping[str, Any], prefix: str, words: Mapping[str, str]) -> list[str]:
    """The lines of a block mapping; a mapping whose keys have no comments and no mappings stands in one line."""
    lines = []
    indent = "  " * prefix.count(".")
    for key, value in tree.items():
        name = f"{prefix}{key}"
        comment = COMMENTS.get(name, "").format(**words)
        block = isinstance(value, Mapping) and is_block(name, value)
        text = f"{indent}{key}:" if block else f"{indent}{key}: {flow(value)}"
        lines.append(f"{text:<23}  # {comment}" if comment else text)
        lines += lines_of(value, f"{name}.", words) if block else []
    return lines


def is_block(name: str, value: Mapping[str, Any]) -> bool:
    """Whether each key of a mapping has a line of its own."""
    commented = any(known.startswith(f"{name}.") for known in COMMENTS)
    return commented or any(isinstance(inner, Mapping) for inner in value.values())


def flow(value: Any) -> str:
    """A value in YAML's flow style. Floats have a point, without which some readers take 1e-05 for text."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, float):
        text = repr(value)
        mantissa, exponent, power = text.partition("e")
        return f"{mantissa}.0e{power}" if exponent and "." not in mantissa else text
    plain = isinstance(value, str) and value.replace("_", "").isalpha() and value not in ("true", "false", "null")
    return value if plain else json.dumps(value)
