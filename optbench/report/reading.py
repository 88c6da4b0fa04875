"""Runs from a results folder, as rows. What cannot be read is listed with the reason and never ends the reading.

A row has every column of `COLUMNS`, None where it is not known."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from optbench.errors import NoResultsError
from optbench.records import SCHEMA

COLUMNS = {
    "study": "folder that the run lies in",
    "run_id": "the run's name",
    "stage": "tune, final, or nothing for a plain run",
    "seed": "of the run",
    "cell": "label of the cell of its study",
    "trial": "number of the point of its box",
    "budget": "share of the workload's budget",
    "workload": "model-data, with what else sets it apart",
    "contender": "what is compared there",
    "implementation": "whose code the optimizer is",
    "steps": "of the whole schedule",
    "batch_size": "samples a step",
    "hardware": "device and cores",
    "shared": "whether several runs shared the device",
    "data_sha256": "of the samples",
    "optbench_version": "of the code that trained",
    "torch_version": "beside it",
    "git_commit": "of the same",
    "status": "how it ended; open: it has not, pruned: tuning gave it up",
    "reason": "why it ended so",
    "metric": "the task's",
    "direction": "max or min",
    "val": "metric on validation at the end",
    "test": "metric on test at the end",
    "train": "metric on training samples without augmentation at the end",
    "best_val": "best metric on validation of all evaluations",
    "target": "value on validation that counts as trained",
    "train_seconds": "data, forward, backward and optimizer",
    "overrides": "what reproduces it",
    "config": "resolved, as JSON",
    "folder": "of the run, below the results folder",
}
OPEN, PRUNED = "open", "pruned"
NOT_OF_A_WORKLOAD = ("model", "data", "budget")


class Strange(Exception):
    """A file that cannot be read as what its name says; the reason."""


@dataclass(frozen=True)
class Results:
    """What was read."""

    root: Path
    runs: tuple[dict[str, Any], ...]
    studies: Mapping[str, Mapping[str, Any]]
    """study.json by study"""
    skipped: tuple[tuple[str, str], ...]
    """(path below the root, why it was left out)"""


def read(path: Path) -> Results:
    """The runs of a study's folder, or of every study below a results folder. Raises NoResultsError where there is
    none."""
    if not path.is_dir():
        there = [entry.name for entry in studies_below(path.parent)] if path.parent.is_dir() else []
        near = get_close_matches(path.name, there, 1)
        hint = f"Did you mean {path.parent / near[0]}?" if near else f"Studies there: {', '.join(there) or 'none'}"
        raise NoResultsError(f"{path}: there are no results", hint)
    is_study = any(path.glob("*/run.json"))
    root, folders = (path.parent, [path]) if is_study else (path, list(studies_below(path)))
    skipped: list[tuple[str, str]] = []
    studies = {folder.name: tree for folder in folders if (tree := study_of(folder, root, skipped)) is not None}
    runs: dict[str, dict[str, Any]] = {}
    for folder in folders:
        for row in rows_of(folder, root, studies.get(folder.name, {}), skipped):
            kept = runs.setdefault(row["run_id"], row)
            if kept is not row:
                skipped.append((row["folder"], f"the same run as {kept['folder']}"))
    if not runs:
        why = f" ({skipped[0][0]}: {skipped[0][1]})" if skipped else ""
        raise NoResultsError(f"{path}: there are no runs{why}", "A study's folder is results/NAME")
    return Results(root, tuple(runs[name] for name in sorted(runs)), studies, tuple(skipped))


def studies_below(root: Path) -> Iterator[Path]:
    """Folders with runs in them, sorted; hidden ones are not looked at."""
    for folder in sorted(root.iterdir()):
        if not folder.name.startswith(".") and folder.is_dir() and any(folder.glob("*/run.json")):
            yield folder


def study_of(folder: Path, root: Path, skipped: list[tuple[str, str]]) -> dict[str, Any] | None:
    """study.json, or None where there is no whole one."""
    file = folder / "study.json"
    try:
        return known(file) if file.exists() else None
    except Strange as strange:
        skipped.append((str(file.relative_to(root)), str(strange)))
        return None


def rows_of(
    folder: Path, root: Path, study: Mapping[str, Any], skipped: list[tuple[str, str]]
) -> Iterator[dict[str, Any]]:
    """A row for every run of a study's folder."""
    cells = {cell.get("label"): cell for cell in study.get("cells") or () if isinstance(cell, Mapping)}
    for file in sorted(folder.glob("*/run.json")):
        if file.parent.name.startswith("."):
            continue
        try:
            yield row_of(file.parent, root, cells)
        except Strange as strange:
            skipped.append((str(file.parent.relative_to(root)), str(strange)))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            skipped.append((str(file.parent.relative_to(root)), f"not in the shape of a run: {error!r}"))


def row_of(folder: Path, root: Path, cells: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """One run. Raises Strange where its files are damaged, KeyError and the like where they are not a run's."""
    run = known(folder / "run.json")
    config, sweep, versions = run["config"], run.get("sweep") or {}, run.get("versions") or {}
    cell = cells.get(sweep.get("cell"), {})
    workload = [word for word in cell.get("workload") or () if word.partition("=")[0] not in NOT_OF_A_WORKLOAD]
    compared = [word for word in cell.get("choices") or () if word not in (cell.get("workload") or ())]
    hardware = run.get("hardware") or {}
    device = hardware.get("gpu") or f"{hardware.get('cpu')} x {hardware.get('cores')}"
    return dict.fromkeys(COLUMNS) | {
        "study": folder.parent.name,
        "run_id": str(run["run_id"]),
        "stage": run.get("stage") or "",
        "seed": int(run["seed"]),
        "cell": sweep.get("cell"),
        "trial": sweep.get("trial"),
        "budget": sweep.get("budget"),
        "workload": " ".join([f"{config['model']['name']}-{config['data']['name']}", *workload]),
        "contender": " ".join(word.removeprefix("optimizer=") for word in compared) or config["optimizer"]["name"],
        "implementation": run.get("implementation"),
        "steps": int(config["steps"]),
        "batch_size": int(config["batch_size"]),
        "hardware": device if hardware else None,
        "shared": bool(sweep.get("shared")),
        "data_sha256": (run.get("data") or {}).get("sha256"),
        "optbench_version": versions.get("optbench"),
        "torch_version": versions.get("torch"),
        "git_commit": (run.get("git") or {}).get("commit"),
        "metric": run.get("metric"),
        "direction": run.get("direction"),
        "target": config.get("target"),
        "overrides": list(run.get("overrides") or ()),
        "config": json.dumps(config),
        "folder": str(folder.relative_to(root)),
        **ending(folder),
    }


def ending(folder: Path) -> dict[str, Any]:
    """The columns that the end of a run fills."""
    if (folder / "result.json").exists():
        result = known(folder / "result.json")
        final, best = result.get("final") or {}, result.get("best") or {}
        return {
            "status": result["status"],
            "reason": result.get("reason") or "",
            "val": number(final.get("val_metric")),
            "test": number(final.get("test_metric")),
            "train": number(final.get("train_metric")),
            "best_val": number(best.get("val_metric")),
            "train_seconds": number(result.get("train_seconds")),
        }
    if (folder / "pruned.json").exists():
        return {"status": PRUNED, "reason": known(folder / "pruned.json", schema=False).get("reason") or ""}
    return {"status": OPEN, "reason": ""}


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
    if not isinstance(tree, dict):
        raise Strange(f"{file.name} is not a JSON object")
    if schema and tree.get("schema") != SCHEMA:
        raise Strange(f"{file.name} has schema {tree.get('schema')!r}, and {SCHEMA} is known")
    return tree


def names(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The contenders there are."""
    return sorted({run["contender"] for run in runs})
