"""Results on disk: results/<study>/<run_id>/, written by one process, finished once `result.json` exists.

    run.json        the configuration and its circumstances, written before training
    metrics.jsonl   one record a line
    result.json     written last, by atomic rename
    checkpoints/    the last two; the last one of a finished run
    error.txt       the traceback of a failed run
    pictures/       NAME-step-000000100.png, from evaluations
    .lock           held by the one process that writes

Readers need only the standard library and tolerate a torn last line.

A short run spends most of its time here on fsync, so there is only as much as two promises need. After a power cut, a
visible result or checkpoint is complete: what it relies on is synced before the rename. And nothing older than the last
checkpoint is lost: a rename is synced before what it replaces is deleted.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optbench.errors import Locked
from optbench.files import read_bytes
from optbench.records import Record
from optbench.store.atomic import open_for_writing, storage_errors, sync_file, write_atomically
from optbench.store.checkpoints import Checkpoints, State
from optbench.store.json_files import Document, read_records, write_json
from optbench.store.links import make_folder, refuse_links
from optbench.store.shapes import read_result, read_run

if TYPE_CHECKING:
    from optbench.records import Pixels

REPLACED = ".replaced"  # where `--force` moves old runs of a study


class RunFolder:
    """The folder of one run."""

    def __init__(self, root: Path, study: str, run_id: str) -> None:
        self.path = root / study / run_id
        self.run_file = self.path / "run.json"
        self.result_file = self.path / "result.json"
        self.metrics_file = self.path / "metrics.jsonl"
        self.checkpoints = Checkpoints(self.path / "checkpoints")
        self.error_file = self.path / "error.txt"
        self.pictures = self.path / "pictures"
        self._metrics: io.TextIOWrapper | None = None
        self._unsynced = {self.run_file, self.metrics_file}  # an earlier process may have written them

    @contextmanager
    def locked(self) -> Generator[None]:
        """Hold the lock of the one writer. The system releases that of a killed process.

        Raises Locked where another process holds it, StorageError where it cannot be written or holds a link."""
        from filelock import FileLock, Timeout

        with storage_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            refuse_links(self.path, self.checkpoints.folder, self.pictures)
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
        with contextlib.suppress(OSError):  # somebody has deleted it, or Windows, which deletes no open file
            if [entry.name for entry in self.path.iterdir()] == [".lock"]:
                (self.path / ".lock").unlink()
                self.path.rmdir()

    # -- writing -----------------------------------------------------------------------------------------------------

    def write_run(self, run: Mapping[str, Any]) -> None:
        """Write run.json. It is synced with the first checkpoint or the result, at once if a checkpoint exists."""
        write_json(self.run_file, run, sync=self.checkpoints.exist(), sync_rename=False)
        self._unsynced.add(self.run_file)

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Write result.json, which finishes the run."""
        self.sync()
        write_json(self.result_file, result, sync_rename=self.checkpoints.exist())  # they may be deleted now

    def append(self, record: Record) -> None:
        """Append a line to metrics.jsonl; the system receives whole lines at once."""
        self._unsynced.add(self.metrics_file)
        with storage_errors(self.metrics_file):
            if self._metrics is None:
                handle = open_for_writing(self.metrics_file, os.O_APPEND)
                self._metrics = open(handle, "a", encoding="utf-8", buffering=1)  # noqa: SIM115
            self._metrics.write(json.dumps(record.as_row(), allow_nan=False) + "\n")

    def write_picture(self, name: str, step: int, pixels: Pixels) -> Path:
        """Write uint8 pixels (H, W, 3) as a PNG file."""
        from PIL import Image

        with storage_errors(self.pictures):
            make_folder(self.pictures)
            path = self.pictures / f"{name}-step-{step:09d}.png"
            write_atomically(path, lambda out: Image.fromarray(pixels).save(out, "PNG"), sync=False)
        self._unsynced.add(path)
        return path

    def write_error(self, text: str) -> None:
        """Write error.txt."""
        with storage_errors(self.error_file):
            write_atomically(self.error_file, lambda out: out.write(text.encode("utf-8", "replace")))

    def sync(self) -> int:
        """Sync everything written so far to disk, and return the length of metrics.jsonl in bytes.

        Raises StorageError if somebody has deleted or replaced it: a result would lack its records."""
        if self._metrics is not None:
            with storage_errors(self.metrics_file):
                self._metrics.flush()
                if not os.path.samestat(os.fstat(self._metrics.fileno()), os.stat(self.metrics_file)):
                    raise OSError(errno.ESTALE, "Another file has taken its place")
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
            with storage_errors(self.metrics_file), open(open_for_writing(self.metrics_file), "ab") as out:
                out.truncate(length)

    def take_records(self, other: RunFolder) -> None:
        """Replace metrics.jsonl by a copy of another run's."""
        self.close()
        content = read_bytes(other.metrics_file, limit=None, follow_links=False)
        with storage_errors(self.metrics_file):
            write_atomically(self.metrics_file, lambda out: out.write(content))

    def close(self) -> None:
        """Close metrics.jsonl. An error is not reported again: `append` or `sync` has."""
        metrics, self._metrics = self._metrics, None
        if metrics is not None:
            with contextlib.suppress(OSError):
                metrics.close()

    def set_aside(self) -> Path | None:
        """Move everything of an earlier run to a folder of its own; return that folder, or None without such a run."""
        old = [entry for entry in self.path.iterdir() if entry.name != ".lock"]
        if not old:
            return None
        number = 1
        while (aside := self.path.parent / REPLACED / f"{self.path.name}.{number}").exists():
            number += 1
        with storage_errors(aside):
            aside.mkdir(parents=True)
            for entry in old:
                entry.rename(aside / entry.name)
        return aside

    # -- checkpoints -------------------------------------------------------------------------------------------------

    def read_checkpoints(self, read: Callable[[Path], State]) -> Iterator[tuple[Path, State]]:
        """Yield the checkpoints that can be used, newest first; see `Checkpoints.read`."""
        return self.checkpoints.read(self.path.name, self._records_bytes(), read)

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
