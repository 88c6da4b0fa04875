"""How much time and memory does `step()` alone take, in every installed implementation of an algorithm?

    optbench bench step optimizer=adamw
    optbench bench step algorithms=elementwise shapes=resnet18,vit_b,bert_base

The implementations take turns in one process, on parameter sets with the real shapes of known networks and fixed random
gradients. The floor is the time to move every byte once that a step must read (parameters, gradients, state) and write
(parameters, state), at the bandwidth measured in the same turns. One more step is counted: its kernels on CUDA, on
a CPU its operations on tensors; and how often the host waits for the device.
"""

from __future__ import annotations

import gc
import logging
import statistics
from collections.abc import Callable, Sequence

import torch

from optbench.benches import Report, comma_separated
from optbench.benches.stepping.contestants import Contestant, contestants, is_elementwise, select_configs
from optbench.benches.stepping.counting import calls_of
from optbench.benches.stepping.shapes import SETS
from optbench.benches.stepping.tables import lines
from optbench.benches.stepping.timing import Floor, milliseconds, take_turns
from optbench.config import Choice, RunConfig
from optbench.errors import ConfigError
from optbench.optimizers.core.state_bytes import state_bytes
from optbench.training.device import configure_torch, resolve_device
from optbench.training.memory import peak_extra_bytes
from optbench.training.seeding import seed_all, seeds_of

__all__ = ["lines", "measure"]
log = logging.getLogger(__name__)
DEFAULT_SHAPES = {"cpu": "resnet18,vit_s,bert_s", "cuda": "resnet18,vit_b,bert_base"}
PLAIN_ENGINES = ("eager", "foreach")
GOALS = {  # a measure of our compiled rule, its aggregate over the parameter sets, the largest value
    "cpu": [
        ("ratio_to_eager", "median", 0.55),
        ("ratio_to_compiled", "median", 1.15),
        ("ratio_to_compiled", "max", 1.3),
    ],
    "cuda": [("ratio_to_floor", "max", 1.3)],
}
MATRIX_GOALS = [("ratio_to_fastest", "max", 0.7)]
"""Of a rule of matrices in its faster engine, on each device: against every other project that does the same work."""
AGGREGATES: dict[str, Callable[[Sequence[float]], float]] = {"median": statistics.median, "max": max}


def measure(config: RunConfig, algorithms: str = "", shapes: str = "", rounds: int = 30) -> Report:
    """Return a row for every implementation of every algorithm on every parameter set.

    `algorithms`: names separated by commas, or "elementwise"; by default that of `optimizer=`. `shapes`: parameter sets
    separated by commas; the default depends on the device. `rounds`: turns of each implementation."""
    device = resolve_device(config.device)
    configure_torch(config, device)
    seed_all(seeds_of(config.seed).init)
    names = known_shapes(shapes or DEFAULT_SHAPES[device.type])
    if rounds < 1:
        raise ConfigError(f"rounds={rounds}: must be at least 1")
    rows: list[Report] = []
    goals: list[Report] = []
    skipped: list[dict[str, str]] = []
    for choice in [chosen.optimizer for chosen in select_configs(config, algorithms)]:
        for name in names:
            log.info(f"{choice.name} on {name}")
            rows += compare(choice, name, device, rounds, skipped)
            gc.collect()  # an optimizer and its hooks refer to each other
        goals += goals_of(choice, [row for row in rows if row["algorithm"] == choice.name], device)
    facts = {"device": device.type, "threads": config.threads, "rounds": rounds, "torch": torch.__version__}
    return {**facts, "rows": rows, "goals": goals, "skipped": skipped}


def known_shapes(text: str) -> list[str]:
    """Return the names of parameter sets in `text`. Raises ConfigError for unknown names."""
    names = comma_separated(text)
    for name in names:
        if name not in SETS:
            raise ConfigError(f"shapes={text}: unknown parameter set '{name}'", f"Choose from {', '.join(SETS)}")
    return names


def compare(
    choice: Choice, shapes: str, device: torch.device, rounds: int, skipped: list[dict[str, str]]
) -> list[Report]:
    """Return a row for each implementation of one algorithm on one parameter set."""
    found = contestants(choice, shapes, device, skipped)
    if not found:
        return []
    tensors = [p for group in found[0].optimizer.param_groups for p in group["params"]]
    floor = Floor(sum(p.numel() for p in tensors), device)
    take_turns([*found, floor], rounds, device)
    for one in found:
        one.peak_extra_bytes = peak_extra_bytes(one.optimizer.step, device)
        one.calls = calls_of(one.optimizer.step, device, one.engine)
    facts = {"shapes": shapes, "tensors": len(tensors), "parameters": floor.a.numel()}
    return with_ratios([{**facts, **row_of(one, floor)} for one in found])


def row_of(one: Contestant, floor: Floor) -> Report:
    """Return the measurements of one implementation."""
    elements, state = floor.a.numel(), state_bytes(one.optimizer)
    total_state = sum(state.values())
    moved = 12 * elements + 2 * total_state  # float32: read gradients, read and write parameters and state
    times = milliseconds(one.seconds)
    floor_ms = 1e3 * moved / floor.bytes_per_second()
    return {
        "algorithm": one.algorithm,
        "implementation": one.implementation,
        "engine": one.engine,
        "work": one.work,
        "ours": one.ours,
        "has_matrix_rule": one.has_matrix_rule,
        **times,
        "floor_ms": floor_ms,
        "ratio_to_floor": times["ms"] / floor_ms,
        "state_bytes": total_state,
        "state_bytes_by_dtype": state,
        "state_bytes_per_parameter": total_state / elements,
        "peak_extra_bytes": one.peak_extra_bytes,
        **one.calls._asdict(),
        "first_seconds": one.first_seconds,
    }


def with_ratios(rows: list[Report]) -> list[Report]:
    """Return the rows with their times divided by those of the fastest ones of other projects that do the same work.

    `ratio_to_eager`, `_compiled`, `_fastest`: of its kind, or of any. Multi-tensor counts as eager, fused as compiled.
    A ratio is None if there is no such implementation."""
    for row in rows:
        equal = [one for one in rows if not one["ours"] and one["work"] == row["work"]]
        kinds = {
            "eager": [one["ms"] for one in equal if one["engine"] in PLAIN_ENGINES],
            "compiled": [one["ms"] for one in equal if one["engine"] not in PLAIN_ENGINES],
            "fastest": [one["ms"] for one in equal],
        }
        row.update({f"ratio_to_{kind}": row["ms"] / min(ms) if ms else None for kind, ms in kinds.items()})
    return rows


def goals_of(choice: Choice, rows: list[Report], device: torch.device) -> list[Report]:
    """Return the goals of our rule with their outcome: of compiled elementwise rules, and of rules of matrices."""
    if any(row["has_matrix_rule"] for row in rows):
        bounds, ours = MATRIX_GOALS, fastest_of_ours(rows)
    elif is_elementwise(choice):
        bounds = GOALS[device.type]
        ours = [row for row in rows if row["ours"] and row["engine"] not in PLAIN_ENGINES]
    else:
        return []
    goals = []
    for name, aggregate, bound in bounds if ours else []:
        values = [row[name] for row in ours if row[name] is not None]
        value = AGGREGATES[aggregate](values) if values else None
        holds = None if value is None else value <= bound
        goal = {"algorithm": choice.name, "measure": name, "over_shapes": aggregate, "bound": bound, "value": value}
        goals.append({**goal, "holds": holds, "rule": "matrices" if bounds is MATRIX_GOALS else "compiled"})
    return goals


def fastest_of_ours(rows: list[Report]) -> list[Report]:
    """Return the row of our faster engine for each parameter set and work."""
    ours = sorted((row for row in rows if row["ours"]), key=lambda row: -row["ms"])
    return list({(row["shapes"], row["work"]): row for row in ours}.values())
