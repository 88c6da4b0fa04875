"""One run folder as a row of the table of runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from optbench.records import SCHEMA
from optbench.reports.read.columns import COLUMNS

OPEN, PRUNED = "open", "pruned"
NOT_OF_A_WORKLOAD = ("model", "data", "budget")
LARGEST = 1e300  # of a number that is believed; nan is not less than it
SIGNED = {"val", "test", "train", "val_loss", "test_loss", "train_loss", "val_trivial", "best_val", "target"}
ENDINGS = {  # column: where result.json has it
    "val": ("final", "val_metric"),
    "test": ("final", "test_metric"),
    "train": ("final", "train_metric"),
    "val_loss": ("final", "val_loss"),
    "test_loss": ("final", "test_loss"),
    "train_loss": ("final", "train_loss"),
    "val_trivial": ("final", "val_trivial"),
    "best_val": ("best", "val_metric"),
    "best_step": ("best", "step"),
    "samples": ("samples",),
    "gradient_evaluations": ("gradient_evaluations",),
    "train_seconds": ("train_seconds",),
    "wall_seconds": ("wall_seconds",),
    "parameter_bytes": ("bytes", "parameters"),
    "gradient_bytes": ("bytes", "gradients"),
    "samples_per_second": ("throughput", "samples_per_second"),
    "step_ms_median": ("throughput", "step_ms_median"),
    "step_ms_p95": ("throughput", "step_ms_p95"),
    "flops_per_step": ("throughput", "flops_per_step"),
}


class Strange(Exception):
    """A file that cannot be read as what its name says; the reason."""


def row_of(folder: Path, root: Path, cells: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """One run. Raises Strange where its files are damaged, KeyError and the like where they are not a run's."""
    run = known(folder / "run.json")
    config, sweep, versions = run["config"], run.get("sweep") or {}, run.get("versions") or {}
    cell = sweep if sweep.get("choices") else cells.get(sweep.get("cell"), {})
    workload = [word for word in cell.get("workload") or () if word.partition("=")[0] not in NOT_OF_A_WORKLOAD]
    compared = [word for word in cell.get("choices") or () if word not in (cell.get("workload") or ())]
    hardware = run.get("hardware") or {}
    device = hardware.get("gpu") or f"{hardware.get('cpu')} x {hardware.get('cores')}"
    if (run.get("ranks") or 1) > 1:
        device = f"{run['ranks']} ranks of {device}"
    row = dict.fromkeys(COLUMNS) | {
        "study": folder.parent.name,
        "run_id": str(run["run_id"]),
        "trial_id": run.get("trial_id"),
        "stage": run.get("stage") or "",
        "seed": int(run["seed"]),
        "cell": sweep.get("cell"),
        "trial": sweep.get("trial"),
        "budget": sweep.get("budget"),
        "workload": " ".join([f"{config['model']['name']}-{config['data']['name']}", *workload]),
        "contender": " ".join(word.removeprefix("optimizer=") for word in compared) or config["optimizer"]["name"],
        "optimizer": config["optimizer"]["name"],
        "implementation": run.get("implementation"),
        "model": config["model"]["name"],
        "data": config["data"]["name"],
        "steps": int(config["steps"]),
        "batch_size": int(config["batch_size"]),
        "threads": config.get("threads"),
        "precision": config.get("precision"),
        "hardware": device if hardware else None,
        "shared": bool(sweep.get("shared")),
        "data_sha256": (run.get("data") or {}).get("sha256"),
        "optbench_version": versions.get("optbench"),
        "torch_version": versions.get("torch"),
        "git_commit": (run.get("git") or {}).get("commit"),
        "metric": run.get("metric"),
        "direction": run.get("direction"),
        "target": number(config.get("target")),
        "pictures": [str(file.relative_to(root)) for file in sorted((folder / "pictures").glob("*.png"))],
        "overrides": [str(word) for word in run.get("overrides") or ()],
        "config": json.dumps(config),
        "folder": str(folder.relative_to(root)),
        **ending(folder),
    }
    check_types(row)
    return row


def check_types(row: Mapping[str, Any]) -> None:
    """TypeError for a value that is not of its column's type."""
    for name, (kind, _) in COLUMNS.items():
        value = row[name]
        kinds = (int, float) if kind in (int, float) else (kind,)
        if value is not None and (not isinstance(value, kinds) or (isinstance(value, bool) and kind is not bool)):
            raise TypeError(f"{name} is {value!r}")
        if isinstance(value, (int, float)) and not (-LARGEST < value < LARGEST and (value >= 0 or name in SIGNED)):
            raise TypeError(f"{name} is {value!r}")


def ending(folder: Path) -> dict[str, Any]:
    """The columns that the end of a run fills."""
    if (folder / "result.json").exists():
        result = known(folder / "result.json")
        sizes = result.get("bytes") or {}
        state = [number(size) or 0 for size in (sizes.get("optimizer_state") or {}).values()]
        return {
            "status": str(result["status"]),
            "reason": result.get("reason") or "",
            "seconds": {phase: number(value) for phase, value in (result.get("seconds") or {}).items()},
            "state_bytes": sum(state) if sizes.get("optimizer_state") is not None else None,
            "peak_bytes": number(sizes.get("peak_allocated") or sizes.get("resident")),
            "resumed": bool(result.get("resumed_from_steps")),
            **{column: number(inside(result, place)) for column, place in ENDINGS.items()},
        }
    if (folder / "pruned.json").exists():
        return {"status": PRUNED, "reason": known(folder / "pruned.json", schema=False).get("reason") or ""}
    return {"status": OPEN, "reason": ""}


def inside(tree: Any, place: tuple[str, ...]) -> Any:
    """A value inside a tree, None where there is none."""
    for name in place:
        tree = tree.get(name) if tree is not None else None
    return tree


def number(value: Any) -> float | None:
    """A number or None. Raises TypeError for anything else."""
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value
    raise TypeError(f"expected a number, found {value!r}")


def known(file: Path, *, schema: bool = True) -> dict[str, Any]:
    """A JSON object of a schema that we know. Raises Strange."""
    try:
        tree = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Strange(f"{file.name} cannot be read: {error}") from None
    except RecursionError:
        raise Strange(f"{file.name} cannot be read: it is nested too deeply") from None
    if not isinstance(tree, dict):
        raise Strange(f"{file.name} is not a JSON object")
    if schema and tree.get("schema") != SCHEMA:
        raise Strange(f"{file.name} has schema {tree.get('schema')!r}, and {SCHEMA} is known")
    return tree
