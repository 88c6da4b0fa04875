"""Fetch runs from W&B into a results folder, from which they are reported like any others.

The tracker (`trackers/wandb.py`) keeps run.json in a run's configuration and result.json in its summary; its history
holds the records. Runs logged by anything else are left out.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from optbench.errors import MissingError, NoResultsError, first_line
from optbench.files import has_content, parse_json
from optbench.records import COLUMNS
from optbench.store import storage_errors, write_atomically
from optbench.trackers.wandb import RESULT_JSON, RUN_JSON

log = logging.getLogger(__name__)
OWN = "_"  # prefix of W&B's own columns


class WandbRun(Protocol):
    """A run of W&B's API."""

    config: Mapping[str, object]
    summary: object
    """A mapping, but not of that type in every version."""

    def scan_history(self) -> Iterable[Mapping[str, object]]:
        """Yield every row of the history."""
        ...


class WandbApi(Protocol):
    """W&B's API."""

    def runs(self, path: str) -> Iterable[WandbRun]:
        """Yield the runs of a project."""
        ...


def fetch(project: str, root: Path, api: WandbApi | None = None) -> Path:
    """Fetch the runs of a project (`PROJECT` or `ENTITY/PROJECT`) into run folders below `root`; return the results
    folder.

    Runs that have not changed are not fetched again. Raises MissingError if W&B is not installed or cannot be reached,
    NoResultsError if no run is from optbench."""
    api = api or wandb_api()
    folder = root / ".wandb" / project.replace("/", "-")
    found = others = 0
    try:
        for run in api.runs(project):
            if write_run(run, folder):
                found += 1
                log.info(f"{found} runs of {project} fetched") if found % 50 == 0 else None
            else:
                others += 1
    except Exception as error:
        raise MissingError(f"--wandb {project}: W&B cannot be read: {first_line(error)}") from None
    if not found:
        raise NoResultsError(f"--wandb {project}: none of its {others} runs was logged by optbench")
    if others:
        log.info(f"{others} runs of {project} were not logged by optbench and are left out")
    return folder


def wandb_api() -> WandbApi:
    """Return W&B's API. Raises MissingError."""
    try:
        import wandb
    except ImportError:
        raise MissingError("--wandb needs the package wandb", "pip install wandb") from None
    try:
        return wandb.Api()
    except Exception as error:
        raise MissingError(f"--wandb: W&B cannot be reached: {first_line(error)}", "wandb login") from None


def write_run(run: WandbRun, folder: Path) -> bool:
    """Write one run's files, result.json last. Return False for a run that optbench did not log."""
    document, result = text_of(run.config, RUN_JSON), text_of(run.summary, RESULT_JSON)
    try:
        tree = parse_json(document or "null")
    except ValueError:
        return False
    if not isinstance(tree, dict):
        return False
    study, run_id = str(tree.get("study") or ""), str(tree.get("run_id") or "")
    if any(not name or name.startswith(".") or "/" in name or "\\" in name for name in (study, run_id)):
        return False
    own = folder / study / run_id
    if result and has_content(own / "result.json", result.encode()):
        return True
    with storage_errors(own):
        own.mkdir(parents=True, exist_ok=True)
        write_text(own / "run.json", document)
        write_text(own / "metrics.jsonl", "".join(f"{json.dumps(row)}\n" for row in records_of(run)))
        if result:
            write_text(own / "result.json", result)
    return True


def text_of(tree: object, key: str) -> str:
    """Return a text in a run's configuration or summary, empty if there is none."""
    get = getattr(tree, "get", None)
    value = get(key) if callable(get) else None
    return value if isinstance(value, str) else ""


def records_of(run: WandbRun) -> Iterator[dict[str, object]]:
    """Yield the records of a run in the order of their steps."""
    found = [record_of(row) for row in run.scan_history()]
    yield from sorted((row for row in found if row), key=lambda row: int(str(row["step"])))


def record_of(row: Mapping[str, object]) -> dict[str, object]:
    """Return a row of W&B's history as a line of metrics.jsonl, empty if it is not a record."""
    kept = {
        name: value
        for name, value in row.items()
        if not name.startswith(OWN) and (isinstance(value, (int, float, str)) or name == "nonfinite")
    }
    complete = isinstance(kept.get("step"), int) and isinstance(kept.get("split"), str)
    return kept if complete and any(name in COLUMNS for name in kept) else {}


def write_text(path: Path, text: str) -> None:
    """Write one file atomically."""
    write_atomically(path, lambda out: out.write(text.encode()))
