"""One run folder as a row of the table of runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from optbench.config.initial_weights import init_label
from optbench.config.overrides import plain_text
from optbench.config.runconfig import sha256_of
from optbench.config.values import as_typed
from optbench.errors import printable
from optbench.files import read_json_file
from optbench.records import DEFAULT_TRIAL, SCHEMA
from optbench.reports.read.columns import COLUMNS, RunRow
from optbench.reports.read.study_file import CellEntry
from optbench.store.shapes import LARGEST, is_number

OPEN, PRUNED = "open", "pruned"
NOT_OF_A_WORKLOAD = ("model", "data", "budget", "part", "init", "freeze")  # or named by the configuration
OF_A_WORKLOAD = ("model", "data", "init")
INIT, FREEZE = "init", "freeze"
SIGNED = {
    "val",
    "test",
    "train",
    "val_loss",
    "test_loss",
    "train_loss",
    "val_trivial",
    "test_trivial",
    "best_val",
    "target",
}
KNOWN_SCALES = {
    "accuracy": "share",
    "nats_per_token": "positive",
    "gap": "decades",
    "distance": "decades",
    "frechet_pixels": "decades",
    "frechet_digits": "decades",
    "frechet_resnet20": "decades",
    "frechet_resnet56": "decades",
}
"""Of metrics in results from before run.json had `metric_scale`."""
RESULT_COLUMNS = {  # column: its keys in result.json
    "val": ("final", "val_metric"),
    "test": ("final", "test_metric"),
    "train": ("final", "train_metric"),
    "val_loss": ("final", "val_loss"),
    "test_loss": ("final", "test_loss"),
    "train_loss": ("final", "train_loss"),
    "val_trivial": ("final", "val_trivial"),
    "test_trivial": ("final", "test_trivial"),
    "best_val": ("best", "val_metric"),
    "best_step": ("best", "step"),
    "steps_done": ("steps",),
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
    "core_wait_share": ("throughput", "core_wait_share"),
}


class MalformedRun(Exception):
    """A file of a run or study that cannot be read, with the reason."""


def row_of(folder: Path, root: Path, cells: Mapping[str, CellEntry]) -> RunRow:
    """Return the row of one run. Raises MalformedRun for a damaged file, KeyError and the like for missing parts."""
    run = read_object(folder / "run.json")
    config, sweep = run["config"], run.get("sweep") or {}
    hardware = run.get("hardware") or {}
    searched, given = sweep.get("searched"), sweep.get("given")
    data = run.get("data") or {}
    sizes = data.get("sizes") or {}
    named = {
        "study": folder.parent.name,
        "run_id": str(run["run_id"]),
        "trial_id": run.get("trial_id"),
        "stage": run.get("stage") or "",
        "seed": int(run["seed"]),
        "cell": sweep.get("cell"),
        "trial": sweep.get("trial"),
        "group": sweep.get("group"),
        "budget": sweep.get("budget"),
        **names_of(config, sweep, cells, typed_init(run)),
        "optimizer": config["optimizer"]["name"],
        "implementation": run.get("implementation"),
        "model": config["model"]["name"],
        "data": config["data"]["name"],
        "steps": int(config["steps"]),
        "batch_size": int(config["batch_size"]),
        "threads": config.get("threads"),
        "precision": config.get("precision"),
        "hardware": device_of(run, hardware) if hardware else None,
        "shared": bool(sweep.get("shared")),
        "data_sha256": data.get("sha256"),
        **made_with(run),
        "metric": run.get("metric"),
        "direction": run.get("direction"),
        "metric_scale": run.get("metric_scale") or KNOWN_SCALES.get(run.get("metric") or ""),
        "val_samples": sizes.get("validation"),
        "test_samples": sizes.get("test"),
        "target": number(config.get("target")),
        "searched": None if searched is None else [str(key) for key in searched],
        "given": None if given is None else [str(word) for word in given],
        "overrides": [str(word) for word in run.get("overrides") or ()],
        **end_of(folder),
    }
    row = dict.fromkeys(COLUMNS) | cleaned(named)
    row |= {
        "pictures": [str(file.relative_to(root)) for file in sorted((folder / "pictures").glob("*.png"))],
        "config": json.dumps(config),
        "folder": str(folder.relative_to(root)),
    }
    check_types(row)
    return cast("RunRow", row)


def cleaned(value: Any) -> Any:
    """Return a value of a document in which all text is printable: names reach terminals, pages, figures and tables."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {printable(key): cleaned(inner) for key, inner in value.items()}
    return [cleaned(inner) for inner in value] if isinstance(value, list) else value


def names_of(
    config: Any, sweep: Mapping[str, Any], cells: Mapping[str, CellEntry], init: str | None = None
) -> dict[str, str]:
    """Return the names of a run's workload and contender. Old runs have the words of their cell in study.json alone."""
    cell = sweep if sweep.get("choices") else cells.get(str(sweep.get("cell")), {})
    choices, workload = cell.get("choices") or [], cell.get("workload") or []
    apart = [word for word in workload if word.partition("=")[0] not in NOT_OF_A_WORKLOAD]
    apart += [f"init={init_label(init)}"] if init else []
    apart += [f"freeze={as_typed(config[FREEZE])}"] if config.get(FREEZE) else []
    own = config["optimizer"]["name"]  # ./mine.py:Mine is called Mine
    compared = [
        own if word.startswith("optimizer=") and ".py" in word else word for word in choices if word not in workload
    ]
    names = {
        "workload": " ".join([f"{config['model']['name']}-{config['data']['name']}", *apart]),
        "contender": " ".join(word.removeprefix("optimizer=") for word in compared) or own,
    }
    return {column: name.replace("\\:", ":") for column, name in names.items()}


def typed_init(run: Mapping[str, Any]) -> str | None:
    """Return what `init` names; as typed where it depends on the seed (`init=weights-${seed}.pt`), None without it."""
    words = (str(word).partition("=") for word in run.get("overrides") or ())
    typed = [plain_text(value) for key, _, value in words if key.lstrip("+") == INIT]
    return typed[-1] if typed and "${" in typed[-1] else run["config"].get(INIT)


def made_with(run: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the columns that say by which code, when and where a run was made."""
    versions, typed_in = run.get("versions") or {}, run.get("typed_in") or {}
    return {
        **versions_of(run),
        "optbench_version": versions.get("optbench"),
        "torch_version": versions.get("torch"),
        "script": run.get("script"),
        "git_commit": (run.get("git") or {}).get("commit"),
        "started_at": run.get("started_at"),
        "config_dir": typed_in.get("config_dir"),
        "typed_in": typed_in.get("folder"),
    }


def versions_of(run: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the hashes of the user's files and code: behind the workload, and behind the contender."""
    hashes = {**(run.get("sources") or {}), **(run.get("content") or {}), INIT: init_sha256(run)}
    found: dict[str, dict[str, str]] = {"content_sha256": {}, "source_sha256": {}}
    for key, sha256 in hashes.items():
        group = key.removesuffix("_sha256").partition(".")[0]
        if sha256:
            found["content_sha256" if group in OF_A_WORKLOAD else "source_sha256"][key] = str(sha256)
    return {
        column: next(iter(of.values())) if len(of) == 1 else sha256_of(of) if of else None
        for column, of in found.items()
    }


def init_sha256(run: Mapping[str, Any]) -> str | None:
    """Return the hash of the weights that a run began with; None for random ones, and where each seed has its own."""
    return None if "${" in (typed_init(run) or "") else (run.get(INIT) or {}).get("sha256")


def device_of(run: Mapping[str, Any], hardware: Mapping[str, object]) -> str:
    """Return the hardware of a run in words."""
    device = str(hardware.get("gpu") or f"{hardware.get('cpu')} x {hardware.get('cores')}")
    ranks = run.get("ranks") or 1
    return f"{ranks} ranks of {device}" if ranks > 1 else device


def check_types(row: Mapping[str, object]) -> None:
    """Raise TypeError for a value that is not of its column's type."""
    for name, (kind, _) in COLUMNS.items():
        value = row[name]
        least = DEFAULT_TRIAL if name == "trial" else 0
        kinds = (int, float) if kind in (int, float) else (kind,)
        if value is not None and (not isinstance(value, kinds) or (isinstance(value, bool) and kind is not bool)):
            raise TypeError(f"{name} is {value!r}")
        if isinstance(value, (int, float)) and not (-LARGEST < value < LARGEST and (name in SIGNED or value >= least)):
            raise TypeError(f"{name} is {value!r}")


def end_of(folder: Path) -> dict[str, object]:
    """Return the columns that the end of a run fills."""
    if (folder / "result.json").exists():
        result = read_object(folder / "result.json")
        sizes = result.get("bytes") or {}
        state = [number(size) for size in (sizes.get("optimizer_state") or {}).values()]
        known = [size for size in state if size is not None]
        measured = sizes.get("optimizer_state") is not None and len(known) == len(state)
        return {
            "status": str(result["status"]),
            "reason": result.get("reason") or "",
            "seconds": {phase: number(value) for phase, value in (result.get("seconds") or {}).items()},
            "state_bytes": sum(known) if measured else None,
            "peak_bytes": number(sizes.get("peak_allocated") or sizes.get("resident")),
            "resumed": bool(result.get("resumed_from_steps")),
            "notes": [str(note) for note in result.get("notes") or ()],
            "unread": [str(key) for key in result.get("unread") or ()],
            **{column: number(nested(result, keys)) for column, keys in RESULT_COLUMNS.items()},
        }
    if (folder / "pruned.json").exists():
        pruned = read_object(folder / "pruned.json", schema=False)
        return {"status": PRUNED, "reason": pruned.get("reason") or ""}
    return {"status": OPEN, "reason": ""}


def nested(tree: Any, keys: tuple[str, ...]) -> object:
    """Return a value inside nested mappings, None if there is none."""
    for name in keys:
        tree = tree.get(name) if tree is not None else None
    return tree


def number(value: object) -> float | None:
    """Return a number or None. Raises TypeError for anything else, and for a number that is too large."""
    if value is None or is_number(value):
        return cast("float | None", value)
    raise TypeError(f"expected a number, found {printable(value)[:60]}")


def read_object(file: Path, *, schema: bool = True) -> dict[str, Any]:
    """Return a JSON object of the current schema. Raises MalformedRun."""
    try:
        tree = read_json_file(file)
    except OSError as error:
        raise MalformedRun(f"{file.name} cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise MalformedRun(f"{file.name} cannot be read: {error}") from None
    if not isinstance(tree, dict):
        raise MalformedRun(f"{file.name} is not a JSON object")
    if schema and tree.get("schema") != SCHEMA:
        raise MalformedRun(f"{file.name} has schema {tree.get('schema')!r}; this version reads schema {SCHEMA}")
    return tree
