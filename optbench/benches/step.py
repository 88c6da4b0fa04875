"""The cost of `step()` alone: every installed implementation of an algorithm, taking turns in one process.

Parameter sets have the true shapes of known networks; gradients are random and stay the same. Beside the times stand
the bytes that each keeps and holds for a moment, and the floor: the time to move each byte once that must be read
(parameters, gradients, state) and written (parameters, state), at the bandwidth measured in the same turns.
"""

from __future__ import annotations

import gc
import logging
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import torch

from optbench.benches.stepping.contestants import Contestant, configured, contestants, is_elementwise
from optbench.benches.stepping.shapes import SETS
from optbench.benches.stepping.timing import Floor, milliseconds, take_turns
from optbench.config import Choice, RunConfig
from optbench.errors import ConfigError
from optbench.optimizers.core.state_bytes import state_bytes
from optbench.training.device import configure_torch, resolve_device
from optbench.training.memory import peak_extra_bytes
from optbench.training.seeding import seed_all, seeds_of

log = logging.getLogger(__name__)

SETTINGS = {"algorithms": "", "shapes": "", "rounds": 30}
"""What the command line may say: names separated by commas (none: that of optimizer=; or "elementwise"), parameter sets
separated by commas (none: those that suit the device), turns of each implementation."""
DEFAULT_SHAPES = {"cpu": "resnet18,vit_s,bert_s", "cuda": "resnet18,vit_b,bert_base"}
PLAIN_ENGINES = ("eager", "foreach")
GOALS = {  # measure, how it is taken over the parameter sets, bound
    "cpu": [
        ("ratio_to_eager", "median", 0.55),
        ("ratio_to_compiled", "median", 1.15),
        ("ratio_to_compiled", "max", 1.3),
    ],
    "cuda": [("ratio_to_floor", "max", 1.3)],
}
OVER_SHAPES: dict[str, Callable[[Sequence[float]], float]] = {"median": statistics.median, "max": max}


def measure(config: RunConfig, algorithms: str = "", shapes: str = "", rounds: int = 30) -> dict[str, Any]:
    """Every implementation of every algorithm on every parameter set."""
    device = resolve_device(config.device)
    configure_torch(config.threads, config.deterministic)
    seed_all(seeds_of(config.seed).init)
    names = known_shapes(shapes or DEFAULT_SHAPES[device.type])
    if rounds < 1:
        raise ConfigError(f"rounds={rounds}: at least one turn is needed")
    chosen = [found.optimizer for found in configured(config, algorithms)]
    rows: list[dict[str, Any]] = []
    goals: list[dict[str, Any]] = []
    skipped: list[dict[str, str]] = []
    for choice in chosen:
        for name in names:
            log.info(f"{choice.name} on {name}")
            rows += duel(choice, name, device, rounds, skipped)
            gc.collect()  # an optimizer and its hooks refer to each other
        goals += goals_of(choice, [row for row in rows if row["algorithm"] == choice.name], device)
    facts = {"device": device.type, "threads": config.threads, "rounds": rounds, "torch": torch.__version__}
    return {**facts, "rows": rows, "goals": goals, "skipped": skipped}


def known_shapes(text: str) -> list[str]:
    """The names of parameter sets in `text`; ConfigError for others."""
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in SETS:
            raise ConfigError(f"shapes={text}: there is no parameter set '{name}'", f"Known: {', '.join(SETS)}")
    return names


def duel(
    choice: Choice, shapes: str, device: torch.device, rounds: int, skipped: list[dict[str, str]]
) -> list[dict[str, Any]]:
    """One algorithm on one parameter set: a row for each implementation."""
    found = contestants(choice, shapes, device, skipped)
    if not found:
        return []
    tensors = [p for group in found[0].optimizer.param_groups for p in group["params"]]
    floor = Floor(sum(p.numel() for p in tensors), device)
    runners = [Turn(one) for one in found]
    take_turns([*runners, floor], rounds, device)
    for one in found:
        one.peak_extra_bytes = peak_extra_bytes(one.optimizer.step, device)
    facts = {"shapes": shapes, "tensors": len(tensors), "parameters": floor.a.numel()}
    return compared([{**facts, **row_of(one, floor)} for one in found])


class Turn:
    """A contestant as `take_turns` drives it."""

    def __init__(self, contestant: Contestant) -> None:
        self.step, self.seconds = contestant.optimizer.step, contestant.seconds


def row_of(one: Contestant, floor: Floor) -> dict[str, Any]:
    """What was measured of an implementation."""
    elements, state = floor.a.numel(), state_bytes(one.optimizer)
    kept = sum(state.values())
    moved = 12 * elements + 2 * kept  # float32: parameters both ways, gradients in, state both ways
    times = milliseconds(one.seconds)
    floor_ms = 1e3 * moved / floor.bytes_per_second()
    return {
        "algorithm": one.algorithm,
        "implementation": one.implementation,
        "engine": one.engine,
        "ours": one.ours,
        **times,
        "floor_ms": floor_ms,
        "ratio_to_floor": times["ms"] / floor_ms,
        "state_bytes": kept,
        "state_bytes_by_dtype": state,
        "state_bytes_per_parameter": kept / elements,
        "peak_extra_bytes": one.peak_extra_bytes,
        "first_seconds": one.first_seconds,
    }


def compared(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with their time as a multiple of the fastest of others: eager (multi-tensor included), and compiled or
    fused; None where there is no other."""
    others = [row for row in rows if not row["ours"]]
    eager = min((row["ms"] for row in others if row["engine"] in PLAIN_ENGINES), default=None)
    compiled = min((row["ms"] for row in others if row["engine"] not in PLAIN_ENGINES), default=None)
    for row in rows:
        row["ratio_to_eager"] = row["ms"] / eager if eager else None
        row["ratio_to_compiled"] = row["ms"] / compiled if compiled else None
    return rows


def goals_of(choice: Choice, rows: list[dict[str, Any]], device: torch.device) -> list[dict[str, Any]]:
    """Whether our compiled rule keeps the goals, over the parameter sets; elementwise rules have goals."""
    ours = [row for row in rows if row["ours"] and row["engine"] not in PLAIN_ENGINES]
    if not ours or not is_elementwise(choice):
        return []
    goals = []
    for measure_name, how, bound in GOALS[device.type]:
        values = [row[measure_name] for row in ours if row[measure_name] is not None]
        value = OVER_SHAPES[how](values) if values else None
        holds = None if value is None else value <= bound
        goals.append(
            {"algorithm": choice.name, "measure": measure_name, "over_shapes": how, "bound": bound, "value": value,
             "holds": holds}
        )  # fmt: skip
    return goals


# -- for people --------------------------------------------------------------------------------------------------------


def lines(report: dict[str, Any]) -> list[str]:
    """The tables of the report, the goals, and what could not be run."""
    text = [
        f"step() alone on {report['device']}, {report['threads']} threads, torch {report['torch']}, {report['rounds']} "
        "turns each; x: times the fastest of others and the floor of memory traffic"
    ]
    heads = dict.fromkeys((row["algorithm"], row["shapes"]) for row in report["rows"])
    for head in heads:
        text += table_of([row for row in report["rows"] if (row["algorithm"], row["shapes"]) == head])
    text += [goal_line(goal) for goal in report["goals"]]
    return text + [
        f"not run: {s['algorithm']} {s['implementation']} {s['shapes']}: {s['reason']}" for s in report["skipped"]
    ]


def table_of(rows: list[dict[str, Any]]) -> list[str]:
    """One algorithm on one parameter set, the fastest first."""
    first = rows[0]
    head = f"{first['algorithm']} on {first['shapes']}: {first['tensors']} tensors, {first['parameters']:,} parameters"
    names = f"  {'':34} {'ms':>8} {'25-75 %':>17} {'x eager':>8} {'x comp.':>8} {'x floor':>8} {'B/par.':>7} "
    return ["", head, f"{names}{'extra MB':>9} {'first s':>8}", *map(line_of, sorted(rows, key=lambda row: row["ms"]))]


def line_of(row: dict[str, Any]) -> str:
    """One implementation."""
    spread = f"{row['ms_quarter']:.2f}-{row['ms_three_quarters']:.2f}"
    ratios = " ".join(f"{number(row[f'ratio_to_{what}']):>8}" for what in ("eager", "compiled", "floor"))
    extra = row["peak_extra_bytes"]
    name = f"{row['implementation']} ({row['engine']})"
    return (
        f"  {name:34} {row['ms']:8.2f} {spread:>17} {ratios} {row['state_bytes_per_parameter']:7.2f} "
        f"{number(extra / 1e6 if extra is not None else None):>9} {row['first_seconds']:8.2f}"
    )


def number(value: float | None) -> str:
    """Two decimals, or a dash for what there is not."""
    return "-" if value is None else f"{value:.2f}"


def goal_line(goal: dict[str, Any]) -> str:
    """A goal with its value and whether it holds."""
    verdict = {True: "holds", False: "does not hold", None: "there is no other to compare with"}[goal["holds"]]
    return (
        f"goal {goal['algorithm']} (compiled): {goal['over_shapes']} {goal['measure']} <= {goal['bound']}: "
        f"{number(goal['value'])}, {verdict}"
    )
