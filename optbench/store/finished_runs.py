"""Finished runs of a results folder, found by their id in any study."""

from __future__ import annotations

from pathlib import Path

from optbench.errors import ConfigError, StorageError, nearest, printable
from optbench.records import Status
from optbench.store.json_files import Document
from optbench.store.run_folder import RunFolder

MOST_NAMED = 5  # runs in a hint


def finished_run(root: Path, run_id: str) -> tuple[RunFolder, Document]:
    """Return the folder and the result of a run that succeeded and kept its checkpoint.

    Raises ConfigError if no study holds such a run, or if studies hold different weights of it."""
    folders = [RunFolder(root, path.parent.name, path.name) for path in sorted(folders_of(root, run_id))]
    if not folders:
        raise ConfigError(
            f"init={printable(run_id)[:100]}: no such file, and no such run in {root}", suggestion(root, run_id)
        )
    found = [(folder, result) for folder in folders if (result := succeeded(folder)) is not None]
    if not found:
        hint = f"A checkpoint of it can be named as a file: init={folders[0].checkpoints.folder}/..."
        raise ConfigError(f"init={run_id}: the run did not succeed: {why_not(folders[0])}", hint)
    kept = [(folder, result) for folder, result in found if folder.checkpoints.newest_first()]
    if not kept:
        hint = "Run it again with keep_checkpoint=true and --force"
        raise ConfigError(f"init={run_id}: its checkpoint was not kept", hint)
    if len({str(result.get("weights_sha256")) for _, result in kept}) > 1:
        places = ", ".join(folder.path.parent.name for folder, _ in kept)
        raise ConfigError(
            f"init={run_id}: the studies {places} hold different weights of this run",
            f"Name a file: {kept[0][0].checkpoints.newest_first()[0]}",
        )
    return kept[0]


def folders_of(root: Path, run_id: str) -> list[Path]:
    """Return the folders of a run in all studies, without hidden ones."""
    if not root.is_dir() or "/" in run_id or "\0" in run_id or run_id in ("", ".", ".."):
        return []
    return [study / run_id for study in visible(root) if (study / run_id / "run.json").is_file()]


def visible(folder: Path) -> list[Path]:
    """Return the folders in a folder, without hidden ones."""
    return [entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")]


def succeeded(folder: RunFolder) -> Document | None:
    """Return the result of a run that succeeded, None for any other."""
    try:
        result = folder.result()
    except StorageError:
        return None
    return result if result is not None and Status(result["status"]).succeeded else None


def why_not(folder: RunFolder) -> str:
    """Return why a run did not succeed."""
    result = folder.result()
    return "it has no result yet" if result is None else f"it ended as {result['status']}: {result.get('reason')}"


def suggestion(root: Path, run_id: str) -> str:
    """Return the hint for a run that does not exist: the nearest of those that do."""
    studies = visible(root) if root.is_dir() else []
    known = sorted({run.name for study in studies for run in visible(study) if (run / "result.json").exists()})
    if not known:
        return "There are no finished runs in it; --results-dir names another folder"
    near = nearest(run_id, known)
    if near:
        return f"Did you mean init={near}?"
    more = f" and {len(known) - MOST_NAMED} more" if len(known) > MOST_NAMED else ""
    return f"Finished runs: {', '.join(known[:MOST_NAMED])}{more}"
