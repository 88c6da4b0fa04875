"""Results on disk: results/<study>/<run_id>/, written by one process, finished once `result.json` exists.

    run.json        the configuration and its circumstances, written before training
    metrics.jsonl   one record a line
    result.json     written last, by atomic rename
    checkpoints/    the last good one
    pictures/       NAME-step-000000100.png, from evaluations
    .lock           held by the one process that writes

Readers need only the standard library and tolerate a torn last line.

A short run spends most of its time here on fsync, so there is only as much as two promises need. After a power cut, a
visible result or checkpoint is complete: what it relies on is synced before the rename. And nothing older than the last
checkpoint is lost: a rename is synced before what it replaces is deleted.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import shutil
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

from optbench.errors import Locked
from optbench.records import Record
from optbench.store.atomic import storage_errors, sync_file, sync_folder, write_atomically
from optbench.store.json_files import Document, read_records, write_json
from optbench.store.shapes import read_result, read_run

if TYPE_CHECKING:
    from optbench.records import Pixels

State = TypeVar("State", bound=Mapping[str, Any])

log = logging.getLogger(__name__)

REPLACED = ".replaced"  # where `--force` moves old runs of a study


class RunFolder:
    """The folder of one run."""

    def __init__(self, root: Path, study: str, run_id: str) -> None:
        self.path = root / study / run_id
        self.run_file = self.path / "run.json"
        self.result_file = self.path / "result.json"
        self.metrics_file = self.path / "metrics.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.pictures = self.path / "pictures"
        self._metrics: io.TextIOWrapper | None = None
        self._unsynced = {self.run_file, self.metrics_file}  # an earlier process may have written them

    @contextmanager
    def locked(self) -> Generator[None]:
        """Hold the lock of the one writer. The system releases that of a killed process.

        Raises Locked where another process holds it, StorageError where the folder cannot be written."""
        from filelock import FileLock, Timeout

        with storage_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.path / ".lock", timeout=0)
        try:
            with storage_errors(self.path):
                lock.acquire()
        except Timeout:
            raise Locked(f"{self.path.name} is being run by another process", f"Its folder: {self.path}") from None
        try:
            yield
        finally:
            self.close()
            self._remove_if_empty()
            lock.release()

    def _remove_if_empty(self) -> None:
        """Delete the folder if it holds nothing but the lock: the run was refused before it started."""
        if [entry.name for entry in self.path.iterdir()] == [".lock"]:
            with contextlib.suppress(OSError):  # Windows deletes no open file
                (self.path / ".lock").unlink()
                self.path.rmdir()

    # -- writing -----------------------------------------------------------------------------------------------------

    def write_run(self, run: Mapping[str, Any]) -> None:
        """Write run.json. It is synced with the first checkpoint or the result, at once if a checkpoint exists."""
        write_json(self.run_file, run, sync=self.checkpoints.exists(), sync_rename=False)
        self._unsynced.add(self.run_file)

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Write result.json, which finishes the run."""
        self.sync()
        write_json(self.result_file, result, sync_rename=self.checkpoints.exists())  # they may be deleted now

    def append(self, record: Record) -> None:
        """Append a line to metrics.jsonl; the system receives whole lines at once."""
        if self._metrics is None:
            self._metrics = open(self.metrics_file, "a", encoding="utf-8", buffering=1)  # noqa: SIM115
        self._unsynced.add(self.metrics_file)
        with storage_errors(self.metrics_file):
            self._metrics.write(json.dumps(record.as_row(), allow_nan=False) + "\n")

    def write_picture(self, name: str, step: int, pixels: Pixels) -> Path:
        """Write uint8 pixels (H, W, 3) as a PNG file."""
        from PIL import Image

        with storage_errors(self.pictures):
            self.pictures.mkdir(exist_ok=True)
            path = self.pictures / f"{name}-step-{step:09d}.png"
            write_atomically(path, lambda out: Image.fromarray(pixels).save(out, "PNG"), sync=False)
        self._unsynced.add(path)
        return path

    def sync(self) -> int:
        """Sync everything written so far to disk, and return the length of metrics.jsonl in bytes."""
        if self._metrics is not None:
            with storage_errors(self.metrics_file):
                self._metrics.flush()
        for file in sorted(self._unsynced):
            with storage_errors(file):
                sync_file(file)
        self._unsynced.clear()
        return self._records_bytes()

    def _records_bytes(self) -> int:
        return self.metrics_file.stat().st_size if self.metrics_file.exists() else 0

    def cut_back(self, length: int) -> None:
        """Truncate metrics.jsonl to its first `length` bytes."""
        self.close()
        self._unsynced.add(self.metrics_file)
        if self.metrics_file.exists():
            os.truncate(self.metrics_file, length)

    def close(self) -> None:
        """Close metrics.jsonl."""
        if self._metrics is not None:
            self._metrics.close()
            self._metrics = None

    def set_aside(self) -> Path | None:
        """Move everything of an earlier run to a folder of its own; return that folder, or None without such a run."""
        old = [entry for entry in self.path.iterdir() if entry.name != ".lock"]
        if not old:
            return None
        number = 1
        while (aside := self.path.parent / REPLACED / f"{self.path.name}.{number}").exists():
            number += 1
        aside.mkdir(parents=True)
        for entry in old:
            entry.rename(aside / entry.name)
        return aside

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def write_checkpoint(self, step: int, save: Callable[[IO[bytes]], object]) -> Path:
        """Let `save(file)` write a checkpoint. Once complete, it replaces the previous one."""
        with storage_errors(self.checkpoints):
            self.checkpoints.mkdir(exist_ok=True)
            path = self.checkpoints / f"step-{step:09d}.pt"
            write_atomically(path, save)
            self._keep_only(path)
        return path

    def write_parts(self, step: int, save: Callable[[Path], object]) -> Path:
        """Let `save(folder)` write a checkpoint into an empty folder. Once complete, it replaces the previous one."""
        with storage_errors(self.checkpoints):
            path = self.checkpoints / f"step-{step:09d}.parts"
            temporary = path.with_name(f".{path.name}.tmp")
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            save(temporary)
            if path.exists():  # an unreadable one of the same step
                shutil.rmtree(path)
            os.replace(temporary, path)
            sync_folder(self.checkpoints)
            self._keep_only(path)
        return path

    def _keep_only(self, path: Path) -> None:
        """Delete all checkpoints but one."""
        for other in self.checkpoints.iterdir():
            if other.is_dir() and other != path:
                shutil.rmtree(other)
            elif other != path:
                other.unlink()

    def read_checkpoint(self, read: Callable[[Path], State]) -> State | None:
        """Return the newest checkpoint that `read(path)` can read and whose records exist, or None."""
        for path in sorted(self.checkpoints.glob("step-*"), reverse=True):
            try:
                state = read(path)
            except Exception as error:  # damaged by a failing disk; torch raises many kinds
                log.info(f"{path} cannot be read ({type(error).__name__}) and is skipped")
                continue
            if state["records_bytes"] <= self._records_bytes():
                return state
            log.info(f"{path} is skipped: records before it are missing from {self.metrics_file.name}")
        return None

    def drop_checkpoints(self) -> None:
        """Delete the checkpoints."""
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    # -- reading -----------------------------------------------------------------------------------------------------

    def result(self) -> Document | None:
        """Return result.json, or None for an unfinished run."""
        return read_result(self.result_file)

    def run(self) -> Document | None:
        """Return run.json, or None if there is none."""
        return read_run(self.run_file)

    def records(self) -> list[Document]:
        """Return the rows of metrics.jsonl."""
        return read_records(self.metrics_file)
