"""Runs read back from W&B into a results folder, from where they are reported like any others.

The tracker (`trackers/wandb.py`) keeps run.json in a run's configuration and result.json in its summary; its history
holds the records. Runs that something else has logged are left out."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from optbench.errors import MissingError, NoResultsError, first_line
from optbench.records import COLUMNS
from optbench.store import explained, write_atomically
from optbench.trackers.wandb import RESULT_JSON, RUN_JSON

log = logging.getLogger(__name__)

OWN = "_"  # what W&B's own columns begin with


def fetch(project: str, root: Path, api: Any = None) -> Path:
    """The runs of a project (`PROJECT` or `ENTITY/PROJECT`) as run folders below `root`; the folder of results. A run
    that has not changed since it was read is not fetched again.

    Raises MissingError where W&B is not installed or cannot be reached, NoResultsError where no run is ours."""
    api = api or interface()
    folder = root / ".wandb" / project.replace("/", "-")
    found = others = 0
    try:
        for run in api.runs(project):
            if keep(run, folder):
                found += 1
                log.info(f"{found} runs of {project}") if found % 50 == 0 else None
            else:
                others += 1
    except Exception as error:
        raise MissingError(f"--wandb {project}: W&B cannot be read: {first_line(error)}") from None
    if not found:
        raise NoResultsError(f"--wandb {project}: none of its {others} runs was logged by optbench")
    if others:
        log.info(f"{others} runs of {project} were not logged by optbench and are left out")
    return folder


def interface() -> Any:
    """W&B's interface. Raises MissingError."""
    try:
        import wandb
    except ImportError:
        raise MissingError("--wandb needs the package wandb", "pip install wandb") from None
    try:
        return wandb.Api()
    except Exception as error:
        raise MissingError(f"--wandb: W&B cannot be reached: {first_line(error)}", "wandb login") from None


def keep(run: Any, folder: Path) -> bool:
    """Write one run's files, result.json last; whether it is one of ours."""
    about, result = text_of(run.config, RUN_JSON), text_of(run.summary, RESULT_JSON)
    try:
        tree = json.loads(about or "null")
        study, run_id = str(tree["study"]), str(tree["run_id"])
    except (ValueError, TypeError, KeyError):
        return False
    if any(not name or name.startswith(".") or "/" in name or "\\" in name for name in (study, run_id)):
        return False
    own = folder / study / run_id
    if result and (own / "result.json").exists() and (own / "result.json").read_text(encoding="utf-8") == result:
        return True
    with explained(own):
        own.mkdir(parents=True, exist_ok=True)
        write(own / "run.json", about)
        write(own / "metrics.jsonl", "".join(f"{json.dumps(row)}\n" for row in rows(run)))
        if result:
            write(own / "result.json", result)
    return True


def text_of(tree: Any, key: str) -> str:
    """A text in a run's configuration or summary."""
    value = tree.get(key) if hasattr(tree, "get") else None
    return value if isinstance(value, str) else ""


def rows(run: Any) -> Iterator[dict[str, Any]]:
    """The records of a run, in the order of their steps."""
    found = [record(row) for row in run.scan_history()]
    yield from sorted((row for row in found if row), key=lambda row: row["step"])


def record(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of W&B's history as a line of metrics.jsonl; empty where it is none."""
    kept = {
        name: value
        for name, value in row.items()
        if not name.startswith(OWN) and (isinstance(value, (int, float, str)) or name == "nonfinite")
    }
    whole = isinstance(kept.get("step"), int) and isinstance(kept.get("split"), str)
    return kept if whole and any(name in COLUMNS for name in kept) else {}


def write(path: Path, text: str) -> None:
    """One file, whole or not at all."""
    write_atomically(path, lambda out: out.write(text.encode()))
